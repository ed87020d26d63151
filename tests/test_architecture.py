"""The table of rooms, kept true.

`ROOMS` says which modules make up a room and which rooms it may import. `violations` reads a source
tree with `ast` alone and returns every broken rule as one line; imports inside functions count too.
A room is a module (`risk.py`) or a folder (`risk/`); rooms that do not exist yet are fine.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "bayesfactor"
SOURCE = Path(__file__).resolve().parents[1] / PACKAGE
MAX_LINES = 400
SAMPLER = frozenset({"pymc", "pytensor", "pymc_extras", "nutpie"})
FACE = frozenset({"__init__", "__main__"})


@dataclass(frozen=True)
class Room:
    modules: str
    may_import: str = ""
    knows_sampler: bool = False


ROOMS = {
    "ground": Room(
        "errors words accessor intact schema graphs interrupts limits calls pairwise periods shortfall"
    ),
    "keep": Room("keep", "ground"),
    "tables": Room("tables", "keep ground"),
    "panel": Room("panel", "keep tables ground"),
    "factors": Room("factors", "panel tables ground"),
    "simulate": Room("simulate", "panel ground"),
    "laws": Room("laws", "ground"),
    "likelihoods": Room("likelihoods", "laws ground", knows_sampler=True),
    "structures": Room("structures", "likelihoods laws panel ground", knows_sampler=True),
    "model": Room("model", "structures panel ground", knows_sampler=True),
    "density": Room("density", "likelihoods laws ground", knows_sampler=True),
    "sampling": Room("sampling", "density likelihoods ground", knows_sampler=True),
    "registry": Room("registry", "model structures panel ground", knows_sampler=True),
    "fit": Room("fit", "sampling model registry structures laws panel ground", knows_sampler=True),
    # --- the wall: what is below reads a DataTree and nothing else ---
    "forecast": Room("forecast", "laws ground"),
    "psis": Room("psis", "ground"),
    "adequacy": Room("adequacy together", "psis forecast laws ground"),
    "diagnose": Room("diagnose", "adequacy psis forecast laws ground"),
    "compare": Room("compare", "psis forecast laws ground"),
    "positions": Room("positions", "tables ground"),
    "risk": Room("risk", "positions forecast laws tables ground"),
    "stress": Room("stress", "positions risk forecast laws panel tables ground"),
    "allocate": Room("allocate", "risk forecast laws tables ground"),
    "sensitivity": Room("sensitivity", "psis risk forecast laws ground"),
    "attribution": Room("attribution", "risk laws ground"),
    "latent": Room("latent", "laws ground"),
    "ensemble": Room("ensemble", "forecast laws ground"),
    "scoring": Room("scoring", "ground"),
    "select": Room("select", "laws ground"),
    "update": Room("update", "laws panel ground"),
    "download": Room("bars download", "keep ground"),
    "info": Room("info", "diagnose risk laws ground"),
    "plots": Room("plots", "scoring stress risk diagnose laws ground"),
    "report": Room(
        "report",
        "plots attribution allocate stress scoring sensitivity risk positions compare adequacy diagnose forecast keep "
        "laws ground",
    ),
    # --- the conductors: they may call every verb; no room calls them ---
    "conductors": Room("cli demo backtest choose wrappers skfolio", "*", knows_sampler=True),
}

ROOM_OF = {module: name for name, room in ROOMS.items() for module in room.modules.split()}


@dataclass(frozen=True)
class Import:
    target: str
    line: int
    relative: bool = False


def module_name(path: Path, source: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def room_of(module: str) -> str | None:
    parts = module.split(".")
    if len(parts) == 1 or parts[1] in FACE:
        return "face"
    return ROOM_OF.get(parts[1])


def imports_of(tree: ast.Module, modules: frozenset[str]) -> Iterator[Import]:
    """Yield what a module imports; `from package import name` points at the submodule where there is one."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (Import(alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                for alias in names:
                    full = f"{base}.{alias.name}" if base else alias.name
                    target = full if full in modules else (base or alias.name)
                    yield Import(target, node.lineno, relative=level > 0)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(target)), *_],
            ):
                yield Import(target, node.lineno)


def is_export_list(node: ast.stmt) -> bool:
    """Whether a statement of the face is a docstring, an import, or an assignment to dunder names."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())) | ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            return all(isinstance(n, ast.Name) and n.id.startswith("__") for n in names)
    return False


def violations(source: Path) -> list[str]:
    """Return every broken rule of the package under `source`, one line each."""
    files = {module_name(path, source): path for path in sorted(source.rglob("*.py"))}
    modules = frozenset(files)
    found: list[str] = []
    graph: dict[str, set[str]] = {name: set() for name in files}
    for name, path in files.items():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, filename=str(path))
        where = path.relative_to(source.parent).as_posix()
        room = room_of(name)
        if room is None:
            found.append(
                f"{where}: belongs to no room; add {name.split('.')[1]!r} to ROOMS in test_architecture.py"
            )
        if (lines := len(text.splitlines())) > MAX_LINES:
            found.append(
                f"{where}: {lines} lines, the limit is {MAX_LINES}; split it by what changes together"
            )
        if name == PACKAGE:
            found += [
                f"{where}:{n.lineno}: the face defines nothing" for n in tree.body if not is_export_list(n)
            ]
        for imported in imports_of(tree, modules):
            at = f"{where}:{imported.line}"
            top = imported.target.split(".")[0]
            if imported.relative:
                found.append(f"{at}: relative import of {imported.target}; imports are absolute")
            elif top in SAMPLER and not (room in ROOMS and ROOMS[room].knows_sampler):
                found.append(f"{at}: {room or name} imports {imported.target}; only rooms that sample may")
            elif top == PACKAGE:
                found += broken_arrow(at, room, imported.target)
                if (nearest := nearest_module(imported.target, modules)) not in {name, None}:
                    graph[name].add(nearest)
    return found + cycles(graph)


def broken_arrow(at: str, room: str | None, target: str) -> list[str]:
    other = room_of(target)
    if room in {None, "face", "conductors"} or other in {None, room}:
        return []
    if other in ROOMS[room].may_import.split():
        return []
    allowed = ROOMS[room].may_import or "nothing of ours"
    return [f"{at}: {room} imports {target} ({other}); it may import {allowed}"]


def nearest_module(target: str, modules: frozenset[str]) -> str | None:
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target or None


def cycles(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"import cycle: {' -> '.join(reversed(error.args[1]))}"]
    return []


def test_the_package_keeps_the_table_of_rooms():
    assert violations(SOURCE) == []


def test_the_table_names_only_rooms_that_it_holds():
    named = {other for room in ROOMS.values() for other in room.may_import.split()} - {"*"}
    assert named <= set(ROOMS)


def test_the_table_has_no_cycle_among_rooms():
    graph = {name: set(room.may_import.split()) - {"*"} for name, room in ROOMS.items()}
    assert cycles(graph) == []


PLANTED = {
    "a room above the wall": (
        "compare.py",
        "from bayesfactor.fit import fit",
        "compare imports bayesfactor.fit",
    ),
    "a neighbour after the wall": (
        "compare.py",
        "from bayesfactor import risk",
        "compare imports bayesfactor.risk",
    ),
    "a submodule of a folder": (
        "laws/a.py",
        "import bayesfactor.risk.tail",
        "laws imports bayesfactor.risk.tail",
    ),
    "an import inside a function": (
        "panel/a.py",
        "def f():\n    from bayesfactor import fit",
        "panel imports",
    ),
    "the face from a room": ("fit.py", "import bayesfactor as bf", "fit imports bayesfactor (face)"),
    "a conductor from a room": ("fit.py", "from bayesfactor.cli import main", "fit imports bayesfactor.cli"),
    "a law that knows PyMC": ("laws/a.py", "import pymc as pm", "laws imports pymc"),
    "PyMC inside a function": ("risk/a.py", "def f():\n    import pymc.math", "risk imports pymc.math"),
    "PyMC by its name in a string": (
        "forecast.py",
        "x = importlib.import_module('pymc')",
        "forecast imports pymc",
    ),
    "pytensor on the ground": ("schema.py", "from pytensor import tensor", "ground imports pytensor"),
    "a relative import": ("laws/a.py", "from . import student", "relative import of student"),
    "a module without a room": ("helpers.py", "", "belongs to no room; add 'helpers' to ROOMS"),
    "a folder without a room": ("utils/a.py", "", "belongs to no room; add 'utils' to ROOMS"),
    "a file too long": ("risk/a.py", "x = 1\n" * 400, "401 lines"),
    "a function in the face": ("__init__.py", "def f(): ...", "the face defines nothing"),
    "a name made in the face": ("__init__.py", "x = 1", "the face defines nothing"),
    "a cycle inside a room": (
        "laws/a.py",
        "from bayesfactor.laws import b",
        "bayesfactor.laws.a -> bayesfactor.laws.b",
    ),
}


@pytest.fixture
def tidy(tmp_path):
    """A small package in which every rule holds."""
    source = tmp_path / PACKAGE
    files = {
        "__init__.py": (
            '"""Face."""\nimport lazy_loader\nfrom bayesfactor.fit import fit\n'
            "__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n__version__: str = '1'\n"
        ),
        "__main__.py": "from bayesfactor.cli import main\nmain()\n",
        "schema.py": "from bayesfactor.errors import BayesFactorError\n",
        "errors.py": "class BayesFactorError(Exception): ...\n",
        "panel/__init__.py": "from bayesfactor.panel.checks import check\n",
        "panel/checks.py": "from bayesfactor import schema as s\n",
        "laws/__init__.py": "import numpy as np\nfrom bayesfactor.laws.b import Law\n",
        "laws/b.py": "def f():\n    from bayesfactor.laws.a import g\n",
        "laws/a.py": "",
        "structures/static.py": "import pymc as pm\nfrom bayesfactor.panel.checks import check\n",
        "fit.py": "def fit():\n    import pymc\n    from bayesfactor.structures import static\n",
        "forecast.py": "from bayesfactor.laws import Law\n",
        "risk/__init__.py": "from bayesfactor.risk.tail import tail\n",
        "risk/tail.py": "from bayesfactor import forecast\n",
        "cli.py": "from bayesfactor.fit import fit\nfrom bayesfactor.risk import tail\n",
    }
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    return source


def test_a_tidy_package_has_no_violation(tidy):
    assert violations(tidy) == []


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_violation_is_caught(tidy, what):
    name, text, message = PLANTED[what]
    (tidy / name).parent.mkdir(exist_ok=True)
    (tidy / name).write_text(text + "\n")
    assert any(message in line for line in violations(tidy)), violations(tidy)


def test_a_cycle_through_a_lazy_import_is_caught(tidy):
    (tidy / "errors.py").write_text("def f():\n    from bayesfactor import schema\n")
    (line,) = violations(tidy)
    assert line.startswith("import cycle: ")
    assert {"bayesfactor.errors", "bayesfactor.schema"} <= set(line.replace(":", " ").split())
