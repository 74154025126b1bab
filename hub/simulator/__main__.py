"""``python -m hub.simulator``: a fake Coinbase Exchange. Its first line on standard output says where it listens."""

# ruff: noqa: E402 - the standard library is made green before anything else is imported
import warnings

from hub import green

warnings.filterwarnings("ignore", module=r"hub\.green")  # its library announces its retirement at every start
green.patch()

import argparse
import json
import logging
import math
import os
import select
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from hub.simulator import limits
from hub.simulator.advanced_trade import AdvancedTrade
from hub.simulator.broken import Faults
from hub.simulator.endpoint import Audience, run
from hub.simulator.exchange import Exchange
from hub.simulator.http import MAX_BODY_BYTES
from hub.simulator.market import MAX_EXPONENT, GeneratedMarket, Market
from hub.simulator.replay import RecordedMarket
from hub.simulator.server import ADVANCED_TRADE_PATH, Server


class _Range:
    """An argument's type: a number from ``low`` to ``high``."""

    def __init__(self, low: float, high: float, whole: bool = False) -> None:
        self._low, self._high, self._whole = low, high, whole

    def __call__(self, text: str) -> float:
        try:
            value = int(text) if self._whole else float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not self._low <= value <= self._high or math.isinf(value):
            raise argparse.ArgumentTypeError(f"{text} is not between {self._low:g} and {self._high:g}")
        return value


def _speed(text: str) -> float | None:
    return None if text == "max" else _Range(1e-3, 1e6)(text)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m hub.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_Range(0, 65_535, whole=True), default=0, help="0 takes a free one")
    parser.add_argument("--products", type=_Range(1, 5_000, whole=True), default=326)
    parser.add_argument("--rate", type=_Range(0, 100_000), default=1_500.0, help="trades a second, over all products")
    parser.add_argument("--seed", type=int, default=1, help="the same seed: the same ids, prices and sizes")
    parser.add_argument(
        "--exponent", type=_Range(0, MAX_EXPONENT), default=1.1, help="of Zipf's law: 0 spreads trades evenly"
    )
    parser.add_argument("--quote", default="USD")
    parser.add_argument("--quiet-half", action="store_true", help="every other product makes no trades")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="ticker frames, .jsonl or .jsonl.gz")
    parser.add_argument("--speed", type=_speed, default=20.0, help="of the replay, or max")
    parser.add_argument("--max-gap", type=_Range(0, 1e6), metavar="SECONDS", help="the longest wait between two frames")
    parser.add_argument("--hold", action="store_true", help="replay only after POST /_control/start")
    parser.add_argument(
        "--idle-seconds", type=_Range(0.1, 1e6), nargs=2, default=limits.IDLE_CHANNEL_SECONDS, metavar=("LOW", "HIGH"),
        help="after which Advanced Trade closes a channel that brings nothing",
    )  # fmt: skip
    parser.add_argument("--exit-with-stdin", action="store_true", help="exit when standard input ends")
    return parser.parse_args(arguments)


def make_market(options: argparse.Namespace, now: float, wall: float) -> Market:
    """Return the market that the options ask for; ``ValueError`` or ``OSError`` for recordings that do not do."""
    if options.replay:
        return RecordedMarket(options.replay, options.speed, options.max_gap, options.hold)
    market = GeneratedMarket(
        options.products, options.rate, options.seed, now, wall, options.exponent, options.quote.upper()
    )
    if options.quiet_half:
        market.always_quiet = frozenset(market.half())
    return market


def _exit_now(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
    os._exit(0)  # there is nothing to save, and waiting for open connections would never end


def _exit_with_stdin() -> None:
    """End the process when standard input ends: a parent that was killed leaves nothing behind."""
    mode = os.fstat(0).st_mode
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(0)  # of anything else the end is there already
    descriptor = os.dup(0)  # the green select overlooks a descriptor that is 0
    while waits:
        select.select([descriptor], [], [])
        if not os.read(descriptor, 4096):
            break
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Run the simulator until it is told to stop."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    options = parse_arguments(arguments)
    signal.signal(signal.SIGTERM, _exit_now)
    signal.signal(signal.SIGINT, _exit_now)
    now = time.monotonic()
    try:
        market = make_market(options, now, time.time())
        sock = green.listen(options.host, options.port)
    except (OSError, ValueError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    green.raise_descriptor_limit()
    exchange = Exchange(market, Faults(), options.seed, time.monotonic())
    low, high = options.idle_seconds
    advanced = AdvancedTrade(market, Faults(exchange.faults), options.seed, time.monotonic(), (low, high))
    exchange.audience = Audience(exchange, advanced)
    market.restart_clock(time.monotonic())
    server = Server(exchange, advanced)
    serving = {"max_body_bytes": MAX_BODY_BYTES}
    threading.Thread(
        target=green.serve, args=(sock, server), kwargs=serving, name="simulator-http", daemon=True
    ).start()
    if options.exit_with_stdin:
        threading.Thread(target=_exit_with_stdin, name="simulator-stdin", daemon=True).start()
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{host}:{sock.getsockname()[1]}"
    urls = {
        "ws_url": f"ws://{address}",
        "rest_url": f"http://{address}",
        "control_url": f"http://{address}/_control",
        "advanced_trade_ws_url": f"ws://{address}{ADVANCED_TRADE_PATH}",
        "advanced_trade_rest_url": f"http://{address}",
    }
    print(json.dumps(urls), flush=True)
    run((exchange, advanced))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
