"""The next period given that some factors move by so much.

Elliptical blocks: the conditional Student-t (Ding 2016), in closed form; where blocks share shocks, see
`bayesfactor.stress.mixed`. Factors of which each has one shock, f = m + M u: a move is a linear constraint on
u. Where it determines the shocks it bears on, as a
move of the first factors of the chain does, that is exact; else the others follow their law given the
constraint, by importance sampling.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from bayesfactor.laws import Moments, skewed
from bayesfactor.laws.blocks import run_blocks, slices
from bayesfactor.stress.mixed import mixed
from bayesfactor.stress.shifted import Shifted, mixing_factor

__all__ = ["Constrained", "conditional", "constrained", "distance", "frozen"]

_POINTS: Final = 256
"""Candidates of each of the proposals, per draw."""
_BLOCK: Final = 64


def distance(m: Moments, which: np.ndarray, move: np.ndarray, period: int = 0) -> np.ndarray:
    """Return (a - m)' S^-1 (a - m), S the covariance of some factors in a period (draw)."""
    gap = move - m.factor_mean[:, period, which]
    covariance = m.factor_covariance[:, period][:, which[:, None], which]
    return np.einsum("dk,dk->d", gap, np.linalg.solve(covariance, gap[..., None])[..., 0])


def frozen(law: Shifted, moves: np.ndarray, known: list[np.ndarray]) -> Shifted:
    """Return the law with all factors standing where `moves (draw or 1, horizon, factor)` says.

    `known` are the factors of each period whose moves count as observed: what they say about a mixing
    variable that specific returns share holds for those.
    """
    m = law.moments
    out = replace(
        law,
        centre=np.broadcast_to(moves, law.centre.shape),
        root=np.broadcast_to(0.0, law.root.shape),
        first=None,
    )
    for h, which in enumerate(known):
        joint = which[m.block[which] == m.joint]
        if len(joint):
            out = out.with_mixing_known(h, distance(m, joint, moves[:, h, joint], h), len(joint))
    return out


def conditional(law: Shifted, which: np.ndarray, move: np.ndarray) -> Shifted:
    """Return the law given that the factors `which` move by `move` in the first period."""
    m = law.moments
    if m.chained:
        return replace(law, first=constrained(law, which, move))
    alone = np.ones(len(which), dtype=bool)
    if m.shocks is not None:
        across = np.any(m.shocks[:, 0] != 0.0, axis=0) & ~np.equal.outer(m.block, m.block)
        linked = np.unique(m.block[across.any(axis=0) | across.any(axis=1)])
        alone = ~np.isin(m.block[which], linked)
    if not alone.all():
        some = which[~alone]
        gap = move[~alone] - m.factor_mean[:, 0, some]
        law = replace(law, first=mixed(law.root[:, 0, some], m.factor_nu[:, 0], m.block, gap))
    for b in np.unique(m.block[which[alone]]):
        inside = alone & (m.block[which] == b)
        law = _within_block(law, int(b), which[inside], move[inside])
    return law


def _within_block(law: Shifted, b: int, which: np.ndarray, move: np.ndarray) -> Shifted:
    """Return the law given a shock to factors of one elliptical block."""
    m = law.moments
    others = np.setdiff1d(np.flatnonzero(m.block == b), which)
    covariance = m.factor_covariance[:, 0]
    cross = covariance[:, others[:, None], which]
    slope = np.linalg.solve(covariance[:, which[:, None], which], cross.swapaxes(1, 2)).swapaxes(1, 2)
    gap = move - m.factor_mean[:, 0, which]
    square = distance(m, which, move)
    left = covariance[:, others[:, None], others] - slope @ cross.swapaxes(1, 2)
    left = left * mixing_factor(m.factor_nu[:, 0, b], square, len(which))[:, None, None]
    centre, root = law.centre.copy(), law.root.copy()
    centre[:, 0, which] = move
    centre[:, 0, others] = m.factor_mean[:, 0, others] + np.einsum("dok,dk->do", slope, gap)
    root[:, 0, which] = 0.0
    if len(others):
        root[:, 0, others[:, None], others] = np.linalg.cholesky(left)
        root[:, 0, others[:, None], which] = 0.0
    law = replace(law, centre=centre, root=root)
    if b == m.joint:
        return law.with_mixing_known(0, square, len(which))
    nu = law.nu.copy()
    nu[:, 0, b] += len(which)
    return replace(law, nu=nu)


@dataclass(frozen=True)
class Constrained:
    """Standardised shocks x of one period that satisfy x_S = fixed - slope x_F.

    Parameters
    ----------
    which, free : ndarray
        Shocks that the constraint determines, and those of the others that it bears on.
    fixed : ndarray (draw, which)
    slope : ndarray (draw, which, free)
    points : ndarray (draw, point, free)
        Candidates for the free ones; none where nothing is free.
    chances : ndarray (draw, point)
        Their probabilities given the constraint.
    columns : int
    """

    which: np.ndarray
    free: np.ndarray
    fixed: np.ndarray
    slope: np.ndarray
    points: np.ndarray
    chances: np.ndarray
    columns: int

    @cached_property
    def mean(self) -> np.ndarray:
        """E[x] (draw, column)."""
        out = np.zeros((len(self.fixed), self.columns))
        out[:, self.free] = np.einsum("dp,dpf->df", self.chances, self.points)
        out[:, self.which] = self.fixed - np.einsum("dsf,df->ds", self.slope, out[:, self.free])
        return out

    @property
    def effective(self) -> np.ndarray:
        """Effective share of the candidates (draw)."""
        return 1.0 / ((self.chances**2).sum(axis=1) * self.chances.shape[1])

    @cached_property
    def _cumulative(self) -> np.ndarray:
        return np.cumsum(self.chances, axis=1)

    def draw(self, rng: np.random.Generator, draws: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return x (row, column) given the constraint; shocks that it does not bear on stay."""
        x = x.copy()
        if len(self.free):
            level = rng.random(len(draws)) * self._cumulative[draws, -1]
            at = (self._cumulative[draws] < level[:, None]).sum(axis=1)
            x[:, self.free] = self.points[draws, np.minimum(at, self.points.shape[1] - 1)]
        x[:, self.which] = self.fixed[draws] - np.einsum("nsf,nf->ns", self.slope[draws], x[:, self.free])
        return x


def constrained(law: Shifted, which: np.ndarray, move: np.ndarray) -> Constrained:
    """Return the shocks of the first period given that the factors `which` move by `move`."""
    m = law.moments
    assert m.shocks is not None  # noqa: S101 - conditional asks
    root = law.root[:, 0]
    solve = np.linalg.inv(root[:, which[:, None], which])
    fixed = np.einsum("dst,dt->ds", solve, move - m.factor_mean[:, 0, which])
    others = np.setdiff1d(np.arange(root.shape[2]), which)
    slope = solve @ root[:, which[:, None], others]
    bears = np.any(slope != 0.0, axis=(0, 1))
    free, slope = others[bears], slope[:, :, bears]
    n = len(fixed)
    if not len(free):
        none = np.zeros((n, 0, 0)), np.zeros((n, 0))
        return Constrained(which, free, fixed, slope, *none, root.shape[2])
    nu = m.factor_nu[:, 0]
    skew = np.zeros_like(nu) if m.factor_skew is None else m.factor_skew[:, 0]
    pair = [np.stack([np.minimum(nu[:, w], 1e6), skew[:, w]]) for w in (which, free)]

    def work(b: slice) -> tuple[np.ndarray, np.ndarray]:
        return _candidates(fixed[b], slope[b], pair[0][:, b, None], pair[1][:, b, None])

    points, chances = zip(*run_blocks(work, slices(n, _BLOCK)), strict=True)
    return Constrained(
        which, free, fixed, slope, np.concatenate(points), np.concatenate(chances), root.shape[2]
    )


def _candidates(
    fixed: np.ndarray, slope: np.ndarray, own: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return candidates for the free shocks and their probabilities, by the balance heuristic.

    Proposals: the free shocks' own law, as if the determined ones took the move; where one shock is
    determined, each free one taking it in turn, with all others at their own law; and a wide t around the
    normal's answer. Tails that are fat put the move on one shock (the first two), thin ones spread it (the
    third). `own`, `other` are nu and skew (2, draw, 1, shock).
    """
    n_free = slope.shape[2]
    uniform = _sobol(n_free)
    normal = _normal(uniform)
    at_own = skewed.quantiles(normal[None], *other)
    groups = [at_own]
    single = slope.shape[1] == 1
    if single:
        for j in range(n_free):
            taken = at_own.copy()
            rest = np.delete(np.arange(n_free), j)
            # The determined shock follows its own law; the free one j takes what is missing.
            x = skewed.quantiles(normal[None, :, j : j + 1], *own)[..., 0]
            gap = fixed - np.einsum("dpf,df->dp", taken[..., rest], slope[:, 0, rest]) - x
            safe = np.where(slope[:, :1, j] == 0.0, np.inf, slope[:, :1, j])
            taken[..., j] = gap / safe
            groups.append(taken)
    centre, spread = _normal_answer(fixed, slope)
    heavy = _student(uniform)
    groups.append(centre[:, None] + np.einsum("dfg,pg->dpf", spread, heavy))
    points = np.concatenate(groups, axis=1)
    # log densities: of the target up to a constant, and of each proposal
    free = skewed.log_densities(points, *other)
    bound = skewed.log_densities(fixed[:, None] - np.einsum("dsf,dpf->dps", slope, points), *own).sum(axis=2)
    proposals = [free.sum(axis=2)]
    if single:
        with np.errstate(divide="ignore"):
            size = np.log(np.abs(slope[:, :1]))
        proposals += [free.sum(axis=2) - free[..., j] + bound + size[..., j] for j in range(n_free)]
    inverse = np.linalg.inv(spread)
    y = np.einsum("dfg,dpg->dpf", inverse, points - centre[:, None])
    proposals.append(_log_student(y).sum(axis=2) + np.linalg.slogdet(inverse)[1][:, None])
    weight = free.sum(axis=2) + bound - np.logaddexp.reduce(proposals, axis=0)
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    return points, weight / weight.sum(axis=1, keepdims=True)


def _normal_answer(fixed: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and a widened root of the covariance of the free shocks, were all shocks normal."""
    precision = np.eye(slope.shape[2]) + slope.swapaxes(1, 2) @ slope
    covariance = np.linalg.inv(precision)
    centre = np.einsum("dfg,dsg,ds->df", covariance, slope, fixed)
    return centre, 1.5 * np.linalg.cholesky(covariance)


def _sobol(dims: int) -> np.ndarray:
    """Return points that fill the unit cube evenly (point, dim), always the same ones."""
    from scipy.stats import qmc

    points = qmc.Sobol(dims, scramble=False).random(_POINTS)
    # Away from the faces: the first point of the sequence is the corner.
    return np.asarray((points + 0.5 / _POINTS) % 1.0)


def _normal(uniform: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform))


def _student(uniform: np.ndarray) -> np.ndarray:
    """Return t(4) numbers."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(4.0, uniform))


def _log_student(y: np.ndarray) -> np.ndarray:
    """Return log densities of t(4)."""
    return np.log(0.375) - 2.5 * np.log1p(0.25 * y * y)
