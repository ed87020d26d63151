"""A part of a fit has the numbers of the whole; a tree that lost some of it, or holds impossible draws, is refused."""

import numpy as np
import pytest
import xarray as xr
from garch_trees import garch_tree
from latent_trees import latent_tree
from trees import make_tree, replace, with_attrs

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import PanelError, SchemaError
from bayesfactor.laws.rows import keep_state

# With so few paths every verb says that its errors are large, which is not what is asked here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
PATHS = {"paths": 40, "random_seed": 3}
FAMILIES = ("static", "garch", "lowrank", "scores")


def family(name: str) -> xr.DataTree:
    """Return a tree of eight coins whose market is their own mean."""
    if name == "static":
        return make_tree(8, 2, 60, 2, 20, own_market=True)
    if name == "garch":
        tree = garch_tree(n_assets=8, draws=20, own_market=True)
        keep_state(tree)
        return tree
    return latent_tree(name, n_assets=8, n_factors=1, n_latent=1, own_market=True)


def books(tree: xr.DataTree) -> tuple[list[str], dict[str, float], dict[str, float]]:
    """Return three coins in an order of their own, a book of them, and the same in the whole fit."""
    names = [str(a) for a in tree[s.OBSERVED_DATA][s.ASSET].values]
    kept = [names[i] for i in (6, 1, 4)]
    small = dict(zip(kept, (0.5, -0.3, 0.4), strict=True))
    return kept, small, dict.fromkeys(names, 0.0) | small


def same(part: xr.Dataset, every: xr.Dataset) -> None:
    """Assert that a part is the whole at its assets, bit by bit, and holds nothing for others."""
    for name, variable in every.data_vars.items():
        mine = part[name]
        if s.ASSET in variable.dims:
            variable = variable.sel({s.ASSET: mine[s.ASSET]})
        np.testing.assert_array_equal(mine.values, variable.values, err_msg=str(name))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_book_of_a_part_risks_what_it_does_in_the_whole_fit(name, tmp_path):
    tree = family(name)
    kept, small, every = books(tree)
    stored = bf.forecast(tree, 2, paths=5, random_seed=1)
    for whole, horizon in ((tree, 1), (stored, 2)):
        expected = bf.decompose_risk(whole, every, horizon=horizon, **PATHS)
        part = bf.select_assets(whole, kept)
        assert part[s.POSTERIOR][s.ASSET].values.tolist() == kept
        same(bf.decompose_risk(part, small, horizon=horizon, **PATHS), expected)
        bf.save(part, tmp_path / "part.nc")
        again = bf.load(tmp_path / "part.nc")
        same(bf.decompose_risk(again, small, horizon=horizon, **PATHS), expected)
    part = bf.select_assets(tree, kept)
    drawn = bf.forecast(part, 2, paths=5, random_seed=1)
    same(bf.decompose_risk(drawn, small, horizon=2), bf.decompose_risk(stored, every, horizon=2))
    asked = [bf.FactorShock({"market": -0.2}), bf.RegimeShift(0.2, 1.5)]
    same(bf.stress(part, small, asked, **PATHS), bf.stress(tree, every, asked, **PATHS))
    trade = {"less": {kept[0]: -0.1}}
    same(bf.incremental_risk(part, small, trade, **PATHS), bf.incremental_risk(tree, every, trade, **PATHS))
    narrower = bf.select_assets(part, kept[:1])
    same(
        bf.decompose_risk(narrower, {kept[0]: 1.0}, **PATHS),
        bf.decompose_risk(tree, dict.fromkeys(every, 0.0) | {kept[0]: 1.0}, **PATHS),
    )


def test_what_is_about_the_fit_as_one_still_reads_all_of_it():
    tree = family("static")
    kept, small, every = books(tree)
    part = bf.select_assets(tree, kept)
    mine, theirs = bf.diagnose(part), bf.diagnose(tree)
    assert mine.attrs == theirs.attrs
    assert mine.sel(parameter=theirs["parameter"].values)["r_hat"].equals(theirs["r_hat"])
    other = make_tree(8, 2, 60, 2, 20, own_market=True, seed=5)
    quiet = {"progressbar": False}
    mine, theirs = (bf.compare({"a": t, "b": other}, **quiet) for t in (part, tree))
    assert mine.equals(theirs)
    rows = bf.attribute_returns(part, small)
    np.testing.assert_allclose(
        rows["contribution"], bf.attribute_returns(tree, every)["contribution"], atol=1e-15
    )
    for verb in (bf.systematic_share, bf.select_factors):
        # Means over a group are added up in another order.
        xr.testing.assert_allclose(verb(part), verb(tree).sel({s.ASSET: kept}), rtol=1e-13)
    mixed = bf.stack({"a": tree, "b": other}, {"a": 0.5, "b": 0.5}, paths=3, random_seed=1)
    parts = {"a": part, "b": bf.select_assets(other, kept)}
    of_parts = bf.stack(parts, {"a": 0.5, "b": 0.5}, paths=3, random_seed=1)
    same(bf.decompose_risk(of_parts, small), bf.decompose_risk(mixed, every))


def test_allocation_among_a_part_holds_nothing_else():
    pytest.importorskip("skfolio")
    tree = family("static")
    kept, _, every = books(tree)
    part = bf.select_assets(tree, kept)
    for objective, options in (("min_volatility", {}), ("risk_budget", {}), ("min_es", {"level": 0.9})):
        bounds = {a: (0.0, 1.0 if a in kept else 0.0) for a in every}
        mine = bf.allocate(part, objective, scenarios=400, random_seed=1, **options)
        theirs = bf.allocate(tree, objective, bounds=bounds, scenarios=400, random_seed=1, **options)
        assert mine[s.ASSET].values.tolist() == kept
        np.testing.assert_array_equal(mine[s.WEIGHTS], theirs[s.WEIGHTS].sel({s.ASSET: kept}))
        assert float(mine["es"]) == float(theirs["es"])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tree_cut_by_hand_is_refused_by_every_reader(name):
    tree = family(name)
    kept, small, _ = books(tree)
    verbs = {
        "risk": lambda t: bf.decompose_risk(t, small, **PATHS),
        "trades": lambda t: bf.incremental_risk(t, small, {"a": {kept[0]: 0.1}}, **PATHS),
        "stress": lambda t: bf.stress(t, small, [bf.RegimeShift(0.2)], **PATHS),
        "forecast": bf.forecast,
        "allocate": bf.allocate,
        "diagnose": bf.diagnose,
        "compare": lambda t: bf.compare({"a": t, "b": t}),
        "update": lambda t: bf.update(t, tree[s.OBSERVED_DATA].to_dataset()),
        "attribute": lambda t: bf.attribute_returns(t, small),
        "sensitivity": lambda t: bf.prior_sensitivity(t, small),
        "report": lambda t: bf.report(t, small, "never-written.html"),
        "stack": lambda t: bf.stack({"a": t, "b": t}, {"a": 0.5, "b": 0.5}),
        "tails": bf.plot_tails,
        "loadings": bf.plot_loadings,
        "again": lambda t: bf.select_assets(t, kept[:1]),
    }
    for verb in verbs.values():
        with pytest.raises(SchemaError, match=r"bf\.select_assets\(tree, assets\)"):
            verb(tree.sel({s.ASSET: kept}))


def test_days_and_factors_are_those_of_the_fit_while_chains_and_draws_may_be_fewer(tmp_path):
    tree = family("static")
    _, _, every = books(tree)
    with pytest.raises(SchemaError, match="all the days it was fitted to; this tree has 50"):
        bf.decompose_risk(tree.isel(time=slice(10, None)), every, **PATHS)
    with pytest.raises(SchemaError, match="all the factors it was fitted to; this tree has 1"):
        bf.decompose_risk(tree.isel(factor=[0], factor_other=[0]), every, **PATHS)
    thin = tree.isel(chain=[1], draw=slice(None, None, 2))
    bf.save(thin, tmp_path / "thin.nc")
    again = bf.decompose_risk(bf.load(tmp_path / "thin.nc"), every, **PATHS)
    same(again, bf.decompose_risk(thin, every, **PATHS))
    # By hand, group by group: arrays are read by position.
    order = np.arange(8)[::-1]
    mixed = tree.copy()
    mixed[s.POSTERIOR] = xr.DataTree(tree[s.POSTERIOR].to_dataset().isel(asset=order))
    with pytest.raises(SchemaError, match="the same assets in one order"):
        bf.decompose_risk(mixed, every, **PATHS)
    # A tree of before there were fingerprints is read: nothing says what it lost.
    old = with_attrs(tree)
    for name in ("asset_labels", "factor_labels", "time_labels"):
        del old.attrs[name]
    same(bf.decompose_risk(old, every, **PATHS), bf.decompose_risk(tree, every, **PATHS))


def test_a_selection_names_assets_of_the_fit_once():
    tree = family("static")
    for asked, said in ((["COIN01", "COIN99"], "COIN99"), (["COIN01"] * 2, "one twice"), ([], "none")):
        with pytest.raises(SchemaError, match=said):
            bf.select_assets(tree, asked)
    with pytest.raises(SchemaError, match="drop_vars"):
        bf.select_assets(bf.simulate_panel(n_assets=3, n_days=30)[0], ["COIN01"])


def test_a_part_of_a_panel_whose_market_is_its_own_is_refused_and_without_the_weights_it_is_not():
    returns = bf.simulate_panel(n_assets=6, n_days=60, missing=0, random_seed=1)[0][s.RETURNS]
    prices = (100 * (1 + returns).cumprod(s.TIME)).to_pandas()
    prices.iloc[:20, 0] = np.nan
    panel = bf.panel_from_prices(prices)
    for kept in ([0, 1, 2], [1, 2, 3, 4, 5]):
        with pytest.raises(PanelError, match="not so: market"):
            bf.fit("hierarchical-t", panel.isel(asset=kept))
    bf.panel.check_panel(panel.isel(time=slice(10, 40)))
    bf.panel.check_panel(panel.isel(asset=[0, 1, 2]).drop_vars(s.FACTOR_WEIGHTS))


NEEDED = dict.fromkeys(FAMILIES, (s.RETURNS, s.FACTOR_RETURNS))
NEEDED["garch"] += (s.SCORED, s.FACTOR_SCORED, s.INITIAL_VARIANCE, s.INITIAL_FACTOR_VARIANCE)
BROKEN = {
    "static": {
        s.SIGMA: (-0.02, "sigma of COIN02: -0.02 in chain 1 draw 3.*above 0"),
        s.LOADINGS: (np.nan, "loadings of COIN02 on market: NaN in chain 1 draw 3.*finite"),
        s.NU: (-1.0, "nu of COIN02: -1 in chain 1 draw 3"),
        s.FACTOR_CORRELATION: (
            5.0,
            "factor_correlation of .* on market: 5 in chain 1 draw 3.*between -1 and 1",
        ),
        s.FACTOR_SCALE: (0.0, "factor_scale of"),
        s.FACTOR_NU: (0.0, "factor_nu: 0 in chain 1 draw 3"),
        "loadings_sd": (-0.1, "loadings_sd of .*at least 0"),
        s.ALPHA: (np.inf, "alpha of COIN02: inf"),
    },
    "garch": {
        s.PERSISTENCE: (1.2, "persistence of COIN02: 1.2"),
        s.NEWS_SHARE: (-0.2, "news_share of"),
        s.SKEW: (1.5, "skew of"),
        s.LEVERAGE: (-3.0, "leverage of"),
        s.FACTOR_PERSISTENCE: (7.0, "factor_persistence of"),
        s.FACTOR_RESPONSE: (np.nan, "factor_response of .*NaN"),
    },
    "lowrank": {
        s.LATENT_LOADINGS: (np.nan, "latent_loadings of COIN02 on latent-1: NaN"),
        s.NU: (0.0, "nu: 0"),
    },
    "scores": {s.LATENT_NU: (-2.0, "latent_nu: -2"), s.FACTOR_SCORES: (np.inf, "factor_scores of .*inf")},
}


@pytest.mark.parametrize(("name", "variable"), [(f, v) for f, those in BROKEN.items() for v in those])
def test_a_draw_that_cannot_be_is_named_with_its_place(name, variable):
    tree = family(name)
    value, said = BROKEN[name][variable]
    values = tree[s.POSTERIOR][variable].copy(deep=True)
    at = {d: 1 if d in (s.ASSET, s.CHAIN, s.FACTOR_OTHER) else 3 if d == s.DRAW else 0 for d in values.dims}
    if variable == s.FACTOR_CORRELATION:
        at |= {s.FACTOR: 1, s.FACTOR_OTHER: 0}
    values[at] = value
    bad = replace(tree, s.POSTERIOR, **{variable: values})
    _, _, every = books(tree)
    for verb in (lambda t: bf.decompose_risk(t, every, **PATHS), bf.forecast, bf.align_loadings):
        with pytest.raises(SchemaError, match=said):
            verb(bad)
    if np.isfinite(value):
        with pytest.raises(SchemaError, match=said):
            bf.diagnose(bad)


def test_the_state_and_predictions_are_held_to_their_range_too():
    tree = family("garch")
    _, _, every = books(tree)
    below = tree[s.STATE][s.VARIANCE].copy(deep=True)
    below[0, 0, 0] = -1e-4
    with pytest.raises(SchemaError, match=r"variance of COIN01: -0\.0001 in chain 0 draw 0"):
        bf.decompose_risk(replace(tree, s.STATE, variance=below), every, **PATHS)
    drawn = bf.forecast(tree, 1, paths=2, random_seed=1)
    nus = drawn[s.PREDICTIONS][s.SPECIFIC_NU].copy(deep=True)
    nus[0, 2, 0, 3] = np.nan
    with pytest.raises(SchemaError, match="specific_nu of 1 on COIN04: NaN in chain 0 draw 2"):
        bf.decompose_risk(replace(drawn, s.PREDICTIONS, specific_nu=nus), every)


@pytest.mark.parametrize("name", FAMILIES)
def test_missing_variables_and_no_draw_at_all_have_errors_of_their_own(name):
    tree = with_attrs(family(name))
    post = tree[s.POSTERIOR].to_dataset()
    _, _, every = books(tree)
    tree.attrs["posterior_variables"] = " ".join(map(str, post.data_vars))
    for gone in post.data_vars:
        poorer = tree.copy()
        poorer[s.POSTERIOR] = xr.DataTree(post.drop_vars(gone))
        if gone in (s.COMMUNALITY, s.LATENT_VARIANCE) or gone not in {*bf.schema._layout.law, s.ALPHA}:
            bf.decompose_risk(poorer, every, **PATHS)
            continue
        with pytest.raises(SchemaError, match=str(gone)):
            bf.decompose_risk(poorer, every, **PATHS)
    for empty in (tree.isel(draw=slice(0, 0)), tree.isel(draw=0)):
        with pytest.raises(SchemaError, match=r"at least one chain and one draw.*draw=\[0\]"):
            bf.decompose_risk(empty, every, **PATHS)
    for group in (s.CONSTANT_DATA, s.OBSERVED_DATA):
        for gone in tree[group].data_vars:
            poorer = tree.copy()
            poorer[group] = xr.DataTree(tree[group].to_dataset().drop_vars(gone))
            if gone in NEEDED[name]:
                with pytest.raises(SchemaError, match=str(gone)):
                    bf.decompose_risk(poorer, every, **PATHS)
