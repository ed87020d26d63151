"""The walk-forward: what it may know, what it writes down, where it runs, what it refuses."""

import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesfactor as bf
from bayesfactor.backtest.holdings import history, holdings, rescaled
from bayesfactor.errors import ModelError, RiskError, WeightsError
from bayesfactor.structures import Structure

HOW = {
    "window": 60,
    "refit_every": 10,
    "draws": 10,
    "tune": 20,
    "samples": 200,
    "random_seed": 1,
    "progressbar": False,
}
MODELS = ["score-skew-t", "hierarchical-t", "historical", "ewma-fhs", "normal"]


@pytest.fixture(scope="module")
def panel():
    panel = bf.simulate_panel(n_assets=4, n_days=85, n_factors=1, n_groups=2, random_seed=3)[0]
    returns = panel["returns"].values.copy()
    returns[:63, 1] = np.nan  # listed late
    returns[78:, 2] = np.nan  # delisted
    return panel.assign(returns=(("time", "asset"), returns))


@pytest.fixture(scope="module")
def weights(panel):
    assets = panel["asset"].values
    return pd.DataFrame(
        [[0.25] * 4, [0.5, 0.5, -1.0, 0.0], [0, 1, 0, 0]], ["even", "spread", "young"], assets
    )


@pytest.fixture(scope="module")
def result(panel, weights):
    return quiet(panel, weights)


def quiet(panel, weights, models=MODELS, **more):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten draws do not converge
        return bf.backtest(models, panel, weights, **(HOW | more))


def test_a_backtest_has_the_schema(result):
    assert dict(result.sizes) == {"time": 25, "model": 5, "portfolio": 3, "level": 3, "refit": 3}
    assert result["var"].dims == ("time", "model", "portfolio", "level")
    assert result["realised"].dims == ("time", "portfolio")
    assert result["kind"].values.tolist() == ["model"] * 2 + ["baseline"] * 3
    assert (result["es"] >= result["var"] - 1e-12).where(result["var"].notnull(), other=True).all()
    young = result.sel(portfolio="young", model="score-skew-t")
    assert young["pit"].isnull().values.tolist() == [True] * 4 + [False] * 21
    assert result["log_score"].sel(model="historical").isnull().all()
    assert result["var"].sel(model="historical", portfolio="even").notnull().all()
    assert result["var"].sel(model="historical", portfolio="young").isnull().all()
    assert result["rhat"].sel(model="score-skew-t").notnull().all()
    assert result.attrs["random_seed"] == "1"


def test_nothing_after_an_origin_is_looked_at(result, panel, weights):
    # Everything from day 75 on is another world; forecasts up to that of day 75 stay bit by bit.
    values, factors = panel["returns"].values.copy(), panel["factor_returns"].values.copy()
    values[75:] = np.where(np.isfinite(values[75:]), -0.9, np.nan)
    values[75:, 3], factors[75:] = np.nan, 5.0
    own = {} if "factor_weights" not in panel else {"factor_weights": panel["factor_weights"].copy()}
    if own:
        own["factor_weights"].values[76:] = 7.0
    broken = panel.assign(
        returns=(("time", "asset"), values), factor_returns=(("time", "factor"), factors), **own
    )
    other = quiet(broken, weights)
    till, there = slice(None, panel["time"].values[75]), slice(None, panel["time"].values[74])
    for name in ("var", "es"):
        xr.testing.assert_identical(result[name].sel(time=till), other[name].sel(time=till))
    for name in ("pit", "log_score", "crps", "realised"):
        xr.testing.assert_identical(result[name].sel(time=there), other[name].sel(time=there))
    # ... and the days after it do change, or the test would not see.
    assert not result["var"].equals(other["var"])


def test_order_and_company_of_models_change_nothing(result, panel, weights):
    alone = quiet(panel, weights, ["normal", "score-skew-t"])
    for name in ("var", "log_score", "crps"):
        xr.testing.assert_identical(alone[name], result[name].sel(model=["normal", "score-skew-t"]))


def test_processes_and_threads_give_the_same_numbers(result, panel, weights):
    models = ["score-skew-t", "historical"]
    expected = result.sel(model=models)
    with ProcessPoolExecutor(2) as pool:
        xr.testing.assert_identical(quiet(panel, weights, models, executor=pool), expected)
    with ThreadPoolExecutor(2) as pool:
        xr.testing.assert_identical(quiet(panel, weights, models, executor=pool), expected)


def test_a_store_is_gone_on_with_and_belongs_to_one_call(result, panel, weights, tmp_path):
    pytest.importorskip("zarr")
    store, models = tmp_path / "b.zarr", ["score-skew-t", "normal"]
    whole = quiet(panel, weights, models, store=store)
    xr.testing.assert_identical(whole, result.sel(model=models))
    began = time.perf_counter()
    again = quiet(panel, weights, models, store=store, random_seed=None)
    assert time.perf_counter() - began < 5.0
    xr.testing.assert_identical(again, whole)
    with pytest.raises(RiskError, match="another backtest"):
        quiet(panel, weights, models, store=store, samples=300)
    with pytest.raises(RiskError, match="make it first"):
        quiet(panel, weights, models, store=tmp_path / "none" / "b.zarr")


CALL = """
import sys
import pandas as pd, xarray as xr, bayesfactor as bf
panel, weights = xr.load_dataset(sys.argv[1]), pd.read_csv(sys.argv[2], index_col=0)
bf.backtest(["normal", "hierarchical-t"], panel, weights, store=sys.argv[3], {how})
"""


def test_killed_at_any_moment_it_ends_with_the_same_numbers(panel, weights, tmp_path, result):
    pytest.importorskip("zarr")
    how = ", ".join(f"{k}={v!r}" for k, v in HOW.items())
    panel.to_netcdf(tmp_path / "panel.nc", engine="h5netcdf")
    weights.to_csv(tmp_path / "weights.csv")
    store = tmp_path / "b.zarr"
    args = [
        sys.executable,
        "-c",
        CALL.format(how=how),
        tmp_path / "panel.nc",
        tmp_path / "weights.csv",
        store,
    ]
    process = subprocess.Popen([str(a) for a in args], env=dict(os.environ), stderr=subprocess.DEVNULL)
    done = 0
    try:
        for _ in range(1200):
            time.sleep(0.05)
            if process.poll() is not None:
                break
            done = int(xr.open_zarr(store, consolidated=False)["done"].sum()) if store.exists() else 0
            if done >= 4:  # the baseline's three and one of the model's
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < done < 6, "it was to be killed half way"
    models = ["normal", "hierarchical-t"]
    resumed = quiet(panel, weights, models, store=store)
    xr.testing.assert_identical(resumed, result.sel(model=models))


@pytest.mark.slow
def test_dask_loses_nothing_when_a_worker_dies(panel, weights, result):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        first = next(iter(cluster.workers.values()))
        pid = client.run(os.getpid, workers=[first.worker_address])[first.worker_address]
        killer = ThreadPoolExecutor(1).submit(lambda: (time.sleep(8.0), os.kill(pid, signal.SIGKILL)))
        found = quiet(panel, weights, MODELS[:3], executor=client.get_executor())
        killer.result()
    xr.testing.assert_identical(found, result.sel(model=MODELS[:3]))


def test_weights_may_be_dated_or_made_of_the_past(result, panel, weights):
    stamps = panel["time"].values
    dated = xr.DataArray(
        np.broadcast_to(weights.values, (len(stamps), 3, 4)),
        {"time": stamps, "portfolio": weights.index.values, "asset": weights.columns.values},
        ("time", "portfolio", "asset"),
    )
    lengths = []

    def made(past):
        lengths.append(past.sizes["time"])
        return weights[weights.columns[::-1]]

    for form in (dated, dated.isel(asset=[3, 1, 0, 2]), made):
        found = quiet(panel, form, ["normal"])
        xr.testing.assert_identical(found, result.sel(model=["normal"]))
    assert lengths == list(range(60, 85))


def test_what_does_not_trade_is_not_held(panel, weights):
    with pytest.warns(UserWarning, match="portfolio 'spread' .* had no return on") as said:
        names, held = holdings(weights, panel, range(60, 85))
    coins, days = panel["asset"].values, pd.DatetimeIndex(panel["time"].values).strftime("%Y-%m-%d")
    said = sorted(text for text in (str(w.message) for w in said) if "had no return" in text)
    there = np.isfinite(panel["returns"].values)
    for i, text in zip((1, 2), said, strict=True):
        first = next(t for t in range(60, 85) if not (there[t - 1, i] and there[t, i]))
        assert f"{coins[i]} had no return on" in text
        assert f"first on {days[first]}" in text
    assert names == ["even", "spread", "young"]
    np.testing.assert_allclose(held[0], [[1 / 3, 0, 1 / 3, 1 / 3], [0.5, 0, -1, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(held[-1], [[1 / 3, 1 / 3, 0, 1 / 3], [0.5, 0.5, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_allclose(held[4, 2], [0, 1, 0, 0])  # its first return was on day 63
    one_left = np.array([True, False])
    for before, after in (([1.0, -1.0], [1.0, 0.0]), ([0.5, 0.5], [1.0, 0.0]), ([-0.5, -0.5], [-1.0, 0.0])):
        np.testing.assert_allclose(rescaled(np.array(before), one_left), after)
    past = np.array([[0.1, np.nan], [0.2, 0.4], [np.nan, np.nan]])
    np.testing.assert_allclose(history(np.array([0.5, 0.5]), past), [0.1, 0.3])
    np.testing.assert_allclose(history(np.array([1.0, -1.0]), past), [-0.2])


def test_a_leg_that_stops_trading_leaves_the_other_as_it_is():
    """Two coins that move together but for 0.3 % a day, one of which ends; before, the other was doubled."""
    rng = np.random.default_rng(0)
    both = 0.03 * rng.standard_normal(260)
    returns = np.stack([both + 0.003 * rng.standard_normal(260), both], axis=1)
    returns[200:, 1] = np.nan
    table = pd.DataFrame(returns, pd.date_range("2024-01-01", periods=260), ["AAA", "BBB"])
    panel = bf.panel_from_returns(
        table, factors=pd.Series(both, table.index, name="market") + 0.001 * returns[:, :1].sum(axis=1)
    )
    pair = pd.DataFrame([[1.0, -1.0], [0.5, 0.5]], ["pair", "long"], ["AAA", "BBB"])
    with pytest.warns(
        UserWarning, match="'pair' .* BBB had no return on 60 of 140 stamps, first on 2024-07-19"
    ):
        found = bf.backtest(
            "historical", panel, pair, window=120, progressbar=False, levels=(0.95,), drift="posterior"
        )
    earned = found["realised"].sel(portfolio="pair").values
    np.testing.assert_allclose(earned[:80], returns[120:200, 0] - returns[120:200, 1], atol=1e-15)
    # On the day itself nothing is known: the leg is held and earns nothing. From the next day on it is gone.
    np.testing.assert_allclose(earned[80:], returns[200:, 0], atol=1e-15)
    np.testing.assert_allclose(found["realised"].sel(portfolio="long")[80], 0.5 * returns[200, 0], atol=1e-15)
    np.testing.assert_allclose(found["realised"].sel(portfolio="long")[81:], returns[201:, 0], atol=1e-15)
    var = found["var"].sel(portfolio="pair", level=0.95, model="historical").values
    for day, book in ((0, [1, -1]), (80, [1, -1]), (81, [1, 0]), (139, [1, 0])):
        past = returns[day : day + 120] @ np.array(book) if book[1] else returns[day : day + 120, 0]
        past = past[np.isfinite(past)]
        assert var[day] == pytest.approx(np.sort(-past)[-math.ceil(0.05 * len(past))], abs=1e-15)


REFUSED = [
    ({"models": ["hierarchical"]}, ModelError, "did you mean 'hierarchical-t'"),
    ({"models": ["normal", "normal"]}, ModelError, "twice"),
    ({"models": []}, ModelError, "at least one"),
    ({"levels": (0.05,)}, RiskError, "levels are confidence levels above 0.5"),
    ({"window": 85}, RiskError, "leaves one to forecast"),
    ({"refit_every": 0}, RiskError, "refit_every"),
    ({"weights": pd.DataFrame([[1.0]], ["a"], ["BTX"])}, WeightsError, "BTX"),
    ({"weights": {"A": 1.0}}, WeightsError, "DataFrame"),
]


@pytest.mark.parametrize(("given", "error", "said"), REFUSED)
def test_bad_input_is_refused(panel, weights, given, error, said):
    given = dict(given)
    models, table = given.pop("models", ["normal"]), given.pop("weights", weights)
    with pytest.raises(error, match=said):
        bf.backtest(models, panel, table, **(HOW | given))


def test_log_returns_are_refused(panel, weights):
    with pytest.raises(RiskError, match="simple"):
        bf.backtest("normal", panel.assign_attrs(returns_kind="log"), weights, **HOW)


def test_fits_that_did_not_converge_are_named(panel, weights):
    with pytest.warns(UserWarning, match="hierarchical-t: . of 3 fits"):
        bf.backtest("hierarchical-t", panel, weights.loc[["even"]], **(HOW | {"draws": 4, "tune": 1}))


def test_threads_build_one_graph_at_a_time(panel, monkeypatch):
    """PyMC's tables of dispatch are shared by threads: two graphs at once end in a KeyError now and then."""
    inside, most, build = [], [], Structure.build

    def slow(self, *args):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.1)
        found = build(self, *args)
        inside.pop()
        return found

    monkeypatch.setattr(Structure, "build", slow)
    options = {"draws": 10, "tune": 10, "chains": 1, "progressbar": False, "random_seed": 1}
    with ThreadPoolExecutor(3) as pool:
        trees = list(
            pool.map(lambda name: bf.fit(name, panel, **options), ["pooled-t", "garch-t", "pooled-t"])
        )
    assert most == [1, 1, 1]
    assert all(t["posterior"].sizes["draw"] == 10 for t in trees)
