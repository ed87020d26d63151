"""`fit` end to end on a small panel: groups, units, seeds, the approximate method, the wall."""

import json
import subprocess
import sys

import numpy as np
import pytest
from statsmodels.api import OLS, add_constant

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import ModelError

SMALL = {"draws": 250, "tune": 400, "chains": 2, "progressbar": False}


@pytest.fixture(scope="module")
def market():
    return bf.simulate_panel(n_assets=6, n_days=150, n_factors=2, n_groups=2, random_seed=7)


@pytest.fixture(scope="module")
def tree(market):
    return bf.fit("hierarchical-t", market[0], random_seed=3, **SMALL)


def test_the_tree_has_every_group_and_name_of_the_schema(market, tree):
    panel = market[0]
    assert set(tree.children) == {
        s.POSTERIOR,
        s.SAMPLE_STATS,
        s.LOG_LIKELIHOOD,
        s.LOG_PRIOR,
        s.OBSERVED_DATA,
        s.CONSTANT_DATA,
    }
    dims = {
        s.ALPHA: ("asset",),
        s.SIGMA: ("asset",),
        s.NU: ("asset",),
        s.LOADINGS: ("asset", "factor"),
        s.GROUP_LOADINGS: ("group", "factor"),
        "loadings_mean": ("factor",),
        "loadings_sd": ("factor",),
        "group_loadings_sd": ("factor",),
        s.FACTOR_LOCATION: ("factor",),
        s.FACTOR_SCALE: ("factor",),
        s.FACTOR_CORRELATION: ("factor", "factor_other"),
        s.FACTOR_NU: (),
    }
    for name, own in dims.items():
        assert tree[s.POSTERIOR][name].dims == ("chain", "draw", *own)
    assert tree[s.LOG_LIKELIHOOD][s.RETURNS].dims == ("chain", "draw", "time")
    assert tree[s.LOG_LIKELIHOOD].attrs["given"] == "factors"
    assert tree[s.OBSERVED_DATA][s.RETURNS].identical(panel[s.RETURNS])
    assert np.array_equal(tree[s.CONSTANT_DATA][s.FACTOR_RETURNS], panel[s.FACTOR_RETURNS])


def test_the_tree_says_where_it_came_from(market, tree):
    panel = market[0]
    assert tree.attrs["model"] == "hierarchical-t"
    assert tree.attrs["card"] == bf.get_model("hierarchical-t").to_toml()
    assert tree.attrs["random_seed"] == "3"
    assert tree.attrs["returns_digest"] == panel.attrs["returns_digest"]
    assert tree.attrs["approximate"] == 0
    assert {"pymc", "numpy", "bayesfactor"} <= set(json.loads(tree.attrs["versions"]))


def test_draws_are_in_original_units(market, tree):
    panel, truth = market
    post = tree[s.POSTERIOR].to_dataset().mean(("chain", "draw"))
    wide = tree[s.POSTERIOR].to_dataset().std(("chain", "draw"))
    for name in (s.LOADINGS, s.SIGMA, s.FACTOR_SCALE):
        assert bool((abs(post[name] - truth[name]) < 6 * wide[name]).all()), name
    assert tree[s.POSTERIOR][s.SIGMA].attrs["units"] == "fraction per period"
    spread = panel[s.RETURNS].std("time")
    assert bool(((post[s.SIGMA] < spread) & (post[s.SIGMA] > 0.1 * spread)).all())


def test_hyperparameters_follow_their_variable(tree):
    post = tree[s.POSTERIOR].to_dataset()
    centre = float(np.log(post[s.SIGMA]).mean())
    assert float(post["sigma_log_mean"].mean()) == pytest.approx(centre, abs=0.5)
    assert float(abs(post[s.GROUP_LOADINGS].mean("group") - post["loadings_mean"]).mean()) < 1.0


def test_the_same_seed_gives_the_same_draws_bit_by_bit(market, tree):
    again = bf.fit("hierarchical-t", market[0], random_seed=3, **SMALL)
    assert again[s.POSTERIOR].to_dataset().identical(tree[s.POSTERIOR].to_dataset())


def test_log_prior_is_there_for_every_free_variable(tree):
    assert {"alpha", "loadings", "nu_raw", "sigma", "factor_scale"} <= set(tree[s.LOG_PRIOR].data_vars)


def test_a_flat_card_gives_least_squares():
    panel = bf.simulate_panel(n_assets=3, n_days=200, n_factors=2, n_groups=1, missing=0, random_seed=2)[0]
    wide = {"dist": "Normal", "dims": ["asset", "factor"], "kwargs": {"mu": 0.0, "sigma": 1000.0}}
    flat = bf.get_model(
        "hierarchical-normal",
        priors={
            "loadings": wide,
            "group_loadings": None,
            "alpha": {"dist": "Normal", "dims": ["asset"], "kwargs": {"mu": 0.0, "sigma": 1000.0}},
            "sigma": {"dist": "HalfNormal", "dims": ["asset"], "kwargs": {"sigma": 1000.0}},
        },
    )
    tree = bf.fit(flat, panel, draws=1500, tune=500, chains=2, random_seed=1, progressbar=False)
    post = tree[s.POSTERIOR].to_dataset()
    mean, sd = post.mean(("chain", "draw")), post.std(("chain", "draw"))
    for i in range(3):
        ols = OLS(panel[s.RETURNS].values[:, i], add_constant(panel[s.FACTOR_RETURNS].values)).fit()
        # 5 Monte-Carlo errors of a mean of 3000 draws, most of them independent.
        error = 5 / np.sqrt(1500)
        assert np.all(abs(mean[s.LOADINGS][i] - ols.params[1:]) < error * sd[s.LOADINGS][i])
        assert abs(float(mean[s.ALPHA][i]) - ols.params[0]) < error * float(sd[s.ALPHA][i])
        np.testing.assert_allclose(sd[s.LOADINGS][i], ols.bse[1:], rtol=0.12)


def test_pathfinder_is_marked_as_an_approximation(market):
    tree = bf.fit("pooled-t", market[0], method="pathfinder", draws=200, random_seed=1, progressbar=False)
    assert tree.attrs["approximate"] == 1
    assert tree.attrs["method"] == "pathfinder"
    assert tree[s.POSTERIOR].sizes["draw"] == 200
    verdict = bf.diagnose(tree)
    assert verdict.attrs["verdict"] != "ok"
    assert "approximat" in verdict.attrs["reasons"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("draws", 0, "draws"),
        ("draws", 10.5, "draws"),
        ("tune", -1, "tune"),
        ("chains", 0, "chains"),
        ("cores", 0, "cores"),
        ("target_accept", 1.0, "target_accept"),
        ("method", "nuts2", "did you mean 'nuts'"),
    ],
)
def test_options_are_checked_before_anything_long_begins(market, option, value, message):
    with pytest.raises(ModelError, match=message):
        bf.fit("hierarchical-t", market[0], **{option: value})


def test_everything_after_the_wall_runs_without_pymc(tree, tmp_path):
    bf.save(tree, tmp_path / "fit.nc")
    script = f"""
import sys
import bayesfactor as bf
tree = bf.load({str(tmp_path / "fit.nc")!r})
bf.diagnose(tree)
bf.compare({{"a": tree, "b": tree}}, progressbar=False)
bf.forecast(tree, 2, random_seed=1)
weights = dict.fromkeys(tree["observed_data"]["asset"].values.tolist(), 0.1)
risk = bf.decompose_risk(tree, weights, random_seed=1)
bf.report(tree, weights, {str(tmp_path / "report.html")!r}, random_seed=1, allow_unconverged=True)
loaded = {{"pymc", "pytensor", "pymc_extras", "nutpie"}} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_saved_tree_comes_back_identical(tree, tmp_path):
    path = bf.save(tree, tmp_path / "fit.nc")
    back = bf.load(path)
    for group in tree.children:
        assert back[group].to_dataset().identical(tree[group].to_dataset()), group
    assert back.attrs == tree.attrs


def test_a_tree_can_be_kept_as_zarr(tree, tmp_path):
    back = bf.load(bf.save(tree, tmp_path / "fit.zarr"))
    assert np.array_equal(back[s.POSTERIOR][s.ALPHA], tree[s.POSTERIOR][s.ALPHA])


def test_saving_leaves_the_old_file_when_it_fails(tree, tmp_path, monkeypatch):
    path = bf.save(tree, tmp_path / "fit.nc")
    before = path.read_bytes()

    def broken(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("xarray.DataTree.to_netcdf", broken)
    with pytest.raises(OSError, match="disk full"):
        bf.save(tree, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_a_model_without_factors_names_the_remedy():
    returns = bf.simulate_panel(n_assets=3, n_days=60, missing=0, random_seed=1)[0][s.RETURNS]
    panel = bf.panel_from_returns(returns)
    with pytest.raises(ModelError, match="observed factors"):
        bf.fit("hierarchical-t", panel)


def test_the_prior_predictive_is_reproducible(market):
    a, b = (bf.sample_prior_predictive("pooled-t", market[0], draws=5, random_seed=4) for _ in range(2))
    assert a[s.PRIOR_PREDICTIVE].to_dataset().identical(b[s.PRIOR_PREDICTIVE].to_dataset())
