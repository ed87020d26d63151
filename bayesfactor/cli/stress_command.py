"""`bayesfactor stress`: what a portfolio loses in scenarios, from a fit and what is typed."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bayesfactor.cli.commands import Drift, FillZero, Fit, Kappa, Levels, Seed, Weights
from bayesfactor.errors import RiskError

__all__ = ["stress"]

_MOVES: Final = "shocks are pairs such as market=-0.2,size=0.05, each factor once"


def stress(
    *,
    path: Fit,
    weights: Weights = "equal",
    fill_zero: FillZero = False,
    scenarios: Annotated[Path | None, typer.Option(help="TOML file of scenarios.")] = None,
    episodes: Annotated[
        str | None, typer.Option(help="Names with commas, such as covid-2020,ftx-2022; 'all', or 'list'.")
    ] = None,
    shock: Annotated[
        list[str] | None, typer.Option(help="Factor moves, such as market=-0.2; again for another scenario.")
    ] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Other factors stand at zero in shocks.")] = False,
    correlation: Annotated[float | None, typer.Option(help="Regime: share of the way to one.")] = None,
    volatility: Annotated[float | None, typer.Option(help="Regime: multiple of all volatilities.")] = None,
    nu: Annotated[float | None, typer.Option(help="Regime: degrees of freedom at most.")] = None,
    lose: Annotated[
        float | None, typer.Option(help="Reverse stress: the most plausible move that loses this fraction.")
    ] = None,
    volume: Annotated[
        Path | None, typer.Option(help="Liquidation: CSV of asset and volume, money traded per period.")
    ] = None,
    participation: Annotated[float, typer.Option(help="Liquidation: share of the volume.")] = 0.1,
    history: Annotated[
        Path | None, typer.Option(help="Prices over the episodes; the data of the fit where not given.")
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="Factor returns of the history, a table or .nc of `factors`.")
    ] = None,
    positions: Annotated[
        Path | None, typer.Option(help="CSV of perpetuals, options, greeks; needs --value.")
    ] = None,
    kappa: Kappa = "0",
    repricing: Annotated[str, typer.Option(help="Options by 'taylor' or in 'full'.")] = "full",
    levels: Levels = "0.95,0.99",
    value: Annotated[float | None, typer.Option(help="Portfolio value; percentages where not given.")] = None,
    paths: Annotated[
        int | None, typer.Option(help="Futures per posterior draw; enough where not given.")
    ] = None,
    drift: Drift = "zero",
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Save the Dataset: .nc or .zarr.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write contributions by scenario, asset, component.")
    ] = None,
) -> None:
    """Say what a portfolio loses in episodes, shocks, other regimes and sales."""
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import TREE, check_output, read_kappa, read_levels, read_weights, write_csv
    from bayesfactor.cli.show import say_day, show_table
    from bayesfactor.keep import save
    from bayesfactor.panel import panel_from_prices
    from bayesfactor.positions import read_positions
    from bayesfactor.stress import list_episodes
    from bayesfactor.stress import stress as run

    if episodes == "list":
        table = list_episodes()
        days = [table[side].dt.strftime("%Y-%m-%d") for side in ("start", "end")]
        rows = zip(table.index.astype(str), *days, table["why"], strict=True)
        show_table(["episode", "first day", "last day", "why"], rows)
        return
    check_output(out, TREE)
    check_output(csv, (".csv",))
    asked = _scenarios(scenarios, episodes, shock, frozen=frozen)
    asked += _more(correlation, volatility, nu, lose, volume, participation)
    _check(asked)
    tree: Any = read_fit(path)
    held = read_weights(weights, [str(a) for a in tree["observed_data"]["asset"].values], fill_zero=fill_zero)
    past = None if history is None else panel_from_prices(history, factors=factors, drop="dead")
    found = run(
        tree,
        held,
        dict(asked),
        history=past,
        levels=read_levels(levels),
        value=value,
        positions=None if positions is None else read_positions(positions),
        kappa=read_kappa(kappa),
        repricing=repricing,
        paths=paths,
        drift=drift,
        random_seed=seed,
    )
    _show(found)
    say_day(found)
    if out is not None:
        save(found, out)
    if csv is not None:
        write_csv(found["loss_contribution"].to_dataframe()[["loss_contribution"]], csv)


def _scenarios(
    path: Path | None, episodes: str | None, shocks: list[str] | None, *, frozen: bool
) -> list[tuple[str, Any]]:
    """Return scenarios of the file, the episodes and the shocks with their names."""
    from bayesfactor.cli.inputs import read_pairs
    from bayesfactor.stress import Episode, FactorShock, list_episodes
    from bayesfactor.stress.reading import read_scenarios

    asked: list[tuple[str, Any]] = [] if path is None else list(read_scenarios(path).items())
    names = list(list_episodes().index) if episodes == "all" else (episodes or "").split(",")
    asked += [(str(n).strip(), Episode(str(n).strip())) for n in names if str(n).strip()]
    made = [
        FactorShock(read_pairs(x, _MOVES), others="frozen" if frozen else "conditional") for x in shocks or []
    ]
    return asked + [(one.label, one) for one in made]


def _more(
    correlation: float | None,
    volatility: float | None,
    nu: float | None,
    lose: float | None,
    volume: Path | None,
    participation: float,
) -> list[tuple[str, Any]]:
    """Return the regime, the reverse stress and the sale that options ask for."""
    from bayesfactor.stress import Liquidation, RegimeShift, ReverseStress
    from bayesfactor.stress.reading import read_volume

    made: list[Any] = []
    if (correlation, volatility, nu) != (None, None, None):
        made.append(RegimeShift(correlation or 0.0, 1.0 if volatility is None else volatility, nu))
    if lose is not None:
        made.append(ReverseStress(lose))
    if volume is not None:
        made.append(Liquidation(read_volume(volume), participation))
    return [(one.label, one) for one in made]


def _check(asked: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in asked]
    if not names:
        msg = "no scenario: give --scenarios, --episodes, --shock, --volatility, --lose or --volume."
        raise RiskError(msg)
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = f"each scenario has its own name; {', '.join(twice)} stands twice. Rename it in the file."
        raise RiskError(msg)


def _show(found: Any) -> None:
    """Print one row for each scenario, and the sentence behind each name."""
    from bayesfactor.cli.show import console, show_table

    money = float(found.attrs["value"]) != 1.0
    level = float(found["level"].max())
    low, high = found["loss_posterior"].quantile([0.05, 0.95], ("chain", "draw")).values
    rows = []
    for i, name in enumerate(found["scenario"].values):
        at = found.isel(scenario=i)
        parts = at["loss_contribution"].sum("asset")
        largest = str(parts["component"].values[int(abs(parts).argmax("component"))])
        chance = float(at["plausibility"])
        rows.append(
            [
                str(name),
                str(int(at["horizon"])),
                _number(float(at["loss"]), money=money),
                f"{_number(low[i], money=money)} to {_number(high[i], money=money)}",
                _number(float(at["es"].sel(level=level)), money=money),
                "n/a" if chance != chance else f"{chance:.2g}",
                largest,
            ]
        )
    unit = "money" if money else "% of value"
    heads = ["scenario", "periods", "loss", "90 % interval", f"ES {level:g}", "plausibility", "most through"]
    show_table(heads, rows, title=f"Stress, {unit} (positive = loss)")
    out = console()
    for name, note in zip(found["scenario"].values, found["note"].values, strict=True):
        out.print(f"{name}: {note}")


def _number(x: float, *, money: bool) -> str:
    return f"{x:,.0f}" if money else f"{100 * x:.2f}"
