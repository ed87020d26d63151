"""Simulated truth is recovered: the truth drawn from the card's own prior, so 90 % means 90 %."""

import numpy as np
import pytest
from scipy import stats

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.sampling import SampleOptions, sample
from bayesfactor.structures import to_original, units_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PANELS = 100
# The card's shape with priors a little tighter, so that simulated markets stay plausible.
WEAKLY_INFORMATIVE = {
    "nu": {
        "dist": "LogNormal",
        "dims": ["asset"],
        "transform": "above_two",
        "kwargs": {
            "mu": {"dist": "Normal", "kwargs": {"mu": 0.5, "sigma": 0.4}},
            "sigma": {"dist": "LogNormal", "kwargs": {"mu": -1.0, "sigma": 0.4}},
        },
    },
    "sigma": {
        "dist": "LogNormal",
        "dims": ["asset"],
        "kwargs": {
            "mu": {"dist": "Normal", "kwargs": {"mu": -0.7, "sigma": 0.3}},
            "sigma": {"dist": "LogNormal", "kwargs": {"mu": -1.0, "sigma": 0.4}},
        },
    },
}


@pytest.fixture(scope="module")
def drawn():
    """A template panel, the model, and `PANELS` draws of truth and data from the model's prior."""
    panel = bf.simulate_panel(n_assets=12, n_days=250, n_factors=2, n_groups=3, random_seed=11)[0]
    model = bf.get_model("hierarchical-t", priors=WEAKLY_INFORMATIVE, name="hierarchical-t-tight")
    prior = bf.sample_prior_predictive(model, panel, draws=PANELS, random_seed=5)
    # The prior speaks in the template's units, so every simulated panel keeps them.
    units = {k: prior[s.CONSTANT_DATA][k] for k in (s.RETURNS_UNIT, s.FACTOR_UNIT)}
    return panel.assign(units), model, prior


def replaced(panel, prior, name, i):
    """Return the template with `name` as drawn in the i-th prior draw."""
    values = prior[s.PRIOR_PREDICTIVE][name].isel(chain=0, draw=i, drop=True)
    return panel.assign({name: (panel[name].dims, values.transpose(*panel[name].dims).values)})


def count(inside, posterior, truth, kinds):
    """Note for every element of every kind whether the central 90 % interval holds the truth."""
    for kind in kinds:
        low, high = posterior[kind].quantile([0.05, 0.95], ("chain", "draw")).transpose("quantile", ...)
        inside[kind].extend(((low < truth[kind]) & (truth[kind] < high)).values.ravel().tolist())


@pytest.fixture(scope="module")
def returns_coverage(drawn):
    """Coverage of what explains returns given the factors' days, which stay the template's."""
    panel, model, prior = drawn
    kinds = [s.LOADINGS, s.SIGMA, s.NU, s.GROUP_LOADINGS, s.ALPHA]
    inside = {k: [] for k in kinds}
    for i in range(PANELS):
        one = replaced(panel, prior, s.RETURNS, i)
        tree = bf.fit(model, one, draws=500, tune=500, random_seed=i, progressbar=False)
        count(inside, tree[s.POSTERIOR], prior[s.PRIOR].to_dataset().isel(chain=0, draw=i), kinds)
    return inside


@pytest.fixture(scope="module")
def factor_coverage(drawn):
    """Coverage of the factors' law; it is a model of its own, so it is sampled by itself."""
    panel, model, prior = drawn
    kinds = [s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_NU]
    inside = {k: [] for k in kinds}
    options = SampleOptions(500, 500, 4, 0.9, progressbar=False)
    for i in range(PANELS):
        graph = model.build_factor_law(replaced(panel, prior, s.FACTOR_RETURNS, i))
        tree = sample(graph, options, (i, 1), label="factor law")
        posterior = to_original(tree[s.POSTERIOR].to_dataset(), units_of(panel))
        count(inside, posterior, prior[s.PRIOR].to_dataset().isel(chain=0, draw=i), kinds)
    return inside


@pytest.mark.parametrize("kind", [s.LOADINGS, s.SIGMA, s.NU, s.GROUP_LOADINGS])
def test_intervals_of_90_per_cent_hold_the_truth_85_to_95_times_in_100(returns_coverage, kind):
    share = np.mean(returns_coverage[kind])
    print(f"\n{kind}: {share:.3f} of {len(returns_coverage[kind])}")
    assert 0.85 <= share <= 0.95


def test_intervals_of_alpha_are_not_refuted(returns_coverage):
    hits = returns_coverage[s.ALPHA]
    print(f"\nalpha: {np.mean(hits):.3f} of {len(hits)}")
    assert stats.binomtest(sum(hits), len(hits), 0.9).pvalue > 0.01


@pytest.mark.parametrize("kind", [s.FACTOR_LOCATION, s.FACTOR_SCALE, s.FACTOR_NU])
def test_intervals_of_the_factor_law_are_not_refuted(factor_coverage, kind):
    hits = factor_coverage[kind]
    print(f"\n{kind}: {np.mean(hits):.3f} of {len(hits)}")
    assert stats.binomtest(sum(hits), len(hits), 0.9).pvalue > 0.01
