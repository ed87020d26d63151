"""Several fits on one page: verdicts, who predicts better, and the same risk numbers side by side."""

import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.compare import compare
from bayesfactor.errors import BayesFactorError, RiskError
from bayesfactor.periods import year_in
from bayesfactor.plots import breakdown
from bayesfactor.plots.breakdown import By, measure_name
from bayesfactor.report.content import (
    GIVEN,
    INTERVAL_HEAD,
    Banner,
    Block,
    Cell,
    Column,
    Document,
    Facts,
    Row,
    Section,
    Table,
    Words,
    cells,
    foot,
    lines,
    quantiles,
)
from bayesfactor.report.page import Subject, loadings_section, script, written
from bayesfactor.report.section_backtest import backtest_section
from bayesfactor.report.section_diagnostics import worst_numbers
from bayesfactor.report.section_model import (
    banners,
    cadence_of,
    model_facts,
    stamps,
    versions_section,
    years_of,
)
from bayesfactor.report.section_risk import holdings, typical_words
from bayesfactor.report.tables_contributions import file_of, plain_name
from bayesfactor.risk.held import held_of, only_held

__all__ = ["side_by_side"]

_RANK: Final = ("ok", "warn", "fail")
_MOST_ROWS: Final = 40


def side_by_side(
    subjects: Mapping[str, Subject],
    *,
    value: float | None,
    title: str | None,
    entropy: int,
    backtest: xr.Dataset | None = None,
) -> Document:
    """Return the page; differences are those to the first fit."""
    _check_alike(subjects)
    first = next(iter(subjects.values()))
    over = w.per_horizon(int(first.risk.attrs.get("horizon", 1)), years_of(first.tree))
    names = list(subjects)
    levels = measure_name("es", float(first.risk[s.LEVEL].max()))
    differ = (
        f"Differences are to {names[0]}, if the parameters of both were known: their middle and interval. "
        "The draws of two fits are independent of each other: an interval of a difference that holds zero "
        "says that the fits do not tell the numbers apart."
    )
    tables = [_shares(subjects, by, *what) for by, *what in _BY]
    sections = [
        Section("models", "The models", (_facts(subjects),), "The models"),
        _scores(subjects),
        Section(
            "risk",
            f"Portfolio risk over {over}",
            (
                *typical_words({n: one.found for n, one in subjects.items()}, first.risk),
                Words(differ),
                _figures(subjects, value),
                Facts("holdings", holdings(first.risk, value)),
            ),
            "Key figures",
        ),
        Section(
            "contributions",
            "Where each model sees the risk",
            (Words(f"Shares of {levels}; those of a model add up to 100 %. {differ}"), *tables),
            "Contributions",
        ),
        *_forests(subjects),
        *((backtest_section(backtest),) if backtest is not None else ()),
        versions_section(
            {n: one.tree for n, one in subjects.items()},
            entropy,
            script(_loaded(names), first.risk, value, entropy),
        ),
    ]
    held = held_of(first.risk).count
    return Document(
        title or f"One portfolio, {len(names)} models",
        f"{w.count(held, 'position')} · {', '.join(names)} · data to {stamps(first.tree)[-1]}",
        tuple(_verdict(name, one, i) for i, (name, one) in enumerate(subjects.items())),
        tuple(sections),
        written(),
    )


_BY: Final[tuple[tuple[By, str, str], ...]] = (
    ("family", "Family", "By family of factors"),
    ("component", "Factor", "By factor"),
    ("group", "Group", "By group of assets"),
    ("asset", "Asset", "By asset"),
)


def _check_alike(subjects: Mapping[str, Subject]) -> None:
    """Refuse risks that are not of one question."""
    for (name, one), (other_name, other) in pairwise(subjects.items()):
        what = [
            what
            for what, read in _QUESTION.items()
            if not np.array_equal(np.asarray(read(one.risk)), np.asarray(read(other.risk)))
        ]
        if what:
            msg = (
                f"a comparison needs the risk of one portfolio at the same levels and horizon; "
                f"{', '.join(what)} of {name!r} and {other_name!r} differ. Leave risk= out to compute them."
            )
            raise RiskError(msg)


_QUESTION: Final[dict[str, Callable[[xr.Dataset], object]]] = {
    "the weights": lambda r: sorted(
        zip(r[s.ASSET].values.tolist(), r["weight"].values.tolist(), strict=True)
    ),
    "the levels": lambda r: r[s.LEVEL].values,
    "the horizons": lambda r: int(r.attrs.get("horizon", 1)),
    "the expected returns (drift)": lambda r: str(r.attrs[s.DRIFT]),
}


def _loaded(names: list[str]) -> str:
    return (
        "{"
        + ", ".join(f"{n!r}: bf.load({f'{n}.nc'!r})" for n in names)
        + "}\ntree = next(iter(trees.values()))"
    )


def _verdict(name: str, subject: Subject, i: int) -> Banner:
    """Return the worse of a fit's two verdicts, with the reasons of both."""
    found = banners(subject.diagnosis)
    worst = max((b.css for b in found), key=_RANK.index)
    reasons = tuple(line for b in found for line in b.reasons)
    remedies = tuple(line for b in found for line in b.remedies)
    text = "; ".join(b.headline[0].lower() + b.headline[1:] for b in found)
    return Banner(f"verdict-{i}", worst, worst, f"{name}: {text}", reasons, remedies)


def _facts(subjects: Mapping[str, Subject]) -> Table:
    columns = {
        name: dict((*model_facts(one.tree), *worst_numbers(one.diagnosis))) for name, one in subjects.items()
    }
    keys = list(dict.fromkeys(key for facts in columns.values() for key in facts))
    rows = tuple(
        Row(key, tuple(Cell(facts.get(key, "\N{EN DASH}"), "text") for facts in columns.values()))
        for key in keys
    )
    frame = pd.DataFrame(
        [(k, *(f.get(k, "") for f in columns.values())) for k in keys], columns=["fact", *columns]
    )
    return Table("models", "Models, data and convergence", ("", *columns), rows, frame)


def _scores(subjects: Mapping[str, Subject]) -> Section:
    """Return the ranking by leave-one-out scores, or why there is none."""
    title, short = "Who predicts better?", "Ranking"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of own factors: said below
            table = compare({n: one.tree for n, one in subjects.items()}, progressbar=False)
    except BayesFactorError as error:
        text = f"These fits cannot be ranked by leave-one-out scores: {error}"
        return Section("ranking", title, (Words(text),), short)
    step = cadence_of(next(iter(subjects.values())).tree)
    given = {"factors": "its factors", "past": f"the {step}s before and its factors"}.get(
        str(table.attrs.get("given")), "nothing"
    )
    words = (
        f"Expected log density of a {step} left out, given {given}, in nats over "
        f"{table.attrs['n_observations']} {step}s: larger is better. A difference of less than about two of "
        "its standard errors tells little. The weight is what stacking gives the model in a mixture."
    )
    rows = tuple(Row(str(name), _score_cells(record)) for name, record in table.iterrows())
    heads = ("Model", "ELPD", "Error", "Behind the best", "Its error", "Weight", "Caution")
    frame = table.reset_index(names="model")
    return Section(
        "ranking", title, (Words(words), Table("ranking", "Leave-one-out", heads, rows, frame)), short
    )


def _score_cells(record: Any) -> tuple[Cell, ...]:
    columns = {"elpd": 1, "se": 1, "elpd_diff": 1, "dse": 1, "weight": 2}
    caution = "Pareto k too high" if bool(record["warning"]) else ""
    numbers = (w.number(float(record[name]), decimals) for name, decimals in columns.items())
    return (*cells(*numbers), Cell(caution, "word"))


def _figures(subjects: Mapping[str, Subject], value: float | None) -> Table:
    """Return volatility, VaR and ES, a line a fit, and given the parameters the difference to the first."""
    first = next(iter(subjects.values())).risk
    names = list(subjects)
    scale = (year_in(first) / int(first.attrs.get("horizon", 1))) ** 0.5
    asked: list[tuple[str, str, int | None, float]] = [("Volatility, annualised", "volatility", None, scale)]
    for key, name in (("var", "Value at risk"), ("es", "Expected shortfall")):
        asked += [
            (f"{name} {w.plain_percent(float(v))}", key, i, 1.0) for i, v in enumerate(first[s.LEVEL].values)
        ]
    records = []
    for label, key, i, by in asked:
        at = {} if i is None else {s.LEVEL: i}
        draws = {n: one.risk[f"{key}_posterior"].isel(at).values.ravel() * by for n, one in subjects.items()}
        for n, one in subjects.items():
            gap = _gap(draws[n], draws[names[0]]) if n != names[0] else np.full(1, np.nan)
            point = float(one.risk[key].isel(at)) * by
            records.append((label, n, point, *quantiles(draws[n]), *quantiles(gap)))
    ends = ("", "_low", "_high")
    heads = [f"{name}{end}" for name in ("given", "difference_given") for end in ends]
    frame = pd.DataFrame(records, columns=["figure", "model", "value", *heads])
    money = [] if value is None else [Column("Money", [w.money(x * value, value) for x in frame["value"]])]
    columns = [
        Column("Model", list(frame["model"])),
        Column("Averaged", [w.percent(x) for x in frame["value"]]),
        *money,
        *_interval_columns(GIVEN.capitalize(), frame, "given"),
        *_interval_columns("Difference", frame, "difference_given"),
    ]
    rows = lines(frame["figure"], columns)
    rows = tuple(Row(r.label, (Cell(r.cells[0].text, "word"), *r.cells[1:])) for r in rows)
    return Table("key_figures", "Key figures", ("Figure", *(c.head for c in columns)), rows, frame, wide=True)


def _interval_columns(head: str, frame: pd.DataFrame, name: str, decimals: int = 2) -> list[Column]:
    """Return the middle and the interval of one quantity; empty where there is none."""
    middle, low, high = (frame[f"{name}{end}"] for end in ("", "_low", "_high"))
    there = np.isfinite(middle)
    ends = (w.interval(a, b, decimals) if ok else "" for a, b, ok in zip(low, high, there, strict=True))
    return [
        Column(head, [w.percent(x, decimals) if ok else "" for x, ok in zip(middle, there, strict=True)]),
        Column(INTERVAL_HEAD, list(ends)),
    ]


def _gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return draws of a difference of two independent posteriors: each paired with a shuffled other."""
    rng = np.random.default_rng(0)  # of the pairing alone
    n = max(len(one), len(other))
    found: np.ndarray = rng.permutation(np.resize(one, n)) - rng.permutation(np.resize(other, n))
    return found


def _shares(subjects: Mapping[str, Subject], by: By, corner: str, title: str) -> Table:
    """Return shares of ES at the highest level, a column a fit; a part that a fit lacks has none."""
    names = list(subjects)
    level = float(next(iter(subjects.values())).risk[s.LEVEL].max())
    parts = {
        n: breakdown(only_held(one.risk), measure="es", level=level, by=by) for n, one in subjects.items()
    }
    labels = list(dict.fromkeys(str(v) for p in parts.values() for v in p.labels[p.ordered()]))
    frame = pd.DataFrame({"part": labels})
    draws = {}
    for n, p in parts.items():
        at = {str(v): i for i, v in enumerate(p.labels)}
        given = p.share_draws()
        none = np.full(len(given), np.nan)
        frame[n] = [float(p.share[at[v]]) if v in at else np.nan for v in labels]
        draws[n] = np.stack([given[:, at[v]] if v in at else none for v in labels], axis=1)
    columns = [Column(n, [w.percent(x, 1) for x in frame[n]], w.percent(frame[n].sum(), 1)) for n in names]
    for n in names[1:]:
        gaps = [_gap(*pair) for pair in zip(draws[n].T, draws[names[0]].T, strict=True)]
        key = f"{n} less {names[0]}, given"
        for end, values in zip(("", "_low", "_high"), quantiles(np.stack(gaps, axis=1)), strict=True):
            frame[f"{key}{end}"] = values
        columns += _interval_columns(f"{n} less {names[0]}", frame, key, 1)
    rows = lines([plain_name(v) for v in labels], columns)
    note = f"The first {_MOST_ROWS} of {len(labels)}." if len(labels) > _MOST_ROWS else ""
    heads = (corner, *(c.head for c in columns))
    return Table(
        f"contributions_by_{file_of(by)}",
        title,
        heads,
        rows[:_MOST_ROWS],
        frame.assign(level=level),
        note,
        foot("Total", columns),
        wide=True,
    )


def _forests(subjects: Mapping[str, Subject]) -> list[Section]:
    """Return the loadings of every fit that has some, under its own name."""
    found: list[Section] = []
    for i, (name, one) in enumerate(subjects.items()):
        section = loadings_section(one.tree, only_held(one.risk), f"loadings-{i}")
        if section is not None:
            blocks: tuple[Block, ...] = section.blocks[1:] if found else section.blocks
            found.append(Section(f"loadings-{i}", f"Loadings of {name}", blocks, f"Loadings of {name}"))
    return found
