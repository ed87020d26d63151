"""What a fit and a risk result say of themselves in ten lines, wherever they are shown."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from garch_trees import garch_tree
from test_report import risk_of
from test_report_sections import named
from trees import make_tree, with_attrs, without
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor import accessor
from bayesfactor.cli import app
from bayesfactor.diagnose import diagnose, verdict_lines

WEIGHTS = [0.5, 0.0, -0.2, 0.3]


@pytest.fixture(scope="module")
def tree():
    return make_tree(4, 2, 80, draws=25)


@pytest.fixture(scope="module")
def risk(tree):
    return risk_of(tree, named(tree, WEIGHTS))


def test_a_fit_says_the_main_things(tree):
    found = bf.info(tree)
    assert found.title == "hierarchical-t: made by hand"
    assert found["as of"] == "2024-03-20"
    assert found["window"].startswith("2024-01-01 to 2024-03-20, 80 days")
    assert found["coins"] == "4 in 2 groups: COIN01, COIN02, COIN03, COIN04"
    assert found["factors"] == "market, size"
    assert found["draws"] == "4 chains of 25 draws, by nuts"
    assert f"Computation: {found['verdict']}" == verdict_lines(diagnose(tree, check_adequacy=False))[0]
    assert len(str(found).splitlines()) <= 10


def test_a_fit_says_whether_its_forecast_is_of_a_typical_day(tree):
    """An answer of the law: true of whatever name a structure without dynamics has, false of those with."""
    assert "of a typical day of the window, not of a day after a crash" in bf.info(tree)["forecast"]
    assert bf.info(garch_tree())["forecast"] == "of the next day: volatility follows the days before"
    stacked = bf.stack({"a": garch_tree(), "b": garch_tree(seed=1)}, {"a": 0.5, "b": 0.5}, paths=2)
    assert "typical" not in bf.info(stacked)["forecast"]


def test_a_risk_result_says_the_main_things(risk):
    text = str(bf.info(risk)).replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{NO-BREAK SPACE}", " ")
    assert "3 of 4 coins, gross 100.00 %, net 60.00 %" in text
    for key, name in (("var", "VaR"), ("es", "ES")):
        for level in (0.95, 0.99):
            number = 100 * float(risk[key].sel(level=level))
            assert f"{name} {100 * level:g} %" in text
            assert f"{number:.2f} %" in text
    assert "2024-03-20" in bf.info(risk)["as of"]
    largest = risk["es_contribution"].sel(level=0.99).sum("asset")
    assert (
        str(largest["component"].values[int(np.abs(largest.values).argmax())])
        in bf.info(risk)["ES 99 % from"]
    )
    assert "COIN02" not in text


def test_money_is_said_as_money_and_as_a_share(tree):
    found = bf.info(risk_of(tree, named(tree, WEIGHTS), value=2e6))
    fraction = bf.info(risk_of(tree, named(tree, WEIGHTS)))
    assert found["volatility"].split(" ")[0] == fraction["volatility"].split(",")[0].split(" ")[0]
    assert "(" in found["ES 99 %"]


def test_the_accessor_survives_selecting_copying_and_a_file(tree, risk, tmp_path):
    bf.save(tree, tmp_path / "fit.nc")
    for other in (tree.copy(), bf.load(tmp_path / "fit.nc")):
        assert repr(other.bf) == repr(bf.info(tree))
    assert "ES 95" not in repr(risk.sel(level=[0.99]).bf)
    assert repr(risk.copy(deep=True).bf) == repr(bf.info(risk))


def test_names_are_escaped_in_a_notebook(tree):
    nasty = with_attrs(tree, title="<script>alert(1)</script>")
    assert "<script>" not in nasty.bf._repr_html_()
    assert "&lt;script&gt;" in nasty.bf._repr_html_()


def test_what_is_no_result_says_so(tree):
    assert "no result of bayesfactor" in repr(xr.Dataset().bf)
    assert xr.Dataset().bf._repr_html_() is None
    with pytest.raises(bf.SchemaError, match="info reads a tree"):
        bf.info(3)
    assert "verdict" not in dict(bf.info(without(tree, "sample_stats")).facts)


def test_a_panel_says_what_it_holds():
    panel, _ = bf.simulate_panel(n_assets=3, n_days=30, n_factors=1, random_seed=1)
    assert bf.info(panel)["factors"] == "market"


def test_a_notebook_shows_it_above_the_view_of_xarray(tree, monkeypatch):
    printers = {}

    def for_type(kind, function=None):
        before = printers.get(kind)
        if function is not None:
            printers[kind] = function
        return before

    formatters = {"text/html": SimpleNamespace(for_type=for_type)}
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters=formatters))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    accessor._register()
    shown = printers[xr.DataTree](tree)
    assert shown.index("bayesfactor-info") < shown.index("xr-wrap")
    other = xr.Dataset({"a": 1})
    assert "bayesfactor-info" not in printers[xr.Dataset](other)
    assert "xr-wrap" in printers[xr.Dataset](other)


def test_importing_the_package_alone_loads_nothing_and_any_name_brings_the_accessor():
    code = (
        "import sys, bayesfactor as bf\n"
        "assert 'xarray' not in sys.modules\n"
        "bf.load\n"
        "import xarray as xr\n"
        "assert 'no result' in repr(xr.Dataset().bf)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_says_what_its_numbers_are_of(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bf.save(tree, "fit.nc")
    weights = ",".join(f"{a}={v}" for a, v in named(tree, WEIGHTS).items())
    done = CliRunner().invoke(app, ["risk", "fit.nc", "--weights", weights, "--seed", "1"])
    assert done.exit_code == 0, done.output
    told, _, tables = done.output.partition("Risk over")
    told = told.replace("\N{NARROW NO-BREAK SPACE}", " ")
    verdict = bf.info(tree)["verdict"]
    said = ("hierarchical-t", "2024-01-01 to 2024-03-20", "as of", "gross 100.00 %", "net 60.00 %", verdict)
    assert all(text in told for text in (*said, "typical day"))
    assert "parameters known" in tables
    numbers = [line.split() for line in tables.splitlines() if " to " in line]
    for line in numbers:  # the middle lies in its interval
        at = line.index("to")
        assert float(line[at - 1]) <= float(line[at - 2]) <= float(line[at + 1])
    assert len(numbers) == 6


def test_the_interval_of_a_trade_is_that_of_the_number_left_of_it(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bf.save(tree, "fit.nc")
    (tmp_path / "trades.csv").write_text("trade,asset,change\nless,COIN01,-0.1\n")
    done = CliRunner().invoke(app, ["trades", "fit.nc", "--trades", "trades.csv", "--seed", "1"])
    assert done.exit_code == 0, done.output
    found = [line.split() for line in done.output.splitlines() if " to " in line]
    for line in found:
        at = line.index("to")
        low, middle, high = (float(line[at + i]) for i in (-1, -2, 1))
        assert low <= middle <= high
    assert len(found) == 5
    assert np.isfinite(float(found[0][1]))
