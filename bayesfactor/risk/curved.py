"""VaR and ES of options given each draw.

They are those of a straight stand-in, exact, plus the difference between the two on the same simulated paths.
The stand-in's slopes are those of each level's tail, so that little is left to simulate.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from bayesfactor.errors import NumericalError
from bayesfactor.forecast import Predictions
from bayesfactor.laws import Scenarios
from bayesfactor.laws.blocks import block_rng, run_blocks, thinned
from bayesfactor.risk.conditional import ConditionalTails
from bayesfactor.risk.exact import Book
from bayesfactor.risk.given import linear_tails, no_tails
from bayesfactor.risk.nonlinear import PositionBook, padded
from bayesfactor.risk.predictive import Tail, to_total
from bayesfactor.shortfall import tail_weights

__all__ = ["position_tails"]

_PATHS: Final = 4000
_MOST_PATHS: Final = 40_000
_MOST_CELLS: Final = 600_000_000
"""Simulated returns for the posterior; about a quarter of a minute on two cores."""
_BATCHES: Final = 8
_LARGEST_ERROR: Final = 0.2
"""Of the posterior standard deviation."""
_PILOT_DRAWS: Final = 32
_PILOT_PATHS: Final = 2000
_SIMULATED: Final = 1
"""Last key of the seeds of these paths; predictive paths have shorter keys."""


def position_tails(
    book: PositionBook, levels: np.ndarray, found: Predictions, some: np.ndarray
) -> tuple[ConditionalTails, str]:
    """Return tails given each draw, where they are known too badly NaN, and why.

    Parameters
    ----------
    book : PositionBook
        Of the draws asked for.
    levels : ndarray (level)
    found : Predictions
    some : ndarray (draw)
        Flat positions of these draws in `found`.
    """
    if not book.positions.curved.any():
        tails, why = linear_tails(book.straight, levels, found, some)
        return _with_carry(book, tails), why
    try:
        stand_ins = _stand_ins(book, levels, found, some)
    except NumericalError as error:
        return no_tails(book, levels), str(error)
    each = [linear_tails(x, levels[v : v + 1], found, some) for v, x in enumerate(stand_ins)]
    why = next((why for _, why in each if why), "")
    if why:
        return no_tails(book, levels), why
    exact = _with_carry(book, _joined([tails for tails, _ in each]))
    most = _most_paths(book, found)
    n = min(_PATHS, most)
    while True:
        tails = _corrected(exact, _differences(book, stand_ins, levels, found, some, n))
        worst, message = _worst(tails)
        if worst <= 1.0:
            return tails, ""
        n, before = int(1.2 * n * worst**2), n
        if before >= most or n > most:
            why = f"{message} on {before} paths per draw, and {n} would be needed"
            why += f" (at most {most} are drawn)." if found.law is not None else ": more than are stored."
            # The square of a return with nu below 4 has no variance; what an option pays has.
            better = "" if book.full else ' Try repricing="full", whose tails are not squares.'
            return no_tails(book, levels), f"{why}{better} The predictive VaR and ES have their own mcse."


def _most_paths(book: Book, found: Predictions) -> int:
    if found.law is None:
        return len(found.stored)
    m = book.moments
    return max(_PATHS, min(_MOST_PATHS, _MOST_CELLS // (m.n_draws * m.horizon * m.alpha.shape[1])))


def _futures(found: Predictions, draw: int, paths: int, stream: int) -> Scenarios:
    """Return futures of one draw."""
    if found.law is None:
        some = found.stored[:paths]
        factors = np.stack([x.factor_returns[draw] for x in some])
        specific = np.stack([x.specific_returns[draw] for x in some])
        return Scenarios(np.full(len(some), draw), factors, specific)
    rng = block_rng(found.entropy, draw, stream, _SIMULATED)
    draws = np.full(paths, draw)
    return found.law.simulate(rng, found.moments.horizon, draws)


def _joined(tails: list[ConditionalTails]) -> ConditionalTails:
    """Return tails of single levels as one."""
    along = {"var": 0, "es": 0, "var_contribution": 1, "es_contribution": 1, "var_mcse": 0, "es_mcse": 0}
    return ConditionalTails(
        **{n: np.concatenate([getattr(x, n) for x in tails], d) for n, d in along.items()}
    )


def _stand_ins(book: PositionBook, levels: np.ndarray, found: Predictions, some: np.ndarray) -> list[Book]:
    """Return by level the straight book whose slopes are those of the curved one in the tail."""
    if found.law is None and len(found.stored) < _PATHS:
        msg = (
            f"options need {_PATHS} paths per draw for a posterior; the stored predictions hold "
            f"{len(found.stored)}. Use the tree without its group 'predictions'."
        )
        raise NumericalError(msg)

    def one(d: int) -> tuple[np.ndarray, ...]:
        block = replace(_futures(found, int(some[d]), _PILOT_PATHS, 0), draws=np.full(_PILOT_PATHS, d))
        returns = book.moves(block)
        beyond = book.bent(returns)
        return _straight_loss(book, book.weights, d, block) - beyond.sum(axis=1), returns, beyond

    few = thinned(len(some), _PILOT_DRAWS)
    loss, returns, beyond = (np.concatenate(x) for x in zip(*run_blocks(one, few), strict=True))
    books = []
    for cut in np.quantile(loss, levels):
        r, b = (x[loss >= cut] - x[loss >= cut].mean(axis=0) for x in (returns, beyond))
        size = (r * r).sum(axis=0)
        weights = book.weights.copy()
        weights[book.at] += np.where(size > 0.0, (r * b).sum(axis=0) / np.where(size > 0.0, size, 1.0), 0.0)
        books.append(Book(book.moments, weights))
    return books


def _straight_loss(book: Book, weights: np.ndarray, d: int, block: Scenarios) -> np.ndarray:
    m = book.moments
    gain = block.factor_returns.sum(axis=1) @ (weights @ m.loadings[d])
    return -(gain + block.specific_returns.sum(axis=1) @ weights + m.horizon * (m.alpha[d] @ weights))


def _with_carry(book: PositionBook, tails: ConditionalTails) -> ConditionalTails:
    """Add a component of nothing, and the carry."""
    certain = -book.certain

    def whole(parts: np.ndarray) -> np.ndarray:
        out = padded(parts)
        out[..., -1] = certain
        return out

    return replace(
        tails,
        var=tails.var + certain.sum(),
        es=tails.es + certain.sum(),
        var_contribution=whole(tails.var_contribution),
        es_contribution=whole(tails.es_contribution),
    )


def _differences(
    book: PositionBook,
    stand_ins: list[Book],
    levels: np.ndarray,
    found: Predictions,
    some: np.ndarray,
    n: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return curved less straight: contributions (draw, kind, level, asset, component) and errors of sums.

    Kinds are VaR and ES.
    """

    def one(d: int) -> tuple[np.ndarray, np.ndarray]:
        block = replace(_futures(found, int(some[d]), n, 1), draws=np.full(n, d))
        beyond = book.beyond(block)
        curved = _straight_loss(book, book.weights, d, block) - beyond.sum(axis=1)
        parts, errors = [], []
        for level, stand_in in zip(levels, stand_ins, strict=True):
            straight = _straight_loss(book, stand_in.weights, d, block)
            part = _tail_parts(book, book.weights, d, block, curved, level, beyond)
            parts.append(part - _tail_parts(book, stand_in.weights, d, block, straight, level, None))
            errors.append(_batch_error(curved, straight, level))
        return np.stack(parts, axis=1), np.stack(errors, axis=1)

    found_parts, errors = zip(*run_blocks(one, range(len(some))), strict=True)
    return np.stack(found_parts), np.stack(errors)


def _tail_parts(
    book: PositionBook,
    weights: np.ndarray,
    d: int,
    block: Scenarios,
    loss: np.ndarray,
    level: float,
    beyond: np.ndarray | None,
) -> np.ndarray:
    """Return what VaR and ES are made of on some paths of one draw (kind, asset, component)."""
    m = book.moments
    f, e = block.factor_returns.sum(axis=1), block.specific_returns.sum(axis=1)
    n_factors = f.shape[1]
    out = np.zeros((2, len(weights), n_factors + 4))
    tail = Tail.of(loss, float(level))
    window = ((loss >= tail.window_low) & (loss <= tail.window_high)).astype(float)
    shares = (window / window.sum(), tail_weights(loss, float(level)))
    for x, share, total in zip(out, shares, (tail.var, tail.es), strict=True):
        which = share > 0.0
        share = share[which]
        x[:, :n_factors] = -weights[:, None] * m.loadings[d] * (share @ f[which])
        x[:, n_factors] = -weights * (share @ e[which])
        x[:, n_factors + 1] = -weights * m.horizon * m.alpha[d]
        if beyond is not None:
            x[:, n_factors + 2] = -(share @ beyond[which])
        x[:] = to_total(x, total, x)[0]
    return out


def _batch_error(curved: np.ndarray, straight: np.ndarray, level: float) -> np.ndarray:
    """Return the Monte-Carlo error of curved less straight (kind), from batches of paths."""
    gaps = np.empty((_BATCHES, 2))
    batches = (np.array_split(x, _BATCHES) for x in (curved, straight))
    for b, (x, y) in enumerate(zip(*batches, strict=True)):
        one, other = Tail.of(x, float(level)), Tail.of(y, float(level))
        gaps[b] = one.var - other.var, one.es - other.es
    return gaps.std(axis=0, ddof=1) / np.sqrt(_BATCHES)


def _corrected(exact: ConditionalTails, differences: tuple[np.ndarray, np.ndarray]) -> ConditionalTails:
    parts, errors = differences
    var_parts, es_parts = exact.var_contribution + parts[:, 0], exact.es_contribution + parts[:, 1]
    noise = np.sqrt((errors**2).mean(axis=0))
    return ConditionalTails(
        var=var_parts.sum(axis=(2, 3)).T,
        es=es_parts.sum(axis=(2, 3)).T,
        var_contribution=var_parts,
        es_contribution=es_parts,
        var_mcse=exact.var_mcse + noise[0],
        es_mcse=exact.es_mcse + noise[1],
    )


def _worst(tails: ConditionalTails) -> tuple[float, str]:
    """Return the largest error over the largest that is allowed, and a sentence about it."""
    worst, message = 0.0, ""
    for name, values, error in (("VaR", tails.var, tails.var_mcse), ("ES", tails.es, tails.es_mcse)):
        spread = values.std(axis=1) + 1e-9 * np.abs(values).max()
        at = int(np.argmax(error / np.where(spread > 0.0, spread, 1.0)))
        share = float(error[at] / (spread[at] or 1.0))
        if share / _LARGEST_ERROR > worst:
            worst = share / _LARGEST_ERROR
            message = f"options: the error of {name} given a draw is {share:.0%} of its posterior sd"
    return worst, message
