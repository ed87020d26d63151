"""From a scenario to a case: the law it makes of the next periods, what is expected then, and its paths."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError, unknown_names
from bayesfactor.forecast import Labels, Predictions
from bayesfactor.laws import Moments, Scenarios
from bayesfactor.laws.blocks import block_rng, run_blocks, slices
from bayesfactor.risk.exact import Book
from bayesfactor.stress.conditional import conditional, frozen
from bayesfactor.stress.plausible import chance_beyond, chance_by_paths, chance_of_move
from bayesfactor.stress.replay import days_of, latent_scores
from bayesfactor.stress.scenarios import (
    Episode,
    FactorShock,
    Liquidation,
    RegimeShift,
    ReverseStress,
    Scenario,
)
from bayesfactor.stress.shifted import Shifted, opened, refuse_infinite
from bayesfactor.stress.worst import most_plausible

__all__ = ["Ahead", "Ask", "Case", "case_of"]

_BLOCK_CELLS = 500_000
_NAMED = 0.01
"""Share of the loss from which a coin is named."""
_MOST_NAMED = 5
_SCORES = 7
"""Key of the generator that draws latent factors of an episode."""

type Paths = Callable[[range], Iterator[Scenarios]]


class Ahead(Protocol):
    """The predictions of a horizon; with `all_open`, of one that starts on a day without a closed market."""

    def __call__(self, horizon: int, *, all_open: bool = False) -> Predictions:
        """Return them."""
        ...


@dataclass(frozen=True)
class Case:
    """One scenario, ready to be counted.

    Parameters
    ----------
    note : str
        One plain sentence.
    moments : Moments
        Of its horizon: alpha and loadings.
    expected : ndarray (draw, horizon, factor)
        E[f] under the scenario.
    paths : callable, optional
        range of paths -> blocks that hold every draw once per path, in order; None: nothing is left open.
    stride : int
        Paths that are drawn together: a range starts at a multiple of it.
    plausibility : float
    dear : bool
        Whether periods are drawn one after the other, which takes long.
    replayed : ndarray (horizon, asset), optional
        Returns that are known, NaN where they are not.
    shares : ndarray (horizon, asset), optional
        Share of each position that is still held in each period; 1 where not given.
    specific : ndarray (draw, asset), optional
        What coins return of their own over all periods, where the scenario says so.
    days_to_unwind : ndarray (asset), optional
    """

    note: str
    moments: Moments
    expected: np.ndarray
    paths: Paths | None
    stride: int = 1
    plausibility: float = math.nan
    dear: bool = False
    replayed: np.ndarray | None = None
    shares: np.ndarray | None = None
    specific: np.ndarray | None = None
    days_to_unwind: np.ndarray | None = None

    @property
    def systematic(self) -> np.ndarray:
        """What alpha and expected factor moves return over all periods (draw, asset)."""
        m = self.moments
        moved = np.einsum("dik,dk->di", m.loadings, self.expected.sum(axis=1))
        return np.asarray(self.expected.shape[1] * m.alpha + moved)

    @property
    def own(self) -> np.ndarray:
        """What coins are expected to return of their own over all periods, over all draws (asset)."""
        if self.specific is not None:
            return np.asarray(self.specific.mean(axis=0))
        if self.replayed is None:
            return np.zeros(self.moments.alpha.shape[1])
        known = np.isfinite(self.replayed).all(axis=0)
        rest = np.where(known, self.replayed, 0.0).sum(axis=0) - self.systematic.mean(axis=0)
        return np.asarray(np.where(known, rest, 0.0))


@dataclass(frozen=True)
class Ask:
    """What all scenarios are asked of.

    Parameters
    ----------
    tree : DataTree
    ahead : Ahead
    weights : ndarray (asset)
        Canonical order; with positions those of their linear part.
    history : Dataset, optional
    value : float
    labels : Labels
    optioned : ndarray of bool (asset), optional
        Where there are positions, whatever their linear part.
    """

    tree: xr.DataTree
    ahead: Ahead
    weights: np.ndarray
    history: xr.Dataset | None
    value: float
    labels: Labels
    optioned: np.ndarray | None = None

    @property
    def held(self) -> np.ndarray:
        """Where there is a weight or a position (asset)."""
        weighted = self.weights != 0.0
        return weighted if self.optioned is None else weighted | self.optioned


def case_of(name: str, scenario: Scenario, ask: Ask) -> Case:
    """Return the case of a scenario; raises what the scenario cannot be asked of this model."""
    if isinstance(scenario, Episode):
        return _episode(name, scenario, ask)
    if isinstance(scenario, FactorShock):
        return _shock(name, scenario, ask)
    if isinstance(scenario, RegimeShift):
        return _regime(scenario, ask)
    if isinstance(scenario, ReverseStress):
        return _reverse(name, scenario, ask)
    if ask.optioned is not None:
        msg = (
            f"{name}: a sale over time is one of spot; positions cannot be given with it. Stress them apart."
        )
        raise RiskError(msg)
    return _liquidation(name, scenario, ask)


def _streamed(law: Shifted, entropy: int) -> tuple[Paths, int]:
    """Return paths of a law, and how many of them are drawn together."""
    n, horizon = law.centre.shape[:2]
    # Where periods follow one another, a draw's paths are taken through them together.
    cells = _BLOCK_CELLS if law.law is None else 4 * _BLOCK_CELLS
    size = max(1, cells // (horizon * law.moments.alpha.shape[1]))
    stride = max(1, size // n)

    def paths(which: range) -> Iterator[Scenarios]:
        jobs = (
            (start, c, block)
            for start in range(which.start, which.stop, stride)
            for c, block in enumerate(slices(n * (min(start + stride, which.stop) - start), size))
        )

        def work(job: tuple[int, int, slice]) -> Scenarios:
            start, c, block = job
            return law.simulate(block_rng(entropy, start, c), np.arange(block.start, block.stop) % n)

        return run_blocks(work, jobs)

    return paths, stride


def _episode(name: str, episode: Episode, ask: Ask) -> Case:
    labels = ask.labels
    days = days_of(episode, name, ask.tree, ask.history, labels)
    found = ask.ahead(len(days.stamps))
    law = opened(found)
    m = law.moments
    observed = np.flatnonzero(labels.families != s.LATENT)
    latent = np.flatnonzero(labels.families == s.LATENT)
    moves = np.zeros(law.centre.shape)
    moves[:, :, observed] = days.moves
    scores = latent_scores(found, days, ask.tree, block_rng(found.entropy, _SCORES)) if len(latent) else None
    known = [observed] * len(days.stamps)
    if scores is not None:
        moves[:, :, latent] = scores
        known = [np.arange(len(labels.factors))] * len(days.stamps)
    shifted = frozen(law, moves, known)
    if len(latent) and scores is None:
        root = np.zeros(law.root.shape)
        root[:, :, latent] = law.root[:, :, latent]
        shifted = replace(shifted, root=root)
    shifted = replace(shifted, replayed=days.returns)
    young = np.isnan(days.returns[0]) & ask.held
    paths, stride = _streamed(shifted, found.entropy) if young.any() else (None, 1)
    chance = chance_of_move(m, observed, days.moves.sum(axis=0)) if len(observed) else math.nan
    first, last = (f"{x:%Y-%m-%d}" for x in days.stamps[[0, -1]])
    held, new = int(ask.held.sum()), int(young.sum())
    note = f"Replay of {first} to {last}: {held - new} of {held} coins held repeat their returns"
    note += f", {new} get loadings times factor moves and specific draws." if new else "."
    dear = law.law is not None
    return Case(note, m, shifted.expected, paths, stride, chance, dear, replayed=days.returns)


def _shock(name: str, shock: FactorShock, ask: Ask) -> Case:
    factors = ask.labels.factors.astype(str)
    strange = [k for k in shock.moves if k not in set(factors)]
    if strange:
        have = ", ".join(factors) or "none"
        got = unknown_names(strange, factors)
        msg = f"{name}: shocks name factors of the model; unknown: {got}. It has: {have}."
        raise RiskError(msg)
    pairs = sorted((list(factors).index(k), float(v)) for k, v in shock.moves.items())
    which, move = np.array([k for k, _ in pairs]), np.array([v for _, v in pairs])
    found, near = ask.ahead(shock.horizon), ask.ahead(1)
    closed = np.setdiff1d(which, near.moments.moving)
    if len(closed) and shock.others == "conditional":
        # Whoever asks what a move brings asks of a day on which there is one.
        found, near = (ask.ahead(h, all_open=True) for h in (shock.horizon, 1))
    law = opened(found)
    if shock.others == "frozen":
        moves = np.zeros((1, *law.centre.shape[1:]))
        moves[0, 0, which] = move
        law = frozen(law, moves, [which])
        others = "others stand at zero"
    else:
        law = conditional(law, which, move)
        others = "others follow their law given this"
    chance = chance_of_move(near.moments, which, move)
    paths, stride = _streamed(law, found.entropy)
    words = ", ".join(f"{factors[k]} {v:+g}" for k, v in pairs)
    note = f"Shock: {words}" + (" in the first period" if shock.horizon > 1 else "")
    note += f"; {others}." if len(which) < len(factors) else "."
    if len(closed):
        note += f" The market of {', '.join(factors[closed])} is closed in the next period; taken as if open."
    return Case(note, law.moments, law.expected, paths, stride, chance, dear=law.law is not None)


def _regime(regime: RegimeShift, ask: Ask) -> Case:
    found = ask.ahead(regime.horizon)
    law = opened(found)
    root = law.root
    observed = np.flatnonzero(ask.labels.families != s.LATENT)
    if regime.correlation > 0.0 and len(observed) > 1:
        root = root.copy()
        # All bets on factors lose together: with other signs, a correlation of one would hedge.
        exposures = Book(law.moments, ask.weights).exposures.mean(axis=0)[observed]
        signs = np.where(exposures < 0.0, -1.0, 1.0)
        root[:, :, observed[:, None], observed] = _closer(root, observed, regime.correlation, signs)
    nu, own = law.nu, law.specific_nu
    if regime.nu is not None:
        nu, own = np.minimum(nu, regime.nu), np.minimum(own, regime.nu)
    law = replace(
        law, root=root * regime.volatility, spread=law.spread * regime.volatility, nu=nu, specific_nu=own
    )
    paths, stride = _streamed(law, found.entropy)
    note = f"Another market: {regime.label}; expected returns stay."
    return Case(note, law.moments, law.expected, paths, stride, dear=law.law is not None)


def _closer(root: np.ndarray, observed: np.ndarray, share: float, signs: np.ndarray) -> np.ndarray:
    """Return roots of D ((1 - a) C + a s s') D, s the signs in which factors move together.

    Lower triangular, so that each factor keeps the shocks before it and its own.
    """
    own = root[:, :, observed]
    covariance = own @ own.swapaxes(-1, -2)
    sd = np.sqrt(np.diagonal(covariance, axis1=2, axis2=3))
    size = np.where(sd > 0.0, sd, 1.0)  # a closed factor stays at 0
    correlation = covariance / (size[..., :, None] * size[..., None, :])
    at = np.arange(len(observed))
    correlation[..., at, at] = 1.0
    if share == 1.0:
        new = np.zeros(correlation.shape)
        new[..., 0] = signs * signs[0]
    else:
        new = np.linalg.cholesky((1.0 - share) * correlation + share * np.outer(signs, signs))
    return sd[..., None] * new


def _reverse(name: str, reverse: ReverseStress, ask: Ask) -> Case:
    found = ask.ahead(reverse.horizon)
    refuse_infinite(found.moments)
    m = found.moments
    book = Book(m, ask.weights)
    if not ask.weights.any():
        msg = f"{name}: nothing that is held loses anything to first order, so that no move loses so much."
        raise RiskError(msg)
    if book.mean_loss.mean() >= reverse.loss:
        now = f"{book.mean_loss.mean():.3g}"
        msg = f"{name}: the portfolio is expected to lose {now} as it is; ask for a larger loss."
        raise RiskError(msg)
    drift = float(m.horizon * (m.alpha @ ask.weights).mean())
    move = most_plausible(book, -(reverse.loss + drift))
    # The probability of the loss, whatever brings it: each draw has exposures and a drift of its own.
    chance = chance_beyond(m, -book.exposures, reverse.loss - book.mean_loss, -book.bets)
    if math.isnan(chance):
        chance = chance_by_paths(found, book, reverse.loss)
    expected = np.broadcast_to(move.factors / m.horizon, m.factor_mean.shape)
    specific = np.broadcast_to(move.innovations, m.alpha.shape)
    if len(m.own_weights):
        specific = specific - np.einsum("dik,k->di", m.own_response, m.own_weights @ move.innovations)
    case = Case("", m, expected, None, plausibility=chance, specific=specific)
    return replace(case, note=_joint_words(reverse, case, ask))


def _joint_words(reverse: ReverseStress, case: Case, ask: Ask) -> str:
    """Return what moves in a reverse stress: every factor, and the coins that lose most of their own."""
    factors = zip(ask.labels.factors.astype(str), case.expected[0].sum(axis=0), strict=True)
    words = ", ".join(f"{k} {v:+.3g}" for k, v in factors)
    lost = -ask.weights * case.own
    order = np.argsort(-lost)[: int((lost > _NAMED * reverse.loss).sum())]
    names = ask.labels.canonical.astype(str)
    coins = ", ".join(f"{names[i]} {case.own[i]:+.3g}" for i in order[:_MOST_NAMED])
    coins += f" and {len(order) - _MOST_NAMED} more" if len(order) > _MOST_NAMED else ""
    share = f"{round(100.0 * lost.sum() / reverse.loss) + 0} %"
    own = f"; what coins do of their own is {share} of the loss" + (f" ({coins})" if coins else "")
    return f"The most plausible joint move that loses {round(100.0 * reverse.loss, 6):g} %: {words}{own}."


def _liquidation(name: str, sale: Liquidation, ask: Ask) -> Case:
    days = _days_to_unwind(name, sale, ask)
    horizon = max(1, math.ceil(days.max()))
    if horizon > sale.longest:
        slow = ask.labels.canonical[int(days.argmax())]
        msg = (
            f"{name}: {slow} takes {days.max():.0f} periods to sell, more than longest={sale.longest}. "
            "Raise participation or longest, or hold less of it."
        )
        raise RiskError(msg)
    found = ask.ahead(horizon)
    m = found.moments
    with np.errstate(divide="ignore", invalid="ignore"):
        gone = np.arange(horizon)[:, None] / np.where(days > 0.0, days, 1.0)
    shares = np.clip(1.0 - gone, 0.0, 1.0)
    note = (
        f"Sold at {round(100.0 * sale.participation, 6):g} % of volume: all is gone after {horizon} "
        f"period{'s' if horizon > 1 else ''}, and what is left stays at risk."
    )
    stored = found.law is None

    def paths(which: range) -> Iterator[Scenarios]:
        # Stored paths are all there are.
        return found.scenarios(range(which.start, min(which.stop, len(found.stored))) if stored else which)

    return Case(note, m, m.factor_mean, paths, max(1, len(found.stored)), shares=shares, days_to_unwind=days)


def _days_to_unwind(name: str, sale: Liquidation, ask: Ask) -> np.ndarray:
    """Return periods until each position is sold (asset), canonical order."""
    value = ask.value if sale.value is None else sale.value
    if value == 1.0 or (sale.value is not None and ask.value not in (1.0, sale.value)):
        got = f"value={ask.value:g}" + (f" and Liquidation(value={sale.value:g})" if sale.value else "")
        msg = (
            f"{name}: a sale needs the worth of the portfolio in money, as its volumes are; got {got}. "
            "Give value=, once."
        )
        raise RiskError(msg)
    traded = {str(k): float(v) for k, v in pd.Series(sale.volume).items()}
    assets = ask.labels.canonical
    missing = [a for a, w in zip(assets, ask.weights, strict=True) if w != 0.0 and a not in traded]
    if missing:
        shown = unknown_names(missing[:10], traded)
        msg = f"{name}: every coin held needs a volume; none for {shown}. Add it, or do not hold the coin."
        raise RiskError(msg)
    volume = np.array([traded.get(a, math.inf) for a in assets])
    return np.asarray(np.abs(ask.weights) * value / (sale.participation * volume))
