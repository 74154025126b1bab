"""Settings: precedence, sources, every problem in one go, and nothing secret in what is printed."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hub.config import Loaded, SettingsError, load
from hub.detect.rules import KINDS, OPERATIONAL
from hub.settings import ALERT_KINDS, EXCHANGE_REST_URL, EXCHANGE_WS_URL, Settings

A_TOKEN, B_TOKEN = "a-token-of-16-signs", "b-token-of-16-signs"
APP = Path(__file__).resolve().parents[2] / "app.py"
ADVANCED_TRADE_URL = "wss://advanced-trade-ws.coinbase.com"


def read(*arguments: str, env: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Loaded:
    return load(arguments, env or {}, dotenv)


def problems(
    arguments: Sequence[str] = (), env: Mapping[str, str] | None = None, dotenv: Path | None = None
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(arguments, env or {}, dotenv)
    return caught.value.problems


def file_with(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / ".env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read().settings
    assert (settings.host, settings.port) == ("127.0.0.1", 5000)
    assert (settings.monitoring_cryptos, settings.top_usd_pairs, settings.quote_currency) == ((), None, "USD")
    assert settings.products_per_connection == 15
    assert (settings.volume_threshold, settings.window_minutes) == (1.5, 5.0)
    assert (settings.frontend_url, settings.log_level) == ((), "INFO")
    assert (settings.ws_url, settings.rest_url) == (EXCHANGE_WS_URL, EXCHANGE_REST_URL)
    assert settings.dialect == "exchange"
    assert not settings.simulate
    assert "API_TOKENS = (unset)  (default)" in read().describe().splitlines()


def test_check_config_is_asked_for_by_its_flag_alone() -> None:
    assert read().check_config is False
    assert read("--check-config").check_config is True


def test_the_limits_are_those_of_the_exchange() -> None:
    settings = Settings()
    assert settings.connect_interval_ms >= 125
    assert (settings.heartbeat_seconds, settings.missed_heartbeats) == (1.0, 3)
    assert (settings.backoff_base_seconds, settings.backoff_cap_seconds) == (1.0, 60.0)
    assert settings.backoff_reset_seconds == 30.0
    assert settings.connect_timeout_seconds <= 10.0


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    dotenv = file_with(tmp_path, "PORT=1003\nHOST=file.example\nLOG_LEVEL=ERROR\n")
    loaded = read("--port", "1001", env={"PORT": "1002", "HOST": "env.example"}, dotenv=dotenv)
    settings, sources = loaded.settings, loaded.sources
    assert (settings.port, sources["port"]) == (1001, "flag")
    assert (settings.host, sources["host"]) == ("env.example", "environment")
    assert (settings.log_level, sources["log_level"]) == ("ERROR", ".env")
    assert (settings.window_minutes, sources["window_minutes"]) == (5.0, "default")
    assert set(sources) == {item.name for item in dataclasses.fields(Settings)}


@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_value_counts_as_unset_at_every_level(tmp_path: Path, empty: str) -> None:
    dotenv = file_with(tmp_path, "PORT=1003\nHOST=\n")
    loaded = read("--port", empty, env={"PORT": empty, "HOST": empty, "TOP_USD_PAIRS": empty}, dotenv=dotenv)
    assert (loaded.settings.port, loaded.sources["port"]) == (1003, ".env")
    assert (loaded.settings.host, loaded.sources["host"]) == ("127.0.0.1", "default")
    assert (loaded.settings.top_usd_pairs, loaded.sources["top_usd_pairs"]) == (None, "default")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PORT", " 8080 ", 8080),
        ("PORT", "0", 0),
        ("MONITORING_CRYPTOS", " btc-usd, ETH-USD,,btc-USD ", ("BTC-USD", "ETH-USD")),
        ("TOP_USD_PAIRS", "50", 50),
        ("QUOTE_CURRENCY", "eur", "EUR"),
        ("VOLUME_THRESHOLD", "2", 2.0),
        ("WINDOW_MINUTES", "0.5", 0.5),
        ("VOLUME_COOLDOWN_SECONDS", "0", 0.0),
        ("CATALOGUE_REFRESH_SECONDS", "1", 1.0),
        ("FRONTEND_URL", "https://a.example/, http://b.example:8080", ("https://a.example", "http://b.example:8080")),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("REST_URL", "http://localhost:9/", "http://localhost:9"),
        ("API_TOKENS", f"{A_TOKEN}, {B_TOKEN}", (A_TOKEN, B_TOKEN)),
        ("ALLOWED_HOSTS", "Prices.example.com, *.example.org,*,10.0.0.1,[::1]",
         ("prices.example.com", "*.example.org", "*", "10.0.0.1", "::1")),
        ("ADMIN_TOKEN", "0123456789abcdef", "0123456789abcdef"),
        *(("SIMULATE", word, True) for word in ("1", "true", "yes", "on", "ON")),
        *(("SIMULATE", word, False) for word in ("0", "false", "no", "off", "Off")),
        ("SIMULATE_SPEED", "max", "max"),
        ("SIMULATE_SPEED", "20", "20"),
    ],
)
def test_values_are_parsed(name: str, text: str, value: object) -> None:
    loaded = read(env={name: text})
    assert getattr(loaded.settings, name.lower()) == value
    assert loaded.sources[name.lower()] == "environment"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "80.0"),
        ("PORT", "١"),
        ("PORT", "http"),
        ("MONITORING_CRYPTOS", "BTC-USD,BTCUSD"),
        ("MONITORING_CRYPTOS", "BTC-USD;ETH-USD"),
        ("TOP_USD_PAIRS", "0"),
        ("TOP_USD_PAIRS", "ten"),
        ("QUOTE_CURRENCY", "U$D"),
        ("PRODUCTS_PER_CONNECTION", "0"),
        ("VOLUME_THRESHOLD", "0.9"),
        ("VOLUME_THRESHOLD", "nan"),
        ("WINDOW_MINUTES", "inf"),
        ("WINDOW_MINUTES", "0"),
        ("WINDOW_MINUTES", "1e2"),
        ("FRONTEND_URL", "*"),
        ("FRONTEND_URL", "null"),
        ("FRONTEND_URL", "prices.example.com"),
        ("FRONTEND_URL", "https://prices.example.com/app"),
        ("FRONTEND_URL", "https://prices.example.com:port"),
        ("WS_URL", "https://ws-feed.exchange.coinbase.com"),
        ("WS_URL", "wss://"),
        ("WS_URL", "wss://ws-feed.exchange.coinbase.com:99999"),
        ("WS_URL", "wss://name:word@ws-feed.exchange.coinbase.com"),
        ("WS_URL", "wss://name@ws-feed.exchange.coinbase.com"),
        ("WS_URL", "wss://:word@ws-feed.exchange.coinbase.com"),
        ("REST_URL", "ftp://example.com"),
        ("LOG_LEVEL", "LOUD"),
        ("SIMULATE", "maybe"),
        ("SIMULATE_SPEED", "0"),
        ("SIMULATE_SPEED", "fast"),
        ("CONNECT_INTERVAL_MS", "124"),
        ("MISSED_HEARTBEATS", "1"),
        *(("API_TOKENS", text) for text in (",", " , ,", "0123456789abcde", f"{A_TOKEN},b", f"{A_TOKEN} {B_TOKEN}")),
        *((name, " , ") for name in ("FRONTEND_URL", "TRUSTED_PROXIES", "ALLOWED_HOSTS", "PRODUCTS", "WEBHOOK_URL")),
        *((name, "   ") for name in ("API_TOKENS", "ADMIN_TOKEN", "WEBHOOK_URL", "TELEGRAM_BOT_TOKEN")),
        *(("ALLOWED_HOSTS", text) for text in ("https://a.example", "a.example:80", "a.*.example", "*.*.a", "**")),
        *(("ADMIN_TOKEN", text) for text in ("0123456789abcde", "0123456789 abcdef", "0123456789abcdé", "x" * 201)),
        *(("CATALOGUE_REFRESH_SECONDS", text) for text in ("0", "0.9", "-300", "86401", "soon")),
    ],
)
def test_what_makes_no_sense_is_a_problem_that_names_the_setting(name: str, text: str) -> None:
    found = problems(env={name: text})
    assert [problem.split(":")[0] for problem in found] == [name]
    assert "(from environment)" in found[0]


@pytest.mark.parametrize("origin", ["https://name:word@a.example", "http://:80", "http://a b"])
def test_a_configured_origin_that_no_browser_sends_is_a_problem(origin: str) -> None:
    assert "FRONTEND_URL" in problems(env={"FRONTEND_URL": origin})[0]


@pytest.mark.parametrize("origin", ["https://A.example", "https://a.example:443"])
def test_a_configured_origin_gets_the_form_in_which_browsers_send_it(origin: str) -> None:
    assert read(env={"FRONTEND_URL": origin}).settings.frontend_url == ("https://a.example",)


def test_the_scheme_of_a_url_may_have_any_case() -> None:
    assert read(env={"WS_URL": "WSS://ws-feed.exchange.coinbase.com"}).settings.ws_url == EXCHANGE_WS_URL


def test_every_problem_is_named_in_one_go(tmp_path: Path) -> None:
    dotenv = file_with(tmp_path, "WINDOW_MINUTES=never\nnonsense\n")
    found = problems(["--port", "x"], {"LOG_LEVEL": "LOUD", "WS_URL": "ws://h:9"}, dotenv)
    assert sorted(problem.split(":")[0] for problem in found) == [
        ".env line 2", "LOG_LEVEL", "PORT", "WINDOW_MINUTES", "WS_DIALECT",
    ]  # fmt: skip
    with pytest.raises(SettingsError) as caught:
        load(["--port", "x"], {"LOG_LEVEL": "LOUD", "WS_URL": "ws://h:9"}, dotenv)
    text = str(caught.value)
    assert text == "\n".join(found)
    assert "(from flag)" in text
    assert "(from environment)" in text
    assert "(from .env)" in text


def test_a_base_above_the_cap_is_a_problem() -> None:
    env = {"BACKOFF_BASE_SECONDS": "30", "BACKOFF_CAP_SECONDS": "20"}
    assert "BACKOFF_BASE_SECONDS" in problems(env=env)[0]
    assert read(env={**env, "BACKOFF_CAP_SECONDS": "30"}).settings.backoff_base_seconds == 30.0


def test_a_base_above_the_cap_is_a_problem_for_a_simulated_hub_too() -> None:
    problems(env={"SIMULATE": "1", "BACKOFF_BASE_SECONDS": "30", "BACKOFF_CAP_SECONDS": "20"})


# -- the exchange's address and its protocol -----------------------------------------------------------


def test_the_dialect_follows_from_the_host() -> None:
    for host in ("ws-feed.exchange.coinbase.com", "WS-Feed.Exchange.Coinbase.com:443"):
        assert read(env={"WS_URL": f"wss://{host}"}).settings.dialect == "exchange"


@pytest.mark.parametrize(
    ("env", "paths"),
    [
        ({}, {"exchange": EXCHANGE_WS_URL}),
        ({"FEED": "exchange"}, {"exchange": EXCHANGE_WS_URL}),
        ({"FEED": "Advanced_Trade"}, {"advanced_trade": ADVANCED_TRADE_URL}),
        ({"FEED": "both"}, {"exchange": EXCHANGE_WS_URL, "advanced_trade": ADVANCED_TRADE_URL}),
        ({"WS_URL": ADVANCED_TRADE_URL}, {"advanced_trade": ADVANCED_TRADE_URL}),
        ({"WS_URL": ADVANCED_TRADE_URL, "WS_DIALECT": "advanced_trade"}, {"advanced_trade": ADVANCED_TRADE_URL}),
        ({"WS_URL": "ws://localhost:9", "WS_DIALECT": "advanced_trade"}, {"advanced_trade": "ws://localhost:9"}),
        ({"WS_URL": "ws://localhost:9", "WS_DIALECT": "exchange", "FEED": "both", "ADVANCED_TRADE_WS_URL": "ws://h:8"},
         {"exchange": "ws://localhost:9", "advanced_trade": "ws://h:8"}),
    ],
)  # fmt: skip
def test_the_paths_follow_from_the_feed_and_the_url(env: dict[str, str], paths: dict[str, str]) -> None:
    settings = read(env=env).settings
    assert {name: settings.ws_url_of(name) for name in settings.feeds} == paths


@pytest.mark.parametrize(
    "env",
    [
        {"FEED": "exchange", "WS_URL": ADVANCED_TRADE_URL},
        {"FEED": "both", "WS_URL": ADVANCED_TRADE_URL},
        {"FEED": "advanced_trade", "WS_URL": "wss://ws-direct.exchange.coinbase.com"},
        {"FEED": "kraken"},
    ],
)
def test_a_feed_that_does_not_fit_the_url_is_a_problem(env: dict[str, str]) -> None:
    (problem,) = problems(env=env)
    assert problem.startswith("FEED: ")


def test_the_other_path_must_not_lead_to_the_exchange_again() -> None:
    (problem,) = problems(env={"ADVANCED_TRADE_WS_URL": EXCHANGE_WS_URL})
    assert problem.startswith("ADVANCED_TRADE_WS_URL: ")


def test_an_unknown_host_needs_the_dialect() -> None:
    (problem,) = problems(env={"WS_URL": "ws://localhost:9"})
    assert problem.startswith("WS_DIALECT: ")
    assert "'localhost'" in problem
    assert read(env={"WS_URL": "ws://localhost:9", "WS_DIALECT": "Exchange"}).settings.dialect == "exchange"


@pytest.mark.parametrize(
    ("url", "dialect"), [(EXCHANGE_WS_URL, "advanced_trade"), (ADVANCED_TRADE_URL, "exchange"), ("", "advanced_trade")]
)
def test_a_dialect_that_does_not_fit_the_host_is_named(url: str, dialect: str) -> None:
    (problem,) = problems(env={"WS_URL": url, "WS_DIALECT": dialect})
    assert problem.startswith(f"WS_DIALECT: '{dialect}' does not fit WS_URL")


def test_a_dialect_that_nobody_knows_is_a_problem() -> None:
    assert "WS_DIALECT: must be one of" in problems(env={"WS_DIALECT": "kraken"})[0]


def test_the_simulator_brings_its_own_addresses() -> None:
    assert read("--simulate", env={"WS_URL": "ws://localhost:9"}).settings.simulate is True


# -- the file ------------------------------------------------------------------------------------------


def test_the_file_may_hold_comments_quotes_and_exports(tmp_path: Path) -> None:
    text = "# a comment\n\nexport PORT=1003\nHOST='a.example'  # and why\nNOT_OURS=1\r\nLOG_LEVEL=error\r\n"
    settings = read(dotenv=file_with(tmp_path, text)).settings
    assert (settings.port, settings.host, settings.log_level) == (1003, "a.example", "ERROR")


def test_lines_that_are_no_setting_are_named_with_their_number(tmp_path: Path) -> None:
    found = problems(dotenv=file_with(tmp_path, "PORT=1003\nPORT\n# fine\n=5\nTWO WORDS=1\n"))
    assert [problem.split(":")[0] for problem in found] == [".env line 2", ".env line 4", ".env line 5"]


def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    assert problems(dotenv=file_with(tmp_path, b"PORT=\xff\xfe\n"))[0].startswith(".env: can't be read")


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert set(read(dotenv=tmp_path / "nowhere").sources.values()) == {"default"}


# -- what is printed -----------------------------------------------------------------------------------


def test_describe_has_a_line_a_setting_with_its_source_and_no_secret() -> None:
    env = {"API_TOKENS": "canary-1-of-the-clients,canary-2-of-the-clients", "ADMIN_TOKEN": "canary" * 3,
           "MONITORING_CRYPTOS": "BTC-USD,ETH-USD",
           "WS_URL": "wss://host.example/v2/private?key=private", "WS_DIALECT": "exchange"}  # fmt: skip
    lines = read("--port", "1001", env=env).describe().splitlines()
    assert [line.split(" = ")[0] for line in lines] == [item.name.upper() for item in dataclasses.fields(Settings)]
    assert "PORT = 1001  (flag)" in lines
    assert "MONITORING_CRYPTOS = BTC-USD,ETH-USD  (environment)" in lines
    assert "HOST = 127.0.0.1  (default)" in lines
    assert "TOP_USD_PAIRS = (unset)  (default)" in lines
    assert "API_TOKENS = (hidden, 2 set)  (environment)" in lines
    assert "ADMIN_TOKEN = (hidden)  (environment)" in lines  # nor how long it is
    assert "WS_URL = wss://host.example/(hidden)?(hidden)  (environment)" in lines
    assert not any(word in "".join(lines) for word in ("canary", "private"))
    assert "canary" not in repr(read(env=env))
    assert "canary" not in problems(env={"ADMIN_TOKEN": "canary"})[0]
    (problem,) = problems(env={"API_TOKENS": f"{A_TOKEN},canary-of-16-signs-ü"})
    assert "must have 16 to 200" in problem
    assert "canary" not in problem


def test_an_error_never_holds_a_password_of_a_url() -> None:
    for text in ("wss://name:canary@host.example", "https://host.example/v2/canary", "wss:/host/canary", "://canary?a"):
        assert "canary" not in "".join(problems(env={"WS_URL": text, "REST_URL": text.replace("https", "ftp")}))


def test_a_value_that_is_far_too_long_is_cut_in_the_error() -> None:
    assert len(problems(env={"PORT": "9" * 100_000})[0]) < 400


def test_settings_can_not_be_changed() -> None:
    settings = Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
    assert settings.replace(port=1).port == 1
    assert settings.port == 5000


def run_app(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, str(APP), *arguments], env={**clean, **environment}, cwd=tmp_path, capture_output=True,
        text=True, timeout=20, check=False,
    )  # fmt: skip


def test_check_config_prints_the_settings_and_starts_nothing(tmp_path: Path) -> None:
    done = run_app(tmp_path, "--check-config", "--port", "1001", API_TOKENS="canary" * 3, STATE_DIR="kept")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PORT = 1001  (flag)" in done.stdout.splitlines()
    assert "canary" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["--check-config"]])
def test_wrong_settings_end_with_2_and_start_nothing(tmp_path: Path, arguments: list[str]) -> None:
    done = run_app(
        tmp_path, *arguments, PORT="x", WS_URL=ADVANCED_TRADE_URL, FEED="both", API_TOKENS="canary", STATE_DIR="kept"
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "PORT: " in done.stderr
    assert "FEED: " in done.stderr
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_selectors_are_read_in_any_letter_case() -> None:
    env = {"PRODUCTS": " *-usd, btc-eur,TOP:200 ,!doge-USD,!*-usdc,*-* ", "QUOTE_CURRENCY": "usd, eur"}
    settings = read(env=env).settings
    assert settings.products == ("*-USD", "BTC-EUR", "top:200", "!DOGE-USD", "!*-USDC", "*-*")
    assert settings.quote_currencies == ("USD", "EUR")


@pytest.mark.parametrize("bad", ["BTC", "top:0", "top:", "top:99999", "!top:5", "B*-USD", "A-B-C", "!", "*", "top:-1"])
def test_what_is_no_selector(bad: str) -> None:
    (problem,) = problems(env={"PRODUCTS": f"BTC-USD,{bad}"})
    assert problem.startswith("PRODUCTS: must be ids, patterns")
    held = bad if bad.startswith("top") else bad.upper()
    assert problem.split("but holds ")[1].split("; it is")[0] == repr(held)


@pytest.mark.parametrize("other", [{"MONITORING_CRYPTOS": "BTC-USD"}, {"TOP_USD_PAIRS": "5"}])
def test_selectors_and_an_older_way_to_choose_are_a_conflict(other: dict[str, str]) -> None:
    (problem,) = problems(env={"PRODUCTS": "*-USD", **other})
    assert problem == f"PRODUCTS: can't be combined with {next(iter(other))}: unset one of the two"


@pytest.mark.parametrize("bad", ["USD;EUR", "US D", ",", "USD-EUR"])
def test_what_is_no_list_of_currencies(bad: str) -> None:
    assert problems(env={"QUOTE_CURRENCY": bad})[0].startswith("QUOTE_CURRENCY: must be one currency code")


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"WEBHOOK_URL": "https://hooks.slack.com/services/a/b, https://discord.com/api/webhooks/1?wait=true"}, []),
        ({"WEBHOOK_URL": "http://bridge:9000/hook", "WEBHOOK_ALLOWED_HOSTS": "Bridge., 10.0.0.5, [0:0::1]"}, []),
        ({"WEBHOOK_URL": "http://bridge:9000/canary"}, ["WEBHOOK_URL"]),
        ({"WEBHOOK_URL": "https://0x7f.1/canary"}, ["WEBHOOK_URL"]),
        ({"WEBHOOK_URL": "hooks.slack.com/canary"}, ["WEBHOOK_URL"]),
        ({"WEBHOOK_URL": "https://name:canary@hooks.slack.com/"}, ["WEBHOOK_URL"]),
        ({"WEBHOOK_ALLOWED_HOSTS": "http://bridge"}, ["WEBHOOK_ALLOWED_HOSTS"]),
        ({"WEBHOOK_ALLOWED_HOSTS": "2130706433"}, ["WEBHOOK_ALLOWED_HOSTS"]),
        ({"TELEGRAM_BOT_TOKEN": "123456:ABC-DEF1234ghIkl", "TELEGRAM_CHAT_ID": "-100123"}, []),
        ({"TELEGRAM_BOT_TOKEN": "123456:ABC-DEF1234ghIkl"}, ["TELEGRAM_BOT_TOKEN, TELEGRAM_CHAT_ID"]),
        ({"TELEGRAM_BOT_TOKEN": "canary/../x", "TELEGRAM_CHAT_ID": "1"},
         ["TELEGRAM_BOT_TOKEN", "TELEGRAM_BOT_TOKEN, TELEGRAM_CHAT_ID"]),
        ({"TELEGRAM_CHAT_ID": "somebody"}, ["TELEGRAM_CHAT_ID"]),
        ({"TELEGRAM_API_URL": "http://127.0.0.1:8081"}, ["TELEGRAM_API_URL"]),
        ({"ALERTS": "Volume,price"}, []),
        ({"ALERTS": "none"}, []),
        ({"ALERTS": "none,volume"}, ["ALERTS"]),
        ({"ALERTS": "weather"}, ["ALERTS"]),
        ({"PRICE_SPIKE_PERCENT": "-5"}, ["PRICE_SPIKE_PERCENT"]),
    ],
)  # fmt: skip
def test_where_alerts_go_is_checked_at_the_start(env: dict[str, str], named: list[str]) -> None:
    found = problems(env=env) if named else []
    assert [problem.split(":")[0] for problem in found] == named
    assert "canary" not in str(found)
    if not named:
        settings = read(env=env).settings
        assert settings.webhook_allowed_hosts in ((), ("bridge", "10.0.0.5", "::1"))
        assert settings.alerts == (("volume", "price") if env.get("ALERTS") == "Volume,price" else
                                   () if env.get("ALERTS") == "none" else Settings().alerts)  # fmt: skip


def test_the_kinds_of_alerts_are_those_that_the_rules_know() -> None:
    assert ALERT_KINDS == KINDS
    assert Settings().alerts == OPERATIONAL
