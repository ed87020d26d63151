"""The page about a backtest, and the picture of one: what they say is what the scores say."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from scipy import stats
from test_report import NASTY, Page

import bayesfactor as bf
from bayesfactor.errors import MissingFileError, RiskError, SchemaError
from bayesfactor.report import backtest_page
from bayesfactor.report import backtest_tables as tables
from bayesfactor.report import backtest_words as words
from bayesfactor.report.contest import (
    COVERAGE_TESTS,
    SIZE,
    UNIFORMITY_TESTS,
    contest,
    rejections,
)
from bayesfactor.scoring import compare_mean_loss, holm, score_backtest
from bayesfactor.scoring.sampling import sampling

mpl.use("Agg")
NU = 5
LEVEL = 0.975
SCALES = {"skew": 1.0, "near": 1.02, "calm": 0.5, "wild": 3.0}
"""By name: what the forecast scale is of the true one. The last two are the baselines."""


def make_backtest(
    scales=None, *, portfolios=("all", "pair"), days=440, levels=(0.95, LEVEL), baselines=2, seed=3
):
    """Returns of a t law whose scale moves, and forecasts that know it up to a factor."""
    scales = SCALES if scales is None else scales
    rng = np.random.default_rng(seed)
    scale = 0.03 * np.exp(0.3 * rng.standard_normal((days, len(portfolios))))
    y = scale * rng.standard_t(NU, size=scale.shape)
    sigma = scale[:, None] * np.array(list(scales.values()))[:, None]
    sigma = sigma * np.exp(0.03 * rng.standard_normal(sigma.shape))
    q = -stats.t.ppf(1 - np.array(levels), NU)
    e = stats.t.pdf(q, NU) * (NU + q * q) / (NU - 1) / (1 - np.array(levels))
    z = y[:, None] / sigma
    dims, n = ("time", "model", "portfolio"), len(scales)
    rhat = np.full((n, 20), np.nan)
    rhat[: n - baselines] = 1.01
    return xr.Dataset(
        {
            "var": ((*dims, "level"), sigma[..., None] * q),
            "es": ((*dims, "level"), sigma[..., None] * e),
            "pit": (dims, stats.t.cdf(z, NU)),
            "log_score": (dims, stats.t.logpdf(z, NU) - np.log(sigma)),
            "crps": (dims, np.abs(y[:, None]) + 0.1 * sigma),
            "realised": (("time", "portfolio"), y),
            "rhat": (("model", "refit"), rhat),
        },
        coords={
            "time": np.datetime64("2024-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D"),
            "model": list(scales),
            "portfolio": list(portfolios),
            "level": list(levels),
            "kind": ("model", ["model"] * (n - baselines) + ["baseline"] * baselines),
        },
        attrs={"window": 250, "refit_every": 15, "draws": 100, "tune": 200, "chains": 2, "random_seed": "1"},
    )


def scored(backtest, **kwargs):
    return score_backtest(backtest, **{"replications": 60, "confidence": None, **kwargs})


@pytest.fixture(scope="module")
def backtest():
    return make_backtest()


@pytest.fixture(scope="module")
def scores(backtest):
    return score_backtest(backtest, replications=60)


@pytest.fixture(scope="module")
def page(backtest, scores, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "backtest.html"
    assert bf.report_backtest(backtest, path, scores=scores) == path
    return Page(path.read_text(encoding="utf-8"))


def cells(grid):
    return {(heading, line.label): line.cells for heading, lines in grid.parts for line in lines}


def written(backtest, path, **kwargs):
    kwargs.setdefault("scores", scored(backtest))
    return Page(bf.report_backtest(backtest, path, **kwargs).read_text(encoding="utf-8"))


def test_the_page_is_closed_and_loads_nothing(page):
    assert page.wrong == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    loads = [
        v for _, k, v in page.attrs if k in {"src", "href", "xlink:href", "data"} and not v.startswith("#")
    ]
    assert loads == []
    assert "script" not in page.tags
    assert "link" not in page.tags


def test_the_page_has_every_part_in_order(page):
    parts = [
        i
        for i in page.ids
        if i in {"sampling", "result", "losses", "var", "coverage", "shortfall", "density", "notes"}
    ]
    assert parts == ["sampling", "result", "losses", "var", "coverage", "shortfall", "density", "notes"]
    text = " ".join(page.text)
    for name in (*SCALES, "all", "pair", "the 250 days before it", "every 15 days"):
        assert name in text


def test_the_loss_table_is_that_of_the_scores(page, backtest, scores):
    table = page.tables[0]
    assert table[0] == ["Portfolio", *SCALES]
    at = scores.sel(level=LEVEL)
    for row, portfolio in zip(table[1:3], ("all", "pair"), strict=True):
        expected = [f"{v:.3f}".replace("-", "−") for v in at["fz0"].sel(portfolio=portfolio).values]
        assert row == [portfolio, *expected]
    mean = compare_mean_loss(backtest, LEVEL)["mean_loss"].values
    assert table[3] == ["Mean of portfolios", *(f"{v:.3f}".replace("-", "−") for v in mean)]


def test_the_lowest_loss_is_bold_and_the_confidence_set_shaded(backtest, scores):
    at = scores.sel(level=LEVEL)
    grid = tables.loss_grid(at, contest(backtest, LEVEL))
    for (_, portfolio), row in cells(grid).items():
        one = at.sel(portfolio=portfolio)
        bold = [i for i, c in enumerate(row) if "best" in c.css.split()]
        assert bold == [int(one["fz0"].values.argmin())]
        assert ["inset" in c.css.split() for c in row] == one["in_confidence_set"].values.tolist()
    assert 0 < int(at["in_confidence_set"].sum()) < at["in_confidence_set"].size


def test_a_mark_is_a_rejection_after_holm_over_one_model(page, scores):
    at = scores.sel(level=LEVEL)
    no = rejections(at, tuple(COVERAGE_TESTS))
    marked = {}
    for model in SCALES:
        p = np.stack([at[t].sel(model=model).values for t in COVERAGE_TESTS])
        assert np.array_equal(
            holm(p) <= SIZE, np.stack([no[t].sel(model=model).values for t in COVERAGE_TESTS])
        )
        marked[model] = int((holm(p) <= SIZE).sum())
    assert marked["calm"] > 0 == marked["skew"]
    details = page.tables[2]
    for model, expected in marked.items():
        rows = [row for row in details if row[0] == model]
        assert len(rows) == 2
        assert sum("✕" in cell for row in rows for cell in row) == expected


def test_coverage_counts_days_of_all_portfolios(page, scores):
    at = scores.sel(level=LEVEL)
    rows = {row[0]: row for row in page.tables[1][1:]}
    for model in SCALES:
        hits = at["hits"].sel(model=model).sum()
        assert rows[model][1:4] == [f"{float(hits):.0f}", "22.0", f"{float(hits) / 8.8:.2f}\u202f%"]


def test_rejections_of_a_model_do_not_depend_on_the_others(scores):
    at = scores.sel(level=LEVEL)
    alone = rejections(at.sel(model=["calm"]), tuple(UNIFORMITY_TESTS))
    xr.testing.assert_equal(alone, rejections(at, tuple(UNIFORMITY_TESTS)).sel(model=["calm"]))


def test_against_the_best_baseline_unless_told(backtest):
    found = contest(backtest, LEVEL)
    losses = {m: found.losses[m] for m in ("calm", "wild")}
    assert found.reference == min(losses, key=losses.get)
    assert found.leader == found.challenger
    table = compare_mean_loss(backtest, LEVEL, found.reference).sel(model=found.challenger)
    assert (found.difference, found.p) == (table["difference"], table["diebold_mariano_p"])
    assert contest(backtest, LEVEL, "near").reference == "near"
    assert contest(backtest.drop_vars("kind"), LEVEL).reference == "skew"


def test_a_model_that_is_better_is_said_to_be(backtest):
    found = contest(backtest, LEVEL)
    assert found.p < SIZE
    assert (
        words.headline(found)
        == f"{found.leader} forecasts tail risk better than the baseline {found.reference}"
    )
    assert "more than chance" in words.verdict(found, LEVEL)
    assert f"{-found.difference:.3f} below" in words.verdict(found, LEVEL)


def test_a_difference_that_may_be_chance_is_called_that():
    even = make_backtest({"skew": 1.0, "calm": 1.05}, baselines=1)
    found = contest(even, LEVEL)
    assert found.leader == "skew"
    assert found.p > SIZE
    assert "do not tell it from the baseline calm" in words.headline(found)
    assert "these days do not tell the two apart" in words.verdict(found, LEVEL)


def test_a_baseline_ahead_is_not_hidden():
    found = contest(make_backtest({"skew": 2.0, "near": 1.6, "calm": 1.0}, baselines=1), LEVEL)
    assert (found.leader, found.challenger, found.reference) == ("calm", "near", "calm")
    assert words.headline(found) == "No model forecasts tail risk better than the baseline calm"
    assert found.difference > 0
    assert f"{found.difference:.3f} above" in words.verdict(found, LEVEL)


def test_both_tests_have_to_agree(backtest):
    from dataclasses import replace

    found = contest(backtest, LEVEL)
    assert found.convincing
    assert not replace(found, bootstrap_p=0.2).convincing
    assert not replace(found, p=0.2).convincing
    assert not replace(found, p=np.nan).convincing


def test_a_small_p_on_few_days_convinces_nobody(backtest):
    found = contest(backtest.isel(time=slice(0, 300)), LEVEL)
    assert found.significant
    assert found.expected == pytest.approx(7.5)
    assert "do not tell it from" in words.headline(found)
    assert "7.5 exceedances of a portfolio" in words.verdict(found, LEVEL)


def test_one_model_alone_has_a_page(tmp_path):
    page = written(make_backtest({"skew": 1.0}, baselines=0), tmp_path / "one.html")
    assert "skew, with nothing to hold it against" in "".join(page.text)


def test_days_too_few_to_rank_are_said_to_be(tmp_path):
    page = written(make_backtest(days=15), tmp_path / "few.html")
    assert "cannot be ranked" in "".join(page.text)
    assert page.tables[0][1] == ["all", "n/a", "n/a", "n/a", "n/a"]


def test_holes_have_a_page(backtest, tmp_path):
    """A model silent on a portfolio, one without a law, a portfolio never held, no kinds, no fits, no attrs."""
    holed = backtest.drop_vars(["kind", "rhat"]).assign_attrs({}).copy(deep=True)
    holed.attrs = {}
    for name in ("var", "es", "pit", "log_score", "crps"):
        holed[name].loc[{"model": "wild", "portfolio": "pair"}] = np.nan
    for name in ("pit", "log_score"):
        holed[name].loc[{"model": "skew"}] = np.nan
    never = holed.isel(portfolio=[0]).assign_coords(portfolio=["never"]) * np.nan
    page = written(xr.concat([holed, never], "portfolio"), tmp_path / "holes.html")
    assert page.wrong == []
    assert "sampling" not in page.ids
    text = "".join(page.text)
    assert "Window of a fit" not in text
    assert "nan" not in text


def test_names_are_text_and_not_markup(tmp_path):
    nasty = make_backtest({NASTY: 1.0, "$x^{2}$": 1.1}, portfolios=(NASTY,), baselines=1)
    page = written(nasty, tmp_path / "nasty.html", title=NASTY)
    assert page.wrong == []
    assert "script" not in page.tags
    assert page.tables[0][0] == ["Portfolio", NASTY, "$x^{2}$"]


def bad_fits(backtest, **share):
    out = backtest.copy(deep=True)
    for model, bad in share.items():
        out["rhat"].loc[{"model": model}] = np.r_[np.full(bad, 1.3), np.full(20 - bad, 1.0)]
    return words.sampling_banner(sampling(out))


def test_fits_that_did_not_converge_are_named(backtest, scores, tmp_path):
    assert bad_fits(backtest).css == "ok"
    few, many = bad_fits(backtest, near=2), bad_fits(backtest, near=3, skew=1)
    assert (few.css, few.headline) == ("warn", "Some fits did not converge: near")
    assert few.reasons == ("near: 2 of 20 fits with an R-hat above 1.05, the largest 1.30",)
    assert (many.css, many.headline) == ("fail", "Many fits did not converge: do not rely on near, skew")
    spoilt = backtest.copy(deep=True)
    spoilt["rhat"].loc[{"model": "near"}] = 1.4
    page = written(spoilt, tmp_path / "bad.html", scores=scores)
    assert ("section", "class", "verdict fail") in page.attrs


def test_baselines_are_not_judged_for_fits(backtest):
    assert [f.model for f in sampling(backtest)] == ["skew", "near"]
    assert words.sampling_banner(sampling(backtest.sel(model=["calm", "wild"]))) is None


def test_few_expected_exceedances_are_cautioned_about(scores):
    at = scores.sel(level=LEVEL)
    assert words.power(at, LEVEL) == ""
    assert "5.5 exceedances" in words.power(at.assign(days=at["days"] / [1, 2]), LEVEL)
    assert words.power(at.assign(days=at["days"] * [1, 0]), LEVEL) == ""
    assert words.power(at.assign(days=at["days"] * 0), LEVEL) == ""


def test_scores_are_computed_where_none_are_given(backtest, tmp_path, monkeypatch):
    def few(data, **kwargs):
        assert data["level"].values.tolist() == [LEVEL]
        return score_backtest(data, **kwargs, replications=20)

    monkeypatch.setattr(backtest_page, "score_backtest", few)
    one = backtest.isel(portfolio=[0], model=[0, 2])
    page = written(one, tmp_path / "own.html", scores=None)
    given = written(one, tmp_path / "given.html", scores=score_backtest(one, replications=20))
    assert page.tables == given.tables
    assert any("confidence set" in text for text in page.text)


def test_what_is_asked_for_has_to_be_there(backtest, scores, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    wrong = [
        ({"level": 0.9}, RiskError, "level 0.9 is not in this backtest"),
        ({"reference": "nobody"}, RiskError, "nobody"),
        ({"scores": scores.isel(model=[1, 0, 2, 3])}, RiskError, "another backtest: model differs"),
        ({"scores": backtest}, SchemaError, "bf.score_backtest"),
    ]
    for kwargs, error, message in wrong:
        with pytest.raises(error, match=message):
            bf.report_backtest(backtest, path, **{"scores": scores, **kwargs})
    with pytest.raises(SchemaError, match=r"\.html"):
        bf.report_backtest(backtest, tmp_path / "page.pdf", scores=scores)
    with pytest.raises(MissingFileError, match="does not exist"):
        bf.report_backtest(backtest, tmp_path / "no" / "page.html", scores=scores)
    with pytest.raises(SchemaError, match=r"bf\.backtest"):
        bf.report_backtest(backtest.drop_vars("es"), path, scores=scores)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_race_adds_up_to_the_difference(backtest):
    from bayesfactor.report import backtest_figures as figures

    found = contest(backtest, LEVEL)
    gap = figures.loss_saved(backtest, found, 1)
    assert gap.values[-1] == pytest.approx(-found.difference * found.days)


def axes_of(backtest, *args, **kwargs):
    from matplotlib.figure import Figure

    return bf.plot_backtest(backtest, *args, ax=Figure().subplots(), **kwargs)


def test_every_exceedance_is_marked(backtest):
    axes = axes_of(backtest, "pair", ["skew", "calm"], level=0.95)
    one = backtest.sel(portfolio="pair", level=0.95)
    for name, marks in zip(("skew", "calm"), axes.collections, strict=True):
        hit = one["realised"] < -one["var"].sel(model=name)
        assert np.allclose(np.asarray(marks.get_offsets())[:, 1], one["realised"].values[hit])
        line = next(ln for ln in axes.lines if str(ln.get_label()).startswith(name))
        assert np.array_equal(line.get_ydata(), -one["var"].sel(model=name).values)
        assert line.get_label() == f"{name}, {int(hit.sum())} exceedances"
    assert axes.get_title() == "pair"


def test_the_picture_defaults_to_the_first_portfolio_and_all_models(backtest):
    axes = axes_of(backtest)
    assert axes.get_title() == "all"
    assert len(axes.collections) == 4
    alone = axes_of(backtest, models="calm")
    assert len(alone.collections) == 1


def test_the_picture_refuses_names_that_are_not_there(backtest):
    for args, kwargs, error in (
        (("nowhere",), {}, SchemaError),
        ((), {"models": ["skw"]}, SchemaError),
        ((), {"models": []}, SchemaError),
        ((), {"level": 0.99}, RiskError),
    ):
        with pytest.raises(error):
            bf.plot_backtest(backtest, *args, **kwargs)
