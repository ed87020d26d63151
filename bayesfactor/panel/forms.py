"""What each table of a panel is called, and the names that its columns may have.

Names are compared in small letters and digits alone: `Adj. Close`, `adj_close` and `AdjClose` are one name.
"""

from dataclasses import dataclass
from typing import Final

from bayesfactor.errors import PanelError
from bayesfactor.schema import ASSET, FACTOR, FACTOR_RETURNS, RETURNS
from bayesfactor.tables import Door
from bayesfactor.tables.pairs import ASSET_NAMES

__all__ = [
    "ASSET_NAMES",
    "CAPS",
    "DATE_NAMES",
    "DRIVERS",
    "FACTORS",
    "PRICES",
    "RETURNS_FORM",
    "VOLUME",
    "Form",
]

DATE_NAMES: Final = (
    "date", "datetime", "timeopen", "opentime", "snappedat", "observationdate", "timestamp", "time",
    "day", "dateutc", "timeutc", "timeperiodstart", "ds", "ts", "unix", "unixtimestamp",
)  # fmt: skip
"""What a column of dates is called; the first that is there is meant, text before counts of seconds."""


@dataclass(frozen=True)
class Form:
    """What a table is called, and the names it may use."""

    what: str
    dim: str
    label_names: tuple[str, ...]
    value_names: tuple[str, ...]
    variables: tuple[str, ...]
    percent: bool = False
    """Whether its numbers may have a per cent sign."""
    spare_words: bool = False
    """Whether columns of words are left out, and said, rather than refused."""

    @property
    def door(self) -> Door:
        """Return how errors of this table speak."""
        return Door(self.what, PanelError)


_PRICE: Final = (
    "price", "prices", "close", "closeprice", "closingprice", "priceclose", "priceusd", "closeusd",
    "last", "lastprice", "closeusdt", "priceusdt", "closeeur", "priceeur", "closingpriceusd", "adjclose",
    "adjustedclose", "adjcloseprice", "zuletzt", "schlusskurs", "dernier", "último", "cierre",
)  # fmt: skip
_RETURN: Final = ("return", "returns", "value", "ret", "dailyreturn")
_CAP: Final = ("marketcap", "cap", "value", "mcap", "marketcapusd", "marketcapitalization", "capmrktcurusd")
_TRADED: Final = (
    "volume", "quotevolume", "value", "totalvolume", "volumeusd", "volumeusdt", "quoteassetvolume",
    "tradedvalue",
)  # fmt: skip

PRICES: Final = Form("prices", ASSET, ASSET_NAMES, _PRICE, ("prices",))
RETURNS_FORM: Final = Form("returns", ASSET, ASSET_NAMES, _RETURN, (RETURNS,), percent=True)
FACTORS: Final = Form(
    "factors", FACTOR, ("factor",), _RETURN, (FACTOR_RETURNS, "factors", RETURNS), percent=True
)
DRIVERS: Final = Form(
    "drivers", FACTOR, ("driver", "factor", "series", "metric", "indicator", "ticker", "symbol"),
    ("value", *_PRICE), ("drivers", FACTOR_RETURNS), percent=True, spare_words=True,
)  # fmt: skip
CAPS: Final = Form("market_cap", ASSET, ASSET_NAMES, _CAP, ("market_cap",))
VOLUME: Final = Form("volume", ASSET, ASSET_NAMES, _TRADED, ("volume",))
