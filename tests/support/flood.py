"""A process that asks a hub for routes as fast as it can: ``flood.py PORT SECONDS CONNECTIONS ADDRESS PATH…``.

Each connection keeps alive and takes the paths in turn; one that is closed is opened again. What it prints is JSON: how
many answers there were by status, and how many different bodies.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import sys
import threading
import time
from collections import Counter


class Flood:
    """Connections of one address to a hub on this machine."""

    def __init__(self, port: int, seconds: float, address: str, paths: list[str]) -> None:
        self._port = port
        self._end = time.monotonic() + seconds
        self._address = address
        self._paths = paths
        self.statuses: Counter[int] = Counter()
        self.bodies: set[int] = set()

    def ask_on(self) -> None:
        """Ask on one connection until the time is over."""
        number = random.randrange(len(self._paths))
        connection = http.client.HTTPConnection("127.0.0.1", self._port, 10, source_address=(self._address, 0))
        while time.monotonic() < self._end:
            number += 1
            path = self._paths[number % len(self._paths)].replace("RANDOM", str(random.randrange(1, 10_000)))
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                self.statuses[answer.status] += 1
                if answer.status != 429:
                    self.bodies.add(hash(body))
                continue
            connection.close()
        connection.close()


def main() -> None:
    """Flood, and print what came of it."""
    port, seconds, connections, address, *paths = sys.argv[1:]
    flood = Flood(int(port), float(seconds), address, paths)
    threads = [threading.Thread(target=flood.ask_on) for _ in range(int(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"statuses": flood.statuses, "bodies": len(flood.bodies)}))


if __name__ == "__main__":
    main()
