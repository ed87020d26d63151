"""Sections on the risk of one portfolio: key figures, contributions, exposures."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.forecast import Predictions
from bayesfactor.periods import year_in
from bayesfactor.plots.breakdown import measure_name
from bayesfactor.report.content import GIVEN, INTERVAL, Block, Drawing, Facts, Section, Words
from bayesfactor.report.figures_risk import distribution_picture, simulated_losses
from bayesfactor.report.tables_contributions import contribution_tables, heat_table, key_figures
from bayesfactor.report.tables_exposure import exposure_tables, exposure_words
from bayesfactor.risk.held import held_of

__all__ = [
    "contributions_section",
    "exposures_section",
    "holdings",
    "is_linear",
    "risk_section",
    "typical_words",
]

_EXACT: Final = ("", "exact")
_DRIFT: Final = {
    "zero": "taken as zero: losses are measured from no move",
    "posterior": "means given the data and the prior, with what is not known of them",
    "prior": "that of the prior alone: mostly not known",
}


def is_linear(risk: xr.Dataset) -> bool:
    """Whether the loss is that of weights alone, so that it can be simulated from them."""
    return not {s.NONLINEAR, s.CARRY, s.COMPOUNDING} & {str(c) for c in risk[s.COMPONENT].values}


def risk_section(
    risk: xr.Dataset,
    found: Predictions,
    weights: np.ndarray,
    over: str,
    value: float | None,
    besides: tuple[tuple[str, str], ...] = (),
) -> Section:
    """Return key figures, what is held, further facts and the law of the loss; `risk` in fractions."""
    blocks: list[Block] = [
        Words(_words(risk, over)),
        *typical_words({"": found}, risk),
        key_figures(risk, value),
        Facts("holdings", (*holdings(risk, value), *besides)),
        Words(_caution(risk), quiet=True),
    ]
    picture = distribution_picture(simulated_losses(found, weights), risk, over) if is_linear(risk) else None
    if picture is not None:
        note = (
            "All that the model does not know is in this law: its parameters, the factors' moves, what coins "
            "do of their own. The darker part is beyond value at risk. Dots on the right are value at risk, "
            "bars and ticks what it would be if the parameters were known: "
            f"{w.plain_percent(INTERVAL)} interval and middle."
        )
        blocks.append(Drawing("Predicted loss", picture, "The law of the loss", note))
    return Section("risk", f"Portfolio risk over {over}", tuple(blocks), "Key figures")


def typical_words(found: Mapping[str, Predictions], risk: xr.Dataset) -> list[Words]:
    """Return whose forecasts are those of a typical day, nothing where every law follows the days before."""
    which = [name for name, one in found.items() if not one.moments.chained]
    if not which:
        return []
    of = f"{', '.join(which)}: " if len(found) > 1 else ""
    return [Words(f"{of}{w.typical_day(year_in(risk))}")]


def holdings(risk: xr.Dataset, value: float | None) -> tuple[tuple[str, str], ...]:
    """Return how much is held: gross, net, long, short, notional, and by how many assets."""
    held = held_of(risk)

    def said(x: float) -> str:
        return w.percent(x) + ("" if value is None else f" ({w.money(x * value, value)})")

    by = "" if held.notional is None else ", options by delta"
    facts = [
        (f"Gross exposure{by}", said(held.gross)),
        (f"Net exposure{by}", said(held.net)),
        ("Long and short", f"{w.percent(held.long)} and {w.percent(held.short)}"),
        *(
            (("Gross notional, options as their underlying", said(held.notional)),)
            if held.notional is not None
            else ()
        ),
        (
            "Assets held",
            f"{held.count} of {held.of}" + ("; the others have no row" if held.count < held.of else ""),
        ),
    ]
    if risk.attrs.get("drift"):
        facts.append(
            ("Expected returns (drift)", _DRIFT.get(str(risk.attrs["drift"]), str(risk.attrs["drift"])))
        )
    return tuple(facts)


def contributions_section(risk: xr.Dataset, value: float | None) -> Section:
    """Return what adds up to the risk, by factor, family, group, asset, and asset by factor."""
    name = measure_name("es", float(risk[s.LEVEL].values.max()))
    words = (
        "Contributions add up to the total. A negative one lowers the risk: it hedges. They average over all "
        f"that is not known about the parameters. On the right stands the share of {name} if the parameters "
        f"were known: the middle of its posterior and its {w.plain_percent(INTERVAL)} interval; bars draw it."
    )
    blocks: list[Block] = [
        Words(words + _no_total(risk)),
        *contribution_tables(risk, value),
        heat_table(risk),
    ]
    return Section("contributions", "Where the risk comes from", tuple(blocks), "Contributions")


def exposures_section(risk: xr.Dataset, found: Predictions, weights: np.ndarray) -> Section:
    """Return exposures and standalone volatilities; `weights` as in the panel."""
    blocks: list[Block] = [
        Words(exposure_words(found, risk, weights)),
        *exposure_tables(found, risk, weights),
    ]
    return Section("exposures", "Exposures and standalone risk", tuple(blocks), "Exposures")


def _no_total(risk: xr.Dataset) -> str:
    """Say why shares are n/a, where a total is zero or unbounded."""
    totals = np.append(risk["es"].values, float(risk["volatility"]))
    if (totals == 0.0).any():
        return " The total risk is zero, so that shares of it have no meaning and are left out (n/a)."
    if np.isinf(totals).any():
        return " A total is infinite, so that shares of it have no meaning and are left out (n/a)."
    return ""


def _words(risk: xr.Dataset, over: str) -> str:
    i = int(risk[s.LEVEL].values.argmax())
    level = float(risk[s.LEVEL][i])
    var, es = (w.percent(float(risk[k][i])) for k in ("var", "es"))
    held = "Positions are held constant."
    if not np.isfinite(float(risk["es"][i])):
        held = "The tails are so fat that no mean of the worst losses exists. " + held
    return (
        f"Losses are positive. With a probability of {w.plain_percent(1.0 - level)}, the portfolio loses "
        f"more than {var} of its value over {over} (value at risk); when that happens, it loses {es} on "
        f"average (expected shortfall). {held}"
    )


def _caution(risk: xr.Dataset) -> str:
    scenarios = w.count(float(risk.attrs.get("scenarios", 0)), "scenario")
    floored = float(risk.attrs.get("floored_share", 0.0))
    text = (
        "Each number averages over all that the model does not know about its own parameters. "
        f"{GIVEN.capitalize()} is the same if it knew them: the middle of its posterior and its "
        f"{w.plain_percent(INTERVAL)} interval. The averaged number is no point of that posterior, and lies "
        f"above it where little is known. The Monte Carlo error is what {scenarios} leave open."
    )
    if floored > 0:
        cases = w.percent(floored, 4)
        text += f" A simulated return below {w.percent(-1.0, 0)} was set to it in {cases} of cases."
    why = str(risk.attrs.get("tail_posteriors", ""))
    if why not in _EXACT and not np.isfinite(risk["es_posterior"].values).all():
        text += f" Value at risk and expected shortfall have no interval here (n/a): {why.rstrip('.')}."
    if risk.attrs.get("volatility_of"):
        text += f" Volatility is that of the {risk.attrs['volatility_of']} of the positions."
    return text + _volatility_caution(risk)


def _volatility_caution(risk: xr.Dataset) -> str:
    share = float(risk.attrs.get("volatility_share_of_barely_finite_variances", 0.0))
    if share <= 0.25:
        return ""
    return (
        f" Caution: {w.percent(share, 0)} of the variance comes from coins or factors with such fat "
        "tails that a variance barely exists. Read value at risk and expected shortfall instead."
    )
