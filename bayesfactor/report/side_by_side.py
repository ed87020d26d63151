"""Several fits on one page: verdicts, who predicts better, and the same risk numbers side by side."""

import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.compare import compare
from bayesfactor.errors import BayesFactorError, RiskError
from bayesfactor.periods import year_in
from bayesfactor.plots import breakdown
from bayesfactor.plots.breakdown import By, measure_name
from bayesfactor.report import words as w
from bayesfactor.report.content import (
    INTERVAL_HEAD,
    Banner,
    Block,
    Cell,
    Document,
    Row,
    Section,
    Table,
    Words,
    cells,
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
from bayesfactor.report.tables_contributions import plain_name

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
        f"Differences are to {names[0]}. The draws of two fits are independent of each other: an interval of "
        "a difference that holds zero says that the fits do not tell the numbers apart."
    )
    tables = [_shares(subjects, by, *what) for by, *what in _BY]
    sections = [
        Section("models", "The models", (_facts(subjects),), "The models"),
        _scores(subjects),
        Section(
            "risk", f"Portfolio risk over {over}", (Words(differ), _figures(subjects, value)), "Key figures"
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
    held = int((first.risk["weight"].values != 0).sum())
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
    """Return volatility, VaR and ES of each fit, and differences to the first."""
    first = next(iter(subjects.values())).risk
    names = list(subjects)
    horizon = int(first.attrs.get("horizon", 1))
    scale = (year_in(first) / horizon) ** 0.5
    lines: list[tuple[str, str, int | None, float]] = [("Volatility, annualised", "volatility", None, scale)]
    for key, name in (("var", "Value at risk"), ("es", "Expected shortfall")):
        lines += [
            (f"{name} {w.plain_percent(float(v))}", key, i, 1.0) for i, v in enumerate(first[s.LEVEL].values)
        ]
    rows, records = [], []
    for label, key, i, by in lines:
        points, draws = [], []
        for one in subjects.values():
            point, given = one.risk[key], one.risk[f"{key}_posterior"]
            if i is not None:
                point, given = point.isel({s.LEVEL: i}), given.isel({s.LEVEL: i})
            points.append(float(point) * by)
            draws.append(given.values.ravel() * by)
        rows.append(_difference_row(label, points, draws, value if key != "volatility" else None))
        records += [_record(label, n, p, d) for n, p, d in zip(names, points, draws, strict=True)]
    heads = ["Figure"]
    for name in names:
        heads += [name, INTERVAL_HEAD]
    for name in names[1:]:
        heads += [f"{name} less {names[0]}", INTERVAL_HEAD]
    frame = pd.DataFrame(records)
    return Table("key_figures", "Key figures", tuple(heads), tuple(rows), frame, wide=True)


def _record(label: str, model: str, point: float, draws: np.ndarray) -> dict[str, object]:
    low, high = quantiles(draws)
    return {"figure": label, "model": model, "value": point, "low": low, "high": high}


def _difference_row(
    label: str, points: list[float], draws: list[np.ndarray], value: float | None, decimals: int = 2
) -> Row:
    texts = []
    for x, given in zip(points, draws, strict=True):
        money = f" ({w.money(x * value, value)})" if value is not None else ""
        texts += [w.percent(x, decimals) + money, _ends(given, decimals)]
    for x, given in zip(points[1:], draws[1:], strict=True):
        gap = _gap(given, draws[0])
        texts += [w.percent(x - points[0], decimals), _ends(gap, decimals)]
    return Row(label, cells(*texts))


def _ends(draws: np.ndarray, decimals: int) -> str:
    low, high = quantiles(draws)
    return w.interval(low, high, decimals)


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
    parts = {n: breakdown(one.risk, measure="es", level=level, by=by) for n, one in subjects.items()}
    labels = list(dict.fromkeys(str(v) for p in parts.values() for v in p.labels[p.ordered()]))
    rows, records = [], []
    for label in labels[:_MOST_ROWS]:
        points, draws = [], []
        for p in parts.values():
            at = np.flatnonzero(p.labels.astype(str) == label)
            there = len(at) > 0
            points.append(float(p.share[at[0]]) if there else np.nan)
            draws.append(p.share_draws()[:, at[0]] if there else np.full(len(p.draws), np.nan))
        rows.append(_difference_row(plain_name(label), points, draws, None, 1))
        records += [_record(label, n, x, d) for n, x, d in zip(names, points, draws, strict=True)]
    heads = [corner]
    for name in names:
        heads += [name, INTERVAL_HEAD]
    for name in names[1:]:
        heads += [f"{name} less {names[0]}", INTERVAL_HEAD]
    frame = pd.DataFrame(records).rename(columns={"figure": "part", "value": "es_share"}).assign(level=level)
    note = f"The first {_MOST_ROWS} of {len(labels)}." if len(labels) > _MOST_ROWS else ""
    file = f"contributions_by_{'factor' if by == s.COMPONENT else by}"
    return Table(file, title, tuple(heads), tuple(rows), frame, note, wide=True)


def _forests(subjects: Mapping[str, Subject]) -> list[Section]:
    """Return the loadings of every fit that has some, under its own name."""
    found: list[Section] = []
    for i, (name, one) in enumerate(subjects.items()):
        section = loadings_section(one.tree, one.risk, f"loadings-{i}")
        if section is not None:
            blocks: tuple[Block, ...] = section.blocks[1:] if found else section.blocks
            found.append(Section(f"loadings-{i}", f"Loadings of {name}", blocks, f"Loadings of {name}"))
    return found
