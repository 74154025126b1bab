"""The bare receiver: websocket-client on eventlet and the hub's parser, and nothing behind it.

Run:  python -m benchmarks.sides.ingest_bare REST_URL WS_URL PRODUCTS_PER_CONNECTION [transport]
→ each half second {"at": monotonic seconds, "frames": so far}

With ``transport`` its frames come through the hub's own transport, which reads ahead and checks lengths.
"""

# ruff: noqa: E402 - the standard library is made green before anything else is imported
from hub import green

green.patch()

import json
import sys
import threading
import time
from collections.abc import Callable

import requests
import websocket

from hub.feed.dialects.exchange import MAX_FRAME_BYTES, ExchangeDialect
from hub.feed.transport import Transport

YIELD_FRAMES = 100  # or one connection would starve the others
counted = [0]
dialect = ExchangeDialect()


def read(receive: Callable[[], bytes]) -> None:
    """Read and parse for ever."""
    frames = 0
    while True:
        dialect.decode(receive())
        counted[0] += 1
        frames += 1
        if frames % YIELD_FRAMES == 0:
            time.sleep(0)


def main() -> None:
    """Subscribe, read, report."""
    rest_url, ws_url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ids = [item["id"] for item in requests.get(f"{rest_url}/products", timeout=10).json()]
    for at in range(0, len(ids), size):
        (request,) = dialect.subscribe(ids[at : at + size])
        if "transport" in sys.argv:
            transport = Transport()
            transport.open(ws_url, MAX_FRAME_BYTES, 10, None, lambda: True)
            transport.send(request)
            receive: Callable[[], bytes] = transport.receive
        else:
            ws = websocket.create_connection(ws_url, skip_utf8_validation=True)  # it would cost more than all else
            ws.send(request)
            receive = ws.recv
        threading.Thread(target=read, args=(receive,), daemon=True).start()
    while True:
        print(json.dumps({"at": time.monotonic(), "frames": counted[0]}), flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
