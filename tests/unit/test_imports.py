"""The directions of the house: who may import whom."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STANDARD = sys.stdlib_module_names
PURE = (
    "sharding", "backoff", "watchdog", "continuity", "subscriber", "policy", "selectors", "sequence", "balance",
    "schedule",
)  # fmt: skip
IMPURE = ("socket", "ssl", "select", "selectors", "asyncio", "threading", "time", "os", "subprocess", "logging",
          "flask", "requests", "eventlet")  # fmt: skip


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, wherever it does; of ``from a import b``: ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            above = parts[: len(parts) - node.level + 1]
            yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)


def read_modules() -> dict[str, set[str]]:
    """Return module → names that it imports, for all of ``hub``, ``app`` and ``wsgi``."""
    found = {}
    for path in [*(ROOT / "hub").rglob("*.py"), ROOT / "app.py", ROOT / "wsgi.py"]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = parts[:-1]
        name = ".".join(package if parts[-1] == "__init__" else parts)
        found[name] = set(imports(ast.parse(path.read_text()), ".".join(package)))
    return found


MODULES = read_modules()


def of_hub(module: str) -> set[str]:
    """Return the modules of the hub that a module imports."""
    found = set()
    for name in MODULES[module]:
        if name in MODULES:
            found.add(name)
        elif (owner := name.rpartition(".")[0]) in MODULES:
            found.add(owner)
    return found


def within(names: set[str], *prefixes: str) -> set[str]:
    return {name for name in names if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)}


def room(name: str) -> list[str]:
    found = sorted(within(set(MODULES), f"hub.{name}"))
    assert found
    return found


def test_the_walk_sees_what_there_is() -> None:
    assert {"hub", "hub.hub", "hub.model", "hub.feed.dialects", "hub.feed.dialects.exchange", "app"} <= set(MODULES)
    assert "hub.feed.backoff" in of_hub("hub.feed.pool")
    assert "hub.feed.watchdog" in of_hub("hub.feed.pool")
    assert {"eventlet", "eventlet.wsgi"} <= MODULES["hub.green"]
    assert set(imports(ast.parse("from . import a\nfrom ..b import c"), "hub.feed")) == {"hub.feed.a", "hub.b.c"}


def test_the_model_imports_nothing_but_the_standard_library() -> None:
    assert of_hub("hub.model") == set()
    assert {name.split(".")[0] for name in MODULES["hub.model"]} <= STANDARD


@pytest.mark.parametrize("module", [*(f"hub.feed.{name}" for name in PURE), *room("feed.dialects"), "hub.trust"])
def test_pure_modules_know_the_model_alone(module: str) -> None:
    own = room("feed.dialects") if "dialects" in module else []
    assert of_hub(module) <= {"hub.model", *own}
    assert not within(MODULES[module], *IMPURE)
    assert {name.split(".")[0] for name in MODULES[module]} <= STANDARD | {"hub", "orjson"}


@pytest.mark.parametrize("module", ["hub.payload", "hub.wire", "hub.sampled", "hub.detect.volume", "hub.detect.health",
                                    "hub.web.origins", "hub.fanout.choice", "hub.fanout.limits",
                                    "hub.doctor.judge"])  # fmt: skip
def test_other_pure_modules_touch_no_clock_and_no_socket(module: str) -> None:
    assert of_hub(module) <= {"hub.model"}
    assert not within(MODULES[module], *IMPURE)


@pytest.mark.parametrize("name", ["batch", "groups", "latest", "outbox"])
def test_what_waits_for_clients_touches_no_clock_and_no_socket(name: str) -> None:
    assert not within(MODULES[f"hub.fanout.{name}"], *IMPURE)


@pytest.mark.parametrize("module", room("feed"))
def test_the_feed_knows_nothing_of_what_comes_after_it(module: str) -> None:
    assert of_hub(module) <= {
        "hub.settings", "hub.logs", "hub.green", "hub.model", "hub.parse", "hub.state_folder", "hub.turns", "hub.wire",
        "hub.worker", *room("feed"),
    }  # fmt: skip


ALLOWED = {
    "hub.fanout": set(),
    "hub.fanout.batch": {"hub.wire"},
    "hub.fanout.groups": {"hub.fanout.batch", "hub.fanout.choice"},
    "hub.fanout.latest": {"hub.fanout.batch", "hub.fanout.choice"},
    "hub.fanout.outbox": {"hub.fanout.batch", "hub.fanout.latest"},
    "hub.fanout.seat": {"hub.fanout.batch", "hub.fanout.choice", "hub.fanout.latest"},
    "hub.fanout.latency": set(),
    "hub.fanout.broadcast": {
        "hub.fanout.batch", "hub.fanout.choice", "hub.fanout.groups", "hub.fanout.latency", "hub.fanout.latest",
        "hub.fanout.seat", "hub.logs", "hub.worker",
    },
    "hub.fanout.priority": {"hub.worker"},
    "hub.fanout.accepted": {"hub", "hub.green"},
    "hub.fanout.session": {"hub.fanout.seat", "hub.fanout.engine", "hub.fanout.limits", "hub.logs"},
    "hub.fanout.client": {
        "hub.fanout.accepted", "hub.fanout.batch", "hub.fanout.choice", "hub.fanout.outbox", "hub.fanout.latest",
        "hub.fanout.seat", "hub.fanout.session", "hub.fanout.engine", "hub", "hub.green", "hub.logs", "hub.wire",
    },
    "hub.fanout.farewell": {"hub.fanout.engine"},
    "hub.fanout.sessions": {"hub.fanout.client"},
    "hub.fanout.pulse": {"hub.fanout.seat", "hub.fanout.client", "hub.fanout.engine"},
    "hub.fanout.namespaces": set(),
    "hub.fanout.engine": {
        "hub.fanout.seat", "hub.fanout.client", "hub.fanout.limits", "hub.fanout.pulse", "hub.fanout.session",
        "hub.fanout.sessions", "hub.logs",
    },
    "hub.book": {"hub.entry", "hub.model", "hub.payload", "hub.trust"},
    "hub.entry": {"hub.feed.continuity", "hub.model", "hub.trust"},
    "hub.ledger": {"hub.model", "hub.payload", "hub.feed.continuity"},
    "hub.journal": {"hub.detect.relayed", "hub.payload"},
    "hub.kept_entry": {"hub.detect.relayed", "hub.journal"},
    "hub.detect.relayed": set(),
    "hub.notes": {"hub.catalogue_keeper", "hub.fanout.priority", "hub.journal", "hub.model", "hub.parse"},
    "hub.rings": {"hub.fanout.latency"},
    "hub.history": {"hub.fanout.latency", "hub.hub", "hub.model", "hub.rings", "hub.summary", "hub.worker"},
    "hub.state_folder": set(),
    "hub.state_file": {"hub", "hub.state_folder"},
    "hub.kept_gap": {"hub.ledger", "hub.model", "hub.parse"},
    "hub.records": {
        "hub", "hub.fanout.latency", "hub.journal", "hub.kept_entry", "hub.logs", "hub.rings", "hub.state_file",
    },
    "hub.store": {
        "hub", "hub.green", "hub.kept_gap", "hub.ledger", "hub.logs", "hub.records", "hub.state_file",
        "hub.state_folder", "hub.worker",
    },
    "hub.past": {
        "hub.book", "hub.feed.repair", "hub.ledger", "hub.model", "hub.records", "hub.settings", "hub.store",
        "hub.watch",
    },
    "hub.watch": {
        "hub.book", "hub.feed.connection", "hub.feed.pool", "hub.feed.repair", "hub.ledger", "hub.logs", "hub.model",
        "hub.notes", "hub.payload", "hub.trust", "hub.worker",
    },
    "hub.catalogue_keeper": {
        "hub.feed.backoff", "hub.feed.catalogue", "hub.feed.product_list", "hub.logs", "hub.payload", "hub.trust",
        "hub.worker",
    },
    "hub.plan": {"hub.hub"},
    "hub.sampled": {"hub.model"},
    "hub.board": {"hub.feed.connection", "hub.hub", "hub.model", "hub.payload", "hub.sampled", "hub.worker"},
    "hub.slots": {"hub.feed.connection", "hub.feed.pool", "hub.hub", "hub.model", "hub.payload"},
    "hub.audience": {"hub.fanout.seat", "hub.fanout.choice", "hub.hub"},
    "hub.metrics": {
        "hub", "hub.fanout.latency", "hub.fanout.seat", "hub.feed.dialects", "hub.feed.dialects.advanced_trade",
        "hub.feed.dialects.exchange", "hub.hub", "hub.logs", "hub.model",
    },
    "hub.services": {"hub.hub", "hub.worker"},
    "hub.sockets": {"hub.audience", "hub.hub", "hub.model"},
    "hub.performance": {"hub.audience", "hub.fanout.latency", "hub.hub", "hub.rings"},
    "hub.explain": {"hub.feed.connection", "hub.hub", "hub.payload"},
    "hub.summary": {
        "hub.detect", "hub.detect.health", "hub.hub", "hub.logs", "hub.lookout", "hub.model", "hub.payload",
    },
    "hub.loop_watch": {"hub", "hub.green", "hub.worker"},
    "hub.worker": set(),
    "hub.logs": {"hub.log_writer"},
    "hub.log_writer": {"hub.green"},
    "hub.config": {"hub", "hub.alerts.targets", "hub.settings", "hub.usage"},
    "hub.usage": {"hub.settings"},
    "hub.doctor.alerts": {
        "hub", "hub.alerts.targets", "hub.doctor", "hub.doctor.judge", "hub.feed", "hub.feed.bounded_socket",
        "hub.feed.dial", "hub.feed.tls", "hub.green", "hub.settings",
    },
    "hub.doctor": {
        "hub.doctor.alerts", "hub.doctor.exchange", "hub.doctor.judge", "hub.doctor.machine", "hub.settings"
    },
    "hub.doctor.judge": set(),
    "hub.doctor.machine": {"hub", "hub.doctor", "hub.doctor.judge", "hub.green", "hub.settings", "hub.state_folder"},
    "hub.doctor.exchange": {
        "hub.config", "hub.doctor", "hub.doctor.judge", "hub.green", "hub.model", "hub.settings", *room("feed")
    },
    "hub.lookout": {"hub.detect.rules", "hub.hub", "hub.model"},
    "hub.detect.spikes": set(),
    "hub.detect.pairs": set(),
    "hub.detect.rules": {
        "hub.detect.health", "hub.detect.pairs", "hub.detect.spikes", "hub.detect.volume", "hub.model",
    },
    "hub.alerts": set(),
    "hub.alerts.breaker": set(),
    "hub.alerts.kept": {"hub.detect.rules"},
    "hub.alerts.targets": {"hub", "hub.parse"},
    "hub.alerts.post": {
        "hub", "hub.alerts.targets", "hub.feed", "hub.feed.bounded_socket", "hub.feed.dial", "hub.feed.tls",
        "hub.green",
    },
    "hub.alerts.words": {"hub.detect.rules", "hub.payload"},
    "hub.alerts.channel": {
        "hub.alerts.breaker", "hub.alerts.post", "hub.detect.rules", "hub.feed.backoff", "hub.logs", "hub.payload",
        "hub.worker",
    },
    "hub.alerts.desk": {
        "hub.alerts", "hub.alerts.channel", "hub.alerts.kept", "hub.alerts.post", "hub.alerts.targets",
        "hub.alerts.words", "hub.detect.rules", "hub.logs", "hub.payload", "hub.settings",
    },
    "hub.settings": {"hub.parse"},
    "hub.parse": set(),
    "hub.green": {"hub.door", "hub.green_connection", "hub.green_http", "hub.green_server"},
    "hub.green_http": set(),
    "hub.green_connection": {"hub", "hub.door", "hub.green_http"},
    "hub.green_server": {
        "hub", "hub.door", "hub.green_connection", "hub.green_http", "hub.logs", "hub.turns",
    },
    "hub.door": set(),
    "hub.gunicorn_worker": {
        "hub", "hub.door", "hub.green", "hub.green_connection", "hub.green_http", "hub.green_server",
    },
}  # fmt: skip


@pytest.mark.parametrize("module", ALLOWED)
def test_a_room_of_its_own_imports_these_and_nothing_else(module: str) -> None:
    assert of_hub(module) <= ALLOWED[module]


@pytest.mark.parametrize("module", [
    "hub.detect.spikes", "hub.detect.rules", "hub.detect.pairs", "hub.detect.relayed", "hub.alerts.breaker",
    "hub.alerts.words",
])  # fmt: skip
def test_what_decides_on_alerts_is_told_the_time_and_opens_nothing(module: str) -> None:
    assert not within(MODULES[module], *IMPURE)


def test_the_book_is_told_the_time_and_opens_nothing() -> None:
    assert within(MODULES["hub.book"], *IMPURE) == {"threading"}  # for its lock


@pytest.mark.parametrize("name", ["batch", "outbox"])
def test_what_waits_for_a_client_is_told_the_time_and_opens_nothing(name: str) -> None:
    assert not within(MODULES[f"hub.fanout.{name}"], *IMPURE)


def test_a_histogram_reads_the_clock_and_no_more() -> None:
    assert within(MODULES["hub.fanout.latency"], *IMPURE) == {"time"}


@pytest.mark.parametrize("name", ["audience", "board", "explain", "lookout", "metrics", "performance", "plan",
                                  "services", "slots", "sockets", "summary"])
def test_to_tell_of_the_hub_needs_it_for_its_types_alone(name: str) -> None:
    (guarded,) = [
        node for node in ast.parse((ROOT / "hub" / f"{name}.py").read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]  # fmt: skip
    names = set(imports(guarded, "hub"))
    pure = within(MODULES[f"hub.{name}"], "hub.feed.dialects")
    assert names == within(MODULES[f"hub.{name}"], "hub.hub", "hub.feed") - pure


@pytest.mark.parametrize("module", [*room("fanout"), *room("detect")])
def test_fanout_and_detect_do_not_know_each_other_or_the_web(module: str) -> None:
    others = "hub.detect" if module.startswith("hub.fanout") else "hub.fanout"
    assert not within(of_hub(module), others, "hub.web", "hub.hub", "hub.server", "hub.simulator")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_the_web_and_the_server_know_the_composition_root(module: str) -> None:
    inner = (
        "hub.hub", "hub.server", "hub.audience", "hub.board", "hub.explain", "hub.flow", "hub.history", "hub.lookout",
        "hub.metrics", "hub.plan", "hub.performance", "hub.services", "hub.slots", "hub.sockets", "hub.summary",
    )  # fmt: skip
    if module in inner or module.startswith("hub.web"):
        return
    if module == "hub":  # on first use of the name, as another test shows
        assert of_hub(module) == {"hub.hub"}
        return
    assert not within(of_hub(module), "hub.hub")
    assert "hub.PriceHub" not in MODULES[module]
    assert "hub.server" not in of_hub(module) or module in ("app", "wsgi")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_eventlet_is_named_in_few_modules(module: str) -> None:
    assert bool(within(MODULES[module], "eventlet")) == module.startswith("hub.green")


@pytest.mark.parametrize("module", room("simulator"))
def test_the_simulator_is_an_exchange_and_no_part_of_the_hub(module: str) -> None:
    rooms = ("hub.book", "hub.feed", "hub.fanout", "hub.detect", "hub.web", "hub.hub", "hub.server", "hub.config",
             "hub.settings", "hub.ledger", "hub.store", "hub.past", "hub.watch", "hub.explain", "hub.plan",
             "hub.summary", "hub.catalogue_keeper", "hub.audience", "hub.board", "hub.sampled",
             "hub.slots", "hub.services", "hub.sockets", "hub.performance")  # fmt: skip
    assert not within(of_hub(module), *rooms)


@pytest.mark.parametrize("entry", ["app.py", "wsgi.py"])
def test_entry_points_patch_before_they_import_anything(entry: str) -> None:
    body = ast.parse((ROOT / entry).read_text()).body
    assert [ast.unparse(node) for node in body[1:3]] == ["from hub import green", "green.patch()"]


def loaded_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_importing_hub_loads_and_patches_nothing() -> None:
    statement = (
        "import socket, threading, time\n"
        "before = (socket.socket, threading.Lock, time.sleep)\n"
        "import hub\n"
        "assert before == (socket.socket, threading.Lock, time.sleep)"
    )
    loaded = loaded_after(statement)
    assert "hub" in loaded
    assert not within(loaded, "eventlet", "flask", "flask_socketio", "socketio", "requests", "hub.hub")


def test_the_pure_modules_load_no_library_of_the_network() -> None:
    loaded = loaded_after(
        "import hub.feed.sharding, hub.feed.dialects, hub.feed.subscriber, hub.feed.policy, hub.feed.sequence\n"
        "import hub.payload, hub.book, hub.ledger"
    )
    assert not within(loaded, "eventlet", "flask", "socketio", "requests", "websocket")


def test_the_in_process_interface_patches_nothing() -> None:
    loaded = loaded_after("from hub import PriceHub\nimport socket\nassert socket.socket.__module__ == 'socket'")
    assert "hub.hub" in loaded
    assert not within(loaded, "flask", "socketio", "eventlet.green.socket")


def test_a_name_that_hub_does_not_have() -> None:
    import hub

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = hub.Nothing
