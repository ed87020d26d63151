"""Whether ES is as large as what was lost beyond VaR.

Every test is one-sided, against losses that are larger than forecast, and reads one series. The law
that was forecast is not at hand, so p-values come from resampling the series' own exceedances.
Without an exceedance there is nothing to say, and all is NaN.
"""

from typing import Final

import numpy as np

__all__ = ["MIN_EXCEEDANCES", "shortfall_tests"]

MIN_EXCEEDANCES: Final = 5
"""With fewer, resampling them has too few outcomes for a studentised mean."""
NAMES: Final = (
    "acerbi_szekely_z1",
    "acerbi_szekely_z1_p",
    "acerbi_szekely_z2",
    "acerbi_szekely_z2_p",
    "exceedance_residual",
    "exceedance_residual_p",
)


def shortfall_tests(
    realised: np.ndarray,
    var: np.ndarray,
    es: np.ndarray,
    alpha: float,
    *,
    replications: int,
    random_seed: int,
) -> dict[str, float]:
    """Test the ES forecasts of one series.

    Parameters
    ----------
    realised, var, es : ndarray (time)
        Simple return; forecasts, positive for losses; fractions.
    alpha : float
        1 - level.
    replications : int
        Resamples for the p-values.
    random_seed : int

    Returns
    -------
    dict of str to float
        - `acerbi_szekely_z1`: 1 - mean of loss / ES over the days of exceedance [1]_, test 1; zero
          in expectation where VaR and ES are right, negative where losses are larger than ES. Its p
          is that of a studentised bootstrap of loss / ES - 1, recentred [2]_.
        - `acerbi_szekely_z2`: 1 - sum of loss / ES over the days of exceedance, over (days times
          alpha) [1]_, test 2. Its p is from a simulation in which exceedances come independently with
          probability alpha, and each brings one of the loss / ES that were seen, divided by their
          mean: VaR covers as it should, ES is right, and how much exceedances vary is as seen.
        - `exceedance_residual`: mean of (loss - ES) / VaR over the days of exceedance. McNeil and Frey
          divide by the conditional standard deviation, which VaR stands in for. p as for z1 [3]_.

        z1 and the residual need five exceedances for a p. NaN without an exceedance, and where a
        forecast to divide by is not positive.

    References
    ----------
    .. [1] Acerbi, C. and Szekely, B. (2014). Back-testing expected shortfall. Risk, December.
    .. [2] Efron, B. and Tibshirani, R. J. (1993). An introduction to the bootstrap, algorithm 16.2.
    .. [3] McNeil, A. J. and Frey, R. (2000). Estimation of tail-related risk measures for
       heteroscedastic financial time series. Journal of Empirical Finance 7.
    """
    found = dict.fromkeys(NAMES, np.nan)
    hit = -realised > var
    loss, var, es = -realised[hit], var[hit], es[hit]
    if not len(loss):
        return found
    rng = np.random.default_rng(random_seed)
    if (es > 0.0).all():
        ratio = loss / es
        days = len(realised)
        found["acerbi_szekely_z1"] = 1.0 - ratio.mean()
        found["acerbi_szekely_z1_p"] = _positive_mean_p(ratio - 1.0, replications, rng)
        found["acerbi_szekely_z2"] = 1.0 - ratio.sum() / (days * alpha)
        found["acerbi_szekely_z2_p"] = _joint_p(ratio, days, alpha, replications, rng)
    if (var > 0.0).all():
        residual = (loss - es) / var
        found["exceedance_residual"] = residual.mean()
        found["exceedance_residual_p"] = _positive_mean_p(residual, replications, rng)
    return found


def _positive_mean_p(x: np.ndarray, replications: int, rng: np.random.Generator) -> float:
    """Return the p of mean zero against a positive mean, by a studentised bootstrap."""
    n, spread = len(x), x.std()
    if n < MIN_EXCEEDANCES or spread <= 0.0:
        return np.nan
    sample = (x - x.mean())[rng.integers(n, size=(replications, n))]
    # Not divided: a resample of one value alone has no spread.
    as_extreme = sample.mean(axis=1) * spread >= x.mean() * sample.std(axis=1)
    return float((1 + as_extreme.sum()) / (replications + 1))


def _joint_p(
    ratio: np.ndarray, days: int, alpha: float, replications: int, rng: np.random.Generator
) -> float:
    """Return the p of z2: how often the sum of exceedances is as large under the null."""
    if ratio.mean() <= 0.0:
        return np.nan
    null = ratio / ratio.mean()
    count = rng.binomial(days, alpha, size=replications)
    drawn = np.append(null[rng.integers(len(null), size=int(count.sum()))], 0.0)
    ends = np.concatenate([[0], np.cumsum(count)])
    total = np.concatenate([[0.0], np.cumsum(drawn)])[ends]
    return float((1 + (np.diff(total) >= ratio.sum()).sum()) / (replications + 1))
