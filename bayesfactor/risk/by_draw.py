"""Risk numbers given each draw, of as many draws as are asked for: no path is simulated for one period."""

from collections.abc import Sequence
from typing import Any

import xarray as xr

from bayesfactor import schema as s
from bayesfactor.forecast import predict
from bayesfactor.laws.blocks import Seed
from bayesfactor.risk.checks import checked_levels
from bayesfactor.risk.exact import Book
from bayesfactor.risk.given import exact_tails
from bayesfactor.risk.labelled import kept_draws, thinned_draws
from bayesfactor.risk.weights import weights_for

__all__ = ["risk_by_draw"]


def risk_by_draw(
    tree: xr.DataTree,
    weights: Any,
    *,
    fill_zero: bool = False,
    levels: Sequence[float] = (0.95, 0.99),
    horizon: int = 1,
    draws: int = 400,
    drift: str = "zero",
    random_seed: Seed = None,
) -> xr.Dataset:
    """Return `volatility`, `var`, `es` and contributions to `es` given each of some evenly spaced draws.

    Parameters are those of `bf.decompose_risk`, and errors.

    Returns
    -------
    Dataset
        `volatility (chain, draw)`, `var` and `es (chain, draw, level)`, `es_contribution (chain, draw, level,
        component)` over all assets; fractions of value, losses positive.
    """
    wanted = checked_levels(tree, levels)
    found = predict(tree, horizon, drift=drift, random_seed=random_seed)
    labels = found.labels
    kept, some = kept_draws(labels, draws), thinned_draws(labels, draws)
    w = weights_for(weights, labels.assets, fill_zero=fill_zero)
    book = Book(found.moments.take(some), labels.to_canonical(w))
    tails = exact_tails(book, wanted, found, some)
    shape = (len(labels.chains), len(kept))
    sample, level = (s.CHAIN, s.DRAW), s.LEVEL
    parts = tails.es_contribution.sum(axis=2)
    return xr.Dataset(
        {
            "volatility": (sample, book.volatility_by_draw()[0].reshape(shape)),
            "var": ((*sample, level), tails.var.T.reshape(*shape, -1)),
            "es": ((*sample, level), tails.es.T.reshape(*shape, -1)),
            "es_contribution": ((*sample, level, s.COMPONENT), parts.reshape(*shape, *parts.shape[1:])),
        },
        coords={
            s.CHAIN: labels.chains,
            s.DRAW: labels.draws[kept],
            s.LEVEL: wanted,
            s.COMPONENT: [*labels.factors.astype(str), s.SPECIFIC, s.DRIFT],
        },
    )
