"""Where a backtest writes what is done: in memory, and in a Zarr store that survives being killed.

A block's numbers are written first and its mark `done` after them, so that a block without a mark is done
again, whatever the disk holds of it. Only the process that called `backtest` writes.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.backtest.judged import Judged
from bayesfactor.backtest.models import Health
from bayesfactor.errors import RiskError, SchemaError
from bayesfactor.keep import written_whole
from bayesfactor.sampling import Geometry
from bayesfactor.scoring.contract import CRPS, ES, LOG_SCORE, MODEL, PIT, PORTFOLIO, REALISED, VAR

__all__ = ["Ledger", "empty_results"]

DONE: Final = "done"
REFIT: Final = "refit"
_HEALTH: Final = ("rhat", "ess", "divergences")
_GEOMETRY: Final = "geometry"


class Ledger:
    """The results of a backtest as they come in.

    Parameters
    ----------
    empty : Dataset
        All variables, NaN, with `realised` filled in.
    store : path, optional
        A folder that ends in `.zarr`; what it holds of the same backtest is kept.
    signature : str
        What makes two calls the same.
    """

    def __init__(self, empty: xr.Dataset, store: Path | None, signature: str) -> None:
        self.data, self.store, self.root = empty.copy(deep=True), store, None
        if store is None:
            return
        try:
            import zarr
        except ImportError as error:
            msg = "store= needs the zarr package: pip install 'bayesfactor[backtest]'."
            raise RiskError(msg) from error
        if not store.exists():
            if not store.parent.is_dir():
                msg = f"the folder {str(store.parent)!r} does not exist; make it first."
                raise RiskError(msg)
            chunks = {v: {"chunks": _chunks(empty, str(v))} for v in empty.data_vars}
            with written_whole(store) as temporary:
                empty.assign_attrs(signature=signature).to_zarr(
                    temporary, consolidated=False, encoding=chunks
                )
        self.root = zarr.open_group(store, mode="r+")
        known = self.root.attrs.get("signature")
        if known != signature:
            msg = (
                f"{str(store)!r} holds another backtest: its panel, models, portfolios or options differ. "
                "Give the same call to go on with it, or another store=."
            )
            raise RiskError(msg)
        self.data = xr.open_zarr(store, consolidated=False).load()
        self.data.attrs = dict(empty.attrs)

    def is_done(self, model: int, refit: int) -> bool:
        """Whether a block has been written."""
        return bool(self.data[DONE].values[model, refit])

    def write(self, model: int, refit: int, days: slice, found: Judged, health: Health | None) -> None:
        """Write one block: numbers first, then its mark."""
        values = {VAR: found.var, ES: found.es, PIT: found.pit, LOG_SCORE: found.log_score, CRPS: found.crps}
        for name, block in values.items():
            self._put(name, (days, model), block)
        for name in _HEALTH if health else ():
            self._put(name, (model, refit), getattr(health, name))
        self._put(DONE, (model, refit), 1)

    def _put(self, name: str, at: tuple[Any, ...], values: Any) -> None:
        self.data[name].values[at] = values
        if self.root is not None:
            self.root[name][at] = values

    def geometry(self, model: str, chapter: int) -> dict[str, Geometry]:
        """Return what the first refit of a chapter found out, empty if it has not been."""
        if self.root is None:
            return {}
        found = self.root.attrs.get(f"{_GEOMETRY}/{model}/{chapter}")
        if found is None:
            return {}
        return {
            k: Geometry(*(np.array([float.fromhex(x) for x in a]) for a in v))
            for k, v in json.loads(found).items()
        }

    def keep_geometry(self, model: str, chapter: int, geometry: dict[str, Geometry]) -> None:
        """Keep it, bit by bit."""
        if self.root is None:
            return
        text = {
            k: [[float(x).hex() for x in a] for a in (g.weight, g.start, g.jitter)]
            for k, g in geometry.items()
        }
        self.root.attrs[f"{_GEOMETRY}/{model}/{chapter}"] = json.dumps(text)

    def result(self) -> xr.Dataset:
        """Return everything, if every block is there."""
        if not self.data[DONE].values.all():
            msg = "the backtest is not complete."
            raise SchemaError(msg)
        return self.data.drop_vars(DONE)


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
    """One model in a chunk, all days: a block is a few hundred numbers."""
    return tuple(1 if d in (MODEL, REFIT) else n for d, n in data[name].sizes.items())
