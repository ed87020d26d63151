"""Options in a stress: against repricing by hand, against plain weights, and by their closed form."""

import numpy as np
import pytest
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import RiskError

VALUE = 1e6
COLUMNS = ("asset", "instrument", "type", "quantity", "price", "strike", "days", "implied_volatility")
OPTIONS = [
    dict(zip(COLUMNS, ("COIN01", "option", "put", 20.0, 1000.0, 900.0, 30.0, 0.8), strict=True)),
    dict(zip(COLUMNS, ("COIN03", "option", "call", -500.0, 40.0, 50.0, 20.0, 1.1), strict=True)),
]


@pytest.fixture(scope="module")
def tree():
    return make_tree(n_assets=4, n_factors=2, draws=50, missing=0.0)


@pytest.fixture(scope="module")
def weights(tree):
    return dict(zip(tree[s.OBSERVED_DATA][s.ASSET].values.tolist(), (0.4, 0.3, 0.2, 0.1), strict=True))


@pytest.fixture(scope="module")
def positions():
    return bf.read_positions(OPTIONS)


def parts(found, of="loss"):
    return found[f"{of}_contribution"].sum((s.ASSET, s.COMPONENT))


def test_a_replay_is_the_spot_loss_and_options_repriced_at_its_returns(tree, weights, positions):
    """Two periods pass, whatever the draw says."""
    days = tree[s.OBSERVED_DATA][s.TIME].values[[10, 11]]
    returns = tree[s.OBSERVED_DATA][s.RETURNS].sel({s.TIME: days}).sum(s.TIME).to_series()
    found = bf.stress(tree, weights, bf.Episode(start=days[0], end=days[1]), value=VALUE, positions=positions)
    by_hand = -VALUE * sum(w * returns[a] for a, w in weights.items())
    by_hand -= positions.revalue(returns, days_passed=2.0).sum()
    assert found["loss"].item() == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_allclose(found["loss_posterior"], by_hand, rtol=1e-10)
    np.testing.assert_allclose(found["es"], by_hand, rtol=1e-10)


def test_parts_add_up_and_only_underlyings_are_bent(tree, weights, positions):
    asked = [bf.FactorShock({"market": -0.2}), bf.RegimeShift(0.5, 2.0)]
    found = bf.stress(tree, weights, asked, value=VALUE, positions=positions, paths=40, random_seed=1)
    np.testing.assert_allclose(parts(found), found["loss"], rtol=1e-10)
    np.testing.assert_allclose(parts(found, "es"), found["es"], rtol=1e-10)
    bent = found["loss_contribution"].sel({s.COMPONENT: [s.NONLINEAR, s.CARRY]})
    assert (bent.sel({s.ASSET: ["COIN02", "COIN04"]}) == 0.0).all()
    assert (bent.sel({s.ASSET: ["COIN01", "COIN03"]}) != 0.0).all()
    assert float(found["delta_weight"].sel({s.ASSET: "COIN01"})) < weights["COIN01"]


def test_spot_as_a_position_is_the_same_as_its_weight(tree, weights):
    spot = bf.read_positions([{"asset": "COIN02", "instrument": "spot", "quantity": 3.0, "price": 1e5}])
    asked = [bf.FactorShock({"market": -0.2}), bf.ReverseStress(0.3)]
    options = {"value": VALUE, "paths": 40, "random_seed": 1}
    beside = bf.stress(tree, {**weights, "COIN02": 0.0}, asked, positions=spot, **options)
    plain = bf.stress(tree, weights, asked, **options)
    for name in ("loss", "var", "es", "plausibility"):
        np.testing.assert_allclose(beside[name], plain[name], rtol=1e-10)


def test_the_mean_of_an_expanded_option_is_its_closed_form():
    """E[curvature R^2 / 2] = curvature (mean^2 + variance) / 2 given a draw, normal laws."""
    tree = make_tree(n_assets=3, n_factors=1, draws=100, normal=True, missing=0.0, jitter=0.0)
    greeks = bf.read_positions([{"asset": "COIN02", "instrument": "greeks", "delta": 0.0, "gamma": 5e6}])
    x = 1.5
    found = bf.stress(
        tree, None, bf.RegimeShift(0.0, x), value=VALUE, positions=greeks, repricing="taylor", random_seed=2
    )
    m = bf.forecast(tree, 1, paths=1, random_seed=1)["predictions"].isel(chain=0, draw=0, horizon=0)
    b = m["loadings"].sel(asset="COIN02").values
    mean = float(m["alpha"].sel(asset="COIN02")) + b @ m["factor_mean"].values
    variance = b @ m["factor_covariance"].values @ b + float(m["specific_variance"].sel(asset="COIN02"))
    expected = -5e6 * (mean**2 + x**2 * variance) / 2
    nonlinear = float(found["loss_contribution"].sel({s.COMPONENT: s.NONLINEAR}).sum())
    assert nonlinear == pytest.approx(expected, rel=0.02)  # 100 000 scenarios of a chi-squared: 0.45 %
    assert found["loss"].item() == pytest.approx(nonlinear, abs=1e-9 * VALUE)


def test_what_does_not_go_together_is_refused(tree, weights, positions):
    with pytest.raises(RiskError, match="give value"):
        bf.stress(tree, weights, bf.FactorShock({"market": -0.2}), positions=positions)
    sale = bf.Liquidation(dict.fromkeys(weights, 1e6))
    with pytest.raises(RiskError, match="sale over time is one of spot"):
        bf.stress(tree, weights, sale, value=VALUE, positions=positions)
    late = bf.FactorShock({"market": -0.2}, horizon=25)
    with pytest.raises(RiskError, match="outlive the horizon"):
        bf.stress(tree, weights, late, value=VALUE, positions=positions, repricing="taylor")


def test_a_reverse_stress_that_options_bend_out_of_shape_is_refused(tree, weights):
    """Three puts for each coin: by their slopes the portfolio loses when the market rises, and repriced it does not."""
    rows = [
        dict(zip(COLUMNS, (a, "option", "put", 3000.0 * w, 1000.0, 950.0, 30.0, 0.8), strict=True))
        for a, w in weights.items()
    ]
    with pytest.raises(RiskError, match="too curved for a reverse stress"):
        bf.stress(
            tree, weights, bf.ReverseStress(0.1), value=VALUE, positions=bf.read_positions(rows), paths=20
        )


def test_correlations_of_one_never_hedge(tree, weights):
    """Every factor moves against the portfolio: the regime's ES is at least that of the model's correlations."""
    for sign in (1.0, -1.0):
        held = {a: sign * w * (1.0 if i % 2 else -0.7) for i, (a, w) in enumerate(weights.items())}
        asked = {"as it is": bf.RegimeShift(0.0, 1.0), "all at once": bf.RegimeShift(1.0, 1.0)}
        es = bf.stress(tree, held, asked, paths=200, random_seed=1)["es"].sel(level=0.95).values
        assert es[1] >= es[0] * 0.99
