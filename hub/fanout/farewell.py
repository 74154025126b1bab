"""The hub stops: each client is sent away at a moment of its own, so that they do not all come back at once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.fanout.engine import HubEngine

STEP_SECONDS = 0.05
TURN_CLIENTS = 50  # sent away in one go, before others have their turn
LAST_SECONDS = 1.0  # for those who have not taken all of it when the last was asked to go
log = logging.getLogger(__name__)


def send_away(engine: HubEngine, seconds: float, hurried: Callable[[], bool]) -> None:
    """Have every client go, spread over ``seconds``; wait for the last of them ``LAST_SECONDS`` more.

    It lasts that long even without clients: who asks over HTTP must see that the hub is not ready any more. Once
    ``hurried()``, all that are left go at once.
    """
    clients = list(engine.sockets.values())
    random.shuffle(clients)
    log.info("%d clients are sent away within %g s", len(clients), seconds)
    begun = time.monotonic()
    asked, going = 0, []
    while True:
        passed = time.monotonic() - begun
        done = passed >= seconds or hurried()
        due = len(clients) if done else int(len(clients) * passed / seconds)
        while asked < due:
            upto = min(due, asked + TURN_CLIENTS)
            going += [client for client in clients[asked:upto] if not client.leave()]
            asked = upto
            engine.sleep(0)
        going = [client for client in going if not client.leave()]
        if done:
            break
        engine.sleep(STEP_SECONDS)
    give_up_at = time.monotonic() + LAST_SECONDS
    while going and time.monotonic() < give_up_at:
        engine.sleep(STEP_SECONDS)
        going = [client for client in going if not client.leave()]
    for client in going:
        client.cut_leaving()
