"""The doctor's look at where alerts go: that each receiver is allowed and reached. Nothing is sent to it."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from hub import green
from hub.alerts.targets import Target, TargetError, addresses_of, target_of
from hub.doctor.judge import Check, Level, ok
from hub.feed import tls
from hub.feed.bounded_socket import SecuredSocket
from hub.feed.dial import TLS_BYTES, TRIES, explain, few
from hub.settings import Settings

REACH_SECONDS = 3.0


def look(settings: Settings) -> list[Check]:
    """Return a line for each receiver; of its URL the host alone is told, the rest may be secret."""
    hosts = settings.webhook_allowed_hosts
    targets = [("webhook", target_of(url, hosts)) for url in settings.webhook_url]
    if settings.telegram_bot_token:
        targets.append(("telegram", target_of(settings.telegram_api_url, hosts)))
    with ThreadPoolExecutor(len(targets) or 1) as threads:
        return list(threads.map(lambda named: _receiver(*named), targets))


def _receiver(name: str, target: Target) -> Check:
    there = f"{target.host}:{target.port}"
    try:
        with green.deadline(REACH_SECONDS):
            _reach(target)
    except TargetError as error:
        return Check(Level.FAIL, name, f"{there}: {error}", "name the host in WEBHOOK_ALLOWED_HOSTS, if it is meant")
    except OSError as error:
        text = explain(error, there).detail
        return Check(Level.FAIL, name, f"can't reach {text}", "no proxy is used for alerts: docs/operations.md, Alerts")
    return ok(name, f"{there} is reached; POST /alerts/test of a running hub tries the rest")


def _reach(target: Target) -> None:
    problem: OSError = OSError("the name has no address")
    for family, address in few(addresses_of(target)):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.settimeout(REACH_SECONDS / TRIES)
                sock.connect(address)
                if target.secure:
                    SecuredSocket(sock, tls.context(), target.host, TLS_BYTES, REACH_SECONDS / TRIES).do_handshake()
                return
        except OSError as error:
            problem = error
    raise problem
