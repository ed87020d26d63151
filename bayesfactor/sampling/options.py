"""How to sample: checked when made, before anything long begins."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from bayesfactor.errors import ModelError, unknown_names

__all__ = ["METHODS", "SampleOptions"]

METHODS: Final = ("nuts", "pathfinder", "numpyro")
ADAPTATIONS: Final = ("diag", "low_rank")


@dataclass(frozen=True)
class SampleOptions:
    """How to sample; checked when made, before anything long begins.

    Without a `pilot` every element is sampled in its centred form. The `adaptation` is the mass matrix's:
    "low_rank" follows a few directions that run across parameters, such as the scale and the rotation
    of latent factors.
    """

    draws: int
    tune: int
    chains: int
    target_accept: float
    max_treedepth: int = 10
    cores: int | None = None
    progressbar: bool = True
    method: str = "nuts"
    pilot: bool = True
    adaptation: str = "diag"

    def __post_init__(self) -> None:
        for name, least in (("draws", 1), ("tune", 0), ("chains", 1), ("max_treedepth", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                msg = f"{name} is a whole number of at least {least}; got {value!r}."
                raise ModelError(msg)
        if self.cores is not None and self.cores < 1:
            msg = f"cores is at least 1; got {self.cores!r}."
            raise ModelError(msg)
        if not 0.0 < self.target_accept < 1.0:
            msg = f"target_accept lies between 0 and 1; got {self.target_accept!r}. 0.95 suits these models."
            raise ModelError(msg)
        for name, known in (("method", METHODS), ("adaptation", ADAPTATIONS)):
            if getattr(self, name) not in known:
                got = unknown_names([getattr(self, name)], known)
                msg = f"{name} {got} is unknown; choose from {', '.join(known)}."
                raise ModelError(msg)
