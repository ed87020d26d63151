"""Trees and panels whose factors are a market and drivers of markets that close at weekends."""

import numpy as np
import pandas as pd
import xarray as xr
from garch_trees import garch_tree
from latent_trees import latent_tree
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.laws.rows import keep_state

FRIDAY, SATURDAY = "2024-03-01", "2024-03-02"


def with_drivers(tree: xr.DataTree, last: str = FRIDAY, nu: tuple[float, ...] = (4.0, 6.0)) -> xr.DataTree:
    """Return a tree whose factors but the first are business-day drivers of one family; `last` day seen."""
    out = tree.copy(deep=True)
    post, const, obs = (out[g].to_dataset() for g in (s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA))
    n, n_times = const.sizes[s.FACTOR], obs.sizes[s.TIME]
    days = pd.date_range(end=last, periods=n_times)
    opened = np.ones((n_times, n), dtype=bool)
    opened[np.asarray(days.day_of_week) >= 5, 1:] = False
    opened[7 - days[0].day_of_week + 2, n - 1] = False  # one of them has a holiday, on a Wednesday
    families = np.array(["market"] + ["macro"] * (n - 1))
    stamps = days.values.astype("datetime64[ns]")
    const = const.assign_coords({s.TIME: stamps, s.FAMILY: (s.FACTOR, families)})
    moves = np.where(opened, const[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).values, 0.0)
    const = const.assign(
        {
            s.FACTOR_RETURNS: ((s.TIME, s.FACTOR), moves),
            s.FACTOR_OPEN: ((s.TIME, s.FACTOR), opened),
            s.FACTOR_BLOCK: (s.FACTOR, np.minimum(np.arange(n), 1)),
        }
    )
    if s.FACTOR_PERSISTENCE not in post and s.FACTOR_NU in post:
        drawn = post[s.FACTOR_NU].values[..., None] - 4.0 + np.array(nu)
        post = post.assign({s.FACTOR_NU: ((s.CHAIN, s.DRAW, s.BLOCK), drawn)})
        post = post.assign_coords({s.BLOCK: ["traded", "macro"]})
    out[s.POSTERIOR], out[s.CONSTANT_DATA] = xr.DataTree(post), xr.DataTree(const)
    out[s.OBSERVED_DATA] = xr.DataTree(obs.assign_coords({s.TIME: stamps}))
    out.attrs |= s.label_digests(const)
    for group in (s.LOG_LIKELIHOOD, s.STATE):
        if group in out.children:
            del out[group]
    if tree.attrs["structure"] == "garch":
        keep_state(out)
    return out


def static_drivers(last: str = FRIDAY, n_drivers: int = 2, **options: object) -> xr.DataTree:
    """Return a static tree with a market and some drivers."""
    kept = {"n_assets": 3, "chains": 1, "draws": 3, "n_times": 40, **options}
    return with_drivers(make_tree(n_factors=1 + n_drivers, **kept), last)


def latent_drivers(last: str = FRIDAY, **options: object) -> xr.DataTree:
    """Return a hybrid tree with a market, two drivers and latent factors."""
    kept = {"n_assets": 4, "n_factors": 3, "n_latent": 1, "chains": 1, "draws": 3, **options}
    return with_drivers(latent_tree(**kept), last)


def garch_drivers(last: str = FRIDAY, **options: object) -> xr.DataTree:
    """Return a GARCH tree with a market and two drivers."""
    return with_drivers(
        garch_tree(**{"n_assets": 3, "n_factors": 3, "chains": 1, "draws": 3, **options}), last
    )


def driver_panel(n_drivers: int, n_days: int = 300, n_assets: int = 4, seed: int = 0) -> xr.Dataset:
    """Return a panel of coins with a market of nu = 4 and business-day drivers, correlated 0.3 with it."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2023-01-02", periods=n_days)
    market = 0.03 * rng.standard_t(4, n_days) * np.sqrt(0.5)
    own = rng.standard_t(6, (n_days, 10))[:, :n_drivers] * np.sqrt(2.0 / 3.0)
    drivers = 0.3 * market[:, None] / 0.03 + np.sqrt(1.0 - 0.3**2) * own
    drivers[np.asarray(days.day_of_week) >= 5] = 0.0
    loadings = np.linspace(0.8, 1.2, n_assets)
    noise = 0.02 * np.random.default_rng(seed + 1).standard_t(5, (n_days, n_assets))
    returns = pd.DataFrame(np.outer(market, loadings) + noise, days, [f"C{i}" for i in range(n_assets)])
    names = ["market", *(f"driver{k}" for k in range(n_drivers))]
    return bf.panel_from_returns(
        returns,
        factors=pd.DataFrame(np.column_stack([market, drivers]), days, names),
        families={n: "market" if n == "market" else "macro" for n in names},
    )
