"""Which products there are: from the exchange, from disk, by the settings; never from what can't be believed."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import responses

from hub import catalogue_keeper as keeper_module
from hub.catalogue_keeper import LOOK_AGAIN_SECONDS, RETRY_SECONDS, CatalogueKeeper, Change, changes
from hub.feed.catalogue import (
    BELIEVED_AFTER,
    BELIEVED_AFTER_SECONDS,
    LOOKS_A_VOLUME,
    NO_STATS,
    Catalogue,
    CatalogueSource,
    choose,
)
from hub.feed.product_list import CatalogueError, parse_products, parse_stats
from hub.feed.rest import RestClient, RestError
from hub.hub import PriceHub
from hub.model import MAX_PRODUCTS, Cause, Product
from hub.settings import Settings

URL = "https://api.example.com"
KEPT = "catalogue-api.example.com.json"


def row(product_id: str, status: str = "online", **more: Any) -> dict[str, Any]:
    base, quote = product_id.split("-")
    return {"id": product_id, "base_currency": base, "quote_currency": quote, "status": status,
            "display_name": product_id.replace("-", "/"), "trading_disabled": False, **more}  # fmt: skip


def stats(volume: str, last: str) -> dict[str, Any]:
    return {"stats_24hour": {"open": "1", "high": "2", "low": "1", "last": last, "volume": volume}}


PRODUCTS = [
    row("ADA-USD"), row("BTC-USD"), row("BTC-EUR"), row("ETH-USD"), row("DOGE-USD"),
    row("OLD-USD", "delisted", trading_disabled=True), row("HALT-USD", trading_disabled=True),
]  # fmt: skip
# BTC has the least volume in its own units and the most in USD; DOGE the other way round
STATS = {
    "BTC-USD": stats("10", "90000.5"), "ETH-USD": stats("200", "3000"), "ADA-USD": stats("100000", "0.5"),
    "DOGE-USD": stats("200000", "0.1"), "BTC-EUR": stats("50", "80000"),
}  # fmt: skip


class FixedRest:
    """Answers every path with what it was given; a path without an answer fails. ``asked`` are the paths, in order."""

    def __init__(self, products: object = None, volumes: object = None) -> None:
        self._answers = {"/products": products, "/products/stats": volumes}
        self.asked: list[str] = []

    def get_json(self, path: str) -> object:
        self.asked.append(path)
        if self._answers[path] is None:
            raise RestError(f"GET {path}: status 500")
        return self._answers[path]


def source(tmp_path: Path, products: object = PRODUCTS, volumes: object = STATS, **changes: Any) -> CatalogueSource:
    settings = Settings(**{"rest_url": URL, "state_dir": str(tmp_path / "kept"), **changes})
    return CatalogueSource(FixedRest(products, volumes), settings)  # type: ignore[arg-type]


def ids(catalogue: Catalogue) -> list[str]:
    return [product.id for product in catalogue.products]


# -- what is believed ----------------------------------------------------------------------------------


def test_every_product_is_read_with_its_status() -> None:
    found = {product.id: (product.online, product.delisted) for product in parse_products(PRODUCTS)}
    assert [product_id for product_id, (online, _) in found.items() if online] == [
        "ADA-USD", "BTC-USD", "BTC-EUR", "ETH-USD", "DOGE-USD",
    ]  # fmt: skip
    assert (found["OLD-USD"], found["HALT-USD"]) == ((False, True), (False, False))
    assert parse_products([row("BTC-USD")]) == [Product("BTC-USD", "BTC", "USD")]


@pytest.mark.parametrize("status", ["offline", "internal", "auction", "", "Online"])
def test_every_other_status_is_a_halt(status: str) -> None:
    _, product = parse_products([row("BTC-USD"), row("ETH-USD", status)])
    assert (product.status, product.online, product.delisted) == (status, False, False)


@pytest.mark.parametrize(
    "bad",
    [
        None, 5, "BTC-USD", [], {}, {"id": "ETH-USD"}, row("ETH-USD", id=5), row("ETH-USD", id="eth-usd"),
        row("ETH-USD", id='E"-USD'), row("ETH-USD", status=None), row("ETH-USD", quote_currency=None),
        row("ETH-USD", status="x" * 41), row("ETH-USD", status="off\nline"),
        row("ETH-USD", base_currency=["E"]),
    ],
)  # fmt: skip
def test_a_malformed_entry_costs_itself_alone(bad: object, caplog: pytest.LogCaptureFixture) -> None:
    assert [item.id for item in parse_products([bad, row("BTC-USD")])] == ["BTC-USD"]
    assert "1 of 2 entries are malformed" in caplog.text


@pytest.mark.parametrize(
    "body", [None, [], {}, "products", 5, {"products": PRODUCTS}, [None], [row("BTC-USD", "delisted")]]
)
def test_what_is_no_product_list(body: object) -> None:
    with pytest.raises(CatalogueError):
        parse_products(body)


def test_a_list_that_is_too_long_is_not_looked_at_further() -> None:
    assert len(parse_products([row("BTC-USD")] * MAX_PRODUCTS)) == MAX_PRODUCTS
    with pytest.raises(CatalogueError, match="10001 products, at most 10000"):
        parse_products([row("BTC-USD")] * (MAX_PRODUCTS + 1))
    with pytest.raises(CatalogueError, match="10001 products, at most 10000"):
        parse_stats({f"A{number}-USD": None for number in range(MAX_PRODUCTS + 1)})


def test_volumes_are_in_the_quote_currency() -> None:
    assert parse_stats(STATS).volumes["BTC-USD"] == Decimal("900005.0")
    assert parse_stats(STATS).prices["BTC-USD"] == Decimal("90000.5")
    assert parse_stats({"BTC-USD": {"volume": "2", "last": "3.5"}}).volumes == {"BTC-USD": Decimal("7.0")}


@pytest.mark.parametrize(
    "entry",
    [None, [], "x", {}, stats("NaN", "1"), stats("1", "-1"), stats("1", ""), {"stats_24hour": None},
     {"stats_24hour": {"volume": 5, "last": 5}}, {"stats_24hour": {"volume": "5"}}],
)  # fmt: skip
def test_a_product_without_believable_numbers_has_no_volume(entry: object) -> None:
    found = parse_stats({"BTC-USD": entry, "ETH-USD": stats("2", "3")})
    assert found == ({"ETH-USD": Decimal(6)}, {"ETH-USD": Decimal(3)})


@pytest.mark.parametrize("body", [None, {}, [], "x", 5])
def test_what_are_no_statistics(body: object) -> None:
    with pytest.raises(CatalogueError):
        parse_stats(body)


# -- what is chosen ------------------------------------------------------------------------------------


def chosen(volumes: object = STATS, **changes: Any) -> tuple[list[str], tuple[str, ...]]:
    figures = parse_stats(volumes) if volumes else NO_STATS
    products, unknown = choose(parse_products(PRODUCTS), figures, Settings(**changes))
    return [product.id for product in products], unknown


def test_all_of_the_quote_currency_the_busiest_first() -> None:
    assert chosen() == (["BTC-USD", "ETH-USD", "ADA-USD", "DOGE-USD"], ())
    assert chosen(quote_currency="EUR") == (["BTC-EUR"], ())
    both = ["BTC-EUR", "BTC-USD", "ETH-USD", "ADA-USD", "DOGE-USD"]  # 50 BTC are more than 10, in whatever they cost
    assert chosen(quote_currency="USD,EUR") == (both, ())
    assert chosen(quote_currency="USD,EUR", top_usd_pairs=2) == (both[:2], ())


def test_selectors_choose() -> None:
    assert chosen(products=("top:2",)) == (["BTC-USD", "ETH-USD"], ())
    assert chosen(products=("BTC-*", "!*-EUR", "HALT-USD", "NO-USD")) == (["BTC-USD", "HALT-USD"], ("NO-USD",))
    assert chosen(products=("!BTC-USD",)) == (["ETH-USD", "ADA-USD", "DOGE-USD"], ())
    assert chosen(None, products=("*-USD", "!ADA-USD"))[0] == ["BTC-USD", "DOGE-USD", "ETH-USD"]


def test_the_top_pairs_go_by_volume_times_price() -> None:
    assert chosen(top_usd_pairs=3) == (["BTC-USD", "ETH-USD", "ADA-USD"], ())
    assert chosen(top_usd_pairs=1, quote_currency="EUR") == (["BTC-EUR"], ())
    assert len(chosen(top_usd_pairs=100)[0]) == 4


def test_the_top_pairs_need_volumes() -> None:
    with pytest.raises(CatalogueError, match="TOP_USD_PAIRS"):
        chosen(None, top_usd_pairs=3)
    assert chosen(None)[0] == ["ADA-USD", "BTC-USD", "DOGE-USD", "ETH-USD"]


def test_monitored_products_are_these_and_unknown_ones_are_named() -> None:
    found = chosen(monitoring_cryptos=("ETH-USD", "NO-USD", "BTC-EUR", "OLD-USD", "BTC-USD"))
    assert found == (["BTC-EUR", "BTC-USD", "ETH-USD"], ("NO-USD", "OLD-USD"))


def test_a_monitored_product_may_be_halted_but_not_delisted() -> None:
    assert chosen(monitoring_cryptos=("OLD-USD", "HALT-USD", "BTC-USD")) == (["BTC-USD", "HALT-USD"], ("OLD-USD",))
    assert "HALT-USD" not in chosen(top_usd_pairs=100)[0]


def test_where_everything_is_halted_there_is_nothing_to_choose_but_by_id() -> None:
    halted = parse_products([row("BTC-USD", "offline")])
    with pytest.raises(CatalogueError, match="no online product"):
        choose(halted, NO_STATS, Settings())
    assert choose(halted, NO_STATS, Settings(monitoring_cryptos=("BTC-USD",))) == (tuple(halted), ())


def test_monitored_products_beat_the_top_pairs() -> None:
    assert chosen(monitoring_cryptos=("ADA-USD", "DOGE-USD"), top_usd_pairs=1)[0] == ["ADA-USD", "DOGE-USD"]
    assert chosen(None, monitoring_cryptos=("ADA-USD",), top_usd_pairs=1)[0] == ["ADA-USD"]


# -- from the exchange, else from disk -----------------------------------------------------------------


def test_a_catalogue_of_the_exchange_is_not_old(tmp_path: Path) -> None:
    before = time.time()
    catalogue = source(tmp_path, monitoring_cryptos=("BTC-USD", "NO-USD")).fetch()
    assert (ids(catalogue), catalogue.unknown_ids, catalogue.old) == (["BTC-USD"], ("NO-USD",), False)
    assert before <= catalogue.as_of <= time.time()
    assert catalogue.products[0].volume_24h_quote == Decimal("900005.0")


def test_the_last_good_list_is_used_and_marked_as_old(tmp_path: Path) -> None:
    fetched = source(tmp_path).fetch()
    again = source(tmp_path, None, None, top_usd_pairs=2)
    with pytest.raises(CatalogueError, match="status 500"):
        again.fetch()
    kept = again.load()
    assert (ids(kept), kept.old, kept.as_of) == (["BTC-USD", "ETH-USD"], True, fetched.as_of)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [KEPT]


def test_the_list_on_disk_serves_other_settings_too(tmp_path: Path) -> None:
    source(tmp_path, monitoring_cryptos=("BTC-USD",)).fetch()
    kept = source(tmp_path, monitoring_cryptos=("DOGE-USD", "NO-USD")).load()
    assert (ids(kept), kept.unknown_ids) == (["DOGE-USD"], ("NO-USD",))


@pytest.mark.parametrize("body", [None, [], {}, [row("BTC-USD", "delisted")], "<html>"])
def test_a_list_that_can_not_be_believed_leaves_the_kept_one(tmp_path: Path, body: object) -> None:
    source(tmp_path).fetch()
    before = (tmp_path / "kept" / KEPT).read_bytes()
    with pytest.raises(CatalogueError):
        source(tmp_path, body).fetch()
    assert (tmp_path / "kept" / KEPT).read_bytes() == before


def test_without_statistics_there_is_a_list_but_no_top(tmp_path: Path) -> None:
    assert ids(source(tmp_path, volumes=None).fetch()) == ["ADA-USD", "BTC-USD", "DOGE-USD", "ETH-USD"]
    with pytest.raises(CatalogueError, match="TOP_USD_PAIRS"):
        source(tmp_path, volumes=None, top_usd_pairs=2).fetch()


def test_statistics_that_fail_once_do_not_cost_the_kept_ones(tmp_path: Path) -> None:
    source(tmp_path).fetch()
    source(tmp_path, volumes=None).fetch()
    assert ids(source(tmp_path, top_usd_pairs=2).load()) == ["BTC-USD", "ETH-USD"]


def test_with_neither_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="kept on disk"):
        source(tmp_path).load()


ENTRY = json.dumps(row("BTC-USD"))


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "5", '"x"', "{}", '{"as_of":1}', '{"as_of":1,"products":[]}', "\x00\xff",
        '{"as_of":1,"products":[' + ENTRY + "]}", '{"as_of":null,"products":[' + ENTRY + '],"stats":null}',
        '{"as_of":"x","products":[' + ENTRY + '],"stats":null}', '{"as_of":1,"products":null,"stats":null}',
        '{"as_of":1,"products":[' + ENTRY + '],"stats":[1]}',
    ],
)  # fmt: skip
def test_a_broken_file_is_no_catalogue(tmp_path: Path, text: str) -> None:
    kept = tmp_path / "kept" / KEPT
    kept.parent.mkdir()
    kept.write_text(text, encoding="latin-1")
    with pytest.raises(CatalogueError):
        source(tmp_path).load()


@pytest.mark.parametrize("as_of", ["1e300", "-1e18", '"inf"', '"nan"'])
def test_a_file_of_an_impossible_time_is_no_catalogue(tmp_path: Path, as_of: str) -> None:
    kept = tmp_path / "kept" / KEPT
    kept.parent.mkdir()
    kept.write_text('{"as_of":' + as_of + ',"products":[' + ENTRY + '],"stats":null}')
    with pytest.raises(CatalogueError):
        source(tmp_path).load()


def test_a_file_that_can_not_be_looked_at_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError):
        source(tmp_path, state_dir="x" * 300).load()


def test_a_state_folder_that_can_not_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    reader = source(tmp_path, state_dir=str(blocked / "below"))
    assert len(reader.fetch().products) == 4
    assert "can't be kept" in caplog.text
    with pytest.raises(CatalogueError):
        reader.load()


def test_a_write_that_fails_leaves_no_half_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "kept" / KEPT).mkdir(parents=True)
    assert len(source(tmp_path).fetch().products) == 4
    assert "can't be kept" in caplog.text
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [KEPT]
    with pytest.raises(CatalogueError):
        source(tmp_path).load()


def test_each_exchange_has_a_file_of_its_own(tmp_path: Path) -> None:
    source(tmp_path).fetch()
    with pytest.raises(CatalogueError):
        source(tmp_path, rest_url="http://localhost:8080").load()
    source(tmp_path, rest_url="http://localhost:8080").fetch()
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [KEPT, "catalogue-localhost_8080.json"]


def test_simulated_products_never_get_onto_the_disk(tmp_path: Path) -> None:
    simulated = source(tmp_path, simulate=True)
    assert len(simulated.fetch().products) == 4
    assert not (tmp_path / "kept").exists()
    source(tmp_path).fetch()
    with pytest.raises(CatalogueError):
        simulated.load()


# -- over HTTP -----------------------------------------------------------------------------------------


@pytest.fixture
def exchange() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def fetch_over_http(tmp_path: Path, **changes: Any) -> Catalogue:
    client = RestClient(URL)
    try:
        settings = Settings(rest_url=URL, state_dir=str(tmp_path), **changes)
        return CatalogueSource(client, settings).fetch()
    finally:
        client.close()


def test_it_asks_for_products_and_statistics(exchange: responses.RequestsMock, tmp_path: Path) -> None:
    exchange.get(f"{URL}/products", json=PRODUCTS)
    exchange.get(f"{URL}/products/stats", json=STATS)
    assert ids(fetch_over_http(tmp_path, top_usd_pairs=2)) == ["BTC-USD", "ETH-USD"]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "json": {"message": "Internal server error"}},
        {"status": 429, "json": {"message": "Public rate limit exceeded"}},
        {"status": 302, "headers": {"Location": f"{URL}/other"}},
        {"status": 200, "body": "<html>maintenance</html>"},
        {"status": 200, "body": json.dumps(PRODUCTS)[:-20]},
        {"status": 200, "json": []},
        {"status": 200, "json": {"message": "hello"}},
        {"status": 200, "body": b""},
        {"body": ConnectionResetError("reset")},
    ],
)
def test_a_product_list_that_fails_over_http(
    exchange: responses.RequestsMock, tmp_path: Path, answer: dict[str, Any]
) -> None:
    exchange.get(f"{URL}/products", **answer)
    exchange.get(f"{URL}/other", json=PRODUCTS)
    exchange.get(f"{URL}/products/stats", json=STATS)
    with pytest.raises(CatalogueError):
        fetch_over_http(tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- what the hub says of it ---------------------------------------------------------------------------


def test_the_hub_says_that_its_list_is_old_or_why_it_has_none(tmp_path: Path) -> None:
    settings = Settings(
        ws_url="ws://localhost:9", ws_dialect="exchange", rest_url=URL, state_dir=str(tmp_path / "kept")
    )
    hub = PriceHub(settings)
    hub.pool.stop()  # opens nothing
    keeper = hub.catalogue
    keeper.source = source(tmp_path, products=None)
    assert keeper.step() is not None
    (reason,) = hub.get_health_summary()["reasons"]
    assert "status 500" in reason
    assert "kept on disk" in reason
    source(tmp_path).fetch()
    assert keeper.step() is not None
    reasons = hub.get_health_summary()["reasons"]
    assert any("the product list is old (of 20" in text and "status 500" in text for text in reasons)
    assert hub.book.products == ("BTC-USD", "ETH-USD", "ADA-USD", "DOGE-USD")
    keeper.source = source(tmp_path)
    assert keeper.step() == settings.catalogue_refresh_seconds
    assert not any("old" in text for text in hub.get_health_summary()["reasons"])


class Takers:
    """Remembers every catalogue that it was given."""

    def __init__(self) -> None:
        self.taken: list[Catalogue] = []

    def __call__(self, catalogue: Catalogue) -> None:
        self.taken.append(catalogue)


def test_the_keeper_tries_again_ever_later_and_serves_the_kept_list_once(tmp_path: Path) -> None:
    source(tmp_path).fetch()
    taker = Takers()
    keeper = CatalogueKeeper(source(tmp_path, products=None), taker, 300.0)
    delays = [keeper.step() for _ in range(8)]
    assert all(delay is not None and 0.5 <= delay <= RETRY_SECONDS[1] for delay in delays)
    assert [catalogue.old for catalogue in taker.taken] == [True]
    assert keeper.problem is not None
    assert "the product list is old" in keeper.problem
    keeper.source = source(tmp_path)
    assert keeper.step() == 300.0
    assert [catalogue.old for catalogue in taker.taken] == [True, False]
    assert keeper.problem is None


def test_the_keeper_serves_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    taker = Takers()
    keeper = CatalogueKeeper(source(tmp_path, products=None), taker, 300.0)
    assert keeper.problem == "the product list has not been read yet"
    assert keeper.step() is not None
    assert (taker.taken, keeper.catalogue) == ([], None)
    assert "kept on disk" in (keeper.problem or "")


def test_a_list_without_a_product_that_fits_is_said(tmp_path: Path) -> None:
    keeper = CatalogueKeeper(source(tmp_path, monitoring_cryptos=("NO-USD",)), Takers(), 300.0)
    assert keeper.step() == 300.0
    assert keeper.problem == "no product of the exchange fits the settings"


# -- lists that are suspicious -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [50, 250])
def test_a_list_of_a_suspicious_length_is_believed_only_when_it_stays(tmp_path: Path, count: int) -> None:
    usual = [row(f"C{number}-USD") for number in range(100)]
    odd = [row(f"C{number}-USD") for number in range(count)]
    source(tmp_path, products=usual, volumes={"C0-USD": stats("1", "1")}).fetch()
    doubted, now = source(tmp_path, products=odd, volumes={"C0-USD": stats("1", "1")}), 1_000.0
    doubted._clock = lambda: now
    for _ in range(BELIEVED_AFTER - 1):
        with pytest.raises(CatalogueError, match="not believed yet"):
            doubted.fetch()
        assert len(doubted.load().products) == 100
    now += BELIEVED_AFTER_SECONDS
    assert len(doubted.fetch().products) == count
    assert len(doubted.fetch().products) == count


def test_a_list_that_grows_or_shrinks_a_little_is_believed_at_once(tmp_path: Path) -> None:
    for count in (100, 120, 95):
        products = [row(f"C{number}-USD") for number in range(count)]
        assert len(source(tmp_path, products=products).fetch().products) == count


def test_a_halt_makes_no_list_shorter_and_a_mass_delisting_does(tmp_path: Path) -> None:
    usual = [row(f"C{number}-USD") for number in range(100)]
    source(tmp_path, products=usual).fetch()
    halted = [row(f"C{number}-USD", "offline" if number else "online") for number in range(100)]
    assert len(source(tmp_path, products=halted).fetch().products) == 1
    delisted = [row(f"C{number}-USD", "delisted" if number % 2 else "online") for number in range(100)]
    with pytest.raises(CatalogueError, match="50 products, where the kept list has 100: not believed yet"):
        source(tmp_path, products=delisted).fetch()


# -- read again ----------------------------------------------------------------------------------------


class Again:
    """A keeper that has its first list; ``read`` has it read another one."""

    def __init__(self, tmp_path: Path, **changes: Any) -> None:
        self.taker = Takers()
        self.reader = source(tmp_path, **changes)
        self.keeper = CatalogueKeeper(self.reader, self.taker, 300.0)
        assert self.keeper.step() == 300.0
        self.chosen = ids(self.taker.taken[-1])

    def read(self, products: object) -> dict[str, tuple[str | None, bool]]:
        """Return product → (status, trading_disabled) of those that are not online any more."""
        self.rest = self.reader._rest = FixedRest(products)  # type: ignore[assignment]
        self.delay = self.keeper.step()
        catalogue = self.keeper.catalogue
        assert catalogue is not None
        assert ids(catalogue) == self.chosen
        return {item.id: (item.status, item.trading_disabled) for item in catalogue.products if not item.online}


def other(*changed: dict[str, Any], without: str = "") -> list[dict[str, Any]]:
    """Return the list with some rows changed, and one left out."""
    rows = {item["id"]: item for item in (*PRODUCTS, *changed)}
    return [item for product_id, item in rows.items() if product_id != without]


def test_a_list_that_is_read_again_tells_what_is_halted_or_delisted_with_one_request(tmp_path: Path) -> None:
    again = Again(tmp_path)
    assert again.read(other(row("BTC-USD", "offline"))) == {"BTC-USD": ("offline", False)}
    assert (again.rest.asked, again.delay, again.keeper.problem) == (["/products"], 300.0, None)
    assert again.read(other(row("BTC-USD", trading_disabled=True))) == {"BTC-USD": ("online", True)}
    assert again.read(other(row("BTC-USD", "delisted"))) == {"BTC-USD": ("delisted", False)}
    assert again.read(PRODUCTS) == {}
    assert again.taker.taken[-1].products[0].volume_24h_quote == Decimal("900005.0")  # of the choice


def test_a_malformed_entry_says_nothing_of_its_product(tmp_path: Path) -> None:
    again = Again(tmp_path)
    bad = row("BTC-USD", status=None)
    assert again.read(other(bad)) == {}
    halted = {"BTC-USD": ("offline", False)}
    assert again.read(other(row("BTC-USD", "offline"))) == halted
    assert again.read([*other(bad), None, {"id": ["BTC-USD"]}]) == halted


@pytest.mark.parametrize(
    "body",
    [None, [], {}, "<html>", [row("BTC-USD")], [row(item["id"], "delisted") for item in PRODUCTS],
     PRODUCTS + [row(f"C{number}-USD") for number in range(50)]],
)  # fmt: skip
@pytest.mark.parametrize("simulate", [False, True])  # with a list on disk to compare with, and without
def test_a_failure_or_a_suspicious_list_changes_nothing_but_that_the_list_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: object, simulate: bool
) -> None:
    again = Again(tmp_path, simulate=simulate)
    halted = {"BTC-USD": ("offline", False)}
    assert again.read(other(row("BTC-USD", "offline"))) == halted
    taken = len(again.taker.taken)
    assert again.read(body) == halted
    assert 0.5 <= again.delay <= RETRY_SECONDS[0]
    assert again.keeper.problem is None  # the next may succeed before anybody could have missed it
    monkeypatch.setattr(keeper_module.time, "time", lambda: 1e10)
    assert again.read(body) == halted
    assert again.keeper.problem is None  # a jump of the wall clock makes no list old
    again.keeper._read_at -= 601.0  # two intervals
    assert again.read(body) == halted
    assert (again.keeper.problem or "").startswith("the product list is old (of 20")
    assert len(again.taker.taken) == taken
    assert again.read(PRODUCTS) == {}
    assert again.keeper.problem is None


def test_a_suspicious_list_that_stays_is_believed(tmp_path: Path) -> None:
    again = Again(tmp_path)
    now = 1_000.0
    again.reader._clock = lambda: now
    odd = [row(item) for item in again.chosen[:2]]
    for _ in range(BELIEVED_AFTER):
        assert again.read(odd) == {}
    now += BELIEVED_AFTER_SECONDS
    assert again.read(odd) == {}  # believed, but one list alone delists nobody
    assert set(again.read(odd)) == set(again.chosen[2:])


def test_a_short_outage_of_the_listing_delists_nobody_however_often_it_is_read(tmp_path: Path) -> None:
    again = Again(tmp_path)
    now = 1_000.0
    again.reader._clock = lambda: now
    odd = [row(item) for item in again.chosen[:2]]
    for _ in range(100):
        assert again.read(odd) == {}
        now += (BELIEVED_AFTER_SECONDS - 1.0) / 100
    assert again.read(PRODUCTS) == {}
    for _ in range(BELIEVED_AFTER):  # the time begins anew
        assert again.read(odd) == {}
        now += 2.0


def test_what_one_list_lacks_stays_as_it_was_and_what_two_in_a_row_lack_is_delisted(tmp_path: Path) -> None:
    again = Again(tmp_path)
    gone = {"BTC-USD": (None, False)}
    for _ in range(3):
        assert again.read(other(without="BTC-USD")) == {}
        assert again.read(PRODUCTS) == {}
    assert again.read(other(without="BTC-USD")) == {}
    assert again.read(None) == {}  # a failure is no list
    assert again.read(other(without="BTC-USD")) == gone
    assert again.read(other(without="BTC-USD")) == gone
    assert again.read(PRODUCTS) == {}
    halted = {"BTC-USD": ("offline", False)}
    assert again.read(other(row("BTC-USD", "offline"))) == halted
    assert again.read(other(without="BTC-USD")) == halted
    assert again.read(other(without="BTC-USD")) == gone


def test_lists_that_melt_away_are_not_believed_step_by_step(tmp_path: Path) -> None:
    rows = [row(f"C{number:03d}-USD") for number in range(100)]
    reader, now = source(tmp_path, products=rows), 1_000.0
    reader._clock = lambda: now
    known = reader.fetch()
    for length in (90, 80, 76, 75):
        reader._rest = FixedRest(rows[:length])  # type: ignore[assignment]
        reader.refresh(known)
    reader._rest = FixedRest(rows[:70])  # type: ignore[assignment]
    with pytest.raises(CatalogueError, match="70 products, where the kept list has 100: not believed yet"):
        reader.refresh(known)
    reader._rest = FixedRest(rows[:80])  # type: ignore[assignment]
    for _ in range(BELIEVED_AFTER):  # what stays is the usual one in the end
        reader.refresh(known)
        now += BELIEVED_AFTER_SECONDS / (BELIEVED_AFTER - 1)
    reader._rest = FixedRest(rows[:70])  # type: ignore[assignment]
    reader.refresh(known)


def test_failures_of_long_ago_do_not_slow_the_next_try(tmp_path: Path) -> None:
    again = Again(tmp_path)
    for _ in range(20):
        again.read(None)
        assert again.delay <= RETRY_SECONDS[0]
        again.read(PRODUCTS)


def test_what_is_read_again_is_kept_with_the_statistics(tmp_path: Path) -> None:
    again = Again(tmp_path)
    again.read(other(row("BTC-USD", "offline")))
    kept = source(tmp_path, None, None, top_usd_pairs=2).load()
    assert ids(kept) == ["ETH-USD", "ADA-USD"]
    assert kept.as_of == again.taker.taken[-1].as_of > again.taker.taken[0].as_of


def test_the_log_says_what_is_halted_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    again = Again(tmp_path)
    for _ in range(3):
        again.read(other(row("BTC-USD", "offline"), row("ETH-USD", "delisted")))
    again.read(PRODUCTS)
    again.read(PRODUCTS)
    assert [item.getMessage() for item in caplog.records if "halted" in item.getMessage()] == [
        "halted or delisted: BTC-USD: the exchange says status=offline; ETH-USD: the exchange says status=delisted",
        "halted or delisted: none any more",
    ]


def test_a_list_that_trades_refute_is_read_again_soon_and_not_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(keeper_module.time, "monotonic", lambda: now)
    reader = source(tmp_path)
    rest = reader._rest = FixedRest(PRODUCTS, STATS)  # type: ignore[assignment]
    keeper = CatalogueKeeper(reader, Takers(), 300.0)
    assert keeper.look() == 300.0
    keeper.look_again("BTC-USD")
    now = 101.0
    assert keeper.look() == LOOK_AGAIN_SECONDS - 1.0
    now = 105.0
    assert keeper.look() == 300.0
    now = 111.0
    assert keeper.look() == 294.0  # woken for nothing
    keeper.look_again("BTC-USD")
    assert keeper.look() == 300.0
    rest._answers.clear()
    rest._answers["/products"] = None
    now = 120.0
    keeper.look_again("BTC-USD")
    assert 0.5 <= keeper.look() <= RETRY_SECONDS[0]
    assert rest.asked.count("/products") == 4


def test_the_hub_tells_book_and_pool_and_leaves_the_products_alone(tmp_path: Path) -> None:
    hub = PriceHub(Settings(ws_url="ws://localhost:9", ws_dialect="exchange", rest_url=URL, state_dir=str(tmp_path)))
    hub.pool.stop()  # opens nothing
    set_before: list[object] = []
    hub.pool.set_products = set_before.append  # type: ignore[method-assign]
    reader = hub.catalogue.source = source(tmp_path)
    hub.catalogue.step()
    reader._rest = FixedRest(other(row("BTC-USD", "offline"), without="ETH-USD"))  # type: ignore[assignment]
    hub.catalogue.step()
    assert hub.pool._idle == {"BTC-USD"}
    hub.catalogue.step()
    assert set_before == [("BTC-USD", "ETH-USD", "ADA-USD", "DOGE-USD")]
    assert {change.product_id: change.trust for change in hub.book.review(1.0, 1.0)} == {
        "BTC-USD": "halted", "ETH-USD": "delisted",
    }  # fmt: skip
    assert hub.pool._idle == {"BTC-USD", "ETH-USD"}
    assert hub.get_health_summary()["trust"]["halted"] == 1


# -- products that join and leave ----------------------------------------------------------------------


class Moving:
    """A source whose clock stands until told; ``read`` returns (what is watched, what clients are told)."""

    def __init__(self, tmp_path: Path, **changes: Any) -> None:
        self.now = 1_000.0
        self.reader = source(tmp_path, **changes)
        self.reader._clock = lambda: self.now
        self.catalogue = self.reader.fetch()

    def read(self, products: object, volumes: object = None) -> tuple[list[str], list[tuple[str, str]]]:
        self.rest = self.reader._rest = FixedRest(products, volumes)  # type: ignore[assignment]
        before, self.catalogue = self.catalogue, self.reader.refresh(self.catalogue)
        return ids(self.catalogue), [(event, item) for event, item, _ in changes(before, self.catalogue)]


def test_what_is_listed_anew_joins_when_it_fits(tmp_path: Path) -> None:
    moving = Moving(tmp_path)
    watched, told = moving.read(other(row("NEW-USD"), row("NEW-EUR"), row("NEW2-USD", "offline")))
    assert watched == ["BTC-USD", "ETH-USD", "ADA-USD", "DOGE-USD", "NEW-USD"]
    assert told == [("product_listed", "NEW-USD")]
    assert moving.rest.asked == ["/products"]
    assert moving.read(other(row("NEW-USD"), row("NEW2-USD")))[1] == [("product_listed", "NEW2-USD")]
    assert moving.read(other(row("NEW-USD", "offline"), row("NEW2-USD")))[1] == []  # halted: it stays
    assert "NEW-USD" in ids(moving.catalogue)


def test_what_is_named_and_listed_later_joins_then(tmp_path: Path) -> None:
    moving = Moving(tmp_path, monitoring_cryptos=("BTC-USD", "HALT-USD", "NEW-USD"))
    assert (ids(moving.catalogue), moving.catalogue.unknown_ids) == (["BTC-USD", "HALT-USD"], ("NEW-USD",))
    watched, told = moving.read(other(row("NEW-USD"), row("NEW2-USD")))
    assert (watched, moving.catalogue.unknown_ids) == (["BTC-USD", "HALT-USD", "NEW-USD"], ())
    assert told == [("product_listed", "NEW-USD")]


def test_what_is_delisted_is_shown_for_its_time_and_then_leaves(tmp_path: Path) -> None:
    moving = Moving(tmp_path, monitoring_cryptos=("BTC-USD", "ETH-USD"), delisted_keep_seconds=60.0)
    gone = other(row("BTC-USD", "delisted"))
    assert moving.read(gone) == (["BTC-USD", "ETH-USD"], [("product_delisted", "BTC-USD")])
    assert (moving.catalogue.products[0].delisted, moving.catalogue.unknown_ids) == (True, ())
    moving.now += 59.0
    assert moving.read(gone) == (["BTC-USD", "ETH-USD"], [])
    moving.now += 1.0
    assert moving.read(gone) == (["ETH-USD"], [("product_left", "BTC-USD")])
    assert moving.catalogue.unknown_ids == ("BTC-USD",)
    assert moving.read(gone) == (["ETH-USD"], [])
    assert moving.read(PRODUCTS) == (["BTC-USD", "ETH-USD"], [("product_listed", "BTC-USD")])


def test_what_is_delisted_by_mistake_comes_back_and_begins_anew(tmp_path: Path) -> None:
    moving = Moving(tmp_path, delisted_keep_seconds=60.0)
    gone = other(row("BTC-USD", "delisted"))
    moving.read(gone)
    moving.now += 59.0
    assert moving.read(PRODUCTS)[1] == [("product_listed", "BTC-USD")]
    moving.now += 59.0
    assert moving.read(gone)[1] == [("product_delisted", "BTC-USD")]
    moving.now += 59.0
    assert moving.read(gone)[1] == []


def test_everybody_sees_it_delisted_before_it_leaves_however_short_the_time(tmp_path: Path) -> None:
    moving = Moving(tmp_path, delisted_keep_seconds=0.0)
    gone = other(row("BTC-USD", "delisted"))
    assert moving.read(gone)[1] == [("product_delisted", "BTC-USD")]
    assert moving.read(gone)[1] == [("product_left", "BTC-USD")]


def test_what_trades_does_not_leave_whatever_the_list_says(tmp_path: Path) -> None:
    moving = Moving(tmp_path, delisted_keep_seconds=60.0)
    gone = other(row("BTC-USD", "delisted"))
    moving.read(gone)
    for _ in range(3):
        moving.now += 59.0
        keeper = CatalogueKeeper(moving.reader, Takers(), 300.0)
        keeper.look_again("BTC-USD")
        assert moving.read(gone)[1] == []
    moving.now += 60.0
    assert moving.read(gone)[1] == [("product_left", "BTC-USD")]


def busy(**volumes: int) -> dict[str, Any]:
    return {f"{base}-USD": stats(str(volume), "1") for base, volume in volumes.items()}


def test_the_top_is_ranked_anew_now_and_then_and_does_not_thrash(tmp_path: Path) -> None:
    rows = [row(f"C{number}-USD") for number in range(10)]
    volumes = busy(**{f"C{number}": 100 - number for number in range(10)})
    moving = Moving(tmp_path, products=rows, volumes=volumes, top_usd_pairs=5)
    assert ids(moving.catalogue) == ["C0-USD", "C1-USD", "C2-USD", "C3-USD", "C4-USD"]
    changed = {**volumes, **busy(C5=97, C9=200, C0=1)}  # C5 is now fifth, which is not enough; C9 is the first
    for _ in range(LOOKS_A_VOLUME - 1):
        assert moving.read(rows, changed)[1] == []
        assert moving.rest.asked == ["/products"]
    watched, told = moving.read(rows, changed)
    assert moving.rest.asked == ["/products", "/products/stats"]
    assert set(told) == {("product_listed", "C9-USD"), ("product_left", "C0-USD")}
    assert watched == ["C9-USD", "C1-USD", "C2-USD", "C3-USD", "C4-USD"]


def test_volumes_that_fail_once_leave_the_top_as_it_was(tmp_path: Path) -> None:
    moving = Moving(tmp_path, top_usd_pairs=2)
    for _ in range(LOOKS_A_VOLUME + 2):
        assert moving.read(PRODUCTS, None) == (["BTC-USD", "ETH-USD"], [])
    assert moving.rest.asked == ["/products", "/products/stats"]


@pytest.mark.parametrize("count", [4, 11])
def test_a_suspicious_list_lets_nobody_join_or_leave_until_it_stays(tmp_path: Path, count: int) -> None:
    """Of 6 that are there: half as many, or nearly twice as many."""
    moving = Moving(tmp_path)
    odd = [row("BTC-USD"), *(row(f"N{number}-USD") for number in range(count - 1 if count < 6 else count + 1))]
    for _ in range(BELIEVED_AFTER - 1):
        with pytest.raises(CatalogueError, match="not believed yet"):
            moving.read(odd)
        assert ids(moving.catalogue) == ["BTC-USD", "ETH-USD", "ADA-USD", "DOGE-USD"]
        moving.now += BELIEVED_AFTER_SECONDS
    assert ("product_listed", "N0-USD") in moving.read(odd)[1]


def test_a_kept_list_is_followed_by_the_exchanges_own(tmp_path: Path) -> None:
    source(tmp_path, products=other(row("GONE-USD"), row("HALTS-USD"))).fetch()
    reader = source(tmp_path, products=other(row("HALTS-USD", "offline"), row("NEW-USD")))
    kept = reader.load()
    assert "GONE-USD" in ids(kept)
    first = reader.fetch(kept)
    assert [(event, item) for event, item, _ in changes(kept, first)] == [("product_listed", "NEW-USD")]
    assert {"GONE-USD", "HALTS-USD"} <= set(ids(first))  # one list may be cut off
    second = reader.refresh(first)
    reason = "the exchange does not list it any more"
    assert changes(first, second) == [Change("product_delisted", "GONE-USD", reason)]


def test_the_hub_lets_go_of_what_left_and_tells_everybody(tmp_path: Path) -> None:
    settings = Settings(
        ws_url="ws://localhost:9", ws_dialect="exchange", rest_url=URL, state_dir=str(tmp_path), delisted_keep_seconds=0
    )
    hub = PriceHub(settings)
    hub.pool.stop()  # opens nothing
    told: list[tuple[str, Any]] = []
    for event in ("product_listed", "product_delisted", "product_left"):
        hub.on(event, lambda body, event=event: told.append((event, body)))
    published: list[tuple[str, object]] = []
    hub.fanout.publish = lambda event, _, product=None: published.append((event, product))  # type: ignore[method-assign]
    reader = hub.catalogue.source = source(tmp_path, delisted_keep_seconds=0.0)
    hub.catalogue.step()
    assert told == []
    hub.set_priority_pairs(["BTC-USD", "ETH-USD"])
    (gap,) = hub.ledger.open_ids("BTC-USD", None, Cause.SEQUENCE, (5, 6))
    hub.repair.add("BTC-USD", gap.missing)
    reader._rest = FixedRest(other(row("BTC-USD", "delisted"), row("NEW-USD")))  # type: ignore[assignment]
    hub.catalogue.step()
    assert [(event, body["crypto"], body["reason"]) for event, body in told] == [
        ("product_delisted", "BTC-USD", "the exchange says status=delisted"),
        ("product_listed", "NEW-USD", "it is listed, and fits the settings"),
    ]
    assert hub.book.knows("BTC-USD")
    assert gap.closed_at is None
    told.clear()
    hub.catalogue.step()
    assert [(event, body["crypto"]) for event, body in told] == [("product_left", "BTC-USD")]
    assert set(published) == {(event, None) for event in ("product_listed", "product_delisted", "product_left")}
    assert not hub.book.knows("BTC-USD")
    assert (gap.healed, hub.ledger.open_count(), hub.get_priority_pairs()) == ("not watched", 0, ["ETH-USD"])
    while hub.repair.pending():
        time.sleep(min(0.5, hub.repair.step() or 0.0))
    with pytest.raises(KeyError):
        hub.check_product_id("BTC-USD")
