"""The hub as a process: settings, simulator if asked for, hub, web server, and a stop that tells everybody."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hub import doctor, green, logs
from hub.config import SettingsError, load
from hub.door import Door
from hub.fanout.farewell import send_away
from hub.fanout.limits import Network, who
from hub.hub import PriceHub
from hub.settings import Settings
from hub.simulator.launch import SimulatorProcess, launch
from hub.web.app import create_app

SIGNAL_POLL_SECONDS = 0.2  # a signal only sets a flag, which an idle loop would not look at by itself
# With DRAIN_SECONDS, and the last second of the clients, less than 8: whoever stops us kills after 8 to 10.
STOP_SECONDS = 1.5
SIMULATOR_STOP_SECONDS = 0.5
REQUESTS_SECONDS = 1.0  # for requests under way
log = logging.getLogger("hub")


class Service:
    """A running hub behind its WSGI application; what both entry points share."""

    def __init__(self, settings: Settings, sources: Mapping[str, str]) -> None:
        """``sources``: setting → where it came from, for ``GET /config``."""
        self.simulator = start_simulator(settings) if settings.simulate else None
        self.made_up_token: str | None = None
        if self.simulator is not None:
            if not settings.admin_token:
                self.made_up_token = secrets.token_urlsafe(18)
            before, settings = settings, on_simulator(settings, self.simulator)
            settings = settings.replace(admin_token=settings.admin_token or self.made_up_token)
            names = (item.name for item in dataclasses.fields(Settings))
            changed = [name for name in names if getattr(settings, name) != getattr(before, name)]
            sources = {**sources, **dict.fromkeys(changed, "simulator")}
        self.settings = settings
        self.hub = PriceHub(settings)
        whose = functools.partial(counted_as, trusted=settings.trusted_proxies)
        self.door: Door[Any] = Door(settings.max_connections_per_ip, whose, self.hub.counters)
        control = self.simulator.control if self.simulator is not None else None
        self.app, self.socketio = create_app(self.hub, control, sources)

    def show_token(self) -> None:
        """Print the admin token that was made up, if one was; one that was set is never shown."""
        if self.made_up_token is not None:
            logs.say(f"Token for actions and drills, until it stops: {self.made_up_token}")

    def start(self) -> None:
        """Start the feed; in a web server that forks, call it after the fork."""
        green.raise_descriptor_limit()
        self.hub.start()
        self.hub.loop_watch.start()

    def drain(self, hurried: Callable[[], bool]) -> None:
        """Say that the hub stops and send the clients away, so that they come back; prices and REST go on meanwhile.

        It takes ``DRAIN_SECONDS`` and at most one more; with ``hurried()`` everybody goes at once.
        """
        seconds = 0.0 if hurried() else self.settings.drain_seconds
        try:
            self.hub.drain(seconds)
            send_away(self.socketio.server.eio, seconds, hurried)
        except Exception:
            log.exception("bug while clients were sent away")  # what is to be kept must be written all the same

    def stop(self) -> None:
        """Stop the feed and write what is to be kept, within ``STOP_SECONDS``. Idempotent."""
        begun = time.monotonic()
        self.hub.stop(STOP_SECONDS)
        if self.simulator is not None:
            self.simulator.stop(SIMULATOR_STOP_SECONDS)
        self.hub.loop_watch.stop()
        log.info("stopped in %.1f s", time.monotonic() - begun)


def counted_as(address: str, trusted: Sequence[Network]) -> str | None:
    """Return as whom a connection's peer counts: an address, of IPv6 a network; None for a proxy of ours."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:  # as a socket for both shows it
        found = found.ipv4_mapped
    return None if any(found in network for network in trusted) else who(address)


def start_simulator(settings: Settings) -> SimulatorProcess:
    """Start the simulated exchange that the settings describe."""
    if settings.simulate_replay:
        source = ["--replay", *settings.simulate_replay, "--speed", settings.simulate_speed]
    else:
        source = ["--products", str(settings.simulate_products), "--rate", f"{settings.simulate_rate:g}"]
    return launch([*source, "--seed", str(settings.simulate_seed), "--quote", settings.quote_currencies[0]])


def on_simulator(settings: Settings, simulator: SimulatorProcess) -> Settings:
    """Return the settings with the simulator's addresses."""
    return settings.replace(
        ws_url=simulator.ws_url, rest_url=simulator.rest_url, ws_dialect="exchange",
        advanced_trade_ws_url=simulator.advanced_trade_ws_url,
        advanced_trade_rest_url=simulator.advanced_trade_rest_url,
    )  # fmt: skip


def examine(settings: Settings, sources: Mapping[str, str]) -> int:
    """Run the doctor, on a simulator where the settings want one; return the exit status."""
    logs.configure("CRITICAL")  # the doctor says itself what is wrong
    if not settings.simulate:
        return doctor.examine(settings, sources)
    simulator = start_simulator(settings)
    try:
        return doctor.examine(on_simulator(settings, simulator), sources)
    finally:
        simulator.stop(SIMULATOR_STOP_SECONDS)


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; return the exit status (2: wrong settings, 1: can't run)."""
    try:
        loaded = load(arguments, os.environ, Path(".env"))
    except SettingsError as error:
        print("The settings can't be run:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    if loaded.check_config:
        print(loaded.describe())
        return 0
    settings = loaded.settings
    if loaded.doctor:
        return examine(settings, loaded.sources)
    logs.configure(settings.log_level, settings.log_format)
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.append(number))
    try:
        sock = green.listen(settings.host, settings.port)
    except OSError as error:
        log.error("Can't listen on %s:%d: %s", settings.host, settings.port, error)
        return 1
    try:
        service = Service(settings, loaded.sources)
    except RuntimeError as error:
        log.error("Can't start: %s", error)
        return 1
    service.start()
    server = threading.Thread(target=green.serve, args=(sock, service.app, service.door), name="http", daemon=True)
    server.start()
    _announce(service, sock.getsockname()[1])
    while not signals and server.is_alive():
        time.sleep(SIGNAL_POLL_SECONDS)
    status = 0 if signals else 1
    service.drain(lambda: signals != [signal.SIGTERM])  # a person at the keyboard, or a second signal, is in a hurry
    green.stop_listening(sock)
    service.stop()
    server.join(REQUESTS_SECONDS)
    return status


def _announce(service: Service, port: int) -> None:
    settings = service.settings
    host = "localhost" if settings.host in ("0.0.0.0", "::", "127.0.0.1") else settings.host
    what = "SIMULATED prices" if settings.simulate else "live prices"
    logs.say(f"Price Hub serves {what} at http://{host}:{port}/dashboard")
    service.show_token()
