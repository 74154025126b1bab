"""The hub under gunicorn, one worker:  gunicorn -c docker/gunicorn.conf.py wsgi:app   (see docs/operations.md)."""

from hub import green

green.patch()  # before anything else is imported

import os
from pathlib import Path

from hub import logs
from hub.config import SettingsError, load
from hub.server import Service

try:
    loaded = load([], os.environ, Path(".env"))
except SettingsError as error:
    raise SystemExit("The settings can't be run:\n  " + "\n  ".join(error.problems)) from None
logs.configure(loaded.settings.log_level, loaded.settings.log_format)
service = Service(loaded.settings, loaded.sources)
service.start()
service.show_token()

app = service.app
