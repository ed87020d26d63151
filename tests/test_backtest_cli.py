"""`bayesfactor backtest`: from files to files, and what is wrong said before anything long begins."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_cli import call

import bayesfactor as bf
from bayesfactor.cli import backtest_command
from bayesfactor.cli.inputs import read_portfolios
from bayesfactor.errors import MissingFileError, WeightsError

ASSETS = ["BTC", "ETH", "NA"]
FAST = (
    "--models",
    "historical,normal",
    "--window",
    120,
    "--refit-every",
    60,
    "--levels",
    "0.95,0.99",
    "--quiet",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backtest")
    rng = np.random.default_rng(2)
    days = pd.date_range("2024-01-01", periods=241, name="date")
    returns = 0.03 * rng.standard_t(4, size=(241, 3)).clip(-6, 6)
    pd.DataFrame(100 * np.cumprod(1 + returns, axis=0), index=days, columns=ASSETS).to_csv(
        folder / "prices.csv"
    )
    (folder / "held.csv").write_text(
        "portfolio,asset,weight\nall,BTC,0.5\nall,NA,0.5\nspread,BTC,1\nspread,ETH,-1\n"
    )
    return folder


@pytest.fixture(scope="module")
def run(folder):
    out, report = folder / "out.nc", folder / "page.html"
    args = (
        "--portfolios",
        folder / "held.csv",
        "--out",
        out,
        "--report",
        report,
        "--title",
        "Tails",
        "--seed",
        4,
    )
    done = call("backtest", folder / "prices.csv", *FAST, *args)
    return done.stdout, out, report


def test_it_saves_what_the_verb_returns(folder, run):
    saved = xr.load_dataset(run[1])
    panel = bf.panel_from_prices(folder / "prices.csv")
    held = pd.DataFrame([[0.5, 0, 0.5], [1, -1, 0]], index=["all", "spread"], columns=ASSETS)
    options = {
        "window": 120,
        "refit_every": 60,
        "levels": (0.95, 0.99),
        "random_seed": 4,
        "progressbar": False,
    }
    direct = bf.backtest(["historical", "normal"], panel, held, **options)
    xr.testing.assert_identical(saved, direct)
    assert dict(saved.sizes) == {"time": 120, "model": 2, "portfolio": 2, "level": 2, "refit": 2}


def test_it_prints_losses_and_coverage(run):
    scores = bf.score_backtest(xr.load_dataset(run[1]).sel(level=[0.99]))
    shown = run[0]
    assert "Loss (FZ0) at 0.99" in shown
    for portfolio in ("all", "spread"):
        row = next(line for line in shown.splitlines() if line.startswith(portfolio))
        values = [float(v) for v in re.findall(r"-?\d+\.\d+", row)]
        assert values == pytest.approx(scores["fz0"].sel(portfolio=portfolio).values.ravel(), abs=6e-4)
        assert row.count("*") == int(scores["in_confidence_set"].sel(portfolio=portfolio).sum())
    for model in ("historical", "normal"):
        row = next(line for line in shown.splitlines() if line.startswith(model) and " of 2" in line)
        assert row.split()[1:3] == ["240", f"{float(scores['hits'].sel(model=model).sum()):.0f}"]
    assert "has the lowest mean loss" in shown


def test_it_writes_the_page(run):
    text = run[2].read_text(encoding="utf-8")
    assert "<h1>Tails</h1>" in text
    assert "level 99\u202f%" in text
    assert str(run[2]) in run[0]


def test_a_store_is_gone_on_with(folder, run):
    held = (
        "--portfolios",
        folder / "held.csv",
        "--store",
        folder / "s.zarr",
        "--out",
        folder / "b.nc",
        "--seed",
        4,
    )
    call("backtest", folder / "prices.csv", *FAST, *held)
    assert xr.open_zarr(folder / "s.zarr", consolidated=False)["done"].values.all()
    xr.testing.assert_identical(xr.load_dataset(folder / "b.nc"), xr.load_dataset(run[1]))
    done = call("backtest", folder / "prices.csv", *FAST, *held, "--start", "2024-01-10", status=2)
    assert "holds another backtest" in done.stderr


def test_equal_weights_are_the_default_and_nothing_need_be_written(folder, monkeypatch):
    monkeypatch.setattr(backtest_command, "_judge", lambda found, *_: print(found["portfolio"].values))
    assert "['equal weight']" in call("backtest", folder / "prices.csv", *FAST).stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--models", "histrical"), "unknown model 'histrical'"),
        (("--models", "normal,normal"), "'normal' is there twice"),
        (("--reference", "nobody"), "--reference is one of --models"),
        (("--portfolios", "none.csv"), "no file of portfolios"),
        (("--out", "out.csv"), "the output ends in .nc or .zarr"),
        (("--report", "page.pdf"), "the output ends in .html"),
        (("--store", "store.nc"), "the output ends in .zarr"),
        (("--report", "nowhere/page.html"), "does not exist"),
        (("--levels", "a"), "levels are numbers"),
        (("--levels", "0.3"), "confidence levels above 0.5"),
        (("--window", 4000), "leaves one to forecast"),
    ],
)
def test_what_is_wrong_is_one_sentence(folder, args, message):
    done = call("backtest", folder / "prices.csv", *FAST, *args, status=2)
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.output


def written(tmp_path, text):
    path = tmp_path / "fund.csv"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        "portfolio,asset,weight\nb,ETH,-1\nb, BTC ,1\na,NA,0.5\n",
        "portfolio, ETH, BTC, NA\nb,-1,1,0\na,,,0.5\n",
    ],
    ids=["long", "wide"],
)
def test_portfolios_are_read_long_or_wide(tmp_path, text):
    table = read_portfolios(written(tmp_path, text), ASSETS)
    expected = pd.DataFrame(
        [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.5]], index=["b", "a"], columns=["ETH", "BTC", "NA"]
    )
    pd.testing.assert_frame_equal(table, expected, check_names=False)


def test_one_portfolio_has_the_name_of_its_file(tmp_path):
    table = read_portfolios(written(tmp_path, "asset,weight\nBTC,0.4\nNA,0.6\n"), ASSETS)
    assert table.to_dict("index") == {"fund": {"BTC": 0.4, "NA": 0.6}}


def test_a_column_called_weight_makes_a_table_long(tmp_path):
    with pytest.raises(WeightsError, match="portfolio and one per asset; got portfolio, weight"):
        read_portfolios(written(tmp_path, "portfolio,weight\na,1\n"), ASSETS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("portfolio,asset,weight\na,BTC,1\na,BTC,1\n", "two weights for BTC in a"),
        ("portfolio,asset,weight\na,BTC,much\n", "no finite number for BTC in a"),
        ("portfolio,BTC\na,inf\n", "no finite number for BTC in a"),
        ("portfolio,asset,weight\n", "has rows"),
        ("fund,coin,money\na,BTC,1\n", "got fund, coin, money"),
        ("", "cannot be read as CSV"),
    ],
)
def test_files_that_are_no_portfolios_are_refused(tmp_path, text, message):
    with pytest.raises(WeightsError, match=message):
        read_portfolios(written(tmp_path, text), ASSETS)


def test_no_file_is_no_portfolio():
    with pytest.raises(MissingFileError, match="no file of portfolios"):
        read_portfolios("nothing.csv", ASSETS)


def test_workers_start_afresh():
    with backtest_command._workers(1) as alone:
        assert alone is None
    with backtest_command._workers(2) as pool:
        assert pool._max_workers == 2
        assert pool._mp_context.get_start_method() == "spawn"
