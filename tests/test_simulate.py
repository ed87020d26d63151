"""The synthetic market: legal, reproducible, of crypto's magnitudes, and true to its truth."""

import numpy as np
import pytest
import xarray as xr

from bayesfactor.panel import check_panel, check_span, panel_digests
from bayesfactor.simulate import simulate_panel

TRUTH_DIMS = {
    "loadings": ("asset", "factor"),
    "group_loadings": ("group", "factor"),
    "loadings_mean": ("factor",),
    "loadings_sd": ("factor",),
    "group_loadings_sd": ("factor",),
    "alpha": ("asset",),
    "sigma": ("asset",),
    "nu": ("asset",),
    "group_index": ("asset",),
    "factor_location": ("factor",),
    "factor_scale": ("factor",),
    "factor_correlation": ("factor", "factor_other"),
    "factor_nu": (),
}


def standardised(panel: xr.Dataset, truth: xr.Dataset) -> xr.DataArray:
    """Return what the law calls e: the specific returns in units of sigma."""
    systematic = (truth.loadings * panel.factor_returns).sum("factor")
    return (panel.returns - truth.alpha - systematic) / truth.sigma


def test_the_same_seed_gives_the_same_market_bit_for_bit():
    for one, other in zip(simulate_panel(random_seed=5), simulate_panel(random_seed=5), strict=True):
        xr.testing.assert_identical(one, other)
    assert panel_digests(simulate_panel(random_seed=6)[0]) != panel_digests(simulate_panel(random_seed=5)[0])


def test_the_truth_has_the_names_and_dims_of_a_posterior():
    panel, truth = simulate_panel(n_assets=7, n_days=50, n_factors=2, n_groups=3, random_seed=1)
    assert {k: v.dims for k, v in truth.data_vars.items()} == TRUTH_DIMS
    assert panel.sizes == {"time": 50, "asset": 7, "factor": 2}
    assert truth.factor.to_numpy().tolist() == panel.factor.to_numpy().tolist() == ["market", "size"]
    assert panel.family.to_numpy().tolist() == ["market", "style"]
    assert truth.asset.to_numpy().tolist() == panel.asset.to_numpy().tolist()
    np.testing.assert_array_equal(truth.group[truth.group_index], panel.group)
    assert "factor_weights" not in panel


@pytest.mark.parametrize(
    "sizes",
    [
        {"n_assets": 1, "n_groups": 1, "n_factors": 1, "n_days": 20},
        {"n_assets": 2, "n_groups": 2, "n_factors": 9, "n_days": 40, "missing": 0.9},
        {"n_assets": 120, "n_groups": 11, "n_factors": 2, "n_days": 30, "missing": 0},
        {"n_assets": 3, "n_groups": 1, "n_days": 20, "missing": 0.99, "start": "2020-02-29"},
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_every_size_of_market_is_a_legal_panel(sizes: dict, seed: int):
    panel, truth = simulate_panel(**sizes, random_seed=seed)
    check_panel(panel)
    check_span(panel)
    assert np.linalg.eigvalsh(truth.factor_correlation).min() > 0.1
    assert len(set(panel.group.to_numpy().tolist())) == sizes["n_groups"]


@pytest.mark.parametrize("seed", range(4))
def test_magnitudes_are_those_of_crypto(seed: int):
    panel, truth = simulate_panel(random_seed=seed)
    volatility = panel.returns.std("time")
    assert 0.03 < float(volatility.median()) < 0.08
    assert bool(((volatility > 0.015) & (volatility < 0.15)).all())
    factor_volatility = panel.factor_returns.std("time")
    assert 0.025 < float(factor_volatility[0]) < 0.055
    assert bool((factor_volatility[1:] < factor_volatility[0]).all())
    assert bool((panel.returns > -1).all() | panel.returns.isnull().any())
    assert 3 < float(truth.nu.median()) < 5
    assert bool((abs(truth.loadings[:, 0]) > abs(truth.loadings[:, 1:]).mean("factor")).mean() > 0.8)


def test_the_panel_follows_the_law_of_its_truth():
    panel, truth = simulate_panel(n_assets=40, n_days=4000, missing=0, random_seed=11)
    noise = standardised(panel, truth)
    # quartiles of Student-t, since variances at nu about 4 settle slowly
    from scipy import stats

    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        inside = noise < xr.DataArray(stats.t.ppf(q, truth.nu), dims="asset", coords={"asset": truth.asset})
        assert abs(float(inside.mean()) - q) < 0.004
    shocks = (panel.factor_returns - truth.factor_location) / truth.factor_scale
    share = (shocks < stats.t.ppf(0.25, float(truth.factor_nu))).mean("time")
    np.testing.assert_allclose(share, 0.25, atol=0.03)
    rank = stats.spearmanr(shocks).statistic
    np.testing.assert_allclose(rank, truth.factor_correlation, atol=0.06)
    assert abs(float(xr.corr(noise[:, 0], noise[:, 1]))) < 0.06


def test_loadings_scatter_about_their_groups_as_the_truth_says():
    _, truth = simulate_panel(n_assets=600, n_groups=3, n_days=20, missing=0, random_seed=2)
    spread = truth.loadings - truth.group_loadings[truth.group_index].drop_vars("group")
    np.testing.assert_allclose(spread.std("asset"), truth.loadings_sd, rtol=0.1)
    np.testing.assert_allclose(spread.mean("asset"), 0, atol=0.04)


def test_a_complete_market_has_no_hole_and_another_has_the_share_asked_for():
    assert not simulate_panel(missing=0, random_seed=3)[0].returns.isnull().any()
    panel, _ = simulate_panel(n_assets=40, n_days=400, missing=0.25, random_seed=3)
    there = panel.returns.notnull()
    first = there.argmax("time")
    late = first > 1
    assert int(late.sum()) == 10
    assert bool(((first >= 80) & (first <= 280))[late].all())
    last = 399 - there.isel(time=slice(None, None, -1)).argmax("time")
    assert np.sort(last)[0] == 319
    assert int((last < 398).sum()) == 1
    inside = (there.time >= there.time[first]) & (there.time <= there.time[last])
    assert 1 <= int((inside & ~there).sum()) <= 10


def test_missing_cells_leave_the_others_as_they_were():
    holed, complete = (simulate_panel(missing=m, random_seed=4)[0].returns for m in (0.2, 0))
    np.testing.assert_array_equal(holed, complete.where(holed.notnull()))
