"""From a case to numbers: what is lost on average, exactly, and VaR and ES from its paths.

`Holding` is the one place where simulated factor and specific returns become losses and their parts.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from bayesfactor.forecast import Labels
from bayesfactor.laws import Scenarios
from bayesfactor.risk.nonlinear import PositionBook, padded
from bayesfactor.risk.predictive import Tail, mcse_of, paths_wanted
from bayesfactor.stress.cases import Case

__all__ = ["Holding", "Tails", "tails"]

_FIRST: Final = 50_000
_MOST: Final = 200_000
_MOST_DEAR: Final = 40_000
_AVERAGED: Final = 100_000
"""Scenarios over which the mean of a non-linear gain is taken."""
_MOST_CELLS: Final = 120_000_000
"""Scenarios times periods times assets; what a long sale is drawn with."""


@dataclass(frozen=True)
class Holding:
    """A portfolio in one scenario.

    Parameters
    ----------
    case : Case
    weights : ndarray (asset)
        Canonical order.
    positions : PositionBook, optional
        What is held besides: `weights` then hold its linear part.
    """

    case: Case
    weights: np.ndarray
    positions: PositionBook | None = None

    @cached_property
    def held(self) -> np.ndarray:
        """Weights of each period (horizon, asset)."""
        horizon = self.case.expected.shape[1]
        shares = self.case.shares
        return (
            np.broadcast_to(self.weights, (horizon, len(self.weights)))
            if shares is None
            else shares * self.weights
        )

    @cached_property
    def exposures(self) -> np.ndarray:
        """Portfolio loadings of each period (draw, horizon, factor)."""
        loadings = self.case.moments.loadings
        if self.case.shares is None:
            once = np.einsum("i,dik->dk", self.weights, loadings)
            return np.broadcast_to(once[:, None], (len(once), len(self.held), once.shape[1]))
        return np.einsum("hi,dik->dhk", self.held, loadings)

    @cached_property
    def drift(self) -> np.ndarray:
        """What alpha returns over the horizon (draw, asset)."""
        return self.held.sum(axis=0) * self.case.moments.alpha

    def losses(self, block: Scenarios) -> np.ndarray:
        """Return the loss of each row of a block."""
        d = block.draws
        total = self.drift[d].sum(axis=1) + np.einsum("nhk,nhk->n", self.exposures[d], block.factor_returns)
        total = total + np.einsum("nhi,hi->n", block.specific_returns, self.held)
        if self.positions is not None:
            total = total + (self.positions.beyond(block) + self.positions.certain).sum(axis=1)
        return -total

    def parts(self, block: Scenarios, rows: np.ndarray) -> np.ndarray:
        """Return the parts of the loss of some rows of a block (row, asset, component); they add up to it."""
        d = np.arange(self.case.moments.n_draws)[block.draws][rows]
        specific = np.einsum("nhi,hi->ni", block.specific_returns[rows], self.held)
        linear = self._parts(d, block.factor_returns[rows], specific)
        if self.positions is None:
            return linear
        some = Scenarios(d, block.factor_returns[rows], block.specific_returns[rows])
        return self._with_positions(linear, self.positions.beyond(some))

    def _with_positions(self, linear: np.ndarray, beyond: np.ndarray) -> np.ndarray:
        """Return parts (row, asset, component) with those of positions: `nonlinear` and `carry`."""
        assert self.positions is not None  # noqa: S101 - the callers ask
        out = padded(linear)
        out[:, :, -2], out[:, :, -1] = -beyond, -self.positions.certain
        return out

    @cached_property
    def mean_beyond(self) -> np.ndarray:
        """What positions gain on average beyond their linear part, given each draw (draw, asset).

        An average over paths: what an option gains has no closed form here.
        """
        assert self.positions is not None  # noqa: S101 - the callers ask
        case, n = self.case, self.case.moments.n_draws
        if case.specific is not None:
            out = np.zeros(case.moments.alpha.shape)
            out[:, self.positions.at] = self.positions.bent(
                (case.systematic + case.specific)[:, self.positions.at]
            )
            return out
        if case.paths is None:
            assert case.replayed is not None  # noqa: S101 - nothing is open, so returns are known
            returns = np.nan_to_num(case.replayed).sum(axis=0)[self.positions.at]
            out = np.zeros(case.moments.alpha.shape)
            out[:, self.positions.at] = self.positions.bent(returns[None])
            return out
        count = max(1, _AVERAGED // n // case.stride) * case.stride
        total, blocks = np.zeros(case.moments.alpha.shape), np.zeros(n)
        for block in case.paths(range(count)):
            d = np.arange(n)[block.draws]
            np.add.at(total, d, self.positions.beyond(block))
            np.add.at(blocks, d, 1.0)
        return total / blocks[:, None]

    @cached_property
    def mean_parts(self) -> np.ndarray:
        """E[x] given each draw (draw, asset, component), in closed form but for what positions add."""
        if self.positions is None:
            return self._linear_means
        return self._with_positions(self._linear_means, self.mean_beyond)

    @cached_property
    def _linear_means(self) -> np.ndarray:
        m = self.case.moments
        own = self.case.specific
        own = np.zeros(m.alpha.shape) if own is None else own * self.weights
        out = self._parts(np.arange(m.n_draws), self.case.expected, own)
        if self.case.replayed is not None:
            known = np.isfinite(self.case.replayed).all(axis=0)
            loss = -(self.held * np.where(known, self.case.replayed, 0.0)).sum(axis=0)
            out[:, known, -2] = loss[known] - out[:, known].sum(axis=2)
        return out

    def _parts(self, draws: np.ndarray, factors: np.ndarray, specific: np.ndarray) -> np.ndarray:
        n_factors = factors.shape[2]
        out = np.empty((len(draws), len(self.weights), n_factors + 2))
        if self.case.shares is None:
            moved = self.weights[:, None] * factors.sum(axis=1)[:, None]
        else:
            moved = np.einsum("hi,nhk->nik", self.held, factors)
        out[:, :, :-2] = -self.case.moments.loadings[draws] * moved
        out[:, :, -2] = -specific
        out[:, :, -1] = -self.drift[draws]
        return out


@dataclass(frozen=True)
class Tails:
    """VaR and ES of the loss under a scenario.

    Parameters
    ----------
    var, es, var_mcse, es_mcse : ndarray (level)
    es_contribution : ndarray (level, asset, component)
    scenarios : int
    floored_share : float
    """

    var: np.ndarray
    es: np.ndarray
    var_mcse: np.ndarray
    es_mcse: np.ndarray
    es_contribution: np.ndarray
    scenarios: int
    floored_share: float


def tails(holding: Holding, levels: np.ndarray, labels: Labels, *, paths: int | None) -> Tails:
    """Return the tails; where `paths` is None, more are added as in `bf.decompose_risk`."""
    case, n = holding.case, holding.case.moments.n_draws
    if case.paths is None:
        parts = holding.mean_parts.mean(axis=0)
        same, none = np.full(len(levels), parts.sum()), np.zeros(len(levels))
        return Tails(same, same, none, none, np.broadcast_to(parts, (len(levels), *parts.shape)), n, 0.0)
    cells = case.expected.shape[1] * len(holding.weights)
    most = max(1, min(_MOST_DEAR if case.dear else _MOST, _MOST_CELLS // cells) // n)
    first = max(1, min(_FIRST // n, most))
    count = paths if paths is not None else math.ceil(first / case.stride) * case.stride
    losses, floored = _losses(holding, range(count))
    while True:
        count = losses.size // n  # stored predictions have as many paths as they have
        own = [Tail.of(losses.ravel(), level) for level in levels]
        found = [_errors(tail, losses, labels) for tail in own]
        worst = max(error / max(abs(es), 1e-300) for _, es, _, error in found)
        if paths is not None:
            break
        wanted = paths_wanted(count, worst, [(tail, losses) for tail in own])
        new = min(math.ceil(wanted / case.stride), most // case.stride) * case.stride
        if wanted == count or new <= count:
            break
        extra, extra_floored = _losses(holding, range(count, new))
        if not len(extra):
            break
        losses, floored = np.concatenate([losses, extra]), floored + extra_floored
    var, es, var_mcse, es_mcse = np.array(found).T
    parts = _contributions(holding, losses, own, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = parts.sum(axis=(1, 2))
        parts = parts * np.where(total != 0.0, es / total, 1.0)[:, None, None]
    return Tails(var, es, var_mcse, es_mcse, parts, losses.size, floored / (losses.size * cells))


def _losses(holding: Holding, paths: range) -> tuple[np.ndarray, int]:
    """Return losses (path, draw) and how many returns were floored."""
    case = holding.case
    assert case.paths is not None  # noqa: S101 - tails asks
    found, floored = [np.empty(0)], 0
    for block in case.paths(paths):
        found.append(holding.losses(block))
        floored += block.floored
    return np.concatenate(found).reshape(-1, case.moments.n_draws), floored


def _errors(tail: Tail, losses: np.ndarray, labels: Labels) -> tuple[float, float, float, float]:
    """Return VaR, ES and their Monte-Carlo errors, of losses (path, draw)."""
    var_mcse, es_mcse = (mcse_of(x, labels) for x in tail.influence(losses))
    return tail.var, tail.es, var_mcse, es_mcse


def _contributions(holding: Holding, losses: np.ndarray, own: list[Tail], count: int) -> np.ndarray:
    """Draw the paths again and average x over the tail, as ES does (level, asset, component)."""
    var, atom = np.array([(t.var, t.atom) for t in own]).T[..., None]
    case, flat = holding.case, losses.ravel()
    assert case.paths is not None  # noqa: S101 - tails asks
    sums = np.zeros((len(var), *holding.mean_parts.shape[1:]))
    hits, position, least = np.zeros(len(var)), 0, var.min()
    for block in case.paths(range(count)):
        loss = flat[position : position + len(block.factor_returns)]
        position += len(loss)
        rows = np.flatnonzero(loss >= least)
        if not len(rows):
            continue
        within = (loss[rows] > var) + (loss[rows] == var) * atom
        sums += np.einsum("ln,nic->lic", within, holding.parts(block, rows))
        hits += within.sum(axis=1)
    return sums / hits[:, None, None]
