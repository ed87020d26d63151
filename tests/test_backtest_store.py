"""The store of a backtest: one process at a time, one digest a block, nothing trusted that was not written."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import bayesfactor as bf
from bayesfactor.backtest import run

HOW = {"window": 20, "refit_every": 5, "random_seed": 1, "progressbar": False}
MODELS = ["normal", "historical"]

# The spread of these tests has a leg without returns at times, which is told elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore:portfolio 'spread' has long and short")


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=3, n_days=45, n_factors=1, n_groups=1, random_seed=3)[0]


@pytest.fixture(scope="module")
def weights(panel):
    return pd.DataFrame([[0.4, 0.3, 0.3], [1, -1, 0]], ["even", "spread"], panel["asset"].values)


@pytest.fixture(scope="module")
def result(panel, weights):
    return bf.backtest(MODELS, panel, weights, **HOW)


@pytest.fixture(scope="module")
def whole(panel, weights, tmp_path_factory):
    """A store in which everything is done."""
    store = tmp_path_factory.mktemp("stores") / "b.zarr"
    bf.backtest(MODELS, panel, weights, store=store, **HOW)
    return store


@pytest.fixture
def store(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "b.zarr")


def test_an_empty_folder_becomes_a_store_and_leaves_nothing_beside_it(panel, weights, result, tmp_path):
    (tmp_path / "b.zarr").mkdir()
    found = bf.backtest(MODELS, panel, weights, store=tmp_path / "b.zarr", **HOW)
    xr.testing.assert_identical(found, result)
    assert [p.name for p in tmp_path.iterdir()] == ["b.zarr"]
    with xr.open_zarr(tmp_path / "b.zarr", consolidated=False) as seen:
        assert seen["done"].values.all()


def test_a_block_shares_no_chunk_with_another(whole):
    root = zarr.open_group(whole, mode="r")
    assert root["var"].chunks == (5, 1, 2, 3)
    assert root["done"].chunks == root["rhat"].chunks == (1, 1)


@pytest.mark.parametrize("what", ["a number", "a mark", "its digest", "a chunk cut short", "a swap"])
def test_a_damaged_block_is_told_and_done_again(what, store, panel, weights, result, monkeypatch):
    root = zarr.open_group(store, mode="r+")
    if what == "a number":
        root["es"][7, 0, 0, 2] *= 1.01
    elif what == "its digest":
        root["block_digest"][0, 1] += 1
    elif what == "a mark":
        (store / "done" / "c" / "0" / "1").write_bytes(b"nothing")
    elif what == "a chunk cut short":
        chunk = store / "var" / "c" / "1" / "0" / "0" / "0"
        chunk.write_bytes(chunk.read_bytes()[:-9])
    else:  # a block that is whole, in another's place
        for name, a, b in [("var", "1", "2"), ("es", "1", "2"), ("pit", "1", "2"), ("crps", "1", "2")]:
            shutil.copytree(store / name / "c" / b, store / name / "c" / a, dirs_exist_ok=True)
        shutil.copy(store / "block_digest" / "c" / "0" / "2", store / "block_digest" / "c" / "0" / "1")
    done, real = [], run.run_task
    monkeypatch.setattr(run, "run_task", lambda task, *a: (done.append(task.name), real(task, *a))[1])
    with pytest.warns(UserWarning, match="is damaged: .*normal from .* is done again"):
        found = bf.backtest(MODELS, panel, weights, store=store, **HOW)
    xr.testing.assert_identical(found, result)
    assert len(done) == (2 if what == "a swap" else 1)
    done.clear()
    xr.testing.assert_identical(bf.backtest(MODELS, panel, weights, store=store, **HOW), result)
    assert not done


@pytest.mark.parametrize(
    "file", ["zarr.json", "var/zarr.json", "time/c/0", "realised/c/0/0", "static/zarr.json"]
)
@pytest.mark.parametrize("seed", [1, None])
def test_a_damaged_frame_is_refused(file, seed, store, panel, weights):
    content = bytearray((store / file).read_bytes())
    content[len(content) // 2] ^= 5
    (store / file).write_bytes(content)
    with pytest.raises(bf.DamagedFileError, match=r"b.zarr is damaged: .* Give another store="):
        bf.backtest(MODELS, panel, weights, store=store, **(HOW | {"random_seed": seed}))


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_damaged_numbers_are_right_or_refused(seed, store, panel, weights, result):
    rng = np.random.default_rng(seed)
    files = sorted(p for p in store.rglob("*") if p.is_file())
    file = files[rng.integers(len(files))]
    content = bytearray(file.read_bytes())
    content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
    file.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = bf.backtest(MODELS, panel, weights, store=store, **HOW)
    except bf.DamagedFileError:
        return
    xr.testing.assert_identical(found, result)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda p: p.write_text("a file"), "holds something else"),
        (lambda p: (p.mkdir(), (p / "notes.txt").write_text("mine")), "holds something else"),
        (lambda p: xr.Dataset({"x": 1.0}).to_zarr(p, consolidated=False), "holds something else"),
    ],
)
def test_what_is_no_store_is_left_alone(made, said, panel, weights, tmp_path):
    made(tmp_path / "b.zarr")
    before = sorted(p.name for p in (tmp_path / "b.zarr").rglob("*"))
    with pytest.raises(bf.RiskError, match=said):
        bf.backtest(MODELS, panel, weights, store=tmp_path / "b.zarr", **HOW)
    assert sorted(p.name for p in (tmp_path / "b.zarr").rglob("*")) == before
    with pytest.raises(bf.RiskError, match=r"ends in \.zarr"):
        bf.backtest(MODELS, panel, weights, store=tmp_path / "b.nc", **HOW)


def test_save_does_not_replace_a_store(whole, result):
    with pytest.raises(bf.StorageError, match="store of a backtest"):
        bf.save(result, whole)


def test_two_threads_never_write_one_store(panel, weights, result, tmp_path, monkeypatch):
    reached, go_on, real, said = threading.Event(), threading.Event(), run.run_task, []

    def slow(*args):
        reached.set()
        assert go_on.wait(60)
        return real(*args)

    def first():
        said.append(bf.backtest(MODELS, panel, weights, store=tmp_path / "b.zarr", **HOW))

    monkeypatch.setattr(run, "run_task", slow)
    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert reached.wait(60)
        with pytest.raises(
            bf.RiskError, match=rf"is being written by process {os.getpid()} on .* since \d{{4}}-"
        ):
            bf.backtest(MODELS, panel, weights, store=tmp_path / "b.zarr", **HOW)
    finally:
        go_on.set()
        thread.join()
    xr.testing.assert_identical(said[0], result)


HOLD = """
import sys, time
from pathlib import Path
from bayesfactor.keep.lock import take
assert take(Path(sys.argv[1])) is not None
print("held", flush=True)
time.sleep(600)
"""


def test_the_lock_of_another_process_is_named_and_that_of_a_dead_one_taken(store, panel, weights, result):
    lock = store.parent / ".b.zarr.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(bf.RiskError, match=f"written by process {process.pid} on"):
                bf.backtest(MODELS, panel, weights, store=store, **HOW)
        finally:
            process.send_signal(signal.SIGKILL)
    assert lock.exists()
    xr.testing.assert_identical(bf.backtest(MODELS, panel, weights, store=store, **HOW), result)
    assert not lock.exists()


RUN = """
import sys
import pandas as pd, bayesfactor as bf
panel, weights = bf.load(sys.argv[1]), pd.read_csv(sys.argv[2], index_col=0)
for _ in range(1000):
    try:
        bf.backtest({models!r}, panel, weights, store=sys.argv[3], **{how!r})
        break
    except bf.RiskError as error:
        assert "is being written by" in str(error), error
"""


@pytest.mark.slow
def test_four_processes_on_one_store_lose_nothing(panel, weights, result, tmp_path):
    bf.save(panel, tmp_path / "panel.nc")
    weights.to_csv(tmp_path / "weights.csv")
    args = [sys.executable, "-c", RUN.format(models=MODELS, how=HOW)]
    args += [str(tmp_path / n) for n in ("panel.nc", "weights.csv", "b.zarr")]
    running = [subprocess.Popen(args) for _ in range(4)]
    time.sleep(3.0)
    running[0].kill()
    assert [p.wait() for p in running][1:] == [0, 0, 0]
    xr.testing.assert_identical(bf.backtest(MODELS, panel, weights, store=tmp_path / "b.zarr", **HOW), result)
