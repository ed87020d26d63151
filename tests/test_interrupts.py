"""Ctrl-C at any moment: the verb ends with KeyboardInterrupt, and nothing half-made is returned or written."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import nutpie
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app
from bayesfactor.errors import ModelError
from bayesfactor.interrupts import aside, heeded
from bayesfactor.laws.blocks import run_blocks
from bayesfactor.sampling import verb

MANY = 10**6


@pytest.fixture(autouse=True)
def _heard():
    """A shell's background job is started deaf to Ctrl-C, and so are its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    signal.raise_signal(signal.SIGINT)


def swallow(work):
    try:
        work()
    except KeyboardInterrupt:
        return "half"


def convert(work):
    try:
        work()
    except KeyboardInterrupt:
        raise ValueError("lengths differ") from None


@pytest.mark.parametrize("library", [swallow, convert])
def test_an_interrupt_that_a_library_catches_is_raised_all_the_same(library):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), heeded():
        library(press)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_is_heeded_through_every_layer():
    with pytest.raises(KeyboardInterrupt), heeded():
        swallow(lambda: aside(press_elsewhere))


def press_elsewhere():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


def test_without_an_interrupt_nothing_changes():
    with heeded():
        value = 1
    assert value == 1
    with pytest.raises(ZeroDivisionError), heeded():
        divmod(1, 0)


def test_a_handler_of_the_callers_that_does_not_raise_is_let_be():
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        with heeded():
            press()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_other_threads_may_sample_too():
    done = []

    def work():
        with heeded():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_what_is_done_aside_returns_or_raises_as_if_it_were_not():
    assert aside(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        aside(lambda: divmod(1, 0))


def test_an_interrupt_in_a_loop_of_blocks_starts_no_other_block():
    begun = []
    found = run_blocks(lambda b: begun.append(b) or b, range(1000))
    next(found)
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt)
    time.sleep(0.05)
    assert len(begun) < 500


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=3, n_days=40, n_factors=1, n_groups=1, random_seed=1)[0]


def prices_of(panel, folder):
    path = folder / "prices.csv"
    (100.0 * (1.0 + panel["returns"].to_pandas()).cumprod()).to_csv(path)
    return path


@pytest.fixture
def pressed_at(monkeypatch):
    """Press Ctrl-C when the sampler of a graph first tells how far it is."""

    def arm(graph):
        @contextmanager
        def shown(_, label):
            yield lambda _: os.kill(os.getpid(), signal.SIGINT) if label.startswith(graph) else None

        monkeypatch.setattr(verb, "shown", shown)

    return arm


@pytest.mark.parametrize("graph", ["loadings", "factor law"])
def test_an_interrupted_fit_returns_nothing(panel, pressed_at, graph):
    draws = MANY if graph == "loadings" else 3000
    pressed_at(graph)
    with pytest.raises(KeyboardInterrupt):
        bf.fit("hierarchical-normal", panel, draws=draws, tune=20, chains=1, random_seed=1)


def test_an_interrupted_command_ends_with_130_and_leaves_no_file(panel, pressed_at, tmp_path):
    prices = prices_of(panel, tmp_path)
    pressed_at("loadings")
    args = ["fit", prices, "--out", tmp_path / "fit.nc", "--draws", MANY, "--quiet"]
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert done.exit_code == 130
    assert "Interrupted" in done.output
    assert list(tmp_path.iterdir()) == [prices]


def test_an_interrupted_choice_and_backtest_end_as_well(panel, pressed_at):
    pressed_at("loadings")
    with pytest.raises(KeyboardInterrupt):
        bf.choose_n_latent(panel, [0, 1], draws=MANY, tune=20, chains=1, progressbar=False)
    held = pd.DataFrame(1 / 3, index=["equal"], columns=panel["asset"].values)
    options = {"window": 20, "draws": MANY, "tune": 20, "chains": 1, "progressbar": False}
    with pytest.raises(KeyboardInterrupt):
        bf.backtest("hierarchical-normal", panel, held, **options)


def test_fewer_draws_than_were_asked_for_are_an_error(panel, monkeypatch):
    whole = nutpie.sample
    monkeypatch.setattr(nutpie, "sample", lambda *a, **k: whole(*a, **k | {"draws": k["draws"] - 1}))
    with pytest.raises(ModelError, match=r"returned 1 chains of 9 draws, where 1 of 10"):
        bf.fit("hierarchical-normal", panel, draws=10, tune=5, chains=1, random_seed=1, progressbar=False)


def test_a_process_that_is_interrupted_while_it_samples_ends_with_130(panel, tmp_path):
    prices = prices_of(panel, tmp_path)
    args = ["fit", prices, "--out", "fit.nc", "--draws", MANY, "--model", "hierarchical-normal"]
    status, _ = interrupted(args, tmp_path, after="assets")
    assert status == 130
    assert list(tmp_path.iterdir()) == [prices]


def interrupted(args, cwd, *, after, delay=0.0):
    """Run a command, press Ctrl-C `delay` seconds after it has printed `after`; return status and output."""
    command = [sys.executable, "-u", "-m", "bayesfactor", *map(str, args)]
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        for line in run.stdout:
            if after in line:
                break
        time.sleep(delay)
        run.send_signal(signal.SIGINT)
        return run.wait(timeout=120), run.stdout.read()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["hierarchical-t", "garch-t", "latent-t", "latent-own-t"])
@pytest.mark.parametrize("delay", [0.0, 0.5, 2.0, 5.0, 15.0])
def test_a_command_interrupted_at_any_moment_ends_with_130(model, delay, tmp_path):
    panel, _ = bf.simulate_panel(n_assets=6, n_days=300, n_factors=1, n_groups=2, random_seed=1)
    prices = prices_of(panel, tmp_path)
    args = ["fit", prices, "--out", "fit.nc", "--draws", MANY // 10, "--model", model]
    status, shown = interrupted(args, tmp_path, after="assets", delay=delay)
    assert status == 130, shown
    assert list(tmp_path.iterdir()) == [prices]


ENDLESS = {
    "pathfinder": "bf.fit('hierarchical-t', p, draws=1000, method='pathfinder', progressbar=False)",
    "prior": "bf.sample_prior_predictive('hierarchical-t', p, draws=20_000)",
    "risk": "bf.decompose_risk(t, w, horizon=3)",
    "compounding": "bf.decompose_risk(t, w, horizon=3, compounding=True)",
    "forecast": "bf.forecast(t, paths=2000, horizon=3)",
    "allocate": "bf.allocate(t, 'min_es')",
    "stress": "bf.stress(t, [bf.FactorShock({f: -0.2})], w)",
    "diagnose": "bf.diagnose(t)",
    "update": "bf.update(t, p)",
}


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("verb", ENDLESS)
def test_every_long_verb_ends_soon_with_a_keyboard_interrupt(verb, delay, tmp_path):
    panel, _ = bf.simulate_panel(n_assets=5, n_days=80, n_factors=1, n_groups=1, random_seed=1)
    tree = bf.fit("hierarchical-t", panel, draws=100, tune=100, chains=2, random_seed=1, progressbar=False)
    bf.save(tree, tmp_path / "t.nc")
    code = (
        "import bayesfactor as bf, numpy as np, os, signal, threading, time, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "p, _ = bf.simulate_panel(n_assets=5, n_days=80, n_factors=1, n_groups=1, random_seed=1)\n"
        "t = bf.load('t.nc'); a = p['asset'].values.tolist(); f = str(p['factor'].values[0])\n"
        "w = dict.fromkeys(a, 0.2)\n"
        f"threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "pressed = time.monotonic() + {delay}\n".format(delay=delay)
        + f"try:\n    while True: {ENDLESS[verb]}\n"
        "except KeyboardInterrupt:\n    print(time.monotonic() - pressed)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 10.0
    assert np.isfinite(float(done.stdout))
