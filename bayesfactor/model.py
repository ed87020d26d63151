"""`FactorModel`: one registered model as a frozen, printable value; consumers never branch on it."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import tomli_w
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import BayesFactorError, CardError, ModelError, unknown_names
from bayesfactor.graphs import GRAPHS
from bayesfactor.limits import check_choice, check_count, check_number, said
from bayesfactor.panel import check_panel, check_span, refuse_copies
from bayesfactor.structures import STRUCTURES
from bayesfactor.structures.beliefs import checked_priors

__all__ = ["FactorModel", "model_from_card"]

SAMPLE_KEYS = ("draws", "tune", "chains", "target_accept", "max_treedepth", "adaptation")
ADAPTATIONS = ("diag", "low_rank")
_COUNTS = {"draws": (1, 10**9), "tune": (1, 10**9), "chains": (1, 1000), "max_treedepth": (1, 20)}
_LONGEST_NAME = 100


@verb
@dataclass(frozen=True)
class FactorModel:
    """A model card: what it is called, why it exists, its structure, priors and sample options.

    Parameters
    ----------
    name, title, why : str
    structure : str
        A key of `bayesfactor.structures.STRUCTURES`.
    priors : mapping of str to mapping
        Slot to the dictionary form of a `pymc_extras.prior.Prior`, in model units (returns and
        factors divided by their root mean square).
    options : mapping of str to int
        Of the structure, such as `n_latent`.
    sample : mapping
        Defaults for `bf.fit`: draws, tune, chains, target_accept, max_treedepth, adaptation.
    references : tuple of str
    overrides : tuple of str
        What `get_model` changed in the card, such as `priors.nu`.

    Raises
    ------
    CardError
        If a key, slot, or prior is unknown or missing.
    """

    name: str
    title: str
    why: str
    structure: str
    priors: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, int] = field(default_factory=dict)
    sample: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("name", "title", "why", "structure"):
            _check_text(name, getattr(self, name))
        for name in ("references", "overrides"):
            _check_texts(self.name, name, getattr(self, name))
        for name in ("priors", "options", "sample"):
            if not isinstance(getattr(self, name), Mapping):
                msg = f"card {self.name!r}: {name} is a table; got {said(getattr(self, name))}."
                raise CardError(msg)
        check_choice(f"card {self.name!r}: structure", self.structure, STRUCTURES, error=CardError)
        structure = STRUCTURES[self.structure]
        _refuse_unknown(self.name, "prior slot", self.priors, (*structure.required, *structure.optional))
        missing = structure.missing(self.priors)
        if missing:
            msg = f"card {self.name!r}: structure {self.structure!r} needs priors for {', '.join(missing)}."
            raise CardError(msg)
        _refuse_unknown(self.name, "sample option", self.sample, SAMPLE_KEYS)
        _refuse_unknown(self.name, "option", self.options, structure.options)
        kept = {
            "priors": checked_priors(self.name, self.priors, structure.slots),
            "options": {k: _count(self.name, k, v, least=0, most=1000) for k, v in self.options.items()},
            "sample": _checked_sample(self.name, self.sample),
            "references": tuple(self.references),
            "overrides": tuple(self.overrides),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @property
    def observes_factors(self) -> bool:
        """Whether the panel's factors explain returns, or none does but latent ones."""
        return s.LOADINGS in self.priors

    def sees(self, panel: xr.Dataset) -> xr.Dataset:
        """Return what the model reads of a panel: all of it, or returns alone."""
        if self.observes_factors or not panel.sizes[s.FACTOR]:
            return panel
        return panel.drop_vars(s.FACTOR_WEIGHTS, errors="ignore").isel({s.FACTOR: slice(0, 0)})

    def build(self, panel: xr.Dataset) -> Any:
        """Return the PyMC model of the panel's returns given its factors.

        Parameters
        ----------
        panel : Dataset
            From `bf.panel_from_prices`, `bf.panel_from_returns` or `bf.simulate_panel`.

        Returns
        -------
        pm.Model
            Data in model units, dims (asset, factor, group, time).

        Raises
        ------
        PanelError
            If `panel` is not a panel, or an asset lies in the span of the factors.
        ModelError
            If the structure cannot use this panel.
        """
        check_panel(panel)
        panel = self.sees(panel)
        refuse_copies(panel)
        check_span(panel)
        with GRAPHS, self._named_failures():
            return STRUCTURES[self.structure].build(panel, self.priors, self.options)

    def constants(self, panel: xr.Dataset) -> dict[str, Any]:
        """Return what else of the panel the law is conditioned on, for `constant_data`."""
        return STRUCTURES[self.structure].constants(panel, self.options)

    def build_factor_law(self, panel: xr.Dataset) -> Any:
        """Return the PyMC model of the factors' own law, sampled apart (see `build`).

        Raises
        ------
        ModelError
            If the model has no observed factors.
        """
        check_panel(panel)
        if not self.observes_factors:
            msg = f"{self.name} has no observed factors, and hence no law of theirs. Build the returns alone."
            raise ModelError(msg)
        with GRAPHS, self._named_failures():
            return STRUCTURES[self.structure].build_factor_law(panel, self.priors, self.options)

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        """Say whose card it was where PyMC cannot put priors and panel together."""
        try:
            yield
        except BayesFactorError:
            raise
        except Exception as error:
            why = " ".join(str(error).split())[:300]
            msg = (
                f"the priors of {self.name!r} cannot be put together on this panel: {why}. "
                "Numbers given along a dim are as many as it has labels."
            )
            raise CardError(msg) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain data, overrides included."""
        card = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.loads(json.dumps({k: v for k, v in card.items() if v not in ((), {}, None)}))

    def to_toml(self) -> str:
        """Return the card as text that `bf.get_model` reads back."""
        return tomli_w.dumps(self.to_dict())

    @property
    def digest(self) -> str:
        """Fingerprint of everything that decides the posterior."""
        import numpy as np

        options = {**STRUCTURES[self.structure].options, **self.options}
        parts = [self.structure, json.dumps(self.to_dict()["priors"], sort_keys=True)]
        if options:
            parts.append(json.dumps(options, sort_keys=True))
        return s.digest(np.array(parts))

    def __str__(self) -> str:
        return f"{self.name}: {self.title} ({self.structure})"


def model_from_card(card: Mapping[str, Any], *, source: str) -> FactorModel:
    """Return the model a card describes.

    Raises
    ------
    CardError
        Naming `source` and any unknown or missing key.
    """
    names = [f.name for f in fields(FactorModel)]
    _refuse_unknown(source, "key", card, names)
    missing = [x for x in ("name", "title", "why", "structure", "priors") if x not in card]
    if missing:
        msg = f"card {source!r} lacks the key(s) {', '.join(missing)}; see CONTRIBUTING.md, 'Add a model'."
        raise CardError(msg)
    return FactorModel(**card)


def _refuse_unknown(card: str, what: str, got: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = [k for k in got if k not in known]
    if unknown:
        msg = f"card {card!r}: unknown {what} {unknown_names(unknown, known)}; known: {', '.join(known)}."
        raise CardError(msg)


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        msg = f"a card's {name!r} is a non-empty string of one line; got {said(value)}."
        raise CardError(msg)
    if name == "name" and (len(value) > _LONGEST_NAME or set(value) & set("/\\")):
        msg = f"a card's 'name' has at most {_LONGEST_NAME} characters and no slash; got {said(value)}."
        raise CardError(msg)


def _check_texts(card: str, name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(x, str) for x in value):
        msg = f"card {card!r}: {name} is a list of strings; got {said(value)}."
        raise CardError(msg)


def _count(card: str, name: str, value: Any, *, least: int, most: int) -> int:
    return check_count(f"card {card!r}: {name}", value, least=least, most=most, error=CardError)


def _checked_sample(card: str, sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sample options of a card in plain types; how large they are is judged beside a panel."""
    found = dict(sample)
    for name, (least, most) in _COUNTS.items():
        if name in found:
            found[name] = _count(card, name, found[name], least=least, most=most)
    if "target_accept" in found:
        where = f"card {card!r}: target_accept"
        found["target_accept"] = check_number(
            where, found["target_accept"], above=0.0, below=1.0, error=CardError
        )
    if "adaptation" in found:
        check_choice(f"card {card!r}: adaptation", found["adaptation"], ADAPTATIONS, error=CardError)
    return found
