"""What a reader sees of hours says hours: no page and no table speaks of days that are none."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_backtest_report import make_backtest, scored
from trees import make_tree

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.cli import show
from bayesfactor.report.backtest_words import cards, facts, headline, verdict
from bayesfactor.report.contest import COVERAGE_TESTS, contest, rejections

DAYS = re.compile(r"\b(?:days?|daily|tomorrow|365)\b", re.IGNORECASE)
STEPS = {8_760: "hour", 2_190: "4-hour period", 252: "business day", 52: "week", 12: "month"}


def with_year(tree: xr.DataTree, year: int) -> xr.DataTree:
    """Return the tree as if its rows were hours, weeks, ..."""
    freq = {8_760: "h", 2_190: "4h", 252: "B", 52: "W-SUN", 12: "ME"}[year]
    out = tree.copy()
    for name in (s.OBSERVED_DATA, s.CONSTANT_DATA, s.LOG_LIKELIHOOD, s.POSTERIOR):
        data = tree[name].to_dataset()
        if s.TIME in data.dims:
            stamps = pd.date_range("2010-01-01", periods=data.sizes[s.TIME], freq=freq)
            data = data.assign_coords({s.TIME: stamps})
        if "periods_per_year" in data.attrs:
            data = data.assign_attrs(periods_per_year=year)
        out[name] = xr.DataTree(data)
    out.attrs = tree.attrs | {"periods_per_year": year}
    out.attrs.pop("time_labels", None)  # as if it had been fitted to those stamps
    return out


def seen(html: str) -> str:
    """Return the text of a page, without the card, scripts and styles; with the words of its pictures."""
    html = re.sub(r"(?s)<(style|script|pre|svg)\b.*?</\1>", " ", html)
    alts = " ".join(re.findall(r'(?:alt|aria-label|title)="([^"]*)"', html))
    return f"{re.sub(r'<[^>]+>', ' ', html)} {alts}"


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return make_tree(n_assets=4, n_factors=2, n_times=60, draws=60, seed=3)


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error")  # of few posterior draws
@pytest.mark.parametrize("year", [8_760, 52])
def test_a_report_of_other_steps_never_says_day(tree, year, tmp_path: Path):
    other = with_year(tree, year)
    weights = dict.fromkeys(other[s.OBSERVED_DATA][s.ASSET].values.tolist(), 0.25)
    risk = bf.decompose_risk(other, weights, horizon=1, paths=200, random_seed=1)
    diagnosis = bf.diagnose(other)
    bf.report(other, weights, tmp_path / "r.html", risk=risk, diagnosis=diagnosis, random_seed=1)
    text = seen((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert f"60 {STEPS[year]}s" in text
    assert f"the next {STEPS[year]}" in text
    found = [text[max(0, m.start() - 60) : m.end() + 40] for m in DAYS.finditer(text)]
    assert not found


@pytest.mark.parametrize("year", STEPS)
def test_a_backtest_of_other_steps_never_says_day(year, tmp_path: Path, capsys):
    backtest = make_backtest().assign_attrs(periods_per_year=year, window=500, refit_every=30)
    scores = scored(backtest)
    level = float(scores[s.LEVEL][0])
    one = scores.isel(level=0)
    found = contest(backtest, level)
    assert found.step == STEPS[year]
    words = [headline(found), verdict(found, level), *(str(x) for x in facts(backtest, one, found))]
    words += [str(c) for c in cards(found, one, level)]
    show.coverage(one, rejections(one, tuple(COVERAGE_TESTS)), COVERAGE_TESTS)
    words.append(capsys.readouterr().out)
    text = re.sub(rf"\b{STEPS[year]}s?\b", "", " ".join(words), flags=re.IGNORECASE)
    assert not DAYS.findall(text)
    assert f"{STEPS[year]}s" in words[-1]
    bf.report_backtest(
        backtest.isel(level=[0]), tmp_path / "b.html", scores=scores.isel(level=[0]), level=level
    )
    page = seen((tmp_path / "b.html").read_text(encoding="utf-8"))
    page = re.sub(rf"\b{STEPS[year]}s?\b", "", page, flags=re.IGNORECASE)
    assert not [page[max(0, m.start() - 60) : m.end() + 40] for m in DAYS.finditer(page)]


@pytest.mark.filterwarnings("ignore:the Monte-Carlo error")  # of few posterior draws
def test_key_figures_are_of_the_next_hours(tree, capsys):
    risk = bf.decompose_risk(
        with_year(tree, 8_760),
        dict.fromkeys(tree[s.OBSERVED_DATA][s.ASSET].values.tolist(), 0.25),
        horizon=3,
        paths=200,
        random_seed=1,
    )
    show.key_figures(risk)
    out = capsys.readouterr().out
    assert "Risk over the next 3 hours" in out
    # a year has 8760 / 3 horizons of three hours
    annual = float(risk["volatility"]) * np.sqrt(8_760 / 3)
    assert f"{100 * annual:.2f}" in out
