"""Flask-SocketIO's plain ``emit`` on eventlet, as one would write it:  python -m benchmarks.sides.fanout_emit TICKS

``GET /go?seconds=S&burst=N``: emit N ticks, again once every client's queue is empty.
"""

# ruff: noqa: E402 - the standard library is made green before anything else is imported
import eventlet

eventlet.monkey_patch()

import json
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from eventlet import wsgi
from flask import Flask, request
from flask_socketio import SocketIO

app = Flask(__name__)
socketio = SocketIO(app, async_mode="eventlet", cors_allowed_origins="*")
ticks = cycle([json.loads(text) for text, _ in json.loads(Path(sys.argv[1]).read_text())])


@app.get("/crowd")
def clients() -> dict[str, int]:
    """Return how many there are."""
    return {"clients": len(socketio.server.eio.sockets)}


@app.get("/go")
def go() -> dict[str, Any]:
    """Emit."""
    burst, queues = int(request.args["burst"]), [item.queue for item in socketio.server.eio.sockets.values()]
    sent, end = 0, time.monotonic() + float(request.args["seconds"])
    while time.monotonic() < end:
        for _ in range(burst):
            tick = next(ticks)
            tick["sent_at"] = int(time.time() * 1000)
            socketio.emit("ticker_update", tick)
        sent += burst
        time.sleep(0)
        while not all(queue.empty() for queue in queues):
            time.sleep(0)
    return {"sent": sent}


sock = eventlet.listen(("127.0.0.1", 0), backlog=1024)
print(sock.getsockname()[1], flush=True)
wsgi.server(sock, app, log_output=False, max_size=20_000)
