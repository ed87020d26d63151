"""The sparse card finds what moves coins, leaves out what does not, and covers the loadings it shrinks."""

import numpy as np
import pytest

import bayesfactor as bf
from benchmarks.selection import N_DRIVERS, sparse_market

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_three_of_25_drivers_are_found_and_their_loadings_covered():
    false = missed = inside = total = 0
    for seed in (100, 101, 102):
        panel, true = sparse_market(seed)
        truth = np.isin(np.arange(N_DRIVERS), true)
        tree = bf.fit("horseshoe-t", panel, draws=500, tune=700, random_seed=seed, progressbar=False)
        found = bf.diagnose(tree, check_adequacy=False)
        assert found.attrs["verdict"] != "fail", found.attrs["reasons"]
        kept = bf.select_factors(tree)["selected"].values[1:]
        false += int((kept & ~truth).sum())
        missed += int((~kept & truth).sum())
        # An independent estimate of the loadings: least squares on the true drivers alone.
        x = np.c_[np.ones(panel.sizes["time"]), panel["factor_returns"].values[:, 0]]
        x = np.c_[x, panel["factor_returns"].values[:, 1:][:, truth]]
        least_squares = np.linalg.lstsq(x, panel["returns"].values)[0][2:].T
        post = tree["posterior"]["loadings"].isel(factor=1 + np.flatnonzero(truth))
        post = post.transpose("chain", "draw", "asset", "factor")
        z = (post.mean(("chain", "draw")).values - least_squares) / post.std(("chain", "draw")).values
        inside += int((np.abs(z) < 3.0).sum())
        total += z.size
    assert false <= 1
    assert missed <= 1
    assert inside / total > 0.95
