"""`decompose_premium`: expected returns as alpha plus loadings times premia, honestly wide."""

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.attribution.draws import answer_for, expected_means, read_draws, with_interval
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError
from bayesfactor.laws.blocks import Seed, block_rng, root_entropy
from bayesfactor.laws.factors import TRADED_FAMILIES
from bayesfactor.laws.whole import whole_fit
from bayesfactor.limits import said
from bayesfactor.periods import year_in

__all__ = ["decompose_premium"]


@verb
def decompose_premium(
    tree: xr.DataTree, *, traded: list[str] | None = None, random_seed: Seed = None
) -> xr.Dataset:
    """Split each asset's expected return into loading times premium, and what is left.

    A factor that is a portfolio earns its own mean. A driver earns what the cross-section pays for
    loading on it: for each draw, the assets' expected returns less what portfolios explain are regressed on
    their loadings on the drivers, as in a meta-analysis with random effects: an asset's own variance is that
    of its alpha, and mispricing, beyond what drivers explain, has a variance common to all.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    random_seed : int, Generator or SeedSequence, optional
        Of the mispricing that adds to the uncertainty of drivers' premia.
    traded : list of str, optional
        Factors that are portfolios. By default those with weights in the fit, and those of the families
        market, style, sector, liquidity, size and momentum.

    Returns
    -------
    Dataset
        `expected_return`, `alpha` (asset): fractions per period, alpha being what neither portfolios nor
        drivers explain; `premium` (factor), `premium_contribution` (asset, factor) = loading x premium;
        each with `_low` and `_high` (90 % interval); `traded` (factor). `attrs["identification"]` says in
        words how well the sample pins premia down, and `attrs["years"]` how long it is.

    Raises
    ------
    RiskError
        If `traded` names no factor, or there are not more assets than drivers.

    Notes
    -----
    Means are means proper, those of `drift="posterior"`: the centre of a robust law is no mean where returns
    are skewed. The mean of a return is known to about volatility / sqrt(years): no frequency of data helps.
    Intervals for premia of drivers hold the loadings' uncertainty and that of the means.

    References
    ----------
    .. [1] Cochrane, J. H. (2005). Asset Pricing, sec. 12.2: cross-sectional regressions.
    .. [2] DerSimonian, R. and Laird, N. (1986). Meta-analysis in clinical trials. Controlled Clinical
       Trials 7(3), eq. 8: the variance of random effects, here beside regressors.
    """
    d = read_draws(tree, verb="decompose_premium")
    own_alpha, location, expected = expected_means(tree, d.assets)
    own = _traded(tree, d.names, d.families, traded)
    n_drivers = int((~own).sum())
    if n_drivers >= len(d.assets):
        msg = (
            f"premia of drivers come from the cross-section, which needs more assets than drivers; got "
            f"{len(d.assets)} and {n_drivers}. Name portfolios in traded=, or fit with fewer drivers."
        )
        raise RiskError(msg)
    premium = location.copy()
    if n_drivers:
        left = expected - np.einsum("dik,dk->di", d.loadings[:, :, own], location[:, own])
        rng = block_rng(root_entropy(random_seed), 0)
        premium[:, ~own] = _cross_section(left, d.loadings[:, :, ~own], own_alpha.var(axis=0), rng)
    parts = d.loadings * premium[:, None, :]
    alpha = expected - parts.sum(axis=2)
    out = (
        with_interval("expected_return", s.ASSET, expected)
        | with_interval("alpha", s.ASSET, alpha)
        | with_interval("premium", s.FACTOR, premium)
        | with_interval("premium_contribution", (s.ASSET, s.FACTOR), parts)
        | {"traded": (s.FACTOR, own)}
    )
    ends = (out["premium_low"][1], out["premium_high"][1])
    per_year = year_in(tree[s.OBSERVED_DATA])
    years = len(d.time) / per_year
    coords = {s.ASSET: d.assets, s.FACTOR: d.names, s.FAMILY: (s.FACTOR, d.families)}
    attrs = {
        "drift": "posterior",
        "years": years,
        "identification": _in_words(d.names, *ends, own, years, per_year),
    }
    return answer_for(tree, xr.Dataset(out, coords=coords, attrs=attrs))


def _traded(
    tree: xr.DataTree, names: np.ndarray, families: np.ndarray, given: list[str] | None
) -> np.ndarray:
    if given is not None:
        known = set(names.tolist())
        unknown = [t for t in given if not isinstance(t, str) or t not in known]
        if unknown:
            got = ", ".join(map(said, unknown))
            msg = f"traded= names factors of the fit; unknown: {got}. They are {', '.join(names)}."
            raise RiskError(msg)
        return np.isin(names, given)
    own = np.isin(families, TRADED_FAMILIES)
    const = whole_fit(tree)[s.CONSTANT_DATA].to_dataset()
    if s.FACTOR_WEIGHTS in const:
        own |= (const[s.FACTOR_WEIGHTS].transpose(s.FACTOR, s.ASSET).values != 0.0).any(axis=1)
    return own


def _cross_section(
    left: np.ndarray, loadings: np.ndarray, noise: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return draws of the premia (draw, driver) out of `left` (draw, asset).

    Parameters
    ----------
    left : ndarray (draw, asset)
    loadings : ndarray (draw, asset, driver)
    noise : ndarray (asset)
        Variance of each asset's expected return, which the draws of `left` show already.
    rng : Generator
    """
    mispricing = _mispricing(left.mean(axis=0), loadings.mean(axis=0), noise)
    weighted = loadings / (noise + mispricing)[:, None]
    gram = np.einsum("dik,dil->dkl", weighted, loadings)
    # Alphas that are not noise would differ in another market of the same kind: they are drawn too.
    other = left + np.sqrt(mispricing) * rng.standard_normal(left.shape)
    return np.linalg.solve(gram, np.einsum("dik,di->dk", weighted, other)[..., None])[..., 0]


def _mispricing(y: np.ndarray, x: np.ndarray, noise: np.ndarray) -> float:
    """Return the variance, beyond `noise`, of y around its regression on x, by the method of moments."""
    weight = 1.0 / noise
    gram = (x * weight[:, None]).T @ x
    slope = np.linalg.solve(gram, x.T @ (weight * y))
    q = float((weight * (y - x @ slope) ** 2).sum())
    inner = np.linalg.solve(gram, (x * weight[:, None] ** 2).T @ x)
    return max(0.0, (q - (len(y) - x.shape[1])) / float(weight.sum() - np.trace(inner)))


def _in_words(
    names: np.ndarray, low: np.ndarray, high: np.ndarray, own: np.ndarray, years: float, per_year: float
) -> str:
    sure = [str(n) for n, a, b in zip(names, low, high, strict=True) if a > 0 or b < 0]
    said = f"the sign of {', '.join(sure)} is known" if sure else "not even a sign is known"
    text = f"{years:.1f} years of data pin premia down weakly: {said} with 95 % probability"
    if own.any():
        width = float(np.median((high - low)[own]) * per_year)
        text += f"; the median 90 % interval of a portfolio's premium is {width:.0%} a year wide"
    return f"{text}. Finer sampling would not help."
