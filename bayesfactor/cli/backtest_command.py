"""`bayesfactor backtest`: from a table of prices to judged forecasts, a file and a page."""

import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bayesfactor.cli.commands import Assets, Drift, Drop, Seed

__all__ = ["backtest"]

PAGE_LEVEL: Final = 0.975
"""The page and the tables are about the level nearest to it: that of the Basel rules."""


def backtest(
    *,
    prices: Annotated[Path, typer.Argument(help="CSV or Parquet: a date column, and one column per asset.")],
    out: Annotated[Path | None, typer.Option(help="Save the forecasts: .nc or .zarr.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page: .html.")] = None,
    models: Annotated[
        str, typer.Option(help="Models and baselines with commas: historical, ewma-fhs, arch-t, normal.")
    ] = "score-skew-t,ewma-fhs,historical",
    portfolios: Annotated[
        str,
        typer.Option(
            help="'equal', or a CSV: portfolio, asset, weight; or portfolio and one column per asset."
        ),
    ] = "equal",
    groups: Annotated[
        Path | None, typer.Option("--groups", "--sectors", help="Table of asset and group.")
    ] = None,
    factors: Annotated[
        Path | None, typer.Option(help="Table of factor returns by date, or .nc of `factors`.")
    ] = None,
    returns: Annotated[bool, typer.Option("--returns", help="The table holds returns.")] = False,
    start: Annotated[str | None, typer.Option(help="First date used.")] = None,
    end: Annotated[str | None, typer.Option(help="Last date used, all of its day.")] = None,
    assets: Assets = None,
    drop: Drop = None,
    window: Annotated[int, typer.Option(help="Periods a fit sees.")] = 500,
    refit_every: Annotated[int, typer.Option(help="Periods between fits.")] = 30,
    levels: Annotated[str, typer.Option(help="Confidence levels, with commas.")] = "0.95,0.975,0.99",
    expanding: Annotated[bool, typer.Option("--expanding", help="A fit sees all periods before it.")] = False,
    store: Annotated[
        Path | None, typer.Option(help="A .zarr written fit by fit; the same call goes on where it stopped.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Fits at the same time, each in a process.", min=1)] = 1,
    draws: Annotated[int, typer.Option(help="Kept draws per chain.")] = 250,
    tune: Annotated[int, typer.Option(help="Warm-up draws per chain.")] = 300,
    chains: Annotated[int, typer.Option(help="Chains.")] = 2,
    samples: Annotated[int, typer.Option(help="Simulated returns behind a forecast of a model.")] = 20_000,
    drift: Drift = "zero",
    reference: Annotated[
        str | None, typer.Option(help="Model to beat; the best baseline where not given.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    periods_per_year: Annotated[
        float | None, typer.Option(help="Where it is not what the calendar says: 365.25 for days.")
    ] = None,
    seed: Seed = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Forecast every period from those before it, and judge value at risk and expected shortfall."""
    began = time.perf_counter()
    from bayesfactor.backtest import backtest as walk
    from bayesfactor.backtest.store import check_store
    from bayesfactor.cli.inputs import TREE, check_output, read_levels, read_names, read_portfolios
    from bayesfactor.keep import save
    from bayesfactor.panel import panel_from_prices, panel_from_returns

    check_output(out, TREE)
    check_output(report, (".html", ".htm"))
    if store is not None:
        check_store(store)
    at = read_levels(levels)
    make = panel_from_returns if returns else panel_from_prices
    panel = make(
        prices,
        factors=factors,
        groups=groups,
        start=start,
        end=end,
        assets=read_names(assets),
        drop=read_names(drop),
        periods_per_year=periods_per_year,
    )
    names = [m.strip() for m in models.split(",")]
    _check_reference(reference, names)
    with _workers(workers) as executor:
        found = walk(
            names,
            panel,
            read_portfolios(portfolios, [str(a) for a in panel["asset"].values]),
            window=window,
            refit_every=refit_every,
            levels=at,
            expanding=expanding,
            executor=executor,
            store=store,
            draws=draws,
            tune=tune,
            chains=chains,
            samples=samples,
            drift=drift,
            random_seed=seed,
            progressbar=not quiet,
        )
    if out is not None:
        save(found, out)
    _judge(found, min(at, key=lambda v: abs(v - PAGE_LEVEL)), reference, report, title)
    typer.echo(f"{time.perf_counter() - began:.1f} s")


def _judge(found: Any, level: float, reference: str | None, report: Path | None, title: str | None) -> None:
    """Print what the page says in two tables and a sentence, and write the page."""
    from importlib.util import find_spec

    from bayesfactor.cli.show import backtest_losses, coverage
    from bayesfactor.report import report_backtest
    from bayesfactor.report.backtest_words import headline, verdict
    from bayesfactor.report.contest import COVERAGE_TESTS, contest, rejections
    from bayesfactor.scoring import score_backtest

    one = found.sel({"level": [level]})
    scores = score_backtest(one, reference=reference, confidence=0.9 if find_spec("arch") else None)
    result, at = contest(one, level, reference), scores.isel(level=0)
    backtest_losses(at, result.losses)
    coverage(at, rejections(at, tuple(COVERAGE_TESTS)), COVERAGE_TESTS)
    typer.echo(f"\n{headline(result)}.\n{verdict(result, level)}")
    if report is not None:
        report_backtest(one, report, scores=scores, reference=reference, level=level, title=title)
        typer.echo(str(report))


def _check_reference(reference: str | None, names: list[str]) -> None:
    """Raise before anything long begins; a card's name is not known until it is read."""
    from bayesfactor.errors import RiskError, unknown_names

    if reference is not None and reference not in names and not any("." in n for n in names):
        msg = f"--reference is one of --models; got {unknown_names([reference], names)}."
        raise RiskError(msg)


@contextmanager
def _workers(n: int) -> Iterator[Executor | None]:
    """Yield processes that start afresh: a forked one may inherit locks of threads that it does not have."""
    if n == 1:
        yield None
        return
    with ProcessPoolExecutor(n, mp_context=get_context("spawn")) as executor:
        yield executor
