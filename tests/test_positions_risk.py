"""Risk of options beside spot weights: straight books, one coin by quadrature, and parts that add up."""

import numpy as np
import pytest
from garch_trees import garch_tree
from scipy import integrate, optimize, stats
from trees import make_tree, replace, with_attrs

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import PositionsError, RiskError, WeightsError
from bayesfactor.forecast import forecast

pytestmark = [
    pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES"),
    pytest.mark.filterwarnings("ignore:the curvature of options"),
    pytest.mark.filterwarnings("ignore:no posterior of VaR and ES"),
]
FAST = {"random_seed": 1, "paths": 20}
CELLS = (s.ASSET, s.COMPONENT)


@pytest.fixture(scope="module")
def tree():
    return make_tree(chains=2, draws=25, n_assets=4)


def option(asset="COIN01", **changed):
    row = {"asset": asset, "instrument": "option", "type": "put", "quantity": 3.0, "price": 100.0}
    return row | {"strike": 90.0, "days": 30.0, "implied_volatility": 0.9} | changed


def greeks(asset="COIN01", **given):
    return {"asset": asset, "instrument": "greeks"} | given


def risk(tree, rows, weights=None, value=1000.0, **more):
    return bf.decompose_risk(tree, weights, value=value, positions=bf.read_positions(rows), **(FAST | more))


def even(tree, share=0.25):
    return dict.fromkeys(tree[s.OBSERVED_DATA][s.ASSET].values.tolist(), share)


def adds_up(found):
    for name in ("volatility", "var", "es"):
        parts = found[f"{name}_contribution"].sum(CELLS)
        np.testing.assert_allclose(parts, found[name], rtol=1e-10, atol=1e-10)
        given = found[f"{name}_contribution_posterior"].sum(CELLS)
        np.testing.assert_allclose(
            given, found[f"{name}_posterior"].transpose(*given.dims), rtol=1e-10, atol=1e-10
        )


def test_straight_positions_are_weights(tree):
    rows = [
        {"asset": a, "instrument": kind, "quantity": q, "price": 50}
        for a, kind, q in [("COIN01", "spot", 5), ("COIN02", "perpetual", -4), ("COIN04", "perpetual", 2)]
    ]
    found = risk(tree, rows, even(tree))
    weights = dict(zip(even(tree), [0.5, 0.05, 0.25, 0.35], strict=True))
    plain = bf.decompose_risk(tree, weights, value=1000.0, **FAST)
    assert found.attrs["tail_posteriors"] == plain.attrs["tail_posteriors"] == "exact"
    for name in plain.data_vars:
        at = {s.COMPONENT: plain[s.COMPONENT].values} if s.COMPONENT in plain[name].dims else {}
        np.testing.assert_allclose(found[name].sel(at), plain[name], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found["weight"], 0.25)
    np.testing.assert_allclose(found["delta_weight"], plain["weight"], rtol=1e-15)
    others = found.sel({s.COMPONENT: [s.NONLINEAR, s.CARRY]})
    assert all(not others[v].any() for v in others if s.COMPONENT in others[v].dims)


def test_positions_alone_need_no_weights(tree):
    rows = [{"asset": "COIN02", "instrument": "spot", "quantity": 10, "price": 100}]
    found = risk(tree, rows)
    plain = bf.decompose_risk(tree, even(tree, 0.0) | {"COIN02": 1.0}, value=1000.0, **FAST)
    for name in ("volatility", "var", "es", "es_posterior"):
        np.testing.assert_array_equal(found[name], plain[name])
    zero = risk(tree, rows, even(tree, 0.0))
    np.testing.assert_array_equal(zero["es"], found["es"])


@pytest.mark.parametrize("repricing", ["taylor", "full"])
@pytest.mark.parametrize("kind", ["static", "own market", "garch"])
def test_parts_add_up(kind, repricing):
    if kind == "garch":
        tree = garch_tree(n_assets=4, draws=4)
    else:
        tree = make_tree(chains=2, draws=10, n_assets=4, own_market=kind == "own market")
    rows = [option(), option("COIN03", type="call", quantity=-0.2, strike=120.0)]
    rows += [{"asset": "COIN02", "instrument": "perpetual", "quantity": 1, "price": 90, "funding": 0.001}]
    found = risk(tree, rows, even(tree), kappa=0.5, horizon=2, repricing=repricing)
    assert found[s.COMPONENT].values.tolist()[-4:] == [s.SPECIFIC, s.DRIFT, s.NONLINEAR, s.CARRY]
    adds_up(found)
    carry = found["es_contribution"].sel({s.COMPONENT: s.CARRY})
    np.testing.assert_allclose(carry.sel({s.ASSET: "COIN02"}), 2 * 90 * 0.001)
    if found.attrs["tail_posteriors"] != "exact":
        assert found["es_posterior"].isnull().all()


def test_the_order_of_assets_and_rows_changes_no_digit(tree):
    rows = [option(), option("COIN03", type="call"), option("COIN03", quantity=-1.0), option("COIN02")]
    found = risk(tree, rows, even(tree), kappa={"COIN03": 0.7}, repricing="full")
    assert found.attrs["tail_posteriors"] == "exact"
    backwards = tree.isel({s.ASSET: slice(None, None, -1)})
    backwards.attrs = tree.attrs
    other = risk(backwards, rows[::-1], even(tree), kappa={"COIN03": 0.7}, repricing="full")
    for name in ("volatility", "var", "es", "es_contribution", "es_posterior", "es_contribution_posterior"):
        np.testing.assert_array_equal(
            other[name].sel({s.ASSET: found[s.ASSET].values}) if s.ASSET in found[name].dims else other[name],
            found[name],
        )


def test_money_that_doubles_doubles_risk(tree):
    one = risk(tree, [option()], even(tree), value=1000.0, repricing="full")
    two = risk(tree, [option(quantity=6.0)], even(tree), value=2000.0, repricing="full")
    for name in one.data_vars:
        np.testing.assert_array_equal(2.0 * one[name], two[name])


def one_coin(scale=0.05):
    """A tree of one normal coin with zero mean and no uncertainty, and its standard deviation."""
    tree = make_tree(1, 1, chains=1, draws=400, normal=True, jitter=0.0)
    post = tree[s.POSTERIOR].to_dataset()
    none = {s.ALPHA: 0.0 * post[s.ALPHA], s.LOADINGS: 0.0 * post[s.LOADINGS]}
    return replace(tree, s.POSTERIOR, **none, sigma=scale + 0.0 * post[s.SIGMA]), scale


def tail_by_quadrature(loss, scale, level, ends):
    """VaR and ES of loss(r), r normal, where losses beyond x are r outside of ends(x)."""
    law = stats.norm(0.0, scale)

    def beyond(x):
        low, high = ends(x)
        return law.cdf(low) + law.sf(high)

    var = optimize.brentq(lambda x: beyond(x) - (1 - level), *(loss(q * scale) for q in (0.0, -8.0)))
    low, high = ends(var)
    inside = [
        integrate.quad(lambda r: loss(r) * law.pdf(r), a, b, epsabs=1e-13)[0]
        for a, b in ((-12 * scale, low), (high, 12 * scale))
    ]
    return var, sum(inside) / (1 - level)


def test_delta_and_gamma_of_a_normal_coin_by_quadrature():
    tree, scale = one_coin()
    delta, gamma = 1000.0, -30_000.0  # loss = -delta r - gamma r^2 / 2: long and short of an option

    def loss(r):
        return -delta * r - 0.5 * gamma * r * r

    def ends(x):
        root = np.sqrt(delta**2 - 2 * gamma * x)
        return (delta - root) / -gamma, (delta + root) / -gamma

    var, es = tail_by_quadrature(loss, scale, 0.95, ends)
    found = risk(tree, [greeks(delta=delta, gamma=gamma)], levels=(0.95,), paths=1000)
    assert float(found["var"][0]) == pytest.approx(var, rel=5e-3)
    assert float(found["es"][0]) == pytest.approx(es, rel=5e-3)
    assert float(found["volatility"]) == pytest.approx(delta * scale, rel=1e-12)
    assert found.attrs["volatility_of"] == "linear part"


def test_tails_given_a_draw_are_those_of_quadrature():
    delta, gamma = 1000.0, -6_000.0
    tree = make_tree(1, 1, chains=1, draws=100, normal=True, jitter=0.1)
    post = tree[s.POSTERIOR].to_dataset()
    none = {s.ALPHA: 0.0 * post[s.ALPHA], s.LOADINGS: 0.0 * post[s.LOADINGS]}
    tree = replace(tree, s.POSTERIOR, **none)
    found = risk(tree, [greeks(delta=delta, gamma=gamma)], levels=(0.95,))
    assert found.attrs["tail_posteriors"] == "exact"

    def ends(x):
        root = np.sqrt(delta**2 - 2 * gamma * x)
        return (delta - root) / -gamma, (delta + root) / -gamma

    wanted = np.array([
        tail_by_quadrature(lambda r: -delta * r - 0.5 * gamma * r * r, sigma, 0.95, ends)
        for sigma in post[s.SIGMA].values.ravel()
    ])  # fmt: skip
    for name, at in (("var", 0), ("es", 1)):
        gap = found[f"{name}_posterior"].values.ravel() - wanted[:, at]
        noise = float(found[f"{name}_posterior_mcse"][0])
        assert 0.5 * noise < gap.std() < 1.5 * noise  # what it says about its error is so
        assert abs(gap.mean()) < 4 * noise / np.sqrt(len(gap)) + 2e-4 * wanted[:, at].mean()
        assert noise < 0.2 * wanted[:, at].std()


def test_a_nearly_straight_book_has_nearly_the_exact_posterior(tree):
    rows = [{"asset": "COIN01", "instrument": "spot", "quantity": 5, "price": 100}]
    exact = risk(tree, rows, even(tree))
    gaps = []
    for gamma in (-20.0, -2.0):
        near = risk(tree, [*rows, greeks(gamma=gamma)], even(tree))
        assert near.attrs["tail_posteriors"] == "exact"
        gaps.append(abs(near["es_posterior"] - exact["es_posterior"]).max())
    assert gaps[1] < 1e-3 * exact["es_posterior"].max()
    assert float(gaps[0] / gaps[1]) == pytest.approx(10.0, rel=0.2)


def test_a_hedged_option_has_no_straight_part(tree):
    held = bf.read_positions([option()])
    delta = held.exposures()["delta"].iloc[0]
    rows = [option(), {"asset": "COIN01", "instrument": "perpetual", "quantity": -delta / 100, "price": 100}]
    found = risk(tree, rows)
    scale = abs(delta) * 1e-12
    assert abs(float(found["volatility"])) < scale
    parts = abs(found["es_contribution"]).max((s.ASSET, s.LEVEL))
    assert parts.drop_sel({s.COMPONENT: [s.NONLINEAR, s.CARRY]}).max() < scale
    # Long gamma gains from every move: what is lost is at most what time takes.
    assert (found["es"] <= found["es_contribution"].sel({s.COMPONENT: s.CARRY}).sum(s.ASSET) + scale).all()


def test_a_call_less_a_put_is_the_forward_they_make(tree):
    call, put = option(type="call"), option(quantity=-3.0)
    forward = [{"asset": "COIN01", "instrument": "spot", "quantity": 3.0, "price": 100.0}]
    plain = risk(tree, forward, even(tree))
    for repricing in ("taylor", "full"):
        found = risk(tree, [call, put], even(tree), repricing=repricing, kappa=0.3)
        for name in ("volatility", "var", "es", "es_posterior"):
            np.testing.assert_allclose(found[name], plain[name], rtol=1e-9)


def test_full_repricing_is_the_loss_of_the_repriced_book(tree):
    rows = [option(days=2.0), option("COIN02", type="call", quantity=-2.0)]
    held = bf.read_positions(rows)
    found = bf.decompose_risk(
        forecast(tree, 3, paths=30, random_seed=1), even(tree), horizon=3, value=1000.0,
        positions=held, kappa=0.4, repricing="full",
    )  # fmt: skip
    ahead = forecast(tree, 3, paths=30, random_seed=1)[s.PREDICTIONS].to_dataset()
    returns = ahead[s.SPECIFIC_RETURNS] + ahead[s.ALPHA]
    returns = (returns + (ahead[s.LOADINGS] * ahead[s.FACTOR_RETURNS]).sum(s.FACTOR)).sum(s.HORIZON)
    flat = returns.stack(n=(s.CHAIN, s.DRAW, s.PATH)).transpose("n", s.ASSET).to_pandas()
    gain = held.revalue(flat.reset_index(drop=True), 3.0, 0.4).sum(axis=1).to_numpy()
    loss = np.sort(-(gain + 250.0 * flat.sum(axis=1).to_numpy()))
    for level in (0.95, 0.99):
        k = int(np.ceil(round(len(loss) * (1 - level), 6)))
        assert float(found["es"].sel({s.LEVEL: level})) == pytest.approx(loss[-k:].mean(), rel=1e-10)


def test_stored_predictions_have_too_few_paths_for_a_posterior(tree):
    found = risk(forecast(tree, 1, paths=20, random_seed=1), [option()], even(tree))
    assert "the stored predictions hold 20" in found.attrs["tail_posteriors"]
    assert found["es_posterior"].isnull().all()
    assert found["volatility_posterior"].notnull().all()


def test_what_is_mostly_curvature_is_said(tree):
    rows = [option(quantity=-20.0, strike=100.0), option(quantity=-20.0, strike=100.0, type="call")]
    with pytest.warns(UserWarning, match="the curvature of options is"):
        found = risk(tree, rows, even(tree, 0.01))
    if found["es_posterior"].isnull().all():
        assert "of its posterior sd on" in found.attrs["tail_posteriors"]


def test_theta_follows_the_length_of_a_period(tree):
    hourly = with_attrs(tree, periods_per_year=365.0 * 24)
    day = risk(tree, [option()], even(tree))
    hour = risk(hourly, [option()], even(tree))
    ratio = (
        day["es_contribution"].sel({s.COMPONENT: s.CARRY}).sum()
        / hour["es_contribution"].sel({s.COMPONENT: s.CARRY}).sum()
    )
    assert float(ratio) == pytest.approx(24.0, rel=1e-12)


REFUSED = {
    "no value": ([option()], {"value": None}, RiskError, "give value"),
    "compounding": ([option()], {"compounding": True}, RiskError, "not compounded"),
    "an unknown coin": ([option("COIN9")], {}, RiskError, r"does not know: 'COIN9' \(did you mean"),
    "an expansion past expiry": ([option(days=2.0)], {"horizon": 2}, RiskError, 'repricing="full"'),
    "another repricing": ([option()], {"repricing": "exact"}, RiskError, "'taylor' .* or 'full'"),
    "kappa of what is not held": (
        [option()],
        {"kappa": {"COIN02": 1.0}},
        PositionsError,
        "without a position",
    ),
    "vega without volatility": ([greeks(vega=5.0)], {"kappa": 1.0}, PositionsError, "no implied_volatility"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused(tree, case):
    rows, more, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        risk(tree, rows, even(tree), **more)


def test_a_table_is_no_positions_and_nothing_is_no_portfolio(tree):
    with pytest.raises(RiskError, match=r"positions come from bf\.read_positions; got list"):
        bf.decompose_risk(tree, even(tree), value=1.0, positions=[option()])
    with pytest.raises(WeightsError, match="got None"):
        bf.decompose_risk(tree, None)
    with pytest.raises(WeightsError, match="every weight is zero"):
        bf.decompose_risk(tree, even(tree, 0.0))
