"""Coverage tests against published regions, direct computation, and their size and power."""

from math import log

import numpy as np
import pytest
from scipy import stats

from bayesfactor.scoring.coverage import christoffersen, dynamic_quantile, kupiec

# Non-rejection regions at 95 % of Kupiec (1995), as in Jorion, Value at Risk: hits strictly between.
# The first is written "N < 7" there; the ratio itself rejects zero hits.
REGIONS = [
    (0.01, 255, 0, 7),
    (0.01, 510, 1, 11),
    (0.01, 1000, 4, 17),
    (0.025, 255, 2, 12),
    (0.025, 510, 6, 21),
    (0.025, 1000, 15, 36),
    (0.05, 255, 6, 21),
    (0.05, 510, 16, 36),
    (0.05, 1000, 37, 65),
    (0.075, 255, 11, 28),
    (0.075, 510, 27, 51),
    (0.075, 1000, 59, 92),
    (0.1, 255, 16, 36),
    (0.1, 510, 38, 65),
    (0.1, 1000, 81, 120),
]


def some_hits(count, n):
    hits = np.zeros(n, dtype=bool)
    hits[:count] = True
    return hits


def markov_hits(n, after_none, after_hit, rng, series):
    hits = np.zeros((n, series), dtype=bool)
    u = rng.random((n, series))
    for t in range(1, n):
        hits[t] = u[t] < np.where(hits[t - 1], after_hit, after_none)
    return hits


def test_kupiec_of_ten_hits_in_255_days_at_99_percent():
    by_hand = 2 * (10 * log(10 / 255) + 245 * log(245 / 255) - 10 * log(0.01) - 245 * log(0.99))
    statistic, p = kupiec(some_hits(10, 255), 0.01)
    assert statistic == pytest.approx(by_hand, rel=1e-12)
    assert statistic == pytest.approx(12.651885, abs=1e-6)
    assert p == pytest.approx(3.752e-4, rel=1e-2)


@pytest.mark.parametrize(("alpha", "n", "below", "above"), REGIONS)
def test_kupiec_rejects_outside_the_published_region(alpha, n, below, above):
    accepted = [x for x in range(150) if kupiec(some_hits(x, n), alpha)[1] > 0.05]
    assert accepted == list(range(below + 1, above))


def test_kupiec_is_finite_without_hits_and_with_hits_only():
    none, _ = kupiec(np.zeros(100, dtype=bool), 0.05)
    every, p = kupiec(np.ones(100, dtype=bool), 0.05)
    assert none == pytest.approx(-2 * 100 * log(0.95), rel=1e-12)
    assert every == pytest.approx(-2 * 100 * log(0.05), rel=1e-12)
    assert p < 1e-10


def by_counting(hits, alpha):
    """Christoffersen's two ratios, a day at a time."""
    count = {(i, j): 0 for i in (0, 1) for j in (0, 1)}
    for i, j in zip(hits[:-1].tolist(), hits[1:].tolist(), strict=True):
        count[int(i), int(j)] += 1

    def term(times, p):
        return times * log(p) if times else 0.0

    def chain(p01, p11):
        return (
            term(count[0, 0], 1 - p01)
            + term(count[0, 1], p01)
            + term(count[1, 0], 1 - p11)
            + term(count[1, 1], p11)
        )

    n0, n1 = count[0, 0] + count[0, 1], count[1, 0] + count[1, 1]
    p01 = count[0, 1] / n0 if n0 else 0.0
    p11 = count[1, 1] / n1 if n1 else 0.0
    pooled = (count[0, 1] + count[1, 1]) / (n0 + n1)
    free = chain(p01, p11)
    return 2 * (free - chain(pooled, pooled)), 2 * (free - chain(alpha, alpha))


@pytest.mark.parametrize("rates", [(0.05, 0.05), (0.05, 0.5), (0.02, 0.0), (0.9, 0.95)])
def test_christoffersen_agrees_with_counting_transitions(rates):
    hits = markov_hits(400, *rates, np.random.default_rng(3), 1)
    independence, independence_p, joint, joint_p = christoffersen(hits, 0.05)
    expected = by_counting(hits[:, 0], 0.05)
    assert (independence[0], joint[0]) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert independence_p[0] == pytest.approx(stats.chi2.sf(expected[0], 1))
    assert joint_p[0] == pytest.approx(stats.chi2.sf(expected[1], 2))


@pytest.mark.parametrize("value", [False, True])
def test_christoffersen_is_defined_when_all_days_are_alike(value):
    hits = np.full(100, value)
    independence, p, joint, _ = christoffersen(hits, 0.05)
    assert (independence, p) == (0.0, 1.0)
    assert joint == pytest.approx(kupiec(hits[1:], 0.05)[0])


def test_joint_coverage_is_independence_and_frequency_from_the_second_day_on():
    hits = markov_hits(500, 0.04, 0.2, np.random.default_rng(5), 20)
    independence, _, joint, _ = christoffersen(hits, 0.05)
    np.testing.assert_allclose(joint, independence + kupiec(hits[1:], 0.05)[0], rtol=1e-9)


def direct_dynamic_quantile(hits, var, alpha):
    rows = range(4, len(hits))
    x = np.array([[1.0, *(float(hits[t - k]) for k in (1, 2, 3, 4)), var[t]] for t in rows])
    y = np.array([float(hits[t]) - alpha for t in rows])
    solution, _, rank, _ = np.linalg.lstsq(x, y, rcond=1e-10)
    return y @ x @ solution / (alpha * (1 - alpha)), rank


def test_dynamic_quantile_agrees_with_least_squares():
    rng = np.random.default_rng(7)
    hits, var = rng.random(600) < 0.05, np.exp(rng.standard_normal(600))
    expected, rank = direct_dynamic_quantile(hits, var, 0.05)
    statistic, p = dynamic_quantile(hits, var, 0.05)
    assert statistic == pytest.approx(expected, rel=1e-9)
    assert p == pytest.approx(stats.chi2.sf(expected, 6), rel=1e-9)
    assert rank == 6


@pytest.mark.parametrize(("hits_until", "rank"), [(600, 5), (0, 1)])
def test_dynamic_quantile_counts_collinear_regressors_once(hits_until, rank):
    hits = (np.random.default_rng(7).random(600) < 0.05) & (np.arange(600) < hits_until)
    expected, found = direct_dynamic_quantile(hits, np.full(600, 0.03), 0.05)
    statistic, p = dynamic_quantile(hits, np.full(600, 0.03), 0.05)
    assert found == rank
    assert statistic == pytest.approx(expected, rel=1e-9)
    assert p == pytest.approx(stats.chi2.sf(expected, rank), rel=1e-9)


def test_dynamic_quantile_sees_a_var_that_moves_by_a_millionth():
    rng = np.random.default_rng(8)
    hits, move = rng.random(600) < 0.05, rng.standard_normal(600)
    small = dynamic_quantile(hits, 0.03 * (1 + 1e-6 * move), 0.05)
    assert small[0] == pytest.approx(dynamic_quantile(hits, move, 0.05)[0], rel=1e-6)


def test_coverage_tests_have_their_size():
    rng = np.random.default_rng(11)
    hits = rng.random((1000, 1500)) < 0.05
    var = np.exp(0.3 * rng.standard_normal((1000, 1500)))
    _, independence, _, joint = christoffersen(hits, 0.05)
    p = {
        "kupiec": kupiec(hits, 0.05)[1],
        "independence": independence,
        "joint": joint,
        "dynamic quantile": dynamic_quantile(hits, var, 0.05)[1],
    }
    # Counts are few, so the chi-squared law is off by more than the simulation's 0.006.
    rates = {name: float((v < 0.05).mean()) for name, v in p.items()}
    assert all(0.02 < rate < 0.1 for rate in rates.values()), rates


def test_coverage_tests_find_what_is_wrong():
    rng = np.random.default_rng(12)
    often = rng.random((1000, 200)) < 0.09
    clustered = markov_hits(1000, 0.04, 0.3, rng, 200)
    flat = np.full((1000, 200), 0.03)
    assert (kupiec(often, 0.05)[1] < 0.05).mean() > 0.95
    assert (christoffersen(often, 0.05)[3] < 0.05).mean() > 0.9
    assert (christoffersen(clustered, 0.05)[1] < 0.05).mean() > 0.9
    assert (dynamic_quantile(clustered, flat, 0.05)[1] < 0.05).mean() > 0.9


def test_dynamic_quantile_finds_hits_that_var_foretells():
    rng = np.random.default_rng(13)
    var = 0.02 + 0.04 * rng.random((1000, 200))
    # Right on average, too low when it is low.
    hits = rng.random((1000, 200)) < np.where(var < 0.04, 0.09, 0.01)
    assert (dynamic_quantile(hits, var, 0.05)[1] < 0.05).mean() > 0.8
    assert (kupiec(hits, 0.05)[1] < 0.05).mean() < 0.1


def test_series_are_treated_apart():
    rng = np.random.default_rng(14)
    hits, var = rng.random((300, 3, 2)) < 0.05, rng.random((300, 3, 2))
    alpha = np.array([0.05, 0.02])
    together = (*kupiec(hits, alpha), *christoffersen(hits, alpha), *dynamic_quantile(hits, var, alpha))
    one, its = hits[:, 2, 1], var[:, 2, 1]
    alone = (*kupiec(one, 0.02), *christoffersen(one, 0.02), *dynamic_quantile(one, its, 0.02))
    np.testing.assert_allclose([v[2, 1] for v in together], alone, rtol=1e-9)
