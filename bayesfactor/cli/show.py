"""How results look in a terminal: tables of plain text, whole even where nothing is a terminal."""

import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from rich.console import Console
from rich.table import Table

from bayesfactor import schema as s
from bayesfactor.laws import follows_days
from bayesfactor.periods import stamp_text, step_in, the_next, year_in
from bayesfactor.words import typical_day

__all__ = [
    "GIVEN_HEADS",
    "about",
    "backtest_losses",
    "comparison",
    "console",
    "contribution_table",
    "contributions",
    "coverage",
    "factor_summary",
    "forecast_summary",
    "given",
    "key_figures",
    "say_day",
    "shares",
    "show_table",
    "worst_parameters",
]

_WIDE = 200
_TOP_ASSETS = 10
_ENDS = (0.05, 0.95)
_ABOUT = ("window", "as of", "verdict", "forecast")
GIVEN_HEADS = ("parameters known", "90 % interval")
"""Over a number given the parameters and its interval: the two are of one quantity."""


def console() -> Console:
    """Return a console that prints names as they are and cuts nothing off in a pipe or a file."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(width=width, markup=False, highlight=False, emoji=False)


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table: words to the left, numbers to the right."""
    rows = [list(map(str, row)) for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, head in enumerate(heads):
        numeric = i > 0 and all(_is_number(row[i]) for row in rows)
        table.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    out = console()
    out.print()
    out.print(table)


def _is_number(text: str) -> bool:
    return not text or text[0].isdigit() or text[0] in "-n"


def factor_summary(factors: xr.Dataset, collinearity: xr.Dataset) -> None:
    """Print each factor's family, first day, volatility and variance inflation."""
    table = factors[s.FACTOR_RETURNS].to_pandas()
    families = factors[s.FAMILY].values
    rows = [
        (str(n), str(f), stamp_text(column.first_valid_index()), f"{column.std():.4g}", f"{v:.1f}")
        for (n, column), f, v in zip(table.items(), families, collinearity["vif"].values, strict=True)
    ]
    show_table(["factor", "family", "from", "volatility", "VIF"], rows)
    console().print(f"Condition number {collinearity.attrs['condition_number']:.1f}")


def forecast_summary(tree: xr.DataTree, returns: xr.DataArray) -> pd.DataFrame:
    """Print, and return, mean, volatility and quantiles of each asset's return summed over the horizon."""
    total = returns.sum(s.HORIZON)
    every = (s.CHAIN, s.DRAW, s.PATH)
    columns = {"mean": total.mean(every), "volatility": total.std(every)}
    columns |= {f"{q:.0%}": total.quantile(q, every, skipna=False) for q in (0.01, 0.05, 0.5, 0.95, 0.99)}
    table = pd.DataFrame({name: c.to_series() for name, c in columns.items()})
    data = tree[s.OBSERVED_DATA].to_dataset()
    last = stamp_text(data[s.TIME].values[-1])
    ahead = the_next(returns.sizes[s.HORIZON], year_in(data))
    rows = [(str(a), *(f"{x:.2%}" for x in r)) for a, r in zip(table.index, table.to_numpy(), strict=True)]
    show_table([s.ASSET, *columns], rows, title=f"Return over {ahead} after {last}")
    console().print(f"Expected returns: {tree[s.PREDICTIONS].attrs[s.DRIFT]} (--drift).")
    say_day(data.assign_attrs(chained=follows_days(tree)))
    return table


def worst_parameters(diagnosis: xr.Dataset, rows: int) -> None:
    """Print the parameters that converged worst."""
    names = ["r_hat", "ess_bulk", "ess_tail"]
    table = diagnosis[names].to_dataframe()[names]
    table = table.sort_values(["ess_bulk", "r_hat"], ascending=[True, False]).head(rows)
    cells = (
        [str(name), f"{r.r_hat:.3f}", f"{r.ess_bulk:.0f}", f"{r.ess_tail:.0f}"]
        for name, r in table.iterrows()
    )
    show_table(["parameter", "R-hat", "bulk ESS", "tail ESS"], cells, title="Smallest effective sample sizes")


def about(tree: xr.DataTree, risk: xr.Dataset) -> None:
    """Print what the numbers that follow are of: model, window, as-of date, what is held, verdict."""
    from bayesfactor.info import Info, holding_words, info

    fit = info(tree)
    drift = (("drift", str(risk.attrs["drift"])),) if risk.attrs.get("drift") else ()
    kept = [fact for fact in fit.facts if fact[0] in _ABOUT]
    console().print(str(Info(fit.title, (*kept, ("held", holding_words(risk)), *drift))), soft_wrap=True)


def say_day(found: xr.Dataset) -> None:
    """Print under numbers of a model without volatility dynamics that they are of a typical day."""
    if not found.attrs["chained"]:
        console().print(f"\n{typical_day(year_in(found))}", soft_wrap=True)


def key_figures(risk: xr.Dataset) -> None:
    """Print volatility, VaR and ES with Monte-Carlo errors, and the same given the parameters."""
    value, periods = float(risk.attrs["value"]), int(risk.attrs["horizon"])
    form = _percent if value == 1.0 else _money
    year = year_in(risk)
    years = (year / periods) ** 0.5
    volatility, draws = risk["volatility"], risk["volatility_posterior"]
    rows = [
        _figure("volatility, annualised", volatility * years, draws * years, form),
        _figure("volatility", volatility, draws, form),
    ]
    if "volatility_central" in risk:
        rows.append(_figure("volatility of the middle of the law", risk["volatility_central"], None, form))
    for key, name in (("var", "VaR"), ("es", "ES")):
        for i, level in enumerate(risk[s.LEVEL].values):
            at = risk.isel({s.LEVEL: i})
            row = _figure(f"{name} {level:g}", at[key], at.get(f"{key}_posterior"), form)
            rows.append([*row, form(float(at[f"{key}_mcse"]))])
    unit = "% of value" if value == 1.0 else f"money, of {_money(value)}"
    ahead = the_next(periods, year)
    ahead += ", compounded" if risk.attrs.get("compounding") else ""
    heads = ["", "", *GIVEN_HEADS, "MC error"]
    show_table(heads, [[*r, ""][: len(heads)] for r in rows], title=f"Risk over {ahead}, {unit}")


def _figure(
    name: str, point: xr.DataArray, draws: xr.DataArray | None, form: Callable[[float], str]
) -> list[str]:
    return [name, form(float(point)), *given(draws, form)]


def given(draws: xr.DataArray | None, form: Callable[[float], str]) -> tuple[str, str]:
    """Return the middle of a posterior and its 90 % interval, nothing where there is none.

    A number that averages over the parameters is another quantity than the number given them, whose interval
    this is: it may lie outside.
    """
    if draws is None or bool(draws.isnull().all()):  # no closed form, no interval
        return "", ""
    middle, low, high = np.quantile(draws.values, (0.5, *_ENDS))
    return form(middle), f"{form(low)} to {form(high)}"


def _percent(x: float) -> str:
    return f"{100 * x:.2f}"


def _money(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:,.2f}"


def contributions(risk: xr.Dataset) -> None:
    """Print who contributes: by component, family, group and asset."""
    level = float(risk[s.LEVEL].values.max())
    heads = [f"% of ES {level:g}", "% of volatility"]
    for by in (s.COMPONENT, s.FAMILY, s.GROUP):
        rows = [[str(n), *map(_share, r)] for n, r in shares(risk, by, level).iterrows()]
        show_table([by, *heads], rows)
    table = shares(risk, s.ASSET, level)
    positions = "delta_weight" in risk.coords
    weight = risk["delta_weight" if positions else "weight"]
    held = dict(zip(risk[s.ASSET].values.astype(str), weight.values, strict=True))
    table = table[[held[str(n)] != 0.0 or row["es"] != 0.0 for n, row in table.iterrows()]]
    rows = [[str(n), _percent(held[str(n)]), *map(_share, r)] for n, r in table.head(_TOP_ASSETS).iterrows()]
    more = len(table) - len(rows)
    show_table([s.ASSET, "% held, by delta" if positions else "% held", *heads], rows)
    if more:
        console().print(f"and {more} more")


def _share(x: float) -> str:
    return f"{round(100 * x, 1) + 0.0:.1f}"


def shares(risk: xr.Dataset, by: str, level: float) -> pd.DataFrame:
    """Return shares of ES and volatility by a dim or a coord, the largest (of either sign) first."""
    parts = {
        "es": risk["es_contribution"].sel({s.LEVEL: level}) / risk["es"].sel({s.LEVEL: level}),
        "volatility": risk["volatility_contribution"] / risk["volatility"],
    }
    along = s.ASSET if by in (s.ASSET, s.GROUP) else s.COMPONENT
    other = s.COMPONENT if along == s.ASSET else s.ASSET
    columns = {}
    for name, part in parts.items():
        total = part.sum(other)
        columns[name] = (total if by == along else total.groupby(by).sum()).to_series()
    return pd.DataFrame(columns).sort_values("es", ascending=False, key=abs)


def contribution_table(risk: xr.Dataset) -> pd.DataFrame:
    """Return the contributions by level, asset and component as one long table."""
    names = ["es_contribution", "var_contribution", "volatility_contribution"]
    return risk[names].to_dataframe(dim_order=[s.LEVEL, s.ASSET, s.COMPONENT])


def comparison(table: pd.DataFrame) -> None:
    """Print the ranking of `bf.compare`."""
    heads = ["model", "elpd", "se", "difference", "its se", "weight", "Pareto k"]
    rows = [
        [
            str(name),
            f"{r.elpd:.1f}",
            f"{r.se:.1f}",
            f"{r.elpd_diff:.1f}",
            f"{r.dse:.1f}",
            f"{r.weight:.2f}",
            "too high" if r.warning else "fine",
        ]
        for name, r in table.iterrows()
    ]
    a = table.attrs
    title = f"Leave-one-out by {a['by']}, {a['n_observations']} points, given {a['given']}, in {a['unit']}"
    show_table(heads, rows, title=title)


def backtest_losses(scores: xr.Dataset, mean: dict[str, float]) -> None:
    """Print mean FZ0, portfolios by models, for scores at one level; a star is in the confidence set."""
    models = [str(m) for m in scores["model"].values]
    inside = scores.get("in_confidence_set", xr.zeros_like(scores["fz0"], dtype=bool))
    rows = [
        [str(p), *(f"{v:.3f}{'*' if i else ' '}" for v, i in zip(loss, at, strict=True))]
        for p, loss, at in zip(
            scores["portfolio"].values, scores["fz0"].values.T, inside.values.T, strict=True
        )
    ]
    rows.append(["mean", *(f"{mean[m]:.3f} " for m in models)])
    show_table(["portfolio", *models], rows, title=f"Loss (FZ0) at {float(scores[s.LEVEL]):g}")
    if "in_confidence_set" in scores:
        console().print(f"* in the {100 * scores.attrs['confidence']:g} % confidence set of its row")


def coverage(scores: xr.Dataset, rejected: xr.Dataset, tests: dict[str, str]) -> None:
    """Print exceedances by model over all portfolios, and in how many of those each test rejects."""
    rows = []
    for name in scores["model"].values:
        one, no = scores.sel(model=name), rejected.sel(model=name)
        known = np.isfinite(one["hits"].values)
        days, hits = float(one["days"].values[known].sum()), float(one["hits"].sum())
        rate = _percent(hits / days) if days else "n/a"
        of = [f"{int(no[t].sum())} of {int(np.isfinite(one[t]).sum())}" for t in tests]
        rows.append([str(name), f"{days:.0f}", f"{hits:.0f}", rate, *of])
    level = float(scores[s.LEVEL])
    step = step_in(scores)
    heads = [
        "model",
        f"{step}s",
        "exceedances",
        f"% of {step}s",
        *(t.removesuffix(" p") for t in tests.values()),
    ]
    title = (
        f"Coverage of VaR {level:g}: {100 * (1 - level):g} % is right; portfolios rejected at 5 %, after Holm"
    )
    show_table(heads, rows, title=title)
