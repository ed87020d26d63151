"""Simulated truth is recovered: parameters from the card's own prior, days drawn from them in plain numpy."""

import numpy as np
import pytest
from garch_trees import SERIES, simulate_series
from scipy import stats

import bayesfactor as bf
from bayesfactor import schema as s

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PANELS = 20
KINDS = (s.PERSISTENCE, s.NEWS_SHARE, s.NU, s.SKEW, s.LEVERAGE, s.LOADINGS, s.SIGMA, s.FACTOR_PERSISTENCE)
# The card's shape with priors a little tighter. Near nu = 2 squares of a few days say next to nothing about
# a variance, and the variance that a fit takes to start from, which is not a parameter, is far from the truth.
SENSIBLE = {
    slot: {
        "dist": dist,
        "dims": ["asset"],
        **more,
        "kwargs": {
            "mu": {"dist": "Normal", "kwargs": {"mu": mu, "sigma": sd}},
            "sigma": {"dist": "LogNormal", "kwargs": {"mu": -1.2, "sigma": 0.4}},
        },
    }
    for slot, dist, mu, sd, more in (
        (s.NU, "LogNormal", 1.2, 0.3, {"transform": "above_two"}),
        (s.SIGMA, "LogNormal", -0.7, 0.3, {}),
        (s.PERSISTENCE, "LogitNormal", 2.7, 0.4, {}),
        (s.NEWS_SHARE, "LogitNormal", -1.3, 0.4, {}),
    )
}
FACTOR_SERIES = (s.FACTOR_SCALE, *(f"factor_{x}" for x in SERIES[1:]))


def simulated(template, truth, rng):
    """Return the template with days drawn from the law given one draw of all parameters."""
    shape = template[s.RETURNS].transpose(s.TIME, s.ASSET).shape
    series = []
    for names, n in ((FACTOR_SERIES, 2), (SERIES, shape[1])):
        own = [truth[x].values for x in names]
        series.append(simulate_series(rng, own, own[0] ** 2, np.zeros(n), shape[0])[0])
    location = truth[s.FACTOR_LOCATION].values[:, None]
    factors = np.linalg.solve(np.eye(2) - truth[s.FACTOR_RESPONSE].values, location + series[0])
    loadings = truth[s.LOADINGS].transpose(s.ASSET, s.FACTOR).values
    returns = (truth[s.ALPHA].values[:, None] + loadings @ factors + series[1]).T
    seen = template[s.RETURNS].transpose(s.TIME, s.ASSET).notnull()
    return template.assign(
        {
            s.RETURNS: seen.copy(data=returns).where(seen),
            s.FACTOR_RETURNS: ((s.TIME, s.FACTOR), factors.T),
        }
    )


def panels(model):
    """Yield panels and the truth they were drawn from."""
    template = bf.simulate_panel(n_assets=6, n_days=400, n_factors=2, n_groups=2, random_seed=3)[0]
    # Losses of more than everything are no simple returns; in logs there is no floor.
    template = template.assign_attrs(returns_kind="log")
    prior = bf.sample_prior_predictive(model, template, draws=PANELS, random_seed=5)
    # The prior speaks in the template's units, so every simulated panel keeps them.
    template = template.assign({k: prior[s.CONSTANT_DATA][k] for k in (s.RETURNS_UNIT, s.FACTOR_UNIT)})
    for i in range(PANELS):
        truth = prior[s.PRIOR].to_dataset().isel(chain=0, draw=i)
        yield simulated(template, truth, np.random.default_rng(i)), truth


def held(model, panel, truth, seed):
    """Return whether 90 % intervals hold the truth, by kind."""
    how = {"draws": 300, "tune": 300, "chains": 2, "random_seed": seed, "progressbar": False}
    post = bf.fit(model, panel, **how)[s.POSTERIOR].to_dataset()
    found = {}
    for kind in KINDS:
        # Leverage is one number for all assets.
        draws, value = (x[kind].isel(asset=[0]) if kind == s.LEVERAGE else x[kind] for x in (post, truth))
        low, high = draws.quantile([0.05, 0.95], ("chain", "draw")).transpose("quantile", ...)
        found[kind] = ((low < value) & (value < high)).values.ravel().tolist()
    return found


@pytest.fixture(scope="module")
def coverage():
    model = bf.get_model("gjr-skew-t", priors=SENSIBLE, name="gjr-skew-t-tight")
    inside = [held(model, panel, truth, i) for i, (panel, truth) in enumerate(panels(model))]
    return {kind: [x for one in inside for x in one[kind]] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_90_per_cent_hold_the_truth(coverage, kind):
    """Nine times in ten but for chance; elements of one panel share their parents, so the test is lenient."""
    hits = coverage[kind]
    share, error = np.mean(hits), np.sqrt(0.09 / len(hits))
    print(f"\n{kind}: {share:.3f} of {len(hits)}")
    assert 0.85 - 2.0 * error <= share <= 0.95 + 2.0 * error


def test_intervals_hold_the_truth_over_all_kinds(coverage):
    hits = [x for found in coverage.values() for x in found]
    print(f"\nall: {np.mean(hits):.3f} of {len(hits)}")
    assert 0.85 <= np.mean(hits) <= 0.95
    worst = min(stats.binomtest(sum(h), len(h), 0.9).pvalue for h in coverage.values())
    assert worst > 0.01 / len(KINDS)
