"""``app.py --doctor`` against the real simulator: all well, and each thing that can be wrong, with what to do."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from hub.simulator.launch import SimulatorProcess, launch
from tests.conftest import ROOT, HubProcess
from tests.connect_proxy import ConnectProxy
from tests.names import NameServer
from tests.tls import TlsProxy, make_certificates

BOUND_SECONDS = 20.0


class Told(NamedTuple):
    """What the doctor said: ``lines`` are (level, name, text), each with its advice behind."""

    status: int
    output: str
    seconds: float

    def lines(self, name: str) -> list[tuple[str, str]]:
        found = re.findall(rf"^  (ok|warn|FAIL) +{re.escape(name)} +(.*(?:\n +→.*)?)$", self.output, re.M)
        return [(level, " ".join(text.split())) for level, text in found]

    def line(self, name: str) -> tuple[str, str]:
        (line,) = self.lines(name)
        return line


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with launch(["--products", "20"]) as process:
        yield process


@pytest.fixture
def doctor(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[Callable[..., Told]]:
    """Run the doctor on the simulator, or where the variables say."""
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    base = {
        "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange", "PORT": "0",
        "ADVANCED_TRADE_WS_URL": simulator.advanced_trade_ws_url,
        "ADVANCED_TRADE_REST_URL": simulator.advanced_trade_rest_url, "STATE_DIR": str(tmp_path / "state"),
    }  # fmt: skip

    def run(*arguments: str, program: Sequence[str] = ("app.py",), **environment: str) -> Told:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, ROOT / program[0], *program[1:], "--doctor", *arguments],
            env={**clean, **base, **environment}, cwd=tmp_path, capture_output=True, text=True, timeout=BOUND_SECONDS,
            check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return Told(done.returncode, done.stdout, time.monotonic() - begun)

    yield run
    simulator.control("clear", {})


@pytest.mark.alone  # the clock is told to some milliseconds
def test_all_is_well_on_both_paths_and_nothing_secret_is_told(doctor: Callable[..., Told], tmp_path: Path) -> None:
    tokens = {"API_TOKENS": "canary-1-of-the-clients,canary-2-of-the-clients", "ADMIN_TOKEN": "canary" * 4}
    told = doctor(FEED="both", HOST="0.0.0.0", **tokens)
    assert told.status == 0, told.output
    assert "FAIL" not in told.output
    assert told.lines("packages")[0][0] == "ok"
    assert told.line("access") == ("ok", "whoever reaches this machine may read, at 0.0.0.0:0, with a token")
    assert [level for level, _ in told.lines("reached")] == ["ok"] * 4
    assert [text.split(":")[0] for level, text in told.lines("prices") if level == "ok"] == ["BTC-USD", "BTC-USD"]
    assert all("as the exchange's, within" in text for _, text in told.lines("clock"))
    assert "20 fit the settings: 2 connections" in told.line("products")[1]
    assert "it is the simulator" in told.output  # which no live setting should lead to
    assert "canary" not in told.output
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_with_simulate_it_brings_the_exchange_along(doctor: Callable[..., Told]) -> None:
    told = doctor("--simulate", "--simulate-products", "30")
    assert told.status == 0, told.output
    assert "30 fit the settings" in told.line("products")[1]
    assert "it is the simulator" not in told.output


def test_what_is_wrong_with_the_machine(doctor: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with socket.create_server(("0.0.0.0", 0)) as taken:
        told = doctor(
            HOST="0.0.0.0", PORT=str(taken.getsockname()[1]), STATE_DIR=str(tmp_path / "file"), MAX_CLIENTS_PER_IP="5",
            SSL_CERT_FILE="/nowhere.pem", MAX_CLIENTS="15000",
        )  # fmt: skip
    assert told.status == 1
    assert told.line("port")[0] == "FAIL"
    assert "in use → stop what listens there (ss -ltnp), or choose another --port" in told.line("port")[1]
    assert told.line("STATE_DIR")[0] == "FAIL"
    assert "can't be written to: " in told.line("STATE_DIR")[1]
    assert told.line("roots") == ("FAIL", "SSL_CERT_FILE: /nowhere.pem can't be read → correct it, or unset it")
    assert told.line("access")[0] == "warn"
    assert "→ set API_TOKENS" in told.line("access")[1]
    assert "→ behind a proxy all clients share its address" in told.line("addresses")[1]
    assert re.search(r"^4 failed|^3 failed", told.output, re.M)


def test_a_folder_on_a_read_only_disk_and_a_hub_that_runs_already(doctor: Callable[..., Told], hub: HubProcess) -> None:
    told = doctor(STATE_DIR="/proc/state", PORT=str(hub.port))
    assert told.line("STATE_DIR")[0] == "FAIL"
    served = f"a hub serves 127.0.0.1:{hub.port} already"
    assert told.line("port") == ("warn", f"{served} → a second one needs another --port")


def test_where_alerts_go(doctor: Callable[..., Told]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        port = receiver.getsockname()[1]
        urls = f"http://127.0.0.1:{port}/canary,http://127.0.0.1:1/canary,https://localhost/canary"
        told = doctor(
            WEBHOOK_URL=urls, WEBHOOK_ALLOWED_HOSTS="127.0.0.1", TELEGRAM_CHAT_ID="1",
            TELEGRAM_BOT_TOKEN="1:" + "canary" * 6, TELEGRAM_API_URL=f"http://127.0.0.1:{port}",
        )  # fmt: skip
    assert told.status == 1
    reached, refused, inside = told.lines("webhook")
    assert reached[0] == told.line("telegram")[0] == "ok"
    assert refused[0] == "FAIL"
    assert refused[1].startswith("can't reach 127.0.0.1:1: ")
    assert inside[0] == "FAIL"
    assert "an address that is not public" in inside[1]
    assert "canary" not in told.output


def test_nothing_listens_and_nobody_knows_the_name(doctor: Callable[..., Told]) -> None:
    told = doctor(WS_URL="ws://127.0.0.1:1", REST_URL="https://api.invalid")
    assert told.status == 1
    assert told.seconds < 10.0
    unknown, refused = told.lines("reached")
    assert unknown[0] == refused[0] == "FAIL"
    assert unknown[1].startswith("can't reach api.invalid:443: ")
    assert unknown[1].endswith("set HTTPS_PROXY. Else: what do the name servers in /etc/resolv.conf say?")
    assert refused[1].startswith("can't reach 127.0.0.1:1: [Errno 111]")
    assert refused[1].endswith("no way out to there: a firewall? Behind a proxy? set HTTPS_PROXY")
    assert not told.lines("prices")


def test_a_name_server_that_does_not_answer_is_not_waited_for(doctor: Callable[..., Told]) -> None:
    names = NameServer()
    names.addresses = None
    told = doctor(
        program=("tests/names.py", str(names.port)), WS_URL="wss://feed.test", REST_URL="https://api.test"
    )  # fmt: skip
    names.close()
    assert told.status == 1
    assert told.seconds < 13.0  # 6 of them waiting
    for host, (_, text) in zip(("api.test", "feed.test"), told.lines("reached"), strict=True):
        assert text.startswith(f"can't reach {host}:443: no name server answered in time → behind a proxy?")


def test_certificates(doctor: Callable[..., Told], simulator: SimulatorProcess, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    make_certificates(folder)
    target = ("127.0.0.1", int(simulator.ws_url.rsplit(":", 1)[1]))
    with contextlib.ExitStack() as stack:
        front: dict[str, int] = {}
        for name in ("good", "expired", "wrong"):
            proxy = TlsProxy(target, folder / f"{name}.pem")
            stack.callback(proxy.close)
            front[name] = proxy.port
        through = ConnectProxy({"exchange.test": "127.0.0.1"})
        stack.callback(through.close)
        trusted = {"SSL_CERT_FILE": str(folder / "ca.pem")}
        bad = doctor(
            WS_URL=f"wss://localhost:{front['wrong']}", REST_URL=f"https://localhost:{front['expired']}", **trusted
        )  # fmt: skip
        good = doctor(
            WS_URL=f"wss://exchange.test:{front['good']}", REST_URL=f"https://exchange.test:{front['good']}",
            HTTPS_PROXY=through.url.replace("//", "//user:canary@"), **trusted,
        )  # fmt: skip
    (_, expired), (_, wrong) = bad.lines("reached")
    assert bad.status == 1
    assert "certificate has expired (check the clock of this machine" in expired
    assert "Hostname mismatch" in wrong
    assert "→ nothing is believed from there meanwhile" in wrong
    assert good.status == 0, good.output
    assert all(f"through the proxy 127.0.0.1:{through.port} (name" in text for _, text in good.lines("reached"))
    assert [level for level, _ in good.lines("certificate")] == ["warn", "warn"]  # it ends in two days
    assert good.line("prices")[0] == "ok"
    assert "canary" not in good.output


def test_a_clock_that_is_off(doctor: Callable[..., Told], simulator: SimulatorProcess) -> None:
    simulator.control("fault", {"kind": "clock", "offset_seconds": 60, "seconds": 60})
    told = doctor()
    assert told.status == 1
    level, text = told.line("clock")
    assert level == "FAIL"
    assert re.match(r"(60\.0|59\.9) s behind the exchange's → set it by NTP", text)


def test_an_exchange_that_has_had_enough(doctor: Callable[..., Told], simulator: SimulatorProcess) -> None:
    simulator.control("fault", {"kind": "rest", "status": 429, "seconds": 60})
    simulator.control("fault", {"kind": "refuse", "status": 429, "seconds": 60})
    told = doctor()
    assert told.status == 1
    advice = "→ another program on this address takes the exchange's budget"
    assert f"no product list: GET /products: status 429 {advice}" in told.line("REST")[1]
    assert f"http_429 {advice}" in told.lines("reached")[1][1]


def test_an_exchange_that_is_slow_and_refuses_a_product(
    doctor: Callable[..., Told], simulator: SimulatorProcess
) -> None:
    simulator.control("fault", {"kind": "rest", "delay_seconds": 30, "seconds": 30})
    simulator.control("fault", {"kind": "reject_product", "product": "BTC-USD", "seconds": 60})
    told = doctor()
    assert told.status == 1
    assert "no product list: not done within 4 s" in told.line("REST")[1]
    assert told.line("prices")[0] == "FAIL"
    assert "Failed to subscribe" in told.line("prices")[1]
    assert told.seconds < 15.0
