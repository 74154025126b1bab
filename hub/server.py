"""The hub as a process: settings, simulator if asked for, hub, web server, and a stop that tells everybody."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hub import doctor, green, logs
from hub.config import SettingsError, load
from hub.hub import PriceHub
from hub.settings import Settings
from hub.simulator.launch import SimulatorProcess, launch
from hub.web.app import create_app
from hub.web.events import tell_clients_of_stop

SIGNAL_POLL_SECONDS = 0.2  # a signal only sets a flag, which an idle loop would not look at by itself
STOP_SECONDS = 6.0  # one deadline over all of it; whoever stops us kills after 8 to 10
TELL_CLIENTS_SECONDS = 2.0
SIMULATOR_STOP_SECONDS = 1.0
log = logging.getLogger("hub")


class Service:
    """A running hub behind its WSGI application; what both entry points share."""

    def __init__(self, settings: Settings) -> None:
        self.simulator = start_simulator(settings) if settings.simulate else None
        self.made_up_token: str | None = None
        if self.simulator is not None:
            if not settings.admin_token:
                self.made_up_token = secrets.token_urlsafe(18)
            settings = on_simulator(settings, self.simulator)
            settings = settings.replace(admin_token=settings.admin_token or self.made_up_token)
        self.settings = settings
        self.hub = PriceHub(settings)
        self.app, self.socketio = create_app(self.hub, self.simulator.control if self.simulator is not None else None)
        self._stopped = threading.Lock()

    def show_token(self) -> None:
        """Print the admin token that was made up, if one was; one that was set is never shown."""
        if self.made_up_token is not None:
            print(f"Token for actions and drills, until it stops: {self.made_up_token}", flush=True)

    def start(self) -> None:
        """Start the feed; in a web server that forks, call it after the fork."""
        green.raise_descriptor_limit()
        self.hub.start()

    def stop(self) -> None:
        """Stop the feed, send what is gathered, tell the clients so that they reconnect. Idempotent."""
        if not self._stopped.acquire(blocking=False):
            return
        begun = time.monotonic()
        self.hub.stop(STOP_SECONDS - TELL_CLIENTS_SECONDS - SIMULATOR_STOP_SECONDS)
        tell_clients_of_stop(self.socketio, TELL_CLIENTS_SECONDS)
        if self.simulator is not None:
            self.simulator.stop(SIMULATOR_STOP_SECONDS)
        log.info("stopped in %.1f s", time.monotonic() - begun)


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
    logs.configure(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        sock = green.listen(settings.host, settings.port)
    except OSError as error:
        print(f"Can't listen on {settings.host}:{settings.port}: {error}", file=sys.stderr)
        return 1
    try:
        service = Service(settings)
    except RuntimeError as error:
        print(f"Can't start: {error}", file=sys.stderr)
        return 1
    service.start()
    server = threading.Thread(target=green.serve, args=(sock, service.app), name="http", daemon=True)
    server.start()
    _announce(service, sock.getsockname()[1])
    while not stop.is_set() and server.is_alive():
        time.sleep(SIGNAL_POLL_SECONDS)
    with contextlib.suppress(OSError):
        sock.close()
    service.stop()
    return 0 if stop.is_set() else 1


def _announce(service: Service, port: int) -> None:
    settings = service.settings
    host = "localhost" if settings.host in ("0.0.0.0", "::", "127.0.0.1") else settings.host
    what = "SIMULATED prices" if settings.simulate else "live prices"
    print(f"Price Hub serves {what} at http://{host}:{port}/dashboard", flush=True)
    service.show_token()
