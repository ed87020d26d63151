"""The names that are public API: dims, variables, groups and attributes.

Every room spells them through these constants; docs/schema.md says what each holds.
Renaming one is a breaking change and raises `SCHEMA_VERSION`.
"""

from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import accessor  # noqa: F401 - all rooms import this one: wherever a tree is, there is `.bf`
from bayesfactor.errors import SchemaError
from bayesfactor.intact import Layout, Range, check_whole, digest, names_digest

__all__ = [
    "ALPHA",
    "ASSET",
    "BLOCK",
    "CARRY",
    "CHAIN",
    "COMMUNALITY",
    "COMPONENT",
    "COMPOUNDING",
    "CONSTANT_DATA",
    "DRAW",
    "DRIFT",
    "FACTOR",
    "FACTOR_BLOCK",
    "FACTOR_CORRELATION",
    "FACTOR_COVARIANCE",
    "FACTOR_LEVERAGE",
    "FACTOR_LOCATION",
    "FACTOR_MEAN",
    "FACTOR_NEWS_SHARE",
    "FACTOR_NU",
    "FACTOR_OPEN",
    "FACTOR_OTHER",
    "FACTOR_PERSISTENCE",
    "FACTOR_RESPONSE",
    "FACTOR_RETURNS",
    "FACTOR_SCALE",
    "FACTOR_SCORED",
    "FACTOR_SCORES",
    "FACTOR_SHOCKS",
    "FACTOR_SKEW",
    "FACTOR_UNIT",
    "FACTOR_VARIANCE",
    "FACTOR_WEIGHTS",
    "FAMILY",
    "GROUP",
    "GROUP_LOADINGS",
    "HORIZON",
    "INITIAL_FACTOR_VARIANCE",
    "INITIAL_VARIANCE",
    "LATENT",
    "LATENT_LOADINGS",
    "LATENT_NU",
    "LATENT_VARIANCE",
    "LEVEL",
    "LEVERAGE",
    "LOADINGS",
    "LOG_LIKELIHOOD",
    "LOG_PRIOR",
    "NEWS_SHARE",
    "NONLINEAR",
    "NU",
    "OBSERVED_DATA",
    "OTHERS",
    "OWN_RESPONSE",
    "PATH",
    "PERSISTENCE",
    "POSTERIOR",
    "PREDICTIONS",
    "PRIOR",
    "PRIOR_PREDICTIVE",
    "RANK",
    "RETURNS",
    "RETURNS_UNIT",
    "ROTATES",
    "SAMPLE_STATS",
    "SCENARIO",
    "SCHEMA_VERSION",
    "SCORED",
    "SIGMA",
    "SKEW",
    "SPECIFIC",
    "SPECIFIC_NU",
    "SPECIFIC_RETURNS",
    "SPECIFIC_SKEW",
    "SPECIFIC_VARIANCE",
    "STATE",
    "STRATEGY",
    "TIME",
    "TRADE",
    "VARIANCE",
    "WEIGHTS",
    "canonical_order",
    "check_tree",
    "digest",
    "label_digests",
    "time_of_week",
]

SCHEMA_VERSION: Final = "1"
"""Version of the names below; written into every panel and tree."""

# --- dims -------------------------------------------------------------------------------------
TIME: Final = "time"
"""One stamp per period, regular; a value at t is known at the end of t."""
ASSET: Final = "asset"
"""One coin or token."""
FACTOR: Final = "factor"
"""One observed factor."""
FACTOR_OTHER: Final = "factor_other"
"""The second factor dim of a covariance or correlation."""
LATENT: Final = "latent"
"""One latent factor: `latent-1`, `latent-2`, ... in decreasing order of what it explains."""
RANK: Final = "rank"
"""Place among principal axes, 1 for the largest."""
GROUP: Final = "group"
"""A sector or any other partition of the assets; on the panel, a coord over `asset`."""
FAMILY: Final = "family"
"""Coord over `factor` or `component`: market, style, on-chain, macro, specific, drift, ..."""
ROTATES: Final = "rotates"
"""Coord over `factor`: whether coins change sides in the factor's portfolio."""
CHAIN: Final = "chain"
"""Markov chain, as in ArviZ."""
DRAW: Final = "draw"
"""Posterior draw, as in ArviZ."""
PATH: Final = "path"
"""One simulated future for one posterior draw."""
HORIZON: Final = "horizon"
"""Periods ahead, 1, 2, ..."""
LEVEL: Final = "level"
"""Confidence level of VaR and ES, such as 0.99."""
SCENARIO: Final = "scenario"
"""One scenario of `stress`, by its name."""
STRATEGY: Final = "strategy"
"""A rule that says what to hold."""
COMPONENT: Final = "component"
"""Where loss comes from: each factor, then `specific`, then `drift`, and `compounding` if asked for."""
SPECIFIC: Final = "specific"
"""The component of loss no factor explains."""
DRIFT: Final = "drift"
"""The component of loss due to alpha."""
COMPOUNDING: Final = "compounding"
"""The component of loss due to periods that multiply, where positions are not rebalanced."""
NONLINEAR: Final = "nonlinear"
"""The component of loss beyond delta: curvature of options, where positions are given."""
CARRY: Final = "carry"
"""The component of loss that time brings for certain: theta and funding, where positions are given."""
TRADE: Final = "trade"
"""One proposed trade of `incremental_risk`, by its name."""

# --- variables --------------------------------------------------------------------------------
RETURNS: Final = "returns"
"""(time, asset) returns per period as fractions, NaN where there is none."""
FACTOR_RETURNS: Final = "factor_returns"
"""(time, factor) fractions for traded factors, standardised innovations for drivers."""
WEIGHTS: Final = "weights"
"""(asset) what to hold, as fractions of value."""
FACTOR_OPEN: Final = "factor_open"
"""(time, factor) whether a factor could move: False where its market is closed, and it is 0."""
FACTOR_WEIGHTS: Final = "factor_weights"
"""(time, factor, asset) weights, known at t-1, of a factor formed from the panel's own assets."""
LOADINGS: Final = "loadings"
"""(asset, factor) sensitivity of an asset's return to a factor's."""
GROUP_LOADINGS: Final = "group_loadings"
"""(group, factor) mean loading of a group."""
ALPHA: Final = "alpha"
"""(asset) expected return per period that no factor explains."""
SIGMA: Final = "sigma"
"""(asset) scale of the specific return's law (the t scale, not the standard deviation)."""
NU: Final = "nu"
"""(asset) degrees of freedom of the specific return's law."""
LATENT_LOADINGS: Final = "latent_loadings"
"""(asset, latent) sensitivity of an asset's return to a latent factor of unit scale."""
COMMUNALITY: Final = "communality"
"""(asset) share of the scale of an asset's return, given observed factors, that latent factors explain."""
LATENT_VARIANCE: Final = "latent_variance"
"""(rank) eigenvalues of latent_loadings latent_loadings': what each principal axis explains."""
FACTOR_SCORES: Final = "factor_scores"
"""(time, latent) latent factors of each day, drawn given the data."""
LATENT_NU: Final = "latent_nu"
"""Degrees of freedom of the latent factors' joint law, where it is not `nu`."""
FACTOR_LOCATION: Final = "factor_location"
"""(factor) centre of the factors' law."""
FACTOR_SCALE: Final = "factor_scale"
"""(factor) scale of each factor's law (the t scale, not the standard deviation)."""
FACTOR_CORRELATION: Final = "factor_correlation"
"""(factor, factor_other) correlation matrix of the factors' law."""
FACTOR_NU: Final = "factor_nu"
"""Degrees of freedom of the factors' joint law, with several blocks (block) of each; in predictions
(chain, draw, horizon, block)."""
PERSISTENCE: Final = "persistence"
"""(asset) how much of a variance's distance from its long run is left a period later."""
NEWS_SHARE: Final = "news_share"
"""(asset) share of the persistence that follows the last return; the rest keeps the last variance."""
LEVERAGE: Final = "leverage"
"""(asset) news after a fall counts 1 + leverage, after a rise 1 - leverage."""
SKEW: Final = "skew"
"""(asset) skew of the innovations' law in (-1, 1), Hansen's lambda; 0 is the symmetric t."""
FACTOR_PERSISTENCE: Final = "factor_persistence"
"""(factor) `persistence` of a factor's own shocks."""
FACTOR_NEWS_SHARE: Final = "factor_news_share"
"""(factor) `news_share` of a factor's own shocks."""
FACTOR_LEVERAGE: Final = "factor_leverage"
"""(factor) `leverage` of a factor's own shocks."""
FACTOR_SKEW: Final = "factor_skew"
"""(factor) `skew` of a factor's own shocks; in predictions (chain, draw, horizon, block)."""
FACTOR_RESPONSE: Final = "factor_response"
"""(factor, factor_other) response of a factor to those before it on the same day; 0 elsewhere."""
FACTOR_SHOCKS: Final = "factor_shocks"
"""(chain, draw, horizon, factor, factor_other) what the shock of each `factor_other` moves, where factors
share shocks."""
VARIANCE: Final = "variance"
"""(chain, draw, asset) in `state`: variance of the next day's specific return."""
FACTOR_VARIANCE: Final = "factor_variance"
"""(chain, draw, factor) in `state`: variance of the next day's shock of each factor."""
INITIAL_VARIANCE: Final = "initial_variance"
"""(asset) variance of the specific return on the first day there is one."""
INITIAL_FACTOR_VARIANCE: Final = "initial_factor_variance"
"""(factor) variance of a factor's own shock on the first day."""
SCORED: Final = "scored"
"""(asset) 1 where news is the score of the innovation's law, 0 where it is the squared return."""
FACTOR_SCORED: Final = "factor_scored"
"""(factor) the same of a factor's own shocks."""
SPECIFIC_SKEW: Final = "specific_skew"
"""(chain, draw, horizon, asset) skew of the innovation, 0 for a symmetric law."""
SPECIFIC_RETURNS: Final = "specific_returns"
"""(chain, draw, path, horizon, asset) simulated specific returns."""
FACTOR_MEAN: Final = "factor_mean"
"""(chain, draw, horizon, factor) expected factor return given the draw."""
FACTOR_COVARIANCE: Final = "factor_covariance"
"""(chain, draw, horizon, factor, factor_other) factor covariance given the draw."""
SPECIFIC_VARIANCE: Final = "specific_variance"
"""(chain, draw, horizon, asset) variance, given the draw, of the innovation e_i; where a factor is
a portfolio of the panel's own assets, specific returns are e - own_response (factor_weights e)."""
OWN_RESPONSE: Final = "own_response"
"""(chain, draw, asset, factor) G of e - G (factor_weights e), so that factors formed from the
panel's own assets are what their portfolios return; `loadings` and `alpha` of the predictions are
projected alike."""
BLOCK: Final = "block"
"""Shocks of one block are jointly elliptical, blocks are independent; labelled in the posterior."""
FACTOR_BLOCK: Final = "factor_block"
"""(factor) the position of the block that a factor's own shock belongs to."""
SPECIFIC_NU: Final = "specific_nu"
"""(chain, draw, horizon, asset) degrees of freedom of the innovation, inf for the normal."""
RETURNS_UNIT: Final = "returns_unit"
"""Scalar: returns are divided by it inside `build`."""
FACTOR_UNIT: Final = "factor_unit"
"""(factor) factors are divided by it inside `build`."""

# --- groups of the tree -------------------------------------------------------------------------
POSTERIOR: Final = "posterior"
"""Draws of the parameters, in original units."""
SAMPLE_STATS: Final = "sample_stats"
"""The sampler's own record; the factor law's columns start with `factor_law_`."""
LOG_LIKELIHOOD: Final = "log_likelihood"
"""`returns (chain, draw, time)`: pointwise log-likelihood per row, in original units."""
LOG_PRIOR: Final = "log_prior"
"""Log prior density of each free variable."""
OBSERVED_DATA: Final = "observed_data"
"""`returns (time, asset)` the model saw."""
CONSTANT_DATA: Final = "constant_data"
"""Factors, units, factor weights: what is conditioned on."""
STATE: Final = "state"
"""Of models with volatility dynamics: where each draw stands after the last day, to forecast from."""
PRIOR: Final = "prior"
"""Draws from the prior."""
PRIOR_PREDICTIVE: Final = "prior_predictive"
"""`returns (chain, draw, time, asset)` drawn from the prior."""
PREDICTIONS: Final = "predictions"
"""What `forecast` adds."""
OTHERS: Final = "others"
"""Of a part of a fit: the groups of the assets that `select_assets` set aside, which the law still needs."""

# --- what draws may be; any other variable is finite, and a name that ends in `_sd` is not negative ----
_above_zero, _share, _side = Range(0.0, open_ended=True), Range(0.0, 1.0), Range(-1.0, 1.0)
_freedom = Range(0.0, open_ended=True, endless=True)
_ranges = {
    **dict.fromkeys((SIGMA, FACTOR_SCALE, RETURNS_UNIT, FACTOR_UNIT, VARIANCE, FACTOR_VARIANCE), _above_zero),
    **dict.fromkeys((INITIAL_VARIANCE, INITIAL_FACTOR_VARIANCE), _above_zero),
    **dict.fromkeys((NU, FACTOR_NU, LATENT_NU, SPECIFIC_NU), _freedom),
    **dict.fromkeys((PERSISTENCE, NEWS_SHARE, FACTOR_PERSISTENCE, FACTOR_NEWS_SHARE), _share),
    **dict.fromkeys((FACTOR_CORRELATION, LEVERAGE, SKEW, FACTOR_LEVERAGE, FACTOR_SKEW, SPECIFIC_SKEW), _side),
    # Of a draw with nu <= 2 they are infinite, which risk verbs refuse in their own words.
    SPECIFIC_VARIANCE: Range(0.0, endless=True),
}
_layout = Layout(
    sample=(CHAIN, DRAW),
    labelled={
        ASSET: ("assets", "Take a part with bf.select_assets(tree, assets), which keeps the law whole."),
        FACTOR: ("factors", "Fit a panel that has only those."),
        TIME: ("days", "Fit a panel of those rows."),
    },
    split=ASSET,
    others=OTHERS,
    drawn=(POSTERIOR, STATE, PREDICTIONS),
    data=(OBSERVED_DATA, CONSTANT_DATA),
    needed={POSTERIOR: (), OBSERVED_DATA: (RETURNS,), CONSTANT_DATA: (FACTOR_RETURNS,)},
    ahead=PREDICTIONS,
    # Data, not draws; and what infinite variances make of a covariance.
    unchecked={
        OBSERVED_DATA: (RETURNS,),
        CONSTANT_DATA: (FACTOR_RETURNS, FACTOR_WEIGHTS),
        PREDICTIONS: (FACTOR_COVARIANCE,),
    },
    gaps={FACTOR_SCORES: TIME},
    law=(LOADINGS, LATENT_LOADINGS, FACTOR_LOCATION, FACTOR_RESPONSE, FACTOR_SCORES, *_ranges),
    variables="posterior_variables",
    ranges={**_ranges, COMMUNALITY: _share, LATENT_VARIANCE: Range(0.0)},
)


def canonical_order(labels: np.ndarray | xr.DataArray) -> np.ndarray:
    """Return the positions that sort `labels`.

    Sums over assets run in this order, so that permuting the assets of a panel leaves every
    number bitwise equal: floating-point addition does not commute over three terms.
    """
    return np.argsort(np.asarray(labels).astype(str), kind="stable")


def label_digests(data: xr.Dataset) -> dict[str, str]:
    """Return fingerprints of the assets, factors and stamps of a fit, by the attribute they are kept in.

    Names count, their order does not.
    """
    return {f"{d}_labels": names_digest(data[d].values) for d in (ASSET, FACTOR, TIME) if d in data.coords}


def time_of_week(stamps: np.ndarray) -> np.ndarray:
    """Return the minute of the week of each stamp, from Monday 0:00 on.

    Of daily stamps it is the weekday, of hourly ones the hour of the week, of weekly ones always the same.
    """
    monday = np.datetime64("1970-01-05T00:00", "ns")
    since = (np.asarray(stamps).astype("datetime64[ns]") - monday) % np.timedelta64(7, "D")
    return (since // np.timedelta64(1, "m")).astype(np.int64)


def check_tree(tree: xr.DataTree, *groups: str, verb: str, nan: bool = False, any_days: bool = False) -> None:
    """Raise `SchemaError` unless `tree` came from `fit` whole, and holds `groups`.

    Its labels are those of the fit (chains and draws may be fewer), and its draws in their range.

    Parameters
    ----------
    tree : DataTree
    *groups : str
        What it must hold.
    verb : str
        Who asks.
    nan : bool
        Whether draws that are not finite are let through, for a verb that reports them.
    any_days : bool
        Whether its days may be others than those of the fit, for a verb that reads rows one by one.
    """
    if not isinstance(tree, xr.DataTree):
        got = type(tree).__name__
        msg = f"{verb} reads the DataTree that bf.fit returns; got {got}. Call bf.fit or bf.load first."
        raise SchemaError(msg)
    missing = [g for g in groups if g not in tree.children]
    if missing:
        have = ", ".join(sorted(tree.children)) or "none"
        msg = f"{verb} needs the group(s) {', '.join(missing)}; the tree has: {have}. Use a tree from bf.fit."
        raise SchemaError(msg)
    version = tree.attrs.get("schema_version")
    if version != SCHEMA_VERSION:
        msg = (
            f"this version reads trees of schema {SCHEMA_VERSION}; got {version!r}. "
            "Fit again, or install the version of bayesfactor that wrote it (see the tree's attrs)."
        )
        raise SchemaError(msg)
    free = (TIME,) if any_days else ()
    check_whole(tree, _layout, verb=verb, nan=nan, free=free)
