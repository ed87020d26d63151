"""`bayesfactor risk`: volatility, VaR and ES of a portfolio, and where they come from."""

from pathlib import Path
from typing import Annotated

import typer

from bayesfactor.cli.commands import Drift, FillZero, Fit, Horizon, Kappa, Levels, Seed, Weights

__all__ = ["risk"]


def risk(
    *,
    path: Fit,
    weights: Weights = "equal",
    fill_zero: FillZero = False,
    levels: Levels = "0.95,0.99",
    horizon: Horizon = 1,
    value: Annotated[
        float | None, typer.Option(help="Portfolio value; percentages without it. Positions need it.")
    ] = None,
    positions: Annotated[
        Path | None, typer.Option(help="CSV of perpetuals, options and greeks; --weights none: they alone.")
    ] = None,
    kappa: Kappa = "0",
    repricing: Annotated[str, typer.Option(help="Options by 'taylor' or in 'full'.")] = "taylor",
    compounding: Annotated[
        bool, typer.Option("--compounding", help="Hold positions over the horizon without rebalancing.")
    ] = False,
    drift: Drift = "zero",
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Save the risk Dataset: .nc or .zarr.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write contributions by asset and component.")] = None,
) -> None:
    """Decompose the risk of a portfolio over the next periods."""
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import TREE, check_output, read_kappa, read_levels, read_weights, write_csv
    from bayesfactor.cli.show import about, contribution_table, contributions, key_figures
    from bayesfactor.keep import save
    from bayesfactor.positions import read_positions
    from bayesfactor.risk import decompose_risk

    check_output(out, TREE)
    check_output(csv, (".csv",))
    beside = None if positions is None else read_positions(positions)
    tree = read_fit(path)
    alone = beside is not None and weights == "none"
    held = (
        None
        if alone
        else read_weights(
            weights, [str(a) for a in tree["observed_data"].to_dataset()["asset"].values], fill_zero=fill_zero
        )
    )
    found = decompose_risk(
        tree,
        held,
        levels=read_levels(levels),
        horizon=horizon,
        value=value,
        compounding=compounding,
        positions=beside,
        kappa=read_kappa(kappa),
        repricing=repricing,
        drift=drift,
        random_seed=seed,
    )
    about(tree, found)
    key_figures(found)
    contributions(found)
    if out is not None:
        save(found, out)
    if csv is not None:
        write_csv(contribution_table(found), csv)
