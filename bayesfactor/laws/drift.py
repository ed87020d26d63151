"""Which expected returns the law ahead has: none, what the data say, or what was believed before.

The centre of a symmetric law is no mean where returns are skewed, and robust likelihoods know the centre far
better than any sample knows a mean. "posterior" is therefore a posterior of means proper: given a draw's
loadings, sample means of factors and of what they leave of each asset's returns are normal around the true
ones, with the sampling covariance of the days themselves, under the card's prior.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError, SchemaError, unknown_names
from bayesfactor.laws.blocks import block_rng
from bayesfactor.laws.contract import Law
from bayesfactor.laws.whole import whole_fit
from bayesfactor.laws.yearly import draw_prior, per_period, plain_normal

__all__ = ["DRIFTS", "Means", "centre_gaps", "checked_drift", "drifting", "means_of"]

DRIFTS: Final = ("zero", "posterior", "prior")
"""No expected return; that of the data and the prior; that of the prior alone."""

_KEY: Final = 2**28
"""Keeps the draws of means apart from all others of a fit: they are the same in every verb."""
_PRIOR_DRAWS: Final = 4000
_TYPICAL_DAYS: Final = 10.0
"""Days of the typical asset that each asset's own variance is shrunk by: a young coin has few."""


@dataclass(frozen=True)
class Means:
    """Expected returns per period of each draw.

    Parameters
    ----------
    alpha : ndarray (draw, asset)
        Of what factors leave, canonical order.
    factors : ndarray (draw, factor)
        Of the observed factors.
    """

    alpha: np.ndarray
    factors: np.ndarray


def checked_drift(drift: Any) -> str:
    """Return the word, or raise `RiskError`."""
    if drift not in DRIFTS:
        got = unknown_names([drift], DRIFTS) if isinstance(drift, str) else repr(drift)
        msg = f"drift is one of {', '.join(DRIFTS)}; got {got}."
        raise RiskError(msg)
    return str(drift)


def drifting(law: Law, tree: xr.DataTree, drift: str) -> Law:
    """Return the law of the periods ahead with the expected returns asked for.

    Densities of days past are those of `law`, not of what is returned.
    """
    means = means_of(law, tree, drift)
    return law.with_means(means.alpha, means.factors)


def means_of(law: Law, tree: xr.DataTree, drift: str) -> Means:
    """Return the expected returns that each draw of a fit has ahead.

    Parameters
    ----------
    law : Law
        Of all draws of `tree`, with its rows.
    tree : DataTree
    drift : {"zero", "posterior", "prior"}

    Raises
    ------
    SchemaError, CardError
        If the priors of means cannot be read off the tree's card.
    """
    n, n_factors = law.n_draws, len(law.factors)
    if checked_drift(drift) == "zero":
        return Means(np.zeros((n, len(law.returns))), np.zeros((n, n_factors)))
    prior = _Prior.read(tree, n_factors)
    rng = block_rng(int(tree.attrs.get("random_seed", 0)), _KEY)
    z = prior.draws(rng, n) if drift == "prior" else _posterior(law, prior, rng)
    return Means(np.ascontiguousarray(z[:, n_factors:]), np.ascontiguousarray(z[:, :n_factors]))


@dataclass(frozen=True)
class _Prior:
    """What a card says of means per period, in original units: factors, then assets in canonical order.

    Parameters
    ----------
    specs : mapping
        Slots of means, per period.
    sizes : dict
        How many factors, assets and groups.
    unit : ndarray (mean)
    group : ndarray (asset)
    """

    specs: Mapping[str, Mapping[str, Any]]
    sizes: dict[str, int]
    unit: np.ndarray
    group: np.ndarray

    @classmethod
    def read(cls, tree: xr.DataTree, n_factors: int) -> "_Prior":
        tree = whole_fit(tree)
        slots: dict[str, Any] = {}
        periods = 1.0
        try:
            slots = tomllib.loads(str(tree.attrs["card"]))["priors"]
            slots = {k: slots[k] for k in (s.ALPHA, f"group_{s.ALPHA}", s.FACTOR_LOCATION) if k in slots}
            alone = {s.ALPHA, *([s.FACTOR_LOCATION] if n_factors else [])} - set(slots)
            periods = float(tree.attrs["periods_per_year"])
        except (KeyError, tomllib.TOMLDecodeError) as error:
            alone = {str(error)}
        if alone:
            msg = (
                "expected returns need the priors of means on the tree's card, and periods_per_year in its "
                f'attrs; missing: {", ".join(sorted(alone))}. Use drift="zero", or a tree of bf.fit.'
            )
            raise SchemaError(msg)
        const, obs = (tree[g].to_dataset() for g in (s.CONSTANT_DATA, s.OBSERVED_DATA))
        n = obs.sizes[s.ASSET]
        unit = np.append(const[s.FACTOR_UNIT].values[:n_factors], np.full(n, float(const[s.RETURNS_UNIT])))
        names, group = np.unique(obs[s.GROUP].values.astype(str), return_inverse=True)
        sizes = {s.FACTOR: n_factors, s.ASSET: n, s.GROUP: len(names)}
        order, specs = s.canonical_order(obs[s.ASSET]), per_period(slots, periods)
        return cls(specs | {s.ALPHA: _in_order(specs[s.ALPHA], order)}, sizes, unit, group[order])

    def draws(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw means (n, mean)."""
        own = draw_prior(rng, s.ALPHA, self.specs[s.ALPHA], n, self.sizes[s.ASSET])
        if f"group_{s.ALPHA}" in self.specs:
            name = f"group_{s.ALPHA}"
            own = own + draw_prior(rng, name, self.specs[name], n, self.sizes[s.GROUP])[:, self.group]
        parts = [np.broadcast_to(own, (n, self.sizes[s.ASSET]))]
        if count := self.sizes[s.FACTOR]:
            location = draw_prior(rng, s.FACTOR_LOCATION, self.specs[s.FACTOR_LOCATION], n, count)
            parts.insert(0, np.broadcast_to(location, (n, count)))
        return np.concatenate(parts, axis=1) * self.unit

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (mean) and covariance (mean, mean): exact of normals, else that of many draws."""
        n, count = self.sizes[s.ASSET], self.sizes[s.FACTOR]
        slots = [(s.FACTOR_LOCATION, count)] * (count > 0) + [(s.ALPHA, n)]
        normal = [plain_normal(self.specs[slot], size) for slot, size in slots]
        if f"group_{s.ALPHA}" in self.specs or any(x is None for x in normal):
            found = self.draws(block_rng(0, _KEY), _PRIOR_DRAWS)
            return found.mean(axis=0), np.atleast_2d(np.cov(found, rowvar=False))
        mean, sd = (np.concatenate(x) * self.unit for x in zip(*(x for x in normal if x), strict=True))
        return mean, np.diag(sd**2)


def _in_order(spec: Mapping[str, Any], order: np.ndarray) -> dict[str, Any]:
    """Return a prior whose numbers by asset, in the panel's order on a card, stand in another order."""
    kwargs = {
        k: _in_order(v, order)
        if isinstance(v, Mapping)
        else np.asarray(v)[order].tolist()
        if isinstance(v, list)
        else v
        for k, v in spec.get("kwargs", {}).items()
    }
    return {**spec, "kwargs": kwargs}


def _posterior(law: Law, prior: _Prior, rng: np.random.Generator) -> np.ndarray:
    """Draw means (draw, mean) given sample means: normal likelihood, the days' own sampling covariance."""
    found, error = _sample_means(law)
    centre, before = prior.moments()
    size, axes = np.linalg.eigh(before)
    size = np.maximum(size, 1e-12 * size.max())
    root, back = axes * np.sqrt(size) @ axes.T, axes / np.sqrt(size) @ axes.T
    # In units of the prior, along the axes of the error: each keeps 1 / (1 + v) of what was seen.
    v, turn = np.linalg.eigh(back @ error @ back)
    kept = 1.0 / (1.0 + np.maximum(v, 0.0))
    seen = (found - centre) @ back @ turn
    noise = np.sqrt(1.0 - kept) * rng.standard_normal(found.shape)
    return np.asarray(centre + (kept * seen + noise) @ turn.T @ root)


def _sample_means(law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Return sample means given each draw's loadings (draw, mean) and their covariance (mean, mean).

    Means are those of factors, then of what factors leave of each asset on its own days. Days are taken for
    independent; what assets have in common on a day, latent factors say, is in the covariance.
    """
    seen = np.isfinite(law.returns)
    filled = np.where(seen, law.returns, 0.0)
    n = np.maximum(seen.sum(axis=1), 1e-6)
    n_factors, opened = len(law.factors), law.opened
    days_open = np.maximum(opened.sum(axis=1), 1.0)
    at = (seen @ law.factors.T) / n[:, None]
    left = filled.sum(axis=1) / n - np.einsum("dik,ik->di", law.loadings, at)
    centre = law.factors.sum(axis=1) / days_open  # of the days on which it can move
    found = np.concatenate([np.broadcast_to(centre, (law.n_draws, n_factors)), left], axis=1)
    rest = filled - law.loadings.mean(axis=0) @ law.factors
    rest = np.where(seen, rest - left.mean(axis=0)[:, None], 0.0)
    days = np.concatenate([np.where(opened, law.factors - centre[:, None], 0.0), rest])
    square = (days**2).sum(axis=1)
    count = np.concatenate([days_open, n])
    variance = square / np.maximum(count - 1.0, 1.0)
    own = variance[n_factors:]
    typical = float(np.median(own[own > 0.0])) if (own > 0.0).any() else 1e-4
    variance[n_factors:] = (n * own + _TYPICAL_DAYS * typical) / (n + _TYPICAL_DAYS)
    length = np.sqrt(square)
    days = days / np.where(length > 0.0, length, 1.0)[:, None]
    together = days @ days.T
    np.fill_diagonal(together, 1.0)
    sd = np.sqrt(variance / count)
    return found, sd[:, None] * together * sd


def centre_gaps(law: Law, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far sample means lie above the centre of each asset's law, and the error of that (asset).

    The error is Hausman's (1978): the mean's own less the centre's, which a law that is right knows better;
    at least half of the mean's.

    Parameters
    ----------
    law : Law
        With its rows.
    centre : ndarray (draw, asset)
        Alpha of its draws.
    """
    found, error = _sample_means(law)
    n_factors = len(law.factors)
    variance = np.diag(error)[n_factors:]
    less = np.maximum(variance - centre.var(axis=0), 0.25 * variance)
    return (found[:, n_factors:] - centre).mean(axis=0), np.sqrt(less)
