"""`bayesfactor trades`: what each proposed trade does to risk."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bayesfactor.cli.commands import Drift, FillZero, Fit, Horizon, Levels, Seed, Weights

__all__ = ["trades"]


def trades(
    *,
    path: Fit,
    trades: Annotated[Path, typer.Option(help="CSV with the columns trade, asset and change of weight.")],
    weights: Weights = "equal",
    fill_zero: FillZero = False,
    levels: Levels = "0.95,0.99",
    horizon: Horizon = 1,
    value: Annotated[float, typer.Option(help="Portfolio value; 1 gives percentages.")] = 1.0,
    drift: Drift = "zero",
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Save the Dataset: .nc or .zarr.")] = None,
) -> None:
    """Say what each proposed trade does to volatility, VaR and ES, each on its own."""
    from bayesfactor import schema as s
    from bayesfactor.cli.files import read_fit
    from bayesfactor.cli.inputs import TREE, check_output, read_levels, read_trades, read_weights
    from bayesfactor.cli.show import say_day
    from bayesfactor.keep import save
    from bayesfactor.risk import incremental_risk

    check_output(out, TREE)
    proposed = read_trades(trades)
    tree: Any = read_fit(path)
    assets = [str(a) for a in tree[s.OBSERVED_DATA][s.ASSET].values]
    found = incremental_risk(
        tree,
        read_weights(weights, assets, fill_zero=fill_zero),
        proposed,
        levels=read_levels(levels),
        horizon=horizon,
        value=value,
        drift=drift,
        random_seed=seed,
    )
    _show(found)
    say_day(found)
    if out is not None:
        save(found, out)


def _show(found: Any) -> None:
    """Print each number before, and its change by trade with interval and first order."""
    from bayesfactor import schema as s
    from bayesfactor.cli.show import GIVEN_HEADS, given, show_table

    percent = float(found.attrs["value"]) == 1.0

    def form(x: Any, *, sign: bool = False) -> str:
        number = float(x)
        mark = "+" if sign and number > 0.0 else ""
        return mark + (f"{100 * number:.2f}" if percent else f"{number:,.0f}")

    unit = "% of value" if percent else "money"
    heads = ["trade", "before", "after", "change", *GIVEN_HEADS, "MC error", "first order"]
    kinds = [("volatility", "volatility", found)]
    for name, title in (("var", "VaR"), ("es", "ES")):
        for i, level in enumerate(found[s.LEVEL].values):
            kinds.append((name, f"{title} {level:g}", found.isel({s.LEVEL: i})))
    for name, title, at in kinds:
        rows = []
        for trade in found[s.TRADE].values:
            one = at.sel({s.TRADE: trade})
            rows.append(
                [
                    str(trade),
                    form(one[name]),
                    form(one[f"{name}_after"]),
                    form(one[f"{name}_change"], sign=True),
                    *given(one[f"{name}_change_posterior"], lambda x: form(x, sign=True)),
                    form(one[f"{name}_change_mcse"]) if f"{name}_change_mcse" in one else "",
                    form(one[f"{name}_first_order"], sign=True),
                ]
            )
        show_table(heads, rows, title=f"{title}, {unit}")
