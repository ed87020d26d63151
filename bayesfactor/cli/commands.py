"""The commands. Verbs are imported where they are called, so that `--help` is instant."""

import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from bayesfactor.errors import BayesFactorError
from bayesfactor.interrupts import heeded

__all__ = ["app", "main"]

USAGE: Final = 2
"""Exit status of an error that a user can mend, as that of a wrong option."""
FAILED: Final = 3
"""Exit status of `diagnose` for a fit whose draws cannot be trusted."""
INTERRUPTED: Final = 130


class _Commands(TyperGroup):
    """Turns errors of this package into one sentence, and warnings into one line."""

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line
            try:
                with heeded():
                    return super().invoke(ctx)
            except BayesFactorError as error:
                typer.echo(f"Error: {error}", err=True)
                raise typer.Exit(USAGE) from error
            except KeyboardInterrupt as error:
                typer.echo("Interrupted.", err=True)
                raise typer.Exit(INTERRUPTED) from error


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    typer.echo(f"{category.__name__}: {message}", err=True)


app = typer.Typer(
    name="bayesfactor",
    cls=_Commands,
    help="Bayesian factor models of crypto returns: loadings, uncertainty, and where the risk comes from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Fit = Annotated[Path, typer.Argument(metavar="FIT.nc", help="A fit that `bayesfactor fit` or bf.save wrote.")]
Weights = Annotated[
    str,
    typer.Option(
        help="'equal', a CSV with the columns asset and weight, or pairs such as BTC=0.6,ETH=0.4.",
    ),
]
FillZero = Annotated[bool, typer.Option("--fill-zero", help="Give 0 to the assets that are not named.")]
Levels = Annotated[str, typer.Option(help="Confidence levels, with commas.")]
Horizon = Annotated[int, typer.Option(help="Periods ahead.")]
Assets = Annotated[str | None, typer.Option(help="Assets to keep, with commas; all by default.")]
Drop = Annotated[
    str | None,
    typer.Option(help="Assets to leave out, with commas; 'dead' stands for those without a return."),
]
Drift = Annotated[str, typer.Option(help="Expected returns: 'zero', 'posterior' or 'prior'.")]
Kappa = Annotated[
    str, typer.Option(help="Volatility s moves to s (1 - kappa r): a number, or BTC=1.0,ETH=1.5.")
]
Seed = Annotated[int | None, typer.Option(help="Makes the numbers reproducible.")]


def main() -> None:
    """Run the command line."""
    app()


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the value of the option
    if wanted:
        typer.echo(f"bayesfactor {version('bayesfactor')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def models(name: Annotated[str | None, typer.Argument(help="Show the card of this model.")] = None) -> None:
    """List the registered models, or show one."""
    from bayesfactor.cli.show import show_table
    from bayesfactor.registry import get_model, list_models

    if name is None:
        show_table(["name", "title"], [(n, get_model(n).title) for n in list_models()])
        return
    card = get_model(name)
    typer.echo(f"{card.title}\n\n{card.why}\n")
    typer.echo("\n".join(f"- {r}" for r in card.references) + "\n")
    typer.echo(card.to_toml().rstrip())


@app.command()
def factors(
    *,
    prices: Annotated[
        Path | None, typer.Argument(help="Prices as for `fit`; without any, the catalogue is listed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where they go: .nc (for `fit`), .parquet or .csv.")
    ] = None,
    market_cap: Annotated[Path | None, typer.Option(help="Market capitalisations, as prices.")] = None,
    volume: Annotated[Path | None, typer.Option(help="Traded value, as prices.")] = None,
    sectors: Annotated[
        Path | None, typer.Option("--sectors", "--groups", help="Table of asset and sector.")
    ] = None,
    drivers: Annotated[Path | None, typer.Option(help="Levels of drivers by day.")] = None,
    spec: Annotated[Path | None, typer.Option(help="TOML that says how drivers become innovations.")] = None,
    which: Annotated[str | None, typer.Option(help="Names of the catalogue, with commas.")] = None,
    weighting: Annotated[str, typer.Option(help="tercile or rank.")] = "tercile",
    rebalance: Annotated[int, typer.Option(help="Periods between formations.")] = 7,
    start: Annotated[str | None, typer.Option(help="First date written; earlier data are used.")] = None,
    end: Annotated[str | None, typer.Option(help="Last date written, all of its day.")] = None,
    assets: Assets = None,
    drop: Drop = None,
    orthogonal: Annotated[
        bool, typer.Option("--orthogonal", help="Each family orthogonal to those before it.")
    ] = False,
) -> None:
    """Build factors from prices, capitalisations, volumes, sectors and drivers."""
    from bayesfactor.cli.inputs import FACTORS, between, check_output, read_names, write_factors
    from bayesfactor.cli.show import factor_summary, show_table
    from bayesfactor.factors import (
        build_factors,
        check_collinearity,
        driver_innovations,
        list_factors,
        merge_factors,
        orthogonalise,
    )

    if prices is None and (out is not None or drivers is not None):
        msg = "factors are built from a table of prices, the first argument; none was given."
        raise BayesFactorError(msg)
    if spec is not None and drivers is None:
        msg = "--spec says how drivers become innovations; give the drivers too, by --drivers."
        raise BayesFactorError(msg)
    if prices is None:
        rows = [(str(n), r["family"], r["needs"], r["what"]) for n, r in list_factors().iterrows()]
        show_table(["name", "family", "needs", "what"], rows)
        return
    if out is None:
        msg = "--out says where the factors go, such as --out factors.nc."
        raise BayesFactorError(msg)
    check_output(out, FACTORS)
    built = build_factors(
        prices,
        market_cap=market_cap,
        volume=volume,
        groups=sectors,
        which=read_names(which),
        weighting=weighting,
        rebalance=rebalance,
        start=start,
        end=end,
        assets=read_names(assets),
        drop=read_names(drop),
    )
    if drivers is not None:
        built = merge_factors(built, driver_innovations(drivers, spec))
    built = between(built, start, end)
    if orthogonal:
        built = orthogonalise(built)
    factor_summary(built, check_collinearity(built))
    write_factors(built, out)
    typer.echo(f"{out}: {built.sizes['factor']} factors, {built.sizes['time']} periods")


@app.command()
def fit(
    *,
    prices: Annotated[Path, typer.Argument(help="CSV or Parquet: a date column, and one column per asset.")],
    out: Annotated[Path, typer.Option(help="Where the fit goes: .nc or .zarr.")],
    model: Annotated[str, typer.Option(help="A name of `bayesfactor models`, or a card.")] = "hierarchical-t",
    n_latent: Annotated[int | None, typer.Option(help="Latent factors, where the model has any.")] = None,
    groups: Annotated[
        Path | None, typer.Option("--groups", "--sectors", help="Table of asset and group.")
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="Table of factor returns by date, or .nc of `factors`.")
    ] = None,
    returns: Annotated[bool, typer.Option("--returns", help="The table holds returns.")] = False,
    start: Annotated[str | None, typer.Option(help="First date used.")] = None,
    end: Annotated[str | None, typer.Option(help="Last date used, all of its day.")] = None,
    assets: Assets = None,
    drop: Drop = None,
    draws: Annotated[int | None, typer.Option(help="Kept draws per chain.")] = None,
    tune: Annotated[int | None, typer.Option(help="Warm-up draws per chain.")] = None,
    chains: Annotated[int | None, typer.Option(help="Chains.")] = None,
    cores: Annotated[int | None, typer.Option(help="Chains sampled at the same time.")] = None,
    target_accept: Annotated[float | None, typer.Option(help="Target acceptance of NUTS.")] = None,
    method: Annotated[str, typer.Option(help="nuts; pathfinder for a first look; numpyro for JAX.")] = "nuts",
    periods_per_year: Annotated[
        float | None, typer.Option(help="Where it is not what the calendar says: 365.25 for days.")
    ] = None,
    seed: Seed = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary of the panel.")] = False,
) -> None:
    """Fit a model to a table of prices, save it, and say whether the draws can be trusted."""
    began = time.perf_counter()
    from bayesfactor.cli.inputs import TREE, check_output, read_names
    from bayesfactor.diagnose import diagnose as judge
    from bayesfactor.diagnose import verdict_lines
    from bayesfactor.fit import fit as sample
    from bayesfactor.keep import save
    from bayesfactor.panel import panel_from_prices, panel_from_returns
    from bayesfactor.periods import count_periods
    from bayesfactor.registry import get_model

    check_output(out, TREE)
    chosen = get_model(model) if n_latent is None else get_model(model, n_latent=n_latent)
    make = panel_from_returns if returns else panel_from_prices
    panel = make(
        prices,
        factors=factors,
        groups=groups,
        start=start,
        end=end,
        assets=read_names(assets),
        drop=read_names(drop),
        periods_per_year=periods_per_year,
    )
    if not quiet:
        sizes = panel.sizes
        first, last = panel["time"].values[[0, -1]].astype("datetime64[m]").astype(str)
        names = ", ".join(panel["factor"].values.astype(str)) or "none"
        typer.echo(
            f"{sizes['asset']} assets, {count_periods(sizes['time'], panel.attrs['periods_per_year'])} from "
            f"{first} to {last}, factors: {names}"
        )
        if "skipped" in panel.attrs:
            n = count_periods(panel.attrs["skipped"], panel.attrs["periods_per_year"])
            typer.echo(f"{n} without any {'return' if returns else 'price'} skipped")
    tree = sample(
        chosen,
        panel,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        target_accept=target_accept,
        random_seed=seed,
        method=method,
        progressbar=not quiet,
    )
    save(tree, out)
    _say(verdict_lines(judge(tree)))
    typer.echo(f"{out}: {chosen.name}, {time.perf_counter() - began:.1f} s")


@app.command()
def diagnose(
    *,
    path: Fit,
    rows: Annotated[int, typer.Option(help="How many parameters to show.", min=0)] = 10,
    adequacy: Annotated[bool, typer.Option(help="Compare the data with replicates.")] = True,
) -> None:
    """Say whether the draws can be trusted (exit status 3 if not) and whether the model fits the data."""
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.show import worst_parameters
    from bayesfactor.diagnose import diagnose as judge
    from bayesfactor.diagnose import verdict_lines

    diagnosis = judge(read_fit(path), check_adequacy=adequacy)
    _say(verdict_lines(diagnosis))
    if rows:
        worst_parameters(diagnosis, rows)
    if diagnosis.attrs["verdict"] == "fail":
        raise typer.Exit(FAILED)


@app.command()
def compare(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FIT.nc FIT2.nc ...", help="Fits of the same returns.")
    ],
    by: Annotated[str, typer.Option(help="What is left out: 'time' or 'observation'.")] = "time",
    given: Annotated[
        str | None, typer.Option(help="'factors' (who explains) or 'nothing' (who foresees).")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table here too.")] = None,
) -> None:
    """Rank fits of the same returns by leave-one-out predictive density."""
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import check_output, names_of, write_csv
    from bayesfactor.cli.show import comparison
    from bayesfactor.compare import compare as rank

    check_output(csv, (".csv",))
    trees = [read_fit(p) for p in paths]
    names = names_of([str(t.attrs["model"]) for t in trees], paths)
    named = dict(zip(names, trees, strict=True))
    table = rank(named, by=by, given=given, progressbar=sys.stdout.isatty())
    comparison(table)
    if csv is not None:
        write_csv(table, csv)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("bayesfactor-demo"),
    seed: Annotated[int, typer.Option(help="Another seed is another market.")] = 1,
) -> None:
    """Go the whole way on a simulated market: simulate, fit, diagnose, compare, decompose, report."""
    began = time.perf_counter()
    from bayesfactor.cli.show import comparison, contributions, key_figures, show_table
    from bayesfactor.demo import run_demo
    from bayesfactor.diagnose import verdict_lines

    done = run_demo(out, random_seed=seed, say=lambda line: typer.echo(line, err=True))
    for name, diagnosis in done.diagnoses.items():
        typer.echo(f"\n{name}")
        _say(verdict_lines(diagnosis))
    typer.echo()
    comparison(done.comparison)
    key_figures(done.risk)
    contributions(done.risk)
    show_table(["step", "seconds"], [(k, f"{v:.1f}") for k, v in done.seconds.items()], title="Time")
    typer.echo(f"\n{time.perf_counter() - began:.0f} s in all. Open {done.folder / 'report.html'}.")


def _say(lines: list[str]) -> None:
    typer.echo("\n".join(lines))
