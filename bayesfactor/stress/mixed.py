"""The next period given a move of factors whose blocks have tails of their own and share shocks.

Given the mixing variable of each block the shocks are normal, and so is what a linear constraint leaves of
them. What the move says about the mixing variables is exact where it bears on one block, else by importance
sampling over the few of them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from bayesfactor.laws.blocks import run_blocks, slices

__all__ = ["Mixed", "mixed"]

_POINTS: Final = 256
"""Candidates of each of the proposals, per draw."""
_KEPT: Final = 512
"""Candidates that are kept, each as probable as the others."""
_DRAWS: Final = 64


@dataclass(frozen=True)
class Mixed:
    """Standardised shocks x of one period that satisfy R x = gap.

    Parameters
    ----------
    mean : ndarray (draw, column)
        E[x].
    rows : ndarray (draw, factor, column)
        R, of the columns that the constraint bears on.
    gap : ndarray (draw, factor)
    columns : ndarray
        Those columns: all of the blocks that it bears on.
    place : ndarray (column)
        Which of the blocks each of them belongs to.
    nu : ndarray (draw, block)
        Of those blocks.
    square : ndarray (draw)
        gap' (R R')^-1 gap.
    points : ndarray (draw, point, block)
        Draws of the variance of each block given its mixing; none where there is one block.
    """

    mean: np.ndarray
    rows: np.ndarray
    gap: np.ndarray
    columns: np.ndarray
    place: np.ndarray
    nu: np.ndarray
    square: np.ndarray
    points: np.ndarray

    def draw(self, rng: np.random.Generator, draws: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return x (row, column) given the constraint; shocks that it does not bear on stay."""
        x = x.copy()
        if self.nu.shape[1] == 1:
            shape, scale = _posterior(self.nu[draws], self.square[draws, None], self.gap.shape[1])
            variance = np.where(np.isinf(shape), 1.0, scale / rng.standard_gamma(_finite(shape)))
        else:
            variance = self.points[draws, rng.integers(self.points.shape[1], size=len(draws))]
        v = variance[:, self.place]
        free = np.sqrt(v) * rng.standard_normal(v.shape)
        rows = self.rows[draws]
        missing = self.gap[draws] - np.einsum("npc,nc->np", rows, free)
        x[:, self.columns] = free + _towards(rows, v, missing)
        return x


def mixed(root: np.ndarray, nu: np.ndarray, block: np.ndarray, gap: np.ndarray) -> Mixed:
    """Return the shocks of a period given that some factors stand `gap` from their mean.

    Parameters
    ----------
    root : ndarray (draw, factor, column)
        What standardised shocks move of the factors that are known.
    nu : ndarray (draw, block)
    block : ndarray (column)
    gap : ndarray (draw, factor)
    """
    bears = np.unique(block[np.any(root != 0.0, axis=(0, 1))])
    columns = np.flatnonzero(np.isin(block, bears))
    place, rows, own = np.searchsorted(bears, block[columns]), root[:, :, columns], nu[:, bears]
    square = np.einsum("dp,dp->d", gap, np.linalg.solve(rows @ rows.swapaxes(1, 2), gap[..., None])[..., 0])
    mean = np.zeros((len(root), len(block)))
    if len(bears) == 1:
        mean[:, columns] = _towards(rows, np.ones((len(rows), len(columns))), gap)
        return Mixed(mean, rows, gap, columns, place, own, square, np.zeros((len(rows), 0, 1)))

    def work(b: slice) -> tuple[np.ndarray, ...]:
        return _candidates(rows[b], own[b], place, gap[b], square[b])

    found = zip(*run_blocks(work, slices(len(rows), _DRAWS)), strict=True)
    points, mean[:, columns] = (np.concatenate(x) for x in found)
    return Mixed(mean, rows, gap, columns, place, own, square, points)


def _candidates(
    rows: np.ndarray, nu: np.ndarray, place: np.ndarray, gap: np.ndarray, square: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return candidates (draw, point, block) and E[x] of the columns.

    Proposals: the mixing variables' own law; one block in turn as rare as the move, or as it would have to be
    to make it alone; and all together. By the balance heuristic.
    """
    from scipy.special import gammainccinv

    n_blocks = nu.shape[1]
    prior = _posterior(nu, np.zeros((len(nu), 1)), 0)
    after = _posterior(nu, square[:, None], gap.shape[1])
    alone = _posterior(nu, _squares_alone(rows, place, n_blocks, gap, square), gap.shape[1])
    each = np.eye(n_blocks, dtype=bool)
    together = [~each.any(axis=0), *each, each.any(axis=0)]
    takes = [(after, t) for t in together] + [(alone, t) for t in each]
    laws = [tuple(np.where(t, a, b) for a, b in zip(law, prior, strict=True)) for law, t in takes]
    uniform = _sobol(n_blocks)
    points = np.concatenate(
        [
            np.where(
                np.isinf(shape)[:, None],
                1.0,
                scale[:, None] / gammainccinv(_finite(shape)[:, None], uniform[None]),
            )
            for shape, scale in laws
        ],
        axis=1,
    )
    v = points[:, :, place]
    inner = np.einsum("dpc,dnc,dqc->dnpq", rows, v, rows)
    solved = np.linalg.solve(inner, np.broadcast_to(gap[:, None, :, None], (*inner.shape[:3], 1)))[..., 0]
    density = -0.5 * (np.linalg.slogdet(inner)[1] + np.einsum("dnp,dp->dn", solved, gap))
    proposals = np.logaddexp.reduce([_log_density(points, *law) for law in laws], axis=0)
    weight = density + _log_density(points, *prior) - proposals
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    chances = weight / weight.sum(axis=1, keepdims=True)
    mean = np.einsum("dn,dnc,dpc,dnp->dc", chances, v, rows, solved, optimize=True)
    # Systematic resampling: as many copies of each as its probability says, give or take one.
    level = (np.arange(_KEPT) + 0.5) / _KEPT
    at = np.stack([np.searchsorted(c, level) for c in np.cumsum(chances, axis=1)])
    at = np.minimum(at, points.shape[1] - 1)
    return np.take_along_axis(points, at[..., None], axis=1), mean


def _squares_alone(
    rows: np.ndarray, place: np.ndarray, n_blocks: int, gap: np.ndarray, square: np.ndarray
) -> np.ndarray:
    """Return how far out each block would be if it made the move alone (draw, block)."""
    out = np.repeat(square[:, None], n_blocks, axis=1)
    for b in range(n_blocks):
        own = rows[:, :, place == b]
        inner = own @ own.swapaxes(1, 2)
        able = np.linalg.matrix_rank(inner) == inner.shape[1]
        solved = np.linalg.solve(inner[able], gap[able][..., None])[..., 0]
        out[able, b] = np.einsum("dp,dp->d", gap[able], solved)
    return out


def _posterior(nu: np.ndarray, square: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shape and scale of the inverse gamma that the variance of a t of variance 1 has.

    Once `count` coordinates of it are known to lie at a squared distance; shape inf: it is 1.
    """
    shape = 0.5 * (nu + count)
    return shape, np.where(np.isinf(nu), 1.0, 0.5 * (nu - 2.0 + square))


def _finite(shape: np.ndarray) -> np.ndarray:
    return np.where(np.isinf(shape), 1.0, shape)


def _log_density(points: np.ndarray, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return log densities of inverse gammas (draw, point), added up over blocks."""
    from scipy.special import gammaln

    a, b = _finite(shape)[:, None], scale[:, None]
    each = a * np.log(b) - gammaln(a) - (a + 1.0) * np.log(points) - b / points
    return np.asarray(np.where(np.isinf(shape)[:, None], 0.0, each).sum(axis=2))


def _towards(rows: np.ndarray, variance: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return V R' (R V R')^-1 gap (draw, column)."""
    weighted = rows * variance[:, None]
    solved = np.linalg.solve(weighted @ rows.swapaxes(1, 2), gap[..., None])
    return np.asarray((weighted.swapaxes(1, 2) @ solved)[..., 0])


def _sobol(dims: int) -> np.ndarray:
    """Return points that fill the unit cube evenly (point, dim), always the same ones."""
    from scipy.stats import qmc

    return np.asarray(np.clip(qmc.Sobol(dims, rng=20110613).random(_POINTS), 1e-10, 1.0 - 1e-10))
