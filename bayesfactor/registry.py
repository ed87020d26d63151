"""Cards become models: one TOML file per registered model, data and never code."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bayesfactor.calls import verb
from bayesfactor.errors import CardError, MissingFileError, unknown_names
from bayesfactor.limits import said
from bayesfactor.model import FactorModel, model_from_card
from bayesfactor.structures import STRUCTURES

__all__ = ["get_model", "list_models", "register_model"]

_registered: Final[dict[str, FactorModel]] = {}
_SUCH_AS: Final = {"priors": '{"nu": None}', "sample": '{"draws": 500}'}


def _card_folder() -> Path:
    """Return where the shipped cards are: inside the wheel, or beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "_models"
    return inside if inside.is_dir() else here.parent / "models"


def _shipped() -> dict[str, Path]:
    return {p.stem: p for p in sorted(_card_folder().glob("*.toml"))}


@verb
def list_models() -> list[str]:
    """Return the names of all registered models, shipped cards first.

    Examples
    --------
    >>> import bayesfactor as bf
    >>> "hierarchical-t" in bf.list_models()
    True
    """
    shipped = list(_shipped())
    return shipped + [n for n in _registered if n not in shipped]


@verb
def get_model(model: str | Path | FactorModel, **overrides: Any) -> FactorModel:
    """Return a model by name, by the path of a card, or as it is, with changes if asked.

    Parameters
    ----------
    model : str, Path or FactorModel
        A name of `bf.list_models()`, a path to a TOML card, or a model.
    **overrides
        `priors={slot: Prior | mapping | None}` replaces slots (None removes one),
        `sample={option: value}` replaces sample options, options of the structure go by their name
        (`n_latent=2`), and `name`, `title`, `why`,
        `references` replace what they name. The result records what was changed.

    Returns
    -------
    FactorModel

    Raises
    ------
    CardError
        If the name, a key or a slot is unknown.
    MissingFileError
        If a path is given and no file is there.

    Examples
    --------
    >>> import bayesfactor as bf
    >>> bf.get_model("hierarchical-t", sample={"target_accept": 0.99}).overrides
    ('sample.target_accept',)
    """
    base = _find(model)
    return _override(base, overrides) if overrides else base


@verb
def register_model(
    model: str | Path | FactorModel | Mapping[str, Any], *, overwrite: bool = False
) -> FactorModel:
    """Make a card or a model known by its name for the rest of the process.

    Parameters
    ----------
    model : path, FactorModel or mapping
        A card, or the model it describes.
    overwrite : bool
        Allow a name that is taken.

    Raises
    ------
    CardError
        If the card is not valid, or its name is taken.
    """
    found = (
        model_from_card(model, source=str(model.get("name", "?")))
        if isinstance(model, Mapping)
        else _find(model)
    )
    if found.name in list_models() and not overwrite:
        msg = (
            f"a model named {found.name!r} is registered already. Choose another name or pass overwrite=True."
        )
        raise CardError(msg)
    _registered[found.name] = found
    return found


def _find(model: str | Path | FactorModel) -> FactorModel:
    if isinstance(model, FactorModel):
        return model
    if not isinstance(model, str | Path):
        msg = f"a model is a name, a path to a card or a FactorModel; got {said(model)}."
        raise CardError(msg)
    if not str(model).strip() or not str(model).isprintable():
        msg = f"a model is a name, a path to a card or a FactorModel; got {said(model)}."
        raise CardError(msg)
    if str(model) in _registered:
        return _registered[str(model)]
    shipped = _shipped()
    if str(model) in shipped:
        return _read(shipped[str(model)])
    path = Path(model)
    if path.suffix == ".toml" or isinstance(model, Path):
        if not path.is_file():
            names = ", ".join(list_models())
            msg = f"no card at {str(path)!r}. Give the path of a TOML card or one of: {names}."
            raise MissingFileError(msg)
        return _read(path)
    known = list_models()
    msg = f"no model is called {unknown_names([str(model)], known)}; registered: {', '.join(known)}."
    raise CardError(msg)


def _read(path: Path) -> FactorModel:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            msg = f"a card has at most {_LARGEST:,} bytes; {path.name} has {size:,}. Give the path of a card."
            raise CardError(msg)
        card = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path.name} is not valid TOML: {error}."
        raise CardError(msg) from error
    except RecursionError as error:
        msg = f"{path.name} is not valid TOML: it is nested too deep. Priors stand at most four deep."
        raise CardError(msg) from error
    except (OSError, ValueError) as error:
        if isinstance(error, CardError):
            raise
        msg = f"{path.name} cannot be read as a card: {error}. Give the path of a TOML file."
        raise CardError(msg) from error
    return model_from_card(card, source=path.name)


_LARGEST: Final = 2**20
"""Bytes of a card; the largest shipped has some thousands."""


def _override(base: FactorModel, overrides: Mapping[str, Any]) -> FactorModel:
    options = tuple(STRUCTURES[base.structure].options)
    allowed = ("priors", "sample", "name", "title", "why", "references", *options)
    unknown = [k for k in overrides if k not in allowed]
    if unknown:
        msg = f"get_model cannot override {unknown_names(unknown, allowed)}; it can: {', '.join(allowed)}."
        raise CardError(msg)
    for name in ("priors", "sample"):
        if name in overrides and not isinstance(overrides[name], Mapping):
            msg = f"get_model takes {name} as a table, such as {_SUCH_AS[name]}; got {said(overrides[name])}."
            raise CardError(msg)
    changes: dict[str, Any] = {k: v for k, v in overrides.items() if k not in ("priors", "sample", *options)}
    record = [k for k in overrides if k not in ("name", "priors", "sample")]
    if chosen := {k: v for k, v in overrides.items() if k in options}:
        changes["options"] = {**base.options, **chosen}
    if "priors" in overrides:
        priors = dict(base.priors)
        for slot, prior in overrides["priors"].items():
            record.append(f"priors.{slot}")
            if prior is None:
                priors.pop(slot, None)
            else:
                priors[slot] = prior
        changes["priors"] = priors
    if "sample" in overrides:
        changes["sample"] = {**base.sample, **overrides["sample"]}
        record += [f"sample.{k}" for k in overrides["sample"]]
    return replace(base, **changes, overrides=tuple(dict.fromkeys((*base.overrides, *record))))
