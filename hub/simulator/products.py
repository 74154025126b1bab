"""The simulated exchange's catalogue: real-looking products, the busiest first."""

from __future__ import annotations

import math
import random
from typing import Any, NamedTuple

# Base currency -> a rough price in USD: those that people know, the busiest first.
KNOWN_PRICES_USD = {
    "BTC": 87_000.0, "ETH": 2_900.0, "SOL": 134.0, "XRP": 2.1, "DOGE": 0.147, "ADA": 0.41, "LINK": 12.6, "LTC": 84.0,
    "SUI": 1.55, "AVAX": 13.4, "HBAR": 0.145, "XLM": 0.25, "BCH": 540.0, "ZEC": 520.0, "SHIB": 0.0000085,
    "PEPE": 0.0000045, "UNI": 6.1, "AAVE": 175.0, "DOT": 2.3, "ONDO": 0.5, "NEAR": 1.9, "TAO": 280.0, "HYPE": 33.0,
    "BNB": 860.0, "ICP": 4.1, "ENA": 0.27, "USDT": 0.9998, "ETC": 13.5, "FIL": 1.6, "ATOM": 2.5, "ALGO": 0.14,
    "ARB": 0.21, "OP": 0.31, "RENDER": 1.8, "INJ": 5.8, "FET": 0.27, "TIA": 0.6, "SEI": 0.14, "APT": 2.4,
    "STX": 0.32, "IMX": 0.3, "GRT": 0.05, "LDO": 0.65, "BONK": 0.0000095, "WIF": 0.36, "FLOKI": 0.000045,
    "PENGU": 0.011, "TRUMP": 6.0, "FARTCOIN": 0.3, "JTO": 0.45, "JASMY": 0.007, "HNT": 2.2, "QNT": 75.0,
    "DASH": 60.0, "MKR": 1_400.0, "COMP": 32.0, "CRV": 0.4, "SNX": 0.5, "YFI": 4_000.0, "XTZ": 0.5, "EOS": 0.25,
    "EGLD": 8.0, "PAXG": 4_100.0, "CBETH": 3_200.0, "MSOL": 180.0, "LSETH": 3_100.0, "JITOSOL": 167.0,
    "DAI": 0.9999, "USDS": 0.9998, "USD1": 0.9995, "PAX": 1.0,
}  # fmt: skip

STABLE = frozenset({"USDT", "DAI", "USDS", "USD1", "PAX"})  # their prices hardly move

# The others, whose prices are drawn by the seed.
MORE_CURRENCIES = """
00 1INCH A8 ABT ACH ACS ACX AERGO AERO AGLD AIOZ AKT ALCX ALEO ALEPH ALICE ALT AMP ANKR APE API3 ARKM ARPA ASM AST ATH
AUCTION AUDIO AURORA AVT AXL AXS B3 BADGER BAL BAND BAT BERA BICO BIGTIME BIO BLAST BLUR BLZ BNKR BNT BOBA BTRST C98
CAKE CELR CGLD CHZ CLANKER CLV COOKIE CORECHAIN COSMOSDYDX COTI COW CRO CTSI CTX CVC CVX DEGEN DEXT DIA DIMO DNT
DOGINME DRIFT EDGE EIGEN ELA ENS ERA ETHFI EUL FAI FARM FIDA FIS FLOW FLR FORT FORTH FOX G GFI GHST GIGA GLM GMT GNO
GODS GST GTC HFT HIGH HOME HONEY HOPR IDEX ILV INDEX INV IO IOTX IP KAITO KARRAT KAVA KERNEL KEYCAT KNC KRL KSM L3 LA
LCX LOKA LPT LQTY LRC LRDS MAGIC MAMO MANA MANTLE MASK MATH MATIC MDT ME METIS MINA MLN MNDE MOG MOODENG MORPHO MPLX
MUSE NCT NEON NEWT NKN NMR OCEAN OGN OMNI ORCA OSMO OXT PENDLE PERP PIRATE PLU PNG PNUT POL POLS POND POPCAT POWR PRCL
PRIME PRO PROMPT PROVE PUMP PUNDIX PYR PYTH QI RAD RARE RARI RED REQ REZ RLC RONIN ROSE RPL RSC RSR S SAFE SAND SAPIEN
SD SEAM SHDW SHPING SKL SKY SPA SPELL SPK SQD STG STORJ STRK SUKU SUPER SUSHI SWELL SWFTC SXT SYRUP T TIME TNSR TOSHI
TOWNS TRAC TRB TREE TRU TURBO UMA USELESS VARA VELO VET VOXEL VTHO VVV W WAXL WCFG WCT WELL WLD XCN XYO ZEN ZETA
ZETACHAIN ZK ZORA ZRO ZRX ASTER AVNT BARD ENSO LINEA MON SYND WLFI XPL ZKC
""".split()  # noqa: SIM905 - a list of 260 quoted texts is harder to read

# The real list holds more than one wants: what was delisted, and other quote currencies.
DELISTED_CURRENCIES = ("ANT", "GYEN", "MIR", "NU", "OMG", "REP", "UST")
FOREIGN_CURRENCIES = ("BTC", "ETH", "SOL", "XRP", "ADA")

MAX_PRICE_DECIMALS = 9
SIZE_DECIMALS = 8


class Product(NamedTuple):
    """One simulated market; ``price`` is its price at the start, ``decimals`` those of its prices."""

    id: str
    base_currency: str
    quote_currency: str
    price: float
    decimals: int
    online: bool = True


def price_decimals(price: float) -> int:
    """Return how many decimals give a price about five digits, two at least: 87000 -> 2, 2.1 -> 4."""
    return max(2, min(MAX_PRICE_DECIMALS, 4 - math.floor(math.log10(price))))


def make_products(count: int, quote: str, rng: random.Random) -> tuple[list[Product], list[Product]]:
    """Return the ``count`` products wanted, the busiest first, and the others that the real list also holds.

    Past the end of the list ids are made up (``SIM0001-USD``). The others are delisted ones and a foreign quote.
    """
    bases = [*KNOWN_PRICES_USD, *MORE_CURRENCIES][:count]
    bases += [f"SIM{number:04}" for number in range(1, count - len(bases) + 1)]
    wanted = [_product(base, quote, rng) for base in bases]
    foreign_quote = "EUR" if quote != "EUR" else "GBP"
    others = [_product(base, foreign_quote, rng) for base in FOREIGN_CURRENCIES]
    others += [_product(base, quote, rng)._replace(online=False) for base in DELISTED_CURRENCIES]
    return wanted, others


def _product(base: str, quote: str, rng: random.Random) -> Product:
    drawn = 10 ** rng.uniform(-4.0, 1.0)  # always drawn, so that a price more in the table moves no other
    price = KNOWN_PRICES_USD.get(base, drawn)
    return Product(f"{base}-{quote}", base, quote, price, price_decimals(price))


def make_product(product_id: str) -> Product:
    """Return a product by its id; its price is always the same."""
    base, quote = product_id.split("-")
    return _product(base, quote, random.Random(product_id))


def listing_row(product: Product) -> dict[str, Any]:
    """Return a product as ``GET /products`` of the Exchange lists it."""
    return {
        "id": product.id,
        "base_currency": product.base_currency,
        "quote_currency": product.quote_currency,
        "quote_increment": f"{10**-product.decimals:.{product.decimals}f}",
        "base_increment": f"{10**-SIZE_DECIMALS:.{SIZE_DECIMALS}f}",
        "display_name": f"{product.base_currency}-{product.quote_currency}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online" if product.online else "delisted",
        "status_message": "",
        "trading_disabled": not product.online,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.03000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }
