"""`info`: what a panel, a fit or a risk result is, in ten lines.

xarray objects show every array they hold; this says what the arrays say. The accessor `.bf` of every Dataset
and DataTree shows the same, and a notebook shows it above xarray's own view.
"""

import html
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.calls import verb
from bayesfactor.diagnose import computation, verdict_lines
from bayesfactor.errors import SchemaError
from bayesfactor.laws import follows_days
from bayesfactor.periods import step_in, year_in
from bayesfactor.risk.held import held_of, held_weights

__all__ = ["Info", "holding_words", "info"]

_LARGEST: Final = 3


@dataclass(frozen=True)
class Info:
    """Facts by name, which print as lines and show in a notebook as a table.

    Parameters
    ----------
    title : str
    facts : tuple of (str, str)
        Name and text.
    """

    title: str
    facts: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str:
        """Return the text of a fact."""
        return dict(self.facts)[name]

    def __repr__(self) -> str:
        """Return the title and a line each fact."""
        width = max(len(name) for name, _ in self.facts)
        return "\n".join([self.title, *(f"  {name:<{width}}  {text}" for name, text in self.facts)])

    def _repr_html_(self) -> str:
        style = "text-align: left; vertical-align: top; font-weight: normal; white-space: pre-line"
        rows = "".join(
            f'<tr><th scope="row" style="{style}; opacity: .7">{html.escape(name)}</th>'
            f'<td style="{style}">{html.escape(text)}</td></tr>'
            for name, text in self.facts
        )
        caption = f'<caption style="text-align: left; font-weight: bold">{html.escape(self.title)}</caption>'
        return f'<table class="bayesfactor-info">{caption}<tbody>{rows}</tbody></table>'


@verb
def info(thing: xr.DataTree | xr.Dataset) -> Info:
    """Say what a panel, a fit, a mixture of fits or a risk result is, in ten lines.

    Parameters
    ----------
    thing : DataTree or Dataset
        From `bf.fit`, `bf.load`, `bf.stack`, `bf.decompose_risk`, or a panel.

    Returns
    -------
    Info
        Of a fit: model, window, as-of date, coins, factors, draws, the verdict on them and whether forecasts
        follow the days before. Of risk: what is held, volatility, VaR, ES and the largest contributions. It
        prints as lines and shows as a table in a notebook; facts are read by name,
        `bf.info(tree)["verdict"]`.

    Raises
    ------
    SchemaError
        If it is none of these.

    Examples
    --------
    >>> tree.bf  # doctest: +SKIP
    >>> print(bf.info(risk))  # doctest: +SKIP
    """
    if isinstance(thing, xr.DataTree):
        s.check_tree(thing, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="info")
        return _of_tree(thing)
    if isinstance(thing, xr.Dataset) and {"es_contribution", "volatility"} <= set(thing.data_vars):
        return _of_risk(thing)
    if isinstance(thing, xr.Dataset) and s.RETURNS in thing and "schema_version" in thing.attrs:
        return Info("Panel of returns", tuple(_of_data(thing, thing)))
    msg = (
        "info reads a tree of bf.fit, a Dataset of bf.decompose_risk or a panel; got "
        f"{type(thing).__name__}. Print it for xarray's own view."
    )
    raise SchemaError(msg)


def _of_tree(tree: xr.DataTree) -> Info:
    attrs = tree.attrs
    obs, const = (tree[g].to_dataset() for g in (s.OBSERVED_DATA, s.CONSTANT_DATA))
    per_year = year_in(obs)
    facts = _of_data(obs, const)
    if s.POSTERIOR in tree.children:
        post = tree[s.POSTERIOR].to_dataset()
        if s.LATENT in post.dims:
            facts.append(("latent factors", w.some(post[s.LATENT].values)))
        draws = f"{w.count(post.sizes[s.CHAIN], 'chain')} of {w.count(post.sizes[s.DRAW], 'draw')}"
        facts.append(("draws", f"{draws}, by {attrs.get('method', 'nuts')}"))
        if s.SAMPLE_STATS in tree.children:
            line = verdict_lines(computation(tree))[0]
            facts.append(("verdict", line.removeprefix("Computation: ")))
    facts.append(("forecast", w.forecast_of(per_year, follows_days=follows_days(tree))))
    kept = (s.OBSERVED_DATA, s.CONSTANT_DATA)
    facts.append(("groups", ", ".join(str(g) for g in tree.children if g not in kept)))
    return Info(f"{attrs.get('model', 'fit')}: {attrs.get('title', '')}", tuple(facts))


def _of_data(obs: xr.Dataset, const: xr.Dataset) -> list[tuple[str, str]]:
    """Return window, as-of date, coins and factors."""
    first, last = w.stamps(obs[s.TIME].values)
    step = step_in(obs)
    missing = float(np.isnan(obs[s.RETURNS].values).mean())
    holes = f", {w.percent(missing)} of returns missing" if missing else ""
    groups = len(np.unique(const[s.GROUP].values))
    coins = f"{obs.sizes[s.ASSET]} in {w.count(groups, 'group')}: {w.some(obs[s.ASSET].values)}"
    return [
        ("window", f"{first} to {last}, {w.count(obs.sizes[s.TIME], step)}{holes}"),
        ("as of", last),
        ("coins", coins),
        ("factors", w.some(const[s.FACTOR].values, 8) or "none observed"),
    ]


def _of_risk(risk: xr.Dataset) -> Info:
    attrs, worth = risk.attrs, float(risk.attrs.get("value", 1.0))
    horizon, per_year = int(attrs.get("horizon", 1)), year_in(risk)

    def said(x: float) -> str:
        return w.percent(x / worth) + ("" if worth == 1.0 else f" ({w.money(x, worth)})")

    level, volatility = float(risk[s.LEVEL].max()), float(risk["volatility"])
    annual = w.percent(volatility / worth * (per_year / horizon) ** 0.5)
    central = ""
    if "volatility_central" in risk:
        central = f"; of the middle of the law {w.percent(float(risk['volatility_central']) / worth)}"
    facts = [
        ("model", str(attrs.get("model", ""))),
        ("window", f"{attrs['window_start']} to {attrs['as_of']}" if "as_of" in attrs else ""),
        ("as of", str(attrs.get("as_of", ""))),
        ("held", holding_words(risk)),
        ("drift", str(attrs.get("drift", ""))),
        ("volatility", f"{said(volatility)}, {annual} a year{central}"),
        *(
            (f"{name} {100 * float(v):g} %", said(float(risk[key][i])))
            for key, name in (("var", "VaR"), ("es", "ES"))
            for i, v in enumerate(risk[s.LEVEL].values)
        ),
        (f"ES {100 * level:g} % from", f"{_parts(risk, s.COMPONENT)}; {_parts(risk, s.ASSET)}"),
    ]
    if "chained" in attrs:
        facts.append(("forecast", w.forecast_of(per_year, follows_days=bool(attrs["chained"]))))
    title = f"Risk over {w.per_horizon(horizon, per_year)}"
    return Info(title, tuple((name, text) for name, text in facts if text))


def holding_words(risk: xr.Dataset) -> str:
    """Return how much the portfolio of a risk Dataset holds, in one line."""
    held = held_of(risk)
    by = "" if held.notional is None else f" by delta, notional {w.percent(held.notional)}"
    coins = f"{held.count} of {w.count(held.of, 'coin')}"
    return f"{coins}, gross {w.percent(held.gross)}, net {w.percent(held.net)}{by}"


def _parts(risk: xr.Dataset, by: str) -> str:
    """Return the largest shares of ES at the highest level."""
    at = risk.isel({s.LEVEL: int(risk[s.LEVEL].values.argmax())})
    parts = at["es_contribution"].sum(s.ASSET if by == s.COMPONENT else s.COMPONENT) / at["es"]
    order = np.argsort(-np.abs(parts.values), kind="stable")[:_LARGEST]
    shown = (i for i in order if by == s.COMPONENT or held_weights(risk)[i] != 0.0)
    return ", ".join(f"{parts[by].values[i]} {w.percent(float(parts[i]), 0)}" for i in shown)
