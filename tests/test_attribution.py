"""Returns are split without remainder, premia are found again, and what moves nothing is not selected."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from trees import make_tree, with_means

import bayesfactor as bf
from bayesfactor import schema as s


@pytest.fixture(scope="module")
def tree():
    return make_tree(n_assets=6, n_factors=3, n_times=400, missing=0.1, draws=50)


@pytest.fixture(scope="module")
def weights(tree):
    assets = tree["posterior"]["asset"].values
    return dict(zip(assets, [0.4, 0.3, -0.2, 0.0, 0.5, 0.1], strict=True))


PERIODS = [None, "ME", "QE", "YE", "W", "2D", ("2023-02-01", "2023-05-10"), (None, "2023-03-01")]


@pytest.mark.parametrize("period", PERIODS[:-1])
def test_parts_add_up_to_what_was_earned(tree, weights, period):
    if isinstance(period, tuple):
        stamps = tree["observed_data"]["time"].values
        period = (stamps[20], stamps[150])
    found = bf.attribute_returns(tree, weights, period)
    np.testing.assert_allclose(found["contribution"].sum("component"), found["realised"], rtol=0, atol=1e-10)
    by_asset = found["asset_contribution"].sum("asset")
    np.testing.assert_allclose(by_asset, found["contribution"], rtol=0, atol=1e-10)
    returns = tree["observed_data"]["returns"].transpose("time", "asset")
    w = np.array([weights[a] for a in returns["asset"].values])
    daily = pd.Series(returns.fillna(0.0).values @ w, index=returns["time"].values)
    for name, a, b in zip(found["period"].values, found["start"].values, found["end"].values, strict=True):
        assert float(found["realised"].sel(period=name)) == pytest.approx(daily.loc[a:b].sum(), abs=1e-12)
    low, high = found["contribution_low"], found["contribution_high"]
    assert ((low <= found["contribution"] + 1e-12) & (found["contribution"] <= high + 1e-12)).all()


def test_periods_add_up_to_the_whole(tree, weights):
    months, whole = bf.attribute_returns(tree, weights, "ME"), bf.attribute_returns(tree, weights)
    np.testing.assert_allclose(months["contribution"].sum("period"), whole["contribution"][0], atol=1e-12)
    assert int(months["n_days"].sum()) == tree["observed_data"].sizes["time"]


def test_one_draw_is_attributed_as_by_hand(tree, weights):
    one = tree.isel(chain=[1], draw=[7])
    found = bf.attribute_returns(one, weights)
    post, obs = (
        with_means(one, "posterior")["posterior"].to_dataset().squeeze(),
        one["observed_data"]["returns"],
    )
    w = xr.DataArray(list(weights.values()), dims="asset", coords={"asset": list(weights)})
    there = obs.notnull()
    by_factor = (w * post["loadings"] * (there * one["constant_data"]["factor_returns"]).sum("time")).sum(
        "asset"
    )
    np.testing.assert_allclose(found["contribution"][0, :3], by_factor.transpose("factor"), rtol=1e-12)
    drift = float((w * post["alpha"] * there.sum("time")).sum())
    assert float(found["contribution"].sel(component="drift")[0]) == pytest.approx(drift, rel=1e-12)
    assert found.attrs["missing_cells"] == int((~there).sel(asset=[a for a, v in weights.items() if v]).sum())


def test_attribution_does_not_depend_on_the_order_of_assets(tree, weights):
    shuffled = dict(reversed(weights.items()))
    a, b = bf.attribute_returns(tree, weights, "QE"), bf.attribute_returns(tree, shuffled, "QE")
    xr.testing.assert_identical(a, b)


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("XX", "pandas frequency"),
        (("2031-01-01", "2031-02-01"), "none lies between"),
        (5, "pandas frequency"),
    ],
)
def test_periods_that_mean_nothing_are_refused(tree, weights, period, words):
    with pytest.raises(bf.RiskError, match=words):
        bf.attribute_returns(tree, weights, period)


def test_weights_and_trees_are_checked(tree, weights):
    with pytest.raises(bf.WeightsError, match="needs a weight"):
        bf.attribute_returns(tree, dict(list(weights.items())[:3]))
    with pytest.raises(bf.SchemaError, match="attribute_returns"):
        bf.attribute_returns(xr.DataTree(), weights)


def with_loadings(tree, loadings):
    post = tree["posterior"].to_dataset()
    out = tree.copy()
    out["posterior"] = xr.DataTree(post.assign(loadings=post["loadings"].copy(data=loadings)))
    return out


def test_selection_is_the_share_of_draws_above_the_threshold(tree):
    post = tree["posterior"]["loadings"].transpose("chain", "draw", "asset", "factor")
    found = bf.select_factors(tree, threshold=0.2)
    factors, returns = tree["constant_data"]["factor_returns"], tree["observed_data"]["returns"]
    effect = np.abs(post) * factors.std("time") / returns.std("time")
    xr.testing.assert_allclose(
        found["probability"].reset_coords(drop=True),
        (effect > 0.2).mean(("chain", "draw")).reset_coords(drop=True),
    )
    np.testing.assert_allclose(found["factor_effect"], effect.mean(("chain", "draw", "asset")), rtol=1e-10)
    over_all = (effect.mean("asset") > 0.2).mean(("chain", "draw"))
    np.testing.assert_allclose(found["factor_probability"], over_all)
    np.testing.assert_array_equal(found["selected"], over_all > 0.5)
    assert found.sizes["group"] == 2


def test_a_factor_without_loadings_is_not_selected(tree):
    values = tree["posterior"]["loadings"].transpose("chain", "draw", "asset", "factor").values.copy()
    values[..., 1] *= 1e-6
    post = tree["posterior"]["loadings"]
    quiet = with_loadings(
        tree,
        post.transpose("chain", "draw", "asset", "factor").copy(data=values).transpose(*post.dims).values,
    )
    found = bf.select_factors(quiet)
    assert found["selected"].values.tolist()[:2] == [True, False]
    assert float(found["probability"].sel(factor="size").max()) == 0.0


@pytest.mark.parametrize("threshold", [0, -1, np.nan, "much", True])
def test_thresholds_are_positive_numbers(tree, threshold):
    with pytest.raises(bf.RiskError, match="threshold"):
        bf.select_factors(tree, threshold)


def test_systematic_share_is_that_of_the_formula(tree):
    found = bf.systematic_share(tree)
    one = tree.isel(chain=[0], draw=[3])
    share = bf.systematic_share(one)
    post = one["posterior"].to_dataset().squeeze()
    asset = post["asset"].values[2]
    r = one["observed_data"]["returns"].sel(asset=asset)
    rows = r.notnull().values
    fitted = one["constant_data"]["factor_returns"].values[rows] @ post["loadings"].sel(asset=asset).values
    expected = fitted.var() / (fitted.var() + (r.values[rows] - fitted).var())
    assert float(share["systematic_share"].sel(asset=asset)) == pytest.approx(expected, rel=1e-10)
    assert ((found["systematic_share"] > 0) & (found["systematic_share"] < 1)).all()
    assert (found["systematic_share_low"] <= found["systematic_share_high"]).all()
    assert found.sizes["group"] == 2


def priced(seed, *, n=50, t=800, mispricing=0.0, draws=200):
    """A tree with the least-squares posterior of a market in which one driver has a premium."""
    rng = np.random.default_rng(seed)
    premium = np.array([0.001, 0.002])
    loadings = np.c_[1 + 0.3 * rng.normal(size=n), 0.01 * rng.normal(size=n)]
    loadings[:, 1] += 0.003
    alpha = mispricing * rng.normal(size=n)
    f = np.c_[0.03 * rng.normal(size=t) + premium[0], rng.normal(size=t)]
    # The driver is a standardised innovation: what it pays, 0.2 a unit, is not its mean.
    paid = 0.2
    r = alpha + loadings[:, 1] * paid + f @ loadings.T + 0.04 * rng.normal(size=(t, n))
    x = np.c_[np.ones(t), f]
    inverse = np.linalg.inv(x.T @ x)
    centre = inverse @ x.T @ r
    sd = np.sqrt(((r - x @ centre) ** 2).sum(axis=0) / (t - 3))
    noise = np.linalg.cholesky(inverse) @ rng.normal(size=(draws, 3, n))
    post = centre + noise * sd
    location = f.mean(axis=0) + f.std(axis=0) / np.sqrt(t) * rng.normal(size=(draws, 2))
    names, assets = ["market", "hash"], [f"C{i:02d}" for i in range(n)]
    scale = np.broadcast_to(f.std(axis=0), (1, draws, 2))
    base = make_tree(n_assets=2, n_factors=2, n_times=50, draws=10)
    coords = {"asset": assets, "factor": names, "time": pd.date_range("2020-01-01", periods=t)}
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {
                    "alpha": (("chain", "draw", "asset"), post[None, :, 0]),
                    "loadings": (("chain", "draw", "asset", "factor"), post[None, :, 1:].swapaxes(2, 3)),
                    "sigma": (("chain", "draw", "asset"), np.broadcast_to(sd, (1, draws, n))),
                    "nu": (("chain", "draw", "asset"), np.full((1, draws, n), 1e3)),
                    "factor_location": (("chain", "draw", "factor"), location[None]),
                    "factor_scale": (("chain", "draw", "factor"), scale),
                    "factor_correlation": (
                        ("chain", "draw", "factor", "factor_other"),
                        np.broadcast_to(np.eye(2), (1, draws, 2, 2)),
                    ),
                    "factor_nu": (("chain", "draw"), np.full((1, draws), 1e3)),
                },
                coords={k: coords[k] for k in ("asset", "factor")} | {"factor_other": names},
            ),
            "observed_data": xr.Dataset(
                {"returns": (("time", "asset"), r)},
                coords=coords | {"group": ("asset", ["g"] * n)},
                attrs={"periods_per_year": 365},
            ),
            "constant_data": xr.Dataset(
                {
                    "factor_returns": (("time", "factor"), f),
                    "returns_unit": ((), 1.0),
                    "factor_unit": ("factor", np.ones(2)),
                },
                coords=coords | {"family": ("factor", ["market", "on-chain"]), "group": ("asset", ["g"] * n)},
            ),
        }
    )
    # Least squares: the card believes nothing of means.
    card = str(base.attrs["card"]).replace("sigma = 1.9", "sigma = 1e6").replace("sigma = 3.8", "sigma = 1e6")
    tree.attrs = base.attrs | {"card": card} | s.label_digests(tree["constant_data"].to_dataset())
    return tree, paid


@pytest.mark.parametrize("mispricing", [0.0, 0.002])
def test_premia_are_found_again_with_honest_intervals(mispricing):
    """90 % intervals of a driver's premium over 60 markets, with and without mispricing."""
    inside, errors = 0, []
    for seed in range(60):
        tree, paid = priced(seed, mispricing=mispricing)
        found = bf.decompose_premium(tree, random_seed=seed)
        low, high = (float(found[f"premium_{e}"].sel(factor="hash")) for e in ("low", "high"))
        inside += low <= paid <= high
        errors.append(float(found["premium"].sel(factor="hash")) - paid)
    # 60 draws of a binomial: 0.9 plus or minus two and a half standard errors.
    assert 0.80 <= inside / 60 <= 1.0
    assert abs(np.mean(errors)) < 3.0 * np.std(errors) / np.sqrt(60) + 0.02


def test_expected_return_is_alpha_and_premia_without_remainder():
    tree, _ = priced(1)
    found = bf.decompose_premium(tree, random_seed=1)
    total = found["alpha"] + found["premium_contribution"].sum("factor")
    np.testing.assert_allclose(total, found["expected_return"], atol=1e-12)
    assert found["traded"].values.tolist() == [True, False]
    assert "years" in found.attrs["identification"]
    assert found.attrs["years"] == pytest.approx(800 / 365)
    again = bf.decompose_premium(tree, random_seed=1)
    xr.testing.assert_identical(found, again)


def skewed_fit(seed=3, n=4, t=900):
    """A tree whose centres are those of a robust law, far below the means of returns skewed to the right."""
    tree = make_tree(n_assets=n, n_factors=2, n_times=t, missing=0.0, draws=50, seed=seed)
    rng = np.random.default_rng(seed)
    jumps = 0.03 * (rng.exponential(size=(t, n)) - np.log(2.0))
    data = tree["observed_data"].to_dataset()
    skewed = data["returns"] + xr.DataArray(jumps, dims=("time", "asset"))
    tree["observed_data"] = xr.DataTree(data.assign(returns=skewed))
    return tree


def test_the_mean_of_skewed_coins_is_expected_and_not_the_centre_of_their_law():
    """0.03 (1 - ln 2) a day above the centre, within four standard errors of the sample's own means."""
    tree = skewed_fit()
    found = bf.decompose_premium(tree, random_seed=1)
    returns = tree["observed_data"]["returns"]
    sample, error = returns.mean("time"), returns.std("time") / np.sqrt(returns.sizes["time"])
    assert (abs(found["expected_return"] - sample) < 4.0 * error).all()
    centre = tree["posterior"]["alpha"].mean(("chain", "draw"))
    assert (found["alpha"] - centre > 2.0 * error).all()
    assert found.attrs["drift"] == "posterior"
    with_drift = bf.attribute_returns(tree, "equal")["contribution"][0]
    assert abs(float(with_drift.sel(component="specific"))) < 0.35 * returns.sizes["time"] * 0.03 * (
        1 - np.log(2)
    )


def test_own_market_is_the_average_of_what_its_coins_are_expected_to_earn():
    tree = make_tree(n_assets=5, n_factors=1, n_times=300, own_market=True, draws=40)
    found = bf.decompose_premium(tree, random_seed=1)
    assert float(found["expected_return"].mean()) == pytest.approx(float(found["premium"][0]), abs=1e-12)


def test_drivers_need_a_cross_section(tree):
    one = make_tree(n_assets=2, n_factors=3, n_times=60, draws=20)
    with pytest.raises(bf.RiskError, match="more assets than drivers"):
        bf.decompose_premium(one, traded=["market"])
    with pytest.raises(bf.RiskError, match="unknown: 'marked'"):
        bf.decompose_premium(tree, traded=["marked"])
    assert s.FAMILY in bf.decompose_premium(tree, random_seed=1).coords
