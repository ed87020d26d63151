"""What is built is what is used: wheel, sdist and plain checkout all see the cards and the types.

The wheel is unzipped and imported from elsewhere, so that the checkout cannot lend it anything.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
CARDS = sorted(path.name for path in (ROOT / "models").glob("*.toml"))
SOURCES = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "bayesfactor").rglob("*.py*")
    if path.suffix in {".py", ".pyi"}
}


def run(*args, cwd, **env):
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(target, source, out):
    """Build with hatchling itself: the backend of pyproject.toml, no isolation, no network."""
    run("-m", "hatchling", "build", "-t", target, "-d", out, cwd=source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel_of_sdist(sdist, tmp_path_factory):
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel_of_sdist"))


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def seen_from(home, elsewhere):
    """Import the package from `home` in a fresh process and return where it is, its version and its models."""
    code = (
        "import bayesfactor as bf\n"
        "print(bf.__file__)\n"
        "print(bf.__version__)\n"
        "print(*sorted(map(str, bf.list_models())))\n"
    )
    where, version, models = run("-c", code, cwd=elsewhere, PYTHONPATH=str(home)).splitlines()
    return Path(where), version, models.split()


@pytest.mark.parametrize("kind", ["wheel", "wheel_of_sdist"])
def test_a_wheel_holds_the_package_its_types_and_every_card(kind, request):
    names = names_in(request.getfixturevalue(kind))
    assert set(names) >= SOURCES
    assert {"bayesfactor/py.typed", "bayesfactor/__init__.pyi"} <= set(names)
    assert [PurePosixPath(n).name for n in names if n.startswith("bayesfactor/_models/")] == CARDS


@pytest.mark.parametrize("kind", ["wheel", "wheel_of_sdist"])
def test_a_wheel_holds_nothing_else(kind, request):
    names = names_in(request.getfixturevalue(kind))
    metadata = {n for n in names if n.split("/")[0].endswith(".dist-info")}
    package = set(names) - metadata
    assert {n.split("/")[0] for n in package} == {"bayesfactor"}
    assert {PurePosixPath(n).suffix for n in package} <= {
        ".py",
        ".pyi",
        ".typed",
        ".toml",
        ".j2",
        ".html",
        ".css",
    }
    assert any(n.endswith("licenses/LICENSE") for n in metadata)


def test_the_wheel_of_the_sdist_equals_the_wheel_of_the_checkout(wheel, wheel_of_sdist):
    assert names_in(wheel_of_sdist) == names_in(wheel)


def test_an_sdist_holds_what_a_packager_needs(sdist):
    with tarfile.open(sdist) as archive:
        tops = {PurePosixPath(n).parts[1] for n in archive.getnames() if len(PurePosixPath(n).parts) > 1}
    needed = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "bayesfactor",
        "models",
        "tests",
        "pyproject.toml",
    }
    assert needed <= tops
    assert not tops & {".venv", ".ci", "dist", "uv.lock"}


def test_an_installed_wheel_lists_every_model(wheel, tmp_path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home)
    where, version, models = seen_from(home, elsewhere)
    assert where.is_relative_to(home)
    assert version == wheel.name.split("-")[1]
    assert models == [Path(card).stem for card in CARDS]


def test_a_plain_checkout_lists_every_model(tmp_path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in ("bayesfactor", "models"):
        shutil.copytree(ROOT / folder, home / folder, ignore=shutil.ignore_patterns("__pycache__"))
    where, _, models = seen_from(home, elsewhere)
    assert where.is_relative_to(home)
    assert models == [Path(card).stem for card in CARDS]


def test_every_name_of_the_face_survives_the_import_of_every_room(tmp_path):
    # Importing `bayesfactor.fit` binds the module to the name of the verb `bf.fit`: the face must stay a face.
    # A room behind an extra that is not installed here may say so; anything else has to be importable.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [r for requires in project["optional-dependencies"].values() for r in requires]
    optional = {re.split(r"[<>=!~ \[]", r, maxsplit=1)[0] for r in extras}
    code = (
        "import importlib, pkgutil, types\n"
        "import bayesfactor as bf\n"
        "for found in pkgutil.walk_packages(bf.__path__, 'bayesfactor.'):\n"
        "    if found.name.endswith('__main__'):\n"
        "        continue\n"
        "    try:\n"
        "        importlib.import_module(found.name)\n"
        "    except ModuleNotFoundError as error:\n"
        f"        assert error.name.split('.')[0] in {optional!r}, error\n"
        "names = [n for n in bf.__all__ if isinstance(getattr(bf, n), types.ModuleType)]\n"
        "assert not (set(names) - {'schema', 'errors'}), names\n"
        "assert len(bf.__all__) > 5, bf.__all__\n"
    )
    run("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))


def test_importing_the_package_loads_no_sampler(tmp_path):
    code = (
        "import sys, bayesfactor\n"
        "heavy = {'pymc', 'pytensor', 'pymc_extras', 'nutpie', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run("-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
