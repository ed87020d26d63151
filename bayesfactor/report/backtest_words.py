"""A backtest in words, for a reader who knows risk and has one minute."""

from typing import Any

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.report.content import Banner, Card
from bayesfactor.report.contest import (
    COVERAGE_TESTS,
    FEW,
    SHORTFALL_TESTS,
    Contest,
    rejections,
)
from bayesfactor.scoring.contract import MODEL, PORTFOLIO
from bayesfactor.scoring.sampling import BAD_RHAT, Sampling

__all__ = ["cards", "facts", "headline", "power", "sampling_banner", "verdict"]


def headline(found: Contest) -> str:
    """Return the result as one line."""
    if not found.ranked:
        return f"The models cannot be ranked on these {found.step}s"
    against = f"the baseline {found.reference}" if found.is_baseline else found.reference
    if found.challenger is None:
        return f"{found.leader}, with nothing to hold it against"
    if found.leader == found.reference:
        return f"No model forecasts tail risk better than {against}"
    if found.convincing:
        return f"{found.leader} forecasts tail risk better than {against}"
    return f"{found.leader} is ahead, but these {found.step}s do not tell it from {against}"


def verdict(found: Contest, level: float) -> str:
    """Return what the headline rests on, in two sentences or three."""
    if not found.ranked:
        return (
            f"There are fewer than 20 {found.step}s on which every model has a forecast of every portfolio. "
            "The tables below say what can be said of each portfolio."
        )
    lowest = (
        f"Over {w.count(found.days, found.step)} and {w.count(found.portfolios, 'portfolio')}, "
        f"{found.leader} has the lowest mean loss (FZ0, which judges value at risk and expected shortfall "
        f"{w.plain_percent(level)} together): {w.number(found.losses[found.leader])}."
    )
    if found.challenger is None:
        return lowest
    side = "below" if found.difference < 0 else "above"
    gap = (
        f" The loss of {found.challenger} is {w.number(abs(found.difference))} {side} that of "
        f"{found.reference} (p {_equals(found.p)} by Diebold and Mariano, {w.p_value(found.bootstrap_p)} by "
        "a block bootstrap)"
    )
    if found.convincing:
        return f"{lowest}{gap}: more than chance."
    if found.significant:
        return (
            f"{lowest}{gap}, but on so few {found.step}s {found.expected:.1f} exceedances of a portfolio are "
            "to be expected: forecasts that are too low look good until losses come. "
            f"These {found.step}s do not tell."
        )
    return f"{lowest}{gap}: these {found.step}s do not tell the two apart."


def sampling_banner(fits: list[Sampling]) -> Banner | None:
    """Return whether the fits converged, worst first; None where nothing was sampled."""
    if not fits:
        return None
    bad = sorted((f for f in fits if f.bad), key=lambda f: -f.bad / f.fits)
    if not bad:
        worst = max(f.worst for f in fits)
        total = sum(f.fits for f in fits)
        text = f"All {w.count(total, 'fit')} converged (largest R-hat {worst:.2f})"
        return Banner("sampling", "ok", "ok", text, ())
    css = "fail" if any(f.css == "fail" for f in bad) else "warn"
    names = ", ".join(f.model for f in bad)
    text = {
        "warn": f"Some fits did not converge: {names}",
        "fail": f"Many fits did not converge: do not rely on {names}",
    }[css]
    reasons = tuple(
        f"{f.model}: {f.bad} of {w.count(f.fits, 'fit')} with an R-hat above {BAD_RHAT:g}, "
        + ("or of which it is not known" if f.worst != f.worst else f"the largest {f.worst:.2f}")
        for f in bad
    )
    return Banner("sampling", css, css, text, reasons, ("run the backtest again with more tune and draws",))


def cards(found: Contest, scores: xr.Dataset, level: float) -> list[Card]:
    """Return the key figures of the models in the headline, for scores at one level."""
    coverage = rejections(scores, tuple(COVERAGE_TESTS))
    shortfall = rejections(scores, tuple(SHORTFALL_TESTS))
    own = [_card(m, found, scores, coverage, shortfall, level) for m in found.shown]
    return own if found.challenger is None else [*own, _difference(found)]


def _difference(found: Contest) -> Card:
    plus = "+" if found.difference > 0 else ""
    lines = (
        f"p {_equals(found.p)} (Diebold-Mariano)",
        f"p {_equals(found.bootstrap_p)} (block bootstrap)",
        f"over {w.count(found.days, found.step)}, mean of {w.count(found.portfolios, 'portfolio')}",
    )
    return Card(f"{found.challenger} less {found.reference}", f"{plus}{w.number(found.difference)}", lines)


def _equals(p: float) -> str:
    text = w.p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _card(
    model: str, found: Contest, scores: xr.Dataset, coverage: xr.Dataset, shortfall: xr.Dataset, level: float
) -> Card:
    one = scores.sel({MODEL: model})
    seen = np.isfinite(one["hits"].values)
    days = float(one["days"].values[seen].sum())
    rate = float(one["hits"].sum()) / days if days else np.nan
    lines = [f"VaR exceeded on {w.percent(rate)} of {found.step}s; {w.plain_percent(1.0 - level)} is right"]
    for name, tests, no in (
        ("coverage", COVERAGE_TESTS, coverage),
        ("shortfall", SHORTFALL_TESTS, shortfall),
    ):
        made = sum(int(np.isfinite(one[t]).sum()) for t in tests)
        against = sum(int(no.sel({MODEL: model})[t].sum()) for t in tests)
        lines.append(f"rejected by {against} of {w.count(made, f'{name} test')}")
    if "in_confidence_set" in scores:
        inside = int(one["in_confidence_set"].sum())
        share = w.plain_percent(float(scores.attrs["confidence"]))
        total = w.count(int(np.isfinite(one["confidence_set_p"]).sum()), "portfolio")
        lines.append(f"in the {share} confidence set of {inside} of {total}")
    role = "baseline" if model == found.reference and found.is_baseline else ""
    label = f"{model}{f' ({role})' if role else ''}: mean loss"
    return Card(label, w.number(found.losses[model]), tuple(lines))


def facts(backtest: xr.Dataset, scores: xr.Dataset, found: Contest) -> list[tuple[str, str]]:
    """Return how the forecasts were made, as far as the backtest says."""
    a, days = backtest.attrs, scores["days"].values
    first, last = w.stamps(backtest[s.TIME].values)
    kinds = backtest["kind"].values.astype(str) if "kind" in backtest.coords else np.array([])
    names = backtest[MODEL].values.astype(str)
    is_baseline = kinds == "baseline" if len(kinds) else np.zeros(len(names), bool)
    every = {int(d) for d in days}
    counted = f"{min(every):,}" if len(every) == 1 else f"{min(every):,} to {max(every):,}, by portfolio"
    counted += "" if every == {found.days} else f"; {found.days:,} for the mean"
    rows: list[tuple[str, str]] = [
        (f"{found.step.capitalize()}s forecast", f"{first} to {last}, {backtest.sizes[s.TIME]:,}"),
        (f"{found.step.capitalize()}s that count", counted),
        ("Models", ", ".join(names[~is_baseline])),
        ("Baselines", ", ".join(names[is_baseline])),
        ("Portfolios", _few(backtest[PORTFOLIO].values.astype(str))),
        ("Window of a fit", _window(a, found.step)),
        ("Refitted", f"every {w.count(int(a['refit_every']), found.step)}" if "refit_every" in a else ""),
        ("Draws of a fit", _draws(a)),
        ("Random seed", str(a.get("random_seed", ""))),
    ]
    return [(name, text) for name, text in rows if text]


def _few(names: np.ndarray) -> str:
    more = len(names) - 8
    return f"{len(names)}: {', '.join(names[:8])}{f' and {more} more' if more > 0 else ''}"


def _window(attrs: dict[Any, Any], step: str) -> str:
    if "window" not in attrs:
        return ""
    seen = w.count(int(attrs["window"]), step)
    return f"all {step}s before it, {seen} at least" if attrs.get("expanding") else f"the {seen} before it"


def _draws(attrs: dict[Any, Any]) -> str:
    if not {"draws", "chains", "tune"} <= set(attrs):
        return ""
    chains, draws = (w.count(int(attrs[k]), k.removesuffix("s")) for k in ("chains", "draws"))
    return f"{chains} of {draws} each, after {w.count(int(attrs['tune']), 'step')} of warm-up"


def power(scores: xr.Dataset, level: float) -> str:
    """Return a caution where too few exceedances are expected for a test to see anything."""
    days = scores["days"].values
    expected = float(days[days > 0].min()) * (1.0 - level) if days.any() else 0.0
    if not 0.0 < expected < FEW:
        return ""
    return (
        f" In some portfolios as few as {expected:.1f} exceedances are expected: tests then seldom reject "
        "even a poor model, and not being rejected says little."
    )
