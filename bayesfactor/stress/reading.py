"""Scenarios in any of the forms they are asked for become one mapping of names to values."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayesfactor.errors import MissingFileError, RiskError, unknown_names
from bayesfactor.stress.scenarios import KINDS, Episode, Scenario, volumes_of

__all__ = ["read_scenarios", "read_volume"]


def read_scenarios(scenarios: Any) -> dict[str, Scenario]:
    """Return scenarios by name.

    Parameters
    ----------
    scenarios : mapping, sequence, scenario, str or Path
        Name to scenario; scenarios, or names of shipped episodes; one of either; or a TOML file.

    Raises
    ------
    RiskError
        If there is none, a name stands twice, or something is no scenario.
    MissingFileError
        If the file does not exist.
    """
    if isinstance(scenarios, Path) or (isinstance(scenarios, str) and scenarios.endswith(".toml")):
        scenarios = _from_file(Path(scenarios))
    if isinstance(scenarios, (str, *KINDS.values())):
        scenarios = [scenarios]
    if isinstance(scenarios, Mapping):
        pairs = [(str(name), _scenario(one)) for name, one in scenarios.items()]
    elif isinstance(scenarios, Sequence):
        found = [_scenario(one) for one in scenarios]
        pairs = [(one.label, one) for one in found]
    else:
        got = type(scenarios).__name__
        msg = f"scenarios are a mapping of names to scenarios, a list, or the path of a TOML file; got {got}."
        raise RiskError(msg)
    if not pairs:
        msg = 'there is no scenario to run. Give at least one, such as "covid-2020" or bf.FactorShock({...}).'
        raise RiskError(msg)
    names = [name for name, _ in pairs]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        msg = (
            f"each scenario has a name of its own; {', '.join(twice)} stands twice. Give a mapping of names."
        )
        raise RiskError(msg)
    return dict(pairs)


def _scenario(one: object) -> Scenario:
    if isinstance(one, tuple(KINDS.values())):
        return one  # type: ignore[return-value]
    if isinstance(one, str):
        return Episode(one)
    classes = ", ".join(c.__name__ for c in KINDS.values())
    msg = f"a scenario is one of {classes}, or the name of a shipped episode; got {type(one).__name__}."
    raise RiskError(msg)


def _from_file(path: Path) -> dict[str, Scenario]:
    if not path.is_file():
        msg = f"no file of scenarios at {str(path)!r}."
        raise MissingFileError(msg)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"scenarios: {path.name!r} is no TOML: {error}."
        raise RiskError(msg) from error
    return {name: _from_entry(name, entry, path) for name, entry in table.items()}


def _from_entry(name: str, entry: object, path: Path) -> Scenario:
    """Return the scenario of one table of the file: `kind`, and the fields of its class."""
    if isinstance(entry, str):
        return Episode(entry)
    if not isinstance(entry, dict) or entry.get("kind") not in KINDS:
        got = entry.get("kind") if isinstance(entry, dict) else entry
        hint = unknown_names([got], KINDS) if isinstance(got, str) else repr(got)
        msg = f"scenarios: [{name}] in {path.name!r} has a kind, one of {', '.join(KINDS)}; got {hint}."
        raise RiskError(msg)
    fields = {k: v for k, v in entry.items() if k != "kind"}
    kind = KINDS[entry["kind"]]
    known = [f.name for f in dataclasses.fields(kind)]
    strange = [k for k in fields if k not in known]
    needed = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    missing = [k for k in needed if k not in fields]
    if strange or missing:
        said = f"unknown: {unknown_names(strange, known)}" if strange else f"missing: {', '.join(missing)}"
        msg = f"scenarios: [{name}] in {path.name!r} is a {entry['kind']} with {', '.join(known)}; {said}."
        raise RiskError(msg)
    if isinstance(fields.get("volume"), str):
        fields["volume"] = read_volume(path.parent / fields["volume"])
    made: Scenario = kind(**fields)
    return made


def read_volume(path: Path) -> pd.Series:
    """Return money traded per period by asset, out of a table with the columns asset and volume."""
    if not path.is_file():
        msg = f"no file of volumes at {str(path)!r}."
        raise MissingFileError(msg)
    return volumes_of(path)
