"""Where a backtest writes what is done: in memory, and in a Zarr store that survives being killed.

A block's numbers are written first, then their digest, its mark `done` last: a block without a mark is done
again, and so is one that does not hold what its digest says, whatever the disk made of it. Blocks share no
chunk. Only the process that called `backtest` writes, and it holds a lock beside the store.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.backtest.judged import Judged
from bayesfactor.backtest.models import Health
from bayesfactor.backtest.store import Store
from bayesfactor.errors import SchemaError, warn
from bayesfactor.sampling import Geometry
from bayesfactor.scoring.contract import CRPS, ES, LOG_SCORE, MODEL, PIT, PORTFOLIO, REALISED, VAR

__all__ = ["Ledger", "empty_results", "opened"]

DONE: Final = "done"
DIGEST: Final = "block_digest"
REFIT: Final = "refit"
_HEALTH: Final = ("rhat", "ess", "divergences")
_NUMBERS: Final = (VAR, ES, PIT, LOG_SCORE, CRPS)


class Ledger:
    """The results of a backtest as they come in.

    Parameters
    ----------
    empty : Dataset
        All variables, NaN, with `realised` filled in.
    store : Store, optional
        What it holds of the same backtest is kept.
    """

    def __init__(self, empty: xr.Dataset, store: Store | None) -> None:
        self.data, self.store = empty.copy(deep=True), store
        starts = np.searchsorted(empty[s.TIME].values, empty[REFIT].values)
        self.days = [slice(a, b) for a, b in zip(starts, [*starts[1:], empty.sizes[s.TIME]], strict=True)]
        self.geometries: dict[tuple[int, int], str] = {}
        if store is not None:
            self._take_over(store)

    def is_done(self, model: int, refit: int) -> bool:
        """Whether a block has been written."""
        return bool(self.data[DONE].values[model, refit])

    def write(
        self, model: int, refit: int, found: Judged, health: Health | None, geometry: dict[str, Geometry]
    ) -> None:
        """Write one block: numbers first, then its digest and its mark."""
        block: dict[str, Any] = {
            VAR: found.var, ES: found.es, PIT: found.pit, LOG_SCORE: found.log_score, CRPS: found.crps,
        }  # fmt: skip
        block |= {name: getattr(health, name) for name in _HEALTH} if health else {}
        self._keep_geometry(model, refit, geometry)
        for name, values in block.items():
            self.data[name].values[self._at(name, model, refit)] = values
        self.data[DIGEST].values[model, refit] = self._digest(self.data, model, refit)
        self.data[DONE].values[model, refit] = 1
        if self.store is not None:
            for name in (*block, DIGEST, DONE):
                at = self._at(name, model, refit)
                self.store.put(name, at, self.data[name].values[at])

    def geometry(self, model: int, refit: int) -> dict[str, Geometry]:
        """Return what the first refit of a chapter found out, empty if it has not been."""
        return {
            k: Geometry(*(np.array([float.fromhex(x) for x in a]) for a in v))
            for k, v in json.loads(self.geometries.get((model, refit), "{}")).items()
        }

    def result(self) -> xr.Dataset:
        """Return everything, if every block is there."""
        if not self.data[DONE].values.all():
            msg = "the backtest is not complete."
            raise SchemaError(msg)
        return self.data.drop_vars([DONE, DIGEST])

    def _keep_geometry(self, model: int, refit: int, geometry: dict[str, Geometry]) -> None:
        """Keep it, bit by bit."""
        if not geometry:
            return
        told = {
            k: [[float(x).hex() for x in a] for a in (g.weight, g.start, g.jitter)]
            for k, g in geometry.items()
        }
        text = self.geometries[model, refit] = json.dumps(told, sort_keys=True)
        if self.store is not None:
            self.store.put_text(model, refit, text)

    def _at(self, name: str, model: int, refit: int) -> tuple[Any, ...]:
        return (self.days[refit], model) if name in _NUMBERS else (model, refit)

    def _digest(self, data: Any, model: int, refit: int) -> int:
        """Return the fingerprint of one block's numbers and of where it stands."""
        told = repr((model, refit, self.geometries.get((model, refit), ""))).encode()
        h = hashlib.sha256(told)
        for name in (*_NUMBERS, *_HEALTH):
            values = np.array(data[name].values[self._at(name, model, refit)], dtype="float64")
            h.update(np.where(np.isnan(values), np.nan, values).tobytes())
        return int.from_bytes(h.digest()[:8], "little", signed=True)

    def _take_over(self, store: Store) -> None:
        """Take the blocks that hold what their digest says; the others are done again."""
        kept = self.data.copy(deep=True)
        blocks = [(m, r) for m in range(kept.sizes[MODEL]) for r in range(kept.sizes[REFIT])]
        names = (*_NUMBERS, *_HEALTH, DIGEST, DONE)
        lost = set()
        for model, refit in blocks:
            try:
                done = bool(store.get(DONE, (model, refit)))
                for name in names if done else ():
                    at = self._at(name, model, refit)
                    kept[name].values[at] = store.get(name, at)
                text = store.get_text(model, refit) if done else ""
            except Exception:  # noqa: BLE001 - whatever the disk holds of it
                lost.add((model, refit))
                continue
            if not done:
                continue
            if text:
                self.geometries[model, refit] = text
            if self._digest(kept, model, refit) == kept[DIGEST].values[model, refit]:
                for name in names:
                    at = self._at(name, model, refit)
                    self.data[name].values[at] = kept[name].values[at]
            else:
                lost.add((model, refit))
        for model, refit in lost:
            self.geometries.pop((model, refit), None)
            for name in names:
                store.remove(name, (refit, model) if name in _NUMBERS else (model, refit))
        if lost:
            stamps = self.data[REFIT].values.astype("datetime64[m]")
            told = [f"{self.data[MODEL].values[m]} from {stamps[r]}" for m, r in sorted(lost)[:3]]
            more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
            msg = (
                f"{str(store.path)!r} is damaged: {', '.join(told)}{more} did not hold what was written, by "
                "its digest, and is done again. Look after the disk."
            )
            warn(msg)


@contextmanager
def opened(empty: xr.Dataset, path: Any, signature: str) -> Iterator[Ledger]:
    """Yield the ledger of a backtest; its store, where there is one, is this process's until the end."""
    if path is None:
        yield Ledger(empty, None)
        return
    shape = {str(v): _chunks(empty, str(v)) for v in empty.data_vars}
    with Store.opened(path, empty.assign_attrs(signature=signature), shape, static=(REALISED,)) as store:
        yield Ledger(empty, store)


def empty_results(
    stamps: np.ndarray, models: list[str], kinds: list[str], portfolios: list[str], levels: np.ndarray,
    refits: np.ndarray, realised: np.ndarray,
) -> xr.Dataset:  # fmt: skip
    """Return the Dataset of a backtest with nothing in it but what happened."""
    shape = (len(stamps), len(models), len(portfolios))
    dims = (s.TIME, MODEL, PORTFOLIO)
    by_refit = ((MODEL, REFIT), np.full((len(models), len(refits)), np.nan))
    return xr.Dataset(
        {
            VAR: ((*dims, s.LEVEL), np.full((*shape, len(levels)), np.nan)),
            ES: ((*dims, s.LEVEL), np.full((*shape, len(levels)), np.nan)),
            PIT: (dims, np.full(shape, np.nan)),
            LOG_SCORE: (dims, np.full(shape, np.nan)),
            CRPS: (dims, np.full(shape, np.nan)),
            REALISED: ((s.TIME, PORTFOLIO), realised),
            **dict.fromkeys(_HEALTH, by_refit),
            DONE: ((MODEL, REFIT), np.zeros((len(models), len(refits)), dtype="int8")),
            DIGEST: ((MODEL, REFIT), np.zeros((len(models), len(refits)), dtype="int64")),
        },
        coords={
            s.TIME: stamps,
            MODEL: models,
            PORTFOLIO: portfolios,
            s.LEVEL: levels,
            REFIT: refits,
            "kind": (MODEL, kinds),
        },
    )


def _chunks(data: xr.Dataset, name: str) -> tuple[int, ...]:
    """One block in a chunk: nothing that is done is read and written again with another block."""
    starts = np.searchsorted(data[s.TIME].values, data[REFIT].values)
    days = int(starts[1]) if len(starts) > 1 else data.sizes[s.TIME]
    own = {MODEL: 1, REFIT: 1, s.TIME: data.sizes[s.TIME] if name == REALISED else days}
    return tuple(own.get(str(d), n) for d, n in data[name].sizes.items())
