"""Coinbase's own SDK as the receiver; runs in an environment of its own, and imports nothing of the project's.

Run:  python ingest_sdk.py REST_URL WS_URL PRODUCTS_PER_CONNECTION   → as ``ingest_bare``
"""

from __future__ import annotations

import json
import sys
import time

import requests
from coinbase.websocket import WebsocketResponse, WSClient

counted = [0]


def take(message: str) -> None:
    """Parse as its README says."""
    WebsocketResponse(json.loads(message))
    counted[0] += 1


def main() -> None:
    """Subscribe, report."""
    rest_url, ws_url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ids = [item["id"] for item in requests.get(f"{rest_url}/products", timeout=10).json()]
    clients = []
    for at in range(0, len(ids), size):
        client = WSClient(base_url=ws_url, on_message=take)
        client.open()
        client.ticker(product_ids=ids[at : at + size])
        clients.append(client)
    while True:
        print(json.dumps({"at": time.monotonic(), "frames": counted[0]}), flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
