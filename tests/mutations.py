"""Damaged cards: every key and value of a card deleted, replaced, retyped or nested, and damaged files."""

import datetime as dt
import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

VALUES: tuple[Any, ...] = (
    math.nan, math.inf, -math.inf, 0, 0.0, -1, -1.0, 1, 2, 0.5, 1e-300, 1e300, -1e300, 1e308, 1e9, 50.0, 10**30, 10**400,
    10**5000, True, False, "", "x", "asset", "Normal", "LogNormal", "nan", "\x00", "\ud800", "a\nb", "x" * 10_000,
    [], [1.0, 2.0], [math.nan], ["asset"], ["asset", "asset"], ["factor", "asset"], ["time"], [[1.0]], [{}], {},
    {"dist": "Normal"}, {"dist": "HalfNormal"}, {"dist": "LogNormal", "kwargs": {"mu": 700.0}},
    {"dist": "Normal", "kwargs": {"mu": 0.0, "sigma": -1.0}}, {"dist": "Normal", "dims": ["asset"]},
    {"dist": "Uniform", "kwargs": {"lower": 1.0, "upper": 0.0}}, {"dist": "Dirichlet", "kwargs": {"a": [1.0, 1.0]}},
    {"dist": "Poisson", "kwargs": {"mu": 1.0}}, {"dist": "os.system"}, {"mu": 1.0}, None,
    dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.time(1), b"x", 1j, object(),
)  # fmt: skip
"""What stands where something else should."""

LAWS = (
    "Normal", "LogNormal", "HalfNormal", "Exponential", "Gamma", "Beta", "HalfCauchy", "StudentT", "Cauchy", "Laplace",
    "LogitNormal", "Uniform", "Flat", "HalfFlat", "Bernoulli", "Categorical", "MvNormal", "Wishart", "LKJCorr", "Weibull",
    "Interpolated", "Simulator", "Deterministic", "Potential", "__class__", "normal", "Truncated", "InverseGamma",
)  # fmt: skip
TRANSFORMS = (
    "above_two",
    "either_sign",
    "exp",
    "sigmoid",
    "log",
    "sqrt",
    "neg",
    "sum",
    "no_such",
    "eval",
    "softmax",
)


def nested(depth: int) -> dict[str, Any]:
    """Return a prior under a prior, `depth` times."""
    spec: dict[str, Any] = {"dist": "Normal"}
    for _ in range(depth):
        spec = {"dist": "Normal", "kwargs": {"mu": spec}}
    return spec


def paths(card: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where every key and every element of a card is."""
    items = card.items() if isinstance(card, dict) else enumerate(card) if isinstance(card, list) else ()
    for key, value in items:
        yield (*here, key)
        yield from paths(value, (*here, key))


def changed(card: dict[str, Any], path: tuple[Any, ...], change: Any) -> dict[str, Any]:
    """Return the card after `change(what holds it, its key)`."""
    out = deepcopy(card)
    holder: Any = out
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return out


def put(value: Any) -> Any:
    """Return the change that puts a value in the place of what was there."""

    def change(holder: Any, key: Any) -> None:
        holder[key] = value

    return change


def mutations(card: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield damaged versions of a card, each with what was done to it."""
    for path in paths(card):
        where = ".".join(map(str, path))
        yield f"{where} deleted", changed(card, path, lambda holder, key: holder.pop(key))
        for i, value in enumerate(VALUES):
            yield f"{where} is value {i}", changed(card, path, put(value))
        yield f"{where} in a list", changed(card, path, lambda h, k: h.__setitem__(k, [h[k]]))
        yield f"{where} in a table", changed(card, path, lambda h, k: h.__setitem__(k, {"value": h[k]}))
        if isinstance(path[-1], str):
            rename = "dims" if path[-1] != "dims" else "centered"
            yield f"{where} renamed", changed(card, path, lambda h, k: h.__setitem__(k + "x", h.pop(k)))
            yield (
                f"{where} as {rename}",
                changed(card, path, lambda h, k, r=rename: h.__setitem__(r, h.pop(k))),
            )
        if path[-1] == "dist":
            yield from ((f"{where} is {x}", changed(card, path, put(x))) for x in LAWS)
            for x in TRANSFORMS:
                yield f"{where} under {x}", changed(card, path, lambda h, _, x=x: h.update(transform=x))
            yield f"{where} not centered", changed(card, path, lambda h, _: h.update(centered=False))
            for key in ("base", "n", "size", "class", "data", "observed", "initval"):
                yield f"{where} with {key}", changed(card, path, lambda h, _, x=key: h.update({x: 1}))
        if path[0] == "priors":
            yield f"{where} nested deep", changed(card, path, put(nested(1000)))
            yield f"{where} nested", changed(card, path, put(nested(3)))
    for key, value in (
        ("base", card.get("name")),
        ("base", "no-such"),
        ("extends", "x"),
        ("options", {"n_latent": 10**9}),
    ):
        yield f"with {key}", deepcopy(card) | {key: value}


FILES: dict[str, bytes] = {
    "empty": b"",
    "not UTF-8": b"name = '\xff\xfe'",
    "UTF-16": 'name = "x"'.encode("utf-16"),
    "a NUL": b"name = 'a\x00b'",
    "syntax": b"name = [",
    "a key twice": b"name = 'a'\nname = 'b'",
    "arrays nested deep": b"name = " + b"[" * 5000 + b"]" * 5000,
    "tables nested deep": b"[" + b".".join([b"a"] * 3000) + b"]\nb = 1",
    "a huge number": b"name = 1" + b"0" * 5000,
    "huge": b"# " + b"x" * 2**21,
    "a list": b"[[name]]\nx = 1",
    "a date": b"name = 2024-01-01",
    "binary": bytes(range(256)) * 16,
}
"""What a file that should be a card may hold."""
