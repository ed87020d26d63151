"""The verdicts: each threshold crossed once, with the right names, and adequacy apart from computation."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import arviz_stats
import numpy as np
import pytest
import xarray as xr
from failure_cases_reading import READING_CASES
from trees import make_tree, replace

from bayesfactor import adequacy
from bayesfactor.diagnose import diagnose, verdict_lines
from bayesfactor.keep import save
from bayesfactor.laws import law_of

ROOT = Path(__file__).resolve().parents[1]


@cache
def good() -> xr.DataTree:
    return make_tree(draws=300)


def spoiled(name: str, change: object) -> xr.DataTree:
    """Return the good tree with one variable of the posterior changed by a function of its values."""
    variable = good()["posterior"][name]
    values = change(variable.values.copy())
    return replace(good(), "posterior", **{name: (variable.dims, values)})


def with_divergences(count: int, column: str = "diverging") -> xr.DataTree:
    values = np.zeros((4, 300), dtype=bool)
    values.ravel()[:count] = True
    return replace(good(), "sample_stats", **{column: (("chain", "draw"), values)})


def computation(tree: xr.DataTree) -> xr.Dataset:
    return diagnose(tree, check_adequacy=False)


@pytest.mark.parametrize(
    ("call", "error", "message"), [c[1:] for c in READING_CASES], ids=[c[0] for c in READING_CASES]
)
def test_readers_refuse_what_they_cannot_read(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert re.search(message, str(caught.value), re.DOTALL)


def test_a_well_mixed_tree_is_ok_without_reasons():
    found = diagnose(good())
    assert found.attrs["verdict"] == "ok"
    assert found.attrs["reasons"] == found.attrs["remedies"] == ""
    assert found.attrs["method"] == "nuts"
    assert int(found["divergences"]) == 0
    assert int(found["max_tree_depth"]) == 5


def test_measures_equal_those_of_arviz():
    found = computation(good())
    summary = arviz_stats.summary(good(), round_to="none", kind="all", var_names=["loadings", "sigma"])
    for name in ("r_hat", "ess_bulk", "mcse_mean", "mcse_sd"):
        column = summary[name].astype(float)
        np.testing.assert_allclose(found[name].sel(parameter=column.index.to_list()), column, rtol=1e-12)
    # the paper's 5 % and 95 %; ArviZ's default follows its own interval width
    tail = arviz_stats.ess(good(), var_names=["sigma"], method="tail", prob=(0.05, 0.95))["sigma"]
    ours = found["ess_tail"].sel(parameter=[f"sigma[{a}]" for a in tail["asset"].values])
    np.testing.assert_allclose(ours, tail, rtol=1e-12)


def test_constant_and_mirrored_correlations_are_left_out():
    labels = computation(good())["parameter"].values.tolist()
    assert [x for x in labels if x.startswith("factor_correlation")] == ["factor_correlation[size, market]"]
    assert "loadings[COIN01, market]" in labels
    assert "factor_nu" in labels


def test_a_chain_elsewhere_fails_and_is_named():
    def move(values):
        values[0, :, 1, 0] += 1.0
        return values

    found = computation(spoiled("loadings", move))
    assert found.attrs["verdict"] == "fail"
    assert "R-hat above 1.05" in found.attrs["reasons"]
    assert re.search(r"disagree: loadings\[COIN02, market\] \d", found.attrs["reasons"])
    assert "tune=2000" in found.attrs["remedies"]


def test_a_slightly_displaced_chain_warns():
    def move(values):
        values[0, :, 1] *= np.exp(0.3 * 0.05)
        return values

    found = computation(spoiled("sigma", move))
    worst = float(found["r_hat"].max())
    assert 1.01 < worst < 1.05
    assert found.attrs["verdict"] == "warn"
    assert "R-hat above 1.01, the chains disagree: sigma[COIN02]" in found.attrs["reasons"]


def slow(weight):
    """Return a change that makes every series a first-order autoregression."""

    def change(values):
        for t in range(1, values.shape[1]):
            values[:, t] = weight * values[:, t - 1] + np.sqrt(1 - weight**2) * values[:, t]
        return values

    return change


def test_low_ess_warns_and_very_low_fails():
    mild, bad = computation(spoiled("alpha", slow(0.6))), computation(spoiled("alpha", slow(0.97)))
    assert 100 < float(mild["ess_bulk"].min()) < 400
    assert mild.attrs["verdict"] == "warn"
    assert "bulk ESS below 400: alpha[" in mild.attrs["reasons"]
    assert float(bad["ess_bulk"].min()) < 100
    assert bad.attrs["verdict"] == "fail"
    assert "bulk ESS below 100: alpha[" in bad.attrs["reasons"]


@pytest.mark.parametrize("column", ["diverging", "factor_law_diverging"])
@pytest.mark.parametrize(("count", "verdict"), [(0, "ok"), (1, "warn"), (60, "warn"), (61, "fail")])
def test_divergences_warn_from_one_and_fail_above_five_per_cent(column, count, verdict):
    found = computation(with_divergences(count, column))
    assert found.attrs["verdict"] == verdict
    assert int(found["divergences"]) == count
    assert ("target_accept to 0.99" in found.attrs["remedies"]) == (count > 0)


def test_no_more_than_five_parameters_are_named():
    def move(values):
        values[0] += 1.0
        return values

    reasons = computation(spoiled("loadings", move)).attrs["reasons"].splitlines()[0]
    assert reasons.count("loadings[") == 5
    assert reasons.endswith("and 1 more.")


def test_low_energy_information_warns():
    walk = np.cumsum(np.random.default_rng(0).standard_normal((4, 300)), axis=1)
    found = computation(replace(good(), "sample_stats", factor_law_energy=(("chain", "draw"), walk)))
    assert found.attrs["verdict"] == "warn"
    assert "E-BFMI down to" in found.attrs["reasons"]
    theirs = arviz_stats.bfmi(replace(good(), "sample_stats", energy=(("chain", "draw"), walk)))
    np.testing.assert_allclose(found["factor_law_e_bfmi"], theirs["energy"])


def test_saturated_trees_warn():
    full = np.zeros((4, 300), dtype=bool)
    full[0, :30] = True
    found = computation(replace(good(), "sample_stats", reached_max_treedepth=(("chain", "draw"), full)))
    assert found.attrs["verdict"] == "warn"
    assert "2.5% of draws reached the largest tree depth" in found.attrs["reasons"]


def test_nearly_collinear_factors_are_named_among_the_remedies():
    factors = good()["constant_data"]["factor_returns"]
    twin = factors.copy(data=np.stack([factors[:, 0], factors[:, 0] * 2 + 1e-4 * factors[:, 1]], axis=1))
    assert (
        "collinear"
        not in computation(replace(good(), "constant_data", factor_returns=twin)).attrs["remedies"]
    )
    tree = replace(with_divergences(1), "constant_data", factor_returns=twin)
    assert "nearly collinear factors market and size" in computation(tree).attrs["remedies"]


def test_one_chain_is_never_ok():
    found = computation(make_tree(chains=1, draws=1000))
    assert found.attrs["verdict"] == "warn"
    assert "one chain only" in found.attrs["reasons"]
    assert np.isnan(found["r_hat"]).all()


@pytest.mark.parametrize(("chains", "draws"), [(1, 1), (1, 3), (4, 1), (4, 2), (4, 3)])
def test_what_cannot_be_judged_has_not_passed(chains, draws):
    found = computation(make_tree(chains=chains, draws=draws))
    assert found.attrs["verdict"] == "fail"
    assert "cannot be had, so convergence is not known" in found.attrs["reasons"]
    assert "at least 4 draws a chain" in found.attrs["remedies"]


def test_a_day_without_a_density_fails_and_is_named():
    tree = make_tree()
    rows = tree["log_likelihood"]["returns"].copy(deep=True)
    rows[1, 5, 7] = np.nan
    found = computation(replace(tree, "log_likelihood", returns=rows))
    assert found.attrs["verdict"] == "fail"
    assert "NaN or infinite in 1 day, the first 2024-01-08" in found.attrs["reasons"]
    assert np.isnan(found["pareto_k"][7])


def test_draws_that_are_not_finite_leave_adequacy_unchecked():
    tree = make_tree()
    loadings = tree["posterior"]["loadings"].copy(deep=True)
    loadings[0, 3, 1, 0] = np.nan
    found = diagnose(replace(tree, "posterior", loadings=loadings))
    assert found.attrs["verdict"] == "fail"
    assert found.attrs["adequacy"] == "not checked"
    assert "loadings[COIN02, market]" in found.attrs["reasons"]


def test_an_approximation_is_never_ok_and_says_so():
    found = computation(make_tree(chains=1, draws=1000, method="pathfinder"))
    assert found.attrs["verdict"] == "warn"
    assert "pathfinder is an approximation for a first look" in found.attrs["reasons"]
    assert "one chain" not in found.attrs["reasons"]
    assert np.isnan(found["e_bfmi"]).all()
    assert verdict_lines(found)[0].startswith("Computation: WARN (smallest bulk ESS")


def test_draws_that_are_not_finite_fail():
    def spoil(values):
        values[2, 5, 0] = np.nan
        return values

    found = computation(spoiled("alpha", spoil))
    assert found.attrs["verdict"] == "fail"
    assert "not finite: alpha[COIN01]" in found.attrs["reasons"]


def test_a_chain_that_never_moved_fails():
    def stick(values):
        values[...] = np.arange(4)[:, None, None]
        return values

    found = computation(spoiled("alpha", stick))
    assert found.attrs["verdict"] == "fail"


def test_a_day_without_returns_has_no_pareto_k():
    tree = make_tree(n_times=40)
    returns = tree["observed_data"]["returns"].copy()
    returns[7] = np.nan
    tree = replace(tree, "observed_data", returns=returns)
    rows = law_of(tree).row_log_likelihood().reshape(4, 100, 40)
    tree = replace(tree, "log_likelihood", returns=(("chain", "draw", "time"), rows))
    k = computation(tree)["pareto_k"]
    assert np.flatnonzero(np.isnan(k)).tolist() == [7]


def test_pareto_k_is_that_of_arviz():
    loo = arviz_stats.loo(good(), var_name="returns", pointwise=True)
    np.testing.assert_allclose(computation(good())["pareto_k"], loo.pareto_k, atol=1e-9)


def test_verdict_lines_say_both_verdicts_first_the_computation():
    lines = verdict_lines(diagnose(with_divergences(2)))
    assert re.fullmatch(
        r"Computation: WARN \(largest R-hat 1\.0\d\d, smallest bulk ESS \d+, 2 divergences\)", lines[0]
    )
    assert lines[1].startswith("  2 divergences")
    assert any(x.startswith("  Remedy: raise target_accept") for x in lines)
    assert any(x.startswith("Adequacy: OK") for x in lines)


# --- adequacy ---------------------------------------------------------------------------------


@cache
def fat(normal: bool) -> xr.Dataset:
    """Return the diagnosis of a t or a normal model on t(3) returns."""
    tree = make_tree(n_assets=8, n_times=500, draws=100, normal=normal, data_nu=3.0, jitter=0.01, data_seed=3)
    return diagnose(tree)


def test_a_normal_law_on_t_data_is_not_adequate():
    found = fat(normal=True)
    assert found.attrs["adequacy"] == "warn"
    assert "the data have fatter tails than the model" in found.attrs["adequacy_reasons"]
    assert "kurtosis of" in found.attrs["adequacy_reasons"]
    assert found.attrs["verdict"] != "fail"


def test_the_right_law_on_the_same_data_is_adequate():
    found = fat(normal=False)
    assert found.attrs["adequacy"] == "ok"
    assert found.attrs["adequacy_reasons"] == ""
    assert 0.005 < float(found["loo_pit_below"]) < 0.02
    assert float(found["loo_pit_ks"]) < 1.63 / np.sqrt(found.sizes["cell"])


def test_adequacy_is_reproducible_and_keeps_the_order_of_assets():
    tree = make_tree(n_assets=4)
    backwards = xr.DataTree.from_dict(
        {
            g: (n.to_dataset().isel(asset=slice(None, None, -1)) if "asset" in n.dims else n.to_dataset())
            for g, n in tree.children.items()
        }
    )
    backwards.attrs = tree.attrs
    one, other = adequacy.predictive_checks(tree), adequacy.predictive_checks(backwards)
    assert other["asset"].values.tolist() == tree["posterior"]["asset"].values[::-1].tolist()
    for name in ("tail_p", "tail_observed", "tail_replicated"):
        np.testing.assert_array_equal(one[name], other[name].sel(asset=one["asset"]))
    np.testing.assert_array_equal(one["loo_pit"], other["loo_pit"])


def test_pit_and_replicates_agree_with_the_law():
    tree = make_tree(n_assets=2, n_times=30, draws=25)
    law = law_of(tree)
    cells = np.arange(0, 20, 3)
    replicated = np.concatenate(
        [law.replicate(np.random.default_rng(i), slice(1, 2)) for i in range(60)], axis=1
    )
    seen = law.returns[1][np.isfinite(law.returns[1])]
    share = (replicated[cells] <= seen[cells, None]).mean(axis=1)
    pit = law.pit(slice(1, 2), cells).mean(axis=1)
    np.testing.assert_allclose(share, pit, atol=5 * np.sqrt(0.25 / replicated.shape[1]))


def test_an_asset_with_few_returns_is_left_out_of_the_tails():
    tree = make_tree(n_assets=3, n_times=60)
    returns = tree["observed_data"]["returns"].copy()
    returns[10:, 1] = np.nan
    checks = adequacy.predictive_checks(replace(tree, "observed_data", returns=returns))
    assert np.isnan(checks["tail_p"].sel(asset="COIN02")).all()
    assert np.isfinite(checks["tail_p"].sel(asset=["COIN01", "COIN03"])).all()


def test_many_days_that_cannot_be_left_out_are_reported():
    checks = adequacy.predictive_checks(make_tree())
    verdict, reasons = adequacy.judge_adequacy(checks, np.array([0.9, 0.8, 0.1, np.nan]))
    assert verdict == "warn"
    assert reasons[-1].startswith("2 of 3 periods")


def test_reading_needs_no_pymc(tmp_path):
    save(make_tree(n_times=30), tmp_path / "fit.nc")
    code = (
        "import sys, bayesfactor as bf\n"
        "from bayesfactor.diagnose import diagnose\n"
        "from bayesfactor.compare import compare\n"
        "tree = bf.load(sys.argv[1])\n"
        "assert 'arviz_stats' not in sys.modules\n"
        "diagnose(tree)\n"
        "compare({'a': tree, 'b': tree}, by='observation', progressbar=False)\n"
        "banned = {'pymc', 'pytensor', 'pymc_extras', 'nutpie'} & set(sys.modules)\n"
        "assert not banned, banned\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "fit.nc")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
