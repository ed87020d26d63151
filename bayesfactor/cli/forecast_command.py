"""`bayesfactor forecast`: what each asset may return over the next periods."""

from pathlib import Path
from typing import Annotated

import typer

from bayesfactor.cli.commands import Drift, Fit, Horizon, Seed

__all__ = ["forecast"]


def forecast(
    *,
    path: Fit,
    horizon: Horizon = 1,
    paths: Annotated[int, typer.Option(help="Futures per posterior draw.")] = 10,
    drift: Drift = "zero",
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="Save the fit with its simulated future: .nc or .zarr.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table by asset.")] = None,
) -> None:
    """Simulate the next periods of every asset: mean, volatility and quantiles of the summed return."""
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import TREE, check_output, write_csv
    from bayesfactor.cli.show import forecast_summary
    from bayesfactor.forecast import asset_returns
    from bayesfactor.forecast import forecast as simulate
    from bayesfactor.keep import save

    check_output(out, TREE)
    check_output(csv, (".csv",))
    tree = simulate(read_fit(path), horizon, paths=paths, drift=drift, random_seed=seed)
    table = forecast_summary(tree, asset_returns(tree))
    if out is not None:
        save(tree, out)
    if csv is not None:
        write_csv(table, csv)
