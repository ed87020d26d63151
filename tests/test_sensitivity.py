"""Power-scaling of risk numbers: against ArviZ on arrays of our own, and a prior that is known to matter."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from garch_trees import garch_tree, log_density, with_rows
from scipy import stats
from trees import make_tree
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app
from bayesfactor.errors import RiskError, SchemaError, WeightsError
from bayesfactor.laws import law_of
from bayesfactor.sensitivity import _pooled

WEIGHTS = {"COIN01": 0.5, "COIN02": 0.3, "COIN03": -0.2}
PRIORS = ["sets_volatility", "says_nothing"]


@pytest.fixture(scope="module")
def tree():
    """A tree whose priors are made up: one follows the volatility, one has nothing to do with it."""
    tree = make_tree(draws=250, jitter=0.1)
    law = law_of(tree).moments(1)
    book = np.array([0.5, 0.3, -0.2])
    b = np.einsum("i,dik->dk", book, law.loadings)
    variance = (
        np.einsum("dk,dkl,dl->d", b, law.factor_covariance[:, 0], b) + law.specific_variance[:, 0] @ book**2
    )
    z = (np.sqrt(variance) - np.sqrt(variance).mean()) / np.sqrt(variance).std()
    noise = np.random.default_rng(3).standard_normal(z.shape)
    shape = (tree["posterior"].sizes["chain"], 250)
    prior = xr.Dataset({"sets_volatility": (("chain", "draw"), 4.0 * z.reshape(shape))})
    prior["says_nothing"] = (("chain", "draw"), 0.1 * noise.reshape(shape))
    prior = prior.assign_coords(chain=tree["posterior"]["chain"], draw=tree["posterior"]["draw"])
    tree["log_prior"] = xr.DataTree(prior)
    tree["check"] = xr.DataTree(
        xr.Dataset({"volatility": (("chain", "draw"), np.sqrt(variance).reshape(shape))})
    )
    return tree


@pytest.fixture(scope="module")
def table(tree):
    return bf.prior_sensitivity(tree, WEIGHTS, priors=PRIORS, draws=1000)


def test_a_prior_that_follows_the_volatility_is_found_and_named(table):
    row = table.loc["volatility"]
    assert row["prior"] > 0.5
    assert row["strongest_prior"] == "sets_volatility"
    assert row["diagnosis"] != "ok"


def test_a_prior_that_says_nothing_moves_nothing(tree):
    table = bf.prior_sensitivity(tree, WEIGHTS, priors="says_nothing", draws=1000)
    assert (table["prior"] < 0.05).all()
    assert (table["diagnosis"] == "ok").all()


def test_sensitivities_are_those_of_arviz_on_the_same_arrays(tree, table):
    given = law_of(tree)
    loglik = (given.row_log_likelihood() + given.factor_log_likelihood()).sum(axis=1)
    volatility = tree["check"].to_dataset()
    by_hand = xr.DataTree.from_dict(
        {
            "posterior": volatility,
            "log_prior": tree["log_prior"].to_dataset(),
            "log_likelihood": xr.Dataset(
                {"y": (("chain", "draw"), loglik.reshape(volatility["volatility"].shape))}
            ),
        }
    )
    for group in ("prior", "likelihood"):
        assert table.loc["volatility", group] == pytest.approx(
            float(az.psense(by_hand, group=group)["volatility"])
        )
    assert table.loc["volatility", "mean"] == pytest.approx(float(volatility["volatility"].mean()))


def test_rows_are_the_risk_numbers_and_parts_add_up(table):
    parts = table.index[table.index.str.startswith("es 0.99: ")]
    assert list(table.index[:5]) == ["volatility", "var 0.95", "var 0.99", "es 0.95", "es 0.99"]
    assert table.loc[parts, "mean"].sum() == pytest.approx(table.loc["es 0.99", "mean"], abs=1e-12)


def test_the_order_of_assets_changes_nothing(tree, table):
    turned = dict(reversed(WEIGHTS.items()))
    pd.testing.assert_frame_equal(bf.prior_sensitivity(tree, turned, priors=PRIORS), table)


@pytest.mark.parametrize("normal", [False, True])
def test_the_likelihood_of_the_factors_is_scipys(normal):
    law = law_of(make_tree(n_factors=2, draws=3, chains=1, normal=normal))
    found = law.factor_log_likelihood()
    for d in range(law.n_draws):
        shape = law.factor_scale[d] @ law.factor_scale[d].T
        if normal:
            expected = stats.multivariate_normal(law.factor_location[d], shape).logpdf(law.factors.T)
        else:
            expected = stats.multivariate_t(law.factor_location[d], shape, law.factor_nu[d]).logpdf(
                law.factors.T
            )
        np.testing.assert_allclose(found[d], expected, rtol=1e-10)


def test_the_likelihood_of_factors_with_dynamics_is_the_plain_loop():
    law = law_of(with_rows(garch_tree(scored=(0.0, 0.0), draws=2, chains=1)))
    found, shocks = law.factor_log_likelihood(), law.shocks
    for d in range(law.n_draws):
        total = np.zeros(law.factors.shape[1])
        for k in range(len(law.factors)):
            sigma, p, share, leverage, nu, skew = shocks.own[d, :6, k]
            h = shocks.initial[k]
            for t, e in enumerate(
                law.factors[k] - shocks.location[d, k] - shocks.response[d, k] @ law.factors
            ):
                total[t] += log_density(e / np.sqrt(h), nu, skew)[0] - 0.5 * np.log(h)
                news = (1.0 + leverage if e < 0.0 else 1.0 - leverage) * e * e
                h = sigma**2 * (1.0 - p) + p * ((1.0 - share) * h + share * news)
        np.testing.assert_allclose(found[d], total, rtol=1e-8)


def test_priors_on_top_are_those_whose_parameters_are_numbers():
    tree = make_tree()
    tree.attrs["card"] = bf.get_model("hierarchical-t").to_toml()
    assert _pooled(tree) == {"loadings", "group_loadings", "sigma", "nu"}
    tree.attrs["card"] = bf.get_model("horseshoe-t").to_toml()
    assert {"loadings", "loadings_scale"} <= _pooled(tree)
    assert not {"loadings_slab", "factor_nu"} & _pooled(tree)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"priors": ["sets_volatilty"]}, RiskError, "did you mean 'sets_volatility'"),
        ({"priors": []}, RiskError, "got none"),
        ({"draws": 99}, RiskError, "at least 100"),
        ({"levels": (99,)}, RiskError, "levels"),
        ({"weights": {"COIN01": 1.0}}, WeightsError, "every asset"),
        ({"weights": dict.fromkeys(WEIGHTS, 0.0)}, WeightsError, "every weight is zero"),
    ],
)
def test_bad_input_is_refused_with_the_rule(tree, change, error, message):
    given = {"weights": WEIGHTS, "priors": PRIORS} | change
    with pytest.raises(error, match=message):
        bf.prior_sensitivity(tree, given.pop("weights"), **given)


def test_a_tree_without_log_densities_or_card_is_refused():
    bare = make_tree()
    bare.attrs["card"] = 'name = "x"'
    with pytest.raises(SchemaError, match="card cannot be read"):
        bf.prior_sensitivity(bare, WEIGHTS)
    del bare["log_prior"]
    with pytest.raises(SchemaError, match="log_prior"):
        bf.prior_sensitivity(bare, WEIGHTS)


def test_on_the_command_line(tree, tmp_path):
    bf.save(tree, tmp_path / "fit.nc")
    out = tmp_path / "sensitivity.csv"
    weights = ",".join(f"{k}={v}" for k, v in WEIGHTS.items())
    args = ["sensitivity", str(tmp_path / "fit.nc"), "--weights", weights, "--priors", ",".join(PRIORS)]
    done = CliRunner().invoke(app, [*args, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "sets_volatility" in done.output
    assert pd.read_csv(out)["quantity"].iloc[0] == "volatility"
