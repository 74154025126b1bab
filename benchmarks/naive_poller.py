"""The poller as people write it: one loop over the products, one ticker a request, as fast as the exchange allows.

Run:  python -m benchmarks.naive_poller REST_URL REQUESTS_A_SECOND   → [product, …]; a line on standard input ends it
      → {"rows": [[second of the epoch, product, trade id, price], …], "refused": answers that were no 200}
"""

import json
import select
import sys
import time
from itertools import cycle

import requests

REST_URL, PER_SECOND = sys.argv[1], float(sys.argv[2])
session = requests.Session()
session.trust_env = False
listed = session.get(REST_URL + "/products", timeout=10).json()
ids = [item["id"] for item in listed if item["quote_currency"] == "USD" and item["status"] == "online"]
print(json.dumps(ids), flush=True)
rows, refused, due = [], 0, time.monotonic()
for product_id in cycle(ids):
    due += 1 / PER_SECOND
    if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
        break
    response = session.get(f"{REST_URL}/products/{product_id}/ticker", timeout=10)
    if response.status_code != 200:
        refused += 1
        continue
    body = response.json()
    rows.append((time.time(), product_id, body["trade_id"], body["price"]))
print(json.dumps({"rows": rows, "refused": refused}), flush=True)
