"""What must not matter does not: the order of assets, the unit of prices, the calendar's origin.

Panels and risk of given draws are held bit by bit in their own rooms; here it is whole fits.
"""

import numpy as np
import pandas as pd
import pytest

import bayesfactor as bf
from bayesfactor import schema as s

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
OPTIONS = {"draws": 1000, "tune": 600, "chains": 2, "random_seed": 5, "progressbar": False}


@pytest.fixture(scope="module")
def prices():
    returns = bf.simulate_panel(n_assets=6, n_days=200, n_groups=2, missing=0, random_seed=3)[0][s.RETURNS]
    return (100 * (1 + returns).cumprod("time")).to_pandas()


@pytest.fixture(scope="module")
def base(prices):
    return bf.fit("hierarchical-t", bf.panel_from_prices(prices), **OPTIONS)


def test_shifted_dates_and_a_power_of_two_in_the_price_change_no_draw(prices, base):
    moved = prices.mul(2.0**20)
    moved.index = moved.index + pd.Timedelta(days=700)
    tree = bf.fit("hierarchical-t", bf.panel_from_prices(moved), **OPTIONS)
    for name in base[s.POSTERIOR].data_vars:
        assert np.array_equal(tree[s.POSTERIOR][name], base[s.POSTERIOR][name]), name


@pytest.mark.parametrize("change", ["permuted", "rescaled"])
def test_permuted_assets_and_rescaled_prices_give_the_same_posterior_within_its_error(prices, base, change):
    changed = prices[prices.columns[::-1]] if change == "permuted" else prices * 1e6
    tree = bf.fit("hierarchical-t", bf.panel_from_prices(changed), **OPTIONS)
    for name in (s.ALPHA, s.LOADINGS, s.SIGMA, s.NU, s.FACTOR_SCALE):
        a, b = (t[s.POSTERIOR][name] for t in (base, tree))
        # Two means of 2000 draws, of which at least 200 count as independent.
        error = np.sqrt(a.var(("chain", "draw")) / 200 + b.var(("chain", "draw")) / 200)
        gap = abs(a.mean(("chain", "draw")) - b.mean(("chain", "draw")))
        assert bool((gap < 4.5 * error).all()), name
