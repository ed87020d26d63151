"""`bayesfactor sensitivity`: whether the prior or the data set the risk of a portfolio."""

from pathlib import Path
from typing import Annotated

import typer

from bayesfactor.cli.commands import Drift, FillZero, Fit, Horizon, Levels, Seed, Weights

__all__ = ["sensitivity"]


def sensitivity(
    *,
    tree: Fit,
    weights: Weights,
    fill_zero: FillZero = False,
    levels: Levels = "0.95,0.99",
    horizon: Horizon = 1,
    priors: Annotated[
        str | None, typer.Option(help="Variables of log_prior, with commas; those on top of the hierarchy.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Posterior draws used.")] = 1000,
    drift: Drift = "zero",
    out: Annotated[Path | None, typer.Option(help="Save the table: .csv.")] = None,
    seed: Seed = None,
) -> None:
    """Say whether the prior or the data set the risk of a portfolio."""
    from bayesfactor import schema as s
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import check_output, read_levels, read_weights, write_csv
    from bayesfactor.cli.show import show_table
    from bayesfactor.sensitivity import prior_sensitivity

    check_output(out, (".csv",))
    at = read_levels(levels)
    fit = read_fit(tree)
    assets = [str(a) for a in fit[s.OBSERVED_DATA].to_dataset()[s.ASSET].values]
    table = prior_sensitivity(
        fit,
        read_weights(weights, assets, fill_zero=fill_zero),
        levels=at,
        horizon=horizon,
        priors=None if priors is None else [p.strip() for p in priors.split(",")],
        draws=draws,
        drift=drift,
        random_seed=seed,
    )
    heads = ["risk number", "mean", "sd", "prior", "likelihood", "diagnosis", "strongest prior"]
    rows = [
        (
            name,
            *(f"{row[k]:.4f}" for k in ("mean", "sd")),
            *(f"{row[k]:.3f}" for k in ("prior", "likelihood")),
            row["diagnosis"],
            f"{row['strongest_prior']} ({row['strongest_prior_sensitivity']:.3f})",
        )
        for name, row in table.iterrows()
    ]
    show_table(heads, rows, title="Sensitivity to the prior and to the data; above 0.05 is sensitive")
    if out is not None:
        write_csv(table, out)
