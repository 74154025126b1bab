"""Fan-out: how many ticks reach how many clients, of the hub, of plain ``emit``, of Node's socket.io, of a bare loop.

Server and clients have a core each. Each side makes its ticks in its own process, out of the same texts, and sends the
next burst as soon as its clients' sockets have taken the last; every tick has to reach every client.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from random import Random

from benchmarks.common import (
    LOAD_CORE,
    ROOT,
    SERVER_CORE,
    Goal,
    Process,
    Result,
    get,
    median_of,
    module,
    say,
    table,
    until,
)
from hub.feed.dialects.exchange import ExchangeDialect
from hub.model import Source, Ticker, Trust
from hub.payload import tick_payload, ticker_body
from hub.simulator.market import GeneratedMarket

NODE = ROOT / "benchmarks" / "sides" / "node"
BURST = 64  # what 40 ms gather at 1,500 ticks/s, for the hub and the bare loop
BURSTS = (1, 8, 32)  # for the peers: a short trial tells which suits them best
NAMES = {
    "hub": "Price Hub", "plain emit": "plain `emit` (Flask-SocketIO, eventlet)", "node": "Node's `socket.io`",
    "bare loop": "bare loop of `socket.send`, at the hub's pace",
}  # fmt: skip
TRIAL_SECONDS = 0.4
UNPACED = 1e9  # ticks a second
PRODUCTS = 326

TEXT = """## Fan-out: ticks to clients

Server and clients have a core each. Every side makes its ticks in its own process out of the same texts (the hub's
`ticker_update`, about 430 bytes) and sends the next burst as its clients' sockets have taken the last: {burst} ticks
from the hub and the bare loop (what 40 ms gather at 1,500 ticks/s), for the others what a trial found best. The bare
loop sends finished bytes at the pace that the hub reached: some of TCP's work falls to the slower side's core, so that
only an equal pace compares. Every tick reached every client, or the run would have failed. Where the server's core is
not used up the clients are the limit, and the CPU a frame is what tells. In service the hub's own worker flushes, and
rests twice as long as a flush took.

{table}"""


def make_ticks() -> list[tuple[str, str]]:
    """Return (payload, product) of a tick of each of the simulated products, as the hub makes them."""
    market, dialect = GeneratedMarket(PRODUCTS, 1.0, 1, 0.0, time.time(), 0.0), ExchangeDialect()
    ticks = []
    for product in market.product_ids[:PRODUCTS]:
        frame = market.snapshot(product)
        assert frame is not None
        (ticker,) = dialect.decode(frame)
        assert isinstance(ticker, Ticker)
        ticks.append((tick_payload(ticker_body(ticker, Source.WS), Trust.LIVE), product))
    Random(1).shuffle(ticks)
    return ticks


def node_is_ready() -> bool:
    """Install Node's socket.io; False, and said, where that can't be done."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        say("left out: Node's socket.io, because Node.js or npm is not installed")
        return False
    if not (NODE / "node_modules" / "socket.io").is_dir():
        done = subprocess.run(
            ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], cwd=NODE, check=False
        )
        if done.returncode:
            say("left out: Node's socket.io, because npm could not install it")
            return False
    return True


class Side:
    """One side with its clients connected. A context manager."""

    def __init__(self, name: str, clients: int, ticks: Path) -> None:
        commands = {
            "hub": module("benchmarks.sides.fanout_hub", ticks),
            "plain emit": module("benchmarks.sides.fanout_emit", ticks),
            "bare loop": module("benchmarks.sides.fanout_bare", ticks),
            "node": ["node", str(NODE / "server.js"), str(ticks)],
        }
        self._name = name
        self._count = clients
        with contextlib.ExitStack() as stack:
            self.server = stack.enter_context(Process(commands[name], SERVER_CORE))
            port = self.server.answer()
            self._url = f"http://127.0.0.1:{port}"
            crowd = Process(module("benchmarks.clients", port, clients, "bytes"), LOAD_CORE)
            self.clients = stack.enter_context(crowd)
            self.clients.answer()
            until(lambda: get(f"{self._url}/crowd")["clients"] == clients, "all clients at the server")
            time.sleep(0.5)  # the hub lets them in 32 at a time
            self._stack = stack.pop_all()

    def send(self, seconds: float, burst: int, pace: float = UNPACED) -> dict[str, float]:
        """Send for so long (the bare loop: so many ticks a second); ``RuntimeError`` if a client missed one."""
        cpu, clients_cpu, began = self.server.cpu_seconds(), self.clients.cpu_seconds(), time.monotonic()
        answer = get(f"{self._url}/go?seconds={seconds}&burst={burst}&pace={pace}")
        seen = self.clients.ask(f"expect {answer['sent']}")
        if seen["short"] or answer.get("conflated"):
            raise RuntimeError(f"{self._name}, {self._count} clients: sent {answer}, but they got {seen}")
        took, frames = seen["last"] - began, answer["sent"] * self._count
        used, clients_used = self.server.cpu_seconds() - cpu, self.clients.cpu_seconds() - clients_cpu
        return {
            "frames_per_second": frames / took, "ns_per_frame": used / frames * 1e9, "server": used / took,
            "clients": clients_used / took, "burst": burst, "ticks": answer["sent"],
            "pace": answer["sent"] / took,
        }  # fmt: skip

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def measure(name: str, clients: int, seconds: float, ticks: Path, pace: float = UNPACED) -> dict[str, float]:
    """Run one side with so many clients, at its best; the bare loop at a pace."""
    with Side(name, clients, ticks) as side:
        bursts = (BURST,) if name in ("hub", "bare loop") else BURSTS
        trials = [side.send(TRIAL_SECONDS, burst, pace) for burst in bursts]  # with one burst: the warm-up
        burst = bursts[max(range(len(bursts)), key=lambda index: trials[index]["frames_per_second"])]
        side.server.profile(f"fanout_{name.replace(' ', '_')}_{clients}.txt", seconds)
        return side.send(seconds, burst, pace)


def run(quick: bool = False) -> Result:
    """Measure all sides in turns, a few rounds of each number of clients."""
    counts, seconds, rounds = ((20,), 0.5, 1) if quick else ((50, 400, 1_000), 3.0, 3)
    sides = ["hub", "plain emit", "node", "bare loop"] if node_is_ready() else ["hub", "plain emit", "bare loop"]
    rows, goals = [], []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as ticks:
        json.dump(make_ticks(), ticks)
        ticks.flush()
        for clients in counts:
            taken: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
            for _ in range(rounds):
                for side in sides:
                    pace = taken["hub"][-1]["pace"] if side == "bare loop" else UNPACED
                    taken[side].append(figures := measure(side, clients, seconds, Path(ticks.name), pace))
                    shown = "  ".join(f"{name} {value:,.2f}" for name, value in figures.items())
                    say(f"{clients:5} clients  {side:10}  {shown}")
            medians = {side: median_of(found) for side, found in taken.items()}
            for side, found in medians.items():
                faster = f"{medians['hub']['frames_per_second'] / found['frames_per_second']:.1f}"
                rows.append((
                    clients, NAMES[side], f"{found['frames_per_second'] / 1e6:.3f}", f"{found['ns_per_frame']:,.0f}",
                    f"{found['server']:.2f}", f"{found['clients']:.2f}", "" if side in ("hub", "bare loop") else faster,
                ))  # fmt: skip
            times = medians["hub"]["ns_per_frame"] / medians["bare loop"]["ns_per_frame"]
            goals.append(
                Goal(f"{clients} clients: CPU a frame at most 2 × the bare loop's", f"{times:.2f} ×", times <= 2)
            )
    heads = ("clients", "", "million frames/s", "CPU a frame (ns)", "server's core", "clients' core", "hub is × faster")
    return Result(TEXT.format(table=table(heads, rows), burst=BURST), goals)
