"""How verbs are called: foreign words get ours, values of a wrong kind are named, warnings point at the caller."""

import inspect
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from trees import make_tree

import bayesfactor as bf
from bayesfactor.calls import FOREIGN, SAME, fits, verb
from bayesfactor.errors import warn


@pytest.fixture(scope="module")
def tree():
    return make_tree(n_assets=3, n_factors=1, n_times=30, chains=2, draws=20)


FACE = [getattr(bf, n) for n in bf.__all__]
VERBS = [x for x in FACE if inspect.isfunction(x)]


@pytest.mark.parametrize("function", VERBS, ids=lambda f: f.__name__)
def test_every_verb_of_the_face_is_patient_with_its_caller(function):
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    if takes_any:
        return
    with pytest.raises(bf.ArgumentError, match="has no argument 'no_such_word'") as caught:
        function(no_such_word=1)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, bf.BayesFactorError)


FOREIGN_CALLS = {
    "seed": (bf.fit, {"seed": 1}, "'random_seed'"),
    "n_draws": (bf.fit, {"n_draws": 10}, "'draws'"),
    "warmup": (bf.fit, {"warmup": 10}, "'tune'"),
    "a misprint": (bf.fit, {"target_acept": 0.9}, "'target_accept'"),
    "alpha": (bf.decompose_risk, {"alpha": 0.05}, "'levels'.*confidence: 0.95, not 0.05"),
    "confidence": (bf.decompose_risk, {"confidence": 0.95}, "'levels'"),
    "n_sims": (bf.decompose_risk, {"n_sims": 10}, "'paths'"),
    "sector": (bf.panel_from_prices, {"sector": {}}, "'groups'"),
    "lookback": (bf.backtest, {"lookback": 100}, "'window'"),
    "of a class": (bf.FactorShock, {"shocks": {}}, "'moves'"),
}


@pytest.mark.parametrize("what", FOREIGN_CALLS)
def test_a_foreign_word_gets_ours(what):
    function, keywords, message = FOREIGN_CALLS[what]
    with pytest.raises(bf.ArgumentError, match=f"did you mean {message}"):
        function(**keywords)


def test_no_word_stands_for_two_of_ours_in_one_verb():
    found = {}
    for function in VERBS:
        own = inspect.signature(function).parameters
        for word in {w for p in own for w in FOREIGN.get(p, ())} - set(own):
            meant = [p for p in own if word in FOREIGN.get(p, ())]
            if len(meant) > 1:
                found[function.__name__, word] = meant
    assert found == {}


def test_sectors_and_groups_are_one_word_everywhere():
    panel, _ = bf.simulate_panel(n_assets=6, n_days=60, n_groups=2, random_seed=1)
    prices = 100.0 * (1.0 + panel["returns"].to_pandas().fillna(0.0)).cumprod()
    sectors = {a: "ab"[i % 2] for i, a in enumerate(prices.columns)}
    assert SAME == {"sectors": "groups"}
    by = [bf.panel_from_prices(prices, **{word: sectors})["group"] for word in ("groups", "sectors")]
    assert by[0].identical(by[1])
    options = {"which": ["sector"], "min_assets": 4}
    built = [bf.build_factors(prices, **{word: sectors}, **options) for word in ("groups", "sectors")]
    assert built[0].identical(built[1])
    with pytest.raises(bf.ArgumentError, match="has no argument 'sectors'"):
        bf.panel_from_prices(prices, groups=sectors, sectors=sectors)


@verb
def example(
    _: object, levels: Sequence[float] = (0.95,), *, path: str | Path | None = None, flag: bool = False
) -> int:
    """Say what goes wrong inside."""
    return len(levels) + path.bit_length() + bool(flag)


def test_a_value_of_a_wrong_kind_is_named_once_something_has_gone_wrong():
    with pytest.raises(bf.ArgumentError, match=r"path is a string or a path or None; got 3\.5") as caught:
        example(None, path=3.5)
    assert isinstance(caught.value.__cause__, AttributeError)
    with pytest.raises(bf.ArgumentError, match="levels is a list, each of it a number; got 5"):
        example(None, 5)


def test_an_error_that_is_not_the_callers_is_raised_as_it_was():
    with pytest.raises(AttributeError, match="bit_length"):
        example(None, path="x")


def test_a_flag_is_true_or_false_from_the_beginning():
    with pytest.raises(bf.ArgumentError, match="flag is True or False; got 'yes'"):
        example(None, path=None, flag="yes")


def test_too_many_and_too_few_arguments_show_how_to_call():
    with pytest.raises(bf.ArgumentError, match=r"missing 1 required positional argument.*example\(_, levels"):
        example()
    with pytest.raises(bf.ArgumentError, match=r"takes from 1 to 2 positional arguments"):
        example(1, 2, 3, 4)


def test_a_verb_keeps_its_signature_its_name_and_can_be_sent_to_another_process():
    assert list(inspect.signature(bf.forecast).parameters)[:2] == ["tree", "horizon"]
    assert bf.forecast.__name__ == "forecast"
    assert pickle.loads(pickle.dumps(bf.forecast)) is bf.forecast


KINDS = [
    (3, int, True), (np.int64(3), int, True), (True, int, False), (3.0, int, False), (3, float, True),
    (10**400, float, False), (True, bool, True), (1, bool, False), ("x", str | Path | None, True), (None, str | None, True),
    ([0.9], Sequence[float], True), (np.array([0.9]), Sequence[float], True), ("0.9", Sequence[float], False),
    ([None], Sequence[str], False), ({"a": 1.0}, dict[str, float], True), ({"a": "x"}, dict[str, float], False),
]  # fmt: skip


@pytest.mark.parametrize(("value", "hint", "right"), KINDS)
def test_kinds_are_those_of_the_annotations(value, hint, right):
    assert fits(value, hint) is right


def test_a_tree_where_a_panel_belongs_and_the_other_way_round(tree):
    panel, _ = bf.simulate_panel(n_assets=3, n_days=30, random_seed=1)
    for call in (
        lambda: bf.fit("hierarchical-t", tree),
        lambda: bf.decompose_risk(panel, {"a": 1.0}),
        lambda: bf.forecast(panel),
        lambda: bf.update(panel, tree),
        lambda: bf.plot_risk(tree),
        lambda: bf.compare(panel),
        lambda: bf.report(panel, "x.html"),
        lambda: bf.score_backtest(tree),
    ):
        with pytest.raises(bf.BayesFactorError):
            call()


def test_a_warning_points_at_the_line_outside_the_package():
    @verb
    def inner():
        warn("something to look at")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inner()
    assert [w.filename for w in caught] == [__file__]


def test_no_room_counts_the_frames_of_its_warnings():
    """`errors.warn` does: a verb is called through one frame more than it shows."""
    source = Path(bf.__file__).parent
    found = [p.name for p in source.rglob("*.py") if "warnings.warn(" in p.read_text(encoding="utf-8")]
    assert found == ["errors.py"]
