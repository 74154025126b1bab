"""The hub under gunicorn, one worker:  gunicorn -c docker/gunicorn.conf.py wsgi:app   (see docs/operations.md)."""

from hub import green

green.patch()  # before anything else is imported

import os
from pathlib import Path

from hub import logs
from hub.config import SettingsError, load
from hub.server import Service

try:
    settings = load([], os.environ, Path(".env")).settings
except SettingsError as error:
    raise SystemExit("The settings can't be run:\n  " + "\n  ".join(error.problems)) from None
logs.configure(settings.log_level, settings.log_format)
_service = Service(settings)
_service.start()
_service.show_token()

app = _service.app
drain = _service.stop
