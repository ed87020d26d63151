"""Synthetic markets whose truth is known: what a fit must find again.

Draws come from the hierarchical law itself, with the magnitudes of daily crypto returns, and the panel
is made through the same door as real data.
"""

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor.calls import verb
from bayesfactor.errors import PanelError
from bayesfactor.limits import check_count, check_memory
from bayesfactor.panel import panel_from_returns
from bayesfactor.periods import first_moment
from bayesfactor.schema import (
    ALPHA,
    ASSET,
    FACTOR,
    FACTOR_CORRELATION,
    FACTOR_LOCATION,
    FACTOR_NU,
    FACTOR_OTHER,
    FACTOR_SCALE,
    GROUP,
    GROUP_LOADINGS,
    LOADINGS,
    NU,
    SIGMA,
    TIME,
)

__all__ = ["simulate_panel"]

GROUP_NAMES = ("layer-1", "defi", "meme", "exchange", "gaming", "privacy", "oracle", "storage")
STYLE_NAMES = ("size", "momentum", "liquidity", "volatility", "value", "activity")
MIN_DAYS = 20
JOINT_NU = 4.0
FLOOR = -0.99
"""Simple returns are not let fall below this; at these scales about one cell in a million does."""


@verb
def simulate_panel(
    *,
    n_assets: int = 20,
    n_days: int = 750,
    n_factors: int = 3,
    n_groups: int = 3,
    missing: float = 0.1,
    random_seed: int | np.random.Generator | None = None,
    start: object = "2023-01-01",
) -> tuple[xr.Dataset, xr.Dataset]:
    """Simulate a daily crypto market from the hierarchical Student-t law, with its truth.

    r_it = alpha_i + sum_k beta_ik f_kt + sigma_i e_it with e_it ~ Student-t(nu_i), beta_ik ~ Normal(gamma_gk,
    tau_k), gamma_gk ~ Normal(mu_k, omega_k), and f_t from one multivariate Student-t. The first factor
    is a dominant `market` (3.5 % a day); assets move 3 to 8 % a day.

    Parameters
    ----------
    n_assets, n_factors, n_groups : int
        At least 1 each, and no more groups than assets.
    n_days : int
        At least 20.
    missing : float, default 0.1
        Share of the assets that list late (after 20 to 70 % of the days), in [0, 1). Above 0, one more
        asset is delisted after 80 % of the days and some single days are missing; 0 is complete.
    random_seed : int, Generator or None
        The same int gives the same market, bit for bit.
    start : date-like, default "2023-01-01"
        First day.

    Returns
    -------
    panel : Dataset
        As from `panel_from_returns`: `returns` (time, asset), `factor_returns` (time, factor), simple returns
        as fractions per day.
    truth : Dataset
        The parameters under the posterior's names: `loadings` (asset, factor), `group_loadings`
        (group, factor), `loadings_mean`, `loadings_sd`, `group_loadings_sd`, `factor_location`,
        `factor_scale` (factor; the t scale), `factor_correlation` (factor, factor_other), `factor_nu`, and
        `alpha`, `sigma` (the t scale), `nu`, `group_index` (asset; position along `group`).

    Raises
    ------
    PanelError
        If an argument is out of its range.
    """
    sizes = {"n_assets": n_assets, "n_days": n_days, "n_factors": n_factors, "n_groups": n_groups}
    first_day = _check_arguments(sizes, missing, start)
    rng = np.random.default_rng(random_seed)
    assets = _numbered("COIN", n_assets)
    factors = ["market", *_named(STYLE_NAMES, "style", n_factors - 1)]
    groups = _named(GROUP_NAMES, "group", n_groups)
    truth = _draw_truth(rng, assets, factors, groups)
    factor_returns = _draw_factors(rng, truth, n_days)
    returns = _draw_returns(rng, truth, factor_returns)
    if missing > 0:
        _punch_holes(rng, returns, missing)
    days = pd.date_range(first_day, periods=n_days, freq="D")
    panel = panel_from_returns(
        pd.DataFrame(returns, index=days, columns=assets),
        factors=pd.DataFrame(factor_returns, index=days.rename(TIME), columns=factors),
        groups={a: groups[g] for a, g in zip(assets, truth["group_index"].to_numpy(), strict=True)},
        families={name: "market" if name == "market" else "style" for name in factors},
    )
    return panel, truth


def _draw_truth(
    rng: np.random.Generator, assets: list[str], factors: list[str], groups: list[str]
) -> xr.Dataset:
    """Draw every parameter, from the top of the hierarchy down."""
    n, k, m = len(assets), len(factors), len(groups)
    is_market = np.arange(k) == 0
    mean = np.where(is_market, 1.0, rng.choice([-1.0, 1.0], size=k) * rng.uniform(0.2, 0.4, size=k))
    group_sd = np.where(is_market, 0.15, 0.2) * rng.uniform(0.8, 1.2, size=k)
    asset_sd = 0.2 * rng.uniform(0.8, 1.2, size=k)
    group_index = rng.permutation(np.arange(n) % m)
    group_loadings = rng.normal(mean, group_sd, size=(m, k))
    nu = 2.0 + np.exp(rng.normal(np.log(2.0), 0.2, size=n))
    volatility = np.exp(rng.normal(np.log(0.035), 0.3, size=n))
    factor_volatility = np.where(is_market, 0.035, rng.uniform(0.012, 0.02, size=k))
    return xr.Dataset(
        {
            LOADINGS: ((ASSET, FACTOR), rng.normal(group_loadings[group_index], asset_sd)),
            GROUP_LOADINGS: ((GROUP, FACTOR), group_loadings),
            "loadings_mean": (FACTOR, mean),
            "loadings_sd": (FACTOR, asset_sd),
            "group_loadings_sd": (FACTOR, group_sd),
            ALPHA: (ASSET, rng.normal(0.0, 5e-4, size=n)),
            SIGMA: (ASSET, volatility * np.sqrt((nu - 2.0) / nu)),
            NU: (ASSET, nu),
            "group_index": (ASSET, group_index),
            FACTOR_LOCATION: (FACTOR, np.where(is_market, 1e-3, rng.normal(0.0, 3e-4, size=k))),
            FACTOR_SCALE: (FACTOR, factor_volatility * np.sqrt((JOINT_NU - 2.0) / JOINT_NU)),
            FACTOR_CORRELATION: ((FACTOR, FACTOR_OTHER), _mild_correlation(rng, k)),
            FACTOR_NU: ((), JOINT_NU),
        },
        coords={ASSET: assets, FACTOR: factors, FACTOR_OTHER: factors, GROUP: groups},
    )


def _mild_correlation(rng: np.random.Generator, k: int) -> np.ndarray:
    """Return a random correlation matrix with off-diagonal entries of about 0.2 at most."""
    root = np.eye(k) + np.tril(rng.uniform(-0.2, 0.2, size=(k, k)), -1)
    covariance = root @ root.T
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


def _draw_factors(rng: np.random.Generator, truth: xr.Dataset, n_days: int) -> np.ndarray:
    """Return (time, factor) draws of the multivariate Student-t."""
    root = np.linalg.cholesky(truth[FACTOR_CORRELATION].to_numpy())
    normal = rng.standard_normal((n_days, len(root))) @ root.T
    mixing = np.sqrt(JOINT_NU / rng.chisquare(JOINT_NU, size=(n_days, 1)))
    return truth[FACTOR_LOCATION].to_numpy() + truth[FACTOR_SCALE].to_numpy() * normal * mixing


def _draw_returns(rng: np.random.Generator, truth: xr.Dataset, factor_returns: np.ndarray) -> np.ndarray:
    """Return (time, asset) draws given the factors."""
    nu = truth[NU].to_numpy()
    noise = rng.standard_t(nu, size=(len(factor_returns), len(nu)))
    systematic = factor_returns @ truth[LOADINGS].to_numpy().T
    return np.maximum(truth[ALPHA].to_numpy() + systematic + truth[SIGMA].to_numpy() * noise, FLOOR)


def _punch_holes(rng: np.random.Generator, returns: np.ndarray, missing: float) -> None:
    """Take away, in place, what was not yet listed, no longer listed, or not traded for a day."""
    n_days, n_assets = returns.shape
    late = max(1, round(missing * n_assets))
    order = rng.permutation(n_assets)
    starts = rng.uniform(0.2, 0.7, size=late)
    for asset, share in zip(order[:late], starts, strict=True):
        returns[: int(share * n_days), asset] = np.nan
    if late < n_assets:
        returns[int(0.8 * n_days) :, order[late]] = np.nan
    for asset in rng.integers(0, n_assets, size=max(1, n_assets // 4)):
        there = np.flatnonzero(~np.isnan(returns[:, asset]))
        returns[rng.choice(there[1:-1]), asset] = np.nan


_COPIES = 6
"""Of every cell: draws, returns, what is missing, beside what they are made of."""


def _check_arguments(sizes: dict[str, int], missing: float, start: object) -> pd.Timestamp:
    for name, value in sizes.items():
        least = MIN_DAYS if name == "n_days" else 1
        check_count(name, value, least=least, error=PanelError)
    if sizes["n_groups"] > sizes["n_assets"]:
        msg = (
            f"every group has an asset; got n_groups={sizes['n_groups']} for n_assets={sizes['n_assets']}. "
            "Ask for fewer groups or more assets."
        )
        raise PanelError(msg)
    cells = sizes["n_days"] * (sizes["n_assets"] + sizes["n_factors"])
    pairs = sizes["n_assets"] * sizes["n_factors"] + sizes["n_factors"] ** 2
    what = f"{sizes['n_days']:,} days of {sizes['n_assets']:,} assets and {sizes['n_factors']:,} factors"
    check_memory(what, _COPIES * (cells + pairs), "Ask for a smaller market.", error=PanelError)
    if isinstance(missing, bool) or not isinstance(missing, int | float) or not 0 <= missing < 1:
        msg = f"missing is a share in [0, 1); got {missing!r}. Give 0 for a complete panel."
        raise PanelError(msg)
    return first_moment(start, "start")


def _numbered(stem: str, n: int) -> list[str]:
    width = max(2, len(str(n)))
    return [f"{stem}{i:0{width}d}" for i in range(1, n + 1)]


def _named(names: tuple[str, ...], stem: str, n: int) -> list[str]:
    return [*names[:n], *(f"{stem}-{i}" for i in range(len(names) + 1, n + 1))]
