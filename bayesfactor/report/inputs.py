"""What `report` is given, checked before anything is computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.diagnose import FINGERPRINTS
from bayesfactor.errors import ConvergenceError, RiskError, SchemaError, unknown_names
from bayesfactor.keep import check_folder, check_place
from bayesfactor.report.section_model import banners
from bayesfactor.report.section_stress import DIGESTS
from bayesfactor.risk.checks import checked_levels, checked_value
from bayesfactor.risk.weights import weights_for

__all__ = [
    "INDEX",
    "check_asked",
    "check_diagnosis",
    "check_risk",
    "check_same_weights",
    "check_value",
    "check_verdict",
    "check_weights",
    "checked_folder",
    "checked_path",
    "format_of",
]

INDEX: Final = "index"
"""Name of the table of exported tables."""
_HTML: Final = (".html", ".htm")
_MARKDOWN: Final = (".md", ".markdown")
_FORMATS: Final = {"html": _HTML, "markdown": _MARKDOWN}
_VERDICTS: Final = ("ok", "warn", "fail")


def format_of(path: str | Path, wanted: str | None) -> str:
    """Return `html` or `markdown`: what is asked for, else what the suffix says.

    Raises
    ------
    SchemaError
        If the format is unknown, or suffix and format do not agree.
    """
    suffix = Path(path).suffix.lower()
    if wanted is not None and wanted not in _FORMATS:
        msg = f"format is 'html' or 'markdown'; got {unknown_names([str(wanted)], tuple(_FORMATS))}."
        raise SchemaError(msg)
    if wanted is None:
        return "markdown" if suffix in _MARKDOWN else "html"
    if suffix not in _FORMATS[wanted]:
        msg = (
            f"a report in {wanted} has a name that ends in {' or '.join(_FORMATS[wanted])}; "
            f"got {Path(path).name!r}. Change the name, or leave format= out."
        )
        raise SchemaError(msg)
    return wanted


def checked_path(path: str | Path, *, markdown: bool = False) -> Path:
    """Return where a report goes, or say why it cannot."""
    path = Path(path)
    known = _HTML + (_MARKDOWN if markdown else ())
    if path.suffix.lower() not in known:
        also = ", or Markdown and ends in .md" if markdown else ""
        msg = f"a report is HTML and its name ends in .html{also}; got {path.name!r}."
        raise SchemaError(msg)
    if path.is_dir():
        msg = f"{str(path)!r} is a folder; give the name of a file."
        raise SchemaError(msg)
    check_place(path)
    return path


def checked_folder(folder: str | Path) -> Path:
    """Return where tables go, or say why they cannot; the folder itself is made later."""
    folder = Path(folder)
    if folder.is_file():
        msg = f"export is a folder that tables are written into; {str(folder)!r} is a file."
        raise SchemaError(msg)
    check_folder(folder if folder.is_dir() else folder.parent)
    for name in (f"{INDEX}.csv", f"{INDEX}.parquet"):
        if folder.is_dir():
            check_place(folder / name)
    return folder


def check_value(value: float | None) -> None:
    """Refuse a value that is no amount of money."""
    if value is not None:
        checked_value(value)


def check_risk(risk: Any, tree: xr.DataTree) -> None:
    """Refuse what is not the risk of this fit."""
    if isinstance(risk, xr.Dataset) and risk.attrs.get("compounding"):
        msg = "a report shows intervals, which risk with compounding=True has none of; decompose without."
        raise RiskError(msg)
    if not isinstance(risk, xr.Dataset) or "es_contribution_posterior" not in risk:
        msg = f"risk is the Dataset that bf.decompose_risk returns; got {type(risk).__name__}."
        raise SchemaError(msg)
    if s.DRIFT not in risk.attrs:
        msg = (
            "risk does not say which expected returns it has: it is of a version whose default was another. "
            "Call bf.decompose_risk on this tree again."
        )
        raise RiskError(msg)
    other = [d for d in DIGESTS if d in risk.attrs and risk.attrs[d] != tree.attrs.get(d)]
    if other or not np.array_equal(risk[s.ASSET].values, tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values):
        what = ", ".join(other) or "the assets"
        msg = f"risk was computed from another fit: {what} differ. Call bf.decompose_risk on this tree."
        raise RiskError(msg)


def check_same_weights(stress: xr.Dataset, risk: xr.Dataset) -> None:
    """Refuse scenarios of another portfolio, or with other expected returns."""
    means = [str(x.attrs.get(s.DRIFT, "not recorded")) for x in (stress, risk)]
    if means[0] != means[1]:
        msg = (
            f"stress has the expected returns drift={means[0]!r}, and risk drift={means[1]!r}. Call both "
            "with one."
        )
        raise RiskError(msg)
    if "weight" not in stress.coords:
        return
    if not _alike(stress["weight"].values, risk["weight"].values):
        msg = (
            "stress is that of other weights than this report's. Call bf.stress with the weights given here."
        )
        raise RiskError(msg)
    straight = [x["delta_weight" if "delta_weight" in x.coords else "weight"].values for x in (stress, risk)]
    if not _alike(*straight):
        msg = "stress and risk hold other positions. Give bf.stress and bf.decompose_risk the same ones."
        raise RiskError(msg)


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a, b, rtol=1e-9, atol=1e-12)


def check_weights(weights: Any, risk: xr.Dataset, *, fill_zero: bool = False) -> None:
    """Refuse the risk of other weights than those given; None stands for those of the risk."""
    if weights is None:
        return
    given = weights_for(weights, risk[s.ASSET].values, allow_zero=True, fill_zero=fill_zero)
    if not _alike(given, risk["weight"].values):
        msg = "risk is that of other weights than those given. Give the same, or weights=None."
        raise RiskError(msg)


def check_asked(
    risk: xr.Dataset,
    tree: xr.DataTree,
    levels: Sequence[float] | None,
    horizon: int | None,
    drift: str | None,
) -> None:
    """Refuse levels, a horizon or a drift that are not those of the risk given beside them."""
    own: dict[str, Any] = {
        "levels": sorted(risk[s.LEVEL].values.tolist()),
        "horizon": int(risk.attrs["horizon"]),
    }
    own[s.DRIFT] = str(risk.attrs[s.DRIFT])
    at = None if levels is None else sorted(checked_levels(tree, levels).tolist())
    asked: dict[str, Any] = {"levels": at, "horizon": horizon, s.DRIFT: drift}
    for name, wanted in asked.items():
        if wanted is not None and wanted != own[name]:
            msg = f"risk has {name} {own[name]}, and {name}={wanted} is asked for. Leave one of them out."
            raise RiskError(msg)


def check_diagnosis(diagnosis: Any, tree: xr.DataTree) -> None:
    """Refuse the diagnosis of another fit: it would speak for draws that it has not seen."""
    attrs = diagnosis.attrs if isinstance(diagnosis, xr.Dataset) else {}
    other = [k for k in FINGERPRINTS if k in attrs and attrs[k] != tree.attrs.get(k)]
    if other:
        msg = f"diagnosis is that of another fit: {', '.join(other)} differ. Call bf.diagnose on this tree."
        raise RiskError(msg)


def check_verdict(diagnosis: Any, *, allow_unconverged: bool, name: str = "") -> None:
    """Refuse a fit that has not converged, unless it is asked for all the same."""
    verdict = diagnosis.attrs.get("verdict") if isinstance(diagnosis, xr.Dataset) else None
    if verdict not in _VERDICTS:
        msg = f"diagnosis is the Dataset that bf.diagnose returns; its verdict is {verdict!r}."
        raise SchemaError(msg)
    if verdict == "fail" and not allow_unconverged:
        banner = banners(diagnosis)[0]
        which = f"the fit {name!r}" if name else "this fit"
        msg = (
            f"{which} has not converged and its risk is not to be reported: {_joined(banner.reasons)}. "
            f"Remedy: {_joined(banner.remedies) or 'fit again with more draws'}. "
            "allow_unconverged=True writes it all the same, under a red banner."
        )
        raise ConvergenceError(msg)


def _joined(sentences: tuple[str, ...]) -> str:
    """Return sentences as parts of one."""
    return "; ".join(x.rstrip(".") for x in sentences)
