"""`bayesfactor stress` and the picture of what it found."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from trees import make_tree
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app
from bayesfactor.plots import plot_stress

mpl.use("Agg")
ASSETS = ["COIN01", "COIN02", "COIN03"]
WEIGHTS = {"COIN01": 0.5, "COIN02": -0.2, "COIN03": 0.3}


@pytest.fixture(scope="module")
def tree():
    return make_tree(draws=25)


@pytest.fixture(scope="module")
def first(tree):
    return str(tree["constant_data"]["factor"].values[0])


@pytest.fixture(scope="module")
def folder(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stress")
    bf.save(tree, folder / "fit.nc")
    rng = np.random.default_rng(1)
    days = pd.date_range("2022-10-01", periods=60)
    steps = np.exp(0.03 * rng.standard_normal((60, 2)))
    pd.DataFrame(steps.cumprod(axis=0), days, ASSETS[:2]).rename_axis("date").to_csv(folder / "prices.csv")
    factors = [str(f) for f in tree["constant_data"]["factor"].values]
    table = pd.DataFrame(0.03 * rng.standard_normal((60, len(factors))), days, factors)
    table.rename_axis("date").to_csv(folder / "factors.csv")
    pd.Series(1e7, ASSETS, name="volume").rename_axis("asset").to_csv(folder / "volume.csv")
    (folder / "more.toml").write_text('[worse]\nkind = "regime"\nvolatility = 3.0\n')
    return folder


def call(*args, status=0):
    done = CliRunner().invoke(app, ["stress", *map(str, args)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.output


def test_all_kinds_in_one_table_and_what_is_written_is_what_the_verb_says(folder, tree, first):
    shown = call(
        folder / "fit.nc", "--weights", "COIN01=0.5,COIN02=-0.2,COIN03=0.3", "--scenarios", folder / "more.toml",
        "--episodes", "ftx-2022", "--shock", f"{first}=-0.2", "--lose", 0.1, "--volume", folder / "volume.csv",
        "--history", folder / "prices.csv", "--factors", folder / "factors.csv", "--value", 1e6, "--seed", 1, "--paths", 20,
        "--out", folder / "stress.nc", "--csv", folder / "parts.csv",
    )  # fmt: skip
    for word in (
        "worse",
        "ftx-2022",
        f"{first} -0.2",
        "what loses 10 %",
        "sold at 10 % of volume",
        "Replay of",
        "money",
    ):
        assert word in shown
    history = bf.panel_from_prices(folder / "prices.csv", factors=folder / "factors.csv")
    asked = {
        "worse": bf.RegimeShift(volatility=3.0),
        "ftx-2022": "ftx-2022",
        f"{first} -0.2": bf.FactorShock({first: -0.2}),
        "what loses 10 %": bf.ReverseStress(0.1),
        "sold at 10 % of volume": bf.Liquidation(dict.fromkeys(ASSETS, 1e7)),
    }
    exact = bf.stress(tree, WEIGHTS, asked, history=history, value=1e6, paths=20, random_seed=1)
    with xr.open_dataset(folder / "stress.nc") as kept:
        xr.testing.assert_allclose(kept.load(), exact, rtol=1e-12)
    parts = pd.read_csv(folder / "parts.csv").groupby("scenario")["loss_contribution"].sum()
    np.testing.assert_allclose(parts[exact["scenario"].values], exact["loss"], atol=1e-6)


def test_frozen_and_a_regime_by_options(folder, first):
    shown = call(
        folder / "fit.nc", "--shock", f"{first}=-0.1", "--frozen", "--correlation", 1, "--nu", 3, "--seed", 1
    )
    assert "others stand at zero" in shown
    assert "correlations 1 of the way to one, nu at most 3" in shown


def test_the_episodes_are_listed_without_reading_a_fit():
    shown = call("nothing.nc", "--episodes", "list")
    assert "covid-2020" in shown
    assert "2020-03-12" in shown


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "no scenario: give"),
        (("--shock", "market"), "pairs such as market=-0.2"),
        (("--shock", "mkt=-0.2,mkt=0.1"), "each factor once"),
        (("--episodes", "ftx-2021"), "did you mean"),
        (("--episodes", "ftx-2022,ftx-2022"), "stands twice"),
        (("--lose", "0.1", "--out", "x.csv"), "ends in .nc or .zarr"),
        (("--volume", "none.csv"), "no file of volumes"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folder, args, message):
    assert message in call(folder / "fit.nc", *args, status=2)


@pytest.fixture(scope="module")
def found(tree, first):
    asked = {"shock": bf.FactorShock({first: -0.2}), "other": bf.RegimeShift(volatility=2.0)}
    return bf.stress(tree, WEIGHTS, asked, paths=20, random_seed=1)


@pytest.mark.parametrize("by", ["family", "component", "none"])
def test_bars_end_at_the_loss(found, by):
    axes = plot_stress(found, by=by, level=0.95, ax=Figure().subplots())
    n = found.sizes["scenario"]
    width = np.zeros(n)
    for bar in axes.patches:
        width[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    np.testing.assert_allclose(width, found["loss"], atol=1e-12)
    dots, ticks = (line.get_xdata() for line in axes.lines[:2])
    np.testing.assert_array_equal(dots, found["loss"])
    np.testing.assert_array_equal(ticks, found["es"].sel(level=0.95))
    assert [t.get_text() for t in axes.get_yticklabels()] == ["shock", "other"]


def test_a_picture_of_something_else_is_refused(found):
    with pytest.raises(bf.SchemaError, match=r"bf\.stress returns"):
        plot_stress(found.drop_vars("loss_contribution"))
    with pytest.raises(bf.RiskError, match="did you mean 'family'"):
        plot_stress(found, by="famly")
    with pytest.raises(bf.RiskError, match=r"level 0\.5"):
        plot_stress(found, level=0.5)
    with pytest.raises(bf.RiskError, match="ci_prob"):
        plot_stress(found, ci_prob=1.0)
