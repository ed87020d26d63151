"""The benchmarks run and measure what they say; their numbers are looked at by people."""

import json

import numpy as np
import pytest

from benchmarks import __main__, kernel, plain, sampling
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
