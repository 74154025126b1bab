"""The peer: a hub as one would write it in an afternoon. One loop, plain ``emit``, no checks, no care.

Run:  python -m benchmarks.naive_hub WS_URL REST_URL PORT
"""

import eventlet

eventlet.monkey_patch()

import json
import sys

import requests
import websocket
from flask import Flask, jsonify
from flask_socketio import SocketIO, emit

WS_URL, REST_URL, PORT = sys.argv[1:]
app = Flask(__name__)
socketio = SocketIO(app, async_mode="eventlet", cors_allowed_origins="*")
tickers = {}


@app.get("/health")
def health():
    return jsonify(status="healthy", price_samples=len(tickers))


@socketio.on("connect")
def connect():
    for payload in tickers.values():
        emit("ticker_update", payload)


def feed():
    listed = requests.get(REST_URL + "/products", timeout=10).json()
    ids = [item["id"] for item in listed if item["quote_currency"] == "USD" and item["status"] == "online"]
    ws = websocket.create_connection(WS_URL)
    ws.send(json.dumps({"type": "subscribe", "product_ids": ids, "channels": ["ticker", "heartbeat"]}))
    while True:
        data = json.loads(ws.recv())
        if data["type"] != "ticker":
            continue
        price, opened = float(data["price"]), float(data["open_24h"])
        tickers[data["product_id"]] = payload = {
            "crypto": data["product_id"], "price": price, "bid": float(data["best_bid"]),
            "ask": float(data["best_ask"]), "volume_24h": float(data["volume_24h"]), "price_24h": opened,
            "low_24h": float(data["low_24h"]), "high_24h": float(data["high_24h"]), "price_change_24h": price - opened,
            "price_change_percent_24h": (price - opened) / opened * 100, "last_size": float(data["last_size"]),
            "time": data["time"], "timestamp": data["time"][11:19], "sequence": data["sequence"],
        }  # fmt: skip
        socketio.emit("ticker_update", payload)


socketio.start_background_task(feed)
socketio.run(app, port=int(PORT))
