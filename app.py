"""Run the hub:  python app.py [--simulate] [--port N] …   (see --help, docs/operations.md)."""

from hub import green

green.patch()  # before anything else is imported

import sys

from hub.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
