"""`python -m benchmarks [names] [--peer P ...] [--json FILE]`: measure, print tables, keep the numbers."""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import (
    allocation,
    case,
    coins,
    dynamics,
    forecasts,
    gpu,
    kernel,
    latent,
    real,
    sampling,
    scale,
    selection,
    start,
)

MEASURES: dict[str, tuple[str, Callable[[argparse.Namespace], list[dict[str, Any]]]]] = {
    "start": ("Seconds before anything happens", lambda _: start.measure()),
    "kernel": ("Log-likelihood with gradients against numpy's matrix products", lambda _: kernel.measure()),
    "refit": ("Another window", lambda _: scale.measure_refit()),
    "sampling": (
        "Smallest bulk ESS per second, 50 x 1000 x 5, 4 x (500 + 500)",
        lambda a: sampling.measure(_peers(a, "sampling")),
    ),
    "latent": (
        "Latent factors, 100 rows held out",
        lambda a: latent.measure(_peers(a, "latent"), a),
    ),
    "dynamics": ("One refit of the factor GARCH, 10 x 300, 2 x (100 + 100)", lambda _: dynamics.measure()),
    "sweep": ("Cost over sizes, 4 x (250 + 250)", lambda _: scale.measure_sweep()),
    "real": ("Real coins", lambda _: real.measure()),
    "memory": ("200 x 1500 x 8 x 4000 draws: fit, LOO, risk", lambda _: scale.measure_memory()),
    "large": ("500 x 2000 x 10, 4 x (500 + 500)", lambda _: scale.measure_large()),
    "selection": ("3 of 25 drivers, 20 panels: horseshoe-t against lasso", lambda _: selection.measure()),
    "case": ("Case study: market, style, drivers, horseshoe on real coins", lambda _: case.measure()),
    "coins": ("Observed, latent and hybrid factors on real coins", lambda _: coins.measure()),
    "forecasts": ("One-day VaR and ES of twelve portfolios of real coins", forecasts.measure),
    "allocation": ("Monthly rebalancing of 28 real coins, 2021 to 2024", allocation.measure),
    "gpu": ("The JAX path", lambda _: gpu.measure()),
}
ON_REQUEST = ("allocation", "case", "coins", "forecasts", "gpu")
PEERS = {"sampling": (tuple(sampling.PEERS), ["nutpie"]), "latent": (latent.PEERS, ["plain", "dfm"])}
"""Of each measurement that has peers: all, and those it is measured against where none is named."""


def main(arguments: list[str] | None = None) -> None:
    """Run the measurements that were asked for, in order, and print each as it is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"of {', '.join(MEASURES)}; without any, all but {', '.join(ON_REQUEST)}",
    )
    names = [p for known, _ in PEERS.values() for p in known]
    helped = "; ".join(f"{name}: {', '.join(known)}" for name, (known, _) in PEERS.items())
    parser.add_argument("--peer", action="append", choices=[*names, "all"], metavar="P", help=helped)
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the numbers go")
    latent.add_options(parser)
    forecasts.add_options(parser)
    chosen = parser.parse_args(arguments)
    unknown = [n for n in chosen.names if n not in MEASURES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(MEASURES)}")
    asked = [known for name, (known, _) in PEERS.items() if name in chosen.names or not chosen.names]
    strays = [p for p in chosen.peer or () if p != "all" and not any(p in known for known in asked)]
    if strays:
        parser.error(f"nothing that is measured has the peers: {', '.join(strays)}; {helped}")
    packages = ("bayesfactor", "pymc", "nutpie", "numba", "numpy")
    record = {"python": platform.python_version(), **{p: version(p) for p in packages}}
    for name in chosen.names or [m for m in MEASURES if m not in ON_REQUEST]:
        title, measure = MEASURES[name]
        rows = measure(chosen)
        record[name] = rows
        _print(title, rows)
        chosen.json.write_text(json.dumps(record, indent=1) + "\n")


def _peers(a: argparse.Namespace, name: str) -> list[str]:
    known, default = PEERS[name]
    asked = a.peer or default
    return [p for p in known if p in asked or "all" in asked]


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(k for row in rows for k in row))
    table = Table(title=title, title_justify="left", box=None)
    for column in columns:
        table.add_column(column, justify="left" if column in ("what", "of") else "right")
    for row in rows:
        table.add_row(*("" if row.get(c) is None else str(row[c]) for c in columns))
    Console(width=180, file=sys.stdout).print(table, "")


if __name__ == "__main__":
    main()
