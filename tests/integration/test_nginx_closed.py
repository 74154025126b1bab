"""What the shipped nginx closes to the world: each way to write each path, and what of the dashboard is left."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator

import pytest
import requests

from tests import nginx
from tests.conftest import ROOT, HubProcess

OUTSIDE = "127.0.0.2"  # loopback, but not one of the addresses that may
CLOSED = (
    "/config", "/metrics", "/performance/metrics", "/services/status", "/websocket/status", "/clients", "/plan",
    "/alerts", "/alerts/test", "/drills", "/connections/conn_000/rotate", "/price/BTC-USD/move",
)  # fmt: skip
OPEN = ("/health", "/status", "/connections", "/prices", "/tickers", "/board", "/signals", "/journal", "/actions")


def spellings(path: str) -> Iterator[str]:
    """The path as nginx, gunicorn or Flask may read it; some are read as another one by all of them."""
    first, last = path[1], path[-1]
    escaped = "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:])
    parts = path.split("/")
    yield from (
        path, path + "/", path + "?a=b", path + "/?a=b", path + "#x", "/" + path, "//" + path, "/." + path,
        "/./." + path, "/x/.." + path, "/x/y/../.." + path, "/%2e" + path, "/x/%2e%2e" + path, "/x/%2E." + path,
        f"/%{ord(first):02x}{path[2:]}", f"/%{ord(first):02X}{path[2:]}", f"{path[:-1]}%{ord(last):02x}",
        escaped, escaped + "/", "%2f".join(parts).replace("%2f", "/", 1), "/%2f" + path[1:], path + "%2f", path + "//",
        path + "/.", path + "/x/..", path + ";a=b", path + "%00", path + "%20", path + "%0a", path.upper(),
        path + ".json", "//".join(parts)[1:], f"/%25{ord(first):02x}{path[2:]}",
        path.replace("/", "\\"), "http://hub" + path,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx.running(tmp_path_factory.mktemp("nginx"), hub.port) as url:
        yield url


@pytest.fixture
def ask(site: str) -> Iterator[Callable[..., tuple[int, bytes]]]:
    """Asks from outside on one connection, with the path as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", int(site.rsplit(":", 1)[1]), 10, (OUTSIDE, 0))
    connection._validate_path = lambda _: None  # type: ignore[attr-defined, method-assign]

    def request(path: str, method: str = "GET", body: str | None = None) -> tuple[int, bytes]:
        connection.request(method, path, body, {"Content-Type": "application/json", "Authorization": "Bearer no-use"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    yield request
    connection.close()


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("path", CLOSED)
def test_no_spelling_of_a_closed_path_is_answered(
    ask: Callable[..., tuple[int, bytes]], prefix: str, path: str
) -> None:
    closed = 0
    for spelling in spellings(prefix + path):
        for method in ("GET", "POST"):
            status, body = ask(spelling, method)
            # not a redirect either: it would tell that there is something
            assert status in (400, 403, 404, 405), (method, spelling, status, body[:200])
            closed += status == 403 and b"Only from inside" in body
    assert closed >= 2 * 22, "nginx knows most of them for what they are"


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_what_clients_ask_for_stays_open(ask: Callable[..., tuple[int, bytes]], prefix: str) -> None:
    for path in OPEN:
        assert ask(prefix + path)[0] == 200, path
    assert ask(prefix + "/alert", "POST", '{"crypto": "BTC-USD"}')[0] == 200
    assert ask(prefix + "/alert/", "POST", '{"crypto": "BTC-USD"}')[0] in (200, 404), "no word of nginx's"
    assert ask(prefix + "/priority-pairs", "DELETE")[0] == 200


def test_from_inside_they_are_answered(site: str) -> None:
    for path in CLOSED[:8]:
        assert requests.get(site + path, timeout=5).status_code == 200, path


def test_the_ingress_closes_the_same() -> None:
    """What has no id in it: an Ingress has no common way to name that."""
    text = (ROOT / "docker/kubernetes/ingress.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"path: (/\S+)", text))
    without_ids = {path for path in CLOSED if "_" not in path and "-" not in path and path != "/alerts/test"}
    assert named == without_ids | {f"/api{path}" for path in without_ids}
