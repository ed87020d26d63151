"""One contract for every registered model: no list of models is kept by hand."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
from pymc.blocking import DictToArrayBijection, RaveledVars
from pymc_extras.prior import Prior

import bayesfactor as bf
from bayesfactor import schema as s
from bayesfactor.errors import CardError, MissingFileError, ModelError
from bayesfactor.structures import STRUCTURES

MODELS = bf.list_models()
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=5, n_days=60, n_factors=2, n_groups=2, random_seed=4)[0]


PARTS = [(name, "build") for name in MODELS]
PARTS += [(name, "build_factor_law") for name in MODELS if bf.get_model(name).observes_factors]


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_gradient_is_the_finite_difference(panel, name, part):
    panel = panel if "own" not in name else panel.isel(time=slice(30))  # a parameter for every day
    model = getattr(bf.get_model(name), part)(panel)
    # Interpreted: compiling eight graphs would cost minutes.
    logp, gradient = model.compile_logp(mode="FAST_COMPILE"), model.compile_dlogp(mode="FAST_COMPILE")
    start = DictToArrayBijection.map(model.initial_point())
    rng = np.random.default_rng(0)
    x = start.data + 0.1 * rng.normal(size=len(start.data))

    def at(values):
        return logp(DictToArrayBijection.rmap(RaveledVars(values, start.point_map_info)))

    found = gradient(DictToArrayBijection.rmap(RaveledVars(x, start.point_map_info)))
    assert np.isfinite(at(start.data))
    step = 1e-5
    numeric = np.array([(at(x + step * e) - at(x - step * e)) / (2 * step) for e in np.eye(len(x))])
    np.testing.assert_allclose(found, numeric, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in MODELS if not bf.get_model(n).observes_factors])
def test_models_without_observed_factors_do_not_look_at_them(panel, name):
    model = bf.get_model(name)
    assert model.sees(panel).sizes[s.FACTOR] == 0
    with pytest.raises(ModelError, match="no observed factors"):
        model.build_factor_law(panel)


def test_the_number_of_latent_factors_is_an_option_of_the_card(panel):
    model = bf.get_model("latent-t", n_latent=3)
    assert model.overrides == ("n_latent",)
    assert model.build(panel)["latent_loadings"].eval().shape == (5, 3)
    assert model.digest != bf.get_model("latent-t", n_latent=1).digest
    assert bf.get_model("latent-t").digest == bf.get_model("latent-t", n_latent=2).digest
    assert "latent_loadings" not in bf.get_model("latent-t", n_latent=0).build(panel).named_vars


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "two"])
def test_a_number_of_latent_factors_that_is_none_is_refused(wrong):
    with pytest.raises(CardError, match="n_latent is a whole number"):
        bf.get_model("latent-t", n_latent=wrong)


def test_models_that_cannot_be_are_refused_before_they_are_built(panel):
    with pytest.raises(CardError, match="n_latent"):
        bf.get_model("hierarchical-t", n_latent=2)
    with pytest.raises(ModelError, match="at most 4"):
        bf.get_model("latent-t", n_latent=5).build(panel)
    bare = panel.isel(factor=slice(0, 0))
    with pytest.raises(ModelError, match="latent-t"):
        bf.get_model("hybrid-t").build(bare)
    with pytest.raises(ModelError, match="latent-t"):
        bf.get_model("hierarchical-t").build(bare)
    with pytest.raises(ModelError, match="n_latent=0"):
        bf.get_model("latent-own-t", n_latent=0).build(panel)
    with pytest.raises(CardError, match="factor_location"):
        bf.get_model("latent-t", priors={"loadings": {"dist": "Normal", "dims": ["asset", "factor"]}})


@pytest.mark.parametrize("name", MODELS)
def test_prior_predictive_has_the_schema_and_plausible_sizes(panel, name):
    tree = bf.sample_prior_predictive(name, panel, draws=60, random_seed=1)
    prior, predictive = tree[s.PRIOR].to_dataset(), tree[s.PRIOR_PREDICTIVE].to_dataset()
    sizes = {"asset": 5, "factor": 2}
    model = bf.get_model(name)
    between = s.FACTOR_RESPONSE if model.structure == "garch" else s.FACTOR_CORRELATION
    observed = (s.LOADINGS, s.FACTOR_LOCATION, s.FACTOR_SCALE, between)
    for variable in (s.ALPHA, s.SIGMA, *(observed if model.observes_factors else ())):
        assert {d: n for d, n in prior[variable].sizes.items() if d in sizes} == {
            d: n for d, n in sizes.items() if d in prior[variable].dims
        }
    if model.observes_factors:
        assert prior[s.LOADINGS].dims == ("chain", "draw", "asset", "factor")
    if "n_latent" in model.options:
        assert set(prior[s.LATENT_LOADINGS].dims) == {"chain", "draw", "asset", "latent"}
    assert predictive[s.RETURNS].dims == ("chain", "draw", "time", "asset")
    missing = panel[s.RETURNS].isnull().values
    assert np.isnan(predictive[s.RETURNS].values[0, :, missing]).all()
    # A daily move of a coin is a few per cent; the prior must say neither 0.01 % nor 1000 %.
    typical = float(np.nanmedian(np.abs(predictive[s.RETURNS].values)))
    assert 0.003 < typical < 0.3


@pytest.mark.parametrize("name", MODELS)
def test_a_card_survives_the_round_trip_through_toml(name, tmp_path):
    model = bf.get_model(name)
    path = tmp_path / "card.toml"
    path.write_text(model.to_toml())
    again = bf.get_model(path)
    assert again == model
    assert again.digest == model.digest


@pytest.mark.parametrize("name", MODELS)
def test_a_card_is_named_as_its_file_and_says_why(name):
    model = bf.get_model(name)
    assert model.name == name
    assert len(model.why) > 40
    assert model.references
    assert model.structure in STRUCTURES
    assert not model.overrides


@pytest.mark.parametrize("name", MODELS)
def test_every_slot_of_a_card_is_a_prior_of_pymc_extras(name):
    for spec in bf.get_model(name).priors.values():
        prior = Prior.from_dict(dict(spec))
        assert prior.to_dict()["dist"] == spec["dist"]


def test_the_page_of_models_is_made_from_the_cards():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_models.py", "--check"], check=False, cwd=ROOT
    )
    assert done.returncode == 0, "docs/models.md is behind the cards: run docs/make_models.py"


def test_an_override_of_a_prior_is_used_and_recorded(panel):
    model = bf.get_model("hierarchical-t", priors={"nu": Prior("Gamma", alpha=2, beta=0.1, dims="asset")})
    assert model.overrides == ("priors.nu",)
    graph = model.build(panel)
    assert "nu" in [v.name for v in graph.free_RVs]
    assert isinstance(graph["nu"].owner.op, pm.Gamma.rv_type)
    assert model.digest != bf.get_model("hierarchical-t").digest


def test_overrides_add_up():
    model = bf.get_model("hierarchical-t", sample={"target_accept": 0.99})
    model = bf.get_model(model, priors={"alpha": {"dist": "Normal", "dims": ["asset"]}}, name="mine")
    assert model.overrides == ("sample.target_accept", "priors.alpha")
    assert model.name == "mine"
    assert model.sample["tune"] == 1000


def test_dropping_nu_gives_the_normal_model(panel):
    model = bf.get_model("hierarchical-t", priors={"nu": None, "factor_nu": None})
    assert "nu" not in [v.name for v in model.build(panel).free_RVs]


def test_non_centred_loadings_have_the_same_density_up_to_the_change_of_variable(panel):
    spread = {"dist": "LogNormal", "dims": ["factor"], "kwargs": {"mu": -1.0, "sigma": 0.7}}
    prior = {"dist": "Normal", "dims": ["asset", "factor"], "centered": False, "kwargs": {"sigma": spread}}
    graph = bf.get_model("hierarchical-t", priors={"loadings": prior}).build(panel)
    assert "loadings_offset" in [v.name for v in graph.free_RVs]
    assert "loadings" in [v.name for v in graph.deterministics]


def test_group_slots_need_a_prior_without_mu(panel):
    bad = {"dist": "Normal", "dims": ["asset", "factor"], "kwargs": {"mu": 0.0, "sigma": 1.0}}
    with pytest.raises(CardError, match="without mu"):
        bf.get_model("hierarchical-t", priors={"loadings": bad}).build(panel)


def test_a_model_can_be_registered_from_data_and_found():
    card = tomllib.loads((ROOT / "models" / "pooled-t.toml").read_text()) | {"name": "my-pooled"}
    bf.register_model(card)
    try:
        assert "my-pooled" in bf.list_models()
        assert bf.get_model("my-pooled").structure == "static"
        with pytest.raises(CardError, match="registered already"):
            bf.register_model(card)
        bf.register_model(card, overwrite=True)
    finally:
        from bayesfactor import registry

        registry._registered.pop("my-pooled", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"structure": "statik"}, "did you mean 'static'"),
        ({"structure": "os.system"}, "structure is one of"),
        ({"sample": {"drws": 10}}, "did you mean 'draws'"),
        ({"priors": {}}, "needs priors for"),
        ({"why": ""}, "non-empty"),
    ],
)
def test_a_bad_card_is_refused_by_name(change, message):
    card = tomllib.loads((ROOT / "models" / "pooled-t.toml").read_text()) | {"name": "bad"} | change
    with pytest.raises(CardError, match=message):
        bf.register_model(card)


@pytest.mark.parametrize(
    ("slot", "prior", "message"),
    [
        ("nuu", {"dist": "Normal"}, "did you mean 'nu'"),
        ("nu", {"distribution": "Normal"}, "at least 'dist'"),
        ("nu", {"dist": "Normal", "size": 3}, "unknown key"),
        ("nu", {"dist": "LogNormal", "kwargs": {"mu": {"kwargs": {}}}}, "at least 'dist'"),
    ],
)
def test_a_bad_prior_is_refused_by_name(slot, prior, message):
    with pytest.raises(CardError, match=message):
        bf.get_model("hierarchical-t", priors={slot: prior})


@pytest.mark.parametrize(
    ("slot", "prior", "message"),
    [
        ("nu", {"dist": "Normul", "dims": ["asset"]}, "did you mean 'Normal'"),
        ("nu", {"dist": "Normal", "dims": ["asset"], "transform": "no_such"}, "transform is one of"),
        ("alpha", {"dist": "Normal", "dims": ["time"]}, "takes dims out of"),
        ("factor_correlation", {"dist": "LKJCorr", "kwargs": {"eta": -1.0}}, "one positive eta"),
    ],
)
def test_a_prior_that_cannot_be_built_is_refused_by_slot(slot, prior, message):
    with pytest.raises(CardError, match=message):
        bf.get_model("hierarchical-t", priors={slot: prior})


def test_a_name_that_is_no_model_gets_a_hint():
    with pytest.raises(CardError, match="did you mean 'hierarchical-t'"):
        bf.get_model("hierarchical_t")


def test_a_card_that_is_not_there_is_a_missing_file(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.toml"):
        bf.get_model(tmp_path / "none.toml")


def test_a_card_that_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("name = [")
    with pytest.raises(CardError, match="not valid TOML"):
        bf.get_model(path)


@pytest.mark.parametrize(
    "priors",
    [
        {"loadings_slab": None},
        {"loadings_slab": {"dist": "LogNormal", "dims": ["factor"], "kwargs": {"mu": 0, "sigma": 1}}},
        {"loadings_scale": {"dist": "HalfCauchy", "kwargs": {"beta": 1}}},
        {"loadings": {"dist": "Normal", "dims": ["asset", "factor"], "kwargs": {"sigma": 1}}},
        {"group_loadings": {"dist": "Normal", "dims": ["group", "factor"]}},
    ],
)
def test_the_one_scale_of_a_sparse_card_stands_alone(priors):
    panel, _ = bf.simulate_panel(n_assets=4, n_days=40, n_factors=2, n_groups=2, random_seed=1)
    with pytest.raises(bf.CardError, match="loadings_s"):
        bf.get_model("horseshoe-t", priors=priors).build(panel)


def test_the_prior_of_the_horseshoe_has_a_spike_and_a_slab():
    """Most factors do next to nothing a priori, some do as much as the market."""
    panel, _ = bf.simulate_panel(n_assets=4, n_days=40, n_factors=6, n_groups=2, random_seed=1)
    prior = bf.sample_prior_predictive("horseshoe-t", panel, draws=2000, random_seed=1)["prior"]
    unit = (
        prior["loadings_mean"].values / (panel["returns"].std() / panel["factor_returns"].std("time")).values
    )
    assert (np.abs(unit) < 0.05).mean() > 0.4
    assert 0.02 < (np.abs(unit) > 0.5).mean() < 0.3
    assert np.quantile(np.abs(unit), 0.999) < 10.0
