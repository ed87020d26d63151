"""`bayesfactor allocate`: from a fit to weights, how sure they are, and what it costs to trade there."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bayesfactor.cli.commands import Drift, Fit, Horizon, Seed

__all__ = ["allocate"]

_ENDS: Final = (0.05, 0.95)
_SHOWN: Final = 5e-5
"""Smaller weights are not listed: 0.00 %."""


def allocate(
    *,
    path: Fit,
    objective: Annotated[
        str, typer.Option(help="min_es, min_volatility, max_diversification or risk_budget.")
    ] = "min_es",
    level: Annotated[float, typer.Option(help="Confidence level of ES.")] = 0.975,
    horizon: Horizon = 1,
    budget: Annotated[
        str | None,
        typer.Option(help="Shares of the risk, such as market=0.6,specific=0.4, or a CSV: asset, weight."),
    ] = None,
    bounds: Annotated[str, typer.Option(help="Lowest and highest weight.")] = "0,1",
    previous: Annotated[
        str | None, typer.Option(help="What is held now, as --weights of `risk`; the others are not held.")
    ] = None,
    cost: Annotated[float, typer.Option(help="Cost per unit traded, such as 0.001.")] = 0.0,
    drift: Drift = "zero",
    scenarios: Annotated[int, typer.Option(help="Predictive returns behind ES.")] = 20_000,
    weight_draws: Annotated[
        int, typer.Option(help="Posterior draws whose own weights make the intervals; 0: none.")
    ] = 50,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Write weights here: .csv, as --weights reads it.")] = None,
) -> None:
    """Find weights: least ES or volatility, largest diversification, or a budget of risk."""
    from bayesfactor.allocate import allocate as solve
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import check_output, read_weights, write_csv
    from bayesfactor.cli.show import say_day

    check_output(out, (".csv",))
    pair, tree = _pair(bounds), read_fit(path)
    assets = [str(a) for a in tree["observed_data"].to_dataset()["asset"].values]
    held = None if previous is None else read_weights(previous, assets, fill_zero=True)
    shares = None if budget is None else {str(k): v for k, v in read_weights(budget, assets).items()}
    found = solve(
        tree,
        objective.replace("-", "_"),
        level=level,
        horizon=horizon,
        budget=shares,
        bounds=pair,
        previous_weights=held,
        transaction_costs=cost,
        drift=drift,
        scenarios=scenarios,
        weight_draws=weight_draws,
        random_seed=seed,
    )
    table = _table(found)
    _show(found, table, traded=held is not None)
    say_day(found)
    if out is not None:
        write_csv(table, out)
        typer.echo(str(out))


def _pair(text: str) -> tuple[float, float]:
    """Return the two numbers of `0,0.2`."""
    from bayesfactor.errors import WeightsError

    try:
        low, high = (float(x) for x in text.split(","))
    except ValueError as error:
        msg = f"--bounds are two numbers with a comma, such as 0,0.2; got {text!r}."
        raise WeightsError(msg) from error
    return low, high


def _table(found: Any) -> Any:
    """Return weight, its interval, what was held and the share of the risk (asset)."""
    table = found["weights"].to_dataframe(name="weight")[["weight"]]
    if "weights_posterior" in found:
        ends = found["weights_posterior"].quantile((0.5, *_ENDS), ("chain", "draw")).values
        table["by_draw"], table["low"], table["high"] = ends
    table["previous"] = found["previous_weight"].values
    table["risk_share"] = found["risk_share"].sum("component").values
    return table


def _show(found: Any, table: Any, *, traded: bool) -> None:
    from bayesfactor.cli.show import show_table

    ahead = f"{found.attrs['horizon']} period" + ("s" if found.attrs["horizon"] > 1 else "")
    figures = [
        (name, f"{100 * float(found[key]):.2f}")
        for name, key in (
            ("volatility", "volatility"),
            (f"ES {found.attrs['level']:g}", "es"),
            ("expected return", "expected_return"),
            ("turnover", "turnover"),
            ("cost", "cost"),
        )
        if traded or key not in ("turnover", "cost")
    ]
    show_table([f"{found.attrs['objective']}, {ahead}", "% of value"], figures)
    parts = found["risk_share"].sum("asset").to_series()
    show_table(["component", "% of variance"], [(k, f"{100 * v + 0.0:.1f}") for k, v in parts.items()])
    heads = ["asset", "% held", *(["by draw", "90 % interval"] if "low" in table else []), "% of variance"]
    heads += ["% now"] if traded else []
    rows = []
    for name, row in table.sort_values("weight", ascending=False, kind="stable").iterrows():
        if max(abs(row["weight"]), abs(row["previous"])) < _SHOWN:
            continue
        cells = [str(name), f"{100 * row['weight'] + 0.0:.2f}"]
        if "low" in table:
            cells.append(f"{100 * row['by_draw'] + 0.0:.2f}")
            cells.append(f"{100 * row['low'] + 0.0:.1f} to {100 * row['high'] + 0.0:.1f}")
        cells.append(f"{100 * row['risk_share'] + 0.0:.1f}")
        rows.append(cells + ([f"{100 * row['previous']:.2f}"] if traded else []))
    show_table(heads, rows)
    typer.echo(f"\n{len(table) - len(rows)} of {len(table)} assets are not held.")
