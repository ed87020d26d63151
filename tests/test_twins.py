"""One coin under two names, coins that share what no factor has, and coins that are wilder on one side."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from trees import make_tree, replace

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.adequacy import judge_adequacy, predictive_checks
from bayesfactor.errors import PanelError
from bayesfactor.laws.rows import own_rows
from bayesfactor.pairwise import pairwise_correlation
from bayesfactor.together import judge_together, specific_correlation

NONE = np.full(1, np.nan)


def table(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    market = 0.03 * rng.standard_normal(n)
    returns = market[:, None] + 0.02 * rng.standard_normal((n, 5))
    return pd.DataFrame(returns, pd.date_range("2023-01-01", periods=n), ["BTC", "ETH", "SOL", "ADA", "XRP"])


def with_market(returns: pd.DataFrame) -> xr.Dataset:
    return bf.panel_from_prices(100 * (1 + returns.fillna(0.0)).cumprod().where(returns.notna()))


@pytest.mark.parametrize("multiple", [1.0, 3.0, -1.0])
@pytest.mark.parametrize("door", ["prices", "returns", "fit"])
def test_an_exact_copy_is_refused_with_both_names(multiple, door):
    returns = table()
    returns["WBTC"] = multiple * returns["BTC"]
    returns.iloc[:100, 5] = np.nan
    said = "the same but for a factor: BTC and WBTC"
    if door == "fit":
        whole = bf.panel_from_returns(table().assign(WBTC=table(seed=1)["ETH"]))
        made = whole.assign(returns=((s.TIME, s.ASSET), returns.to_numpy()))
        with pytest.raises(PanelError, match=said):
            bf.fit("latent-t", made)
        return
    with pytest.raises(PanelError, match=said):
        with_market(returns) if door == "prices" else bf.panel_from_returns(returns)


def test_a_near_copy_is_named_and_coins_of_one_sector_are_not():
    rng = np.random.default_rng(1)
    returns = table()
    returns["stETH"] = returns["ETH"] + 0.001 * rng.standard_normal(len(returns))
    returns["ADA"] = returns["ADA"] * 0.5 + returns["XRP"] * 0.5  # a correlation of 0.7 is no twin
    returns.iloc[:150, 5] = np.nan
    with pytest.warns(UserWarning, match=r"two names.*: ETH and stETH \(0\.99\d\)\. .*drop="):
        with_market(returns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_market(table())
        bf.panel_from_returns(table().iloc[:, :2])
        with_market(
            table().iloc[:, :2]
        )  # what their own market leaves of two coins is the same, with two signs


def test_pairs_are_correlated_over_the_days_of_both():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((4, 90))
    values[1, :40] = values[2, 50:] = np.nan
    values[3] = np.nan
    values[3, :30] = 1.0
    found, days = pairwise_correlation(values)
    for i in range(4):
        for j in range(4):
            both = np.isfinite(values[i]) & np.isfinite(values[j])
            x, y = values[i, both], values[j, both]
            assert days[i, j] == both.sum()
            expected = 1.0 if i == j else x @ y / np.sqrt((x @ x) * (y @ y)) if len(x) else 0.0
            assert found[i, j] == pytest.approx(expected, abs=1e-12)


def refitted(tree: xr.DataTree, returns: np.ndarray) -> xr.DataTree:
    """Return a tree with other data (time, asset) and its rows anew."""
    made = replace(tree, s.OBSERVED_DATA, returns=tree[s.OBSERVED_DATA]["returns"].copy(data=returns))
    rows = own_rows(made)
    made[s.LOG_LIKELIHOOD] = xr.DataTree(xr.Dataset({s.RETURNS: rows.drop_attrs()}, attrs=rows.attrs))
    return made


def twins(*, gaps: float, own_market: bool = False) -> xr.DataTree:
    """Return a fit in which the specific return of COIN05 is that of COIN02, from day 100 on."""
    tree = make_tree(8, 2, 400, 2, 50, own_market=own_market, missing=gaps, jitter=0.005)
    law, obs = tree[s.POSTERIOR].to_dataset().mean((s.CHAIN, s.DRAW)), tree[s.OBSERVED_DATA].to_dataset()
    explained = law[s.ALPHA] + law[s.LOADINGS] @ tree[s.CONSTANT_DATA].to_dataset()[s.FACTOR_RETURNS]
    explained = explained.transpose(s.TIME, s.ASSET).values
    returns = obs[s.RETURNS].transpose(s.TIME, s.ASSET).values.copy()
    left = returns - explained
    noise = 0.02 * np.random.default_rng(3).standard_normal(len(left))
    sigma = law[s.SIGMA].values
    left[:, 4] = sigma[4] * (left[:, 1] / sigma[1] + noise)
    left[:100, 4] = np.nan
    return refitted(tree, explained + left)


@pytest.mark.parametrize(("gaps", "own_market"), [(0.0, False), (0.25, False), (0.1, True)])
def test_adequacy_names_a_pair_that_shares_its_specific_return(gaps, own_market):
    tree = twins(gaps=gaps, own_market=own_market)
    found = bf.diagnose(tree)
    assert found.attrs["adequacy"] == "warn"
    said = found.attrs["adequacy_reasons"]
    assert (
        "specific returns of COIN02 and COIN05 have a correlation of 0.9" in said
        or "correlation of 1.00" in said
    )
    assert "merge them (drop=)" in said
    assert "latent factor (hybrid-t)" in said
    assert float(found["pair_distance"]) > 20
    assert sorted(found["correlated_pair"].values.tolist()) == ["COIN02", "COIN05"]
    assert "largest eigenvalue" in said


def test_a_book_of_twins_and_a_spread_between_them_are_where_independence_fails():
    """Half and half of two coins with one specific return: what the model says against what the data have."""
    tree = twins(gaps=0.0)
    obs = tree[s.OBSERVED_DATA][s.RETURNS].to_series().unstack(s.ASSET).dropna()
    for weights, least, most in (((0.5, 0.5), 1.03, 2.0), ((1.0, -1.0), 0.0, 0.75)):
        book = dict.fromkeys(obs.columns, 0.0) | dict(zip(("COIN02", "COIN05"), weights, strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = float(bf.decompose_risk(tree, book, paths=1)["volatility"])
        ratio = (obs[["COIN02", "COIN05"]] @ np.array(weights)).std() / said
        assert least < ratio < most


@pytest.mark.parametrize("own_market", [False, True])
def test_independent_specific_returns_are_not_called_shared(own_market):
    """Distances of the largest of many are rarely above three; five is the limit, and none of these is near it."""
    far = []
    for seed in range(8):
        sizes = {"n_assets": (4, 9)[seed % 2], "missing": (0.0, 0.3)[seed // 4]}
        tree = make_tree(
            n_factors=1, n_times=250, chains=1, draws=20, own_market=own_market, data_seed=seed, **sizes
        )
        found = specific_correlation(tree)
        assert judge_together(found) == []
        far.append(float(found["pair_distance"]))
    assert max(far) < 4.5


def test_too_few_days_or_coins_say_nothing():
    for tree in (make_tree(1, 1, 60), make_tree(3, 1, 12)):
        found = specific_correlation(tree)
        assert np.isnan(found["pair_correlation"])
        assert judge_together(found) == []


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_adequacy_says_skew_who_suffers_and_which_card_cures_it(sign):
    """Right-skewed coins are wild for the short side; the law of the fit is a symmetric t of the same variance."""
    rng = np.random.default_rng(5)
    tree = make_tree(10, 1, 600, 2, 60, missing=0.05, jitter=0.005)
    law = tree[s.POSTERIOR].to_dataset().mean((s.CHAIN, s.DRAW))
    explained = law[s.ALPHA] + law[s.LOADINGS] @ tree[s.CONSTANT_DATA].to_dataset()[s.FACTOR_RETURNS]
    explained = explained.transpose(s.TIME, s.ASSET).values
    returns = tree[s.OBSERVED_DATA][s.RETURNS].transpose(s.TIME, s.ASSET).values.copy()
    for i in (2, 5, 8):
        chi = rng.chisquare(4, len(returns))
        returns[:, i] = explained[:, i] + sign * 1.4 * float(law[s.SIGMA][i]) * (chi - 4) / np.sqrt(8)
    checks = predictive_checks(refitted(tree, returns))
    verdict, reasons = judge_adequacy(checks, NONE)
    assert verdict == "warn"
    (line,) = [r for r in reasons if r.startswith("skew of")]
    assert "COIN03, COIN06, COIN09." in line
    assert ("rises go further" if sign > 0 else "falls go further") in line
    assert f"VaR and ES of {'short' if sign > 0 else 'long'} positions in them are too small" in line
    assert "gjr-skew-t or score-skew-t" in line
    assert "gjr-skew-t" not in "".join(judge_adequacy(checks, NONE, skewed=True)[1])
    _, plain = judge_adequacy(predictive_checks(tree), NONE)
    assert not any("skew" in r for r in plain)
