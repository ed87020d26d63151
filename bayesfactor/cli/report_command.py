"""`bayesfactor report`: from fits to one file that others can read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bayesfactor.cli.commands import FillZero, Seed
from bayesfactor.errors import BayesFactorError, MissingFileError, SchemaError

__all__ = ["report"]


def report(
    *,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FIT.nc [FIT2.nc ...]", help="A fit; several are shown side by side."),
    ],
    out: Annotated[Path, typer.Option(help="Where the report goes: .html or .md.")],
    weights: Annotated[
        str | None,
        typer.Option(help="As `risk` takes them: 'equal' where not given, or those of --risk."),
    ] = None,
    fill_zero: FillZero = False,
    levels: Annotated[
        str | None, typer.Option(help="As `risk` takes them: 0.95,0.99 where not given, or those of --risk.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(help="Periods ahead: 1 where not given, or those of --risk.")
    ] = None,
    drift: Annotated[
        str | None, typer.Option(help="Expected returns: zero where not given, or those of --risk.")
    ] = None,
    value: Annotated[float | None, typer.Option(help="Portfolio value; adds money to percentages.")] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Weights of a benchmark, given as --weights; adds active risk.")
    ] = None,
    risk: Annotated[
        Path | None, typer.Option(help="Risk that `risk` saved, instead of computing it; .nc.")
    ] = None,
    positions: Annotated[
        Path | None, typer.Option(help="CSV of perpetuals, options, greeks, repriced in full; needs --value.")
    ] = None,
    stress: Annotated[Path | None, typer.Option(help="Stress scenarios that `stress` saved; .nc.")] = None,
    backtest: Annotated[Path | None, typer.Option(help="A backtest that `backtest` saved; .nc.")] = None,
    sensitivity: Annotated[Path | None, typer.Option(help="Table of prior sensitivity: .csv or .nc.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder for every table, as CSV and, with pyarrow, Parquet.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    allow_unconverged: Annotated[
        bool, typer.Option("--allow-unconverged", help="Report a fit whose verdict is 'fail' too.")
    ] = False,
    seed: Seed = None,
) -> None:
    """Write one file: verdict, risk, contributions, exposures, loadings, checks; or two models compared."""
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import check_output, names_of, read_levels, read_weights
    from bayesfactor.report import report as write

    check_output(out, (".html", ".htm", ".md"))
    trees = [read_fit(p) for p in paths]
    names = names_of([str(t.attrs["model"]) for t in trees], paths)
    assets = [str(a) for a in trees[0]["observed_data"].to_dataset()["asset"].values]
    held = None
    if weights is not None or risk is None:
        held = read_weights(weights or "equal", assets, fill_zero=fill_zero)
    against = None if benchmark is None else read_weights(benchmark, assets, fill_zero=fill_zero)
    several = len(trees) > 1
    if several and (risk is not None or positions is not None):
        msg = "--risk and --positions are those of one fit; leave them out to compare several."
        raise BayesFactorError(msg)
    found, at = _dataset(risk), None if levels is None else read_levels(levels)
    if positions is not None:
        asked = {
            "levels": at,
            "horizon": horizon,
            "value": value,
            "drift": drift,
            "random_seed": seed,
        }
        options = {k: v for k, v in asked.items() if v is not None}
        found = _with_positions(trees[0], held, positions, found, options)
    done = write(
        dict(zip(names, trees, strict=True)) if several else trees[0],
        held,
        out,
        levels=at,
        horizon=horizon,
        drift=drift,
        value=value,
        title=title,
        benchmark=against,
        stress=_dataset(stress),
        backtest=_dataset(backtest),
        sensitivity=_table(sensitivity),
        risk=found,
        export=export,
        allow_unconverged=allow_unconverged,
        random_seed=seed,
    )
    typer.echo(str(done))


def _with_positions(tree: Any, held: Any, path: Path, risk: Any, options: dict[str, Any]) -> Any:
    """Return the risk of weights and positions."""
    from bayesfactor.positions import read_positions
    from bayesfactor.risk import decompose_risk

    if risk is not None:
        msg = "--risk holds its positions already: `bayesfactor risk --positions` put them there. Give one."
        raise BayesFactorError(msg)
    return decompose_risk(tree, held, positions=read_positions(path), repricing="full", **options)


def _dataset(path: Path | None) -> Any:
    """Return the Dataset of a file, None where none is named."""
    import xarray as xr

    from bayesfactor.keep import read

    if path is None:
        return None
    try:
        found, _ = read(path)
    except SchemaError as error:
        msg = f"{path.name} cannot be read as a Dataset: {error}"
        raise BayesFactorError(msg) from error
    if not isinstance(found, xr.Dataset):
        msg = f"{path.name} holds a fit, where risk, stress or a backtest is asked for. Check the option."
        raise BayesFactorError(msg)
    return found


def _table(path: Path | None) -> Any:
    """Return the table of a CSV, or the Dataset of another file."""
    from bayesfactor.keep import unescaped

    if path is None or path.suffix.lower() != ".csv":
        return _dataset(path)
    import pandas as pd

    try:
        return unescaped(pd.read_csv(path, index_col=0))
    except FileNotFoundError as error:
        msg = f"no file at {str(path)!r}."
        raise MissingFileError(msg) from error
    except (ValueError, OSError) as error:
        msg = f"{path.name} cannot be read as a table: {error}."
        raise BayesFactorError(msg) from error
