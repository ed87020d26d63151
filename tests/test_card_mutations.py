"""Whatever stands on a card: it is refused as a card, or its law is finite where sampling starts."""

import random
import tomllib
from pathlib import Path

import numpy as np
import pytest
from mutations import FILES, mutations
from pymc.blocking import DictToArrayBijection

import bayesfactor as bf
from bayesfactor.density import UnreadableGraphError, read_density
from bayesfactor.errors import CardError, ModelError
from bayesfactor.model import model_from_card

ROOT = Path(__file__).resolve().parents[1]
CARDS = {p.stem: tomllib.loads(p.read_text()) for p in sorted((ROOT / "models").glob("*.toml"))}


@pytest.fixture(scope="module")
def panel():
    return bf.simulate_panel(n_assets=4, n_days=30, n_factors=2, n_groups=2, missing=0.05, random_seed=3)[0]


def survivors(cards, share, seed):
    """Return the mutated cards that are cards still, one of each; none may end in anything but CardError."""
    rng, found, refused = random.Random(seed), {}, 0
    for name in cards:
        for what, card in mutations(CARDS[name]):
            if rng.random() > share:
                continue
            try:
                model = model_from_card(card, source=name)
                model.to_toml()
            except CardError:
                refused += 1
            else:
                found[model.structure, model.digest] = (f"{name}: {what}", model)
    assert refused > 10 * len(found) > 0
    return list(found.values())


def finite_at_the_start(graph):
    try:
        density = read_density(graph)
    except UnreadableGraphError:
        point = DictToArrayBijection.map(graph.initial_point()).data
        value, gradient = graph.logp_dlogp_function(ravel_inputs=True, mode="FAST_COMPILE")(point)
        return np.isfinite(value) and np.isfinite(gradient).all()
    code, value, gradient = density.call(density.start)
    return code == 0 and np.isfinite(value) and np.isfinite(gradient).all()


def check(model, panel, what):
    try:
        graphs = [model.build(panel)]
        if model.observes_factors:
            graphs.append(model.build_factor_law(panel))
    except (CardError, ModelError):
        return
    for graph in graphs:
        assert finite_at_the_start(graph), what


def test_a_damaged_card_is_refused_or_still_a_law(panel):
    cards = random.Random(5).sample(sorted(CARDS), 4)
    found = survivors(cards, share=0.05, seed=1)
    for what, model in random.Random(2).sample(found, 4):
        check(model, panel, what)


@pytest.mark.slow
@pytest.mark.timeout(20_000)
@pytest.mark.parametrize("name", CARDS)
def test_no_mutation_of_any_card_ends_in_an_error_of_python(name, panel):
    for what, model in survivors([name], share=1.0, seed=0):
        check(model, panel, what)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_card_is_refused(kind, tmp_path):
    path = tmp_path / "card.toml"
    path.write_bytes(FILES[kind])
    with pytest.raises(CardError, match="card"):
        bf.get_model(path)


NORMAL = {"dist": "Normal", "dims": ["asset"]}
WRONG = {
    "a scale of nan": ({"sigma": {"dist": "HalfNormal", "dims": ["asset"], "kwargs": {"sigma": np.nan}}}, "finite"),
    "a scale of 0": ({"alpha": NORMAL | {"kwargs": {"sigma": 0}}}, "positive number"),
    "a location of inf": ({"alpha": NORMAL | {"kwargs": {"mu": np.inf}}}, "finite"),
    "a scale that may be negative": ({"sigma": NORMAL}, "positive number.*Normal gives anything from -inf"),
    "a hyperscale that may be negative": ({"alpha": NORMAL | {"kwargs": {"sigma": {"dist": "Normal"}}}}, "positive law"),
    "a text for a number": ({"alpha": NORMAL | {"kwargs": {"sigma": "1"}}}, "finite number.*'1'"),
    "an overflow": ({"sigma": {"dist": "LogNormal", "dims": ["asset"], "kwargs": {"mu": 800.0}}}, "logarithm"),
    "an overflow above": (
        {"sigma": {"dist": "LogNormal", "dims": ["asset"], "kwargs": {"mu": {"dist": "Normal", "kwargs": {"mu": 900.0}}}}},
        "typically 900",
    ),
    "a law of many numbers": ({"alpha": {"dist": "Dirichlet", "dims": ["asset"]}}, "dist .* is not known"),
    "parameters that do not go together": ({"nu": {"dist": "Gamma", "dims": ["asset"], "kwargs": {"alpha": 2.0}}}, "together"),
    "dims of a hyperprior": (
        {"alpha": NORMAL | {"kwargs": {"mu": {"dist": "Normal", "dims": ["factor"]}}}},
        r"dims out of \['asset'\]",
    ),
    "a wrong transform": ({"nu": {"dist": "LogNormal", "dims": ["asset"], "transform": "above_to"}}, "did you mean 'above_two'"),
    "offsets of a law without": ({"sigma": {"dist": "HalfNormal", "dims": ["asset"], "centered": False}}, "centered"),
    "five in a row": (
        {"alpha": NORMAL | {"kwargs": {"mu": {"dist": "Normal", "kwargs": {"mu": {"dist": "Normal", "kwargs": {"mu": {"dist": "Normal", "kwargs": {"mu": {"dist": "Normal"}}}}}}}}}},
        "at most 4 deep",
    ),
    "no table": ([("alpha", NORMAL)], "as a table"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_a_prior_cannot_say_is_refused_at_the_card(what):
    priors, message = WRONG[what]
    with pytest.raises(CardError, match=message):
        bf.get_model("hierarchical-t", priors=priors)


@pytest.mark.parametrize(
    ("card", "slot", "prior", "message"),
    [
        (
            "garch-t",
            "nu",
            {"dist": "Gamma", "dims": ["asset"], "kwargs": {"alpha": 2, "beta": 0.1}},
            "above_two",
        ),
        ("garch-t", "persistence", {"dist": "HalfNormal", "dims": ["asset"]}, "between 0 and 1"),
        ("gjr-skew-t", "skew", {"dist": "Normal", "dims": ["asset"]}, "either_sign"),
        ("latent-t", "nu", {"dist": "LogNormal", "dims": ["asset"]}, r"dims out of \[\]"),
    ],
)
def test_each_structure_has_supports_of_its_own(card, slot, prior, message):
    with pytest.raises(CardError, match=message):
        bf.get_model(card, priors={slot: prior})


@pytest.mark.parametrize(
    "sample",
    [{"draws": 0}, {"draws": 1.5}, {"chains": True}, {"target_accept": 1.0}, {"target_accept": "high"},
     {"adaptation": ["diag"]}, {"max_treedepth": 64}, {"chains": 10**6}],
)  # fmt: skip
def test_sample_options_are_judged_at_the_card(sample):
    with pytest.raises(CardError, match=next(iter(sample))):
        bf.get_model("hierarchical-t", sample=sample)


@pytest.mark.parametrize("n_latent", [10**9, 1.0, True, "2", None])
def test_options_are_judged_at_the_card(n_latent):
    with pytest.raises(CardError, match="n_latent"):
        bf.get_model("latent-t", n_latent=n_latent)


def test_numbers_along_a_dim_are_as_many_as_it_has_labels(panel):
    along = {"dist": "Normal", "dims": ["factor"], "kwargs": {"mu": [0.0, 0.1], "sigma": 0.2}}
    right = bf.get_model("hierarchical-t", priors={"factor_location": along})
    assert right.build_factor_law(panel)["factor_location"].ndim == 1
    wrong = bf.get_model(
        "hierarchical-t", priors={"factor_location": along | {"kwargs": {"mu": [0.0, 0.1, 0.2]}}}
    )
    with pytest.raises(CardError, match="3 numbers along 'factor', which has 2"):
        wrong.build_factor_law(panel)


def test_numbers_of_numpy_are_numbers():
    prior = NORMAL | {"kwargs": {"mu": np.float32(0.5), "sigma": np.int64(1)}}
    model = bf.get_model("hierarchical-t", priors={"alpha": prior}, sample={"draws": np.int64(10)})
    assert model.to_dict()["priors"]["alpha"]["kwargs"] == {"mu": 0.5, "sigma": 1}
    assert model.sample["draws"] == 10


def test_a_law_that_is_impossible_on_its_data_is_refused_before_it_is_sampled(panel, monkeypatch):
    import nutpie

    monkeypatch.setattr(nutpie, "sample", lambda *_, **__: pytest.fail("sampled"))
    model = bf.get_model("hierarchical-t")
    sigma = {"dist": "LogNormal", "dims": ["asset"], "kwargs": {"mu": 800.0}}
    object.__setattr__(model, "priors", model.priors | {"sigma": sigma})  # past the checks of the card
    with pytest.raises(ModelError, match="no density is finite where the loadings would be sampled from"):
        bf.fit(model, panel, draws=5, tune=5, chains=1, progressbar=False)
