"""Positions and trades on the command line: files in, the verbs' numbers out."""

import numpy as np
import pytest
from trees import make_tree
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app
from bayesfactor.cli.inputs import read_trades
from bayesfactor.errors import MissingFileError, WeightsError

POSITIONS = "asset,instrument,type,quantity,price,strike,days,implied_volatility\nCOIN01,option,put,-4,100,95,30,0.8\n"
TRADES = "trade, asset, change\nless, COIN01, -0.1\nswitch, COIN01, -0.2\nless, COIN02, 0.05\nswitch, COIN03, 0.2\n"


pytestmark = pytest.mark.filterwarnings("ignore:the curvature of options")


@pytest.fixture(scope="module")
def tree():
    return make_tree(draws=100, data_nu=12.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tree):
    where = tmp_path_factory.mktemp("desk")
    bf.save(tree, where / "fit.nc")
    (where / "positions.csv").write_text(POSITIONS)
    (where / "trades.csv").write_text(TRADES)
    return where


def call(*args, status=0):
    done = CliRunner().invoke(app, [str(a) for a in args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.output


def test_risk_takes_positions_beside_weights(folder, tree):
    out = folder / "risk.nc"
    shown = call("risk", folder / "fit.nc", "--positions", folder / "positions.csv", "--value", 1000, "--kappa", 0.5,
                 "--repricing", "full", "--seed", 1, "--out", out, "--csv", folder / "risk.csv")  # fmt: skip
    assert "nonlinear" in shown
    assert "% held, by delta" in shown
    weights = dict.fromkeys(tree["observed_data"]["asset"].values.tolist(), 1 / 3)
    held = bf.read_positions(folder / "positions.csv")
    plain = bf.decompose_risk(
        tree, weights, value=1000, positions=held, kappa=0.5, repricing="full", random_seed=1
    )
    saved = bf.load(out)
    np.testing.assert_array_equal(saved["es"], plain["es"])
    assert saved.attrs["repricing"] == "full"
    assert "carry" in (folder / "risk.csv").read_text()


def test_positions_alone(folder, tree):
    out = folder / "alone.nc"
    call("risk", folder / "fit.nc", "--positions", folder / "positions.csv", "--value", 1000, "--weights", "none",
         "--repricing", "full", "--seed", 1, "--out", out)  # fmt: skip
    plain = bf.decompose_risk(
        tree,
        None,
        value=1000,
        positions=bf.read_positions(folder / "positions.csv"),
        repricing="full",
        random_seed=1,
    )
    np.testing.assert_array_equal(bf.load(out)["es"], plain["es"])


@pytest.mark.parametrize(("typed", "kappa"), [("1.5", 1.5), ("COIN01=2", {"COIN01": 2.0})])
def test_stress_moves_volatilities_as_told(folder, tree, typed, kappa):
    out = folder / "stress.nc"
    call("stress", folder / "fit.nc", "--positions", folder / "positions.csv", "--value", 1000, "--kappa", typed,
         "--repricing", "taylor", "--shock", "market=-0.1", "--paths", 5, "--seed", 1, "--out", out)  # fmt: skip
    weights = dict.fromkeys(tree["observed_data"]["asset"].values.tolist(), 1 / 3)
    how = {"value": 1000, "positions": bf.read_positions(folder / "positions.csv"), "repricing": "taylor"}
    shock = {"shock": bf.FactorShock({"market": -0.1})}
    same = bf.stress(tree, weights, shock, kappa=kappa, paths=5, random_seed=1, **how)
    still = bf.stress(tree, weights, shock, kappa=0.0, paths=5, random_seed=1, **how)
    np.testing.assert_array_equal(bf.load(out)["loss"], same["loss"])
    assert (same["loss"] != still["loss"]).all()


def test_a_kappa_that_is_no_number_is_refused(folder):
    said = call("risk", folder / "fit.nc", "--positions", folder / "positions.csv", "--value", 1000,
                "--kappa", "COIN01", status=2)  # fmt: skip
    assert "kappa is a number, or pairs" in said


def test_positions_without_value_are_refused(folder):
    said = call("risk", folder / "fit.nc", "--positions", folder / "positions.csv", status=2)
    assert "give value" in said


def test_trades_are_measured_and_saved(folder, tree):
    out = folder / "trades.nc"
    shown = call("trades", folder / "fit.nc", "--trades", folder / "trades.csv", "--seed", 1, "--out", out)
    for word in ("less", "switch", "first order", "ES 0.99, % of value", "MC error"):
        assert word in shown
    weights = dict.fromkeys(tree["observed_data"]["asset"].values.tolist(), 1 / 3)
    proposed = {"less": {"COIN01": -0.1, "COIN02": 0.05}, "switch": {"COIN01": -0.2, "COIN03": 0.2}}
    plain = bf.incremental_risk(tree, weights, proposed, random_seed=1)
    np.testing.assert_array_equal(bf.load(out)["es_change"], plain["es_change"])
    money = call("trades", folder / "fit.nc", "--trades", folder / "trades.csv", "--seed", 1, "--value", 1e6)
    assert "ES 0.99, money" in money


REFUSED = {
    "a column less": ("trade,asset\nt,A\n", "needs the columns trade, asset and change; got trade, asset"),
    "a word": ("trade,asset,change\nt,A,some\n", "no finite number for A in 't'; got 'some'"),
    "an asset twice": ("trade,asset,change\nt,A,1\nt,A,2\n", "changes A twice in 't'"),
    "nothing": ("", "cannot be read as CSV"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_of_trades_is_refused_with_its_reason(tmp_path, case):
    text, message = REFUSED[case]
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(WeightsError, match=message):
        read_trades(tmp_path / "t.csv")
    with pytest.raises(MissingFileError, match="no file of trades"):
        read_trades(tmp_path / "absent.csv")


def test_a_coin_called_na_is_a_coin(tmp_path):
    (tmp_path / "t.csv").write_text("trade,asset,change\nt,NA,0.5\n")
    assert read_trades(tmp_path / "t.csv") == {"t": {"NA": 0.5}}
