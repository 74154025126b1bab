"""What operators ask for: the settings without their secrets, the parts and who is to blame, counts and costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub import PriceHub, performance, services, sockets
from hub.config import load, shown
from hub.settings import Settings
from tests.conftest import eventually

SECRETS = {"API_TOKENS": "canary-one-of-clients,canary-two-of-clients", "ADMIN_TOKEN": "canary-three-long"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[PriceHub]:
    """A hub that is not started: no exchange is there."""
    found = PriceHub(Settings(rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9", ws_dialect="exchange",
                              state_dir=str(tmp_path)))  # fmt: skip
    yield found
    found.stop()


def test_secrets_are_not_shown() -> None:
    loaded = load([], SECRETS, None)
    found = shown(loaded.settings, loaded.sources)
    assert "canary" not in repr(found)
    assert found["API_TOKENS"] == {"value": None, "set": True, "secret": True, "source": "environment"}
    assert shown(Settings(), {})["ADMIN_TOKEN"] == {"value": None, "set": False, "secret": True, "source": "default"}


def test_every_setting_is_shown_with_its_source() -> None:
    loaded = load(["--port", "6000"], {"MONITORING_CRYPTOS": "BTC-USD"}, None)
    found = shown(loaded.settings, loaded.sources)
    assert len(found) == len(Settings.__slots__)
    assert found["PORT"] == {"value": 6000, "set": True, "secret": False, "source": "flag"}
    assert found["MONITORING_CRYPTOS"]["value"] == ["BTC-USD"]
    assert found["TOP_USD_PAIRS"] == {"value": None, "set": False, "secret": False, "source": "default"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("wss://host.example/v2/canary", "wss://host.example/(hidden)"),
        ("https://user:canary@host.example:8443/canary", "https://host.example:8443/(hidden)"),
        ("https://host.example/canary?key=canary", "https://host.example/(hidden)?(hidden)"),
        ("https://host.example?key=canary", "https://host.example?(hidden)"),
        ("https://host.example/#canary", "https://host.example/"),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_key(url: str, said: str) -> None:
    assert shown(Settings(ws_url=url), {})["WS_URL"]["value"] == said


def states(hub: PriceHub) -> dict[str, str]:
    return {name: part["state"] for name, part in services.body(hub)["services"].items()}


def test_a_hub_that_does_not_run_is_down(hub: PriceHub) -> None:
    body = services.body(hub)
    assert body["state"] == "down"
    assert body["services"]["catalogue"] == {"state": "down", "reason": "the product list has not been read yet"}
    assert body["services"]["fanout"] == {"state": "down", "reason": "its worker does not run"}
    assert body["services"]["store"]["state"] == "degraded"
    assert not any(worker["alive"] for worker in body["workers"])


def test_alerts_are_off_until_there_is_somebody_to_tell(hub: PriceHub) -> None:
    assert states(hub)["alerts"] == "off"


def test_a_receiver_that_is_given_up_for_now_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = PriceHub(Settings(ws_url="ws://127.0.0.1:9", ws_dialect="exchange", state_dir=str(tmp_path),
                              webhook_url=("https://hook.example/a",)))  # fmt: skip
    assert states(found)["alerts"] == "up"
    monkeypatch.setattr(found.alerts.channels[0]._breaker, "state", lambda _: "open")
    alerts = services.body(found)["services"]["alerts"]
    assert alerts == {"state": "degraded", "reason": "webhook can't be reached"}


def test_a_worker_with_a_bug_is_named(hub: PriceHub, caplog: pytest.LogCaptureFixture) -> None:
    def bug() -> float:
        raise RuntimeError("a bug")

    hub.fanout.worker._step = bug
    hub.start()
    eventually(lambda: hub.fanout.worker.failures, 5)
    found = services.body(hub)["services"]["fanout"]
    assert found == {"state": "degraded", "reason": "its worker met a bug lately: the log has the traceback"}
    assert states(hub)["history"] == "up"
    assert states(hub)["store"] == "up"
    (worker,) = [one for one in services.body(hub)["workers"] if one["name"] == "fanout"]
    assert worker["failures"] >= 1
    assert "bug in worker=fanout" in caplog.text


def test_sockets_are_counted_by_what_became_of_them(hub: PriceHub) -> None:
    hub.counters.update({"lost_silent": 2, "cut_not_reading": 1, "refused_too_many_clients": 3, "new": 9})
    found = sockets.body(hub)
    assert found["exchange"]["lost_by_cause"] == {"silent": 2}
    assert found["clients"]["cut_by_reason"] == {"not_reading": 1}
    assert found["clients"]["refused_by_reason"] == {"too_many_clients": 3}
    assert found["clients"]["by_transport"] == {"websocket": 0, "polling": 0}


def test_performance_is_told_from_the_first_moment(hub: PriceHub, monkeypatch: pytest.MonkeyPatch) -> None:
    body: dict[str, Any] = performance.body(hub)
    assert body["rates"] == {"messages_per_second": None, "ticks_per_second": None}
    assert body["loop_lag_ms"] == {"last": None, "worst_of_5_minutes": None}
    assert 10_000_000 < body["process"]["memory_bytes"] < 4_000_000_000
    assert body["process"]["memory_bytes"] <= body["process"]["memory_peak_bytes"] * 1.1
    monkeypatch.setattr(performance, "STATM", Path("/proc/self/no such file"))
    assert performance.body(hub)["process"]["memory_bytes"] is None
    begun = time.process_time()
    assert performance.body(hub)["process"]["cpu_seconds"] >= round(begun, 2) - 0.01
