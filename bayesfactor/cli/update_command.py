"""`bayesfactor update`: new days through a saved fit, without fitting again."""

from pathlib import Path
from typing import Annotated

import typer

from bayesfactor.cli.commands import Fit

__all__ = ["update"]


def update(
    *,
    path: Fit,
    prices: Annotated[Path, typer.Argument(help="Prices as for `fit`, up to the newest stamp.")],
    out: Annotated[
        Path, typer.Option(help="Where the updated fit goes: .nc or .zarr; may be FIT.nc itself.")
    ],
    factors: Annotated[
        Path | None, typer.Option(help="Factors over the new periods, where the fit was given factors.")
    ] = None,
    returns: Annotated[bool, typer.Option("--returns", help="The table holds returns.")] = False,
    start: Annotated[str | None, typer.Option(help="First date read.")] = None,
    end: Annotated[str | None, typer.Option(help="Last date read.")] = None,
) -> None:
    """Let a saved fit see days that came after it; forecasts and risk then start from the last of them."""
    from bayesfactor import schema as s
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import TREE, check_output
    from bayesfactor.keep import save
    from bayesfactor.panel import panel_from_prices, panel_from_returns
    from bayesfactor.periods import count_periods, stamp_text, year_in
    from bayesfactor.update import update as move_on

    check_output(out, TREE)
    tree = read_fit(path)
    seen = tree[s.OBSERVED_DATA].to_dataset()
    names = [str(a) for a in seen[s.ASSET].values]
    groups = dict(zip(names, seen[s.GROUP].values.astype(str), strict=True))
    make = panel_from_returns if returns else panel_from_prices
    panel = make(prices, factors=factors, groups=groups, assets=names, start=start, end=end)
    grown = move_on(tree, panel)
    more = grown[s.OBSERVED_DATA].sizes[s.TIME] - seen.sizes[s.TIME]
    save(grown, out)
    last = stamp_text(grown[s.OBSERVED_DATA].to_dataset()[s.TIME].values[-1])
    typer.echo(f"{out}: {count_periods(more, year_in(seen))} more, up to {last}")
