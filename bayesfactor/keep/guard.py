"""A file is looked through before it is read: nothing outside of it, no code, no more than memory holds.

HDF5 can point at other files and load filters from a folder; Zarr can name codecs that unpickle. A file of
this package needs neither, so both are refused, and so is one that unfolds to a hundred times its size.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bayesfactor.errors import SchemaError
from bayesfactor.limits import free_memory

__all__ = ["inspect"]

_FOLD: Final = 100
_SMALL: Final = 1 << 20
_DEEPEST: Final = 16
_FILTERS: Final = (1, 2, 3, 4, 5, 6, 32000)
"""deflate, shuffle, fletcher32, szip, nbit, scaleoffset, lzf: those that come with h5py."""
_CODECS: Final = (
    "bytes", "zstd", "gzip", "blosc", "crc32c", "transpose", "vlen-utf8", "sharding_indexed",
)  # fmt: skip
_TYPES: Final = {
    "bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4,
    "uint64": 8, "float16": 2, "float32": 4, "float64": 8, "string": 8,
}  # fmt: skip


def inspect(place: Path, *, trusted: bool) -> None:
    """Raise `SchemaError` unless a netCDF file or a Zarr store holds plain numbers and words of its own.

    Parameters
    ----------
    place : Path
    trusted : bool
        Whether its seal holds: it may then unfold a hundred times, but not beyond memory.
    """
    sizes = _store(place) if place.is_dir() else _netcdf(place)
    declared = sum(sizes)
    files = (p for p in place.rglob("*") if p.is_file()) if place.is_dir() else (place,)
    held, memory = sum(p.stat().st_size for p in files), free_memory()
    if declared > memory:
        _refuse(place, f"it declares {_size(declared)}, more than the free memory ({_size(memory)})")
    if not trusted and declared > max(_FOLD * held, _SMALL):
        _refuse(place, f"its {_size(held)} declare {_size(declared)}, more than a hundred times as much")


def _refuse(place: Path, why: str) -> None:
    msg = f"{place.name} is not read: {why}. Files that bf.save writes have none of it; ask where it is from."
    raise SchemaError(msg)


def _size(n: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n < 1024.0:
            return f"{n:.0f} {unit}"
        n /= 1024.0
    return f"{n:,.0f} TiB"


def _netcdf(place: Path) -> Iterator[int]:
    """Yield the size in memory of every variable of a netCDF file."""
    import h5py

    seen: set[int] = set()

    def walk(group: Any, depth: int) -> Iterator[int]:
        if depth > _DEEPEST or h5py.h5o.get_info(group.id).addr in seen:
            _refuse(place, f"its groups run in a circle at {group.name!r}")
        seen.add(h5py.h5o.get_info(group.id).addr)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                _refuse(place, f"{group.name!r} holds a link to somewhere else, {name!r}")
            one = group[name]
            if isinstance(one, h5py.Group):
                yield from walk(one, depth + 1)
            elif isinstance(one, h5py.Dataset):
                yield _variable(one)

    def _variable(one: Any) -> int:
        if one.external or one.is_virtual:
            _refuse(place, f"{one.name!r} lies in another file")
        words = h5py.check_string_dtype(one.dtype) is not None
        if (one.dtype.kind == "O" and not words) or one.dtype.kind == "V":
            _refuse(place, f"{one.name!r} holds objects ({one.dtype})")
        plist = one.id.get_create_plist()
        filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        if unknown := [f for f in filters if f not in _FILTERS]:
            _refuse(place, f"{one.name!r} needs a filter from elsewhere (number {unknown[0]})")
        chunk = math.prod(one.chunks) if one.chunks else 0
        return max(math.prod(one.shape or (0,)), chunk) * one.dtype.itemsize

    with h5py.File(place) as file:
        yield from walk(file, 0)


def _store(place: Path) -> Iterator[int]:
    """Yield the size in memory of every array of a Zarr store."""
    for one in place.rglob("*"):
        if one.is_symlink():
            _refuse(place, f"it holds a link to somewhere else, {one.relative_to(place).as_posix()!r}")
        if one.name in {".zgroup", ".zarray", ".zmetadata"}:
            _refuse(place, "it is of Zarr's format 2")
        if one.name == "zarr.json" and one.is_file():
            name = one.parent.relative_to(place).as_posix()
            try:
                yield _array(place, json.loads(one.read_text(encoding="utf-8")), name)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                _refuse(
                    place, f"{name!r} is not described as Zarr describes: {type(error).__name__}: {error}"
                )


def _array(place: Path, told: dict[str, Any], name: str) -> int:
    if told["zarr_format"] != 3:
        _refuse(place, f"{name!r} is of Zarr's format {told['zarr_format']}")
    if told["node_type"] == "group":
        return 0
    for codec in _codecs(told["codecs"]):
        if codec not in _CODECS:
            _refuse(place, f"{name!r} needs a codec from elsewhere ({codec})")
    if told.get("storage_transformers"):
        _refuse(place, f"{name!r} has storage transformers")
    chunk = told["chunk_grid"]["configuration"]["chunk_shape"]
    return max(math.prod(told["shape"]), math.prod(chunk)) * _itemsize(place, told["data_type"], name)


def _codecs(told: list[Any]) -> Iterator[str]:
    for codec in told:
        yield codec if isinstance(codec, str) else codec["name"]
        more = {} if isinstance(codec, str) else codec.get("configuration") or {}
        for inner in ("codecs", "index_codecs"):
            yield from _codecs(more.get(inner, []))


def _itemsize(place: Path, kind: Any, name: str) -> int:
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    if isinstance(kind, dict) and kind.get("name") in {"fixed_length_utf32", "null_terminated_bytes"}:
        return int(kind["configuration"]["length_bytes"])
    if isinstance(kind, dict) and kind.get("name") in {"numpy.datetime64", "numpy.timedelta64"}:
        return 8
    _refuse(place, f"{name!r} holds objects ({kind})")
    raise AssertionError
