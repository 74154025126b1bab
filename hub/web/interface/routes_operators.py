"""The routes for those who run the hub: what is in force, what it costs, and the actions."""

from __future__ import annotations

from hub.services import WORST
from hub.web.interface.glossary import one_of, or_null
from hub.web.interface.route import TEXT, Body, Route

TAKEN = "It was begun."
NO_SLOT = {404: "no such slot"}
NO_PRODUCT = {404: "no such product", 409: "no connection could take it"}
STATE = one_of(WORST, "`off`: nobody asked for it.")
COUNTS = {"map": True, "additionalProperties": {"type": "integer"}}

OPERATORS = (
    Route(
        "GET /config", "Operation", "The settings in force", "Config", "Of a secret only whether it is set.",
        notes={
            "version": "The hub's.", "settings": {"map": True, "description": "Name → what is in force."},
            "settings.*.value": {"description": "Null for a secret."}, "settings.*.set": "Whether it has a value.",
            "settings.*.secret": "Whether its value is hidden.",
            "settings.*.source": one_of(("flag", "environment", ".env", "default", "simulator"), "Where it came from."),
        },
    ),
    Route(
        "GET /services/status", "Operation", "The hub's parts", "Services",
        notes={
            "state": STATE, "services": {"map": True, "description": "Part → how it fares."},
            "services.*.state": STATE, "workers": "The hub's own threads.", "workers[].name": "Its thread's.",
            "workers[].alive": "Whether it runs.", "workers[].failures": "Bugs since the start.",
            "workers[].failed_lately": "In the last ten minutes.",
        },
    ),
    Route(
        "GET /websocket/status", "Operation", "The sockets on both sides", "Sockets",
        notes={
            "exchange": "To the exchange.", "exchange.by_status": "How many slots are in which state.",
            "exchange.reconnects_total": "Sockets that were lost, since the start.",
            "exchange.by_path": {"map": True, "description": "Each path of `FEED`."},
            "exchange.lost_by_cause": {**COUNTS, "description": "Since the start."},
            "clients": "Those of Socket.IO.", "clients.by_transport": "How many by which transport.",
            "clients.behind": "How many get the latest of each product only.",
            "clients.cut_by_reason": {**COUNTS, "description": "Since the start."},
            "clients.refused_by_reason": {**COUNTS, "description": "Since the start."},
        },
    ),
    Route(
        "GET /performance/metrics", "Operation", "How fast, how late, how large", "Performance",
        notes={
            "rates": "Of the last second; null at first.", "rates.messages_per_second": {"null": True},
            "rates.ticks_per_second": {"null": True}, "latency": "As `GET /latency`.",
            "loop_lag_ms.last": or_null("number", "Of the last second."),
            "loop_lag_ms.worst_of_5_minutes": or_null("number", "The worst."),
            "process.memory_bytes": or_null("integer", "Resident; null where the system has no /proc."),
            "process.memory_peak_bytes": "Resident, at its most.",
            "process.cpu_seconds": "Since the start.", "process.cpu_cores_mean": or_null("number", "On average."),
            "process.threads": "Most of them green.", "process": "What it costs.", "queues": "What waits.",
            "queues.fanout_events": "For the next flush.", "queues.client_bytes": "For clients to take them.",
            "queues.repair_products": "With trades to be fetched.", "queues.store_changes": "To be written.",
        },
    ),
    Route(
        "GET /metrics", "Operation", "The hub's numbers for Prometheus",
        text="In its text format, or in OpenMetrics where `Accept` asks for it.",
        media=("text/plain", "application/openmetrics-text"),
    ),
    Route(
        "GET /actions", "Actions", "What can be done by hand", "Actions",
        notes={
            "enabled": "Whether there is an `ADMIN_TOKEN`.",
            "drills": "What can be played, with `--simulate`.",
            "drills[].name": "For `POST /drills`.", "drills[].title": "In a few words.",
            "drills[].text": "What there will be to see.",
        },
    ),
    Route(
        "POST /connections/conn_000/reconnect", "Actions", "Open a connection anew", "Done", TAKEN,
        status=202, also=NO_SLOT, admin=True,
    ),
    Route(
        "POST /connections/conn_000/rotate", "Actions", "Replace a connection without a break", "Done", TAKEN,
        status=202, also=NO_SLOT, admin=True,
    ),
    Route(
        "POST /price/BTC-USD/move", "Actions", "Move a product to another connection", "Done", TAKEN,
        status=202, also=NO_PRODUCT, admin=True,
    ),
    Route(
        "POST /price/BTC-USD/resubscribe", "Actions", "Subscribe to a product anew", "Done", TAKEN,
        status=202, also=NO_PRODUCT, admin=True,
    ),
    Route(
        "POST /alerts/test", "Actions", "Send a test alert through every channel", "AlertTest",
        "It answers when that is over, after 8.5 s at the latest.", admin=True,
        also={409: "another test is on: `Retry-After` says for how long"},
        notes={
            "success": "Whether all were sent.", "message": "The same in words.",
            "channels": {"map": True, "additionalProperties": TEXT,
                         "description": "Channel → `sent`, or what was wrong."},
        },
    ),
    Route(
        "POST /drills", "Actions", "Play a drill", "Done", TAKEN, status=202, admin=True,
        body=Body({
            "type": "object", "required": ["drill"],
            "properties": {"drill": {**TEXT, "description": "A name from `GET /actions`."}},
        }, {"drill": "kill"}, "the body names no drill"),
        also={404: "no such drill, or no simulator", 409: "another one is on: `Retry-After` says for how long"},
    ),
)  # fmt: skip
