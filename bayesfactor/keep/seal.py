"""What tells whether a file still holds what was written into it.

The group `seal` has a digest of each group: its variables, coords and attributes, by value and not by bytes,
so that rewriting a file in another layout keeps it. A netCDF file ends, behind what its readers look at, in a
digest of all that comes before, so that a damaged one is not even opened.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor.keep.marks import BY, SEAL, signed

__all__ = [
    "DIGESTS",
    "SEAL",
    "broken_groups",
    "group_digest",
    "is_sealed",
    "read_seal",
    "sealed",
    "trailer",
    "trailer_holds",
    "unsealed",
]

DIGESTS: Final = "digests"
"""Attribute of the seal: the fingerprint of each group by its path, as JSON."""

_END: Final = re.compile(rb"\nbayesfactor sha256 ([0-9a-f]{64})\n\Z")
_END_SIZE: Final = 85
_PIECE: Final = 1 << 20


def sealed(data: xr.DataTree | xr.Dataset) -> xr.DataTree:
    """Return what is to be written: `data` and its seal."""
    tree = data if isinstance(data, xr.DataTree) else xr.DataTree(data)
    made = {_path(tree, node): _bare(node.to_dataset(inherit=False)) for node in _groups(tree)}
    digests = {path: group_digest(plain) for path, plain in made.items()}
    seal = xr.Dataset(attrs={BY: signed(), DIGESTS: json.dumps(digests)})
    return xr.DataTree.from_dict(made | {f"/{SEAL}": seal}, name=data.name if data is tree else None)


def unsealed(tree: xr.DataTree) -> xr.DataTree:
    """Return a tree without its seal."""
    return tree.drop_nodes(SEAL, errors="ignore")


def is_sealed(tree: xr.DataTree) -> bool:
    """Whether a file was written with digests."""
    return SEAL in tree.children


def broken_groups(tree: xr.DataTree) -> list[str]:
    """Return the groups of a file that do not hold what its seal says, those that are gone or new too."""
    told = read_seal(tree[SEAL].attrs) if SEAL in tree.children else {}
    found = {_path(tree, node): node for node in _groups(tree)}
    return [
        path
        for path in sorted(set(told) | set(found))
        if path not in found or told.get(path) != group_digest(found[path].to_dataset(inherit=False))
    ]


def read_seal(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """Return the digest of each group by its path, out of the seal's attributes; none where it is broken."""
    try:
        told = json.loads(attrs[DIGESTS])
    except (KeyError, TypeError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _groups(tree: xr.DataTree) -> list[xr.DataTree]:
    return [node for node in tree.subtree if _path(tree, node) != f"/{SEAL}"]


def _path(tree: xr.DataTree, node: xr.DataTree) -> str:
    return "/" + node.path.removeprefix(tree.path).strip("/")


def group_digest(data: xr.Dataset) -> str:
    """Return the fingerprint of one group: variables, coords and attributes."""
    h = hashlib.sha256()

    def tell(*parts: Any) -> None:
        h.update(json.dumps(parts, sort_keys=True, default=str).encode())

    tell("attrs", _plain_attrs(data.attrs))
    for name in sorted(data.variables, key=str):
        variable = data.variables[name]
        tell("variable", str(name), name in data.coords, variable.dims, variable.shape)
        tell("attrs", _plain_attrs(variable.attrs))
        h.update(_bytes(variable.values))
    return h.hexdigest()


def trailer(image: memoryview | bytes) -> bytes:
    """Return what is written behind the bytes of a netCDF file."""
    return f"\nbayesfactor sha256 {hashlib.sha256(image).hexdigest()}\n".encode()


def trailer_holds(place: Path) -> bool | None:
    """Whether a file's bytes are those that its end speaks of; None where its end does not say."""
    size = place.stat().st_size
    h = hashlib.sha256()
    with place.open("rb") as file:
        file.seek(max(0, size - _END_SIZE))
        end = _END.match(file.read())
        if end is None:
            return None
        file.seek(0)
        left = size - _END_SIZE
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            h.update(piece)
            left -= len(piece)
    return h.hexdigest().encode() == end.group(1)


def _bare(data: xr.Dataset) -> xr.Dataset:
    """Return a Dataset without the packing of the file it was once read from, which may round."""
    return data.drop_encoding()


def _plain_attrs(attrs: dict[Any, Any]) -> dict[str, Any]:
    return {str(k): _plain(v) for k, v in attrs.items()}


def _plain(value: Any) -> Any:
    """Return an attribute as it is whatever the format it went through: one number is a list of one."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray | np.generic | list | tuple):
        items = [_plain(v) for v in np.asarray(value).ravel().tolist()]
        return items[0] if len(items) == 1 else items
    if isinstance(value, bool):
        return int(value)
    return (
        value
        if isinstance(value, int | str)
        else float(value).hex()
        if isinstance(value, float)
        else str(value)
    )


def _bytes(values: np.ndarray) -> bytes:
    """Return values as bytes that no format changes: NaNs are alike, and so are integers of any width."""
    kind = values.dtype.kind
    if kind in "OUST":
        return "\x1f".join(map(str, values.ravel().tolist())).encode(errors="replace")
    if kind in "Mm":
        return np.ascontiguousarray(values.astype(f"{kind}8[ns]").astype("int64")).tobytes()
    if kind in "biu":
        return np.ascontiguousarray(values.astype("int64")).tobytes()
    numbers = np.array(values, dtype="complex128" if kind == "c" else "float64")
    numbers[np.isnan(numbers)] = np.nan
    return numbers.tobytes()
