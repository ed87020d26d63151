"""Latent factors: `latent-t`, which integrates them out, against other ways to have them.

One simulated panel of known truth, its last rows held out. The peers:

plain
    The same model with scores and mixing variables sampled, in plain PyMC with nutpie.
dfm
    Maximum likelihood by EM: `DynamicFactorMQ` of statsmodels, normal, factors with one lag.
bdf
    `BayesianDynamicFactor` of pymc-extras: normal, a Kalman filter over the days, in a process of its own
    that is ended after a limit. Its smallest form: factors and errors without lags, fewer draws.

For factorstochvol see `latent_factorstochvol.R`. Loadings turn freely in all of them, so effective draws are
counted over communalities, which no turn changes, and over loadings once aligned.
"""

import argparse
import importlib.util
import multiprocessing
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr

import bayesfactor as bf
from bayesfactor.laws.alignment import aligned
from bayesfactor.structures import to_original, units_of
from benchmarks.sampling import agreement
from benchmarks.timing import min_ess

__all__ = ["PEERS", "add_options", "log_densities", "measure", "plain_graph", "simulate"]

PEERS = ("ours", "plain", "dfm", "bdf")
CHAINS = 4
FEWER = {"draws": 150, "tune": 150, "chains": 2}
"""What `bdf` draws at most: enough to time it."""
HELD_OUT = 100
NU = 4.0


@dataclass(frozen=True)
class Run:
    """One way on one panel: seconds of sampling by clock and of CPU, seconds before, score, draws."""

    seconds: float
    cpu: float
    before: float
    score: float
    posterior: xr.Dataset | None = None
    divergences: int | None = None


class _Timer:
    """Seconds since it was made, by clock and of CPU over all threads; other work stretches the first."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return both."""
        return time.perf_counter() - self.began[0], time.process_time() - self.began[1]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `latent` to those of the command."""
    own = parser.add_argument_group("latent")
    sizes = {"assets": 30, "days": 750, "latent": 2, "draws": 500, "tune": 500}
    for name, default in sizes.items():
        own.add_argument(f"--{name}", type=int, default=default, help=f"({default})")
    own.add_argument("--limit", type=float, default=300.0, help="seconds after which bdf is ended (300)")
    own.add_argument("--write-csv", type=Path, help="write the returns that are fitted, and measure nothing")


def simulate(n_assets: int, n_days: int, n_latent: int, *, seed: int = 1) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a panel without observed factors from the latent law, and its truth.

    Rows are multivariate t(4): one mixing variable a day for factors and specific returns alike. All assets
    load on the first factor with about the same size, on the others with either sign.
    """
    rng = np.random.default_rng(seed)
    loadings = rng.normal(0.0, 0.01, size=(n_assets, n_latent))
    loadings[:, 0] = rng.normal(0.03, 0.006, size=n_assets)
    alpha = rng.normal(0.0, 5e-4, size=n_assets)
    sigma = 0.025 * np.exp(rng.normal(0.0, 0.3, size=n_assets))
    mixing = np.sqrt(NU / rng.chisquare(NU, size=(n_days, 1)))
    common = rng.standard_normal((n_days, n_latent)) @ loadings.T
    own = sigma * rng.standard_normal((n_days, n_assets))
    table = pd.DataFrame(
        np.maximum(alpha + mixing * (common + own), -0.99),
        index=pd.date_range("2023-01-01", periods=n_days, freq="D"),
        columns=[f"COIN{i:03d}" for i in range(1, n_assets + 1)],
    )
    panel = bf.panel_from_returns(table)
    square = (loadings**2).sum(axis=1)
    truth = xr.Dataset(
        {
            "alpha": ("asset", alpha),
            "latent_loadings": (("asset", "latent"), loadings),
            "sigma": ("asset", sigma),
            "nu": ((), NU),
            "communality": ("asset", square / (square + sigma**2)),
        },
        coords={"asset": list(table.columns)},
    )
    return panel, truth.sel(asset=panel["asset"].values)


def log_densities(rows: np.ndarray, draws: xr.Dataset) -> np.ndarray:
    """Return log p(row | draw), latent factors integrated out, with dims (draw, row).

    Written without any of the package: scipy's multivariate t with the whole scale matrix, normal where the
    draws have no `nu`.
    """
    from scipy import stats

    if "chain" in draws.dims:
        draws = draws.stack(all=("chain", "draw"), create_index=False)
    else:
        draws = draws.expand_dims("all")
    alpha, sigma = (draws[v].transpose("all", "asset").values for v in ("alpha", "sigma"))
    latent = draws["latent_loadings"].transpose("all", "asset", "latent").values
    nu = draws["nu"].values if "nu" in draws else np.full(len(alpha), np.inf)
    out = np.empty((len(alpha), len(rows)))
    for d in range(len(alpha)):
        scale = latent[d] @ latent[d].T + np.diag(sigma[d] ** 2)
        out[d] = stats.multivariate_t.logpdf(rows, alpha[d], scale, nu[d])
    return out


def _score(rows: np.ndarray, draws: xr.Dataset) -> float:
    """Return the elpd of rows held out: the sum of log means over draws."""
    each = log_densities(rows, draws)
    return float((np.logaddexp.reduce(each, axis=0) - np.log(len(each))).sum())


def _ours(panel: xr.Dataset, rows: np.ndarray, a: argparse.Namespace) -> Run:
    """All that `bf.fit` does is counted: pilot, alignment and log-likelihood included."""
    how = {"draws": a.draws, "tune": a.tune, "chains": CHAINS, "random_seed": 1, "progressbar": False}
    timer = _Timer()
    tree = bf.fit(bf.get_model("latent-t", n_latent=a.latent), panel, **how)
    clocks = timer.read()
    posterior = tree["posterior"].to_dataset()
    divergences = int(tree["sample_stats"]["diverging"].sum())
    return Run(*clocks, 0.0, _score(rows, posterior), posterior, divergences)


def plain_graph(panel: xr.Dataset, n_latent: int) -> pm.Model:
    """Return `latent-t` with its scores and mixing variables sampled; loadings are not constrained."""
    returns = panel["returns"].transpose("time", "asset").values / units_of(panel).returns
    latent = [f"latent-{k + 1}" for k in range(n_latent)]
    with pm.Model(coords={"asset": panel["asset"].values, "latent": latent}) as model:
        alpha = pm.Normal("alpha", 0.0, 1.9 / panel.attrs["periods_per_year"] ** 0.5, dims="asset")
        spread = pm.HalfNormal("latent_loadings_sd", 0.5, dims="latent")
        loadings = pm.Normal("latent_loadings", 0.0, spread, dims=("asset", "latent"))
        centre = pm.Normal("sigma_log_mean", -0.7, 0.7)
        sigma = pm.LogNormal("sigma", centre, pm.LogNormal("sigma_log_sd", -1.0, 0.7), dims="asset")
        nu = pm.Deterministic("nu", 2.0 + pm.LogNormal("nu_raw", 0.5, 0.7))
        scores = pm.Normal("scores", shape=(len(returns), n_latent))
        mixing = pm.Gamma("mixing", nu / 2.0, nu / 2.0, shape=len(returns))
        wide = mixing[:, None] ** -0.5
        pm.Normal("returns", alpha + wide * (scores @ loadings.T), wide * sigma, observed=returns)
    return model


def _plain(panel: xr.Dataset, rows: np.ndarray, a: argparse.Namespace) -> Run:
    timer = _Timer()
    compiled = nutpie.compile_pymc_model(plain_graph(panel, a.latent))
    before, timer = timer.read()[0], _Timer()
    how = {"draws": a.draws, "tune": a.tune, "chains": CHAINS, "target_accept": 0.9, "seed": 1}
    raw = nutpie.sample(compiled, **how, progress_bar=False)
    clocks = timer.read()
    posterior = raw["posterior"].to_dataset()[["alpha", "latent_loadings", "sigma", "nu"]]
    posterior = aligned(to_original(posterior, units_of(panel)))
    divergences = int(raw["sample_stats"]["diverging"].sum())
    return Run(*clocks, before, _score(rows, posterior), posterior, divergences)


def _dfm(panel: xr.Dataset, rows: np.ndarray, a: argparse.Namespace) -> Run:
    """Score each row held out by the normal law of the Kalman filter one step ahead."""
    from statsmodels.tsa.statespace.dynamic_factor_mq import DynamicFactorMQ

    seen = pd.DataFrame(panel["returns"].transpose("time", "asset").values)
    timer = _Timer()
    how = {"factors": a.latent, "factor_orders": 1, "idiosyncratic_ar1": False, "standardize": True}
    found = DynamicFactorMQ(seen, **how).fit(disp=False)
    clocks = timer.read()
    new = pd.DataFrame(rows, index=pd.RangeIndex(len(seen), len(seen) + len(rows)))
    # append keeps the parameters and the standardisation: each row is divided by the same deviations.
    score = float(found.append(new).llf_obs[-len(rows) :].sum())
    return Run(*clocks, 0.0, score - len(rows) * float(np.log(seen.std()).sum()))


def _bdf(panel: xr.Dataset, rows: np.ndarray, a: argparse.Namespace) -> Run | None:
    """Return None where the limit was reached; compiling counts towards it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    how = {k: min(v, {"draws": a.draws, "tune": a.tune}.get(k, v)) for k, v in FEWER.items()}
    process = context.Process(target=_sample_bdf, args=(there, panel, a.latent, how))
    process.start()
    there.close()
    try:
        if not here.poll(a.limit):
            return None
        clocks, before, draws, divergences = here.recv()
    finally:
        process.kill()
        process.join()
    posterior = aligned(to_original(draws, units_of(panel)))
    posterior["alpha"] = panel["returns"].mean("time")
    posterior["alpha"] = posterior["alpha"].broadcast_like(posterior["sigma"])
    return Run(*clocks, before, _score(rows, posterior), posterior, divergences)


def _sample_bdf(there: Any, panel: xr.Dataset, n_latent: int, how: dict[str, int]) -> None:
    """Sample in the card's units and with its priors; it has no intercept, so means are taken out."""
    import pytensor.tensor as pt
    from pymc_extras.statespace.models.DFM import BayesianDynamicFactor

    warnings.simplefilter("ignore")
    returns = panel["returns"].transpose("time", "asset").to_pandas()
    names = [str(a) for a in returns.columns]
    timer = _Timer()
    # The univariate filter takes one asset at a time, five times as fast here as the standard one.
    sizes = {"k_factors": n_latent, "factor_order": 0, "error_order": 0, "filter_type": "univariate"}
    law = BayesianDynamicFactor(**sizes, endog_names=names, verbose=False)
    with pm.Model(coords=law.coords) as model:
        pm.Deterministic("x0", pt.zeros(n_latent), dims="state")
        pm.Deterministic("P0", pt.eye(n_latent), dims=("state", "state_aux"))
        spread = pm.HalfNormal("spread", 0.5, dims="factor")
        pm.Normal("factor_loadings", 0.0, spread, dims=("observed_state", "factor"))
        centre = pm.Normal("centre", -0.7, 0.7)
        pm.LogNormal("error_sigma", centre, pm.LogNormal("pooled", -1.0, 0.7), dims="observed_state")
        law.build_statespace_graph(data=(returns - returns.mean()) / units_of(panel).returns)
    # numba takes minutes to compile this filter, and tens of times as long for a gradient.
    backend = "jax" if importlib.util.find_spec("jax") else "numba"
    keep = ["factor_loadings", "error_sigma"]
    compiled = nutpie.compile_pymc_model(model, backend=backend, var_names=keep)
    before, timer = timer.read()[0], _Timer()
    raw = nutpie.sample(compiled, **how, target_accept=0.9, seed=1, progress_bar=False)
    clocks = timer.read()
    ours = {"observed_state": "asset", "factor": "latent"}
    ours |= {"factor_loadings": "latent_loadings", "error_sigma": "sigma"}
    draws = raw["posterior"].to_dataset()[keep].rename(ours).load()
    there.send((clocks, before, draws, int(raw["sample_stats"]["diverging"].sum())))


_WAYS = {"plain": _plain, "dfm": _dfm, "bdf": _bdf}


def measure(peers: list[str], a: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per way; ratios are above 1 where ours is the faster.

    `total_ratio` is all seconds of this, compiling included, over all of ours; `ratio` and `loads_ratio`
    are effective draws per second of ours over those of this, compiling left out; `cpu_ratio` is `ratio` in
    seconds of CPU, which tells more beside other work. `rmse` is that of communalities (posterior means)
    about the truth.
    """
    whole, truth = simulate(a.assets, a.days, a.latent)
    panel = whole.isel(time=slice(None, -HELD_OUT))
    if a.write_csv:
        panel["returns"].transpose("time", "asset").to_pandas().to_csv(a.write_csv, index=False)
        return [{"what": f"{panel.sizes['time']} days of {a.assets} assets are in {a.write_csv}"}]
    rows = whole["returns"].transpose("time", "asset").values[-HELD_OUT:]
    # Kernels are loaded once per process, whatever is fitted.
    first = {"draws": 10, "tune": 10, "chains": 2, "progressbar": False}
    bf.fit(bf.get_model("latent-t", n_latent=1), simulate(4, 60, 1)[0], **first)
    ours = _ours(panel, rows, a)
    runs = {"ours": ours} | {name: way(panel, rows, a) for name, way in _WAYS.items() if name in peers}
    table = [_row(name, run, ours, truth, a) for name, run in runs.items()]
    return [*table, {"what": "truth", "elpd": round(_score(rows, truth), 1)}]


def _row(name: str, run: Run | None, ours: Run, truth: xr.Dataset, a: argparse.Namespace) -> dict[str, Any]:
    if run is None:
        return {"what": name, "seconds": f"over {a.limit:.0f} s"}
    sizes = {} if run.posterior is None else run.posterior.sizes
    drawn = f", {sizes['chain']} x {sizes['draw']}" if sizes else ""
    row = {
        "what": name + drawn,
        "seconds": round(run.seconds, 1),
        "cpu_s": round(run.cpu, 1),
        "before_s": round(run.before, 1),
        "total_ratio": round((run.seconds + run.before) / (ours.seconds + ours.before), 2),
    }
    if run.posterior is not None:
        (ess, rate, on_loadings), (own_ess, own_rate, own_on_loadings) = _rates(run), _rates(ours)
        gap = run.posterior["communality"].mean(("chain", "draw")) - truth["communality"]
        row |= {
            "diverged": run.divergences,
            "min_ess": round(ess),
            "ess_per_s": round(rate, 2),
            "ratio": round(own_rate / rate, 1),
            "cpu_ratio": round(own_ess / ours.cpu / (ess / run.cpu), 1),
            "loads_per_s": round(on_loadings, 2),
            "loads_ratio": round(own_on_loadings / on_loadings, 1),
            "rmse": round(float((gap**2).mean() ** 0.5), 4),
        }
    row["elpd"] = round(run.score, 1)
    if name == "plain":  # the one peer with the same posterior
        same = ["alpha", "sigma", "nu", "communality"]
        row |= agreement(ours.posterior[same], run.posterior[same])
    return row


def _rates(run: Run) -> tuple[float, float, float]:
    """Return the smallest bulk ESS of communalities, that per second, and that of loadings per second."""
    ess, loadings = (min_ess(run.posterior[[v]])[0] for v in ("communality", "latent_loadings"))
    return ess, ess / run.seconds, loadings / run.seconds
