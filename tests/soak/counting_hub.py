"""The hub, which tells on SIGUSR1 how many greenlets there are.

    python -m tests.soak.counting_hub [the hub's own flags]
"""

from hub import green

green.patch()  # before anything else is imported

import gc
import signal
import sys

from greenlet import greenlet

from hub import server


def tell(*_: object) -> None:
    """Print the count of greenlets that have begun and not ended."""
    gc.collect()
    print(f"greenlets={sum(bool(item) for item in gc.get_objects() if isinstance(item, greenlet))}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    sys.exit(server.main(sys.argv[1:]))
