"""The examples run as they are, in an empty folder, and write nothing elsewhere.

`BAYESFACTOR_QUICK=1` makes the markets they simulate, and what they sample, smaller; nothing else changes.
"""

import ast
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WRITES = {"01_quickstart": {"fit.nc", "report.html"}}


def listing():
    folders = (ROOT / "examples", ROOT / "docs", ROOT / "models")
    return {p for folder in folders for p in folder.rglob("*") if "__pycache__" not in p.parts}


def run(path, folder):
    env = {**os.environ, "BAYESFACTOR_QUICK": "1", "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, path], cwd=folder, env=env, capture_output=True, text=True, timeout=290, check=False
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Start them all, two at a time: each compiles on one core."""
    before = listing()
    folders = {path: tmp_path_factory.mktemp(path.stem) for path in EXAMPLES}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {path: (pool.submit(run, path, folder), folder) for path, folder in folders.items()}
    assert listing() == before


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(path, runs):
    future, folder = runs[path]
    done = future.result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert {p.name for p in folder.iterdir()} == WRITES.get(path.stem, set())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_a_short_script_in_cells(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    title, line = text.removeprefix('"""').splitlines()[:2]
    assert set(line) == {"="}
    assert len(line) == len(title)
    assert ast.parse(text).body


def test_the_readme_names_the_two_commands_exactly():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python3 -m pip install uv && python3 -m uv run bayesfactor demo\n" in text
    assert "python3 -m uv run pytest" in text


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_snippets_parse_and_name_only_what_exists(page):
    import bayesfactor as bf

    text = page.read_text(encoding="utf-8")
    for snippet in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        for node in ast.walk(ast.parse(snippet)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bf":
                assert hasattr(bf, node.attr), node.attr
    for name in re.findall(r"`bf\.(\w+)", text):
        assert hasattr(bf, name), name


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_card_in_the_contributing_guide_is_a_model(tmp_path):
    import bayesfactor as bf

    (card,) = re.findall(
        r"```toml\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    (tmp_path / "card.toml").write_text(card)
    model = bf.get_model(tmp_path / "card.toml")
    panel, _ = bf.simulate_panel(n_assets=4, n_days=40, n_factors=2, n_groups=2, random_seed=1)
    names = {v.name for v in model.build(panel).unobserved_RVs} | {
        v.name for v in model.build_factor_law(panel).unobserved_RVs
    }
    assert {"loadings", "group_loadings", "loadings_sd", "sigma_log_mean", "nu", "factor_nu"} <= names
