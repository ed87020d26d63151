"""Simulated truth is recovered: the truth drawn from the card's own prior, so 90 % means 90 %."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayesfactor as bf
from bayesfactor import schema as s

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PANELS = 20
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
def coverage():
    """Share of truths inside the central 90 % interval, and the counts, for each kind by itself."""
    panel = bf.simulate_panel(n_assets=12, n_days=300, n_factors=2, n_groups=3, random_seed=11)[0]
    model = bf.get_model("hierarchical-t", priors=WEAKLY_INFORMATIVE, name="hierarchical-t-tight")
    prior = bf.sample_prior_predictive(model, panel, draws=PANELS, random_seed=5)
    truths = prior[s.PRIOR].to_dataset().isel(chain=0)
    units = {k: prior[s.CONSTANT_DATA][k] for k in (s.RETURNS_UNIT, s.FACTOR_UNIT)}
    kinds = [s.LOADINGS, s.SIGMA, s.NU, s.GROUP_LOADINGS, s.ALPHA, s.FACTOR_SCALE, s.FACTOR_NU]
    inside = {k: [] for k in kinds}
    for i in range(PANELS):
        drawn = prior[s.PRIOR_PREDICTIVE].to_dataset().isel(chain=0, draw=i, drop=True)
        # The prior speaks in the template's units, so the simulated panel keeps them.
        simulated = panel.assign(
            {k: drawn[k].transpose(*panel[k].dims) for k in (s.RETURNS, s.FACTOR_RETURNS)}
        )
        simulated = simulated.assign(units)
        tree = bf.fit(
            model, _relabelled(simulated, panel), draws=500, tune=800, random_seed=i, progressbar=False
        )
        low, high = (
            tree[s.POSTERIOR]
            .to_dataset()[kinds]
            .quantile([0.05, 0.95], ("chain", "draw"))
            .transpose("quantile", ...)
            .pipe(lambda d: (d.isel(quantile=0), d.isel(quantile=1)))
        )
        truth = truths.isel(draw=i)
        for k in kinds:
            inside[k].extend(((low[k] < truth[k]) & (truth[k] < high[k])).values.ravel())
    return {k: (float(np.mean(v)), len(v)) for k, v in inside.items()}


def _relabelled(simulated: xr.Dataset, panel: xr.Dataset) -> xr.Dataset:
    return simulated.assign_coords(panel.coords).assign_attrs(panel.attrs)


@pytest.mark.parametrize("kind", [s.LOADINGS, s.SIGMA, s.NU, s.GROUP_LOADINGS])
def test_intervals_of_90_per_cent_hold_the_truth_85_to_95_times_in_100(coverage, kind):
    share, n = coverage[kind]
    print(f"{kind}: {share:.3f} of {n}")
    # Group loadings come in 120 pieces only, 6 a panel: the band is where 90 % can honestly land.
    assert 0.85 <= share <= 0.95


@pytest.mark.parametrize("kind", [s.ALPHA, s.FACTOR_SCALE, s.FACTOR_NU])
def test_the_other_kinds_are_not_refuted(coverage, kind):
    share, n = coverage[kind]
    print(f"{kind}: {share:.3f} of {n}")
    assert stats.binomtest(round(share * n), n, 0.9).pvalue > 0.01
