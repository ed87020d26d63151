"""Replays, sales and files of scenarios; and everything that is refused, with its remedy."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from garch_trees import garch_tree
from latent_trees import latent_tree
from trees import make_tree, replace, with_means

import bayesfactor as bf
from bayesfactor import schema as s

FEW = {"paths": 20, "random_seed": 1}


def weights_of(tree):
    assets = tree[s.OBSERVED_DATA][s.ASSET].values.tolist()
    return {a: (i + 1) / 10 * (-1) ** (i == 1) for i, a in enumerate(assets)}


def history_of(tree, *, young=(), days=200, seed=5):
    """Return a panel from 2020-01-01 with the tree's factors, in which some coins have no return."""
    rng = np.random.default_rng(seed)
    stamps = pd.date_range("2020-01-01", periods=days)
    assets = [str(a) for a in tree[s.OBSERVED_DATA][s.ASSET].values]
    factors = [str(f) for f in tree[s.CONSTANT_DATA][s.FACTOR].values]
    table = pd.DataFrame(rng.normal(0.0, 0.03, (days, len(factors))), stamps, factors)
    returns = pd.DataFrame(rng.normal(0.0, 0.05, (days, len(assets))), stamps, assets).drop(
        columns=list(young)
    )
    return bf.panel_from_returns(returns, factors=table)


COVID = pd.date_range("2020-03-08", "2020-03-12")
TREES = {
    "static": lambda: make_tree(n_assets=4, draws=25),
    "own market": lambda: make_tree(n_assets=4, draws=25, own_market=True),
    "hybrid": lambda: latent_tree(n_factors=2),
    "scores": lambda: latent_tree("scores", n_factors=2),
    "garch": lambda: garch_tree(draws=10),
}


@pytest.mark.parametrize("name", TREES)
def test_a_replay_of_coins_that_existed_is_their_own_returns_whatever_the_draw(name):
    tree = TREES[name]()
    w, history = weights_of(tree), history_of(tree)
    found = bf.stress(tree, w, "covid-2020", history=history, **FEW).isel(scenario=0)
    returns = history["returns"].sel(time=COVID).to_pandas()[list(w)]
    exact = -(returns.to_numpy() @ np.array(list(w.values()))).sum()
    assert float(found["loss"]) == pytest.approx(exact, abs=1e-12)
    np.testing.assert_allclose(found["loss_posterior"], exact, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found["var"], found["loss"].broadcast_like(found["var"]))
    assert not found["es_mcse"].any()
    by_asset = found["loss_contribution"].sum(s.COMPONENT).sel(asset=list(w))
    np.testing.assert_allclose(by_asset, -returns.sum().to_numpy() * list(w.values()), atol=1e-12)
    observed = history["factor"].values
    np.testing.assert_allclose(
        found["factor_move"].sel(factor=observed),
        history["factor_returns"].sel(time=COVID).sum("time"),
        atol=1e-12,
    )
    assert int(found["horizon"]) == 5
    assert str(found["kind"].values) == "episode"


@pytest.mark.parametrize("name", ["static", "garch"])
def test_a_young_coin_gets_loadings_times_moves_and_specific_draws(name):
    tree = TREES[name]()
    w = weights_of(tree)
    young = list(w)[2]
    history = history_of(tree, young=[young])
    how = {"history": history, "paths": 400, "drift": "posterior", "random_seed": 1}
    found = bf.stress(tree, w, "covid-2020", **how).isel(scenario=0)
    tree = with_means(tree, "posterior")
    moves = history["factor_returns"].sel(time=COVID).sum("time").values
    post = tree[s.POSTERIOR].to_dataset().sel(asset=young)
    by_draw = -w[young] * (
        post[s.LOADINGS].transpose("chain", "draw", "factor").values @ moves + 5 * post[s.ALPHA].values
    )
    others = [a for a in w if a != young]
    known = -(
        history["returns"].sel(time=COVID).to_pandas()[others].sum().to_numpy() * [w[a] for a in others]
    ).sum()
    np.testing.assert_allclose(found["loss_posterior"], known + by_draw, atol=1e-12)
    assert float(found["es"][1]) > float(found["loss"]) + 0.01
    assert "3 of 4 coins held repeat their returns, 1 get" in str(found["note"].values)


def test_without_a_young_coin_in_hand_nothing_is_left_open():
    tree = TREES["static"]()
    w = weights_of(tree)
    young = list(w)[2]
    found = bf.stress(tree, w | {young: 0.0}, "covid-2020", history=history_of(tree, young=[young]), **FEW)
    np.testing.assert_array_equal(found["es"][0], found["loss"].values[[0, 0]])


def test_a_latent_factor_is_what_the_returns_of_the_episode_say_it_was():
    """Coins that move with one latent factor: a young one falls with the others."""
    tree = latent_tree(n_assets=6, n_latent=1, draws=30)
    post = tree[s.POSTERIOR].to_dataset()
    post[s.LATENT_LOADINGS] = xr.full_like(post[s.LATENT_LOADINGS], 0.05)
    tree[s.POSTERIOR] = xr.DataTree(post)
    assets = [str(a) for a in post[s.ASSET].values]
    stamps = pd.date_range("2020-03-01", periods=20)
    returns = pd.DataFrame(0.001 * np.ones((20, 5)), stamps, assets[:5])
    returns.loc["2020-03-08":"2020-03-12"] = -0.1
    history = bf.panel_from_returns(returns + 1e-4 * np.random.default_rng(1).standard_normal((20, 5)))
    w = dict.fromkeys(assets, 0.0) | {assets[5]: 1.0}
    found = bf.stress(tree, w, "covid-2020", history=history, **FEW).isel(scenario=0)
    assert float(found["loss"]) > 0.25
    assert float(found["factor_move"].sel(factor="latent-1")) < -5.0
    # Sampled along with the fit, latent factors of other days are not known: they are drawn from their law.
    scores = latent_tree("scores", n_assets=6, n_latent=1, draws=30)
    assets = [str(a) for a in scores[s.OBSERVED_DATA][s.ASSET].values]
    open_ = bf.stress(
        scores, dict.fromkeys(assets, 0.0) | {assets[5]: 1.0}, "covid-2020", history=history, **FEW
    )
    assert float(open_["factor_move"][0, 0]) == 0.0
    assert float(open_["es"][0, 1]) > 0.0


def test_a_market_of_the_fits_own_coins_is_not_that_of_all_coins_of_the_history():
    """Prices of many coins make a market of many: its name is the same, and the replay is of the fit's own."""
    tree = make_tree(n_assets=4, n_factors=1, draws=25, own_market=True)
    w = weights_of(tree)
    stamps = pd.date_range("2020-01-01", periods=200)
    returns = pd.DataFrame(
        np.random.default_rng(3).normal(0.0, 0.05, (200, 9)), stamps, [*w, *(f"X{i}" for i in range(5))]
    )
    whole, own = (bf.panel_from_prices((1.0 + x).cumprod()) for x in (returns, returns[list(w)]))
    found, right = (bf.stress(tree, w, "covid-2020", history=h, **FEW) for h in (whole, own))
    for name in ("factor_move", "loss", "plausibility"):
        np.testing.assert_allclose(found[name], right[name], rtol=1e-12)
    assert float(found["factor_move"].squeeze()) == pytest.approx(
        float(returns.loc[COVID, list(w)].mean(axis=1).sum())
    )
    spread = whole.copy()
    spread["factor_weights"] = spread["factor_weights"] - 0.2
    moves = (spread["factor_weights"] * spread["returns"]).sum("asset")
    spread["factor_returns"] = moves.transpose("time", "factor")
    with pytest.raises(bf.BayesFactorError, match="portfolio of its own 4 coins"):
        bf.stress(tree, w, "covid-2020", history=spread, **FEW)


def test_days_of_the_fit_need_no_history():
    tree = make_tree(draws=25, missing=0.0)
    days = tree[s.OBSERVED_DATA].to_dataset()
    first, last = days["time"].values[[10, 12]]
    found = bf.stress(tree, weights_of(tree), bf.Episode(start=first, end=last), **FEW)
    returns = days["returns"].transpose("time", "asset").values[10:13]
    assert float(found["loss"][0]) == pytest.approx(
        -(returns @ list(weights_of(tree).values())).sum(), abs=1e-12
    )
    assert found["scenario"].values[0] == f"{pd.Timestamp(first):%Y-%m-%d} to {pd.Timestamp(last):%Y-%m-%d}"


def test_a_small_position_is_sold_in_a_day_and_its_risk_is_that_of_a_day():
    tree = make_tree(draws=50)
    w = weights_of(tree)
    volume = dict.fromkeys(w, 1e9)
    found = bf.stress(tree, w, bf.Liquidation(volume), value=1e4, paths=100, random_seed=1).isel(scenario=0)
    plain = risk_of(tree, w, value=1e4, paths=100, random_seed=1)
    for name in ("var", "es", "es_contribution"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-10, atol=1e-7)
    assert int(found["horizon"]) == 1
    np.testing.assert_allclose(found["days_to_unwind"], np.abs(list(w.values())) * 1e4 / 1e8)


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error of ES")
def risk_of(*args, **kwargs):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bf.decompose_risk(*args, **kwargs)


def test_a_large_position_declines_by_what_the_market_takes():
    tree = make_tree(draws=50)
    w = weights_of(tree)
    assets = list(w)
    volume = pd.Series([1e6, 1e7, 1e8], index=assets)
    sale = bf.Liquidation(volume, participation=0.2, value=1e6)
    found = bf.stress(tree, w, sale, **FEW).isel(scenario=0)
    days = np.abs(list(w.values())) * 1e6 / (0.2 * volume.to_numpy())
    np.testing.assert_allclose(found["days_to_unwind"].sel(asset=assets), days)
    assert int(found["horizon"]) == np.ceil(days.max()) == 1
    sale = bf.Liquidation(volume, participation=0.02, value=1e6)
    found = bf.stress(tree, w, sale, drift="posterior", **FEW).isel(scenario=0)
    tree = with_means(tree, "posterior")
    assert int(found["horizon"]) == 5
    # The position of five days stands at 1, 4/5, 3/5, ... of itself: three days of risk and of alpha.
    post = tree[s.POSTERIOR].to_dataset().stack(sample=("chain", "draw")).transpose("sample", ...)
    held = np.clip(1 - np.arange(5)[:, None] / (days * 10), 0, 1) * list(w.values())
    mean = post[s.ALPHA].values + np.einsum(
        "dik,dk->di",
        post[s.LOADINGS].transpose("sample", "asset", "factor").values,
        post[s.FACTOR_LOCATION].values,
    )
    assert held[:, 0].sum() == pytest.approx(0.3)
    assert float(found["loss"]) == pytest.approx(-(mean @ held.sum(axis=0)).mean(), abs=1e-12)
    cells = found["es_contribution"].sum(["asset", "component"])
    np.testing.assert_allclose(cells, found["es"], atol=1e-12)


def test_half_the_volume_is_more_risk():
    tree = garch_tree(draws=10)
    w = weights_of(tree)
    sales = {str(p): bf.Liquidation(dict.fromkeys(w, 1e6), p, value=1e6) for p in (0.5, 0.1, 0.02)}
    found = bf.stress(tree, w, sales, paths=200, random_seed=1)
    assert (np.diff(found["es"].sel(level=0.95)) > 0.0).all()


FILE = """
["march 2020"]
kind = "episode"
name = "covid-2020"

["coin01 factor falls"]
kind = "shock"
moves = { FACTOR = -0.1 }
others = "frozen"

[worse]
kind = "regime"
correlation = 0.5
volatility = 2
nu = 3

[reverse]
kind = "reverse"
loss = 0.1

[sale]
kind = "liquidation"
volume = "volume.csv"
participation = 0.2
value = 1e6
"""


def test_a_file_says_what_objects_say(tmp_path):
    tree = make_tree(draws=25)
    w, history = weights_of(tree), history_of(tree)
    factor = str(history["factor"].values[0])
    (tmp_path / "scenarios.toml").write_text(FILE.replace("FACTOR", factor))
    pd.Series(dict.fromkeys(w, 1e7), name="volume").rename_axis("asset").to_csv(tmp_path / "volume.csv")
    objects = {
        "march 2020": "covid-2020",
        "coin01 factor falls": bf.FactorShock({factor: -0.1}, others="frozen"),
        "worse": bf.RegimeShift(0.5, 2, 3),
        "reverse": bf.ReverseStress(0.1),
        "sale": bf.Liquidation(dict.fromkeys(w, 1e7), 0.2, 1e6),
    }
    read = bf.stress(tree, w, tmp_path / "scenarios.toml", history=history, **FEW)
    again = bf.stress(tree, w, str(tmp_path / "scenarios.toml"), history=history, **FEW)
    xr.testing.assert_identical(read, bf.stress(tree, w, objects, history=history, **FEW))
    xr.testing.assert_identical(read, again)


def test_what_is_found_can_be_kept_and_read_again(tmp_path):
    tree = make_tree(draws=25)
    found = bf.stress(tree, weights_of(tree), bf.ReverseStress(0.1), **FEW)
    bf.save(found, tmp_path / "stress.nc")
    with xr.open_dataset(tmp_path / "stress.nc") as kept:
        np.testing.assert_array_equal(kept["loss_contribution"], found["loss_contribution"])
        assert kept["note"].values.tolist() == found["note"].values.tolist()


def test_stored_predictions_are_stressed_as_the_fit_is():
    tree = make_tree(draws=50)
    w, first = weights_of(tree), str(tree[s.CONSTANT_DATA][s.FACTOR].values[0])
    stored = bf.forecast(tree, paths=20, random_seed=1)
    asked = {"a": bf.FactorShock({first: -0.1}), "b": bf.Liquidation(dict.fromkeys(w, 1e9), value=1e4)}
    one, two = (bf.stress(t, w, asked, **FEW) for t in (tree, stored))
    np.testing.assert_allclose(two["es"], one["es"], rtol=1e-9)
    mixture = bf.stack({"x": tree, "y": tree}, {"x": 0.5, "y": 0.5}, random_seed=1)
    assert float(bf.stress(mixture, w, bf.ReverseStress(0.1), **FEW)["loss"][0]) == pytest.approx(0.1)
    with pytest.raises(bf.RiskError, match="predictions are of 1 period, the scenario takes 3"):
        bf.stress(mixture, w, bf.RegimeShift(horizon=3), **FEW)


@pytest.mark.parametrize("name", list(bf.list_episodes().index))
def test_every_shipped_episode_has_days_and_a_reason(name):
    row = bf.list_episodes().loc[name]
    assert row["start"] <= row["end"]
    assert (row["end"] - row["start"]).days < 15
    assert row["why"].endswith(".")
    assert bf.Episode(name).days == (row["start"], row["end"])


TREE = make_tree(draws=25)
NAMES = list(weights_of(TREE))
FIRST = str(TREE[s.CONSTANT_DATA][s.FACTOR].values[0])
REFUSED = {
    "an unknown factor": (lambda: bf.FactorShock({FIRST[:-1] + "x": -0.1}), f"did you mean '{FIRST}'"),
    "an episode before any data": (lambda: "hash-war-2018", "must cover the episode, 2018-11-14 .* history="),
    "an unknown episode": (lambda: "covid-2021", "did you mean 'covid-2020'"),
    "a move that is not finite": (lambda: bf.FactorShock({FIRST: np.nan}), "finite number; got nan"),
    "an empty shock": (lambda: bf.FactorShock({}), "mapping of factors to moves"),
    "a wrong choice for the others": (
        lambda: bf.FactorShock({FIRST: 0.1}, others="froze"),
        "did you mean 'frozen'",
    ),
    "an horizon of nothing": (
        lambda: bf.RegimeShift(horizon=0),
        "horizon, in periods, is a whole number of at least 1",
    ),
    "a scenario of the wrong type": (lambda: [3.0], "a scenario is one of Episode"),
    "scenarios of the wrong type": (lambda: 3.0, "mapping of names"),
    "no scenario": (list, "no scenario to run"),
    "a name twice": (lambda: [bf.ReverseStress(0.1), bf.ReverseStress(0.1)], "stands twice"),
    "a correlation above one": (lambda: bf.RegimeShift(1.5), "from 0 to 1; got 1.5"),
    "an infinite expected shortfall": (lambda: bf.RegimeShift(nu=1.0), "infinite expected shortfall"),
    "an infinite variance": (lambda: bf.RegimeShift(nu=2.0), "infinite variance"),
    "no volatility": (lambda: bf.RegimeShift(volatility=0.0), "positive multiple"),
    "a reverse stress that wins": (lambda: bf.ReverseStress(-0.1), "positive fraction"),
    "an episode without an end": (lambda: bf.Episode(start="2020-01-01"), "dates start= and end="),
    "an episode that ends before it starts": (
        lambda: bf.Episode(start="2020-02-01", end="2020-01-01"),
        "Swap them",
    ),
    "an episode that is nothing": (bf.Episode, "a name of bf.list_episodes"),
    "a sale without money": (
        lambda: bf.Liquidation(dict.fromkeys(NAMES, 1e6)),
        "worth of the portfolio in money",
    ),
    "a volume that misses a coin": (
        lambda: bf.Liquidation(dict.fromkeys(NAMES[1:], 1e6), value=1e6),
        "every coin held needs a volume; none for 'COIN01'",
    ),
    "a volume of nothing": (lambda: bf.Liquidation(dict.fromkeys(NAMES, 0.0)), "volumes are positive"),
    "a volume that is a number": (lambda: bf.Liquidation(1e6), "mapping or Series"),
    "more than all the volume": (
        lambda: bf.Liquidation(dict.fromkeys(NAMES, 1e6), 1.5),
        "at most 1; got 1.5",
    ),
    "a sale that takes years": (
        lambda: bf.Liquidation(dict.fromkeys(NAMES, 1.0), value=1e6),
        "takes .* periods to sell",
    ),
    "a file that is not there": (lambda: "nothing.toml", "no file of scenarios"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_says_why_and_what_to_do(what):
    make, message = REFUSED[what]
    with pytest.raises(bf.BayesFactorError, match=message):
        bf.stress(TREE, weights_of(TREE), make(), **FEW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "no TOML"),
        ("a = 3", "has a kind"),
        ('[a]\nkind = "shok"', "did you mean 'shock'"),
        ('[a]\nkind = "shock"\nmove = {}', "did you mean 'moves'"),
        ('[a]\nkind = "reverse"', "missing: loss"),
        ('[a]\nkind = "liquidation"\nvolume = "none.csv"', "no file of volumes"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, text, message):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(bf.BayesFactorError, match=message):
        bf.stress(TREE, weights_of(TREE), tmp_path / "x.toml")


def test_weights_and_numbers_are_checked_as_for_risk():
    with pytest.raises(bf.WeightsError, match="every weight is zero"):
        bf.stress(TREE, dict.fromkeys(NAMES, 0.0), bf.ReverseStress(0.1))
    for wrong in ({"levels": (0.3,)}, {"levels": ()}, {"value": -1.0}, {"paths": 0}):
        with pytest.raises(bf.RiskError):
            bf.stress(TREE, weights_of(TREE), bf.ReverseStress(0.1), **wrong)


def test_a_history_lacks_a_factor_or_is_no_panel():
    history = history_of(TREE)
    with pytest.raises(bf.RiskError, match="history lacks"):
        bf.stress(TREE, weights_of(TREE), "covid-2020", history=history.isel(factor=[0]))
    with pytest.raises(bf.PanelError):
        bf.stress(TREE, weights_of(TREE), "covid-2020", history=xr.Dataset())
    with pytest.raises(bf.RiskError, match="simple returns; got log"):
        bf.stress(TREE, weights_of(TREE), "covid-2020", history=history.assign_attrs(returns_kind="log"))


@pytest.mark.parametrize(
    ("nu", "what"), [(0.9, "expected shortfall is infinite"), (1.8, "variances are infinite")]
)
def test_tails_without_a_mean_are_named(nu, what):
    low = replace(TREE, s.POSTERIOR, nu=TREE[s.POSTERIOR][s.NU] * 0.0 + nu)
    with pytest.raises(bf.NumericalError, match=what):
        bf.stress(low, weights_of(TREE), bf.ReverseStress(0.1))


def test_a_portfolio_that_no_factor_moves_is_lost_by_its_coins():
    flat = replace(TREE, s.POSTERIOR, loadings=TREE[s.POSTERIOR][s.LOADINGS] * 0.0)
    found = bf.stress(flat, weights_of(TREE), bf.ReverseStress(0.05)).isel(scenario=0)
    parts = found["loss_contribution"].sum(s.ASSET)
    assert float(parts.sel({s.COMPONENT: s.SPECIFIC})) == pytest.approx(0.05, abs=1e-12)
    assert "100 % of the loss" in str(found["note"].values)
