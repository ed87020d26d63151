"""`bayesfactor allocate`: what it prints, what it writes, what it refuses."""

import numpy as np
import pandas as pd
import pytest
from trees import make_tree
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("fits") / "fit.nc"
    bf.save(make_tree(5, 1), path)
    return path


def call(*args, status=0):
    done = CliRunner().invoke(app, ["allocate", *map(str, args)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def test_weights_are_those_of_the_verb_and_are_read_again(path, tmp_path):
    out = tmp_path / "weights.csv"
    options = (
        "--objective",
        "min-es",
        "--bounds",
        "0,0.4",
        "--scenarios",
        500,
        "--weight-draws",
        4,
        "--seed",
        1,
    )
    shown = call(path, *options, "--out", out).output
    found = bf.allocate(
        bf.load(path), "min_es", bounds=(0, 0.4), scenarios=500, weight_draws=4, random_seed=1
    )
    table = pd.read_csv(out, index_col="asset")
    np.testing.assert_allclose(table["weight"], found["weights"], atol=1e-12)
    low, high = found["weights_posterior"].quantile([0.05, 0.95], ("chain", "draw")).values
    np.testing.assert_allclose(table["low"], low, atol=1e-12)
    np.testing.assert_allclose(table["high"], high, atol=1e-12)
    assert "90 % interval" in shown
    assert f"{100 * float(found['es']):.2f}" in shown
    again = call(path, "--objective", "min_volatility", "--previous", out, "--cost", 0.9, "--weight-draws", 0)
    assert ["turnover", "0.00"] in [line.split() for line in again.output.splitlines()]
    assert "% now" in again.output


def test_a_budget_is_typed(path):
    options = ("--objective", "risk_budget", "--budget", "market=0.7,specific=0.3", "--weight-draws", 0)
    lines = call(path, *options).output.splitlines()
    market = next(line for line in lines if line.startswith("market"))
    assert float(market.split()[-1]) == pytest.approx(70, abs=0.11)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--bounds", "0.2"), "two numbers"),
        (("--objective", "min_var"), "objective is one of"),
        (("--budget", "market=0.7", "--objective", "risk_budget"), "sum to 1"),
        (("--previous", "COIN1=1"), "COIN01"),
        (("--out", "weights.nc"), ".csv"),
    ],
)
def test_what_is_typed_wrong_is_one_sentence(path, options, said):
    done = call(path, *options, status=2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
