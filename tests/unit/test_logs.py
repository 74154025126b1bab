"""Logs: one line an event that nobody can forge, one line a second a reason."""

import io
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from hub.logs import FORMAT, MAX_KEYS, Cooldown, JsonLine, OneLine, configure


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger of its own; ``log.stream`` holds what it wrote."""
    made = logging.Logger("hub.test")
    made.stream = io.StringIO()  # type: ignore[attr-defined]
    handler = logging.StreamHandler(made.stream)  # type: ignore[attr-defined]
    handler.setFormatter(OneLine(FORMAT))
    made.addHandler(handler)
    yield made
    handler.close()


def lines(log: logging.Logger) -> list[str]:
    return log.stream.getvalue().splitlines()  # type: ignore[attr-defined]


class Clock:
    """Tells the time that it was set to."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("text", ["a\r\nb", "a\nb", "a\x1b[31mb", "a\x00b", "a\u2028b", "a\x85b", "a\tb"])
def test_a_text_from_outside_can_not_forge_a_line(log: logging.Logger, text: str) -> None:
    log.warning("frame from outside: %s", text)
    (line,) = lines(log)
    assert line.isprintable()
    assert line.endswith(f"WARNING hub.test frame from outside: {repr(text)[1:-1]}")


def test_what_can_be_printed_stays(log: logging.Logger) -> None:
    log.warning("price=%s 'quoted' back\\slash", "€ 5")
    assert lines(log)[0].endswith("price=€ 5 'quoted' back\\slash")


def raise_with(text: str) -> None:
    raise ValueError(text)


def test_a_bug_is_logged_with_its_traceback(log: logging.Logger) -> None:
    try:
        raise_with("why")
    except ValueError:
        log.exception("bug")
    (line,) = lines(log)
    assert "ERROR hub.test bug | Traceback (most recent call last): | " in line
    assert line.endswith(" |     raise ValueError(text) | ValueError: why")


def test_an_exception_can_not_forge_a_line(log: logging.Logger) -> None:
    try:
        raise_with("x\r\n2026-11-20 01:02:03,456 INFO hub forged")
    except ValueError:
        log.exception("bug")
    assert len(lines(log)) == 1


@pytest.mark.parametrize("text", ["a\r\nb", "a\x1b[31mb", "a\u2028b", "a\x7fb", "\udc80", '","level":"x', "€"])
def test_json_holds_any_text_in_one_line_of_ascii(log: logging.Logger, text: str) -> None:
    log.handlers[0].setFormatter(JsonLine())
    try:
        raise_with(text)
    except ValueError:
        log.exception("refused connection=%s reason=%r: %s", "conn_001", text, text)
    (line,) = lines(log)
    assert line.isascii()
    assert line.isprintable()
    body = json.loads(line)
    assert body["message"] == f"refused connection=conn_001 reason={text!r}: {text}"
    assert (body["connection"], body["reason"]) == ("conn_001", text)
    assert body["traceback"].endswith(f"ValueError: {text}")


def test_json_has_the_time_in_utc_and_the_values_as_they_were(log: logging.Logger) -> None:
    log.handlers[0].setFormatter(JsonLine())
    log.warning("coverage=%.1f%% of products=%d level=%s ok=%s age=%s by %s", 99.5, 3, "forged", True, math.inf, "REST")
    (line,) = lines(log)
    body = json.loads(line)
    assert abs(datetime.fromisoformat(body.pop("time")).timestamp() - time.time()) < 5
    assert body == {
        "level": "WARNING", "logger": "hub.test", "coverage": 99.5, "products": 3, "ok": True, "age": "inf",
        "message": "coverage=99.5% of products=3 level=forged ok=True age=inf by REST",
    }  # fmt: skip


def test_no_line_is_longer_than_a_few_kilobytes(log: logging.Logger) -> None:
    for formatter in (OneLine(FORMAT), JsonLine()):
        log.handlers[0].setFormatter(formatter)
        log.warning("refused detail=%s", "x" * 1_000_000)
    assert all(len(line) < 10_000 for line in lines(log))


def test_the_first_passes_then_one_a_second_that_says_how_many(log: logging.Logger) -> None:
    clock = Clock()
    warn = Cooldown(log, clock)
    for tenth in range(25):
        clock.now = 50.0 + tenth / 10
        warn.warning("bad_price", "refused number=%d", tenth)
    assert [line.split("refused ")[1] for line in lines(log)] == [
        "number=0", "number=10 (and 9 more like it)", "number=20 (and 9 more like it)",
    ]  # fmt: skip


def test_tracebacks_have_their_gate_as_well(log: logging.Logger) -> None:
    warn = Cooldown(log, Clock())
    for number in range(3):
        try:
            raise RuntimeError(f"bug {number}")
        except RuntimeError:
            warn.exception("bug", "a listener raised")
    text = "\n".join(lines(log))
    assert text.count("ERROR") == text.count("Traceback") == 1
    assert "bug 0" in text


def test_reasons_do_not_hold_each_other_back(log: logging.Logger) -> None:
    warn = Cooldown(log, Clock())
    for reason in ("bad_price", "bad_time", "bad_price"):
        warn.warning(reason, "refused reason=%s", reason)
    assert len(lines(log)) == 2


def test_reasons_without_end_share_one_line_a_second(log: logging.Logger) -> None:
    warn = Cooldown(log, Clock())
    for number in range(3 * MAX_KEYS):
        warn.warning(f"reason {number}", "refused")
    assert len(lines(log)) == MAX_KEYS + 1
    assert len(warn._last) + len(warn._held) <= MAX_KEYS + 2


def test_configure_replaces_what_was_there_and_quiets_the_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    root, before, stderr = logging.getLogger(), logging.getLogger().handlers[:], sys.stderr
    level = root.level
    libraries = {name: logging.getLogger(name).level for name in ("urllib3", "engineio", "socketio", "websocket")}
    try:
        configure("DEBUG")
        configure("INFO")
        (handler,) = root.handlers
        assert handler.lock is None, "native threads log, too"
        assert not logging.logThreads, "to name its thread a record takes a lock that eventlet made green"
        assert isinstance(handler.formatter, OneLine)
        configure("INFO", "json")
        assert isinstance(handler.formatter, JsonLine)
        print("past the\nlog", file=sys.stderr)
        handler.flush()
        printed = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        assert [(body["logger"], body["message"]) for body in printed] == [("stderr", "past the"), ("stderr", "log")]
        assert root.level == logging.INFO
        assert {logging.getLogger(name).level for name in libraries} == {logging.WARNING}
        configure("ERROR")
        assert {logging.getLogger(name).level for name in libraries} == {logging.ERROR}
    finally:
        root.handlers[:] = before
        sys.stderr = stderr
        root.setLevel(level)
        for name, was in libraries.items():
            logging.getLogger(name).setLevel(was)
