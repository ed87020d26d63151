import os
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from trees import make_tree, with_attrs

from bayesfactor import words
from bayesfactor.diagnose import diagnose
from bayesfactor.errors import (
    BayesFactorError,
    ConvergenceError,
    MissingFileError,
    RiskError,
    SchemaError,
    WeightsError,
)
from bayesfactor.report import figures, report
from bayesfactor.risk import decompose_risk
from bayesfactor.schema import label_digests

NASTY = 'A<b>"&$x</td><script>'
VOID = {"meta", "br", "rect", "line", "path", "use", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects ids in order, attributes, text, and every tag that is not closed properly."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.attrs, self.text, self.tables, self.open, self.wrong = (
            [],
            [],
            [],
            [],
            [],
            [],
            [],
        )
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attrs += [(tag, *a) for a in attrs]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr" and self.tables:
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.attrs += [(tag, *a) for a in attrs]
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.text.append(data)
        if self.open and self.open[-1] in {"td", "th"} and self.tables:
            self.tables[-1][-1][-1] += data


def rename(tree, names):
    """Return the fit as it would be of coins of these names."""
    old = tree["observed_data"]["asset"].values
    new = [names.get(a, a) for a in old]
    other = tree.map_over_datasets(lambda d: d.assign_coords(asset=new) if "asset" in d.coords else d)
    return with_attrs(other, **label_digests(other["observed_data"].to_dataset()))


def risk_of(tree, weights, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few paths: rough on purpose
        return decompose_risk(tree, weights, paths=20, random_seed=1, **kwargs)


def failing(diagnosis, **attrs):
    bad = {"verdict": "fail", "reasons": "R-hat of alpha is 1.4\n7 divergences", "remedies": "tune longer"}
    return diagnosis.assign_attrs(bad | attrs)


@pytest.fixture(scope="module")
def tree():
    return make_tree(n_assets=4, n_factors=2, n_times=80, draws=25)


@pytest.fixture(scope="module")
def weights(tree):
    return dict(zip(tree["observed_data"]["asset"].values, [0.5, 0.4, -0.2, 0.3], strict=True))


@pytest.fixture(scope="module")
def risk(tree, weights):
    return risk_of(tree, weights)


@pytest.fixture(scope="module")
def diagnosis(tree):
    return diagnose(tree, check_adequacy=False).assign_attrs(
        verdict="ok", reasons="", remedies="", adequacy="ok"
    )


@pytest.fixture(autouse=True)
def pictures(request, monkeypatch):
    """Pictures cost most of a page's time: drawn only where a test asks for `drawn`."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(figures, "_svg", lambda *_: "<svg></svg>")


@pytest.fixture
def drawn():
    """Ask for real pictures."""


@pytest.fixture(scope="module")
def drawn_page(tree, weights, risk, diagnosis, tmp_path_factory):
    """A page with its pictures."""
    path = tmp_path_factory.mktemp("drawn") / "r.html"
    report(tree, weights, path, risk=risk, diagnosis=diagnosis, random_seed=1, value=1e6)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def write(tree, weights, risk, diagnosis, tmp_path):
    def make(**kwargs):
        given = {"risk": risk, "diagnosis": diagnosis, "random_seed": 1} | kwargs
        path = report(given.pop("tree", tree), weights, tmp_path / "r.html", **given)
        return path.read_text(encoding="utf-8")

    return make


def test_the_page_parses_and_every_tag_is_closed(drawn_page):
    page = Page(drawn_page)
    assert page.wrong == []
    assert page.open == []


def test_ids_are_unique_and_references_resolve(drawn_page):
    page = Page(drawn_page)
    assert len(page.ids) == len(set(page.ids))
    used = {v for _, k, v in page.attrs if k == "aria-labelledby"}
    used |= {v[1:] for _, k, v in page.attrs if k.endswith("href") and v.startswith("#")}
    used |= {m for _, _, v in page.attrs for m in re.findall(r"url\(#([^)]+)\)", v or "")}
    assert used <= set(page.ids)


def test_the_contents_name_every_section(drawn_page):
    page = Page(drawn_page)
    links = [v[1:] for tag, name, v in page.attrs if tag == "a" and name == "href"]
    sections = [v for tag, name, v in page.attrs if tag == "section" and name == "id"]
    wanted = [name for name in sections if name != "adequacy"]  # stands under the verdict
    assert links[1 : 1 + len(wanted)] == links[1 + len(wanted) : 1 + 2 * len(wanted)] == wanted
    assert links[0] == "content"
    assert links[-1] == "top"


def test_the_verdict_comes_first_and_the_rest_in_order(write):
    page = Page(write())
    wanted = ["verdict", "adequacy", "model", "risk", "contributions", "exposures", "loadings", "systematic"]
    wanted += ["tails", "diagnostics", "versions"]
    assert [i for i in page.ids if i in wanted] == wanted


def test_nothing_is_loaded_from_elsewhere(drawn_page):
    text = drawn_page
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for _, name, value in page.attrs:
        if name in {"src", "href", "xlink:href", "srcset", "action"}:
            assert value.startswith("#")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert len(text.encode()) < 5e6
    assert "url(" not in style
    assert not re.search(r"url\((?!#)", text)


def test_totals_are_those_of_the_risk_dataset(write, risk):
    page = Page(write(value=2e6))
    es = float(risk["es"].sel(level=0.99))
    text = "".join(page.text)
    for key in ("var", "es"):
        for level in (0.95, 0.99):
            assert words.percent(float(risk[key].sel(level=level))) in text
    assert words.percent(float(risk["volatility"]) * 365**0.5) in text
    assert f"{words.money(es * 2e6, 2e6)} of 2,000,000" in text
    for table in page.tables[:4]:
        assert table[-1][0] == "Total"
        assert words.percent(es) in table[-1]
        assert words.money(es * 2e6, 2e6) in table[-1]


def test_rows_of_the_table_by_asset_are_the_contributions(write, risk):
    table = Page(write()).tables[3]
    expected = risk["es_contribution"].sel(level=0.99).sum("component")
    rows = {row[0]: row for row in table[1:-1]}
    assert set(rows) == set(risk["asset"].values)
    for asset, row in rows.items():
        assert row[1] == words.percent(float(risk["weight"].sel(asset=asset)))
        assert row[2] == words.percent(float(expected.sel(asset=asset)))


def test_risk_in_money_reads_the_same_as_risk_in_fractions(write, tree, weights):
    money = risk_of(tree, weights, value=5e5)
    in_money, in_fractions = Page(write(risk=money)), Page(write(value=5e5))
    assert in_money.tables == in_fractions.tables
    assert "of 500,000" in "".join(in_money.text)


def test_tables_and_pictures_are_accessible(write):
    page = Page(write())
    assert all(value in {"col", "row"} for tag, name, value in page.attrs if name == "scope")
    assert sum(name == "scope" for _, name, _ in page.attrs) == page.tags.count("th")
    labels = [v for tag, name, v in page.attrs if tag == "figure" and name == "aria-label"]
    assert len(labels) == page.tags.count("figure") >= 5
    assert all(len(label) > 40 for label in labels)
    boxes = [v for tag, name, v in page.attrs if tag == "div" and name == "class" and v == "scroll"]
    assert sum(name == "tabindex" for tag, name, _ in page.attrs if tag == "div") == len(boxes)
    assert ("html", "lang", "en") in page.attrs


@pytest.mark.usefixtures("drawn")
def test_every_label_is_escaped(tree, diagnosis, tmp_path):
    nasty = rename(tree, {"COIN02": NASTY})
    nasty = with_attrs(nasty, title=f"title {NASTY}", card=f"# {NASTY}")
    weights = dict.fromkeys(nasty["observed_data"]["asset"].values, 0.25)
    bad = failing(diagnosis, reasons=f"R-hat of alpha[{NASTY}]")
    path = report(
        nasty, weights, tmp_path / "r.html", risk=risk_of(nasty, weights), diagnosis=bad, allow_unconverged=True,
        title=NASTY,
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert page.wrong == []
    assert sum(row[0] == NASTY for table in page.tables for row in table) == 4  # ES, heat, alone, share
    assert "".join(page.text).count(NASTY) >= 6  # title, heading, reason, row, figure, model, card


@pytest.mark.parametrize("verdict", ["ok", "warn"])
def test_the_banner_shows_verdict_reasons_and_remedies(write, diagnosis, verdict):
    given = diagnosis.assign_attrs(
        verdict=verdict, reasons="one\ntwo", remedies="do this", adequacy="warn", adequacy_reasons="fat tails"
    )
    text = write(diagnosis=given)
    assert f'class="verdict {verdict}" id="verdict"' in text
    assert 'class="verdict warn" id="adequacy"' in text
    assert all(f"<li>{line}</li>" in text for line in ("one", "two", "do this", "fat tails"))


def test_a_failed_fit_is_refused_with_reasons_and_remedies(write, diagnosis, tmp_path):
    with pytest.raises(ConvergenceError, match=r"R-hat of alpha is 1\.4; 7 divergences.*tune longer"):
        write(diagnosis=failing(diagnosis))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_fit_is_written_under_a_red_banner_when_asked_for(write, diagnosis):
    text = write(diagnosis=failing(diagnosis), allow_unconverged=True)
    assert 'class="verdict fail" id="verdict"' in text
    assert text.index("R-hat of alpha is 1.4") < text.index("Portfolio risk over")


def test_a_diagnosis_without_adequacy_has_one_banner(write, diagnosis):
    bare = diagnosis.copy()
    bare.attrs = {"verdict": "ok"}
    assert 'id="adequacy"' not in write(diagnosis=bare)


def test_everything_is_computed_when_only_weights_are_given(tree, weights, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        path = report(
            tree,
            weights,
            tmp_path / "r.html",
            levels=(0.9,),
            horizon=5,
            random_seed=2,
            allow_unconverged=True,
        )
    text = "".join(Page(path.read_text(encoding="utf-8")).text)
    assert "Portfolio risk over the next 5 days" in text
    assert "Expected shortfall 90" in text
    assert path == tmp_path / "r.html"


def test_a_failure_leaves_the_old_file_and_nothing_else(write, tmp_path, monkeypatch):
    target = tmp_path / "r.html"
    target.write_text("old")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_report_replaces_the_old_one_and_leaves_no_temporary_file(write, tmp_path):
    (tmp_path / "r.html").write_text("old")
    assert write().startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


@pytest.fixture(scope="module")
def many():
    tree = make_tree(n_assets=88, n_factors=3, n_times=40, chains=2, draws=10, n_groups=6)
    w = np.linspace(0.03, -0.01, 88)
    return tree, risk_of(tree, dict(zip(tree["observed_data"]["asset"].values, w, strict=True)))


@pytest.mark.usefixtures("drawn")
def test_many_assets_are_folded(many, tmp_path):
    tree, risk = many
    own = diagnose(tree, check_adequacy=False)
    path = report(
        tree, None, tmp_path / "r.html", risk=risk, diagnosis=own, allow_unconverged=True, random_seed=1
    )
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    short, full = page.tables[3], page.tables[4]
    assert [row[0] for row in short[-2:]] == ["other 73 assets", "Total"]
    assert len(short) == 1 + 15 + 1 + 1
    assert len(full) == 1 + 88 + 1
    assert short[-1] == full[-1]
    assert "All 88 assets" in text
    assert [row[0] for row in short[1:16]] == [row[0] for row in full[1:16]]
    assert len(text.encode()) < 5e6


@pytest.mark.usefixtures("drawn")
def test_twenty_assets_stay_below_a_megabyte_and_a_half(tmp_path):
    tree = make_tree(n_assets=20, n_factors=8, n_times=100, chains=2, draws=20, n_groups=4)
    risk = risk_of(tree, dict.fromkeys(tree["observed_data"]["asset"].values, 0.05))
    own = diagnose(tree, check_adequacy=False)
    path = report(
        tree, None, tmp_path / "r.html", risk=risk, diagnosis=own, allow_unconverged=True, random_seed=1
    )
    assert path.stat().st_size < 1.5e6


@pytest.mark.usefixtures("drawn")
def test_the_same_seed_writes_the_same_page(write, drawn_page):
    again = write(value=1e6)
    dated = re.compile(r"Written by bayesfactor on [^.]*\.")
    assert dated.sub("", again) == dated.sub("", drawn_page)


REFUSED = {
    "another suffix": ({"path": "r.pdf"}, SchemaError, r"ends in \.html, or Markdown .* got 'r\.pdf'"),
    "no folder": ({"path": "nowhere/r.html"}, MissingFileError, "make it first"),
    "a negative value": ({"value": -1.0}, RiskError, "worth of the portfolio, is a finite number above 0"),
    "a value that is no number": (
        {"value": float("nan")},
        RiskError,
        "worth of the portfolio, is a finite number above 0",
    ),
    "no tree": ({"tree": None}, SchemaError, "reads the DataTree"),
    "no risk": ({"risk": 3}, SchemaError, "bf.decompose_risk"),
    "no diagnosis": ({"diagnosis": xr.Dataset()}, SchemaError, "bf.diagnose"),
    "weights that miss assets": ({"risk": None, "weights": {"COIN01": 1.0}}, WeightsError, "needs a weight"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_misuse_is_refused_before_anything_is_written(what, tree, weights, risk, diagnosis, tmp_path):
    change, error, message = REFUSED[what]
    given = {
        "tree": tree,
        "weights": weights,
        "risk": risk,
        "diagnosis": diagnosis,
        "path": "r.html",
    } | change
    with pytest.raises(error, match=message):
        report(given.pop("tree"), given.pop("weights"), tmp_path / given.pop("path"), **given)
    assert issubclass(error, BayesFactorError)
    assert list(tmp_path.iterdir()) == []


def test_risk_of_another_fit_is_refused(write, risk):
    with pytest.raises(RiskError, match="another fit: returns_digest"):
        write(risk=risk.assign_attrs(returns_digest="something else"))
    with pytest.raises(RiskError, match="horizon=5 is asked for"):
        write(risk=risk, horizon=5)
    with pytest.raises(RiskError, match=r"levels=\[0\.9\] is asked for"):
        write(risk=risk, levels=[0.9])
    with pytest.raises(RiskError, match=r"levels=\[0\.9\] is asked for"):
        write(risk=risk, levels=0.9)


def test_a_folder_in_the_way_is_refused(write, tmp_path):
    (tmp_path / "r.html").mkdir()
    with pytest.raises(SchemaError, match="is a folder"):
        write()


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (words.percent(0.12345), "12.35 %"),
        (words.percent(-0.000001), "0.00 %"),
        (words.percent(-0.5), "−50.00 %"),
        (words.percent(float("inf")), "infinite"),
        (words.percent(float("nan")), "n/a"),
        (words.money(float("inf"), 1.0), "infinite"),
        (words.chance(0.00001), "< 0.01 %"),
        (words.chance(0.123), "12.3 %"),
        (words.span(0.9, 1.1), "0.90 to 1.10"),
        (words.significant(-0.0012345), "−0.00123"),
        (words.money(-1234567.8, 1e7), "−1,234,568"),
        (words.money(12.5, 100.0), "12.50"),
        (words.interval(-0.01, 0.02), "−1.00 to 2.00 %"),
        (words.interval(float("nan"), 0.02), "n/a"),
        (words.count(1, "day"), "1 day"),
        (words.per_horizon(1, 365), "the next day"),
        (words.per_horizon(10, 52), "the next 10 weeks"),
        (words.per_horizon(2, 100), "the next 2 periods"),
        (words.plain_percent(0.975), "97.5 %"),
    ],
)
def test_numbers_are_said_as_people_read_them(said, text):
    assert said.replace("\N{NARROW NO-BREAK SPACE}", " ") == text


def test_no_sampler_and_no_pyplot_is_imported(tmp_path):
    script = f"""
import sys, warnings
warnings.simplefilter("ignore")
from trees import make_tree
from bayesfactor.report import report
from bayesfactor.risk import decompose_risk
tree = make_tree(n_assets=3, n_times=40, draws=20)
weights = dict.fromkeys(tree["observed_data"]["asset"].values, 0.3)
risk = decompose_risk(tree, weights, paths=5, random_seed=1)
report(tree, weights, {str(tmp_path / "r.html")!r}, risk=risk, allow_unconverged=True, random_seed=1)
found = [m for m in ("pymc", "pytensor", "pymc_extras", "nutpie", "matplotlib.pyplot") if m in sys.modules]
assert not found, found
"""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])},
    )
    assert done.returncode == 0, done.stderr


def test_what_belongs_to_another_fit_or_portfolio_is_refused(tree, risk, diagnosis, tmp_path):
    """A verdict, weights or positions of something else would speak for what they have not seen."""
    path = tmp_path / "r.html"
    foreign = diagnosis.assign_attrs(random_seed="another")
    with pytest.raises(RiskError, match="diagnosis is that of another fit: random_seed"):
        report(tree, None, path, risk=risk, diagnosis=foreign)
    first, *others = risk["asset"].values.tolist()
    with pytest.raises(RiskError, match="risk is that of other weights"):
        report(tree, {first: 1.0, **dict.fromkeys(others, 0.0)}, path, risk=risk, diagnosis=diagnosis)
    assert not path.exists()
