"""The door: whatever comes in, one panel goes out, and nothing of the future with it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesfactor.errors import PanelError
from bayesfactor.panel import check_panel, check_span, panel_digests, panel_from_prices, panel_from_returns

ASSETS = ["SOL", "BTC", "ETH", "ADA"]
GROUPS = {"BTC": "store", "ETH": "layer-1", "SOL": "layer-1", "ADA": "layer-1", "DOGE": "meme"}
MORNING = pd.Timedelta("09:30:00")


def make_prices(n: int = 60, freq: str = "D", seed: int = 7) -> pd.DataFrame:
    """Return positive random walks with a late listing, a hole and a death."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_t(4, size=(n, len(ASSETS))) * 0.03
    index = pd.date_range("2024-01-01", periods=n, freq=freq)
    prices = pd.DataFrame(100 * np.exp(np.cumsum(steps, axis=0)), index=index, columns=ASSETS)
    prices.iloc[: n // 4, 0] = np.nan
    prices.iloc[n // 2, 2] = np.nan
    prices.iloc[-n // 5 :, 3] = np.nan
    return prices


def make_factors(index: pd.DatetimeIndex, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(0, 0.03, (len(index), 2)), index=index, columns=["market", "size"])


def long(table: pd.DataFrame, value: str, label: str = "coin") -> pd.DataFrame:
    melted = table.rename_axis("date").reset_index().melt("date", var_name=label, value_name=value)
    return melted.sort_values("date", ignore_index=True)


def as_array(table: pd.DataFrame) -> xr.DataArray:
    return xr.DataArray(
        table.to_numpy(), dims=("time", "asset"), coords={"time": table.index, "asset": list(table.columns)}
    )


class OtherLibrary:
    """A table of another library that knows how to become a pandas one."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def to_pandas(self) -> pd.DataFrame:
        return self.table.reset_index(names="timestamp")


# --- forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda p, _: p.rename_axis("date").reset_index(), id="date column"),
        pytest.param(lambda p, _: p.reset_index(names="Timestamp"), id="date column in capitals"),
        pytest.param(lambda p, _: p.set_axis(p.index.strftime("%Y-%m-%d")), id="dates as text"),
        pytest.param(lambda p, _: p.set_axis(list(p.index.date)), id="dates of the standard library"),
        pytest.param(lambda p, _: p.to_period("D"), id="periods"),
        pytest.param(lambda p, _: p.tz_localize("UTC").tz_convert("Asia/Tokyo"), id="a time zone"),
        pytest.param(lambda p, _: p.iloc[::-1], id="newest first"),
        pytest.param(lambda p, _: p.drop(p.index[20]).iloc[::-1], id="without the row of holes"),
        pytest.param(lambda p, _: p.astype("Float64"), id="nullable floats"),
        pytest.param(lambda p, _: p.astype(object), id="objects"),
        pytest.param(lambda p, _: long(p, "price"), id="long"),
        pytest.param(
            lambda p, _: long(p, "close", "Ticker").astype({"Ticker": "category"}), id="long in capitals"
        ),
        pytest.param(lambda p, _: long(p, "price").dropna(), id="long without blanks"),
        pytest.param(lambda p, _: long(p, "price").set_index(["date", "coin"]), id="long with two levels"),
        pytest.param(lambda p, _: long(p, "price").set_index(["date", "coin"])["price"], id="long Series"),
        pytest.param(lambda p, _: as_array(p), id="DataArray"),
        pytest.param(lambda p, _: as_array(p).T, id="DataArray turned"),
        pytest.param(lambda p, _: xr.Dataset({"prices": as_array(p), "volume": as_array(p)}), id="Dataset"),
        pytest.param(lambda p, _: OtherLibrary(p), id="another library's table"),
        pytest.param(lambda p, d: written(p, d / "p.csv"), id="CSV"),
        pytest.param(
            lambda p, d: str(written(p.rename_axis("date"), d / "p.csv.gz")), id="CSV, zipped, as text"
        ),
        pytest.param(lambda p, d: written(long(p, "price"), d / "p.csv", index=False), id="long CSV"),
        pytest.param(lambda p, d: written(p, d / "p.parquet"), id="Parquet"),
        pytest.param(lambda p, d: written(long(p, "price"), d / "p.parquet"), id="long Parquet"),
    ],
)
def test_every_form_of_the_same_prices_makes_the_same_panel(form, tmp_path: Path):
    prices = make_prices()
    prices.iloc[20] = np.where(np.arange(4) == 1, prices.iloc[20], np.nan)  # one row with a single price
    table = form(prices, tmp_path)
    expected = panel_from_prices(prices, groups=GROUPS)
    if isinstance(table, pd.DataFrame) and len(table) == len(prices) - 1:
        prices.loc[prices.index[20]] = np.nan
        assert panel_from_prices(table, groups=GROUPS).attrs["skipped"] == 1
        factors = make_factors(prices.index)
        got, expected = (panel_from_prices(t, groups=GROUPS, factors=factors) for t in (table, prices))
    else:
        got = panel_from_prices(table, groups=GROUPS).sel(asset=ASSETS)
    xr.testing.assert_identical(got, expected)


def written(table: pd.DataFrame, path: Path, **options: object) -> Path:
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    else:
        table.to_csv(path, **options)
    return path


def test_parquet_without_its_reader_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "p.parquet").write_bytes(b"PAR1")

    def absent(*_: object) -> None:
        raise ImportError

    monkeypatch.setattr(pd, "read_parquet", absent)
    with pytest.raises(PanelError, match=r"needs pyarrow.*bayesfactor\[parquet\]"):
        panel_from_prices(tmp_path / "p.parquet")


@pytest.mark.parametrize("value", ["return", "returns", "value"])
def test_long_returns_equal_wide_returns(value: str):
    returns = make_prices().pct_change(fill_method=None).iloc[1:]
    got = panel_from_returns(long(returns, value)).sel(asset=ASSETS)
    xr.testing.assert_identical(got, panel_from_returns(returns))


def test_returns_given_and_returns_formed_make_the_same_panel():
    prices = make_prices()
    factors = make_factors(prices.index[1:])
    formed = panel_from_prices(prices, factors=factors, groups=GROUPS)
    given = panel_from_returns((prices / prices.shift(1) - 1).iloc[1:], factors=factors, groups=GROUPS)
    xr.testing.assert_identical(given, formed)


def test_a_panel_given_as_returns_keeps_its_groups_and_families():
    prices = make_prices()
    first = panel_from_prices(
        prices, factors=make_factors(prices.index), groups=GROUPS, families={"size": "style"}
    )
    again = panel_from_returns(first, factors=first)
    xr.testing.assert_identical(again.drop_attrs(), first.drop_attrs())
    assert panel_digests(again) == panel_digests(first)


def test_a_coin_named_like_a_date_stays_a_coin():
    prices = make_prices().rename(columns={"SOL": "TIME", "ADA": "COIN"})
    assert panel_from_prices(prices).asset.to_numpy().tolist() == ["TIME", "BTC", "ETH", "COIN"]
    by_column = panel_from_prices(prices.reset_index(names="date"))
    xr.testing.assert_identical(by_column, panel_from_prices(prices))


# --- the contract -----------------------------------------------------------------------------


def test_a_panel_has_the_names_dims_and_attributes_of_the_schema():
    panel = panel_from_prices(make_prices(), groups=GROUPS, periods_per_year=365.25)
    check_panel(panel)
    assert {k: v.dims for k, v in panel.variables.items()} == {
        "returns": ("time", "asset"),
        "factor_returns": ("time", "factor"),
        "factor_weights": ("time", "factor", "asset"),
        "time": ("time",),
        "asset": ("asset",),
        "factor": ("factor",),
        "group": ("asset",),
        "family": ("factor",),
    }
    assert panel.time.dtype == "datetime64[ns]"
    assert panel.asset.to_numpy().tolist() == ASSETS
    assert panel.group.to_numpy().tolist() == ["layer-1", "store", "layer-1", "layer-1"]
    assert panel.family.to_numpy().tolist() == ["market"]
    assert panel.attrs.pop("trimmed") == "0 rows at the start, 0 at the end lack a factor"
    assert {k: v for k, v in panel.attrs.items() if "digest" not in k} == {
        "periods_per_year": 365.25,
        "returns_kind": "simple",
        "schema_version": "1",
    }


@pytest.mark.parametrize("factors", ["own", "none"])
def test_a_panel_survives_a_file(factors: str, tmp_path: Path):
    prices = make_prices()
    panel = (
        panel_from_prices(prices)
        if factors == "own"
        else panel_from_returns(prices.pct_change(fill_method=None))
    )
    panel.to_netcdf(tmp_path / "panel.nc", engine="h5netcdf")
    loaded = xr.load_dataset(tmp_path / "panel.nc", engine="h5netcdf")
    check_panel(loaded)
    xr.testing.assert_identical(loaded, panel)
    assert panel_digests(loaded).items() <= panel.attrs.items()


def test_without_factors_returns_have_a_factor_dim_of_size_zero():
    panel = panel_from_returns(make_prices().pct_change(fill_method=None).iloc[1:])
    assert panel.sizes["factor"] == 0
    assert panel.factor.dtype.kind == "U"
    assert "factor_weights" not in panel
    check_panel(panel)


def test_a_backtest_window_may_hold_an_asset_without_returns_and_units():
    panel = panel_from_prices(make_prices()).assign(returns_unit=0.03, factor_unit=("factor", [0.04]))
    window = panel.isel(time=slice(0, 10))
    assert window.returns.sel(asset="SOL").isnull().all()
    check_panel(window)
    check_span(window)
    assert panel_digests(window)["returns_digest"] != panel.attrs["returns_digest"]


def test_an_asset_within_rounding_of_the_factors_is_refused_and_one_beside_them_is_not():
    panel = panel_from_prices(make_prices(), factors=make_factors(make_prices().index))
    mix = 0.01 + 0.4 * panel.factor_returns[:, 0] - 0.2 * panel.factor_returns[:, 1]
    noise = np.random.default_rng(0).normal(0, 1, panel.sizes["time"]) * float(mix.std())
    for size, refused in ((1e-8, True), (1e-4, False)):
        panel.returns[:, 1] = mix + size * noise
        if refused:
            with pytest.raises(PanelError, match=r"BTC\. Drop"):
                check_span(panel)
        else:
            check_span(panel)
    with pytest.raises(PanelError, match="BTC"):
        check_span(panel, tol=1e-2)


def test_an_asset_with_too_few_returns_is_not_judged():
    returns = make_prices().pct_change(fill_method=None).iloc[1:]
    factor = make_factors(returns.index)[["market"]]
    for rows, refused in ((3, False), (4, True)):  # one factor: judged from 1 + 3 returns on
        young = returns.assign(NEW=0.01 + 2 * factor["market"])
        young.iloc[:-rows, -1] = np.nan
        if refused:
            with pytest.raises(PanelError, match=r"NEW\. Drop"):
                panel_from_returns(young, factors=factor)
        else:
            assert int(panel_from_returns(young, factors=factor).returns[:, -1].notnull().sum()) == rows


def test_three_returns_make_a_panel_and_two_do_not():
    prices = make_prices()[["BTC", "ETH"]]
    assert panel_from_prices(prices.iloc[:4]).sizes["time"] == 3
    with pytest.raises(PanelError, match="at least 3 periods with returns; got 2"):
        panel_from_prices(prices.iloc[:3])


# --- time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["simple", "log"])
def test_a_return_exists_only_between_two_consecutive_prices(kind: str):
    prices = make_prices().drop(make_prices().index[[30, 45]])  # row 30 also holds a hole of ETH
    factors = make_factors(make_prices().index)
    panel = panel_from_prices(prices, kind=kind, factors=factors)
    full = prices.reindex(make_prices().index)
    expected = full.notna() & full.shift(1).notna()
    np.testing.assert_array_equal(panel.returns.notnull(), expected.iloc[1:])
    assert panel.sizes["time"] == 59
    ratio = full["BTC"].iloc[7] / full["BTC"].iloc[6]
    found = float(panel.returns.sel(asset="BTC")[6])
    assert found == (ratio - 1 if kind == "simple" else np.log(ratio))


@pytest.mark.parametrize(
    ("freq", "absent"),
    [
        ("h", [5, 6]),
        ("4h", [9]),
        ("D", [3, 4, 5]),
        ("B", [7]),
        ("W-SUN", [2]),
        ("W-WED", [11]),
        ("MS", [8]),
        ("ME", [8]),
        ("BME", [20]),
        ("QS", [3]),
        ("QE-NOV", [5]),
    ],
)
def test_absent_stamps_of_every_calendar_become_missing_rows(freq: str, absent: list[int]):
    whole = make_prices(freq=freq)
    holed = whole.drop(whole.index[absent])
    factors = make_factors(whole.index)
    panel = panel_from_prices(holed, factors=factors)
    np.testing.assert_array_equal(panel.time, whole.index[1:])
    assert panel.returns.isel(time=[a - 1 for a in absent]).isnull().all()
    check_panel(panel)


def test_business_days_have_no_weekend_rows():
    panel = panel_from_prices(make_prices(freq="B"))
    assert panel.sizes["time"] == 59
    assert int(panel.time.dt.dayofweek.max()) == 4
    assert int(panel.returns.sel(asset="BTC").notnull().sum()) == 59


def test_stamps_within_the_day_keep_their_hour():
    prices = make_prices()
    shifted = panel_from_prices(prices.set_axis(prices.index + MORNING))
    np.testing.assert_array_equal(shifted.time, prices.index[1:] + MORNING)


def test_start_and_end_are_inclusive_and_come_before_any_check():
    prices = make_prices()
    prices.iloc[2, 1] = -5.0
    prices.iloc[3, 1] = 0.0
    panel = panel_from_prices(prices, start="2024-01-06", end=pd.Timestamp("2024-02-20", tz="UTC"))
    xr.testing.assert_identical(panel, panel_from_prices(prices.loc["2024-01-06":"2024-02-20"]))
    assert str(panel.time.to_numpy()[0])[:10] == "2024-01-07"
    assert str(panel.time.to_numpy()[-1])[:10] == "2024-02-20"


@pytest.mark.parametrize("days", [-400, 1, 3000])
def test_shifting_the_dates_moves_only_the_labels(days: int):
    prices = make_prices()
    moved = panel_from_prices(prices.set_axis(prices.index + pd.Timedelta(days=days)))
    panel = panel_from_prices(prices)
    for name in ("returns", "factor_returns", "factor_weights"):
        np.testing.assert_array_equal(moved[name], panel[name])


@pytest.mark.parametrize("factors", [None, "given"])
@pytest.mark.parametrize("t", [25, 40, 58])
def test_the_future_changes_nothing_that_was_known(factors: str | None, t: int):
    prices = make_prices()
    given_factors = make_factors(prices.index) if factors else None
    panel = panel_from_prices(prices, factors=given_factors).isel(time=slice(0, t))
    wild = prices.copy()
    rng = np.random.default_rng(t)
    wild.iloc[t + 1 :] *= np.exp(rng.normal(0, 0.3, size=wild.iloc[t + 1 :].shape))
    corrupted = panel_from_prices(wild, factors=given_factors).isel(time=slice(0, t))
    shorter = panel_from_prices(prices.iloc[: t + 1], factors=given_factors)
    for other in (corrupted, shorter):
        xr.testing.assert_identical(other.drop_attrs(), panel.drop_attrs())


# --- the panel's own market ---------------------------------------------------------------------


def test_the_market_is_the_weighted_sum_of_the_returns():
    panel = panel_from_prices(make_prices())
    total = (panel.factor_weights * panel.returns).sum("asset")
    np.testing.assert_allclose(total, panel.factor_returns, rtol=1e-14, atol=1e-17)
    np.testing.assert_allclose(panel.factor_weights.sum("asset"), 1.0, rtol=1e-15)
    there = panel.returns.notnull().transpose("time", "asset").to_numpy()
    weights = panel.factor_weights.isel(factor=0).to_numpy()
    np.testing.assert_array_equal(weights > 0, there)
    np.testing.assert_array_equal(weights, there / there.sum(axis=1, keepdims=True))


def test_days_before_anything_trades_are_trimmed_from_the_market_and_recorded():
    prices = make_prices()
    prices.iloc[:5] = np.nan
    prices.iloc[-2:] = np.nan
    panel = panel_from_prices(prices)
    assert panel.sizes["time"] == 60 - 1 - 5 - 2
    assert panel.attrs["trimmed"] == "5 rows at the start, 2 at the end lack a factor"
    assert panel.factor_returns.notnull().all()


@pytest.mark.parametrize("kind", ["simple", "log"])
@pytest.mark.parametrize("seed", [0, 1])
def test_permuting_the_assets_changes_no_bit(seed: int, kind: str):
    rng = np.random.default_rng(seed)
    steps = rng.standard_t(4, size=(80, 37)) * 0.04
    names = [f"C{i}" for i in range(37)]
    prices = pd.DataFrame(np.exp(np.cumsum(steps, axis=0)), pd.date_range("2024-01-01", periods=80), names)
    prices = prices.mask(rng.random(prices.shape) < 0.1)
    panel = panel_from_prices(prices, kind=kind)
    permuted = panel_from_prices(prices[list(rng.permutation(names))], kind=kind)
    xr.testing.assert_identical(permuted.sel(asset=names), panel)  # attributes and digests included
    assert permuted.asset.to_numpy().tolist() != names


@pytest.mark.parametrize("kind", ["simple", "log"])
def test_another_currency_unit_leaves_the_panel_as_it_is(kind: str):
    prices = make_prices()
    panel = panel_from_prices(prices, kind=kind)
    xr.testing.assert_identical(panel_from_prices(prices * 2.0**20, kind=kind), panel)
    xr.testing.assert_identical(panel_from_prices(prices * 2.0**-9, kind=kind), panel)
    by_million = panel_from_prices(prices * 1e6, kind=kind)
    for name in ("returns", "factor_returns"):
        np.testing.assert_allclose(by_million[name], panel[name], rtol=0, atol=1e-12)


# --- factors, groups, families ------------------------------------------------------------------


def test_edges_without_a_factor_are_trimmed_and_recorded():
    prices = make_prices()
    factors = make_factors(prices.index)
    factors.iloc[:4, 0] = np.nan
    panel = panel_from_prices(prices, factors=factors.iloc[:-3])
    assert panel.attrs["trimmed"] == "3 rows at the start, 3 at the end lack a factor"
    np.testing.assert_array_equal(panel.time, prices.index[4:-3])
    np.testing.assert_array_equal(panel.factor_returns, factors.iloc[4:-3])
    assert "factor_weights" not in panel


def test_factor_stamps_beyond_the_panel_are_ignored():
    prices = make_prices()
    index = pd.date_range(prices.index[0] - pd.Timedelta("30D"), prices.index[-1] + pd.Timedelta("30D"))
    factors = make_factors(index)
    panel = panel_from_prices(prices, factors=factors.iloc[::-1])
    np.testing.assert_array_equal(panel.factor_returns, factors.loc[prices.index[1:]])
    assert panel.attrs["trimmed"].startswith("0 rows")


def test_every_form_of_the_same_factors_makes_the_same_panel(tmp_path: Path):
    prices = make_prices()
    factors = make_factors(prices.index)
    array = xr.DataArray(factors, dims=("time", "factor"), name="drivers")
    array = array.assign_coords(family=("factor", ["market", "other"]))
    expected = panel_from_prices(prices, factors=factors)
    forms = [
        factors.rename_axis("date").reset_index(),
        factors.rename_axis("date").reset_index().melt("date", var_name="factor", value_name="value"),
        written(factors, tmp_path / "f.csv"),
        array,
        xr.Dataset({"factor_returns": array}),
    ]
    for form in forms:
        got = panel_from_prices(prices, factors=form)
        xr.testing.assert_identical(got.sel(factor=["market", "size"]), expected)


def test_what_factors_were_outside_the_panel_does_not_matter():
    prices = make_prices()
    factors = make_factors(prices.index)
    wild = factors.copy()
    wild.iloc[:11] = np.inf
    wild.iloc[50:] = np.nan
    window = {"start": "2024-01-11", "end": "2024-02-19"}
    xr.testing.assert_identical(
        panel_from_prices(prices, factors=wild, **window),
        panel_from_prices(prices, factors=factors, **window),
    )


def test_what_is_given_is_left_as_it_was():
    prices, factors = make_prices().iloc[::-1], make_factors(make_prices().index)
    before = prices.copy(), factors.copy()
    panel_from_prices(prices, factors=factors, groups=GROUPS)
    pd.testing.assert_frame_equal(prices, before[0])
    pd.testing.assert_frame_equal(factors, before[1])


def test_a_single_factor_may_be_a_named_series():
    prices = make_prices()
    factors = make_factors(prices.index)
    panel = panel_from_prices(prices, factors=factors["size"])
    assert panel.factor.to_numpy().tolist() == ["size"]
    one = xr.DataArray(factors["size"].to_numpy(), dims="time", coords={"time": factors.index}, name="size")
    xr.testing.assert_identical(panel_from_prices(prices, factors=one), panel)


def test_families_come_from_the_keyword_then_the_coord_then_the_name():
    prices = make_prices()
    factors = make_factors(prices.index).assign(fees=lambda f: f["size"].shift(1, fill_value=0.0))
    factors = factors.rename(columns={"market": "MKT"})
    plain = panel_from_prices(prices, factors=factors)
    assert plain.family.to_numpy().tolist() == ["market", "other", "other"]
    array = xr.DataArray(factors, dims=("time", "factor")).assign_coords(family=("factor", ["a", "b", "c"]))
    panel = panel_from_prices(prices, factors=array, families={"fees": "on-chain"})
    assert panel.family.to_numpy().tolist() == ["a", "b", "on-chain"]


def test_every_form_of_the_same_groups_makes_the_same_panel(tmp_path: Path):
    prices = make_prices()
    table = pd.DataFrame({"coin": GROUPS.keys(), "sector": GROUPS.values()})
    forms = [
        GROUPS,
        pd.Series(GROUPS),
        table,
        table[["sector", "coin"]],
        table.set_index("coin"),
        pd.concat([table, table.iloc[:1]]),
        written(table, tmp_path / "g.csv", index=False),
        pd.Series(GROUPS).rename_axis("asset").to_xarray(),
        panel_from_prices(prices, groups=GROUPS).group,
    ]
    expected = panel_from_prices(prices, groups=GROUPS)
    for form in forms:
        xr.testing.assert_identical(panel_from_prices(prices, groups=form), expected)


def test_a_coin_called_na_keeps_its_group(tmp_path: Path):
    prices = make_prices().rename(columns={"SOL": "NA"})
    path = tmp_path / "g.csv"
    path.write_text("coin,sector\nNA,meme\nBTC,store\nETH,layer-1\nADA,layer-1\n")
    assert str(panel_from_prices(prices, groups=path).group.sel(asset="NA").item()) == "meme"


def test_without_groups_all_assets_share_one():
    assert set(panel_from_prices(make_prices()).group.to_numpy().tolist()) == {"all"}


def test_assets_may_be_called_like_components_and_factors_like_assets():
    prices = make_prices().rename(columns={"SOL": "specific", "ADA": "drift"})
    factors = make_factors(prices.index).rename(columns={"size": "BTC"})
    panel = panel_from_prices(prices, factors=factors)
    assert panel.asset.to_numpy()[0] == "specific"
    assert panel.factor.to_numpy().tolist() == ["market", "BTC"]


# --- digests ------------------------------------------------------------------------------------


def test_digests_depend_on_values_labels_and_dates_but_not_on_groups_or_order():
    prices = make_prices()
    factors = make_factors(prices.index)
    base = panel_digests(panel_from_prices(prices, factors=factors))
    same = panel_digests(
        panel_from_prices(prices[ASSETS[::-1]], factors=factors[["size", "market"]], groups=GROUPS)
    )
    assert same == base
    later = prices.index + pd.Timedelta("1D")
    moved = panel_digests(panel_from_prices(prices.set_axis(later), factors=factors.set_axis(later)))
    renamed = panel_digests(panel_from_prices(prices.rename(columns={"BTC": "XBT"}), factors=factors))
    nudged = panel_digests(panel_from_prices(prices * [1, 1, 1, 1 + 1e-9], factors=factors * 1.001))
    assert moved["returns_digest"] != base["returns_digest"]
    assert moved["factors_digest"] != base["factors_digest"]
    assert renamed["returns_digest"] != base["returns_digest"]
    assert renamed["factors_digest"] == base["factors_digest"]
    assert nudged["factors_digest"] != base["factors_digest"]


# --- properties ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(8, 40),
    holes=st.floats(0, 0.3),
    power=st.integers(-30, 30),
)
def test_any_market_keeps_its_identities(seed: int, n: int, holes: float, power: int):
    rng = np.random.default_rng(seed)
    names = ["z", "y", "x", "w", "v"]
    values = np.exp(np.cumsum(rng.normal(0, 0.1, (n, 5)), axis=0))
    prices = pd.DataFrame(values, pd.date_range("2020-02-20", periods=n, freq="h"), names)
    prices.iloc[:, :3] = prices.iloc[:, :3].mask(rng.random((n, 3)) < holes)
    try:
        panel = panel_from_prices(prices)
    except PanelError as refusal:
        assert "at least one return" in str(refusal) or "beside the factors" in str(refusal)  # noqa: PT017
        return
    check_panel(panel)
    np.testing.assert_allclose(
        (panel.factor_weights * panel.returns).sum("asset"), panel.factor_returns, rtol=1e-13, atol=1e-16
    )
    order = list(rng.permutation(names))
    other = panel_from_prices(prices[order] * 2.0**power)
    xr.testing.assert_identical(other.sel(asset=names), panel)
    back = (1 + panel.returns).cumprod("time").isel(time=-1).sel(asset=["w", "v"])
    np.testing.assert_allclose(back, prices[["w", "v"]].iloc[-1] / prices[["w", "v"]].iloc[0], rtol=1e-10)


@pytest.mark.filterwarnings("ignore:.*stamps have no")  # in so short a table one is many
@settings(deadline=None, max_examples=25)
@given(
    drop=st.sets(st.integers(1, 18), max_size=6),
    freq=st.sampled_from(["h", "D", "W", "ME", "15min"]),
    seed=st.integers(0, 10_000),
)
def test_any_absent_stamps_are_put_back_in_their_place(drop: set[int], freq: str, seed: int):
    whole = pd.date_range("2021-03-01", periods=20, freq=freq)
    rng = np.random.default_rng(seed)
    returns = pd.DataFrame(rng.normal(0, 0.02, (20, 2)), whole, ["a", "b"]).drop(whole[sorted(drop)])
    panel = panel_from_returns(returns.sample(frac=1.0, random_state=seed))
    np.testing.assert_array_equal(panel.time, whole)
    np.testing.assert_array_equal(np.flatnonzero(panel.returns.isnull().all("asset")), sorted(drop))
