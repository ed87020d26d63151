"""`run_demo`: the whole straight line on a simulated market, from prices nobody paid to a report.

It is what `bayesfactor demo` runs. Sizes and seed are such that both fits converge.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.compare import compare
from bayesfactor.diagnose import diagnose
from bayesfactor.errors import MissingFileError
from bayesfactor.fit import fit
from bayesfactor.keep import check_place, save
from bayesfactor.report import report
from bayesfactor.risk import decompose_risk
from bayesfactor.simulate import simulate_panel

__all__ = ["MODELS", "SIZES", "Demo", "run_demo"]

MODELS: Final = ("hierarchical-t", "hierarchical-normal")
SIZES: Final = {"n_assets": 20, "n_days": 750, "n_factors": 3, "n_groups": 3}
WRITTEN: Final = ("fit.nc", "risk.nc", "report.html")


@dataclass(frozen=True)
class Demo:
    """What a demo made.

    Parameters
    ----------
    folder : Path
        Holds `fit.nc`, `risk.nc` and `report.html`.
    panel, truth : Dataset
        The simulated market and the parameters that made it.
    trees, diagnoses : dict
        By model.
    comparison : DataFrame
    risk : Dataset
        Of the equal-weight portfolio under the first model.
    seconds : dict
        By step.
    """

    folder: Path
    panel: xr.Dataset
    truth: xr.Dataset
    trees: dict[str, xr.DataTree]
    diagnoses: dict[str, xr.Dataset]
    comparison: pd.DataFrame
    risk: xr.Dataset
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(
    folder: str | Path = "bayesfactor-demo",
    *,
    random_seed: int = 1,
    sizes: dict[str, int] | None = None,
    sample: dict[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> Demo:
    """Simulate a market, fit two models, diagnose, compare, decompose the risk, and report.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there; its parent has to be.
    random_seed : int
        Another seed is another market.
    sizes : dict, optional
        Arguments of `bf.simulate_panel`.
    sample : dict, optional
        Arguments of `bf.fit`, such as draws.
    say : callable
        Gets one line per step.

    Returns
    -------
    Demo

    Raises
    ------
    MissingFileError
        If the folder cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        msg = f"the folder {str(folder)!r} cannot be made: {error.strerror}. Name another one."
        raise MissingFileError(msg) from error
    for name in WRITTEN:
        check_place(folder / name)
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        say(f"{name} ...")
        began = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - began

    with step("simulate"):
        panel, truth = simulate_panel(**(SIZES | (sizes or {})), random_seed=random_seed)
    options = {"random_seed": random_seed, "progressbar": False, **(sample or {})}
    trees = {}
    for name in MODELS:
        with step(f"fit {name}"):
            trees[name] = fit(name, panel, **options)
    with step("diagnose"):
        diagnoses = {name: diagnose(tree) for name, tree in trees.items()}
    with step("compare"):
        comparison = compare(trees, progressbar=False)
    assets = panel[s.ASSET].values.astype(str)
    weights = pd.Series(1.0 / len(assets), index=assets)
    tree = trees[MODELS[0]]
    with step("decompose risk"):
        risk = decompose_risk(tree, weights, random_seed=random_seed)
    with step("write"):
        save(tree, folder / WRITTEN[0])
        save(risk, folder / WRITTEN[1])
        report(
            tree,
            weights,
            folder / WRITTEN[2],
            title="Equal weights in a simulated market",
            allow_unconverged=True,
            random_seed=random_seed,
            risk=risk,
            diagnosis=diagnoses[MODELS[0]],
        )
    return Demo(folder, panel, truth, trees, diagnoses, comparison, risk, seconds)
