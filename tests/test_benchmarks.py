"""The benchmarks run and measure what they say; their numbers are looked at by people."""

import json

import numpy as np
import pytest

from benchmarks import __main__, kernel, latent, plain, sampling
from benchmarks.timing import market, min_ess


def test_the_plain_peer_is_the_same_model():
    """Its density differs from that of the card by nothing, at the same values, but for the correlation."""
    import bayesfactor as bf

    panel = market(4, 60, 2)
    own, peer = bf.get_model("hierarchical-t").build(panel), plain.returns_graph(panel)
    assert {v.name for v in own.value_vars} == {v.name for v in peer.value_vars}
    point = {k: v + 0.1 for k, v in own.initial_point().items()}
    values = [float(m.compile_logp(mode="FAST_COMPILE")(point)) for m in (own, peer)]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_measurements_have_a_row_each(monkeypatch):
    monkeypatch.setattr(sampling, "OPTIONS", {"draws": 30, "tune": 30, "chains": 2})
    rows = sampling.measure([], n_assets=4, n_days=60, n_factors=2)
    assert [r["what"] for r in rows] == ["bayesfactor", "bayesfactor, centred"]
    assert rows[0]["ratio"] == 1.0
    assert rows[0]["means_apart"] == 0.0
    (row,) = kernel.measure(((3, 40, 2),))
    assert row["ratio"] == pytest.approx(row["kernel_ms"] / row["numpy_ms"], rel=0.5)


def test_the_plain_latent_peer_has_the_priors_of_the_card():
    import bayesfactor as bf

    panel, _ = latent.simulate(5, 60, 2)
    own = bf.get_model("latent-t", n_latent=2).build(panel)
    peer = latent.plain_graph(panel, 2)
    names = {v.name for v in own.free_RVs}
    assert {v.name for v in peer.free_RVs} == names | {"scores", "mixing"}
    point = {k: v + 0.1 for k, v in peer.initial_point().items()}
    values = []
    for model in (own, peer):
        priors = model.compile_logp([v for v in model.free_RVs if v.name in names], mode="FAST_COMPILE")
        values.append(float(priors({v.name: point[v.name] for v in model.value_vars if v.name in point})))
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_rows_held_out_are_scored_by_the_law_that_is_fitted():
    import bayesfactor as bf

    panel, truth = latent.simulate(5, 80, 2)
    small = {"draws": 20, "tune": 20, "chains": 2, "random_seed": 1, "progressbar": False}
    tree = bf.fit(bf.get_model("latent-t", n_latent=2), panel, **small)
    rows = panel["returns"].transpose("time", "asset").values
    own = tree["log_likelihood"]["returns"].transpose("chain", "draw", "time").values.reshape(40, 80)
    np.testing.assert_allclose(latent.log_densities(rows, tree["posterior"].to_dataset()), own, rtol=1e-7)
    assert latent.log_densities(rows, truth).shape == (1, 80)


def test_latent_has_a_row_for_ours_and_the_truth(tmp_path):
    import argparse

    parser = argparse.ArgumentParser()
    latent.add_options(parser)
    small = ["--assets", "5", "--days", "160", "--latent", "1", "--draws", "20", "--tune", "20"]
    rows = latent.measure([], parser.parse_args(small))
    assert [r["what"] for r in rows] == ["ours, 4 x 20", "truth"]
    assert rows[0]["ratio"] == rows[0]["total_ratio"] == 1.0
    latent.measure([], parser.parse_args([*small, "--write-csv", str(tmp_path / "r.csv")]))
    assert np.loadtxt(tmp_path / "r.csv", delimiter=",", skiprows=1).shape == (60, 5)


def test_the_smallest_ess_is_over_everything():
    import xarray as xr

    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.normal(size=(2, 200)), axis=1)
    draws = xr.Dataset({"a": (("chain", "draw"), rng.normal(size=(2, 200))), "b": (("chain", "draw"), slow)})
    ess, where = min_ess(draws)
    assert where == "b"
    assert ess < 50


def test_names_are_checked_and_numbers_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(__main__, "MEASURES", {"one": ("One", lambda _: [{"what": "x", "seconds": 1.5}])})
    __main__.main(["one", "--json", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text())["one"] == [{"what": "x", "seconds": 1.5}]
    assert "1.5" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        __main__.main(["two"])
    assert "two" in capsys.readouterr().err


def test_a_peer_of_another_measurement_is_refused(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["sampling", "--peer", "dfm"])
    assert "dfm" in capsys.readouterr().err
