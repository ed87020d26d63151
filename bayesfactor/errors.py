"""The exception family: everything this package raises on purpose is a `BayesFactorError`.

Each child is a Python builtin as well, so that code which never heard of this package still
catches it. Messages give the rule, the value got and the remedy.
"""

import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

__all__ = [
    "ArgumentError",
    "BayesFactorError",
    "CardError",
    "CompareError",
    "ConvergenceError",
    "DamagedFileError",
    "DownloadError",
    "MissingFileError",
    "ModelError",
    "NumericalError",
    "PanelError",
    "PositionsError",
    "RiskError",
    "SchemaError",
    "StorageError",
    "WeightsError",
    "unknown_names",
    "warn",
]


class BayesFactorError(Exception):
    """Base of all errors raised by `bayesfactor`."""


class ArgumentError(BayesFactorError, TypeError):
    """An argument is unknown, missing or of the wrong kind."""


class PanelError(BayesFactorError, ValueError):
    """The data given cannot become a panel."""


class CardError(BayesFactorError, ValueError):
    """A model card, or an override of one, is not valid."""


class ModelError(BayesFactorError, ValueError):
    """The model asked for cannot be built or fitted on this panel."""


class SchemaError(BayesFactorError, ValueError):
    """A tree or a file does not have the groups, names or version this package writes."""


class DamagedFileError(SchemaError):
    """A file does not hold what was written into it."""


class StorageError(BayesFactorError, OSError):
    """A file cannot be written where it was to go; what stood there before is as it was."""


class CompareError(BayesFactorError, ValueError):
    """The models given cannot be compared fairly."""


class ConvergenceError(BayesFactorError, RuntimeError):
    """A fit whose diagnosis is `fail` was used where only a converged one is allowed."""


class DownloadError(BayesFactorError, RuntimeError):
    """An exchange could not be read."""


class WeightsError(BayesFactorError, ValueError):
    """Portfolio weights do not match the assets of the model."""


class PositionsError(BayesFactorError, ValueError):
    """A table of positions, or how they are to be valued, is not valid."""


class RiskError(BayesFactorError, ValueError):
    """A risk number was asked for that this posterior cannot give."""


class NumericalError(BayesFactorError, ArithmeticError):
    """A number came out infinite or too imprecise to be reported."""


class MissingFileError(BayesFactorError, FileNotFoundError):
    """A file that was named does not exist."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package that called it, through however many of our own it went."""
    warnings.warn(message, category, stacklevel=2, skip_file_prefixes=(_HERE,))


_HERE = str(Path(__file__).parent)


def unknown_names(names: Iterable[str], known: Iterable[str]) -> str:
    """Return a readable list of `names`, each with the nearest `known` one as a hint."""
    candidates = [str(k) for k in known]
    alike = {k.casefold(): k for k in candidates}
    words = []
    for name in map(str, names):
        same = alike.get(name.casefold())
        near = [same] if same is not None else get_close_matches(name, candidates, n=1)
        words.append(f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name))
    return ", ".join(words)
