"""Names are public API: each constant says what it is, and the page of the schema knows it."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from trees import make_tree

from bayesfactor import schema as s
from bayesfactor.errors import SchemaError

ROOT = Path(__file__).parents[1]
SOURCE = (ROOT / "bayesfactor" / "schema.py").read_text()
CONSTANTS = [n for n in s.__all__ if n.isupper()]


def test_every_constant_has_its_sentence():
    body = ast.parse(SOURCE).body
    for node, after in pairwise(body):
        if isinstance(node, ast.AnnAssign) and node.target.id.isupper():
            assert isinstance(after, ast.Expr), node.target.id
            assert isinstance(after.value, ast.Constant), node.target.id


def test_constants_are_exported_and_all_different():
    defined = set(re.findall(r"^([A-Z_]+): Final", SOURCE, re.MULTILINE))
    assert defined == set(CONSTANTS)
    values = [getattr(s, n) for n in CONSTANTS]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_page_of_the_schema_knows_every_name(name):
    page = (ROOT / "docs" / "schema.md").read_text()
    assert f"`{getattr(s, name)}`" in page or name == "SCHEMA_VERSION"


def test_a_digest_sees_values_shapes_and_labels_but_not_the_kind_of_nan():
    a = np.array([1.0, np.nan, 3.0])
    other = a.copy()
    other.view(np.uint64)[1] |= 1
    assert s.digest(a) == s.digest(other)
    assert s.digest(a) != s.digest(a[::-1])
    assert s.digest(a) != s.digest(a[None])
    assert s.digest(np.array(["a", "b"])) != s.digest(np.array(["ab", ""]))
    assert s.digest(np.array([0.0])) == s.digest(np.array([-0.0]))


def test_a_tree_of_another_version_is_refused():
    tree = make_tree()
    tree.attrs["schema_version"] = "0"
    with pytest.raises(SchemaError, match="schema 1; got '0'"):
        s.check_tree(tree, verb="x")
