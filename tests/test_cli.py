"""The command line: what it prints, what it writes, and how it fails."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from trees import make_tree, with_attrs
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app
from bayesfactor.cli.inputs import names_of, read_levels, read_weights, write_csv
from bayesfactor.errors import BayesFactorError, MissingFileError, WeightsError

ASSETS = ["COIN01", "COIN02", "COIN03"]


@pytest.fixture(scope="module")
def tree():
    return make_tree(draws=400)


@pytest.fixture(scope="module")
def fits(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits")
    bf.save(tree, folder / "t.nc")
    bf.save(make_tree(normal=True), folder / "normal.nc")
    bf.save(make_tree(jitter=0.2), folder / "again.nc")
    return folder


def call(*args, status=0):
    done = CliRunner().invoke(app, [str(a) for a in args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def fresh(code, cwd):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_loads_nothing_heavy(tmp_path):
    code = (
        "import sys\n"
        "from bayesfactor.cli import main\n"
        "sys.argv = ['bayesfactor', '--help']\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "heavy = {'pymc', 'pytensor', 'nutpie', 'arviz', 'matplotlib', 'xarray', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = fresh(code, tmp_path)
    for command in ("models", "fit", "diagnose", "compare", "risk", "report", "backtest", "demo"):
        assert command in shown


def test_the_module_runs_as_the_command_does(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bayesfactor", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"bayesfactor {bf.__version__}"


def test_models_lists_every_card():
    shown = call("models").stdout
    for name in bf.list_models():
        assert name in shown
        assert bf.get_model(name).title in shown


def test_models_shows_one_card():
    shown = call("models", "pooled-t").stdout
    card = bf.get_model("pooled-t")
    assert card.why in shown
    assert card.references[0] in shown
    assert "[priors.sigma.kwargs.mu.kwargs]" in shown


def test_an_unknown_model_is_one_sentence_and_status_2():
    done = call("models", "hierarchical", status=2)
    assert done.stderr.startswith("Error: no model is called 'hierarchical'")
    assert "Traceback" not in done.output


def test_diagnose_of_a_good_fit_exits_with_0(fits):
    shown = call("diagnose", fits / "t.nc", "--rows", 3, "--no-adequacy").stdout
    assert shown.startswith("Computation: OK")
    assert "NOT CHECKED" in shown
    assert sum("COIN" in line or "_" in line for line in shown.splitlines()) >= 3


def test_diagnose_of_a_broken_fit_exits_with_3(tree, tmp_path):
    spoilt = tree.copy(deep=True)
    posterior = spoilt["posterior"].to_dataset()
    posterior["sigma"] = posterior["sigma"] * (1 + posterior["chain"])
    spoilt["posterior"] = posterior
    bf.save(spoilt, tmp_path / "bad.nc")
    done = call("diagnose", tmp_path / "bad.nc", "--no-adequacy", status=3)
    assert "Computation: FAIL" in done.stdout
    assert "sigma[COIN01]" in done.stdout
    assert "Remedy:" in done.stdout


def test_a_warning_of_the_diagnosis_exits_with_0(tree, tmp_path):
    bf.save(with_attrs(tree, method="pathfinder", approximate=1), tmp_path / "rough.nc")
    assert "Computation: WARN" in call("diagnose", tmp_path / "rough.nc", "--no-adequacy").stdout


def test_compare_names_fits_by_their_models_and_writes_the_table(fits, tmp_path):
    out = tmp_path / "table.csv"
    shown = call("compare", fits / "t.nc", fits / "normal.nc", "--csv", out).stdout
    assert "hierarchical-normal" in shown
    table = pd.read_csv(out, index_col=0)
    assert set(table.index) == {"hierarchical-t", "hierarchical-normal"}
    np.testing.assert_allclose(table["weight"].sum(), 1.0)


def test_compare_names_fits_of_one_model_by_their_files(fits):
    shown = call("compare", fits / "t.nc", fits / "again.nc", "--by", "observation").stdout
    assert "again" in shown
    assert "hierarchical" not in shown


def test_compare_of_one_fit_is_refused(fits):
    assert "at least two models" in call("compare", fits / "t.nc", status=2).stderr


def test_risk_prints_what_decompose_risk_returns(fits, tree, tmp_path):
    shown = call(
        "risk", fits / "t.nc", "--weights", "COIN01=0.6,COIN02=-0.4", "--fill-zero", "--seed", 1,
        "--out", tmp_path / "risk.nc", "--csv", tmp_path / "risk.csv",
    ).stdout  # fmt: skip
    risk = bf.decompose_risk(tree, {"COIN01": 0.6, "COIN02": -0.4, "COIN03": 0.0}, random_seed=1)
    assert f"{100 * float(risk['es'][1]):.2f}" in shown
    assert "-40.00" in shown
    assert "COIN03" not in shown
    kept = bf.load(tmp_path / "risk.nc")
    np.testing.assert_array_equal(kept["es"], risk["es"])
    table = pd.read_csv(tmp_path / "risk.csv").set_index(["level", "asset", "component"])
    np.testing.assert_allclose(table.loc[0.99, "es_contribution"].sum(), risk["es"][1])
    assert set(table.columns) >= {"group", "family", "weight"}


def test_risk_in_money_is_that_in_fractions_times_the_value(fits):
    shown = call(
        "risk", fits / "t.nc", "--seed", 1, "--value", "1e6", "--levels", "0.9", "--horizon", 2
    ).stdout
    assert "Risk over the next 2 days, money, of 1,000,000" in shown
    assert "ES 0.9" in shown


def test_assets_without_a_weight_are_refused(fits):
    done = call("risk", fits / "t.nc", "--weights", "COIN01=1", status=2)
    assert "none for COIN02, COIN03. --fill-zero gives 0" in done.stderr


def test_report_writes_one_file(fits, tmp_path):
    out = tmp_path / "report.html"
    done = call("report", fits / "t.nc", "--out", out, "--title", "A title", "--seed", 1)
    assert done.stdout.strip() == str(out)
    assert "A title" in out.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["diagnose", "none.nc"], "no file at 'none.nc'"),
        (["risk", "t.txt"], "the suffix decides the format"),
        (["risk", "t.nc", "--out", "risk.csv"], "ends in .nc or .zarr"),
        (["risk", "t.nc", "--csv", "nowhere/risk.csv"], "does not exist"),
        (["risk", "t.nc", "--levels", "high"], "levels are numbers"),
        (["risk", "t.nc", "--levels", "99"], "levels are confidence levels"),
        (["risk", "t.nc", "--weights", "none.csv"], "no file of weights at 'none.csv'"),
        (["report", "t.nc", "--out", "report.pdf"], "ends in .html or .htm"),
        (["fit", "none.csv", "--out", "fit.txt"], "ends in .nc or .zarr"),
        (["fit", "none.csv", "--out", "fit.nc"], "the file 'none.csv' does not exist"),
        (["fit", "none.csv", "--out", "fit.nc", "--model", "best"], "no model is called 'best'"),
        (["demo", "--out", "nowhere/demo"], "cannot be made"),
    ],
)
def test_what_cannot_be_done_is_said_at_once_and_leaves_nothing(args, words, fits, tmp_path, monkeypatch):
    (tmp_path / "t.nc").write_bytes((fits / "t.nc").read_bytes())
    monkeypatch.chdir(tmp_path)
    done = call(*args, status=2)
    assert done.stderr.startswith("Error: ")
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["t.nc"]


def test_an_unknown_option_exits_with_2():
    call("fit", "prices.csv", "--out", "fit.nc", "--speed", "9", status=2)


def test_an_interruption_exits_with_130(fits, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayesfactor.keep.load", interrupt)
    done = call("diagnose", fits / "t.nc", status=130)
    assert "Interrupted" in done.stderr


def test_weights_can_be_equal():
    np.testing.assert_allclose(read_weights("equal", ASSETS), 1 / 3)


def test_weights_can_be_pairs_with_shorts():
    found = read_weights("COIN01=1.5, COIN03=-.5", ASSETS, fill_zero=True)
    assert found.to_dict() == {"COIN01": 1.5, "COIN03": -0.5, "COIN02": 0.0}


def test_weights_can_be_a_file_with_coins_called_na_and_none(tmp_path):
    (tmp_path / "w.csv").write_text("asset,weight\nNA,0.5\nnan,0.25\n 1INCH ,0.25\n")
    assert read_weights(str(tmp_path / "w.csv"), ASSETS).to_dict() == {"NA": 0.5, "nan": 0.25, "1INCH": 0.25}


@pytest.mark.parametrize("text", ["COIN01=", "=0.5", "COIN01=half", "COIN01=1,,", "COIN01=0.5,COIN02"])
def test_pairs_that_are_not_pairs_are_refused(text):
    with pytest.raises(WeightsError, match="weights are pairs"):
        read_weights(text, ASSETS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fund,weight\nCOIN01,1\n", "needs the columns asset and weight; got fund, weight"),
        ("asset,weight\nCOIN01,\n", "no number for COIN01"),
        ("asset,weight\nCOIN01,much\n", "no finite number for COIN01; got 'much'"),
        ("", "cannot be read as CSV"),
    ],
)
def test_files_that_hold_no_weights_are_refused(text, words, tmp_path):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(WeightsError, match=words):
        read_weights(str(tmp_path / "w.csv"), ASSETS)


def test_a_missing_file_of_weights_is_named():
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        read_weights("none.csv", ASSETS)


def test_a_coin_named_twice_is_left_to_the_verb_to_refuse(fits):
    done = call("risk", fits / "t.nc", "--weights", "COIN01=1,COIN01=1", "--fill-zero", status=2)
    assert "named more than once" in done.stderr


def test_levels_are_read_from_text():
    assert read_levels("0.95, 0.99") == (0.95, 0.99)


def test_names_fall_back_from_model_to_file_to_path(tmp_path):
    paths = [tmp_path / "a" / "t.nc", tmp_path / "b" / "t.nc"]
    assert names_of(["x", "y"], paths) == ["x", "y"]
    assert names_of(["x", "x"], [tmp_path / "a.nc", tmp_path / "b.nc"]) == ["a", "b"]
    assert names_of(["x", "x"], paths) == [str(p) for p in paths]
    with pytest.raises(BayesFactorError, match="given twice"):
        names_of(["x", "x"], [paths[0], paths[0]])


def test_a_table_that_fails_halfway_leaves_the_old_one(tmp_path, monkeypatch):
    old = tmp_path / "table.csv"
    old.write_text("old")

    def fail(_, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="disk full"):
        write_csv(pd.DataFrame({"x": [1]}), old)
    assert old.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_fit_goes_from_a_table_of_prices_to_a_saved_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel, _ = bf.simulate_panel(n_assets=3, n_days=60, n_factors=1, n_groups=1, missing=0, random_seed=1)
    prices = 100 * (1 + panel["returns"].to_pandas()).cumprod()
    prices.to_csv("prices.csv")
    panel["factor_returns"].to_pandas().to_csv("factors.csv")
    (tmp_path / "groups.csv").write_text("asset,group\n" + "".join(f"{a},one\n" for a in prices.columns))
    shown = call(
        "fit", "prices.csv", "--factors", "factors.csv", "--groups", "groups.csv", "--out", "fit.nc",
        "--model", "unpooled-t", "--draws", 50, "--tune", 100, "--chains", 2, "--seed", 1, "--quiet",
    ).stdout  # fmt: skip
    assert "Computation:" in shown
    assert "fit.nc: unpooled-t" in shown
    tree = bf.load("fit.nc")
    assert tree.attrs["random_seed"] == "1"
    assert tree["posterior"].sizes["draw"] == 50
    assert set(tree["observed_data"]["group"].values) == {"one"}


def test_factors_are_built_from_files_and_fit_takes_them(tmp_path):
    rng = np.random.default_rng(0)
    days = pd.date_range("2022-01-01", periods=150)
    names = [f"C{i}" for i in range(9)]
    prices = pd.DataFrame(np.exp(np.cumsum(0.03 * rng.normal(size=(150, 9)), axis=0)), days, names)
    drivers = pd.DataFrame({"btc_hash_rate_ths": np.exp(np.cumsum(0.03 * rng.normal(size=150)))}, days)
    prices.rename_axis("date").to_csv(tmp_path / "prices.csv")
    drivers.rename_axis("date").to_csv(tmp_path / "drivers.csv")
    runner = CliRunner()
    listed = runner.invoke(app, ["factors"])
    assert listed.exit_code == 0
    assert "momentum" in listed.output
    call = ["factors", str(tmp_path / "prices.csv"), "--drivers", str(tmp_path / "drivers.csv")]
    call += ["--which", "market,momentum", "--start", "2022-05-01"]
    for name in ("f.nc", "f.parquet", "f.csv"):
        done = runner.invoke(app, [*call, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        families = None if name == "f.nc" else {"hash_rate": "on-chain"}  # tables hold no family
        panel = bf.panel_from_prices(tmp_path / "prices.csv", factors=tmp_path / name, families=families)
        assert panel["factor"].values.tolist() == ["market", "momentum", "hash_rate"]
    assert bf.panel_from_prices(tmp_path / "prices.csv", factors=tmp_path / "f.nc")[
        "family"
    ].values.tolist() == [
        "market",
        "style",
        "on-chain",
    ]
    somewhere = ["--out", str(tmp_path / "g.nc")]
    for wrong, words in (
        ([], "--out says"),
        (["--out", str(tmp_path / "f.txt")], "the output ends in"),
        ([*somewhere, "--start", "foo"], "start: a date is ISO 8601"),
        ([*somewhere, "--end", "2022-05-02"], "more periods than factors"),
    ):
        refused = runner.invoke(app, [*call, *wrong])
        assert refused.exit_code == 2
        assert words in refused.output
    for call in (somewhere, ["--drivers", str(tmp_path / "drivers.csv")]):
        refused = runner.invoke(app, ["factors", *call])
        assert refused.exit_code == 2
        assert "none was given" in refused.output
    refused = runner.invoke(app, ["factors", str(tmp_path / "prices.csv"), *somewhere, "--spec", "s.toml"])
    assert refused.exit_code == 2
    assert "--drivers" in refused.output
    assert set(bf.load(tmp_path / "f.nc").data_vars) >= {"factor_returns", "factor_weights"}
    with pytest.raises(bf.MissingFileError):
        bf.panel_from_prices(tmp_path / "prices.csv", factors=tmp_path / "none.nc")
    (tmp_path / "bad.nc").write_text("nothing")
    with pytest.raises(bf.PanelError, match="netCDF"):
        bf.panel_from_prices(tmp_path / "prices.csv", factors=tmp_path / "bad.nc")


def test_a_saved_fit_sees_new_days_and_only_those(tmp_path):
    panel, _ = bf.simulate_panel(n_assets=3, n_days=120, n_factors=1, n_groups=1, missing=0.0, random_seed=1)
    prices = (1.0 + panel["returns"].to_pandas()).cumprod()
    prices.to_csv(tmp_path / "prices.csv")
    old = bf.panel_from_prices(prices.iloc[:110])
    how = {"draws": 20, "tune": 60, "chains": 1, "random_seed": 1, "progressbar": False}
    tree = bf.fit("hierarchical-normal", old, **how)
    bf.save(tree, tmp_path / "fit.nc")
    done = call("update", tmp_path / "fit.nc", tmp_path / "prices.csv", "--out", tmp_path / "new.nc")
    assert "10 days more, up to 2023-04-30" in done.output
    grown = bf.load(tmp_path / "new.nc")
    expected = bf.update(tree, bf.panel_from_prices(prices))
    np.testing.assert_array_equal(grown["log_likelihood"]["returns"], expected["log_likelihood"]["returns"])
    prices.iloc[60] *= 1.01
    prices.to_csv(tmp_path / "prices.csv")
    done = call("update", tmp_path / "fit.nc", tmp_path / "prices.csv", "--out", tmp_path / "no.nc", status=2)
    assert "returns differ in 2 days" in done.output
    assert not (tmp_path / "no.nc").exists()


def test_a_forecast_is_printed_and_saved_by_asset(fits, tmp_path):
    out, csv = tmp_path / "ahead.nc", tmp_path / "ahead.csv"
    given = ("--horizon", 3, "--paths", 5, "--seed", 1, "--out", out, "--csv", csv)
    done = call("forecast", fits / "t.nc", *given)
    assert "the next 3 days" in done.output
    table, saved = pd.read_csv(csv, index_col=0), bf.load(out)["predictions"]
    total = saved["alpha"] * 3 + xr.dot(
        saved["loadings"], saved["factor_returns"].sum("horizon"), dim="factor"
    )
    total = total + saved["specific_returns"].sum("horizon")
    for asset in ASSETS:
        mine = total.sel(asset=asset).values.ravel()
        row = [mine.mean(), mine.std(), *np.quantile(mine, [0.01, 0.05, 0.5, 0.95, 0.99])]
        np.testing.assert_allclose(table.loc[asset].to_numpy(), row, rtol=1e-9)


OUTPUTS = [
    ("fit", "--out", ".nc"),
    ("fit", "--out", ".zarr"),
    ("risk", "--out", ".nc"),
    ("risk", "--csv", ".csv"),
    ("stress", "--out", ".zarr"),
    ("stress", "--csv", ".csv"),
    ("trades", "--out", ".nc"),
    ("sensitivity", "--out", ".csv"),
    ("allocate", "--out", ".csv"),
    ("compare", "--csv", ".csv"),
    ("factors", "--out", ".parquet"),
    ("factors", "--out", ".csv"),
    ("report", "--out", ".html"),
    ("report", "--out", ".md"),
    ("backtest", "--out", ".nc"),
    ("backtest", "--report", ".html"),
    ("backtest", "--store", ".zarr"),
    ("forecast", "--out", ".nc"),
    ("update", "--out", ".nc"),
]


@pytest.mark.parametrize(("command", "option", "suffix"), OUTPUTS)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    command, option, suffix, tmp_path
):
    # What is read first is not there: were it looked at before the output, the message would be another.
    mine = tmp_path / f"mine{suffix.upper()}"
    mine.mkdir()
    (mine / "work.txt").write_text("of years")
    more = {"trades": ["--trades", "t.csv"], "sensitivity": ["--weights", "equal"], "report": []}.get(
        command, []
    )
    more += ["none.csv"] if command == "update" else []
    more += ["--out", tmp_path / "other.html"] if command == "report" and option != "--out" else []
    more += ["--out", tmp_path / "fit.nc"] if command == "fit" and option != "--out" else []
    done = call(command, "none.nc", *more, option, mine, status=2)
    assert re.search("is a folder|holds something else", done.stderr), done.stderr
    assert (mine / "work.txt").read_text() == "of years"
    missing = call(command, "none.nc", *more, option, tmp_path / "no" / f"x{suffix}", status=2)
    assert "make it first" in missing.stderr
    unknown = call(command, "none.nc", *more, option, tmp_path / "x.pickle", status=2)
    assert "the output ends in" in unknown.stderr


def test_a_suffix_in_capitals_is_taken_before_the_work_and_after_it(fits, tmp_path):
    call("risk", fits / "t.nc", "--seed", 1, "--out", tmp_path / "RISK.NC", "--csv", tmp_path / "RISK.CSV")
    assert "es" in bf.load(tmp_path / "RISK.NC")
    call("risk", fits / "t.nc", "--seed", 1, "--out", tmp_path / "RISK.NC", "--csv", tmp_path / "RISK.CSV")
    refused = call("risk", tmp_path / "RISK.NC", status=2)
    assert "where a fit is asked for" in refused.stderr
