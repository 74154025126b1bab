"""The exchange's REST interface misbehaving: one kind of error, and nothing is believed."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from hub.feed import rest
from hub.feed.rest import MAX_VALUES, REQUESTS_PER_SECOND, RestClient, RestError

URL = "https://api.example.com"


@pytest.fixture
def exchange() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def client() -> Iterator[RestClient]:
    made = RestClient(URL)
    yield made
    made.close()


def refusal(client: RestClient, path: str = "/products") -> str:
    with pytest.raises(RestError) as caught:
        client.get_json(path)
    text = str(caught.value)
    assert path in text
    assert len(text) < 500
    return text


def test_strict_json_of_a_200(exchange: responses.RequestsMock, client: RestClient) -> None:
    exchange.get(f"{URL}/products", json=[{"id": "BTC-USD"}])
    assert client.get_json("/products") == [{"id": "BTC-USD"}]
    request = exchange.calls[0].request
    assert (request.url, request.headers["User-Agent"]) == (f"{URL}/products", "price-hub")


@pytest.mark.parametrize("status", [201, 301, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503])
def test_any_other_status(exchange: responses.RequestsMock, client: RestClient, status: int) -> None:
    exchange.get(f"{URL}/products", json=[{"id": "BTC-USD"}], status=status)
    with pytest.raises(RestError, match=f"status {status}") as caught:
        client.get_json("/products")
    assert caught.value.status == status


def test_a_body_of_too_many_values(exchange: responses.RequestsMock, client: RestClient) -> None:
    for item, count in ((b"[],", MAX_VALUES), (b"0,", MAX_VALUES), (b"{},", 150_001)):
        body = b"[" + item * count + b"0]"
        exchange.get(f"{URL}/products", body=body)
        assert f"at most {MAX_VALUES} are taken" in refusal(client)
        exchange.reset()
    exchange.get(f"{URL}/products", body=b"[" + b"0," * (MAX_VALUES - 1) + b"0]")
    assert len(client.get_json("/products")) == MAX_VALUES


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(exchange: responses.RequestsMock, client: RestClient, status: int) -> None:
    exchange.get(f"{URL}/products", status=status, headers={"Location": f"{URL}/inside"})
    inside = exchange.get(f"{URL}/inside", json=[{"id": "BTC-USD"}])
    assert f"status {status}" in refusal(client)
    assert inside.call_count == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502</html>", b'[{"id":"BTC-USD"', b'[{"price":NaN}]', b"[1e999]", b'["\xff"]', b"[" * 5_000,
     b"[1][2]"],
)  # fmt: skip
def test_a_body_that_is_no_strict_json(exchange: responses.RequestsMock, client: RestClient, body: bytes) -> None:
    exchange.get(f"{URL}/products", body=body)
    assert "no JSON" in refusal(client)


def test_a_body_that_is_shorter_than_announced(exchange: responses.RequestsMock, client: RestClient) -> None:
    """Cut off where the rest happens to be JSON all the same."""
    exchange.get(f"{URL}/products", body=b"[1,2,3]", headers={"Content-Length": "7000"})
    text = refusal(client)
    assert "cut off" in text or "IncompleteRead" in text


def test_a_body_that_is_too_long(
    exchange: responses.RequestsMock, client: RestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "MAX_BODY_BYTES", 1_000)
    exchange.get(f"{URL}/products", body=json.dumps(["x" * 900]))
    exchange.get(f"{URL}/products/stats", body=json.dumps(["x" * 1_000]))
    assert client.get_json("/products") == ["x" * 900]
    assert "over 1000 bytes" in refusal(client, "/products/stats")


@pytest.mark.parametrize(
    "problem",
    [
        requests.ConnectionError("refused"),
        requests.ReadTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut off"),
        requests.exceptions.SSLError("certificate verify failed"),
        requests.TooManyRedirects("round and round"),
        ConnectionResetError("reset"),
        TimeoutError("no answer"),
        OSError("x" * 10_000),
    ],
)
def test_a_request_that_fails(exchange: responses.RequestsMock, client: RestClient, problem: Exception) -> None:
    exchange.get(f"{URL}/products", body=problem)
    assert type(problem).__name__ in refusal(client)


def test_it_goes_on_after_a_failure(exchange: responses.RequestsMock, client: RestClient) -> None:
    exchange.get(f"{URL}/products", body=OSError("down"))
    exchange.get(f"{URL}/products", json=[1])
    refusal(client)
    assert client.get_json("/products") == [1]


def test_requests_keep_within_the_budget(exchange: responses.RequestsMock, client: RestClient) -> None:
    exchange.get(f"{URL}/products", json=[])
    sent = []
    for _ in range(3):
        client.get_json("/products")
        sent.append(time.monotonic())
    assert sent[-1] - sent[0] >= 2 / REQUESTS_PER_SECOND - 0.02
    assert sent[-1] - sent[0] < 2.0
    assert REQUESTS_PER_SECOND < 10  # the exchange's limit an address


def test_every_request_has_a_timeout(
    exchange: responses.RequestsMock, client: RestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    send = requests.Session.send

    def watched(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        seen.append(options)
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", watched)
    exchange.get(f"{URL}/products", json=[])
    client.get_json("/products")
    connect_seconds, read_seconds = seen[0]["timeout"]
    assert 0 < connect_seconds <= 10
    assert 0 < read_seconds <= 10
    assert seen[0]["verify"] is not False


def test_requests_are_counted_by_what_became_of_them(exchange: responses.RequestsMock, client: RestClient) -> None:
    assert client.requests_left == REQUESTS_PER_SECOND
    exchange.get(f"{URL}/products", json=[])
    exchange.get(f"{URL}/products", status=404)
    exchange.get(f"{URL}/products", body=OSError("down"))
    exchange.get(f"{URL}/products", status=429)
    client.get_json("/products")
    for _ in range(3):
        refusal(client)
    assert client.outcomes == {"ok": 1, "throttled": 1, "failed": 2}
    assert client.requests_left == 0  # the exchange said that it is too much
