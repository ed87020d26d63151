"""The days of an episode, out of a history: what factors did, and what those coins did that existed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import RiskError, unknown_names
from bayesfactor.forecast import Labels, Predictions
from bayesfactor.laws import law_of
from bayesfactor.laws.whole import whole_fit
from bayesfactor.panel import check_panel
from bayesfactor.periods import between, stamp_text
from bayesfactor.stress.scenarios import Episode

__all__ = ["Days", "days_of", "latent_scores"]


@dataclass(frozen=True)
class Days:
    """What happened.

    Parameters
    ----------
    stamps : DatetimeIndex (period)
    moves : ndarray (period, factor)
        Of the observed factors.
    returns : ndarray (period, asset)
        Canonical order; NaN for all periods of a coin that lacks one.
    rows : ndarray (period, asset)
        The same with every return there is.
    """

    stamps: pd.DatetimeIndex
    moves: np.ndarray
    returns: np.ndarray
    rows: np.ndarray


def days_of(
    episode: Episode, name: str, tree: xr.DataTree, history: xr.Dataset | None, labels: Labels
) -> Days:
    """Return the days of an episode.

    Raises
    ------
    PanelError
        If `history` is no panel.
    RiskError
        If the history does not cover the episode, lacks a factor, or holds log returns.
    """
    if history is None:
        tree = whole_fit(tree)
        source = tree[s.OBSERVED_DATA].to_dataset()[[s.RETURNS]]
        source[s.FACTOR_RETURNS] = tree[s.CONSTANT_DATA].to_dataset()[s.FACTOR_RETURNS]
        whose = "the data of the fit"
    else:
        check_panel(history)
        if history.attrs["returns_kind"] != "simple":
            msg = f"history holds simple returns; got {history.attrs['returns_kind']} returns. Build it anew."
            raise RiskError(msg)
        source, whose = history, "history"
    stamps = pd.DatetimeIndex(source.indexes[s.TIME])
    inside = _inside(episode, name, stamps, whose)
    traded = source[s.RETURNS].notnull().any(s.ASSET).values[inside]
    inside = inside[traded] if traded.any() else inside  # where nobody had a price, nothing happened
    factors = labels.factors[labels.families != s.LATENT].astype(str)
    known = source[s.FACTOR].values.astype(str)
    missing = [str(f) for f in factors if f not in set(known)]
    if missing:
        msg = (
            f"{name}: a replay needs every observed factor of the model; history lacks "
            f"{unknown_names(missing, known)}. Build history= with the same factors."
        )
        raise RiskError(msg)
    at = source.isel({s.TIME: inside})
    order = [list(known).index(f) for f in factors]
    moves = at[s.FACTOR_RETURNS].transpose(s.TIME, s.FACTOR).values[:, order]
    if history is not None:
        moves = _of_the_fits_coins(moves, at, factors, whole_fit(tree), name)
    table = pd.DataFrame(
        at[s.RETURNS].transpose(s.TIME, s.ASSET).values, columns=at[s.ASSET].values.astype(str)
    )
    rows = table.reindex(columns=labels.canonical).to_numpy(dtype=float)
    whole = np.isfinite(rows).all(axis=0)
    return Days(stamps[inside], np.asarray(moves, dtype=float), np.where(whole, rows, np.nan), rows)


def _of_the_fits_coins(
    moves: np.ndarray, at: xr.Dataset, factors: np.ndarray, tree: xr.DataTree, name: str
) -> np.ndarray:
    """Return moves (time, factor) in which portfolios of the fit's own coins hold no other coin.

    A market of many coins has the name of the market of a few: its weights are taken of these alone.
    """
    const = tree[s.CONSTANT_DATA].to_dataset()
    if s.FACTOR_WEIGHTS not in const or s.FACTOR_WEIGHTS not in at:
        return moves
    moves = moves.copy()
    coins = tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str)
    ours = np.isin(at[s.ASSET].values.astype(str), coins)
    returns = at[s.RETURNS].transpose(s.TIME, s.ASSET).fillna(0.0).values
    for k, factor in enumerate(factors):
        own = const[s.FACTOR_WEIGHTS].sel({s.FACTOR: factor}).fillna(0.0).values
        weights = at[s.FACTOR_WEIGHTS].sel({s.FACTOR: factor}).transpose(s.TIME, s.ASSET).fillna(0.0).values
        if not own.any() or not weights[:, ~ours].any():
            continue
        kept = np.where(ours, weights, 0.0)
        if (weights < 0.0).any() or not kept.any(axis=1).all():
            msg = (
                f"{name}: the model's {factor} is a portfolio of its own {len(coins)} coins; that of "
                "history= holds others. Build history= of the fit's coins: assets= of bf.panel_from_prices."
            )
            raise RiskError(msg)
        moves[:, k] = (kept * returns).sum(axis=1) * (weights.sum(axis=1) / kept.sum(axis=1))
    return moves


def _inside(episode: Episode, name: str, stamps: pd.DatetimeIndex, whose: str) -> np.ndarray:
    first, last = episode.span
    inside = between(stamps, first, last)
    # A stamp stands for its period: the last of hours before midnight ends its day.
    step = pd.Timedelta(np.median(np.diff(stamps.asi8)) if len(stamps) > 1 else 0, unit="ns")
    covered = len(stamps) > 0 and stamps[0] - step < first and last < stamps[-1] + step
    if not covered or not inside.any():
        runs = f"from {stamp_text(stamps[0])} to {stamp_text(stamps[-1])}" if len(stamps) else "nowhere"
        what = "no period ends in it" if covered else f"data run {runs}"
        msg = (
            f"{name}: {whose} must cover the episode, {first.date()} to {last.date()}; {what}. "
            "Give history=, a panel of bf.panel_from_prices over that time with the model's factors."
        )
        raise RiskError(msg)
    return np.flatnonzero(inside)


def latent_scores(
    found: Predictions, days: Days, tree: xr.DataTree, rng: np.random.Generator
) -> np.ndarray | None:
    """Return latent factors of the days given their returns (draw, period, latent), None where unknown.

    By the law of the fit, whatever returns are expected ahead.

    Drawn given the returns of the episode; where the law samples latent factors with the fit, those of the
    days, if they are among the days of the fit.
    """
    if s.POSTERIOR not in tree.children:
        return None
    law = law_of(tree)
    observed = found.labels.families != s.LATENT
    weights = found.moments.own_weights
    moved = law.advance(
        np.ascontiguousarray(days.rows.T), np.ascontiguousarray(days.moves.T[: observed.sum()]), weights
    )
    scores = moved.scores(rng)
    if scores.shape[1] == len(days.stamps):
        return scores
    fitted = pd.DatetimeIndex(tree[s.OBSERVED_DATA].to_dataset().indexes[s.TIME])
    at = fitted.get_indexer(days.stamps)
    return law.scores(rng)[:, at] if (at >= 0).all() else None
