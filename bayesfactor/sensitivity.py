"""`prior_sensitivity`: whether it is the prior that sets an expected shortfall."""

import tomllib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, SchemaError, unknown_names
from bayesfactor.laws import law_of
from bayesfactor.laws.blocks import Seed
from bayesfactor.laws.whole import whole_fit
from bayesfactor.limits import check_count
from bayesfactor.risk.by_draw import risk_by_draw

__all__ = ["prior_sensitivity"]

THRESHOLD: Final = 0.05
"""Above it a number moves with what is scaled (Kallioinen et al. 2024, sec. 3.3)."""
_ALPHAS: Final = (0.99, 1.01)


@verb
def prior_sensitivity(
    tree: xr.DataTree,
    weights: Any,
    *,
    fill_zero: bool = False,
    levels: Sequence[float] = (0.95, 0.99),
    horizon: int = 1,
    priors: Sequence[str] | None = None,
    draws: int = 1000,
    drift: str = "zero",
    random_seed: Seed = None,
) -> pd.DataFrame:
    """Say how much each risk number moves when priors, or the data, count a little more or less.

    Prior and likelihood are raised to powers near one and the posterior of the risk number is weighted
    accordingly, without another fit. A number that moves with the prior while it hardly moves with the data
    is set by the prior.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    weights : mapping, Series, DataArray (asset), table or path of one, or "equal"
        Fractions of the portfolio's value, as `bf.decompose_risk` takes them.
    fill_zero : bool
        Assets that are not named have weight 0; without it they are refused.
    levels : sequence of float
        Confidence levels, above 0.5 and below 1.
    horizon : int
        Periods ahead.
    priors : sequence of str, optional
        Variables of the group `log_prior` that count as prior. By default those on top of the
        hierarchy: a coin's loading given its group is part of the model, the law of its spread is prior.
    draws : int
        Posterior draws used, evenly spaced; all where there are fewer.
    drift : {"zero", "posterior", "prior"}
        Expected returns, as in `bf.decompose_risk`. With "posterior" they add their spread to the risk
        numbers; what the prior of means does to them is not measured, since they are not the fit's draws.
    random_seed : int, Generator or SeedSequence, optional
        Of what is simulated to have tails over several periods of models with dynamics.

    Returns
    -------
    DataFrame
        One row per risk number: `volatility`, `var 0.99`, `es 0.99`, ..., and `es 0.99: <component>`, its
        contributions at the highest level. Columns: `mean` and `sd` of the posterior, as fractions of value;
        `prior` and `likelihood`, the sensitivities (above 0.05 is sensitive); `diagnosis` in words;
        `strongest_prior` and `strongest_prior_sensitivity`, the variable that matters most.

    Raises
    ------
    SchemaError
        If `tree` did not come from `bf.fit`, or has no log densities.
    WeightsError
        If the weights do not match the assets.
    RiskError
        If a level, the horizon, `draws` or a name in `priors` is not valid, or returns are logarithmic.
    NumericalError
        If a risk number is infinite.

    Notes
    -----
    The measure is `arviz.psense`: the cumulative Jensen-Shannon distance between the scaled posteriors per
    doubling of the power [1]_. The likelihood is that of returns and of factors: a risk number needs
    both. Hyperpriors alone are scaled by default, as [1]_ advises for hierarchical models.

    References
    ----------
    .. [1] Kallioinen, N., Paananen, T., Bürkner, P.-C. and Vehtari, A. (2024). Detecting and diagnosing
       prior and likelihood sensitivity with power-scaling. Statistics and Computing 34, 57.

    Examples
    --------
    >>> bf.prior_sensitivity(tree, {"BTC": 0.6, "ETH": 0.4})  # doctest: +SKIP
    """
    groups = (s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, s.LOG_PRIOR, s.LOG_LIKELIHOOD)
    s.check_tree(tree, *groups, verb="prior_sensitivity")
    check_count("draws", draws, least=100, error=RiskError, remedy="Tails of fewer weights say nothing.")
    risk = risk_by_draw(
        tree,
        weights,
        fill_zero=fill_zero,
        levels=levels,
        horizon=horizon,
        draws=draws,
        drift=drift,
        random_seed=random_seed,
    )
    tree = whole_fit(tree)
    names = _priors(tree, priors)
    kept = {s.CHAIN: risk[s.CHAIN], s.DRAW: risk[s.DRAW]}
    quantities = _quantities(risk)
    scaled = xr.DataTree.from_dict(
        {
            "posterior": quantities,
            "log_prior": tree[s.LOG_PRIOR].to_dataset()[names].sel(kept),
            "log_likelihood": _log_likelihood(tree).sel(kept),
        }
    )
    whole = {group: _sense(scaled, group) for group in ("prior", "likelihood")}
    each = pd.DataFrame({name: _sense(scaled, "prior", [name]) for name in names})
    table = pd.DataFrame(
        {
            "mean": quantities.mean().to_pandas(),
            "sd": quantities.std().to_pandas(),
            **whole,
            "diagnosis": [_diagnosis(p, d) for p, d in zip(whole["prior"], whole["likelihood"], strict=True)],
            "strongest_prior": each.idxmax(axis=1),
            "strongest_prior_sensitivity": each.max(axis=1),
        }
    )
    table.index.name = "quantity"
    table.attrs[s.DRIFT] = drift
    return table


def _priors(tree: xr.DataTree, wanted: Sequence[str] | None) -> list[str]:
    have = [str(n) for n in tree[s.LOG_PRIOR].data_vars]
    if wanted is None:
        pooled = _pooled(tree)
        return [n for n in have if n.removesuffix("_raw") not in pooled]
    names = [wanted] if isinstance(wanted, str) else [str(n) for n in wanted]
    unknown = [n for n in names if n not in have]
    if unknown or not names:
        got = unknown_names(unknown, have) if unknown else "none"
        msg = f"priors= names variables of the group log_prior; got {got}. They are {', '.join(have)}."
        raise RiskError(msg)
    return names


def _pooled(tree: xr.DataTree) -> set[str]:
    """Return slots of the card whose prior has parameters with priors of their own: levels of the model."""
    try:
        slots: Mapping[str, Any] = tomllib.loads(str(tree.attrs["card"]))["priors"]
    except (KeyError, tomllib.TOMLDecodeError) as error:
        msg = "the tree's card cannot be read, so which priors are on top is not known; name them in priors=."
        raise SchemaError(msg) from error
    nested = {
        n for n, p in slots.items() if any(isinstance(v, Mapping) for v in p.get("kwargs", {}).values())
    }
    return nested | {n for n in slots if {f"group_{n}", f"{n}_scale"} & set(slots)}


def _quantities(risk: xr.Dataset) -> xr.Dataset:
    """Return one variable per risk number (chain, draw)."""
    top = risk[s.LEVEL].values.max()
    found = {"volatility": risk["volatility"]}
    for name in ("var", "es"):
        by_level = risk[name]
        found |= {f"{name} {level:g}": by_level.sel({s.LEVEL: level}) for level in risk[s.LEVEL].values}
    parts = risk["es_contribution"].sel({s.LEVEL: top})
    for part in parts[s.COMPONENT].values:
        values = parts.sel({s.COMPONENT: part})
        if float(values.std()) > 0.0:  # a constant cannot move
            found[f"es {top:g}: {part}"] = values
    plain = {n: v.transpose(s.CHAIN, s.DRAW).reset_coords(drop=True) for n, v in found.items()}
    return xr.Dataset(plain)


def _log_likelihood(tree: xr.DataTree) -> xr.Dataset:
    """Return the log-likelihood of all returns and of all factors (chain, draw): both set the risk."""
    rows = tree[s.LOG_LIKELIHOOD].to_dataset()[s.RETURNS]
    factors = law_of(tree).factor_log_likelihood().sum(axis=1)
    total = rows.transpose(s.CHAIN, s.DRAW, s.TIME).sum(s.TIME)
    return xr.Dataset({s.RETURNS: total + factors.reshape(total.shape)})


def _sense(scaled: xr.DataTree, group: str, names: list[str] | None = None) -> pd.Series:
    import arviz as az

    with warnings.catch_warnings():
        # pandas' word for Dataset.to_pandas is of no use here; constants among quantities are left out above
        warnings.simplefilter("ignore", RuntimeWarning)
        found = az.psense(scaled, group=group, alphas=_ALPHAS, group_var_names=names)
    return found.to_pandas().astype("float64")


def _diagnosis(prior: float, likelihood: float) -> str:
    if prior < THRESHOLD:
        return "ok"
    if likelihood < THRESHOLD:
        return "the prior is strong or the data are weak"
    return "prior and data may disagree"
