"""A stamp at which nobody has a price is skipped, counted, and costs nothing."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from garch_trees import garch_tree
from scipy import stats
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import PanelError
from bayesfactor.laws import law_of
from bayesfactor.panel import check_panel
from bayesfactor.registry import get_model

COINS = ["BTC", "ETH", "SOL", "ADA", "DOT", "XMR", "LTC"]
HOLE = 50


def hours(n: int = 24 * 9, freq: str = "h") -> pd.DataFrame:
    rng = np.random.default_rng(6)
    steps = 0.004 * rng.standard_t(4, (n, 1)) + 0.004 * rng.standard_t(4, (n, len(COINS)))
    index = pd.date_range("2024-01-01", periods=n, freq=freq)
    return pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), index, COINS)


def with_hole(prices: pd.DataFrame, at: tuple[int, ...] = (HOLE,)) -> pd.DataFrame:
    return prices.drop(prices.index[list(at)])


# --- the panel --------------------------------------------------------------------------------


def test_a_missing_hour_is_skipped_and_counted():
    prices = hours()
    panel, whole = bf.panel_from_prices(with_hole(prices)), bf.panel_from_prices(prices)
    check_panel(panel)
    assert panel.attrs["skipped"] == 1
    assert "skipped" not in whole.attrs
    np.testing.assert_array_equal(panel["time"], whole["time"])
    gone = np.isin(np.arange(panel.sizes["time"]), (HOLE - 1, HOLE))  # the return to it, and that from it
    np.testing.assert_array_equal(panel["returns"].isnull().all("asset"), gone)
    np.testing.assert_array_equal(panel[s.FACTOR_OPEN].values[:, 0], ~gone)
    assert (panel["factor_returns"].values[gone] == 0.0).all()
    for name in ("returns", "factor_returns", "factor_weights"):
        np.testing.assert_array_equal(panel[name].values[~gone], whole[name].values[~gone])
    np.testing.assert_allclose(panel["factor_weights"].sum("asset"), 1.0, rtol=1e-12)


def test_an_empty_row_is_an_absent_one():
    prices = hours()
    empty = prices.copy()
    empty.iloc[HOLE] = np.nan
    xr.testing.assert_identical(bf.panel_from_prices(empty), bf.panel_from_prices(with_hole(prices)))


@pytest.mark.parametrize("freq", ["4h", "D", "B", "W-SUN", "ME"])
def test_every_calendar_skips_what_has_no_price(freq: str):
    prices = hours(60, freq)
    panel = bf.panel_from_prices(with_hole(prices, (20, 21, 40)))
    assert panel.attrs["skipped"] == 3
    assert int(panel["returns"].isnull().all("asset").sum()) == 5
    assert panel.sizes["time"] == 59


def test_a_factor_from_outside_keeps_its_moves_and_its_own_hole_is_refused():
    prices = hours()
    table = pd.DataFrame({"f": np.random.default_rng(1).normal(0, 0.01, len(prices))}, prices.index)
    panel = bf.panel_from_prices(with_hole(prices), factors=table)
    np.testing.assert_array_equal(panel["factor_returns"].values[:, 0], table["f"].values[1:])
    assert s.FACTOR_OPEN not in panel
    table.iloc[HOLE + 10] = np.nan
    with pytest.raises(PanelError, match="missing: f"):
        bf.panel_from_prices(with_hole(prices), factors=table)


def test_many_stamps_without_a_price_are_no_calendar():
    prices = hours()
    weekdays = prices[prices.index.day_of_week < 5]
    with pytest.warns(
        UserWarning, match=r"48 of 215 stamps have no price at all.*the calendar of these data"
    ):
        panel = bf.panel_from_prices(weekdays)
    assert panel.attrs["skipped"] == 48


def test_factors_of_the_catalogue_are_formed_across_a_hole():
    prices, start = hours(90, "D"), "2024-02-01"
    which = ["market", "momentum", "reversal"]
    for at in range(60, 67):  # portfolios are formed anew on one of these days
        built = bf.build_factors(with_hole(prices, (at,)), which=which)
        panel = bf.panel_from_prices(with_hole(prices, (at,)), factors=built, start=start)
        assert panel.attrs["skipped"] == 1
        known = np.isfinite(built["factor_returns"].to_pandas()).all(axis=1)
        assert (~known.loc[panel["time"].values]).sum() == 2
        market = panel[s.FACTOR_WEIGHTS].sel(factor="market")
        np.testing.assert_allclose(market.sum("asset"), 1.0, rtol=1e-12)
        assert (~panel[s.FACTOR_OPEN]).sum() == 2 * len(which)


# --- the laws ---------------------------------------------------------------------------------


def holed(tree: xr.DataTree, rows: slice) -> xr.DataTree:
    """Return a tree whose assets have no return on some rows, and whose own market is closed there."""
    out = tree.copy()
    obs, const = (tree[g].to_dataset().copy(deep=True) for g in (s.OBSERVED_DATA, s.CONSTANT_DATA))
    obs[s.RETURNS][{s.TIME: rows}] = np.nan
    const[s.FACTOR_RETURNS][{s.TIME: rows}] = 0.0
    opened = np.ones((obs.sizes[s.TIME], const.sizes[s.FACTOR]), dtype=bool)
    opened[rows] = False
    const[s.FACTOR_OPEN] = ((s.TIME, s.FACTOR), opened)
    out[s.OBSERVED_DATA], out[s.CONSTANT_DATA] = xr.DataTree(obs), xr.DataTree(const)
    if s.STATE in out.children:
        del out[s.STATE]
    return out


def first(tree: xr.DataTree, n: int) -> xr.DataTree:
    out = tree.copy()
    for g in (s.OBSERVED_DATA, s.CONSTANT_DATA):
        out[g] = xr.DataTree(tree[g].to_dataset().isel({s.TIME: slice(0, n)}))
    out.attrs.pop("time_labels", None)  # as if it had been fitted to those rows alone
    if s.STATE in out.children:
        del out[s.STATE]
    return out


def test_variances_go_to_their_mean_over_a_hole_and_densities_see_nothing_of_it():
    tree = garch_tree(draws=10)
    n = tree[s.OBSERVED_DATA].sizes[s.TIME]
    before = law_of(first(tree, n - 2))
    after = law_of(holed(tree, slice(n - 2, n)))
    post = tree[s.POSTERIOR].to_dataset().stack(sample=(s.CHAIN, s.DRAW))
    order = s.canonical_order(tree[s.OBSERVED_DATA][s.ASSET])
    for which, level, persistence in ((0, s.SIGMA, s.PERSISTENCE), (1, s.FACTOR_SCALE, s.FACTOR_PERSISTENCE)):
        start = before.state[which].variance
        mean, p = (post[v].transpose("sample", ...).values for v in (level, persistence))
        if which == 0:
            mean, p = mean[:, order], p[:, order]
        expected = mean**2 + p**2 * (start - mean**2)  # twice a step of 1 - p towards the mean
        np.testing.assert_allclose(after.state[which].variance, expected, rtol=1e-10)
    assert not after.row_log_likelihood()[:, -2:].any()
    assert not after.factor_log_likelihood()[:, -2:].any()
    np.testing.assert_array_equal(after.row_log_likelihood()[:, :-2], before.row_log_likelihood())


def test_the_density_of_factors_is_that_of_the_open_rows():
    panel = bf.panel_from_prices(with_hole(hours()))
    graph = get_model("hierarchical-t").build_factor_law(panel)
    point = graph.initial_point()
    found = graph.compile_logp(vars=graph.observed_RVs)(point)
    names = (s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_NU)
    inputs, outputs = graph.value_vars, graph.replace_rvs_by_values([graph[n] for n in names])
    read = graph.compile_fn(outputs, inputs=inputs, on_unused_input="ignore")
    location, scale, nu = (float(np.squeeze(x)) for x in read(point))
    f = panel["factor_returns"].values[panel[s.FACTOR_OPEN].values[:, 0], 0]
    f = f / np.sqrt((f**2).mean())
    assert found == pytest.approx(stats.t.logpdf(f, nu, location, scale).sum(), rel=1e-9)


def test_a_hole_teaches_no_habit():
    tree = holed(make_tree(n_assets=4, n_factors=1, n_times=60, own_market=True, missing=0.0), slice(30, 32))
    law = law_of(tree)
    assert law.calendar.ahead(400).all()
    assert (law.moments(8).factor_covariance > 0.0).all()


# --- walking on -------------------------------------------------------------------------------


def test_an_update_goes_across_a_hole_as_if_it_had_seen_all_at_once():
    panel = bf.panel_from_prices(with_hole(hours(200), (160,)))
    how = {"draws": 10, "tune": 20, "chains": 2, "random_seed": 1, "progressbar": False}
    tree = bf.fit("garch-t", panel.isel(time=slice(0, 140)), **how)
    whole = bf.update(tree, panel)
    steps = tree
    for last in (159, 160, 161, 199):  # to the edge of the hole, into it, and out of it
        steps = bf.update(steps, panel.isel(time=slice(0, last)))
    for name in ("state", "log_likelihood"):
        xr.testing.assert_identical(whole[name].to_dataset(), steps[name].to_dataset())
    assert np.isfinite(whole["log_likelihood"]["returns"]).all()
    scratch = whole.copy()
    del scratch["state"]
    np.testing.assert_allclose(law_of(scratch).state[1].variance, law_of(whole).state[1].variance, rtol=1e-12)


def test_a_backtest_judges_what_happened_and_forecasts_what_follows():
    prices = hours(300)
    panel = bf.panel_from_prices(with_hole(prices, (250,)))
    equal = pd.DataFrame([[1 / len(COINS)] * len(COINS)], ["equal"], COINS)
    how = {"window": 200, "refit_every": 30, "progressbar": False}
    found = bf.backtest(["historical", "normal"], panel, equal, **how).isel(portfolio=0)
    blank = panel["returns"].isnull().all("asset").sel(time=found["time"])
    assert int(blank.sum()) == 2
    np.testing.assert_array_equal(found["realised"].isnull(), blank)
    there = found.isel(time=~blank.values)
    assert np.isfinite(there["var"]).all()
    assert np.isfinite(there["es"]).all()
    # before the hole nothing is known of it
    whole = bf.backtest(["historical", "normal"], bf.panel_from_prices(prices), equal, **how).isel(
        portfolio=0
    )
    early = found["time"] < found["time"][blank.values][0]
    np.testing.assert_array_equal(found["var"][early.values], whole["var"][early.values])


def test_an_episode_with_a_hole_is_what_happened_around_it():
    prices = hours(300)
    history = bf.panel_from_prices(with_hole(prices, (250,)))
    names = {f"COIN{i + 1:02d}": c for i, c in enumerate(COINS[:4])}
    history = history.sel(asset=list(names.values())).assign_coords(asset=list(names))
    history = history.drop_vars("factor_weights")
    tree = make_tree(n_assets=4, n_factors=1, n_times=60, own_market=True)
    weights = dict.fromkeys(names, 0.25)
    episode = bf.Episode(start=str(history["time"].values[240]), end=str(history["time"].values[260]))
    found = bf.stress(tree, weights, {"hole": episode}, history=history, paths=50, random_seed=1)
    moved = history["returns"].isel(time=slice(240, 261)).sum("time").values
    assert float(found["loss"].isel(scenario=0)) == pytest.approx(-(0.25 * moved).sum(), abs=1e-12)
    assert "4 of 4 coins held repeat" in str(found["note"].values[0])
