"""The same report as Markdown, as tables in a folder, and of several models on one page."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from garch_trees import garch_tree
from test_report import NASTY, Page, drawn, failing, pictures, rename, risk_of  # noqa: F401 - fixtures
from test_report_sections import make_stress, named, sound
from trees import make_tree, with_attrs
from typer.testing import CliRunner

from bayesfactor.cli import app
from bayesfactor.compare import compare
from bayesfactor.errors import BayesFactorError, ConvergenceError, MissingFileError, RiskError, SchemaError
from bayesfactor.keep import save, write_csv
from bayesfactor.report import report
from bayesfactor.risk import decompose_risk
from bayesfactor.stress import FactorShock, RegimeShift, stress

WEIGHTS = np.array([0.5, 0.4, -0.2, 0.3])
TITLE = "A | B <i>"


@pytest.fixture(scope="module")
def tree():
    return make_tree(4, 2, 80, draws=25)


@pytest.fixture(scope="module")
def other():
    return with_attrs(make_tree(4, 2, 80, draws=25, seed=3, jitter=0.1), model="vague")


@pytest.fixture(scope="module")
def risk(tree):
    return risk_of(tree, named(tree, WEIGHTS))


@pytest.fixture(scope="module")
def given(tree, other, risk):
    """Two fits by name, with what would be computed of them."""
    trees = {"two": tree, "one": other}
    return {
        "tree": trees,
        "risk": {"two": risk, "one": risk_of(other, named(other, WEIGHTS))},
        "diagnosis": {n: sound(t) for n, t in trees.items()},
    }


@pytest.fixture
def write(tree, risk, tmp_path):
    def make(name="r.html", **kwargs):
        options = {"risk": risk, "diagnosis": sound(tree), "random_seed": 1} | kwargs
        path = report(tree, None, tmp_path / name, **options)
        return path.read_text(encoding="utf-8")

    return make


@pytest.fixture
def both(given, tmp_path):
    def make(name="r.html", **kwargs):
        options = given | {"random_seed": 1} | kwargs
        return report(options.pop("tree"), None, tmp_path / name, **options).read_text(encoding="utf-8")

    return make


def markdown_tables(text):
    """Return the rows of every table, cells stripped and unescaped."""
    tables, inside = [], False
    for line in text.splitlines():
        if line.startswith("| "):
            row = [c.strip().replace("\\", "") for c in line.replace("\\|", "\0").strip("| ").split(" | ")]
            tables += [] if inside else [[]]
            tables[-1].append([c.replace("\0", "|") for c in row])
        inside = line.startswith("| ")
    return tables


def test_markdown_has_the_headings_and_the_numbers_of_the_page(write):
    text, page = write("r.md", value=1e6), Page(write("r.html", value=1e6))
    tables = markdown_tables(text)
    assert len(tables) == len(page.tables)
    for one, two in zip(tables, page.tables, strict=True):
        bar = len(two[0]) > len(one[0])  # a bar has no words
        assert one[0] == [c.strip() for c in (two[0][:-1] if bar else two[0])]
        assert len(one) == len(two) + 1  # the line under the heads
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["The model", "Portfolio risk over the next day", "Where the risk comes from"]
    anchors = [h.lower().replace(" ", "-").translate(str.maketrans("", "", ":?,'")) for h in headings]
    assert all(f"](#{a})" in text for a in anchors)
    assert "<svg" not in text
    assert "*Picture: " in text


def test_markup_in_labels_stays_text_in_markdown(tree, tmp_path):
    nasty = rename(tree, {"COIN02": "A|B*<b>"})
    risk = risk_of(nasty, named(nasty, WEIGHTS))
    path = report(nasty, None, tmp_path / "r.md", risk=risk, diagnosis=sound(nasty), title=TITLE)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(r"# A \| B \<i\>")
    assert r"| A\|B\*\<b\> |" in text


def test_the_format_follows_the_suffix_unless_it_is_given(write):
    dated = re.compile(r"Written by bayesfactor on [^.]*")  # a minute may pass in between
    assert dated.sub("", write("r.md")) == dated.sub("", write("r.md", format="markdown"))
    assert write("r.html", format="html").startswith("<!DOCTYPE html>")


REFUSED = {
    "an unknown format": ({"format": "pdf"}, SchemaError, "format is 'html' or 'markdown'; got 'pdf'"),
    "a format that the name denies": (
        {"format": "markdown"},
        SchemaError,
        r"ends in \.md or \.markdown; got 'r",
    ),
    "a folder of tables that is a file": ({"export": "taken"}, SchemaError, "is a file"),
    "a folder of tables nowhere": ({"export": "no/where"}, MissingFileError, "make it first"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_format_that_cannot_be_is_refused(what, write, tmp_path):
    options, error, message = REFUSED[what]
    (tmp_path / "taken").write_text("kept")
    if "export" in options:
        options = {"export": tmp_path / options["export"]}
    with pytest.raises(error, match=message):
        write(**options)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_exported_tables_hold_the_numbers(write, risk, tree, tmp_path):
    write(export=tmp_path / "tables", stress=make_stress(tree))
    names = {p.stem for p in (tmp_path / "tables").glob("*.csv")}
    index = pd.read_csv(tmp_path / "tables" / "index.csv")
    assert names == set(index["table"]) | {"index"}
    assert {p.stem for p in (tmp_path / "tables").glob("*.parquet")} == names
    assets = pd.read_csv(tmp_path / "tables" / "contributions_by_asset.csv").set_index("asset")
    expected = risk["es_contribution"].sel(level=0.99).sum("component").to_series()
    pd.testing.assert_series_equal(
        assets["es_contribution"].loc[expected.index], expected, check_names=False, rtol=1e-14
    )
    figures = pd.read_csv(tmp_path / "tables" / "key_figures.csv").set_index(["figure", "level"])
    assert figures.loc[("Expected shortfall", 0.95), "fraction_of_value"] == float(risk["es"].sel(level=0.95))
    for name in names:
        csv = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        parquet = pd.read_parquet(tmp_path / "tables" / f"{name}.parquet")
        assert list(csv.columns) == list(parquet.columns)
        assert len(csv) == len(parquet)


def test_an_export_leaves_other_files_alone_and_nothing_temporary(write, tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "mine.csv").write_text("a\n1\n")
    write_csv(pd.DataFrame({"table": ["old"], "rows": [1]}), folder / "index.csv", index=False)
    write(export=folder)
    assert (folder / "mine.csv").read_text() == "a\n1\n"
    assert (folder / "index.csv").read_text().startswith("table,title,rows")
    assert all(p.suffix in {".csv", ".parquet"} for p in folder.iterdir())


def test_two_models_stand_side_by_side(both):
    text = both(value=1e6)
    page = Page(text)
    assert page.wrong == page.open == []
    assert len(page.ids) == len(set(page.ids))
    wanted = ["verdict-0", "verdict-1", "models", "ranking", "risk", "contributions", "versions"]
    assert [i for i in page.ids if i in wanted] == wanted
    assert any("two" in row and "one" in row for row in page.tables[0])
    assert {"loadings-0", "loadings-1"} <= set(page.ids)
    links = {v[1:] for tag, name, v in page.attrs if tag == "a" and name == "href"}
    assert links <= set(page.ids)


def test_the_ranking_is_that_of_compare(both, given, tmp_path):
    both(export=tmp_path / "t")
    ranking = pd.read_csv(tmp_path / "t" / "ranking.csv").set_index("model")
    expected = compare(given["tree"], progressbar=False)
    np.testing.assert_allclose(ranking["elpd"], expected["elpd"].loc[ranking.index], rtol=1e-12)


def test_differences_are_those_of_the_numbers_and_of_independent_draws(both, given, tmp_path):
    text = both(export=tmp_path / "t")
    figures = pd.read_csv(tmp_path / "t" / "key_figures.csv").set_index(["figure", "model"])["value"]
    one = float(given["risk"]["one"]["es"].sel(level=0.99))
    name = next(i for i, _ in figures.index if "99" in i and "shortfall" in i)
    assert figures.loc[(name, "one")] == one
    table = next(t for t in Page(text).tables if t[0][0] == "Figure")
    row = next(r for r in table if "shortfall 99" in r[0] and r[1] == "one")
    plain = [c.replace("\N{NARROW NO-BREAK SPACE}", "").replace("\N{MINUS SIGN}", "-") for c in row]
    assert float(plain[2].rstrip("%")) == pytest.approx(100 * one, abs=0.006)
    middles = (float(given["risk"][n]["es_posterior"].sel(level=0.99).median()) for n in ("one", "two"))
    low, high = (float(v.rstrip("%")) for v in plain[6].split(" to "))
    # medians do not subtract: within a tenth of the width of the interval, of these nearly normal draws
    gap = 100 * np.subtract(*middles)
    assert float(plain[5].rstrip("%")) == pytest.approx(gap, abs=0.1 * (high - low))
    sds = (100 * float(given["risk"][n]["es_posterior"].sel(level=0.99).std()) for n in ("one", "two"))
    spread = np.hypot(*sds)
    assert high - low == pytest.approx(2 * 1.645 * spread, rel=0.35)


def test_models_that_cannot_be_ranked_say_why(tree, tmp_path):
    past = garch_tree()
    w = named(tree, WEIGHTS)
    trees = {"static": tree, "dynamic": past}
    given = {n: risk_of(t, w) for n, t in trees.items()}
    path = report(
        trees,
        w,
        tmp_path / "r.html",
        risk=given,
        diagnosis={n: sound(t) for n, t in trees.items()},
        random_seed=1,
    )
    assert "These fits cannot be ranked by leave-one-out scores: " in path.read_text(encoding="utf-8")


def test_a_failed_fit_stops_a_comparison_by_name_unless_it_is_asked_for(both, given, tmp_path):
    bad = given["diagnosis"] | {"one": failing(given["diagnosis"]["one"])}
    with pytest.raises(ConvergenceError, match="the fit 'one' has not converged"):
        both(diagnosis=bad)
    assert list(tmp_path.iterdir()) == []
    text = both(diagnosis=bad, allow_unconverged=True)
    assert 'class="verdict fail" id="verdict-1"' in text


MISUSED = {
    "one fit": (lambda g: g | {"tree": {"two": g["tree"]["two"]}, "risk": None, "diagnosis": None}, SchemaError, "at least two"),
    "risk of no name": (lambda g: g | {"risk": g["risk"]["two"]}, SchemaError, "risk is a mapping"),
    "risk of an unknown name": (lambda g: g | {"risk": {"three": g["risk"]["two"]}}, SchemaError, "risk is a mapping"),
    "a benchmark": (lambda g: g | {"benchmark": {}}, SchemaError, "benchmark belong to one fit"),
    "risk of another question": (
        lambda g: g | {"risk": g["risk"] | {"one": g["risk"]["one"].assign_attrs(horizon=2)}},
        RiskError,
        "the horizons of 'two' and 'one' differ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MISUSED)
def test_a_comparison_that_cannot_be_is_refused(what, given, tmp_path):
    change, error, message = MISUSED[what]
    options = change(given)
    with pytest.raises(error, match=message):
        report(options.pop("tree"), None, tmp_path / "r.html", **options)
    assert issubclass(error, BayesFactorError)
    assert list(tmp_path.iterdir()) == []


def test_names_of_models_are_escaped(given, tmp_path):
    nasty = {k: {NASTY if n == "one" else n: v for n, v in g.items()} for k, g in given.items()}
    path = report(nasty.pop("tree"), None, tmp_path / "r.html", random_seed=1, **nasty)
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.wrong == []
    assert "".join(page.text).count(NASTY) >= 6


def test_the_command_writes_what_the_verb_writes(tree, risk, tmp_path):
    for name, what in (("fit.nc", tree), ("risk.nc", risk), ("stress.nc", make_stress(tree))):
        save(what, tmp_path / name)
    pd.DataFrame({"prior": [0.1], "likelihood": [0.3], "diagnosis": ["ok"]}, index=["es"]).to_csv(
        tmp_path / "prior.csv"
    )
    weights = ",".join(f"{a}={v}" for a, v in named(tree, WEIGHTS).items())
    options = {
        "--out": "r.html", "--risk": "risk.nc", "--stress": "stress.nc", "--sensitivity": "prior.csv",
        "--export": "tables",
    }  # fmt: skip
    typed = [part for k, v in options.items() for part in (k, str(tmp_path / v))]
    command = ["report", str(tmp_path / "fit.nc"), *typed, "--weights", weights, "--benchmark", "equal"]
    done = CliRunner().invoke(app, [*command, "--allow-unconverged", "--seed", "1"])
    assert done.exit_code == 0, done.output
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert {"active", "stress", "sensitivity"} <= set(page.ids)
    assert (tmp_path / "tables" / "stress.csv").is_file()


def test_the_command_takes_levels_and_horizon_of_a_risk_that_was_saved(tree, tmp_path, monkeypatch):
    """What is not typed is not asked for; what is typed and differs is refused."""
    monkeypatch.chdir(tmp_path)
    save(tree, "fit.nc")
    weights = named(tree, WEIGHTS)
    save(decompose_risk(tree, weights, levels=(0.975,), horizon=2, random_seed=1), "risk.nc")
    command = ["report", "fit.nc", "--out", "r.html", "--risk", "risk.nc", "--allow-unconverged"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    for typed in (["--levels", "0.99"], ["--horizon", "1"]):
        done = CliRunner().invoke(app, [*command, *typed])
        assert done.exit_code == 2, done.output
        assert "is asked for. Leave one of them out" in done.output


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--stress", "no.nc"], "no file at"),
        (["--sensitivity", "no.csv"], "no file at"),
        (["--backtest", "fit.nc"], "backtest"),
        (["--risk", "text.nc"], "cannot be read as a Dataset"),
    ],
)
def test_the_command_says_what_it_cannot_read(typed, message, tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tree, "fit.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    done = CliRunner().invoke(app, ["report", "fit.nc", "--out", "r.html", "--allow-unconverged", *typed])
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not (tmp_path / "r.html").exists()


PROBE = """<script>onload = () => {
  const wide = [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll, svg, details:not([open])")
    && e.getBoundingClientRect().right > innerWidth + 1);
  const dead = [...document.querySelectorAll("a")].filter(a => !document.querySelector(a.getAttribute("href")));
  const cut = [...document.querySelectorAll(".scroll:has(table)")].filter(e => e.scrollWidth > e.clientWidth + 1);
  const whole = innerWidth < 1200 || cut.length === 0;
  document.title = `wide ${wide.length} dead ${dead.length} tables ${whole} page ` +
    `${document.documentElement.scrollWidth <= innerWidth}`;
  parent.document.title = document.title;
}</script></body>"""
BROWSER = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=9000", "--dump-dom", "--enable-logging=stderr",
)  # fmt: skip


@pytest.fixture(scope="module")
def wide_pages(given, tmp_path_factory):
    """Pages at their widest: amounts of a large portfolio, many coins and factors, several models."""
    folder = tmp_path_factory.mktemp("wide")
    tree = make_tree(24, 9, 60, draws=25, n_groups=4)
    even, tilted = (named(tree, w) for w in (np.full(24, 1 / 24), np.linspace(0.4, -0.2, 24)))
    risk = risk_of(tree, tilted)
    asked = {"a crash as large as that of March 2020": FactorShock({"market": -0.4}),
             "volatility": RegimeShift(volatility=2.0)}  # fmt: skip
    scenarios = stress(tree, tilted, asked, paths=2, random_seed=1)
    one = report(
        tree, None, folder / "one.html", risk=risk, diagnosis=sound(tree), benchmark=even, value=1.23e9,
        stress=scenarios, random_seed=1,
    )  # fmt: skip
    trees = dict(given["tree"])
    several = report(trees, None, folder / "two.html", risk=given["risk"], diagnosis=given["diagnosis"],
                     value=987_654_321.0, random_seed=1)  # fmt: skip
    pages = {"one fit": one, "several": several}
    return {name: path.read_text(encoding="utf-8").replace("</body>", PROBE) for name, path in pages.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
@pytest.mark.parametrize("width", [390, 768, 1280, 1600])
@pytest.mark.parametrize("which", ["one fit", "several"])
def test_nothing_overflows_in_a_browser(wide_pages, which, width, tmp_path):
    """In a frame of this width no text is beyond it, no table of a desktop is cut, every link is alive."""
    import html

    text = html.escape(wide_pages[which])
    frame = f'<iframe style="width:{width}px;height:2000px;border:0" srcdoc="{text}"></iframe>'
    (tmp_path / "frame.html").write_text(f"<!DOCTYPE html><title>none</title>{frame}", encoding="utf-8")
    done = subprocess.run(
        [*BROWSER, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={max(width, 500)},2100",
         (tmp_path / "frame.html").as_uri()],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "<title>wide 0 dead 0 tables true page true</title>" in done.stdout
    assert "CONSOLE" not in done.stderr


def test_a_backtest_is_shown_in_short(write):
    from test_backtest_report import make_backtest

    page = Page(write(backtest=make_backtest(days=120)))
    assert "backtest" in page.ids
    assert any(table[0][:2] == ["Portfolio", "skew"] for table in page.tables)


def test_a_zarr_backtest_is_read_by_the_command(tmp_path):
    from test_backtest_report import make_backtest

    from bayesfactor.cli.report_command import _dataset

    save(make_backtest(days=60), tmp_path / "b.zarr")
    xr.testing.assert_equal(_dataset(tmp_path / "b.zarr"), make_backtest(days=60))
