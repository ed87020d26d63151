import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_report import rename
from trees import make_tree

from bayesfactor.errors import BayesFactorError, RiskError, SchemaError
from bayesfactor.plots import breakdown, plot_loadings, plot_risk, plot_tails
from bayesfactor.risk import decompose_risk

mpl.use("Agg")


@pytest.fixture(scope="module")
def tree():
    return make_tree(n_assets=5, n_factors=2, n_times=80, draws=25)


@pytest.fixture(scope="module")
def risk(tree):
    weights = {"COIN01": 0.5, "COIN02": 0.3, "COIN03": -0.2, "COIN04": 0.2, "COIN05": 0.2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few paths: rough on purpose
        return decompose_risk(tree, weights, paths=20, random_seed=1)


@pytest.fixture(autouse=True)
def _close():
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


def new_axes(n=1):
    return Figure(layout="constrained").subplots(1, n)


@pytest.mark.parametrize("by", ["component", "family", "group", "asset"])
@pytest.mark.parametrize("measure", ["es", "var", "volatility"])
def test_parts_add_up_to_the_total_draw_by_draw(risk, by, measure):
    parts = breakdown(risk, measure=measure, level=0.95, by=by)
    at = {} if measure == "volatility" else {"level": 0.95}
    assert parts.total == float(risk[measure].sel(at))
    assert parts.value.sum() == pytest.approx(parts.total, abs=1e-10)
    posterior = risk[f"{measure}_posterior"].sel(at).transpose("chain", "draw").values.ravel()
    np.testing.assert_allclose(parts.draws.sum(axis=1), posterior, atol=1e-10)
    assert parts.share.sum() == pytest.approx(1.0)


def test_a_roll_up_is_the_groupby_of_xarray(risk):
    for by in ("family", "group"):
        parts = breakdown(risk, level=0.99, by=by)
        expected = risk["es_contribution"].sel(level=0.99).groupby(by).sum().sum(...)
        assert float(expected) == pytest.approx(parts.total)
        one = risk["es_contribution"].sel(level=0.99).where(risk[by] == parts.labels[0]).sum()
        assert parts.value[0] == pytest.approx(float(one))


def test_the_head_keeps_the_total_and_names_the_rest(risk):
    parts = breakdown(risk, by="asset")
    head = parts.take(parts.ordered()).head(2, "assets")
    assert head.labels[-1] == "other 3 assets"
    assert head.value.sum() == pytest.approx(parts.value.sum())
    np.testing.assert_allclose(head.draws.sum(axis=1), parts.draws.sum(axis=1))
    assert abs(head.value[0]) == np.abs(parts.value).max()


def test_shares_of_a_total_of_zero_are_nan(risk):
    parts = breakdown(risk * 0.0, by="asset")
    assert np.isnan(parts.share).all()


def test_the_forest_draws_medians_of_every_factor(tree):
    axes = plot_loadings(tree)
    assert [a.get_title() for a in axes] == ["market", "size"]
    drawn = np.sort(
        np.concatenate([c.get_offsets()[:, 0] for c in axes[1].collections if len(c.get_offsets()) > 1])
    )
    medians = np.sort(tree["posterior"]["loadings"].median(("chain", "draw")).sel(factor="size").values)
    np.testing.assert_allclose(drawn, medians)
    labels = [t.get_text() for t in axes[0].get_yticklabels()]
    assert sorted(labels) == ["COIN01", "COIN02", "COIN03", "COIN04", "COIN05", "group1", "group2"]


def test_the_forest_takes_axes_a_factor_and_some_assets(tree):
    ax = new_axes()
    (drawn,) = plot_loadings(tree, factor="size", assets=["COIN02", "COIN01"], group_by=False, ax=ax)
    assert drawn is ax
    assert [t.get_text() for t in ax.get_yticklabels()] == ["COIN02", "COIN01"]


def test_the_forest_survives_names_that_look_like_mathtext(tree):
    name = r"A$\frac{<$"
    renamed = rename(tree, {tree["observed_data"]["asset"].values[0]: name})
    axes = plot_loadings(renamed, factor="market", ax=new_axes())
    axes[0].figure.savefig("/dev/null", format="svg")
    assert name in [t.get_text() for t in axes[0].get_yticklabels()]


def test_risk_bars_are_the_contributions(risk):
    ax = plot_risk(risk, by="asset", level=0.95)
    widths = np.sort([p.get_width() for p in ax.patches])
    expected = np.sort(risk["es_contribution"].sel(level=0.95).sum("component").values)
    np.testing.assert_allclose(widths, expected)
    assert "ES 95" in ax.get_xlabel()


@pytest.mark.parametrize("what", ["bars of risk", "tails"])
def test_a_legend_lies_beside_the_points(what, tree, risk):
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    if what == "tails":
        plot_tails(tree, ax=axes, random_seed=1)
    else:
        plot_risk(risk, level=0.99, by="asset", ax=axes)
    figure.draw_without_rendering()
    drawn = axes.get_legend().get_window_extent()
    assert drawn.ymin >= axes.bbox.ymax - 1.0
    assert figure.bbox.xmin <= drawn.xmin < drawn.xmax <= figure.bbox.xmax


def test_risk_bars_fold_what_is_beyond_the_top(risk):
    ax = plot_risk(risk, by="asset", top=2, ax=new_axes())
    assert [t.get_text() for t in ax.get_yticklabels()][-1] == "other 3 assets"


def test_tails_of_the_right_model_lie_in_the_band():
    tree = make_tree(n_assets=6, n_times=400, data_nu=4.0, jitter=0.01)
    assert share_inside(plot_tails(tree, random_seed=1)) > 0.7


def test_tails_of_a_normal_model_on_fat_tailed_data_leave_the_band():
    tree = make_tree(n_assets=6, n_times=400, data_nu=3.0, jitter=0.01, normal=True)
    ax = plot_tails(tree, random_seed=1)
    band = ax.collections[0].get_paths()[0].vertices
    assert ax.collections[1].get_offsets()[0, 0] > band[:, 0].max()


def share_inside(ax):
    frequency = ax.collections[1].get_offsets()[:, 1]
    band = ax.collections[0].get_paths()[0].vertices
    inside = []
    for marks in ax.collections[1:3]:
        for x, y in np.asarray(marks.get_offsets()):
            edge = band[np.isclose(band[:, 1], y, rtol=1e-9), 0]
            inside.append(edge.min() <= x <= edge.max())
    assert len(frequency) > 20
    return np.mean(inside)


def test_tails_are_the_same_for_the_same_seed_and_any_order_of_assets(tree):
    first = plot_tails(tree, random_seed=3, ax=new_axes())
    again = plot_tails(
        tree, random_seed=3, assets=["COIN05", "COIN01", "COIN02", "COIN03", "COIN04"], ax=new_axes()
    )
    np.testing.assert_array_equal(
        first.collections[0].get_paths()[0].vertices, again.collections[0].get_paths()[0].vertices
    )


def test_tails_of_one_asset(tree):
    ax = plot_tails(tree, assets=["COIN02"], random_seed=0)
    assert len(ax.collections[1].get_offsets()) > 5


def test_an_asset_without_returns_is_left_out_of_the_tails(tree):
    empty = tree.copy(deep=True)
    empty["observed_data"]["returns"][:, 0] = np.nan
    plot_tails(empty, random_seed=0)
    with pytest.raises(SchemaError, match="20 returns or more"):
        plot_tails(empty, assets=["COIN01"])


REFUSED = {
    "a misspelt factor": (lambda t, _: plot_loadings(t, factor="markt"), r"did you mean 'market'"),
    "a misspelt asset": (lambda t, _: plot_loadings(t, assets=["COIN1"]), r"did you mean 'COIN01'"),
    "a misspelt asset in the tails": (lambda t, _: plot_tails(t, assets=["COIN1"]), r"did you mean 'COIN01'"),
    "no asset": (lambda t, _: plot_loadings(t, assets=[]), "an empty list"),
    "a bad probability": (lambda t, _: plot_loadings(t, ci_prob=94), "between 0 and 1"),
    "a bad probability of the band": (lambda t, _: plot_tails(t, ci_prob=0.0), "between 0 and 1"),
    "too few axes": (lambda t, _: plot_loadings(t, ax=new_axes(3)), "2 needed, got 3"),
    "no tree": (lambda _, r: plot_loadings(r), "reads the DataTree"),
    "no risk": (lambda t, _: plot_risk(t), "bf.decompose_risk"),
    "a level that is not there": (
        lambda _, r: plot_risk(r, level=0.975),
        r"0\.975 is not in this risk; it has 0\.95, 0\.99",
    ),
    "a misspelt roll-up": (lambda _, r: plot_risk(r, by="assets"), r"did you mean 'asset'"),
    "a misspelt measure": (
        lambda _, r: plot_risk(r, measure="cvar"),
        "measure is one of es, var, volatility",
    ),
    "no bars": (lambda _, r: plot_risk(r, top=0), "at least 1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_misuse_is_refused_with_a_hint(tree, risk, what):
    call, message = REFUSED[what]
    with pytest.raises(BayesFactorError, match=message):
        call(tree, risk)


def test_without_loadings_there_is_no_forest(tree):
    bare = tree.copy(deep=True)
    del bare["posterior"]["loadings"]
    with pytest.raises(SchemaError, match="this model has none"):
        plot_loadings(bare)


def test_a_level_is_refused_as_a_risk_error(risk):
    with pytest.raises(RiskError):
        breakdown(risk, level=0.5)
