"""How a verb is called: words that it does not know get the right one, and values of a wrong kind are named.

What a verb checks itself it says itself. This is for what is left: a keyword of another library, a tree where
a panel belongs, a function where a path does. The check of kinds is made only once something has gone wrong,
and an error that is not the caller's is raised as it was.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAliasType, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import xarray as xr

from bayesfactor.errors import ArgumentError, BayesFactorError, unknown_names
from bayesfactor.interrupts import heeded
from bayesfactor.limits import said

__all__ = ["verb"]

SAME: Final = {"sectors": "groups"}
"""Words that are understood as another of our own."""

FOREIGN: Final[dict[str, tuple[str, ...]]] = {
    "random_seed": ("seed", "rng", "random_state", "rng_key", "key"),
    "draws": ("n_draws", "num_draws", "n_samples", "num_samples", "samples", "ndraws", "iter"),
    "tune": ("n_tune", "warmup", "num_warmup", "n_warmup", "burn_in", "burnin", "burn"),
    "chains": ("n_chains", "num_chains", "nchains"),
    "cores": ("n_jobs", "n_cores", "workers", "n_workers", "num_workers"),
    "levels": (
        "level",
        "alpha",
        "alphas",
        "confidence",
        "confidence_level",
        "confidence_levels",
        "quantiles",
        "q",
    ),
    "level": ("levels", "alpha", "beta", "confidence", "confidence_level", "quantile", "q"),
    "ci_prob": ("hdi_prob", "hdi", "ci", "credible_interval", "prob"),
    "groups": ("group", "sector", "industries", "classification", "categories"),
    "assets": ("coins", "tickers", "symbols", "universe", "columns", "names"),
    "weights": ("weight", "portfolio", "w", "holdings", "allocation"),
    "portfolios": ("portfolio", "weights", "weight"),
    "horizon": ("horizons", "days", "periods", "steps", "n_periods", "h", "holding_period"),
    "paths": ("n_paths", "num_paths", "scenarios", "n_scenarios", "simulations", "n_sims", "n_simulations"),
    "scenarios": ("scenario", "shocks", "paths"),
    "moves": ("shocks", "shock", "returns", "factors"),
    "value": ("portfolio_value", "notional", "capital", "nav", "aum", "money"),
    "window": ("lookback", "window_size", "train_size", "rolling", "estimation_window"),
    "refit_every": ("refit", "step", "stride", "refit_frequency", "rebalance"),
    "n_latent": ("n_factors", "n_components", "k", "rank", "num_factors"),
    "n_days": ("n_times", "days", "periods", "n_periods", "n_obs"),
    "n_assets": ("n_coins", "assets", "n"),
    "start": ("since", "begin", "from_date", "start_date", "first"),
    "end": ("until", "to", "stop", "end_date", "last"),
    "periods_per_year": ("annualization", "annualisation", "annualization_factor", "freq", "frequency"),
    "transaction_costs": ("cost", "costs", "fees", "fee", "transaction_cost"),
    "target_accept": ("adapt_delta", "target_acceptance", "target_accept_prob"),
    "progressbar": ("progress", "progress_bar", "verbose", "show_progress", "quiet"),
    "path": ("out", "output", "file", "filename", "fname", "filepath"),
    "models": ("model", "model_names"),
    "model": ("models", "name", "card"),
    "method": ("sampler", "nuts_sampler", "backend", "engine"),
    "drop": ("exclude", "without"),
    "tree": ("fit", "idata", "trace", "posterior", "inference_data"),
    "panel": ("data", "prices", "returns", "df"),
    "prices": ("data", "df", "price"),
    "market_cap": ("caps", "market_caps", "mcap", "market_capitalisation", "market_capitalization"),
}
"""Ours, and what others call it."""


def verb[F: Callable[..., Any]](function: F) -> F:
    """Return a public function or class that is patient with its caller; its signature and its docs stay.

    Raises
    ------
    ArgumentError
        If an argument is unknown, missing or there twice, or of a kind that its annotation excludes.
    KeyboardInterrupt
        At Ctrl-C, whatever a library inside made of it.
    """
    if isinstance(function, type):
        function.__init__ = verb(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)
    parameters = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    flags = {n for n, p in parameters.items() if p.annotation is bool}
    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        strange = [] if open_ended else [k for k in kwargs if k not in parameters]
        if strange:
            _translate(name, parameters, kwargs, strange)
        for flag in flags & kwargs.keys():
            if not isinstance(kwargs[flag], bool | np.bool_):
                msg = f"{name}: {flag} is True or False; got {said(kwargs[flag])}."
                raise ArgumentError(msg)
        try:
            with heeded():
                return function(*args, **kwargs)
        except BayesFactorError:
            raise
        except Exception as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                msg = f"{error}. It is called as {name}{_shape(signature)}."  # it was never entered
                raise ArgumentError(msg) from None
            _refuse_misfits(name, function, signature, args, kwargs, error)
            raise

    return cast("F", called)


def _translate(
    name: str, parameters: Mapping[str, Any], kwargs: dict[str, Any], strange: Iterable[str]
) -> None:
    """Rename what is the same word, and refuse the rest with the word that was meant."""
    own = [p for p in parameters if p != "self"]
    words = []
    for word in strange:
        same = SAME.get(word, "")
        if same in parameters and same not in kwargs:
            kwargs[same] = kwargs.pop(word)
            continue
        meant = next(
            (ours for ours in own if word.lower() in FOREIGN.get(ours, ()) and ours not in kwargs), None
        )
        hint = f"{word!r} (did you mean {meant!r}?)" if meant else unknown_names([word], own)
        words.append(hint)
        if meant in ("levels", "level") and word in ("alpha", "alphas"):
            words[-1] += "; levels are of confidence: 0.95, not 0.05"
    if words:
        msg = f"{name} has no argument {', '.join(words)}. It takes {', '.join(own)}."
        raise ArgumentError(msg)


def _shape(signature: inspect.Signature) -> str:
    """Return a signature without its annotations."""
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name != "self"]
    return str(inspect.Signature(bare))


def _refuse_misfits(
    name: str, function: Any, signature: inspect.Signature, args: Any, kwargs: Any, error: Exception
) -> None:
    """Raise `ArgumentError` from an error of Python if an argument is of a kind that is excluded."""
    hints = get_type_hints(function)
    for argument, value in signature.bind(*args, **kwargs).arguments.items():
        if argument in hints and not fits(value, hints[argument]):
            msg = f"{name}: {argument} is {words(hints[argument])}; got {said(value)}. See help(bf.{name})."
            raise ArgumentError(msg) from error


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the kind a hint describes; what cannot be told is let pass."""
    if isinstance(hint, TypeAliasType):
        return fits(value, hint.__value__)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, x) for x in inner)
    if origin is Literal:
        return value in inner
    if hint in _NUMBERS:
        return _is_number(value, hint)
    kind = origin or hint
    if not isinstance(kind, type):
        return True
    listed = issubclass(kind, Iterable) and not issubclass(kind, str | Mapping)
    if listed and isinstance(value, np.ndarray | xr.DataArray):
        return value.ndim > 0
    try:
        right = isinstance(value, kind)
    except TypeError:
        return True
    if not right or not inner or isinstance(value, str):
        return right and not (
            isinstance(value, str | bytes)
            and kind is not str
            and kind is not object
            and issubclass(str, kind)
        )
    if isinstance(value, Mapping):
        return all(fits(k, inner[0]) and fits(v, inner[-1]) for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(fits(x, inner[0]) for x in value)
    return True


_NUMBERS: Final[dict[Any, Any]] = {
    int: (int, np.integer),
    float: (int, float, np.integer, np.floating),
    bool: (bool, np.bool_),
}


def _is_number(value: Any, kind: type) -> bool:
    if not isinstance(value, _NUMBERS[kind]) or (isinstance(value, bool) and kind is not bool):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def words(hint: Any) -> str:
    """Return a kind in words."""
    if isinstance(hint, TypeAliasType):
        return words(hint.__value__)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(words(x) for x in inner))
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if hint in _WORDS:
        return _WORDS[hint]
    kind = origin or hint
    if not isinstance(kind, type):
        return str(hint)
    if issubclass(kind, Mapping):
        return "a mapping"
    if issubclass(kind, Iterable) and inner:
        return f"a list, each of it {words(inner[0])}"
    return f"a {kind.__name__}"


_WORDS: Final[dict[Any, str]] = {
    NoneType: "None",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a string",
    Path: "a path",
    xr.DataTree: "a fit (a DataTree, from bf.fit or bf.load)",
    xr.Dataset: "a Dataset (a panel from bf.panel_from_prices, or what another verb returned)",
}
