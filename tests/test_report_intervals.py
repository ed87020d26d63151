"""Every interval of a report stands right of the point that it is of: the same quantity, whatever the fit."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from garch_trees import garch_tree
from test_report import Page, pictures, risk_of  # noqa: F401 - a fixture
from test_report_formats import markdown_tables
from test_report_sections import make_stress, named, sound
from trees import make_tree

from bayesfactor.positions import read_positions
from bayesfactor.report import report
from bayesfactor.risk import decompose_risk

INTERVAL = re.compile(r"^(\S+) to (\S+?)(?: %)?$")
WEIGHTS = {
    "long and short": [0.5, 0.4, -0.2, 0.3],
    "tiny": [1.0, 1e-7, -1e-7, 1e-9],
    "zeros": [0.6, 0.0, 0.0, -0.6],
}


def vague(own_market):
    """Draws so far apart that an averaged number may lie outside the interval of the number given them."""
    return make_tree(4, 2, 80, draws=25, own_market=own_market, jitter=0.3)


def plain(text):
    for sign in ("\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"):
        text = text.replace(sign, " ")
    return text.replace("\N{MINUS SIGN}", "-").replace(",", "").strip()


def number(text):
    found = re.match(r"^-?[\d.]+", text)
    return float(found[0]) if found else None


def outside(tables):
    """Return the cells whose interval does not hold the cell before, and how many were looked at."""
    wrong, seen = [], 0
    for table in tables:
        for row in table[1:]:
            cells = [plain(c) for c in row]
            for point, interval in pairwise(cells[1:]):
                ends = INTERVAL.match(interval)
                if ends is None or number(point) is None:
                    continue
                seen += 1
                if not float(ends[1]) <= number(point) <= float(ends[2]):
                    wrong.append((table[0][0], row))
    return wrong, seen


def check_cards(text):
    """The cards name their point: `parameters known: 4.91 % (90 % interval 4.60 to 5.51 %)`."""
    pattern = r"parameters known: (-?[\d.]+) % \(90 % interval (-?[\d.]+) to (-?[\d.]+) %\)"
    found = re.findall(pattern, plain(text))
    assert found
    for middle, low, high in found:
        assert float(low) <= float(middle) <= float(high)


def check_files(folder):
    """A column with `_low` and `_high` lies between them."""
    seen = 0
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path)
        for name in table:
            if {f"{name}_low", f"{name}_high"} <= set(table):
                one = table[[f"{name}_low", name, f"{name}_high"]].dropna().to_numpy()
                assert (np.diff(one, axis=1) >= -1e-12 * np.abs(one[:, 1:])).all(), (path.name, name)
                seen += len(one)
    assert seen > 10


def check(tree, risk, folder, **given):
    """Write the page, the Markdown and the tables, and hold every interval against its point."""
    seen = []
    for name in ("r.html", "r.md"):
        path = report(
            tree, None, folder / name, risk=risk, diagnosis=sound(tree), random_seed=1,
            export=folder / "tables", **given,
        )  # fmt: skip
        text = path.read_text(encoding="utf-8")
        tables = Page(text).tables if name.endswith("html") else markdown_tables(text)
        wrong, count = outside(tables)
        assert wrong == []
        seen.append(count)
        check_cards("".join(Page(text).text) if name.endswith("html") else re.sub(r"\\(.)", r"\1", text))
    assert seen[0] == seen[1] > 5
    check_files(folder / "tables")
    return Page((folder / "r.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("what", WEIGHTS)
def test_points_lie_in_their_intervals(what, tmp_path):
    tree = vague(own_market=what != "long and short")
    risk = risk_of(tree, named(tree, WEIGHTS[what]), horizon=5, drift="posterior")
    even = named(tree, np.full(4, 0.25))
    stress = make_stress(tree).assign_coords(weight=("asset", WEIGHTS[what]))
    check(tree, risk, tmp_path, value=1e6, benchmark=even, stress=stress.assign_attrs(drift="posterior"))


def test_such_a_fit_has_numbers_outside_the_interval_of_their_own():
    """Else the test above would show nothing: the drift of an averaged volatility is no drift given a draw."""
    tree = vague(own_market=False)
    risk = risk_of(tree, named(tree, WEIGHTS["long and short"]), horizon=5, drift="posterior")
    drift = risk["volatility_contribution"].sel(component="drift").sum("asset")
    given = risk["volatility_contribution_posterior"].sel(component="drift").sum("asset")
    assert float(drift) > float(given.quantile(0.95)) + 1e-4


def test_points_lie_in_their_intervals_with_dynamics_and_with_positions(tmp_path):
    (tmp_path / "garch").mkdir()
    tree = garch_tree()
    weights = np.linspace(0.5, -0.3, tree["observed_data"].sizes["asset"])
    check(tree, risk_of(tree, named(tree, weights), horizon=2), tmp_path / "garch")
    tree = make_tree(4, 2, 80, draws=25)
    row = {"asset": "COIN03", "instrument": "option", "type": "put", "quantity": -40.0, "price": 100.0}
    positions = read_positions([row | {"strike": 90.0, "days": 20.0, "implied_volatility": 0.8}])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        weights = named(tree, [0.3, 0.0, 0.0, -0.1])
        risk = decompose_risk(tree, weights, positions=positions, value=1e4, paths=20, random_seed=1)
    check(tree, risk, tmp_path)


def test_points_lie_in_their_intervals_side_by_side(tmp_path):
    trees = {"one": vague(own_market=False), "two": make_tree(4, 2, 80, draws=25, seed=3, jitter=0.1)}
    weights = {n: named(t, WEIGHTS["long and short"]) for n, t in trees.items()}
    given = {
        "risk": {n: risk_of(t, weights[n], drift="posterior") for n, t in trees.items()},
        "diagnosis": {n: sound(t) for n, t in trees.items()},
    }
    text = report(trees, None, tmp_path / "r.html", value=1e6, export=tmp_path / "t", random_seed=1, **given)
    wrong, seen = outside(Page(text.read_text(encoding="utf-8")).tables)
    assert wrong == []
    assert seen > 20
    check_files(tmp_path / "t")
