"""`FactorModel`: one registered model as a frozen, printable value; consumers never branch on it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import tomli_w
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.errors import CardError, ModelError, unknown_names
from bayesfactor.panel import check_panel, check_span
from bayesfactor.structures import STRUCTURES

__all__ = ["FactorModel", "model_from_card"]

SAMPLE_KEYS = ("draws", "tune", "chains", "target_accept", "max_treedepth", "adaptation")
PRIOR_KEYS = ("dist", "kwargs", "dims", "centered", "transform")


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
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                msg = f"a card's {name!r} is a non-empty string; got {getattr(self, name)!r}."
                raise CardError(msg)
        if self.structure not in STRUCTURES:
            names = unknown_names([self.structure], STRUCTURES)
            msg = f"card {self.name!r}: structure {names} is unknown; choose from {', '.join(STRUCTURES)}."
            raise CardError(msg)
        structure = STRUCTURES[self.structure]
        known = (*structure.required, *structure.optional)
        _refuse_unknown(self.name, "prior slot", self.priors, known)
        missing = structure.missing(self.priors)
        if missing:
            msg = f"card {self.name!r}: structure {self.structure!r} needs priors for {', '.join(missing)}."
            raise CardError(msg)
        _refuse_unknown(self.name, "sample option", self.sample, SAMPLE_KEYS)
        _refuse_unknown(self.name, "option", self.options, structure.options)
        for option, value in self.options.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                msg = f"card {self.name!r}: {option} is a whole number of at least 0; got {value!r}."
                raise CardError(msg)
        for slot, spec in self.priors.items():
            _check_prior(self.name, slot, spec)

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
        check_span(panel)
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
        return STRUCTURES[self.structure].build_factor_law(panel, self.priors, self.options)

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
    data = dict(card)
    for name in ("references", "overrides"):
        data[name] = tuple(data.get(name, ()))
    return FactorModel(**data)


def _refuse_unknown(card: str, what: str, got: Mapping[str, Any], known: Any) -> None:
    unknown = [k for k in got if k not in known]
    if unknown:
        msg = f"card {card!r}: unknown {what} {unknown_names(unknown, known)}; known: {', '.join(known)}."
        raise CardError(msg)


def _check_prior(card: str, slot: str, spec: Any) -> None:
    if not isinstance(spec, Mapping) or "dist" not in spec:
        msg = (
            f"card {card!r}: the prior of {slot!r} is a table with at least 'dist', "
            f"as pymc_extras.prior.Prior.to_dict() gives it; got {spec!r}."
        )
        raise CardError(msg)
    _refuse_unknown(card, f"key of prior {slot!r}:", spec, PRIOR_KEYS)
    for name, value in spec.get("kwargs", {}).items():
        if isinstance(value, Mapping):
            _check_prior(card, f"{slot}.{name}", value)
