"""What somebody may have put into the state folder: the hub starts all the same, soon and small."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from hub import state_file
from hub.simulator.launch import SimulatorProcess, launch
from tests.conftest import HubProcess, eventually

MORE_MB = 32  # than a start with an empty folder takes
LIVE_SECONDS = 15.0  # until /health/live answers: 1 on a quiet machine; where a pipe is opened, for ever
MB = 1_000_000
MANY = "with recursive number(n) as (select 1 union all select n + 1 from number where n < ?) "
ENTRIES = MANY + """
    insert into journal select n,
    json_array(n, 1.7e9 + n, 'alert', 'info', null, 'BTC-USD', printf('%.*c', ?, 'x'), json('{}')) from number
"""
GAPS = MANY + """
    insert into gaps select n, null, json_object('id', n, 'epoch', 'e', 'product', 'BTC-USD', 'connection_id', null,
    'cause', 'sequence', 'first_id', n * 9, 'last_id', n * 9, 'opened_at', 1.7e9, 'missing',
    json_array(json_array(n * 9, n * 9)), 'closed_at', null, 'duration_ms', null, 'healed', null) from number
"""
LAST_IDS = MANY + "insert into last_ids select 'P' || n || '-USD', n from number"
POINTS = MANY + """
    insert into points select 300, unixepoch() - n, printf('{"seconds":1,"values":{},"counts":{"x":"%.*c"}}', ?, 'x')
    from number
"""


def write(path: Path, statement: str, *parameters: int) -> None:
    db = sqlite3.connect(path)
    db.executescript("pragma journal_mode = wal; pragma synchronous = off;" + state_file.SCHEMA)
    with db:
        db.execute(statement, parameters)
    db.close()


def foreign(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("create table gaps (id integer primary key, closed_at real, body text not null)")
    db.execute("create trigger t after insert on gaps begin insert into gaps select id + 1000, 1, body from gaps; end")
    db.commit()
    db.close()


LEDGERS: dict[str, tuple[Callable[[Path], object], bool]] = {  # and whether it is to be set aside
    "pipe": (os.mkfifo, True),
    "pipe_as_wal": (lambda path: os.mkfifo(f"{path}-wal"), True),
    "pipe_as_journal": (lambda path: os.mkfifo(f"{path}-journal"), True),
    "link_to_a_device": (lambda path: path.symlink_to("/dev/zero"), True),
    "link_to_a_file": (lambda path: path.symlink_to(path.parent / "victim"), True),
    "folder": (lambda path: path.mkdir(), True),
    "no_database": (lambda path: path.write_bytes(b"<html>" * 10_000), True),
    "foreign": (foreign, True),
    "journal_of_391_MB": (lambda path: write(path, ENTRIES, 391_000, 900), True),
    "journal_of_240_MB": (lambda path: write(path, ENTRIES, 240_000, 900), False),
    "journal_of_large_rows": (lambda path: write(path, ENTRIES, 60, 4_000_000), True),
    "journal_of_rows_of_1_MB": (lambda path: write(path, ENTRIES, 200, 900_000), False),
    "gaps_of_200_MB": (lambda path: write(path, GAPS, 750_000), False),
    "last_ids_of_100_MB": (lambda path: write(path, LAST_IDS, 2_000_000), False),
    "points_of_200_MB": (lambda path: write(path, POINTS, 80_000, 1_900), False),
}
CATALOGUES: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "link_to_a_device": lambda path: path.symlink_to("/dev/zero"),
    "large": lambda path: path.write_bytes(b'{"as_of":1,"products":[' + b"[" * 20 * MB),
    "deep": lambda path: path.write_bytes(b"[" * 10 * MB),
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with launch(["--products", "60", "--rate", "300"]) as process:
        yield process


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "victim").write_text("of somebody else")
    yield state
    for path in state.iterdir():
        if path.is_file() and not path.is_symlink():
            path.unlink()  # some have hundreds of megabytes


def start(simulator: SimulatorProcess, folder: Path) -> tuple[float, float, HubProcess]:
    """Start a hub; return the seconds until it was alive, its peak of memory until all is well, and the hub."""
    settings = {"WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
                "STATE_DIR": str(folder)}  # fmt: skip
    begun = time.monotonic()
    hub = HubProcess(simulator, settings, [])
    try:
        eventually(lambda: requests.get(hub.url + "/health/live", timeout=5).ok, 20)
        seconds = time.monotonic() - begun
        hub.wait_until_covered()
        eventually(lambda: list(folder.glob("ledger-*.sqlite-wal")), 10)  # and its file is open
        time.sleep(2)  # what it prunes at its first write is pruned
        status = Path(f"/proc/{hub.process.pid}/status").read_text()
    except BaseException:
        hub.stop()
        raise
    return seconds, int(status.split("VmHWM:")[1].split()[0]) / 1024, hub


@pytest.fixture(scope="module")
def usual(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> tuple[float, float]:
    folder = tmp_path_factory.mktemp("usual")
    seconds, memory_mb, hub = start(simulator, folder)
    hub.stop()
    print(f"an empty folder: {seconds:.1f} s, {memory_mb:.0f} MB")
    return seconds, memory_mb


def place(simulator: SimulatorProcess) -> str:
    return simulator.ws_url.partition("//")[2].rstrip("/").replace(":", "_")


def check(name: str, usual: tuple[float, float], seconds: float, memory_mb: float, hub: HubProcess) -> None:
    print(f"{name}: {seconds:.1f} s, {memory_mb:.0f} MB")
    hub.stop()
    assert hub.process.returncode == 0, hub.log()[-3000:]
    assert "Traceback" not in hub.log(), hub.log()[-3000:]
    assert seconds <= LIVE_SECONDS
    assert memory_mb <= usual[1] + MORE_MB


def count(ledger: Path, statement: str) -> int:
    with contextlib.closing(sqlite3.connect(ledger, timeout=10)) as db:
        return int(db.execute(statement).fetchone()[0])


@pytest.mark.parametrize("name", LEDGERS)
def test_a_hostile_ledger(simulator: SimulatorProcess, folder: Path, usual: tuple[float, float], name: str) -> None:
    lay, aside = LEDGERS[name]
    ledger = folder / f"ledger-{place(simulator)}.sqlite"
    lay(ledger)
    seconds, memory_mb, hub = start(simulator, folder)
    eventually(lambda: count(ledger, "select count(*) from last_ids") == 60, 20)  # it keeps what it has to
    check(name, usual, seconds, memory_mb, hub)
    assert (folder / "victim").read_text() == "of somebody else"
    assert bool(list(folder.glob("*.corrupt-*"))) == aside, hub.log()
    assert (".corrupt-" in hub.log()) == aside
    assert count(ledger, "select count(*) from journal") <= 16_000


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_hostile_product_list(
    simulator: SimulatorProcess, folder: Path, usual: tuple[float, float], name: str
) -> None:
    kept = folder / f"catalogue-{place(simulator)}.json"
    CATALOGUES[name](kept)
    seconds, memory_mb, hub = start(simulator, folder)
    check(name, usual, seconds, memory_mb, hub)
    assert not kept.is_symlink()
    assert len(json.loads(kept.read_bytes())["products"]) >= 60, "it is kept anew"
