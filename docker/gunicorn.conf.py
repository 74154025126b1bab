"""gunicorn's settings for the hub:  gunicorn -c docker/gunicorn.conf.py wsgi:app"""

import math
import os
import sys

from hub import logs
from hub.config import SettingsError, load

try:
    _settings = load([], os.environ).settings
except SettingsError as error:
    print(f"The settings can't be used:\n{error}", file=sys.stderr)
    raise SystemExit(2) from None

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
loglevel = _settings.log_level.lower()
logs.configure(_settings.log_level, _settings.log_format)
logger_class = "hub.gunicorn_worker.HubLogger"
worker_class = "hub.gunicorn_worker.EventletWorker"
workers = 1  # named here so that WEB_CONCURRENCY does not reach it; the worker class refuses more
backlog = 4096  # of a crowd that connects at once: past it the kernel has its clients try again after a second
worker_connections = 20_000  # a WebSocket holds one; gunicorn's own 1,000 would starve /health
keepalive = 75  # longer than a proxy keeps its connections, and the time that a request's head may take
limit_request_line = 8190  # as app.py allows
# No header moves a path (SCRIPT_NAME) or sets the scheme: gunicorn would believe this machine, and whatever
# FORWARDED_ALLOW_IPS names. Whose X-Forwarded-For counts is the hub's to judge (TRUSTED_PROXIES).
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
header_map = "drop"  # X_Forwarded_For is no X-Forwarded-For
proxy_protocol = "off"
# A loop that is stuck ends by LOOP_STALL_EXIT_SECONDS, with a word on where; this is for what even that can't see.
_stall = _settings.loop_stall_exit_seconds
timeout = math.ceil(_stall + _settings.drain_seconds) + 10 if _stall else 0
graceful_timeout = math.ceil(_settings.drain_seconds) + 4  # from SIGTERM to the end in less than 8 s, by default

# On a read-only root there is no place for a control socket, and with one worker nothing to control by it.
control_socket_disable = True
# The sign of life goes to memory: a slow disk must not look like a stuck worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # nosec B108


def nworkers_changed(server, new_value, old_value):
    """Undo SIGTTIN: a second worker would be a second hub."""
    if old_value and new_value > 1:
        server.log.warning("The hub runs in one process: it stays at 1 worker.")
        server.num_workers = 1
