"""Files: what is written can be read again, what is damaged is told, what is somebody else's is left alone."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from test_backtest_report import make_backtest
from trees import make_tree

import bayesfactor as bf
from bayesfactor.keep import check_place, escaped, place, unescaped, write_csv, write_page, write_parquet
from bayesfactor.keep.lock import take

SUFFIXES = (".nc", ".zarr")


@pytest.fixture(scope="module")
def tree():
    return make_tree(n_times=10, chains=2, draws=4)


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=3, n_days=20, n_factors=1, n_groups=1, random_seed=1)[0]


@pytest.fixture(params=SUFFIXES)
def kept(request, tree, tmp_path):
    """A saved fit, once in each format."""
    return bf.save(tree, tmp_path / f"fit{request.param}")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def odd() -> xr.Dataset:
    """Return every kind of value and attribute that a file holds."""
    return xr.Dataset(
        {
            "float": ("x", [0.1, np.nan, -0.0]),
            "single": ("x", np.array([1, 2, 3], "float32")),
            "whole": ("x", [2**60 + 1, -1, 0]),
            "small": ("x", np.array([1, 2, 3], "int8")),
            "yes": ("x", [True, False, True]),
            "word": ("x", ["a", "ö", ""]),
            "object": ("x", np.array(["long", "words", "日本"], dtype=object)),
            "alone": ((), 3.5),
            "none": ("y", np.zeros(0)),
            "span": ("x", np.array([1, 2, 3], "timedelta64[D]").astype("timedelta64[ns]")),
        },
        coords={
            "x": pd.date_range("2024-01-01", periods=3, freq="h"),
            "at": ("x", [1, 2, 3], {"units": "m"}),
        },
        attrs={"one": 1, "half": 0.5, "word": "w", "list": [1, 2], "single": [0.95], "words": ["a", "b"]},
    )


@pytest.mark.parametrize("suffix", [".nc", ".NC", ".zarr"])
def test_every_kind_of_value_comes_back_and_passes_its_own_digest(suffix, tmp_path):
    data = odd()
    if suffix == ".zarr":
        data = data.drop_vars(["object", "span"])  # Zarr has no settled form of them yet, and warns
    path = bf.save(data, tmp_path / f"odd{suffix}")
    back = bf.load(path)
    xr.testing.assert_equal(back, data)
    assert set(back.attrs) == set(data.attrs)
    assert bf.save(back, path) == path
    xr.testing.assert_identical(bf.load(path), back)


def test_a_packed_file_of_others_is_written_as_it_was_read(tmp_path):
    # Their packing would round what is put in later.
    xr.Dataset({"x": ("t", [0.0, 1.0])}, attrs={"returns_digest": "a"}).to_netcdf(
        tmp_path / "packed.nc",
        engine="h5netcdf",
        encoding={"x": {"dtype": "int8", "scale_factor": 0.5, "_FillValue": -1}},
    )
    with pytest.warns(UserWarning, match="carries no digest"):
        data = bf.load(tmp_path / "packed.nc")
    data["x"][0] = 0.123
    assert bf.load(bf.save(data, tmp_path / "mine.nc"))["x"].values.tolist() == [0.123, 1.0]


def test_load_reads_what_verbs_return(panel, tmp_path):
    for name, data in {"panel": panel, "backtest": make_backtest(days=20)}.items():
        xr.testing.assert_identical(bf.load(bf.save(data, tmp_path / f"{name}.nc")), data)
    again = bf.panel_from_returns(bf.load(tmp_path / "panel.nc"))
    np.testing.assert_array_equal(again["returns"], panel["returns"])


def test_a_changed_number_is_told_with_its_group(kept):
    if kept.is_dir():
        zarr.open_group(kept, mode="r+")["posterior/alpha"][0, 0, 0] = 7.0
    else:
        with h5py.File(kept, "r+") as file:
            file["posterior/alpha"][0, 0, 0] = 7.0
    with pytest.raises(bf.DamagedFileError, match=r"its group posterior does not hold .* backup"):
        bf.load(kept)


@pytest.mark.parametrize("what", ["attribute", "label", "group"])
def test_attributes_labels_and_groups_are_part_of_what_is_checked(what, tree, tmp_path):
    path = bf.save(tree, tmp_path / "fit.nc")
    with h5py.File(path, "r+") as file:
        if what == "attribute":
            file["observed_data"].attrs["periods_per_year"] = 252
        elif what == "label":
            file["constant_data/asset"][0] = "COIN99"
        else:
            del file["log_prior"]
    with pytest.raises(
        bf.DamagedFileError, match={"attribute": "observed", "label": "constant", "group": "log_prior"}[what]
    ):
        bf.load(path)


def damaged(kept: Path, rng: np.random.Generator) -> None:
    files = sorted(p for p in kept.rglob("*") if p.is_file()) if kept.is_dir() else [kept]
    sizes = np.array([p.stat().st_size for p in files], float)
    file = files[rng.choice(len(files), p=sizes / sizes.sum())]
    content = bytearray(file.read_bytes())
    for _ in range(rng.integers(1, 4)):
        content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
    file.write_bytes(content)


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_fit_is_refused_or_unharmed(seed, kept, tree):
    damaged(kept, np.random.default_rng(seed))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = bf.load(kept)
    except bf.SchemaError:
        return
    assert found.identical(tree)


def test_a_file_without_digests_is_read_with_a_warning(tree, tmp_path):
    tree.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    with pytest.warns(UserWarning, match="old.nc carries no digest"):
        assert bf.load(tmp_path / "old.nc").identical(tree)


def outside(file, tmp_path):
    file["posterior"]["away"] = h5py.ExternalLink(str(tmp_path / "secret.nc"), "/x")


def soft(file, _):
    file["posterior/away"] = h5py.SoftLink("/constant_data")


def storage(file, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(80))
    file.create_dataset("away", (10,), "f8", external=[(str(tmp_path / "secret"), 0, 80)])


def virtual(file, tmp_path):
    layout = h5py.VirtualLayout((10,), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.nc"), "x", (10,))
    file.create_virtual_dataset("away", layout)


def objects(file, _):
    file.create_dataset("away", (2,), h5py.vlen_dtype("f8"))


def circle(file, _):
    file["posterior/again"] = file["/"]


def bomb(file, _):
    file.create_dataset("away", (10_000, 10_000), "f8", compression="gzip", chunks=(100, 10_000))


def endless(file, _):
    file.create_dataset("away", (1 << 50,), "f8", chunks=(1024,))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (outside, "link to somewhere else"),
        (soft, "link to somewhere else"),
        (storage, "lies in another file"),
        (virtual, "lies in another file"),
        (objects, "holds objects"),
        (circle, "run in a circle"),
        (bomb, "more than a hundred times"),
        (endless, "memory"),
    ],
)
def test_a_file_that_reaches_beyond_itself_is_refused_before_it_is_read(
    harm, said, tree, tmp_path, monkeypatch
):
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "fit.nc", "r+") as file:
        harm(file, tmp_path)
    monkeypatch.setattr(xr, "open_datatree", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(bf.SchemaError, match=said):
        bf.load(tmp_path / "fit.nc")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"zstd"', '"pickle"', "codec from elsewhere"),
        ('"float64"', '"object"', "holds objects"),
        ('"zarr_format": 3', '"zarr_format": 2', "format 2"),
        ('"shape": [', '"shape": [1000000000000,', "memory"),
        ('"shape": [', '"shape": [400000,', "a hundred times"),
        ('"data_type"', '"data_tape"', "not described"),
    ],
)
def test_a_store_with_foreign_codecs_objects_or_sizes_is_refused(old, new, said, tree, tmp_path):
    tree.to_zarr(tmp_path / "fit.zarr", consolidated=False)
    told = tmp_path / "fit.zarr" / "posterior" / "loadings" / "zarr.json"
    text = told.read_text()
    assert old in text
    told.write_text(text.replace(old, new))
    with pytest.raises(bf.SchemaError, match=said):
        bf.load(tmp_path / "fit.zarr")


def test_a_link_inside_of_a_store_is_refused(tree, tmp_path):
    path = bf.save(tree, tmp_path / "fit.zarr")
    (path / "away").symlink_to(tmp_path)
    with pytest.raises(bf.SchemaError, match="link to somewhere else"):
        bf.load(path)


# --- what may be replaced -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_of_somebody_else_is_left_alone(suffix, tree, tmp_path):
    mine = tmp_path / f"results{suffix}"
    (mine / "years").mkdir(parents=True)
    (mine / "years" / "work.txt").write_text("of years")
    with pytest.raises(
        bf.StorageError, match=r"only what this package wrote is replaced\. Give another name"
    ):
        bf.save(tree, mine)
    assert (mine / "years" / "work.txt").read_text() == "of years"
    assert names(tmp_path) == [mine.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_somebody_else_is_left_alone_and_ours_is_replaced(suffix, tree, panel, tmp_path):
    theirs = tmp_path / f"theirs{suffix}"
    if suffix == ".zarr":
        xr.Dataset({"x": 1.0}).to_zarr(theirs, consolidated=False)
    else:
        xr.Dataset({"x": 1.0}).to_netcdf(theirs, engine="h5netcdf")
    with pytest.raises(bf.StorageError, match="not of this package"):
        bf.save(tree, theirs)
    ours = bf.save(panel, tmp_path / f"ours{suffix}")
    assert bf.load(bf.save(tree, ours)).identical(tree)


def test_a_store_with_notes_in_it_is_left_alone(tree, tmp_path):
    path = bf.save(tree, tmp_path / "fit.zarr")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(bf.StorageError, match=r"holds 'notes.txt' besides"):
        bf.save(tree, path)


def test_tables_and_pages_replace_their_own_and_nothing_else(tmp_path):
    table = pd.DataFrame({"asset": ["BTC"], "weight": [1.0]}).set_index("asset")
    written = {
        "t.csv": lambda path: write_csv(table, path),
        "t.parquet": lambda path: write_parquet(table, path),
        "p.html": lambda path: write_page("<p>page</p>", path),
        "p.md": lambda path: write_page("# page", path),
    }
    theirs = {
        "t.csv": "asset,weight\nBTC,1\n",
        "t.parquet": "x" * 99,
        "p.html": "<p>mine, all mine</p>",
        "p.md": "# mine, all mine",
    }
    for name, write in written.items():
        path = tmp_path / name
        for _ in range(2):
            write(path)
        path.write_text(theirs[name])
        with pytest.raises(bf.StorageError, match="not of this package"):
            write(path)
        assert path.read_text() == theirs[name]
    assert names(tmp_path) == sorted(written)


def test_a_link_is_followed_and_stays_a_link(tree, panel, tmp_path):
    (tmp_path / "there").mkdir()
    real, link = bf.save(panel, tmp_path / "there" / "fit.nc"), tmp_path / "link.nc"
    link.symlink_to(real)
    bf.save(tree, link)
    assert link.is_symlink()
    assert bf.load(real).identical(tree)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("fit.txt", bf.SchemaError, "the output ends in .nc or .zarr; got 'fit.txt'"),
        ("no/fit.nc", bf.MissingFileError, "make it first"),
        ("a\0b.nc", bf.SchemaError, "no name of a file"),
        ("x" * 300 + ".nc", bf.StorageError, "name is too long"),
        (5, bf.SchemaError, "no name of a file"),
    ],
)
def test_names_that_cannot_be_written_are_told(name, error, said, tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        bf.save(tree, name)
    assert names(tmp_path) == []


# --- the disk -------------------------------------------------------------------------------------


def forked(do) -> int:
    """Do something in a process of its own, and return how it ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of zarr: the child does without them
        child = os.fork()
    if child == 0:
        do()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def grow(tree: xr.DataTree, path: Path) -> None:
    """Save where no file may be larger than a page, and write down what is said."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        bf.save(tree, path)
    except bf.StorageError as error:
        path.with_suffix(".said").write_text(str(error))


def test_a_limit_of_file_size_is_told_and_the_old_file_stays(tree, panel, tmp_path):
    # In a process of its own: HDF5 used to bring it down.
    path = bf.save(panel, tmp_path / "fit.nc")
    assert forked(lambda: grow(tree, path)) == 0
    assert "larger than a file may be here" in path.with_suffix(".said").read_text()
    xr.testing.assert_identical(bf.load(path), panel)
    assert names(tmp_path) == ["fit.nc", "fit.said"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".csv", ".html"])
def test_a_full_disk_is_told_and_the_old_file_stays(suffix, tree, panel, tmp_path, monkeypatch):
    path = tmp_path / f"out{suffix}"
    write = {
        ".csv": lambda: write_csv(pd.DataFrame({"x": [1.0]}), path),
        ".html": lambda: write_page("<p>page</p>", path),
    }.get(suffix, lambda: bf.save(tree if path.exists() else panel, path))
    write()
    before = sorted(p.name for p in path.rglob("*")) if path.is_dir() else path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, "_moved", full)
    with pytest.raises(bf.StorageError, match="the disk is full"):
        write()
    assert before == (sorted(p.name for p in path.rglob("*")) if path.is_dir() else path.read_bytes())
    assert names(tmp_path) == [path.name]


# --- interruptions --------------------------------------------------------------------------------


def replace_and_die(source: Path, path: Path, step: int) -> None:
    """Replace a file as `save` does, on a system without exchange of names, and die before a step."""
    real, count = os.replace, iter(range(9))

    def replace(one, other):
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        real(one, other)

    place.exchanged, os.replace = lambda *_: False, replace
    with place.written_whole(path) as temporary:
        shutil.copytree(source, temporary) if source.is_dir() else shutil.copy(source, temporary)


@pytest.mark.parametrize(("suffix", "step"), [(".nc", 0), (".zarr", 0), (".zarr", 1)])
def test_killed_between_two_steps_something_whole_is_found(step, suffix, tree, panel, tmp_path):
    (tmp_path / "new").mkdir()
    new, path = bf.save(tree, tmp_path / "new" / f"fit{suffix}"), bf.save(panel, tmp_path / f"fit{suffix}")
    assert forked(lambda: replace_and_die(new, path, step)) == signal.SIGKILL
    assert path.exists() == (step == 0)
    found = bf.load(path)
    assert found.identical(tree if step else panel)
    write_page(
        "<p>page</p>", tmp_path / "page.html"
    )  # whatever is written sweeps, and finishes what was begun
    assert names(tmp_path) == [f"fit{suffix}", "new", "page.html"]
    assert bf.load(path).identical(found)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no exchange of names")
def test_two_folders_change_places_in_one_step(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    assert place.exchanged(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path / "a") == ["b"]
    assert names(tmp_path / "b") == ["a"]


def test_what_a_living_process_works_on_is_not_swept(panel, tmp_path):
    with place.written_whole(tmp_path / "one.nc") as temporary:
        temporary.write_bytes(b"half")
        bf.save(panel, tmp_path / "two.nc")
        assert temporary.read_bytes() == b"half"
    assert names(tmp_path) == ["one.nc", "two.nc"]


def test_a_lock_is_one_owners_and_freed_by_a_fork_that_lives_on(tmp_path):
    lock = take(tmp_path / "lock")
    assert take(tmp_path / "lock") is None
    (born, tell), (wait, end) = os.pipe(), os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # lives until its parent has let go and taken again
        os.write(tell, b"x")
        os.read(wait, 1)
        os._exit(0)
    os.read(born, 1)
    lock.release(remove=False)
    again = take(tmp_path / "lock")
    os.write(end, b"x")
    os.waitpid(child, 0)
    for handle in (born, tell, wait, end):
        os.close(handle)
    assert again is not None
    again.release()
    assert names(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_killed_at_any_moment_something_whole_is_found(suffix, panel, tmp_path):
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {here!r})\nimport bayesfactor as bf\nfrom trees import make_tree\n"
        "trees = [make_tree(n_times=10, chains=2, draws=4, seed=i) for i in range(2)]\nprint('go', flush=True)\n"
        "while True:\n    for t in trees:\n        bf.save(t, sys.argv[1])\n"
    )
    wanted = [make_tree(n_times=10, chains=2, draws=4, seed=i) for i in range(2)]
    path, rng = bf.save(wanted[0], tmp_path / f"fit{suffix}"), np.random.default_rng(1)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.0, 1.0))
            process.kill()
        assert any(bf.load(path).identical(one) for one in wanted)
    bf.save(panel, path)
    assert names(tmp_path) == [path.name]


# --- formulas -------------------------------------------------------------------------------------

NASTY = ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@x", "plain", "'quoted'", "", "a=b"]


def test_no_cell_of_a_csv_is_a_formula_and_reading_gives_the_names_back(tmp_path):
    table = pd.DataFrame(
        {"=column": [-1.0] * len(NASTY), "word": NASTY}, index=pd.Index(NASTY, name="@index")
    )
    write_csv(table, tmp_path / "t.csv")
    raw = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, lineterminator="\n")
    texts = [*raw.columns, *raw.iloc[:, 0], *raw["word"]]
    assert not any(t.startswith(("=", "+", "-", "@", "\t", "\r")) for t in texts)
    assert raw["'=column"].tolist() == [-1.0] * len(NASTY)  # numbers stay numbers
    pd.testing.assert_frame_equal(unescaped(escaped(table)), table)
    back = unescaped(pd.read_csv(tmp_path / "t.csv", index_col=0, keep_default_na=False))
    assert back["word"].tolist() == NASTY
    assert back.index.tolist() == NASTY


def test_a_check_before_the_work_is_the_check_when_it_is_written(tmp_path):
    assert check_place(tmp_path / "FIT.NC", (".nc", ".zarr")) == tmp_path / "FIT.NC"
    folder = tmp_path / "weights.csv"
    folder.mkdir()
    for check in (
        lambda: check_place(folder, (".csv",)),
        lambda: write_csv(pd.DataFrame({"x": [1]}), folder),
    ):
        with pytest.raises(bf.StorageError, match="is a folder"):
            check()
