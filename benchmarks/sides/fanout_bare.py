"""The limit: a loop that sends the same bytes to the same number of sockets, and nothing else.

Run:  python -m benchmarks.sides.fanout_bare TICKS

It answers the handshake with finished text, so that the same clients may connect. ``GET /go?seconds=S&burst=N&pace=P``:
send N ticks' frames, joined before, to every socket, P ticks a second; wait where one takes no more.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hub.fanout.batch import Message
from hub.wire import text_frame

UPGRADE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    + text_frame(b'0{"sid":"x"}') + text_frame(b'40{"sid":"x"}')
)  # fmt: skip


def send_all(sock: socket.socket, blob: bytes) -> None:
    """Send without blocking; wait where the socket is full."""
    try:
        sent = sock.send(blob)
    except BlockingIOError:
        sent = 0
    while sent < len(blob):
        select.select([], [sock], [])
        sent += sock.send(memoryview(blob)[sent:])


def blobs(burst: int) -> list[bytes]:
    """Return bursts of frames, as many as there are ticks for."""
    messages = [Message("ticker_update", text, product) for text, product in json.loads(Path(sys.argv[1]).read_text())]
    for message in messages:
        message.stamp(f',"sent_at":{int(time.time() * 1000)}')
    frames = [message.frame for message in messages]
    return [b"".join((frames[at:] + frames)[:burst]) for at in range(0, len(frames), burst)]


def go(clients: list[socket.socket], seconds: float, burst: int, pace: float) -> int:
    """Send for so long; return how many ticks."""
    ready, sent = blobs(burst), 0
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + seconds:
        if now < begun + sent / pace:
            time.sleep(begun + sent / pace - now)
        blob = ready[sent // burst % len(ready)]
        for sock in clients:
            send_all(sock, blob)
        sent += burst
    return sent


def main() -> None:
    """Serve until terminated."""
    clients: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock = listener.accept()[0]
            url = urlsplit(sock.recv(65_536).split()[1].decode())
            if url.path == "/socket.io/":
                sock.sendall(UPGRADE)
                sock.recv(65_536)  # what the client asks is answered already
                sock.setblocking(False)
                clients.append(sock)
                continue
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if url.path == "/go":
                body = {"sent": go(clients, float(query["seconds"]), int(query["burst"]), float(query["pace"]))}
            else:
                body = {"clients": len(clients)}
            text = json.dumps(body).encode()
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            sock.close()


if __name__ == "__main__":
    main()
