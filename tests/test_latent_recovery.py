"""Simulated truth is found again: loadings space, communalities, tails, and the number of factors."""

import numpy as np
import pytest
from latent_trees import latent_panel
from scipy.linalg import subspace_angles
from scipy.stats import binomtest

import bayesfactor as bf
from bayesfactor import schema as s

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PANELS = 20
HOW = {"draws": 400, "tune": 500, "chains": 4, "progressbar": False}


@pytest.fixture(scope="module")
def coverage():
    """Whether 90 % intervals hold the truth, for panels whose truth is drawn from the card's own prior."""
    model = bf.get_model("latent-t", n_latent=2)
    template, _ = latent_panel(10, 500, (0.8, 0.4), seed=1)
    prior = bf.sample_prior_predictive(model, template, draws=PANELS, random_seed=5)
    units = {k: prior[s.CONSTANT_DATA][k] for k in (s.RETURNS_UNIT, s.FACTOR_UNIT)}
    inside = {k: [] for k in (s.COMMUNALITY, s.SIGMA, s.NU, "common")}
    for i in range(PANELS):
        drawn = prior[s.PRIOR_PREDICTIVE][s.RETURNS].isel(chain=0, draw=i, drop=True)
        panel = template.assign(units | {s.RETURNS: (("time", "asset"), drawn.values)})
        post = bf.fit(model, panel, random_seed=i, **HOW)[s.POSTERIOR].to_dataset()
        truth = prior[s.PRIOR].to_dataset().isel(chain=0, draw=i)
        for name in (s.SIGMA, s.NU):
            count(inside[name], post[name], truth[name].values)
        latent = truth[s.LATENT_LOADINGS].transpose("asset", "latent").values
        shares = (latent**2).sum(1) / ((latent**2).sum(1) + truth[s.SIGMA].values ** 2)
        count(inside[s.COMMUNALITY], post[s.COMMUNALITY], shares)
        # Entries of Lambda Lambda' off the diagonal: what rotation does not touch, signs included.
        loadings = post[s.LATENT_LOADINGS].transpose("chain", "draw", "asset", "latent").values
        pairs = np.triu_indices(10, k=1)
        gram = (loadings @ loadings.swapaxes(-1, -2))[..., pairs[0], pairs[1]].reshape(-1, 45)
        low, high = np.quantile(gram, [0.05, 0.95], axis=0)
        actual = (latent @ latent.T)[pairs]
        inside["common"].extend(((low < actual) & (actual < high)).tolist())
    return inside


def count(inside, draws, truth):
    low, high = draws.quantile([0.05, 0.95], ("chain", "draw")).values
    inside.extend(np.ravel((low < truth) & (truth < high)).tolist())


@pytest.mark.parametrize("kind", [s.COMMUNALITY, s.SIGMA, "common"])
def test_intervals_of_90_per_cent_hold_the_truth_85_to_95_times_in_100(coverage, kind):
    share = np.mean(coverage[kind])
    print(f"\n{kind}: {share:.3f} of {len(coverage[kind])}")
    assert 0.85 <= share <= 0.95


def test_intervals_of_nu_are_not_refuted(coverage):
    hits = coverage[s.NU]
    print(f"\nnu: {np.mean(hits):.3f} of {len(hits)}")
    assert binomtest(sum(hits), len(hits), 0.9).pvalue > 0.01


def test_the_space_of_loadings_and_the_number_of_factors_are_found():
    right, angles = 0, []
    for i in range(PANELS):
        panel, truth = latent_panel(12, 500, (0.8, 0.4), seed=100 + i)
        table = bf.choose_n_latent(panel, range(4), random_seed=i, **(HOW | {"draws": 250, "tune": 400}))
        right += table.attrs["n_latent"] == 2
        tree = bf.fit(bf.get_model("latent-t", n_latent=2), panel, random_seed=i, **HOW)
        mean = tree[s.POSTERIOR][s.LATENT_LOADINGS].mean(("chain", "draw")).transpose("asset", "latent")
        angles.append(np.degrees(subspace_angles(mean.values, truth[s.LATENT_LOADINGS].values).max()))
    print(
        f"\nright number in {right} of {PANELS}; largest principal angle, median {np.median(angles):.1f} degrees,"
        f" worst {max(angles):.1f}"
    )
    assert right >= 17
    assert np.median(angles) < 15.0
