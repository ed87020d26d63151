"""How to sample: checked when made, before anything long begins."""

from dataclasses import dataclass
from typing import Final

from bayesfactor.limits import check_choice, check_count, check_memory, check_number

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
        for name, (least, most) in _COUNTS.items():
            if name != "cores" or self.cores is not None:
                object.__setattr__(self, name, check_count(name, getattr(self, name), least=least, most=most))
        accept = check_number(
            "target_accept", self.target_accept, above=0.0, below=1.0, remedy="0.95 suits these models."
        )
        object.__setattr__(self, "target_accept", accept)
        check_choice("method", self.method, METHODS)
        check_choice("adaptation", self.adaptation, ADAPTATIONS)

    def check_room(self, elements: int, times: int) -> None:
        """Refuse draws that memory cannot hold.

        Parameters
        ----------
        elements : int
            Free elements of the graph.
        times : int
            Rows of the panel: each draw gets a log-likelihood of each.

        Raises
        ------
        ModelError
            With the size it would need and what there is.
        """
        kept = self.draws * self.chains * (_COPIES * elements + times)
        # The sampler keeps what it draws while it is tuned as well.
        drawn = (self.draws + self.tune) * self.chains * (2 * elements + _RECORD)
        what = f"{self.chains} chains of {self.draws:,} draws after {self.tune:,} of {elements} elements"
        check_memory(what, kept + drawn, "Ask for fewer draws, or fewer chains.")


_COUNTS: Final = {
    "draws": (1, 10**9),
    "tune": (1, 10**9),
    "chains": (1, 1000),
    "max_treedepth": (1, 20),
    "cores": (1, 10_000),
}
_COPIES: Final = 5
"""Of every element: as sampled, in the units of the graph, of the panel, beside its log prior, in passing."""
_RECORD: Final = 70
"""Numbers that the sampler notes of each draw besides."""
