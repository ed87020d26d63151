"""`choose_n_latent`: how many latent factors a panel asks for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pandas as pd
import xarray as xr

from bayesfactor.calls import verb
from bayesfactor.compare import compare
from bayesfactor.diagnose import diagnose
from bayesfactor.errors import ModelError
from bayesfactor.fit import fit
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.limits import check_count
from bayesfactor.model import FactorModel
from bayesfactor.registry import get_model
from bayesfactor.structures import STRUCTURES

__all__ = ["choose_n_latent"]

_SURE: Final = 2.0
_SMALL: Final = 4.0
"""Nats below which differences of elpd, and their standard errors, are not to be read."""


@verb
def choose_n_latent(
    panel: xr.Dataset,
    n_latent: Iterable[int] = range(6),
    *,
    model: str | Path | FactorModel = "latent-t",
    draws: int = 500,
    tune: int = 500,
    chains: int = 4,
    random_seed: Seed = None,
    progressbar: bool = True,
) -> pd.DataFrame:
    """Fit a model with each number of latent factors and say which to use.

    Parameters
    ----------
    panel : Dataset
    n_latent : iterable of int
        Numbers to try, at least two.
    model : str, Path or FactorModel
        One with an option `n_latent`; "hybrid-t" asks what observed factors leave over.
    draws, tune, chains : int
    random_seed : int, Generator or SeedSequence, optional
    progressbar : bool

    Returns
    -------
    DataFrame
        The table of `bf.compare` by day, index = number of factors, best first, with the column `verdict` of
        `bf.diagnose`. attrs: `n_latent`, the smallest number that is not clearly worse than the best: not
        by two standard errors of the difference, or not by 4 nats [1]_; `recommendation`, the same in
        words; `given`.

    Raises
    ------
    ModelError
        If fewer than two different numbers are given, or the model has no latent factors.
    PanelError, CardError
        As `bf.fit`.

    References
    ----------
    .. [1] Sivula, T., Magnusson, M., Matamoros, A. A. and Vehtari, A. (2025). Uncertainty in Bayesian
       leave-one-out cross-validation based model comparison. Bayesian Analysis.
    """
    base, numbers = (
        get_model(model),
        sorted({check_count("n_latent", k, least=0, most=1000) for k in n_latent}),
    )
    if "n_latent" not in STRUCTURES[base.structure].options:
        msg = f"{base.name} has no latent factors to choose. Use 'latent-t' or 'hybrid-t'."
        raise ModelError(msg)
    if len(numbers) < 2:
        msg = f"choosing takes at least two different numbers of factors; got {numbers}."
        raise ModelError(msg)
    models = {k: get_model(base, n_latent=k) for k in numbers}
    entropy = root_entropy(random_seed)
    trees = {}
    for k, chosen in models.items():
        if progressbar:
            print(f"{base.name} with n_latent={k}", flush=True)  # noqa: T201
        trees[str(k)] = fit(
            chosen,
            panel,
            draws=draws,
            tune=tune,
            chains=chains,
            random_seed=entropy,
            progressbar=progressbar,
        )
    table = compare(trees, progressbar=progressbar)
    attrs = table.attrs
    table["verdict"] = [diagnose(trees[name], check_adequacy=False).attrs["verdict"] for name in table.index]
    table.index = pd.Index([int(name) for name in table.index], name="n_latent")
    best = int(table.index[0])
    behind = table["elpd"].iloc[0] - table["elpd"]
    close = (behind < _SURE * table["dse"]) | (behind < _SMALL)
    chosen_number = int(min(table.index[close]))
    table.attrs = attrs | {
        "n_latent": chosen_number,
        "recommendation": _in_words(base.name, chosen_number, best, float(behind[chosen_number]), numbers),
    }
    return table


def _in_words(name: str, chosen: int, best: int, behind: float, numbers: list[int]) -> str:
    text = f"Use {name} with n_latent={chosen}"
    if chosen != best:
        text += f": {best} scores {behind:.1f} nats more, which is not more than chance would give"
    if chosen == numbers[-1]:
        text += "; it is the largest number tried, so try more"
    return text + "."
