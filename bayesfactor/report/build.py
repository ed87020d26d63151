"""`report`: refusals first, then the numbers, then one file written whole or not at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.diagnose import diagnose
from bayesfactor.errors import ConvergenceError, MissingFileError, RiskError, SchemaError
from bayesfactor.keep import written_whole
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.report.figures import loadings_picture, tails_picture
from bayesfactor.report.page import banners, page
from bayesfactor.risk import decompose_risk

__all__ = ["checked_path", "report"]

_SUFFIXES: Final = (".html", ".htm")
_VERDICTS: Final = ("ok", "warn", "fail")
_DIGESTS: Final = ("card_digest", "returns_digest", "factors_digest")


def report(
    tree: xr.DataTree,
    weights: Any,
    path: str | Path,
    *,
    levels: Sequence[float] = (0.95, 0.99),
    horizon: int = 1,
    value: float | None = None,
    title: str | None = None,
    allow_unconverged: bool = False,
    random_seed: Seed = None,
    risk: xr.Dataset | None = None,
    diagnosis: xr.Dataset | None = None,
) -> Path:
    """Write one HTML file about a fit and the risk of a portfolio, for a reader who was not there.

    The verdict on the fit comes first, then the model, the risk and where it comes from, the
    loadings, a check of the tails, and what is needed to compute it all again. The file is
    self-contained: nothing is loaded from elsewhere when it is opened.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`.
    weights : mapping, Series or DataArray (asset)
        Fractions of the portfolio's value, as `bf.decompose_risk` takes them; ignored where
        `risk` is given.
    path : str or Path
        Ends in `.html` or `.htm`. What stood there before is replaced once the new file is whole.
    levels : sequence of float
        Confidence levels of VaR and ES; contributions are shown at the highest.
    horizon : int
        Periods ahead.
    value : float, optional
        Portfolio value; where given, risk is shown in money as well.
    title : str, optional
        Heading of the page.
    allow_unconverged : bool
        Write the report of a fit whose verdict is `fail`, under a red banner.
    random_seed : int, Generator or SeedSequence, optional
        Reproduces the simulated scenarios.
    risk : Dataset, optional
        From `bf.decompose_risk` on this tree; computed where not given. Its levels, horizon and
        value are then those of the report.
    diagnosis : Dataset, optional
        From `bf.diagnose` on this tree; computed where not given.

    Returns
    -------
    Path

    Raises
    ------
    ConvergenceError
        If the verdict is `fail` and `allow_unconverged` is not set.
    MissingFileError
        If the folder does not exist.
    SchemaError
        If the tree, the risk, the diagnosis or the suffix is not what is needed.
    RiskError
        If `value` is not positive, `risk` belongs to another fit, or `bf.decompose_risk` refuses.
    WeightsError
        If the weights do not match the assets.

    Examples
    --------
    >>> bf.report(tree, {"BTC": 0.6, "ETH": 0.4}, "risk.html", value=1e6)  # doctest: +SKIP
    """
    path = checked_path(path)
    s.check_tree(tree, s.POSTERIOR, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="report")
    if value is not None and not (np.isfinite(value) and value > 0):
        msg = f"value is the positive worth of the portfolio; got {value!r}."
        raise RiskError(msg)
    if risk is not None:
        _check_risk(risk, tree)
    diagnosis = diagnose(tree) if diagnosis is None else diagnosis
    _check_verdict(diagnosis, allow_unconverged=allow_unconverged)
    entropy = root_entropy(random_seed)
    if risk is None:
        risk = decompose_risk(tree, weights, levels=levels, horizon=horizon, random_seed=entropy)
    worth = float(risk.attrs.get("value", 1.0))
    fractions = (risk / worth).assign_attrs(risk.attrs)
    html = page(
        tree,
        fractions,
        diagnosis,
        value=value if value is not None else (worth if worth != 1.0 else None),
        title=title,
        loadings=loadings_picture(tree, fractions["weight"]),
        tails=tails_picture(tree, entropy),
        entropy=entropy,
    )
    with written_whole(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def checked_path(path: str | Path) -> Path:
    """Return where a report goes, or say why it cannot."""
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        msg = f"a report is HTML and its name ends in .html; got {path.name!r}."
        raise SchemaError(msg)
    if not path.parent.is_dir():
        msg = f"the folder {str(path.parent)!r} does not exist; make it first."
        raise MissingFileError(msg)
    if path.is_dir():
        msg = f"{str(path)!r} is a folder; give the name of a file."
        raise SchemaError(msg)
    return path


def _check_risk(risk: xr.Dataset, tree: xr.DataTree) -> None:
    if isinstance(risk, xr.Dataset) and risk.attrs.get("compounding"):
        msg = "a report shows intervals, which risk with compounding=True has none of; decompose without."
        raise RiskError(msg)
    if not isinstance(risk, xr.Dataset) or "es_contribution_posterior" not in risk:
        msg = f"risk is the Dataset that bf.decompose_risk returns; got {type(risk).__name__}."
        raise SchemaError(msg)
    other = [d for d in _DIGESTS if d in risk.attrs and risk.attrs[d] != tree.attrs.get(d)]
    if other or not np.array_equal(risk[s.ASSET].values, tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values):
        what = ", ".join(other) or "the assets"
        msg = f"risk was computed from another fit: {what} differ. Call bf.decompose_risk on this tree."
        raise RiskError(msg)


def _check_verdict(diagnosis: xr.Dataset, *, allow_unconverged: bool) -> None:
    verdict = diagnosis.attrs.get("verdict") if isinstance(diagnosis, xr.Dataset) else None
    if verdict not in _VERDICTS:
        msg = f"diagnosis is the Dataset that bf.diagnose returns; its verdict is {verdict!r}."
        raise SchemaError(msg)
    if verdict == "fail" and not allow_unconverged:
        banner = banners(diagnosis)[0]
        msg = (
            f"this fit has not converged and its risk is not to be reported: {'; '.join(banner.reasons)}. "
            f"Remedy: {'; '.join(banner.remedies) or 'fit again with more draws'}. "
            "allow_unconverged=True writes it all the same, under a red banner."
        )
        raise ConvergenceError(msg)
