"""VaR and ES of the pooled predictive loss, from simulated paths in two passes.

The first pass keeps one loss per scenario; the second draws the same scenarios again, block by
block from their seeds, and adds up who lost what in the tail. Memory never holds the paths.
Several books are held against the same scenarios, so that their differences have little noise.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from bayesfactor.errors import RiskError
from bayesfactor.forecast import Labels, Predictions
from bayesfactor.laws import Scenarios
from bayesfactor.limits import check_memory
from bayesfactor.risk.exact import Book
from bayesfactor.risk.fragile import central_volatility
from bayesfactor.shortfall import tail_of

__all__ = [
    "PredictiveTails",
    "Tail",
    "mcse_of",
    "paths_wanted",
    "predictive_tails",
    "predictive_tails_of",
    "to_total",
]

_TARGET = 0.01
_MOST_SCENARIOS = 4_000_000
_FEWEST_MOST = 400_000
_GATHERED = 8192
_FEWEST_DRAWS = 10
_COPIES = 4
"""Of every loss: itself, sorted, where it is beyond VaR and by how much."""
_OF_PATHS = 0.005
"""Paths whose own error is no larger are enough: what is left is that of the posterior draws."""


@dataclass(frozen=True)
class PredictiveTails:
    """VaR, ES and contributions of the pooled predictive loss.

    Parameters
    ----------
    var, es, var_mcse, es_mcse : ndarray (level)
    var_contribution, es_contribution : ndarray (level, asset, component)
    var_marginal, es_marginal : ndarray (level, asset)
        What one more unit of weight adds.
    var_influence, es_influence : ndarray (level, draw)
        Influence of each draw, whose Monte-Carlo error is that of the number.
    central, central_mcse : float
        Volatility of the middle of the law, see `central_volatility`.
    scenarios : int
    floored_share : float
        Share of simulated asset returns that were floored at -1.
    """

    var: np.ndarray
    es: np.ndarray
    var_mcse: np.ndarray
    es_mcse: np.ndarray
    var_contribution: np.ndarray
    es_contribution: np.ndarray
    var_marginal: np.ndarray
    es_marginal: np.ndarray
    var_influence: np.ndarray
    es_influence: np.ndarray
    central: float
    central_mcse: float
    scenarios: int
    floored_share: float


def predictive_tails(
    found: Predictions, book: Book, levels: np.ndarray, *, paths: int | None = None
) -> PredictiveTails:
    """Return the predictive tails.

    `paths=None` adds paths until ES is known within 1 %, or as well as so few posterior draws can tell.
    """
    return predictive_tails_of(found, [book], levels, paths=paths)[0]


def predictive_tails_of(
    found: Predictions, books: Sequence[Book], levels: np.ndarray, *, paths: int | None = None
) -> list[PredictiveTails]:
    """Return the predictive tails of several books under the same paths, as many as the worst needs."""
    m = books[0].moments
    if found.law is None:
        paths = len(found.stored)
    count = paths if paths is not None else max(1, math.ceil(200_000 / m.n_draws))
    _check_room(count, m.n_draws, len(books), given=paths is not None)
    most = max(1, max(_FEWEST_MOST, _MOST_SCENARIOS // len(books)) // m.n_draws)
    losses, floored = _losses(found, books, range(count))
    while True:
        tails = [[Tail.of(x.ravel(), level) for level in levels] for x in losses]
        influence = [np.array([t.influence(x) for t in own]) for x, own in zip(losses, tails, strict=True)]
        errors = np.array([[[mcse_of(x, found.labels) for x in kind] for kind in own] for own in influence])
        es = np.array([[t.es for t in own] for own in tails])
        worst = float(np.max(errors[..., 1] / np.maximum(np.abs(es), 1e-300), where=es != 0.0, initial=0.0))
        if paths is not None or count >= most:
            break
        each = [(t, x) for x, own in zip(losses, tails, strict=True) for t in own]
        new = min(paths_wanted(count, worst, each), most)
        if new == count:
            break
        extra, extra_floored = _losses(found, books, range(count, new))
        losses, floored, count = np.concatenate([losses, extra], axis=1), floored + extra_floored, new
    parts = _contributions(found, books, losses, tails)
    central = [central_volatility(x) for x in losses]
    share = floored / (losses[0].size * m.horizon * m.alpha.shape[1])
    return [
        PredictiveTails(
            var=np.array([t.var for t in own]),
            es=es[b],
            var_mcse=errors[b, :, 0],
            es_mcse=errors[b, :, 1],
            var_contribution=parts[b][0],
            es_contribution=parts[b][1],
            var_marginal=parts[b][2],
            es_marginal=parts[b][3],
            var_influence=influence[b][:, 0],
            es_influence=influence[b][:, 1],
            central=central[b][0],
            central_mcse=mcse_of(central[b][1], found.labels),
            scenarios=losses[b].size,
            floored_share=share,
        )
        for b, own in enumerate(tails)
    ]


def _check_room(paths: int, draws: int, books: int, *, given: bool) -> None:
    """Refuse more losses than memory holds, and paths without number for draws that are too few."""
    if not given and draws < _FEWEST_DRAWS:
        msg = (
            f"{_FEWEST_DRAWS} posterior draws or more can tell how many paths are needed; got {draws}. "
            "Sample more draws, or say how many paths each draw gets, such as paths=1000."
        )
        raise RiskError(msg)
    what = f"{paths:,} paths of {draws:,} draws"
    check_memory(what, _COPIES * paths * draws * books, "Ask for fewer paths.", error=RiskError)


@dataclass(frozen=True)
class Tail:
    """One level's order statistics: the largest losses, and the window around VaR.

    Parameters
    ----------
    level, var, es : float
        As `bayesfactor.shortfall.tail_of` has them.
    atom : float
        Weight in ES of a scenario that loses just VaR, where one that loses more weighs 1.
    window_low, window_high, window_mean, window_share : float
    """

    level: float
    var: float
    es: float
    atom: float
    window_low: float
    window_high: float
    window_mean: float
    window_share: float

    @classmethod
    def of(cls, losses: np.ndarray, level: float) -> "Tail":
        """Return those of losses in any order."""
        n = len(losses)
        var, es = (float(x) for x in tail_of(losses, level))
        at = n - max(1, math.ceil(round(n * (1.0 - level), 6)))
        half = math.ceil(round(0.1 * n * (1.0 - level), 6))
        low, high = max(0, at - half), min(n - 1, at + half)
        part = np.partition(losses, [low, at, high])
        window = part[low : high + 1]
        beyond, same = int((losses > var).sum()), int((losses == var).sum())
        return cls(
            level=level,
            var=var,
            es=es,
            atom=(n * (1.0 - level) - beyond) / same,
            window_low=float(part[low]),
            window_high=float(part[high]),
            window_mean=float(window.mean()),
            window_share=len(window) / n,
        )

    def influence(self, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return influence functions of VaR and ES averaged within draws (draw), of losses (path, draw).

        Averaging over paths first leaves one number per posterior draw, whose own Monte-Carlo
        error accounts for autocorrelated draws (Vehtari et al. 2021) and for the paths.
        """
        beyond = losses > self.var
        shortfall = np.where(beyond, losses - self.var, 0.0).mean(axis=0) / (1.0 - self.level)
        width = self.window_high - self.window_low
        density = self.window_share / width if width > 0.0 else math.inf
        return beyond.mean(axis=0) / density, shortfall

    def error_of_paths(self, losses: np.ndarray) -> float:
        """Return the relative error of ES that more paths would take away, of losses (path, draw).

        The rest of the error is that of the posterior draws, whatever the paths.
        """
        if self.es == 0.0:
            return 0.0
        if len(losses) < 2:
            return math.inf
        excess = np.maximum(losses - self.var, 0.0) / (1.0 - self.level)
        return float(np.sqrt(excess.var(axis=0, ddof=1).mean() / losses.size) / abs(self.es))


def paths_wanted(count: int, error: float, each: Iterable[tuple[Tail, np.ndarray]]) -> int:
    """Return how many paths ought to be enough: `count` itself, or at least twice as many.

    Parameters
    ----------
    count : int
        So many there are.
    error : float
        Largest relative error of ES.
    each : iterable of (Tail, ndarray (path, draw))
        Tails with their losses.
    """
    if error <= _TARGET:
        return count
    of_paths = max(tail.error_of_paths(losses) for tail, losses in each)
    if of_paths <= _OF_PATHS:
        return count
    ratio = 1.1 * min(error / _TARGET, of_paths / _OF_PATHS, 1e3)
    return max(math.ceil(count * ratio**2), 2 * count)


def mcse_of(influence: np.ndarray, labels: Labels) -> float:
    """Return the Monte-Carlo standard error of the mean of (draw)."""
    values = influence.reshape(len(labels.chains), len(labels.draws))
    if np.ptp(values) == 0.0:
        return 0.0
    if values.shape[1] < 4:
        return float(values.std() / math.sqrt(values.size))
    from arviz_stats.base.array import array_stats

    return float(array_stats.mcse(values, method="mean"))


def _gathered(found: Predictions, paths: range) -> Iterator[tuple[slice, Scenarios]]:
    """Yield scenarios and their places among (path, draw); where draws are few, many paths together."""
    waiting: list[Scenarios] = []
    n_draws, start, count = found.moments.n_draws, 0, 0
    total = n_draws * len(paths)
    for block in found.scenarios(paths):
        waiting.append(block)
        count += len(block.factor_returns)
        if count < _GATHERED and start + count < total:
            continue
        together = waiting[0]
        if len(waiting) > 1:
            each = [np.arange(n_draws)[b.draws] for b in waiting]
            factors, specific = (
                [getattr(b, x) for b in waiting] for x in ("factor_returns", "specific_returns")
            )
            together = Scenarios(
                np.concatenate(each),
                np.concatenate(factors),
                np.concatenate(specific),
                sum(b.floored for b in waiting),
            )
        yield slice(start, start + count), together
        waiting, start, count = [], start + count, 0


def _losses(found: Predictions, books: Sequence[Book], paths: range) -> tuple[np.ndarray, int]:
    """Return losses (book, path, draw) and how many simulated asset returns were floored."""
    m = books[0].moments
    out = np.empty((len(books), len(paths) * m.n_draws))
    drifts = [m.horizon * (m.alpha @ book.weights) for book in books]
    floored = 0
    for places, block in _gathered(found, paths):
        d = block.draws
        e = block.specific_returns.sum(axis=1)
        for book, drift, losses in zip(books, drifts, out, strict=True):
            total = drift[d] + np.einsum("dk,dhk->d", book.exposures[d], block.factor_returns)
            total += e @ book.weights
            beyond = book.beyond(block)
            if beyond is not None:
                total += beyond.sum(axis=1)
            if book.certain is not None:
                total += book.certain.sum()
            losses[places] = -total
        floored += block.floored
    return out.reshape(len(books), len(paths), m.n_draws), floored


def _contributions(
    found: Predictions, books: Sequence[Book], losses: np.ndarray, tails: list[list[Tail]]
) -> list[tuple[np.ndarray, ...]]:
    """Draw the scenarios again; return by book what each tail and each window is made of."""
    sums = [_Sums.of(book, own) for book, own in zip(books, tails, strict=True)]
    flat = losses.reshape(len(books), -1)
    for places, block in _gathered(found, range(losses.shape[1])):
        f, e = block.factor_returns.sum(axis=1), block.specific_returns.sum(axis=1)
        for one, x in zip(sums, flat, strict=True):
            one.add(x[places], block, f, e)
    return [one.parts() for one in sums]


@dataclass(frozen=True)
class _Sums:
    """Sums over the scenarios of each tail, then of each window, of one book."""

    book: Book
    tails: list[Tail]
    low: np.ndarray
    high: np.ndarray
    edge: np.ndarray
    factor: np.ndarray
    specific: np.ndarray
    drift: np.ndarray
    beyond: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, book: Book, tails: list[Tail]) -> "_Sums":
        bounds = [(t.var, math.inf) for t in tails] + [(t.window_low, t.window_high) for t in tails]
        low, high = np.array(bounds).T
        edge = np.array([t.atom for t in tails] + [1.0] * len(tails))
        shape = (len(low), len(book.weights))
        factor = np.zeros((*shape, book.moments.loadings.shape[2]))
        specific, drift, beyond = np.zeros((3, *shape))
        return cls(book, tails, low, high, edge, factor, specific, drift, beyond, np.zeros(len(low)))

    def add(self, loss: np.ndarray, block: Scenarios, f: np.ndarray, e: np.ndarray) -> None:
        m, d = self.book.moments, block.draws
        found = self.book.beyond(block)
        c = e[:, :0] if found is None else found
        sums = (self.factor, self.specific, self.drift, self.beyond, self.counts)
        bounds = (self.low, self.high, self.edge)
        _add_up(loss, *bounds, m.loadings[d], m.alpha[d], f, e, c, *sums)

    def parts(self) -> tuple[np.ndarray, ...]:
        """Return VaR and ES contributions (level, asset, component), and marginals (level, asset)."""
        book, n = self.book, len(self.tails)
        tables = [self.factor, self.specific[..., None], book.moments.horizon * self.drift[..., None]]
        marginal = np.concatenate(tables, axis=2) * (-1.0 / self.counts[:, None, None])
        tables = [book.weights[:, None] * marginal]
        others = len(book.components) - 2
        if others:
            tables.append(self.beyond[..., None] * (-1.0 / self.counts[:, None, None]))
        if book.certain is not None:
            tables.append(np.broadcast_to(-book.certain[:, None], (*self.specific.shape, 1)))
        parts, slopes = np.concatenate(tables, axis=2), marginal.sum(axis=2)
        # The scenarios' own sums decide; rounding in their order is taken out exactly.
        for i, t in enumerate(self.tails):
            parts[i], slopes[i] = to_total(parts[i], t.es, slopes[i])
            parts[n + i], slopes[n + i] = to_total(parts[n + i], t.var, slopes[n + i])
        return parts[n:], parts[:n], slopes[n:], slopes[:n]


def to_total(parts: np.ndarray, total: float, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return parts that add up to `total`, and other numbers scaled alike.

    They are scaled; where their sum is near zero and scaling would blow them up, each takes a
    share of the difference in proportion to its size.
    """
    now = parts.sum()
    if now != 0.0 and 0.5 < total / now < 2.0:
        return parts * (total / now), others * (total / now)
    size = np.abs(parts)
    return parts + (total - now) * size / (size.sum() if size.any() else 1.0), others


@njit(cache=True, nogil=True)
def _add_up(loss, low, high, edge, loadings, alpha, f, e, c, factor, specific, drift, beyond, counts):
    n_assets, n_factors = factor.shape[1], factor.shape[2]
    for d in range(loss.shape[0]):
        for j in range(low.shape[0]):
            if not low[j] <= loss[d] <= high[j]:
                continue
            weight = edge[j] if loss[d] == low[j] else 1.0
            counts[j] += weight
            for i in range(n_assets):
                specific[j, i] += weight * e[d, i]
                drift[j, i] += weight * alpha[d, i]
                if c.shape[1] > 0:
                    beyond[j, i] += weight * c[d, i]
                for k in range(n_factors):
                    factor[j, i, k] += weight * loadings[d, i, k] * f[d, k]
