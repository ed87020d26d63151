"""What trades do to risk: against the portfolio after the trade, closed forms and small differences."""

import numpy as np
import pandas as pd
import pytest
from garch_trees import garch_tree
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import RiskError, WeightsError
from bayesfactor.forecast import forecast, predict
from bayesfactor.laws.blocks import block_rng

pytestmark = pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
FAST = {"random_seed": 1, "paths": 20}
NAMES = ("volatility", "var", "es")
HELD = {"COIN01": 0.5, "COIN02": 0.3, "COIN03": 0.0, "COIN04": -0.2}
TRADES = {"switch": {"COIN01": -0.2, "COIN03": 0.2}, "less": {"COIN01": -0.1}, "out": {"COIN02": -0.3}}


@pytest.fixture(scope="module")
def tree():
    return make_tree(chains=2, draws=25, n_assets=4)


@pytest.fixture(scope="module")
def found(tree):
    return bf.incremental_risk(tree, HELD, TRADES, **FAST)


def after(trade):
    return {a: w + trade.get(a, 0.0) for a, w in HELD.items()}


def test_before_and_after_are_what_decompose_risk_says(tree, found):
    for name, weights in [("before", HELD), *((t, after(TRADES[t])) for t in TRADES)]:
        plain = bf.decompose_risk(tree, weights, **FAST)
        suffix = "" if name == "before" else "_after"
        at = found if name == "before" else found.sel({s.TRADE: name})
        for x in NAMES:
            np.testing.assert_allclose(at[f"{x}{suffix}"], plain[x], rtol=1e-12)
            given = at[f"{x}{suffix}_posterior"]
            np.testing.assert_allclose(given, plain[f"{x}_posterior"].transpose(*given.dims), rtol=1e-12)
            shares = plain[f"{x}_contribution"] / plain[x]
            np.testing.assert_allclose(at[f"{x}_share{suffix}"], shares, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(at[f"es{suffix}_mcse"], plain["es_mcse"], rtol=1e-9)


def test_changes_are_differences_and_shares_add_up(found):
    for x in NAMES:
        gap = found[f"{x}_after"] - found[x]
        np.testing.assert_array_equal(found[f"{x}_change"], gap.transpose(*found[f"{x}_change"].dims))
        gap = found[f"{x}_after_posterior"] - found[f"{x}_posterior"]
        np.testing.assert_array_equal(
            found[f"{x}_change_posterior"], gap.transpose(*found[f"{x}_change_posterior"].dims)
        )
        for share in (found[f"{x}_share"], found[f"{x}_share_after"]):
            np.testing.assert_allclose(share.sum((s.ASSET, s.COMPONENT)), 1.0, rtol=1e-10)
    assert found["es_share_after"].sel({s.TRADE: "out", s.ASSET: "COIN02"}).max() == 0.0
    assert found["change"].sel({s.TRADE: "switch"}).values.tolist() == [-0.2, 0.0, 0.2, 0.0]


def test_marginals_are_eulers_gradients(found):
    weights = found["weight"]
    for x in NAMES:
        np.testing.assert_allclose((found[f"{x}_marginal"] * weights).sum(s.ASSET), found[x], rtol=1e-10)
        predicted = (found["change"] * found[f"{x}_marginal"]).sum(s.ASSET)
        np.testing.assert_allclose(
            found[f"{x}_first_order"], predicted.transpose(*found[f"{x}_first_order"].dims), rtol=1e-10
        )


def test_a_small_trade_does_what_the_marginal_says(tree):
    step = 1e-5
    for asset in HELD:
        up, down = ({"up": {asset: h}} for h in (step, -step))
        one, other = (bf.incremental_risk(tree, HELD, t, **FAST) for t in (up, down))
        for x, tolerance in (("volatility", 1e-8), ("es", 1e-3)):
            slope = (one[f"{x}_after"].values - other[f"{x}_after"].values) / (2 * step)
            marginal = one[f"{x}_marginal"].sel({s.ASSET: asset}).values
            np.testing.assert_allclose(
                slope[0], marginal, rtol=tolerance, atol=tolerance * float(one[x].max())
            )


def test_two_trades_that_cancel_leave_the_portfolio(tree, found):
    back = {a: -w for a, w in TRADES["switch"].items()}
    returned = bf.incremental_risk(tree, after(TRADES["switch"]), {"back": back}, **FAST)
    for x in NAMES:
        there = found[f"{x}_change"].sel({s.TRADE: "switch"})
        np.testing.assert_allclose(returned[f"{x}_change"].values[0], -there.values, rtol=1e-10, atol=1e-15)


def test_the_order_of_assets_changes_no_digit(tree, found):
    backwards = tree.isel({s.ASSET: slice(None, None, -1)})
    backwards.attrs = tree.attrs
    other = bf.incremental_risk(backwards, HELD, TRADES, **FAST)
    for name in found.data_vars:
        at = {s.ASSET: found[s.ASSET].values} if s.ASSET in found[name].dims else {}
        np.testing.assert_array_equal(other[name].sel(at), found[name], err_msg=str(name))


def test_money_scales_all_but_shares(tree, found):
    money = bf.incremental_risk(tree, HELD, TRADES, value=1e6, **FAST)
    for name in found.data_vars:
        unit = 1.0 if "_share" in name or name == "change" else 1e6
        np.testing.assert_allclose(money[name], unit * found[name], rtol=1e-12, err_msg=str(name))
    assert money.attrs["units"] == "money"


def test_volatility_of_normal_returns_changes_as_its_quadratic_form_does():
    tree = make_tree(chains=1, draws=1, n_assets=4, normal=True)
    found = bf.incremental_risk(tree, HELD, TRADES, **FAST)
    one = tree[s.POSTERIOR].to_dataset().isel(chain=0, draw=0)
    b, scale = one[s.LOADINGS].transpose(s.ASSET, s.FACTOR).values, one[s.FACTOR_SCALE].values
    cov = b @ (one[s.FACTOR_CORRELATION].values * np.outer(scale, scale)) @ b.T + np.diag(
        one[s.SIGMA].values ** 2
    )
    w = np.array(list(HELD.values()))
    np.testing.assert_allclose(found["volatility_marginal"], cov @ w / np.sqrt(w @ cov @ w), rtol=1e-10)
    for name, trade in TRADES.items():
        v = np.array(list(after(trade).values()))
        wanted = np.sqrt(v @ cov @ v) - np.sqrt(w @ cov @ w)
        assert float(found["volatility_change"].sel({s.TRADE: name})) == pytest.approx(wanted, rel=1e-9)


def test_changes_are_known_better_than_levels(found):
    assert (found["es_change_mcse"].sel({s.TRADE: "less"}) < 0.5 * found["es_mcse"]).all()
    spread = found["es_change_posterior"].std((s.CHAIN, s.DRAW))
    assert (spread < found["es_after_posterior"].std((s.CHAIN, s.DRAW))).sel({s.TRADE: "less"}).all()


def test_a_portfolio_that_is_sold_has_no_risk_and_no_shares(tree):
    all_of_it = {"sell all": {a: -w for a, w in HELD.items()}, "less": {"COIN01": -0.1}}
    with pytest.warns(UserWarning, match="nothing is held in 'sell all'"):
        found = bf.incremental_risk(tree, HELD, all_of_it, **FAST)
    sold = found.sel({s.TRADE: "sell all"})
    for x in NAMES:
        assert (sold[f"{x}_after"] == 0.0).all()
        assert (sold[f"{x}_after_posterior"] == 0.0).all()
        assert sold[f"{x}_share_after"].isnull().all()
        assert found[f"{x}_share_after"].sel({s.TRADE: "less"}).notnull().all()


def test_a_first_position_has_risk_and_no_marginal(tree):
    with pytest.warns(UserWarning, match="nothing is held in 'before'"):
        found = bf.incremental_risk(tree, dict.fromkeys(HELD, 0.0), {"buy": {"COIN02": 1.0}}, **FAST)
    plain = bf.decompose_risk(tree, dict.fromkeys(HELD, 0.0) | {"COIN02": 1.0}, **FAST)
    np.testing.assert_allclose(found["es_change"].values[0], plain["es"], rtol=1e-12)
    assert found["es_marginal"].isnull().all()
    assert found["volatility_first_order"].isnull().all()


def test_what_rounding_leaves_of_a_position_is_closed(tree):
    held = dict.fromkeys(HELD, 0.0) | {"COIN01": 0.1 + 0.2}
    with pytest.warns(UserWarning, match="nothing is held in 'out'"):
        found = bf.incremental_risk(tree, held, {"out": {"COIN01": -0.3}}, **FAST)
    assert (found["es_after"] == 0.0).all()


def test_a_table_of_trades_says_the_same(tree, found):
    table = pd.DataFrame(TRADES).T
    other = bf.incremental_risk(tree, HELD, table, **FAST)
    for name in found.data_vars:
        np.testing.assert_array_equal(other[name], found[name])


def test_skewed_and_chained_laws_have_trades_too():
    tree = garch_tree(n_assets=3, draws=4)
    held = {"COIN01": 0.5, "COIN02": 0.5, "COIN03": 0.0}
    found = bf.incremental_risk(tree, held, {"t": {"COIN03": 0.2}}, horizon=2, **FAST)
    plain = bf.decompose_risk(tree, held | {"COIN03": 0.2}, horizon=2, **FAST)
    assert found.attrs["tail_posteriors"] == plain.attrs["tail_posteriors"]
    np.testing.assert_allclose(found["es_after"].values[0], plain["es"], rtol=1e-12)


REFUSED = {
    "an unknown coin": ({"t": {"COIN9": 0.1}}, r"trade 't' names assets .* 'COIN9' \(did you mean"),
    "a change that is NaN": ({"t": {"COIN01": np.nan}}, "finite numbers; trade 't'"),
    "a word": ({"t": {"COIN01": "some"}}, "finite numbers"),
    "no trade": ({}, "no trade to measure"),
    "a number": (0.1, "got float"),
    "a trade that is a number": ({"t": 0.1}, "trade 't' is a mapping"),
    "a name twice": (pd.DataFrame({"COIN01": [0.1, 0.2]}, index=["t", "t"]), "t more than once"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_trades_are_refused_by_name(tree, case):
    trades, message = REFUSED[case]
    with pytest.raises(WeightsError, match=message):
        bf.incremental_risk(tree, HELD, trades, **FAST)


def test_value_and_levels_are_checked(tree):
    with pytest.raises(RiskError, match="finite number above 0"):
        bf.incremental_risk(tree, HELD, TRADES, value=0.0)
    with pytest.raises(RiskError, match="confidence levels"):
        bf.incremental_risk(tree, HELD, TRADES, levels=(5,))


def test_paths_in_batches_are_the_paths_one_by_one(tree):
    found = predict(tree, 2, random_seed=3)
    n = found.moments.n_draws
    blocks = list(found.scenarios(range(5, 15)))
    assert len(blocks) == 10
    for path, block in zip(range(5, 15), blocks, strict=True):
        alone = found.law.simulate(block_rng(3, path, 0), 2, slice(0, n))
        np.testing.assert_array_equal(block.factor_returns, alone.factor_returns)
        np.testing.assert_array_equal(block.specific_returns, alone.specific_returns)


def test_stored_paths_give_the_numbers_of_streamed_ones(tree):
    stored = forecast(tree, 1, paths=20, random_seed=1)
    one, other = (bf.incremental_risk(t, HELD, TRADES, **FAST) for t in (tree, stored))
    for x in NAMES:
        np.testing.assert_allclose(one[f"{x}_change"], other[f"{x}_change"], rtol=1e-10)
