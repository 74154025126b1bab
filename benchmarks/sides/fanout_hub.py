"""The hub's fan-out behind its web application, with ticks made here:  python -m benchmarks.sides.fanout_hub TICKS

``GET /go?seconds=S&burst=N``: publish N ticks and flush, again while no client's outbox holds more than a burst or two;
nothing is conflated, since that is far from its limit.
"""

# ruff: noqa: E402 - the standard library is made green before anything else is imported
from hub import green

green.patch()

import json
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from flask import request

from hub.config import load
from hub.hub import PriceHub
from hub.web.app import create_app

ROOM_BYTES = 65_536  # more in an outbox, and the clients are the limit: wait for them
BLOCKED_SECONDS = 0.001  # outbox and socket hold enough for longer than this


def main() -> None:
    """Serve until terminated."""
    texts = cycle(json.loads(Path(sys.argv[1]).read_text()))
    with tempfile.TemporaryDirectory() as state:
        hub = PriceHub(load([], {"STATE_DIR": state}).settings)  # not started: it has no feed
    app, socketio = create_app(hub)
    sockets = socketio.server.eio.sockets

    def go() -> dict[str, Any]:
        burst, clients = int(request.args["burst"]), list(sockets.values())
        publish, flush, sent = hub.fanout.publish, hub.fanout.flush, 0
        end = time.monotonic() + float(request.args["seconds"])
        while time.monotonic() < end:
            for _ in range(burst):
                publish("ticker_update", *next(texts))
            flush()
            sent += burst
            time.sleep(0)
            while any(client.outbox.pending_bytes > ROOM_BYTES for client in clients):
                time.sleep(BLOCKED_SECONDS)
        return {"sent": sent, "conflated": sum(client.outbox.conflated_total for client in clients)}

    app.add_url_rule("/go", view_func=go)
    app.add_url_rule("/crowd", view_func=lambda: {"clients": hub.fanout.client_count})
    hub.fanout.worker.start()
    green.raise_descriptor_limit()
    sock = green.listen("127.0.0.1", 0)
    print(sock.getsockname()[1], flush=True)
    green.serve(sock, app)


if __name__ == "__main__":
    main()
