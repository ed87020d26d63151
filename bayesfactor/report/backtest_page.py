"""`report_backtest`: who forecast best and who was wrong, as one HTML file."""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.calls import verb
from bayesfactor.errors import RiskError, SchemaError
from bayesfactor.keep import write_page
from bayesfactor.report import backtest_words as words
from bayesfactor.report.backtest_figures import pit_picture, race_picture, var_pictures
from bayesfactor.report.backtest_tables import Grid, coverage_grids, density_grids, loss_grid, shortfall_grids
from bayesfactor.report.contest import SIZE, contest
from bayesfactor.report.inputs import checked_path
from bayesfactor.scoring import score_backtest
from bayesfactor.scoring.contract import MODEL, PORTFOLIO, check_backtest, level_position
from bayesfactor.scoring.sampling import sampling

__all__ = ["report_backtest"]

OPEN_PICTURES: Final = 3
"""Portfolios drawn before the rest is folded away."""
_HERE: Final = Path(__file__).parent


@verb
def report_backtest(
    backtest: xr.Dataset,
    path: str | Path,
    *,
    scores: xr.Dataset | None = None,
    reference: str | None = None,
    level: float = 0.975,
    title: str | None = None,
) -> Path:
    """Write one HTML file about a backtest: who forecast best, and whom the days reject.

    The result comes first, with how sure it is, then returns against VaR, losses, tests of
    coverage, of expected shortfall and of the whole law, and what each number means. The file is
    self-contained: nothing is loaded from elsewhere when it is opened.

    Parameters
    ----------
    backtest : Dataset
        From `bf.backtest`.
    path : str or Path
        Ends in `.html` or `.htm`. What stood there before is replaced once the new file is whole.
    scores : Dataset, optional
        From `bf.score_backtest` on this backtest; computed where not given, without a model confidence
        set if arch is not installed.
    reference : str, optional
        Model that the headline holds the best one against: the baseline with the lowest loss where not
        given, the first model where there is no baseline.
    level : float
        One of the levels of the backtest; the page is about it alone.
    title : str, optional
        Heading of the page.

    Returns
    -------
    Path

    Raises
    ------
    SchemaError
        If the backtest, the scores or the suffix is not what is needed.
    MissingFileError
        If the folder does not exist.
    RiskError
        If `level` or `reference` is not in the backtest, or `scores` are those of another one.

    Examples
    --------
    >>> bf.report_backtest(backtest, "backtest.html")  # doctest: +SKIP
    """
    path = checked_path(path)
    data = check_backtest(backtest, "report_backtest")
    position = level_position(data, level)
    if scores is None:
        confidence = 0.9 if find_spec("arch") else None
        scores = score_backtest(data.isel({s.LEVEL: [position]}), reference=reference, confidence=confidence)
    else:
        _check_scores(scores, data)
    scores = scores.isel({s.LEVEL: level_position(scores, level)})
    html = _page(backtest, data, scores, reference, level, title)
    write_page(html, path)
    return path


def _check_scores(scores: xr.Dataset, data: xr.Dataset) -> None:
    if not isinstance(scores, xr.Dataset) or not {"fz0", "kupiec_p", "days"} <= set(scores.data_vars):
        msg = f"scores is the Dataset that bf.score_backtest returns; got {type(scores).__name__}."
        raise SchemaError(msg)
    for dim in (MODEL, PORTFOLIO, s.LEVEL):
        if dim not in scores.coords or not np.array_equal(scores[dim].values, data[dim].values):
            msg = f"scores are those of another backtest: {dim} differs. Call bf.score_backtest on this one."
            raise RiskError(msg)


def _page(
    backtest: xr.Dataset, data: xr.Dataset, scores: xr.Dataset, reference: str | None, level: float,
    title: str | None,
) -> str:  # fmt: skip
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = contest(backtest, level, reference)
    first, last = w.stamps(data[s.TIME].values)
    sizes = (w.count(data.sizes[d], d) for d in (MODEL, PORTFOLIO))
    pictures = var_pictures(data, found, level)
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    html: str = environment.get_template("backtest.html.j2").render(
        title=title or "Backtest of risk forecasts",
        subtitle=f"{' · '.join(sizes)} · {first} to {last} · level {w.plain_percent(level)}",
        style=(_HERE / "style.css").read_text(encoding="utf-8"),
        headline=words.headline(found),
        verdict=words.verdict(found, level),
        css="ok" if found.convincing and found.leader != found.reference else "warn",
        cards=words.cards(found, scores, level),
        banner=words.sampling_banner(sampling(backtest)),
        power=words.power(scores, level),
        facts=words.facts(backtest, scores, found),
        pictures=pictures[:OPEN_PICTURES],
        folded=pictures[OPEN_PICTURES:],
        found=found,
        losses=loss_grid(scores, found),
        has_set="in_confidence_set" in scores,
        race=race_picture(data, found, level_position(data, level)),
        coverage=coverage_grids(scores, found, level),
        shortfall=_shown(shortfall_grids(scores, found)),
        density=_shown(density_grids(scores, found)),
        pit=pit_picture(data, found.shown[0]),
        alpha=w.plain_percent(1.0 - level),
        size=w.plain_percent(SIZE),
        share=w.plain_percent(float(scores.attrs.get("confidence", np.nan))),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return html


def _shown(grids: tuple[Grid, Grid]) -> tuple[Grid, Grid] | None:
    """Return grids that hold a number; None where no model has any, and a section would show nothing."""
    cells = (c.text for _, lines in grids[0].parts for line in lines for c in line.cells)
    return grids if any(text != w.NONE for text in cells) else None
