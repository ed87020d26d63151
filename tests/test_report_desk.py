"""What a desk reads first: what is held, of which day the numbers are, and nothing that is not there."""

import inspect
import re
import sys
import warnings

import numpy as np
import pytest
import xarray as xr
from garch_trees import garch_tree
from latent_trees import latent_tree
from test_report import Page, pictures, risk_of  # noqa: F401 - a fixture
from test_report_sections import document, named, sound, text_of
from trees import make_tree
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app
from bayesfactor.laws import LAWS, follows_days
from bayesfactor.plots import plot_loadings, plot_risk, plot_stress, plot_tails
from bayesfactor.positions import read_positions
from bayesfactor.report import report
from bayesfactor.report.content import Facts, Table
from bayesfactor.report.figures import INTERVAL
from bayesfactor.report.section_backtest import backtest_section
from bayesfactor.risk import decompose_risk
from bayesfactor.risk.held import held_of
from bayesfactor.words import money, typical_day

WEIGHTS = [0.5, 0.0, -0.2, 0.3, 0.0, 0.0]


@pytest.fixture(scope="module")
def tree():
    return make_tree(6, 2, 80, draws=25, n_groups=3)  # the third group is COIN03 and COIN06


@pytest.fixture(scope="module")
def risk(tree):
    return risk_of(tree, named(tree, WEIGHTS))


def facts_of(page, name="holdings"):
    for section in page.sections:
        for block in section.of(Facts):
            if block.name == name:
                return dict(block.pairs)
    raise AssertionError(name)


def plain(text):
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def test_gross_net_long_and_short_are_those_of_the_weights(tree, risk):
    found = {k: plain(v) for k, v in facts_of(document(tree, risk)).items()}
    assert found["Gross exposure"] == "100.00 %"
    assert found["Net exposure"] == "60.00 %"
    assert found["Long and short"] == "80.00 % and -20.00 %"
    assert found["Assets held"] == "3 of 6; the others have no row"


def test_with_positions_exposures_count_by_delta_and_notional_by_size(tree):
    """A long call and a short perpetual: deltas by Black's formula, notional |quantity x price|."""
    rows = [
        {"asset": "COIN01", "instrument": "option", "type": "call", "quantity": 30.0, "price": 100.0,
         "strike": 100.0, "days": 30.0, "implied_volatility": 0.8},
        {"asset": "COIN02", "instrument": "perpetual", "quantity": -20.0, "price": 50.0},
        {"asset": "COIN04", "instrument": "greeks", "delta": -700.0},
    ]  # fmt: skip
    positions = read_positions(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = decompose_risk(
            tree, named(tree, WEIGHTS), positions=positions, value=1e4, paths=10, random_seed=1
        )
    deltas = positions.table()["delta"].to_numpy()
    weights = np.array(WEIGHTS)
    weights[[0, 1, 3]] += deltas / 1e4
    held = held_of(found)
    assert held.gross == pytest.approx(np.abs(weights).sum(), rel=1e-12)
    assert held.net == pytest.approx(weights.sum(), rel=1e-12)
    assert held.notional == pytest.approx(np.abs(WEIGHTS).sum() + (3000.0 + 1000.0 + 700.0) / 1e4, rel=1e-12)
    assert (held.count, held.of) == (4, 6)
    said = facts_of(document(tree, (found / 1e4).assign_attrs(found.attrs)))
    assert plain(said["Gross notional, options as their underlying"]) == f"{100 * held.notional:.2f} %"
    assert any(name.startswith("Gross exposure, options by delta") for name in said)


def test_an_option_without_delta_is_held(risk):
    """What is held is what has a weight or a position, not what has a delta."""
    none = np.zeros(6)
    coords = {"delta_weight": ("asset", none), "notional": ("asset", [0, 0, 0, 0.4, 0, 0])}
    found = risk.assign_coords(weight=("asset", none), **coords)
    assert held_of(found).count == 1
    assert held_of(found).notional == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["r.html", "r.md"])
def test_coins_that_are_not_held_have_no_row_anywhere(name, tree, risk, tmp_path):
    folder = tmp_path / "tables"
    path = report(tree, None, tmp_path / name, risk=risk, diagnosis=sound(tree), export=folder, random_seed=1)
    text = path.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"(<tr><th scope=\"row\">|\| )COIN0[256]\b", line)]
    assert rows == []
    for file in folder.glob("*asset*.csv"):
        assert "COIN05" not in file.read_text()
        assert "COIN03" in file.read_text()
    assert "group2" not in (folder / "contributions_by_group.csv").read_text()  # COIN02 and COIN05


def test_coins_of_neither_portfolio_nor_benchmark_have_no_row(tree, risk, tmp_path):
    index = named(tree, [0.5, 0.5, 0.0, 0.0, 0.0, 0.0])
    report(
        tree, None, tmp_path / "r.html", risk=risk, diagnosis=sound(tree), benchmark=index,
        export=tmp_path / "t", random_seed=1,
    )  # fmt: skip
    names = (tmp_path / "t" / "active_by_asset.csv").read_text()
    assert "COIN02" in names
    assert "COIN05" not in names


@pytest.mark.parametrize("make", [make_tree, latent_tree, garch_tree])
def test_a_forecast_of_a_typical_day_is_called_one_where_its_numbers_stand(make):
    tree = make()
    n = tree["observed_data"].sizes["asset"]
    risk = risk_of(tree, named(tree, np.full(n, 1 / n)))
    page = document(tree, risk)
    section = next(x for x in page.sections if x.name == "risk")
    said = [b.text for b in section.blocks if getattr(b, "text", "").startswith("The numbers are a forecast")]
    assert follows_days(tree) is (make is garch_tree)
    assert bool(said) is (make is not garch_tree)
    assert bool(risk.attrs["chained"]) is follows_days(tree)
    if said:
        assert "of a typical day of the window, not of a day after a crash" in said[0]


def test_every_law_says_whether_it_follows_the_days_before():
    assert {name for name, law in LAWS.items() if law.chained} == {"garch"}


def test_the_sentence_speaks_of_the_step_of_the_data():
    assert "a typical hour of the window, not of an hour after a crash" in typical_day(8760)
    assert "a typical week of the window, not of a week after a crash" in typical_day(52)


def test_side_by_side_the_sentence_names_the_models_it_is_true_of(tmp_path):
    trees = {"still": make_tree(4, 2, 60, draws=10), "moving": garch_tree()}
    weights = named(trees["still"], np.full(4, 0.25))
    given = {
        "risk": {n: risk_of(t, weights) for n, t in trees.items()},
        "diagnosis": {n: sound(t) for n, t in trees.items()},
    }
    path = report(trees, weights, tmp_path / "r.md", random_seed=1, **given)
    line = next(x for x in path.read_text(encoding="utf-8").splitlines() if "typical day" in x)
    assert line.startswith("still: The numbers are a forecast")


def test_a_drift_convention_and_a_second_volatility_are_shown_where_the_risk_has_them(tree, risk):
    told = risk.assign_attrs(drift="zero").assign(volatility_central=0.9 * risk["volatility"])
    page = document(tree, told)
    assert facts_of(page)["Expected returns (drift)"].startswith("taken as zero")
    cards = next(x for x in page.sections if x.name == "risk").blocks[2]
    assert any("of the central" in line for line in cards.cards[0].lines)


def test_one_probability_of_intervals_holds_in_pictures_too():
    for draw in (plot_loadings, plot_risk, plot_stress, plot_tails):
        assert inspect.signature(draw).parameters["ci_prob"].default == INTERVAL


def test_no_page_speaks_of_another_probability(tree, risk, tmp_path):
    path = report(tree, None, tmp_path / "r.html", risk=risk, diagnosis=sound(tree), random_seed=1)
    text = plain("".join(Page(path.read_text(encoding="utf-8")).text))
    assert "94 %" not in text
    assert set(re.findall(r"(\d+) % (?:interval|band)", text)) == {"90"}


def test_a_section_with_nothing_to_show_is_left_out_with_its_entry(monkeypatch):
    tree = make_tree(3, 1, 18, draws=10)
    risk = risk_of(tree, named(tree, [1.0, 0.0, 0.0]))
    assert "tails" in [x.name for x in document(tree, risk).sections]
    monkeypatch.setattr(sys.modules["bayesfactor.report.page"], "tails_picture", lambda *_: None)
    assert "tails" not in [x.name for x in document(tree, risk).sections]
    assert "too few returns" not in text_of(document(tree, risk))


def test_a_backtest_without_a_law_has_no_section_on_laws(tmp_path):
    from test_backtest_report import make_backtest

    data = make_backtest(days=60)
    bare = data.assign({v: xr.full_like(data[v], np.nan) for v in ("log_score", "crps", "pit")})
    shown = bf.report_backtest(data, tmp_path / "b.html").read_text(encoding="utf-8")
    left = bf.report_backtest(bare, tmp_path / "c.html").read_text(encoding="utf-8")
    assert 'id="density"' in shown
    assert 'id="density"' not in left
    assert "It forecasts no whole law" not in left
    assert backtest_section(bare).name == "backtest"


@pytest.mark.parametrize(
    ("amount", "worth", "text"),
    [
        (12_345.6, 1e6, "12,346"),
        (-1.5, 5e3, "-1.50"),
        (123_456_789.0, 9e8, "123,456,789"),
        (123_456_789.0, 2e9, "123.46 mn"),
        (-4.2e9, 3e12, "-4.20 bn"),
        (np.inf, 1e9, "infinite"),
    ],
)
def test_amounts_of_large_portfolios_are_in_millions(amount, worth, text):
    assert plain(money(amount, worth)) == text


@pytest.mark.parametrize("command", ["stress", "trades", "forecast", "allocate"])
def test_commands_say_it_too(command, tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trades.csv").write_text("trade,asset,change\nless,COIN01,-0.1\n")
    more = {"stress": ["--shock", "market=-0.2", "--paths", "5"], "trades": ["--trades", "trades.csv"]}
    fits = [("still.nc", tree, True)]
    if command == "forecast":  # the others take long where variances move
        fits.append(("moving.nc", garch_tree(), False))
    for name, fit, said in fits:
        bf.save(fit, name)
        done = CliRunner().invoke(app, [command, name, *more.get(command, []), "--seed", "1"])
        assert done.exit_code == 0, done.output
        assert ("typical day" in done.output) is said


def test_no_row_and_no_column_is_given_to_a_drift_of_nothing(tree, risk):
    """Where no return is expected the component is zero in every draw; where one is, it has its row."""
    means = risk_of(tree, named(tree, WEIGHTS), drift="posterior")
    for one, there in ((risk, False), (means, True)):
        for table in (t for section in document(tree, one).sections for t in section.of(Table)):
            labels = [*table.heads, *(row.label for row in (*table.rows, *table.folded))]
            if {"market", "specific (no factor)"} <= set(labels):
                assert ("drift (alpha)" in labels) is there, table.name
