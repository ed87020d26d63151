"""What the sections of a report say, held against what other verbs and brute force say."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from garch_trees import garch_tree
from latent_trees import latent_tree
from test_report import Page, pictures, risk_of  # noqa: F401 - a fixture
from trees import make_tree, replace

from bayesfactor.attribution.draws import read_draws
from bayesfactor.diagnose import diagnose
from bayesfactor.errors import RiskError, SchemaError, WeightsError
from bayesfactor.forecast import predict
from bayesfactor.positions import read_positions
from bayesfactor.report import report
from bayesfactor.report.alone import assets_alone, factors_alone, groups_alone
from bayesfactor.report.content import Document, Table, bars
from bayesfactor.report.figures_diagnostics import rank_picture
from bayesfactor.report.figures_risk import simulated_losses
from bayesfactor.report.page import Subject, page
from bayesfactor.report.section_active import active_risk
from bayesfactor.report.section_stress import check_stress, sensitivity_section, stress_section
from bayesfactor.report.section_systematic import rolling_share
from bayesfactor.report.tables_contributions import heat_table
from bayesfactor.report.tables_exposure import exposure_tables
from bayesfactor.risk import decompose_risk

WEIGHTS = np.array([0.5, 0.4, -0.2, 0.3])


def named(tree, values):
    return dict(zip(tree["observed_data"]["asset"].values.tolist(), values, strict=True))


def sound(tree):
    return diagnose(tree, check_adequacy=False).assign_attrs(verdict="ok", reasons="", remedies="")


@pytest.fixture(scope="module", params=["given", "own market"])
def tree(request):
    return make_tree(4, 2, 80, draws=25, own_market=request.param == "own market")


@pytest.fixture(scope="module")
def found(tree):
    return predict(tree, 3, random_seed=1)


@pytest.fixture(scope="module")
def risk(tree):
    return risk_of(tree, named(tree, WEIGHTS), horizon=3)


@pytest.fixture(scope="module")
def plain():
    return make_tree(4, 2, 80, draws=25)


@pytest.fixture(scope="module")
def plain_risk(plain):
    return risk_of(plain, named(plain, WEIGHTS))


def document(tree, risk, **given) -> Document:
    subject = Subject(tree, predict(tree, 1, random_seed=1), risk, sound(tree))
    return page(subject, value=None, title=None, entropy=1, **given)


def text_of(document: Document) -> str:
    parts = []
    for section in document.sections:
        for block in section.blocks:
            parts += [getattr(block, "text", ""), getattr(block, "note", "")]
            if isinstance(block, Table):
                parts += [c.text for row in block.rows for c in (*row.cells,)] + [r.label for r in block.rows]
    return "\n".join(parts)


def test_each_asset_alone_is_as_volatile_as_a_portfolio_of_it(tree, found):
    alone = assets_alone(found, WEIGHTS)
    for i, weight in enumerate(WEIGHTS):
        single = risk_of(tree, named(tree, np.where(np.arange(4) == i, weight, 0.0)), horizon=3)
        assert alone.volatility[i] == pytest.approx(float(single["volatility"]), rel=1e-12)


def test_a_group_alone_is_as_volatile_as_its_positions(tree, found):
    alone = groups_alone(found, WEIGHTS)
    groups = tree["observed_data"]["group"].values
    for label, volatility in zip(alone.labels, alone.volatility, strict=True):
        single = risk_of(tree, named(tree, np.where(groups == label, WEIGHTS, 0.0)), horizon=3)
        assert volatility == pytest.approx(float(single["volatility"]), rel=1e-12)


def test_factors_alone_follow_from_the_moments(found):
    m, order = found.moments, found.labels.order
    alone = factors_alone(found, WEIGHTS)
    x = np.einsum("i,dik->dk", WEIGHTS[order], m.loadings)
    np.testing.assert_allclose(alone.exposure[:, :2], x, rtol=1e-12)
    for k in range(2):
        own = np.array([c.sum(axis=0)[k, k] for c in m.factor_covariance])
        mean = np.array([f[:, k].sum() for f in m.factor_mean])
        pooled = (x[:, k] ** 2 * own).mean() + (x[:, k] * mean).var()
        assert alone.volatility[k] == pytest.approx(np.sqrt(pooled), rel=1e-12)


def test_one_factor_and_specific_risk_make_the_volatility():
    """With one factor and a mean that is certain, total variance is that of the factor plus that of the rest."""
    tree = make_tree(3, 1, 60, chains=2, draws=20)
    post = tree["posterior"].to_dataset()
    tree = replace(tree, "posterior", alpha=0 * post["alpha"], factor_location=0 * post["factor_location"])
    found = predict(tree, 1, random_seed=1)
    weights = np.array([0.5, 0.3, 0.2])
    alone = factors_alone(found, weights)
    whole = float(risk_of(tree, named(tree, weights))["volatility"])
    assert np.sqrt((alone.volatility**2).sum()) == pytest.approx(whole, rel=1e-12)


def test_contributions_of_the_exposure_tables_add_up(found, risk):
    scale = (365 / 3) ** 0.5
    for table in exposure_tables(found, risk, WEIGHTS):
        assert table.frame["contribution"].sum() == pytest.approx(
            float(risk["volatility"]) * scale, rel=1e-10
        )
        assert table.frame["share"].sum() == pytest.approx(1.0, rel=1e-10)


def test_the_heat_map_adds_up_to_expected_shortfall(risk):
    table = heat_table(risk)
    total = float(risk["es"].sel(level=0.99))
    assert table.frame["es_contribution"].sum() == pytest.approx(total, rel=1e-10)
    assert table.frame["es_share"].sum() == pytest.approx(1.0, rel=1e-10)
    largest = max(abs(c.shade) for row in table.rows for c in row.cells)
    assert largest == 1.0
    cell = risk["es_contribution"].sel(level=0.99, asset="COIN02", component="market")
    row = table.frame.set_index(["asset", "component"]).loc[("COIN02", "market")]
    assert row["es_contribution"] == float(cell)


def test_tracking_error_is_the_volatility_of_active_weights(tree, found, risk):
    benchmark = np.full(4, 0.25)
    active = active_risk(found, WEIGHTS, named(tree, benchmark), risk)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = decompose_risk(
            tree, named(tree, WEIGHTS - benchmark), horizon=3, paths=1500, random_seed=1
        )
    for name in ("volatility", "volatility_contribution"):
        np.testing.assert_allclose(active.risk[name], expected[name], rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(
        active.risk["volatility_posterior"].values.ravel(), expected["volatility_posterior"].values.ravel()
    )
    assert active.shortfall == pytest.approx(float(expected["es"].sel(level=0.99)), rel=0.05)


def test_beta_is_linear_in_the_portfolio(tree, found, risk):
    benchmark = np.array([0.1, 0.2, 0.3, 0.4])
    one = active_risk(found, benchmark, named(tree, benchmark), risk)
    assert one.risk is None
    np.testing.assert_allclose(one.beta, 1.0, rtol=1e-12)
    two = active_risk(found, 2.0 * benchmark, named(tree, benchmark), risk)
    np.testing.assert_allclose(two.beta, 2.0, rtol=1e-12)


def test_simulated_losses_have_the_mean_and_the_tail_of_the_risk(plain, plain_risk):
    losses = simulated_losses(predict(plain, 1, random_seed=1), WEIGHTS)
    assert len(losses) >= 100_000
    var, error = (float(plain_risk[v].sel(level=0.95)) for v in ("var", "var_mcse"))
    # Six standard errors of the risk's few paths; the losses' own are a tenth of it.
    assert np.quantile(losses, 0.95) == pytest.approx(var, abs=6.0 * error)
    assert error < 0.1 * var


def test_the_rolling_share_is_that_of_each_window(plain):
    d = read_draws(plain, verb="test")
    time, share, window = rolling_share(d, WEIGHTS)
    assert share.shape == (80 - window + 1, 100)
    rng = np.random.default_rng(0)
    for end in rng.integers(window - 1, 80, 4):
        for draw in (0, 57):
            rows = slice(end - window + 1, end + 1)
            held = np.where(np.isfinite(d.returns[rows]), WEIGHTS, 0.0)
            s = ((held @ d.loadings[draw]) * d.factors[rows]).sum(axis=1)
            p = (held * (np.nan_to_num(d.returns[rows]) - d.alpha[draw])).sum(axis=1)
            expected = s.var() / (s.var() + (p - s).var())
            assert share[end - window + 1, draw] == pytest.approx(expected, rel=1e-9)
            assert time[end - window + 1] == d.time[end]


def test_a_short_window_is_not_drawn_through_time():
    assert rolling_share(read_draws(make_tree(3, 1, 30, draws=10), verb="test"), np.ones(3)) is None


def test_permuting_the_assets_permutes_the_tables(plain):
    order = [2, 0, 3, 1]
    other = plain.map_over_datasets(lambda d: d.isel(asset=order) if "asset" in d.dims else d)
    one, two = (document(t, risk_of(t, named(plain, WEIGHTS))).frames for t in (plain, other))
    assert one.keys() == two.keys()
    tables = [n for n in one if n.startswith(("contributions", "exposures", "asset_by", "systematic"))]
    assert len(tables) == 10
    for name in tables:
        a, b = (
            f[name][1].sort_values(list(f[name][1].columns[:2])).reset_index(drop=True) for f in (one, two)
        )
        pd.testing.assert_frame_equal(a, b, check_exact=True)


@pytest.mark.parametrize("make", [latent_tree, garch_tree])
def test_every_structure_has_a_report(make, tmp_path):
    tree = make()
    n = tree["observed_data"].sizes["asset"]
    weights = named(tree, np.full(n, 1.0 / n))
    risk = risk_of(tree, weights)
    path = report(
        tree, weights, tmp_path / "r.html", risk=risk, diagnosis=sound(tree), benchmark=named(tree, np.eye(n)[0]),
        random_seed=1,
    )  # fmt: skip
    found = Page(path.read_text(encoding="utf-8"))
    assert found.wrong == found.open == []
    assert "active" in found.ids


def spoilt(risk, **changes):
    return risk.assign({k: risk[k] * 0 + v for k, v in changes.items()}).assign_attrs(risk.attrs)


def test_a_total_of_zero_leaves_shares_out_and_says_so(plain, plain_risk):
    nothing = {v: 0.0 for v in plain_risk.data_vars if not v.endswith("mcse")}
    found = document(plain, spoilt(plain_risk, **nothing))
    text = text_of(found)
    assert "The total risk is zero" in text
    table = found.frames["contributions_by_asset"][1]
    assert table["es_share"].isna().all()
    assert "n/a" in text
    assert "nan" not in text


def test_an_infinite_shortfall_is_named_as_such(plain, plain_risk):
    endless = spoilt(plain_risk, es=np.inf, es_posterior=np.inf, es_contribution=np.inf)
    text = text_of(document(plain, endless))
    assert "it loses infinite on average" in text
    assert "no mean of the worst losses exists" in text
    assert "inf " not in text


def test_tails_without_a_posterior_are_not_available_with_the_reason(plain, plain_risk):
    names = [v for v in plain_risk.data_vars if "posterior" in v and v.startswith(("var", "es"))]
    bare = spoilt(plain_risk, **dict.fromkeys(names, np.nan)).assign_attrs(
        tail_posteriors="options are rough"
    )
    found = document(plain, bare)
    text = text_of(found)
    assert "no interval here (n/a): options are rough." in text
    assert found.frames["key_figures"][1].query("figure == 'Expected shortfall'")["low"].isna().all()


def test_components_of_options_have_plain_names_and_no_simulated_law(plain, plain_risk):
    extra = plain_risk.isel(component=[-1, -1]).assign_coords(component=["nonlinear", "carry"])
    extra = extra.assign_coords(family=("component", ["nonlinear", "carry"]))
    own = [v for v in plain_risk.data_vars if "component" in plain_risk[v].dims]
    more = xr.concat([plain_risk[own], extra[own] * 0.0], "component", coords="minimal", compat="override")
    more = more.assign_coords(family=("component", [*plain_risk["family"].values, "nonlinear", "carry"]))
    rest = plain_risk.drop_vars([*own, "component", "family"])
    found = document(plain, xr.merge([rest, more]).assign_attrs(plain_risk.attrs))
    text = text_of(found)
    assert "nonlinear (gamma of options)" in text
    assert "carry (theta and funding)" in text
    assert "The law of the loss" not in [getattr(b, "title", "") for s in found.sections for b in s.blocks]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_options_count_by_their_delta(plain, tmp_path):
    put = {"asset": "COIN01", "instrument": "option", "type": "put", "quantity": 3.0, "price": 100.0}
    row = put | {"strike": 90.0, "days": 30.0, "implied_volatility": 0.9}
    risk = decompose_risk(
        plain, named(plain, WEIGHTS), positions=read_positions(pd.DataFrame([row])), value=1000.0, paths=20,
        random_seed=1,
    )  # fmt: skip
    path = report(
        plain, None, tmp_path / "r.html", risk=risk, diagnosis=sound(plain), export=tmp_path / "t",
        benchmark=named(plain, WEIGHTS), random_seed=1,
    )  # fmt: skip
    page = Page(path.read_text(encoding="utf-8"))
    exposures = pd.read_csv(tmp_path / "t" / "exposures_by_asset.csv").set_index("asset")["weight"]
    assert exposures["COIN01"] == float(risk["delta_weight"].sel(asset="COIN01")) < WEIGHTS[0]
    assert any("Weight, options by delta" in table[0] for table in page.tables)
    text = "".join(page.text)
    assert "Volatility is that of the linear part" in text
    assert "positions=positions" in text
    assert "Options count by their delta." in text


def make_stress(tree, *, value=1.0, seed=0):
    rng = np.random.default_rng(seed)
    assets = tree["observed_data"]["asset"].values
    names, components = (
        ["ftx-2022", "market -20 %", "correlation one"],
        ["market", "size", "specific", "drift"],
    )
    parts = rng.normal(0.02, 0.02, (3, len(assets), 4))
    loss = parts.sum(axis=(1, 2))
    draws = loss[:, None, None] + 0.01 * rng.standard_normal((3, 2, 50))
    data = {
        "loss": ("scenario", value * loss),
        "loss_posterior": (("scenario", "chain", "draw"), value * draws),
        "loss_contribution": (("scenario", "asset", "component"), value * parts),
        "var": (("scenario", "level"), value * (loss[:, None] + [0.02, 0.04])),
        "es": (("scenario", "level"), value * (loss[:, None] + [0.03, 0.05])),
        "factor_move": (("scenario", "factor"), rng.normal(size=(3, 2))),
        "plausibility": ("scenario", [0.002, 0.00001, np.nan]),
    }
    coords = {
        "scenario": names,
        "kind": ("scenario", ["episode", "shock", "regime"]),
        "horizon": ("scenario", [2, 1, 1]),
        "note": ("scenario", ["Replay of two days.", "", "Another market."]),
        "asset": assets,
        "weight": ("asset", WEIGHTS),
        "component": components,
        "factor": ["market", "size"],
        "level": [0.95, 0.99],
    }
    attrs = {k: tree.attrs[k] for k in ("returns_digest", "card_digest")} | {
        "value": value,
        "kind_of_data": "stress",
        "drift": "zero",
    }
    return xr.Dataset(data, coords, attrs)


def test_stress_tables_add_up_and_do_not_depend_on_the_unit(plain):
    one, money = (stress_section(check_stress(make_stress(plain, value=v), plain), 1e6) for v in (1.0, 1e6))
    tables, other = ({b.name: b for b in s.blocks if isinstance(b, Table)} for s in (one, money))
    assert list(tables) == ["stress", "stress_contributions", "stress_factor_moves"]
    assert [[c.text for r in t.rows for c in r.cells] for t in tables.values()] == [
        [c.text for r in t.rows for c in r.cells] for t in other.values()
    ]
    parts = tables["stress_contributions"].frame.groupby("scenario")["loss_contribution"].sum()
    loss = tables["stress"].frame.set_index("scenario")["loss"]
    np.testing.assert_allclose(parts.loc[loss.index], loss, rtol=1e-12)
    assert [r.label for r in tables["stress"].rows] == loss.sort_values(ascending=False).index.tolist()
    plausible = {
        r.label: r.cells[-1].text.replace("\N{NARROW NO-BREAK SPACE}", " ") for r in tables["stress"].rows
    }
    assert plausible == {"ftx-2022": "0.20 %", "market -20 %": "< 0.01 %", "correlation one": "n/a"}


def test_stress_and_sensitivity_and_benchmark_stand_on_the_page(plain, plain_risk, tmp_path):
    table = pd.DataFrame(
        {"prior": [0.01, np.nan], "likelihood": [0.2, 0.1], "diagnosis": ["ok", "prior-data conflict"]},
        index=["volatility", "es 0.99"],
    )
    path = report(
        plain, None, tmp_path / "r.html", risk=plain_risk, diagnosis=sound(plain), stress=make_stress(plain),
        sensitivity=table, benchmark=named(plain, np.full(4, 0.25)), random_seed=1, value=1e6,
    )  # fmt: skip
    found = Page(path.read_text(encoding="utf-8"))
    assert [i for i in found.ids if i in {"active", "stress", "sensitivity"}] == [
        "active",
        "stress",
        "sensitivity",
    ]
    assert "prior-data conflict" in "".join(found.text)
    assert "Replay of two days." in "".join(found.text)
    assert len(found.ids) == len(set(found.ids))


def test_the_portfolio_that_is_its_benchmark_has_no_active_risk(plain, plain_risk, tmp_path):
    path = report(
        plain, None, tmp_path / "r.html", risk=plain_risk, diagnosis=sound(plain),
        benchmark=named(plain, WEIGHTS), random_seed=1,
    )  # fmt: skip
    assert "there is no active position" in path.read_text(encoding="utf-8")


REFUSED = {
    "no stress": ({"stress": 3}, SchemaError, "bf.stress returns; got int"),
    "stress of another fit": (
        {"stress": lambda t: make_stress(t).assign_attrs(returns_digest="x")},
        RiskError,
        "another fit: returns_digest",
    ),
    "stress of another portfolio": (
        {"stress": lambda t: make_stress(t).assign_coords(weight=("asset", np.full(4, 0.25)))},
        RiskError,
        "other weights",
    ),
    "no table of sensitivity": ({"sensitivity": 3}, SchemaError, "bf.prior_sensitivity returns .*got int"),
    "an empty table of sensitivity": ({"sensitivity": pd.DataFrame()}, SchemaError, "got DataFrame"),
    "a benchmark of other assets": ({"benchmark": {"NEMO": 1.0}}, WeightsError, "NEMO"),
    "no backtest": ({"backtest": xr.Dataset()}, SchemaError, "backtest"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_others_computed_is_checked(what, plain, plain_risk, tmp_path):
    given, error, message = REFUSED[what]
    given = {k: v(plain) if callable(v) else v for k, v in given.items()}
    with pytest.raises(error, match=message):
        report(plain, None, tmp_path / "r.html", risk=plain_risk, diagnosis=sound(plain), **given)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_of_sensitivity_is_shown_as_a_table():
    columns = {"prior": [0.1], "likelihood": [0.3], "diagnosis": ["ok"]}
    data = xr.Dataset({k: ("quantity", v) for k, v in columns.items()}, {"quantity": ["es"]})
    (table,) = (b for b in sensitivity_section(data).blocks if isinstance(b, Table))
    assert [c.text for c in table.rows[0].cells] == ["0.1", "0.3", "ok"]
    assert table.heads == ("Quantity", "Prior", "Likelihood", "Diagnosis")


def test_a_chain_that_stays_apart_leaves_the_band(plain):
    alpha = plain["posterior"]["alpha"].copy()
    alpha[0] += 1.0
    stuck = replace(plain, "posterior", alpha=alpha)
    assert rank_picture(stuck, ["alpha[COIN01]", "no such thing"]) is not None
    assert rank_picture(stuck, ["no such thing"]) is None
    found = sound(stuck)
    worst = found["parameter"].values[np.argsort(-found["r_hat"].values)[:4]]
    frame = document(stuck, risk_of(stuck, named(stuck, WEIGHTS))).sections[-2]
    (table,) = (b for b in frame.blocks if isinstance(b, Table))
    assert {r.label for r in table.rows[:4]} == set(worst)


def test_bars_without_an_interval_are_drawn_without_one():
    one, two, none = bars(
        np.array([1.0, -1.0, np.nan]), np.array([0.5, np.nan, 0.0]), np.array([1.5, np.nan, 1.0])
    )
    assert one.low < one.high
    assert two.low == two.high
    assert two.negative
    assert none is None
    assert bars(np.zeros(2), np.zeros(2), np.zeros(2)) == [None, None]
