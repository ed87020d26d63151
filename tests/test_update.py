"""New days through an existing posterior."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesfactor as bf
from bayesfactor.errors import PanelError
from bayesfactor.laws import law_of

HOW = {"draws": 20, "tune": 40, "chains": 2, "random_seed": 1, "progressbar": False}


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=5, n_days=130, n_factors=2, n_groups=2, missing=0.05, random_seed=3)[0]


@pytest.fixture(scope="module", params=["gjr-skew-t", "score-skew-t", "hierarchical-t", "latent-t"])
def tree(request, panel):
    return bf.fit(request.param, panel.isel(time=slice(0, 100)), **HOW)


def groups(tree, *names):
    return [tree[n].to_dataset() for n in names if n in tree.children]


def test_days_in_any_portions_are_bitwise_all_days_at_once(tree, panel):
    whole = bf.update(tree, panel)
    steps = tree
    for last in (101, 110, 130):
        # With the days before, and without.
        steps = bf.update(steps, panel.isel(time=slice(0 if last == 110 else 90, last)))
    for a, b in zip(
        groups(whole, "log_likelihood", "state"), groups(steps, "log_likelihood", "state"), strict=True
    ):
        xr.testing.assert_identical(a, b)
    scratch = whole.copy()
    if "state" in scratch.children:
        del scratch["state"]
    for one in (whole, scratch):
        ahead = bf.forecast(one, 3, random_seed=1)["predictions"].to_dataset()
        xr.testing.assert_identical(ahead, bf.forecast(steps, 3, random_seed=1)["predictions"].to_dataset())
    rows = law_of(scratch).integrated_rows().log_density.reshape(2, 20, -1)
    assert np.array_equal(rows, whole["log_likelihood"]["returns"].values)


def test_the_state_says_what_came_last(tree, panel):
    up = bf.update(tree, panel)
    assert up.attrs["fitted_to"][:10] == str(panel["time"].values[99])[:10]
    assert up.attrs["updated_to"][:10] == str(panel["time"].values[-1])[:10]
    assert up["observed_data"].sizes["time"] == 130
    xr.testing.assert_identical(up["posterior"].to_dataset(), tree["posterior"].to_dataset())
    if "state" in tree.children:
        assert not np.array_equal(up["state"]["variance"].values, tree["state"]["variance"].values)
    xr.testing.assert_identical(
        bf.update(up, panel).to_dict()["/observed_data"], up.to_dict()["/observed_data"]
    )


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error")  # of few posterior draws
def test_an_updated_tree_is_saved_and_read(tree, panel, tmp_path):
    up = bf.update(tree, panel)
    back = bf.load(bf.save(up, tmp_path / "up.nc"))
    weights = dict.fromkeys(panel["asset"].values.tolist(), 0.2)
    risk = [bf.decompose_risk(t, weights, paths=50, random_seed=1)["var"].values for t in (up, back)]
    np.testing.assert_array_equal(*risk)


def test_permuted_assets_change_nothing(tree, panel):
    up = bf.update(tree, panel)
    other = bf.update(tree, panel.isel(asset=[3, 1, 0, 4, 2]))
    xr.testing.assert_identical(up["log_likelihood"].to_dataset(), other["log_likelihood"].to_dataset())


def test_what_contradicts_the_fit_is_refused(tree, panel):
    changed = panel.copy(deep=True)
    changed["returns"].values[50, 1] = 0.5
    hole = panel.assign(factor_returns=panel["factor_returns"].where(panel["time"] != panel["time"][110]))
    lost = panel.copy(deep=True)
    lost["returns"].values[115, 0] = -2.0
    groups = panel["group"].values.astype(object)
    groups[2] = "elsewhere"
    cases = [
        (panel.assign(returns=panel["returns"] * 100), "per cent"),
        (panel.drop_isel(time=110), "1 stamps are absent"),
        (lost, r"above -1.*-1 or less"),
        (panel.assign_attrs(returns_kind="log"), "saw simple returns, the panel holds log"),
        (panel.assign_attrs(schema_version="0"), "got '0'"),
        (panel.assign_attrs(periods_per_year=252), "that of the calendar"),
        (panel.isel(time=slice(None, None, -1)), "increasing"),
        (panel.assign_coords(group=("asset", groups)), "leaves the group of each asset.*'elsewhere'"),
        (panel.drop_attrs(), "this version reads panels of schema"),
        (changed, "differ in 1 day, the first"),
        (panel.isel(time=slice(105, 130)), "gap"),
        (panel.isel(asset=slice(0, 4)), "missing"),
        (panel.to_dataframe(), "panel"),
    ]
    if panel.sizes["factor"] == tree["constant_data"].sizes["factor"]:
        cases.append((hole, "finite in every period"))
    for given, said in cases:
        with pytest.raises(PanelError, match=said):
            bf.update(tree, given)


@pytest.mark.parametrize(("freq", "name"), [("B", "business day"), ("ME", "month"), ("h", "hour")])
def test_new_rows_follow_the_calendar_of_the_fit(freq, name):
    index = pd.date_range("2024-01-01", periods=36, freq=freq)
    returns = np.random.default_rng(4).normal(0, 0.002, (36, 4))
    table = pd.DataFrame(returns, index, list("ABCD"))
    factors = table.mean(axis=1).rename("market").to_frame() + 0.001 * np.arange(36)[:, None] % 0.003
    panel = bf.panel_from_returns(table, factors=factors)
    tree = bf.fit("pooled-t", panel.isel(time=slice(0, 30)), **HOW)
    # the 30th stamp of business days is a Friday: Monday follows it
    grown = bf.update(tree, panel.isel(time=slice(30, 36)))
    np.testing.assert_array_equal(grown["observed_data"]["time"], panel["time"])
    with pytest.raises(PanelError, match=rf"the first new {name} follows the last one seen"):
        bf.update(tree, panel.isel(time=slice(31, 36)))
    loud = panel.copy(deep=True)
    loud["returns"].values[30:] *= 100
    with pytest.raises(PanelError, match="times as large, which looks like per cent"):
        bf.update(tree, loud)
    days = pd.date_range("2024-01-01", periods=80)
    daily = pd.DataFrame(np.random.default_rng(5).normal(0, 0.02, (80, 4)), days, list("ABCD"))
    other = bf.panel_from_returns(daily, factors=daily.iloc[:, :2].mean(axis=1).rename("market").to_frame())
    with pytest.raises(PanelError, match=rf"one row each {name}.*each day"):
        bf.update(tree, other)
