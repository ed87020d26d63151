"""What the door refuses: (id, a call that raises, the error's class, a piece of its message)."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor.errors import MissingFileError, PanelError
from bayesfactor.panel import check_panel, check_span, panel_from_prices, panel_from_returns
from bayesfactor.simulate import simulate_panel

DAYS = pd.date_range("2024-01-01", periods=40, name="date")
LETTERS = ["BTC", "ETH", "SOL"]


def prices(**columns: object) -> pd.DataFrame:
    """Return positive random-walk prices of three coins, with columns replaced or added."""
    rng = np.random.default_rng(1)
    walk = 10 * np.exp(np.cumsum(rng.normal(0, 0.04, size=(len(DAYS), 3)), axis=0))
    return pd.DataFrame(walk, index=DAYS, columns=LETTERS).assign(**columns)


def returns() -> pd.DataFrame:
    return prices().pct_change().iloc[1:]


def with_cell(table: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    table = table.copy()
    table.iloc[row, table.columns.get_loc(column)] = value
    return table


def factor(
    name: str = "mkt", values: np.ndarray | None = None, index: pd.Index | None = None
) -> pd.DataFrame:
    index = DAYS[1:] if index is None else index
    rng = np.random.default_rng(2)
    return pd.DataFrame({name: rng.normal(0, 0.03, len(index)) if values is None else values}, index=index)


def written(name: str, text: str) -> Path:
    path = Path(tempfile.mkdtemp()) / name
    path.write_text(text)
    return path


def long(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename_axis("date").reset_index().melt("date", var_name="coin", value_name="price")


def panel() -> xr.Dataset:
    return panel_from_prices(prices())


def _with_attr(name: str, value: object) -> xr.Dataset:
    return panel().assign_attrs({name: value})


PANEL_CASES: list[tuple[str, Callable[[], object], type[Exception], str]] = [
    ("a price of zero", lambda: panel_from_prices(with_cell(prices(), 5, "ETH", 0.0)), PanelError, r"above zero.*ETH \(first on 2024-01-06\)"),
    ("a negative price", lambda: panel_from_prices(with_cell(prices(), 5, "SOL", -1.0)), PanelError, r"SOL \(first on 2024-01-06\)"),
    ("an infinite price", lambda: panel_from_prices(with_cell(prices(), 5, "BTC", np.inf)), PanelError, "prices are finite.*BTC"),
    ("a column of words", lambda: panel_from_prices(prices(note="x")), PanelError, "'note' holds string"),
    ("numbers written as text", lambda: panel_from_prices(prices().astype({"ETH": str})), PanelError, "'ETH' holds string.*to_numeric"),
    ("a column of booleans", lambda: panel_from_prices(prices(flag=True)), PanelError, "'flag' holds boolean"),
    ("an asset without a price", lambda: panel_from_prices(prices(OLD=np.nan)), PanelError, "at least one return.*none: OLD"),
    ("an asset without two prices in a row", lambda: panel_from_prices(prices(GAP=np.where(np.arange(40) % 2, 2.0, np.nan))), PanelError, "none: GAP"),
    ("a stablecoin at one", lambda: panel_from_prices(prices(USDT=1.0)), PanelError, r"constant: USDT \(always 0\).*drop it"),
    ("a steady yield", lambda: panel_from_prices(prices(APY=1.01 ** np.arange(40))), PanelError, r"constant: APY \(always 0.01\)"),
    ("the same coin twice", lambda: panel_from_prices(prices().set_axis(["BTC", "ETH", "ETH"], axis=1)), PanelError, "more than once: ETH"),
    ("the same coin twice in a file", lambda: panel_from_prices(written("p.csv", "date,BTC,BTC\n2024-01-01,1,2\n")), PanelError, "more than once: BTC"),
    ("a coin without a name", lambda: panel_from_prices(prices().set_axis(["BTC", "", None], axis=1)), PanelError, "2 have none"),
    ("the same day twice", lambda: panel_from_prices(pd.concat([prices(), prices().iloc[[3]]])), PanelError, "more than once: 2024-01-04"),
    ("the same cell twice in a long table", lambda: panel_from_prices(pd.concat([long(prices()), long(prices()).iloc[[1]]])), PanelError, "given twice: BTC on 2024-01-02"),
    ("two value columns in a long table", lambda: panel_from_prices(long(prices()).assign(close=1.0)), PanelError, "exactly one value column.*price, close"),
    ("an index of numbers", lambda: panel_from_prices(prices().reset_index(drop=True)), PanelError, "labels of type integer.*pd.to_datetime"),
    ("dates that are none", lambda: panel_from_prices(prices().set_axis([*DAYS[:-1].astype(str), "soon"])), PanelError, "got 'soon'"),
    ("dates of doubtful order", lambda: panel_from_prices(prices().set_axis(DAYS.strftime("%m/%d/%Y"))), PanelError, "ISO 8601.*format="),
    ("a missing date", lambda: panel_from_prices(prices().set_axis([*DAYS[:-1], pd.NaT])), PanelError, "got NaT"),
    ("a stamp off the calendar", lambda: panel_from_prices(prices().set_axis([*DAYS[:-1], DAYS[-1] + pd.Timedelta("5h")])), PanelError, "off that calendar are 2024-02-09 05:00:00"),
    ("two prices only", lambda: panel_from_prices(prices().iloc[:2]), PanelError, "at least 3 periods with returns; got 1"),
    ("no rows", lambda: panel_from_prices(prices().iloc[:0]), PanelError, "no rows"),
    ("no assets", lambda: panel_from_prices(prices()[[]]), PanelError, "no assets"),
    ("a window without data", lambda: panel_from_prices(prices(), start="2025-01-01"), PanelError, "no row lies between.*2024-01-01 to 2024-02-09"),
    ("an array without labels", lambda: panel_from_prices(prices().to_numpy()), PanelError, "got ndarray"),
    ("two levels of columns", lambda: panel_from_prices(pd.concat({"binance": prices()}, axis=1)), PanelError, "got 2 levels"),
    ("a Series without a name", lambda: panel_from_prices(prices()["BTC"].rename(None)), PanelError, "a Series needs a name"),
    ("an array with foreign dims", lambda: panel_from_prices(xr.DataArray(prices().to_numpy(), dims=("t", "asset"))), PanelError, "the dims .time, asset."),
    ("a Dataset of something else", lambda: panel_from_prices(xr.Dataset({"volume": 1})), PanelError, "variable prices; got volume"),
    ("a file that is not there", lambda: panel_from_prices("no/such/prices.csv"), MissingFileError, "'no/such/prices.csv' does not exist"),
    ("a file of another kind", lambda: panel_from_prices(written("p.txt", "x")), PanelError, "got 'p.txt'"),
    ("an empty file", lambda: panel_from_prices(written("p.csv", "")), PanelError, "'p.csv' cannot be read"),
    ("an unknown kind", lambda: panel_from_prices(prices(), kind="percent"), PanelError, "'simple' or 'log'; got 'percent'"),
    ("no periods per year", lambda: panel_from_prices(prices(), periods_per_year=0), PanelError, "positive number; got 0"),
    ("periods per year as text", lambda: panel_from_prices(prices(), periods_per_year="365"), PanelError, "got '365'"),
    ("a coin that is its own market", lambda: panel_from_prices(prices()[["BTC"]]), PanelError, r"\(market\): BTC\. One coin"),
    ("a coin that is a factor", lambda: panel_from_returns(returns(), factors=returns()[["BTC"]]), PanelError, r"\(BTC\): BTC\. Drop"),
    ("a total loss", lambda: panel_from_returns(with_cell(returns(), 5, "ETH", -1.0)), PanelError, r"-1 or less: ETH \(first on 2024-01-07\)"),
    ("returns in per cent", lambda: panel_from_returns(returns() * 100), PanelError, "looks like per cent. Divide by 100"),
    ("an infinite return", lambda: panel_from_returns(with_cell(returns(), 5, "ETH", np.inf)), PanelError, "returns are finite.*ETH"),
    ("a coin without a group", lambda: panel_from_prices(prices(), groups={"BTC": "a", "ETHX": "b", "SOL": "a"}), PanelError, r"'ETH' \(did you mean 'ETHX'\?\)"),
    ("a coin with an empty group", lambda: panel_from_prices(prices(), groups=pd.Series(["a", None, "b"], LETTERS)), PanelError, "none is given for 'ETH'"),
    ("a coin with two groups", lambda: panel_from_prices(prices(), groups=pd.DataFrame({"coin": [*LETTERS, "BTC"], "sector": list("aabb")})), PanelError, r"BTC \(a, b\)"),
    ("groups that are a list", lambda: panel_from_prices(prices(), groups=["a", "b", "c"]), PanelError, "groups: give a dict.*got list"),
    ("a family for no factor", lambda: panel_from_prices(prices(), families={"markt": "market"}), PanelError, "did you mean 'market'"),
    ("a hole in a factor", lambda: panel_from_prices(prices(), factors=with_cell(factor(), 7, "mkt", np.nan)), PanelError, r"missing: mkt \(first on 2024-01-09\)"),
    ("an infinite factor", lambda: panel_from_prices(prices(), factors=with_cell(factor(), 7, "mkt", -np.inf)), PanelError, "factors are finite.*mkt"),
    ("a constant factor", lambda: panel_from_prices(prices(), factors=factor(values=np.full(39, 0.1))), PanelError, "constant: mkt"),
    ("factors of another year", lambda: panel_from_prices(prices(), factors=factor(index=DAYS[1:] + pd.Timedelta("366D"))), PanelError, "none is common"),
    ("factors between the stamps", lambda: panel_from_prices(prices().iloc[::2], factors=factor()), PanelError, "off it are 2024-01-04"),
    ("the same factor twice", lambda: panel_from_prices(prices(), factors=pd.concat([factor(), factor()], axis=1)), PanelError, "factors: names are unique.*mkt"),
    ("a factor that is another one doubled", lambda: panel_from_prices(prices(), factors=factor().assign(twice=lambda t: 2 * t["mkt"])), PanelError, "'twice' is one of a constant and mkt"),
    ("a factor called specific", lambda: panel_from_prices(prices(), factors=factor("specific")), PanelError, "components of risk.*'specific'"),
    ("a factor called drift", lambda: panel_from_prices(prices(), factors=factor("drift")), PanelError, "components of risk.*'drift'"),
    ("check_panel on a table", lambda: check_panel(prices()), PanelError, "xarray Dataset; got DataFrame"),
    ("check_panel without factors", lambda: check_panel(panel().drop_vars("factor_returns")), PanelError, "missing: factor_returns"),
    ("check_panel with turned dims", lambda: check_panel(panel().transpose("asset", "time", "factor")), PanelError, "returns has the dims"),
    ("check_panel of another schema", lambda: check_panel(_with_attr("schema_version", "0")), PanelError, "got '0'"),
    ("check_panel without a kind", lambda: check_panel(panel().drop_attrs().assign_attrs(schema_version="1")), PanelError, "missing: returns_kind"),
    ("check_panel with absent stamps", lambda: check_panel(panel().drop_isel(time=7)), PanelError, "1 stamps are absent"),
    ("check_panel with turned time", lambda: check_panel(panel().isel(time=slice(None, None, -1))), PanelError, "increasing"),
    ("check_panel with a hole in a factor", lambda: check_panel(panel().assign(factor_returns=lambda p: p.factor_returns.where(p.time != p.time[3]))), PanelError, "finite in every period.*market"),
    ("check_panel with an infinite return", lambda: check_panel(panel().assign(returns=lambda p: p.returns + np.inf)), PanelError, "returns are finite or NaN"),
    ("check_panel with numbers for names", lambda: check_panel(panel().assign_coords(asset=[1, 2, 3])), PanelError, "labels of asset are strings"),
    ("check_panel without assets", lambda: check_panel(panel().isel(asset=[])), PanelError, "at least one asset"),
    ("check_panel with an asset twice", lambda: check_panel(panel().isel(asset=[0, 1, 1])), PanelError, "labels of asset are unique.*ETH"),
    ("check_span of a coin twice in the market", lambda: check_span(panel().assign(returns=lambda p: p.returns * 0 + p.factor_returns.isel(factor=0))), PanelError, "BTC, ETH, SOL"),
    ("a market without coins", lambda: simulate_panel(n_assets=0), PanelError, "n_assets is a whole number of at least 1; got 0"),
    ("a market of a week", lambda: simulate_panel(n_days=7), PanelError, "n_days is a whole number of at least 20; got 7"),
    ("half a factor", lambda: simulate_panel(n_factors=1.5), PanelError, "n_factors.*got 1.5"),
    ("more groups than coins", lambda: simulate_panel(n_assets=2, n_groups=3), PanelError, "n_groups=3 for n_assets=2"),
    ("everything missing", lambda: simulate_panel(missing=1.0), PanelError, r"share in \[0, 1\); got 1.0"),
    ("a start that is no date", lambda: simulate_panel(start="someday"), PanelError, "got 'someday'"),
]  # fmt: skip
"""One line each; the length is the message's."""
