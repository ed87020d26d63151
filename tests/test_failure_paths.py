"""Bad input, one line a case: what goes in, which error comes out, and what it says."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from failure_cases_panel import PANEL_CASES
from failure_cases_reading import READING_CASES
from trees import make_tree

import bayesfactor as bf
from bayesfactor.errors import BayesFactorError, ModelError, RiskError, SchemaError, WeightsError

TREE = make_tree(draws=60)
ASSETS = TREE["observed_data"]["asset"].values.tolist()
EQUAL = dict.fromkeys(ASSETS, 1 / 3)


def _log_tree():
    tree = make_tree(draws=10)
    tree["observed_data"].attrs["returns_kind"] = "log"
    return tree


def _risk(weights, **options):
    return bf.decompose_risk(TREE, weights, **options)


RISK_CASES = [
    ("weights miss an asset", lambda: _risk({ASSETS[0]: 1.0}), WeightsError, f"none for {ASSETS[1]}"),
    ("weights exceed the assets", lambda: _risk(EQUAL | {"XYZ": 1.0}), WeightsError, "'XYZ'"),
    ("weights misspell", lambda: _risk({ASSETS[0] + "X": 1.0}), WeightsError, "did you mean"),
    ("weights with NaN", lambda: _risk(EQUAL | {ASSETS[0]: np.nan}), WeightsError, "finite"),
    ("weights that are words", lambda: _risk(EQUAL | {ASSETS[0]: "much"}), WeightsError, "numbers"),
    ("weights all zero", lambda: _risk(dict.fromkeys(ASSETS, 0.0)), WeightsError, "every weight is zero"),
    ("weights as a list", lambda: _risk([0.3, 0.3, 0.4]), WeightsError, "got list"),
    (
        "weights name an asset twice",
        lambda: _risk(pd.Series([1.0, 1.0, 1.0, 1.0], index=[*ASSETS, ASSETS[0]])),
        WeightsError,
        "more than once",
    ),
    (
        "weights without labels",
        lambda: _risk(xr.DataArray([1.0, 1.0, 1.0], dims="asset")),
        WeightsError,
        "labelled",
    ),
    ("level in per cent", lambda: _risk(EQUAL, levels=(95,)), RiskError, "such as 0.99"),
    ("level of the wrong tail", lambda: _risk(EQUAL, levels=(0.05,)), RiskError, "above 0.5"),
    ("level twice", lambda: _risk(EQUAL, levels=(0.95, 0.95)), RiskError, "each level once"),
    ("no levels", lambda: _risk(EQUAL, levels=()), RiskError, "levels"),
    ("horizon zero", lambda: _risk(EQUAL, horizon=0), RiskError, "horizon"),
    ("horizon of days and a half", lambda: _risk(EQUAL, horizon=1.5), RiskError, "horizon"),
    ("value negative", lambda: _risk(EQUAL, value=-1.0), RiskError, "value"),
    ("paths zero", lambda: _risk(EQUAL, paths=0), RiskError, "paths"),
    ("log returns", lambda: bf.decompose_risk(_log_tree(), EQUAL), RiskError, 'kind="simple"'),
    ("risk of a dict", lambda: bf.decompose_risk({}, EQUAL), SchemaError, "got dict"),
    ("forecast of a panel", lambda: bf.forecast(xr.Dataset()), SchemaError, "DataTree"),
    ("forecast paths", lambda: bf.forecast(TREE, paths=0), RiskError, "paths"),
    ("forecast too large", lambda: bf.forecast(TREE, 1000, paths=100_000), RiskError, "GiB"),
    (
        "prior draws",
        lambda: bf.sample_prior_predictive("pooled-t", bf.simulate_panel(n_days=30)[0], draws=0),
        ModelError,
        "draws",
    ),
]
CASES = [*PANEL_CASES, *READING_CASES, *RISK_CASES]


@pytest.mark.parametrize(("thunk", "error", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_bad_input_is_named_and_refused(thunk, error, message):
    with pytest.raises(error, match=message) as caught:
        thunk()
    assert isinstance(caught.value, BayesFactorError)
    text = str(caught.value)
    assert text[-1] in ".)'" or "\n" in text, f"a sentence ends: {text!r}"


def test_there_are_many_cases_and_no_two_share_a_name():
    names = [c[0] for c in CASES]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
