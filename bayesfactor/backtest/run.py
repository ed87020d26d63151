"""`backtest`: the walk-forward over models, refits and days, in one process or many."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.backtest.baselines import BASELINES, forecast_block
from bayesfactor.backtest.holdings import Portfolios, holdings, refuse_log_returns
from bayesfactor.backtest.judged import Judged
from bayesfactor.backtest.ledger import Ledger, empty_results, opened
from bayesfactor.backtest.models import Health, model_block
from bayesfactor.backtest.store import check_store, stored_seed
from bayesfactor.calls import verb
from bayesfactor.errors import ModelError, RiskError, unknown_names, warn
from bayesfactor.laws import checked_drift
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.limits import check_count, check_levels, check_memory
from bayesfactor.model import FactorModel
from bayesfactor.panel import check_panel
from bayesfactor.registry import get_model, list_models
from bayesfactor.sampling import Geometry, SampleOptions
from bayesfactor.scoring.contract import PORTFOLIO
from bayesfactor.scoring.sampling import BAD_RHAT, sampling

__all__ = ["CHAPTER", "backtest", "key_of", "progress", "seeded"]

CHAPTER: Final = 6
"""Refits that share what the first of them found out about its sampling."""


@dataclass(frozen=True)
class Task:
    """One model or baseline, one refit and the days until the next; all it needs travels with it."""

    name: str
    model: FactorModel | None
    panel: xr.Dataset
    start: int
    weights: np.ndarray
    realised: np.ndarray
    levels: np.ndarray
    options: SampleOptions
    entropy: int
    samples: int
    window: int
    drift: str


def run_task(task: Task, geometry: dict[str, Geometry]) -> tuple[Judged, Health | None, dict[str, Geometry]]:
    """Do one task; a function of its arguments alone, wherever it runs."""
    if task.model is None:
        returns = task.panel[s.RETURNS].transpose(s.TIME, s.ASSET).values
        args = (returns, task.start, task.weights, task.realised, task.levels, task.window, task.drift)
        return forecast_block(task.name, *args), None, {}
    found = dict(geometry)
    judged, health = model_block(
        task.model, task.panel, task.start, task.weights, task.realised, task.levels,
        task.options, task.entropy, task.samples, found, task.drift,
    )  # fmt: skip
    return judged, health, found


@verb
def backtest(
    models: str | FactorModel | Sequence[str | FactorModel],
    panel: xr.Dataset,
    portfolios: Portfolios,
    *,
    window: int = 500,
    refit_every: int = 30,
    levels: Sequence[float] = (0.95, 0.975, 0.99),
    expanding: bool = False,
    executor: Executor | None = None,
    store: str | Path | None = None,
    draws: int = 250,
    tune: int = 300,
    chains: int = 2,
    samples: int = 20_000,
    drift: str = "zero",
    random_seed: Seed = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Forecast every day of a panel from the days before it, and say what happened.

    Every `refit_every` days a model is fitted to the `window` days before; in between its variances follow
    the days, its parameters stay. The first day forecast is the one after the first window.

    Parameters
    ----------
    models : str, FactorModel or sequence of them
        Names of `bf.list_models()`, models, or baselines, which are fitted to each portfolio's own past
        returns under today's weights: "historical" (simulation), "ewma-fhs" (filtered historical simulation,
        decay 0.94), "arch-t" (GARCH(1, 1) with t innovations, extra `bayesfactor[backtest]`) and "normal".
        They speak of a portfolio once it has 100 days of past, or a whole window.
    panel : Dataset
        From `bf.panel_from_prices` or `bf.panel_from_returns`, simple returns.
    portfolios : DataFrame, DataArray or callable
        Weights (portfolio x asset); or (time, portfolio, asset), at each stamp the weights formed the day
        before; or a function of the panel up to the day before that returns such a DataFrame. What did not
        trade the day before is not held: positions of one sign go into the rest, at the same gross; of a
        portfolio with long and short positions the other legs stay as they are, with a warning. What
        stops trading on the day itself was held over it and earns nothing.
    window : int
        Days a fit sees.
    refit_every : int
        Days between fits.
    levels : sequence of float
        Confidence levels.
    expanding : bool
        Whether a fit sees all days before it instead of the last `window`.
    executor : Executor, optional
        Runs refits elsewhere: a `ProcessPoolExecutor`, dask's `client.get_executor()`, ... The numbers do
        not depend on it.
    store : str or Path, optional
        A Zarr store (`.zarr`) that is written refit by refit; the same call goes on where it was killed.
    draws, tune, chains : int
        Of each fit.
    samples : int
        Simulated returns behind each forecast of a model, at least.
    drift : {"zero", "posterior", "prior"}
        Expected returns, one rule for all. "zero": none, and of baselines the mean of what they say is taken
        off. "posterior": what each finds in the past: models as in `bf.decompose_risk`, baselines the mean
        of their window ("arch-t" its constant). "prior": models as their card has it, baselines none.
    random_seed : int, Generator or SeedSequence, optional
    progressbar : bool

    Returns
    -------
    Dataset
        dims (time, model, portfolio, level): `var` and `es`, fractions, positive for losses; (time, model,
        portfolio): `pit`, `log_score` (nats; NaN for baselines without a density) and `crps` (fractions);
        (time, portfolio): `realised`, simple returns of what was held; (model,
        refit): `rhat`, `ess` and `divergences` of each fit. NaN where nothing was held or nothing is said.

    Raises
    ------
    PanelError, WeightsError
        If the panel or the weights are not well formed.
    ModelError
        If a model is unknown or named twice.
    RiskError
        If an option is out of range, or `store` holds another backtest or is written by another process.
    DamagedFileError, StorageError
        If the frame of `store` is damaged, or it cannot be written.

    Warns
    -----
    UserWarning
        If fits did not converge, or a portfolio with long and short positions lacked one of them; the message
        names fits, or coin and day. If blocks of `store` were damaged: they are done again.
    """
    check_panel(panel)
    refuse_log_returns(panel)
    store = None if store is None else Path(store)
    if store is not None:
        check_store(store)
    chosen = _models(models)
    at = _levels(levels)
    first = _first_day(panel, window, refit_every, samples)
    days = range(first, panel.sizes[s.TIME])
    names, weights = holdings(portfolios, panel, days)
    realised = _realised(panel, weights, days)
    starts = list(range(0, len(days), refit_every))
    cores = None if executor is None else 1
    options = SampleOptions(draws, tune, chains, 0.9, cores=cores, progressbar=False)
    stamps = panel[s.TIME].values
    kinds = ["baseline" if m is None else "model" for m in chosen.values()]
    empty = empty_results(stamps[first:], list(chosen), kinds, names, at, stamps[first:][starts], realised)
    known: dict[str, Any] = {"window": window, "refit_every": refit_every, "expanding": int(expanding)}
    known |= {"samples": samples, s.DRIFT: checked_drift(drift)}
    empty.attrs = {
        "schema_version": s.SCHEMA_VERSION,
        **known,
        "draws": draws,
        "tune": tune,
        "chains": chains,
    }
    empty.attrs |= {k: panel.attrs[k] for k in ("periods_per_year", "returns_kind")}
    kept = stored_seed(store) if random_seed is None else None
    entropy = root_entropy(random_seed) if kept is None else kept
    empty.attrs["random_seed"] = str(entropy)

    def task(name: str, refit: int) -> Task:
        a, b = starts[refit], min(starts[refit] + refit_every, len(days))
        low = 0 if expanding else first + a - window
        part = panel.isel({s.TIME: slice(low, first + b - 1)})
        return Task(
            name, chosen[name], part, first + a - low, weights[a:b], realised[a:b], at,
            seeded(chosen[name], options), key_of(entropy, name, refit), samples,
            first + b if expanding else window, drift,
        )  # fmt: skip

    jobs = [(name, r) for name in chosen for r in range(len(starts))]
    signature = _signature(empty, panel, weights, chosen)
    with opened(empty, store, signature) as ledger, progress(progressbar, len(jobs)) as report:
        _run_all(jobs, list(chosen), task, ledger, executor, report)
        result = ledger.result()
    _warn(result)
    return result


def _run_all(
    jobs: list[tuple[str, int]], order: list[str], task: Any, ledger: Ledger,
    executor: Executor | None, report: Any,
) -> None:  # fmt: skip
    """Run the first refit of each chapter, then those that start from what it found out."""
    known: dict[tuple[str, int], dict[str, Geometry]] = {}
    waiting: list[tuple[str, int]] = []
    for name, refit in jobs:
        chapter = refit // CHAPTER
        if ledger.is_done(order.index(name), refit):
            report(name)
            if refit % CHAPTER == 0:
                known[name, chapter] = ledger.geometry(order.index(name), refit)
        else:
            waiting.append((name, refit))

    def finish(name: str, refit: int, done: tuple[Judged, Health | None, dict[str, Geometry]]) -> None:
        if refit % CHAPTER == 0:
            known[name, refit // CHAPTER] = done[2]
        ledger.write(order.index(name), refit, *done[:2], {} if refit % CHAPTER else done[2])
        report(name)

    if executor is None:
        for name, refit in waiting:
            start = known[name, refit // CHAPTER] if refit % CHAPTER else {}
            finish(name, refit, run_task(task(name, refit), start))
        return
    running: dict[Future[Any], tuple[str, int]] = {}
    try:
        while waiting or running:
            ready = [j for j in waiting if j[1] % CHAPTER == 0 or (j[0], j[1] // CHAPTER) in known]
            for name, refit in ready[: max(0, _IN_FLIGHT - len(running))]:
                start = known[name, refit // CHAPTER] if refit % CHAPTER else {}
                running[executor.submit(run_task, task(name, refit), start)] = (name, refit)
                waiting.remove((name, refit))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, refit = running.pop(future)
                finish(name, refit, future.result())
    except BrokenExecutor as error:
        msg = (
            "a worker of the executor died and took it along. What was done is in store=, if one was given: "
            "make a new executor and give the same call again."
        )
        raise RiskError(msg) from error
    finally:
        for future in running:
            future.cancel()


_IN_FLIGHT: Final = 64
"""Tasks handed out at a time: each carries its window of the panel."""


def _models(models: Any) -> dict[str, FactorModel | None]:
    given = [models] if isinstance(models, str | FactorModel | Path) else list(models)
    if not given:
        msg = "models names at least one model or baseline; got none."
        raise ModelError(msg)
    found: dict[str, FactorModel | None] = {}
    for one in given:
        if isinstance(one, str) and one not in BASELINES and "." not in one and one not in list_models():
            known = (*list_models(), *BASELINES)
            msg = f"unknown model {unknown_names([one], known)}; known: {', '.join(known)}."
            raise ModelError(msg)
        model = None if isinstance(one, str) and one in BASELINES else get_model(one)
        name = str(one) if model is None else model.name
        if name in found:
            msg = f"models have names of their own; {name!r} is there twice. Give one of them another name."
            raise ModelError(msg)
        found[name] = model
    return found


def _levels(levels: Sequence[float]) -> np.ndarray:
    return check_levels(levels, error=RiskError)


def _first_day(panel: xr.Dataset, window: int, refit_every: int, samples: int) -> int:
    for name, value in (("window", window), ("refit_every", refit_every), ("samples", samples)):
        check_count(name, value, error=RiskError)
    what = f"{samples:,} samples of {panel.sizes[s.ASSET]} assets"
    check_memory(what, 4 * samples * panel.sizes[s.ASSET], "Ask for fewer samples.", error=RiskError)
    least = panel.sizes[s.FACTOR] + 3
    if not least <= window < panel.sizes[s.TIME]:
        msg = (
            f"a window has at least {least} periods and leaves one to forecast; got window={window} for a "
            f"panel of {panel.sizes[s.TIME]} periods."
        )
        raise RiskError(msg)
    return window


def _realised(panel: xr.Dataset, weights: np.ndarray, days: range) -> np.ndarray:
    """Return what each portfolio earned (day, portfolio), NaN where nothing it held traded."""
    returns = panel[s.RETURNS].transpose(s.TIME, s.ASSET).values[days.start : days.stop]
    there = np.isfinite(returns)
    # Nobody knew the evening before: a coin without a return is held over the day and earns nothing.
    earned = np.einsum("tpi,ti->tp", weights, np.where(there, returns, 0.0))
    return np.where(((weights != 0.0) & there[:, None, :]).any(axis=2), earned, np.nan)


def seeded(model: FactorModel | None, options: SampleOptions) -> SampleOptions:
    """Return the options of one model: what its card says of the sampler, sizes apart."""
    own = (
        {}
        if model is None
        else {k: v for k, v in model.sample.items() if k not in ("draws", "tune", "chains")}
    )
    return replace(options, **own)


def key_of(entropy: int, name: str, refit: int) -> int:
    """Return the entropy of one refit of one model: the same whatever else is in the backtest."""
    of_name = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    sequence = np.random.SeedSequence(entropy, spawn_key=(of_name, refit))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def _signature(
    empty: xr.Dataset, panel: xr.Dataset, weights: np.ndarray, models: dict[str, FactorModel | None]
) -> str:
    """Return a fingerprint of everything that decides the numbers."""
    own = panel[s.FACTOR_WEIGHTS].values if s.FACTOR_WEIGHTS in panel else np.zeros(0)
    told = [
        *(f"{k}={v}" for k, v in sorted(empty.attrs.items())),
        *(f"{n}:{m.digest if m else ''}" for n, m in models.items()),
    ]
    labels = [panel[x].values.astype(str) for x in (s.ASSET, s.FACTOR, s.GROUP)]
    arrays = [panel[s.TIME].values, panel[s.RETURNS].values, panel[s.FACTOR_RETURNS].values, own, weights]
    return s.digest(
        np.array(told), *labels, *arrays, empty[s.LEVEL].values, empty[PORTFOLIO].values.astype(str)
    )


@contextmanager
def progress(shown: bool, total: int) -> Iterator[Any]:  # noqa: FBT001
    """Show one line: refits done, of how many, and what the last one was of."""
    if not shown:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Backtest"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True)) as progress:
        bar = progress.add_task("", total=total)
        yield lambda name: progress.update(bar, advance=1, description=name)


def _warn(result: xr.Dataset) -> None:
    lines = [f"{f.model}: {f.bad} of {f.fits} fits, {f.words}" for f in sampling(result) if f.bad]
    if lines:
        msg = f"fits did not converge (R-hat above {BAD_RHAT}): {'; '.join(lines)}. Raise tune= and draws=."
        warn(msg)
