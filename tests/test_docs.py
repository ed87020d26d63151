"""The site: every public name has its place, every page is in the contents. Building it is a stage of `.ci/run`."""

import re
from pathlib import Path

import bayesfactor as bf

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_page_of_the_api_holds_every_public_name_once():
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    named = re.findall(
        r"^\.\. auto(?:function|class|exception):: bayesfactor::(\w+)$", text, flags=re.MULTILINE
    )
    assert sorted(named) == sorted(bf.__all__)


def test_every_page_is_in_the_contents():
    listed = {"index"}
    for page in DOCS.glob("*.md"):
        for tree in re.findall(r"```{toctree}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            listed |= {line for line in tree.splitlines() if line and not line.startswith(":")}
    assert {p.stem for p in DOCS.glob("*.md")} | {"gallery/index"} == listed
