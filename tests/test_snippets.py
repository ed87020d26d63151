"""Every block of code in README and docs runs as it is printed, page by page, in an empty folder with sample files.

Blocks of one page share their names, as a reader would type them one after the other. Only the number of draws
is capped, in the sampler's options, so that all pages together take seconds rather than minutes.
"""

import re
import shlex
import tomllib
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayesfactor as bf
from bayesfactor.cli import app
from bayesfactor.sampling import SampleOptions

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\{code-cell\}|python|bash|toml)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"\A(?::[\w-]+:[^\n]*\n)+")
HIDDEN = re.compile(r":tags: \[remove-(input|cell)\]")
WIDTH = 72
"""Characters that fit the column of the site without a scroll bar."""
CAPS = {"draws": 400, "tune": 400}
FILE = re.compile(r"# (\w+\.toml)\n")
"""A block that says which file it is becomes that file."""
NOT_OURS = re.compile(
    r"python3 -m pip install uv|python3 -m uv (sync|run (pytest|pre-commit|--group docs sphinx-build))"
    r"|(BAYESFACTOR_DATA=\S+ )?python -m benchmarks|.*bayesfactor demo$"
)
"""Commands with tests, or stages of `.ci/run`, of their own."""


def blocks(page):
    """Kind, line and text of the blocks that a page shows, options of cells left out."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        kind, body = found.groups()
        if HIDDEN.match(body):
            continue
        line = text.count("\n", 0, found.start(2)) + 1
        yield "python" if kind.startswith("{") else kind, line, OPTION.sub("", body)


def commands(text):
    """The command lines of a block, continued ones joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


WITH_CODE = [p for p in PAGES if any(True for _ in blocks(p))]


@pytest.fixture
def capped(monkeypatch):
    """No fit draws more than `CAPS`."""
    check = SampleOptions.__post_init__

    def capped_check(self):
        check(self)
        for name, most in CAPS.items():
            object.__setattr__(self, name, min(getattr(self, name), most))

    monkeypatch.setattr(SampleOptions, "__post_init__", capped_check)


COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")


@pytest.fixture(scope="session")
def market():
    """Prices of six coins whose names people know, over two years."""
    panel, _ = bf.simulate_panel(
        n_assets=6, n_days=515, n_factors=1, n_groups=2, missing=0.0, start="2023-01-01", random_seed=4
    )
    returns = panel["returns"].to_pandas()
    returns.columns = list(COINS)
    start = pd.DataFrame(1.0, index=[returns.index[0] - pd.Timedelta(days=1)], columns=returns.columns)
    prices = pd.concat([start, (1.0 + returns).cumprod()]) * np.array([27000.0, 1800.0, 25.0, 0.5, 0.08, 0.3])
    return prices.rename_axis("date")


@pytest.fixture
def folder(tmp_path, market, monkeypatch):
    """The files that pages name, in the folder one works in."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    market.to_csv("prices.csv")
    (market * np.array([2e7, 1e8, 4e8, 5e10, 1e11, 3e10])).to_csv("caps.csv")
    pd.DataFrame(rng.uniform(1e8, 2e8, market.shape), market.index, market.columns).to_csv("volume.csv")
    sectors = ["layer-1", "layer-1", "layer-1", "payments", "payments", "layer-1"]
    pd.DataFrame({"asset": COINS, "group": sectors}).to_csv("sectors.csv", index=False)
    pd.DataFrame({"asset": COINS, "weight": [0.3, 0.2, 0.2, 0.1, 0.1, 0.1]}).to_csv(
        "weights.csv", index=False
    )
    pd.DataFrame({"asset": COINS, "volume": 1e8}).to_csv("traded.csv", index=False)
    trades = {
        "trade": ["less BTC", "switch", "switch"],
        "asset": ["BTC", "BTC", "ETH"],
        "change": [-0.1, -0.1, 0.1],
    }
    pd.DataFrame(trades).to_csv("trades.csv", index=False)
    rate = np.exp(np.cumsum(rng.normal(0.0, 0.02, len(market))))
    pd.DataFrame({"btc_hash_rate_ths": 1e8 * rate}, index=market.index).to_csv("drivers.csv")
    return tmp_path


def run_command(line):
    words = shlex.split(line, comments=True)
    words = words[words.index("bayesfactor") + 1 :]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{line}\n{done.output}"


@pytest.mark.usefixtures("folder", "capped")
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: p.stem)
def test_the_code_of_a_page_runs_as_printed(page):
    names = {"__name__": "__main__"}
    for kind, line, text in blocks(page):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few draws
            if kind == "python":
                exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)
            elif kind == "toml":
                tomllib.loads(text)
                if name := FILE.match(text):
                    Path(name[1]).write_text(text)
            else:
                for command in commands(text):
                    if not NOT_OURS.match(command):
                        run_command(command)
    plt.close("all")


@pytest.mark.parametrize("page", [p for p in WITH_CODE if p.parent.name == "docs"], ids=lambda p: p.stem)
def test_code_fits_the_column_of_the_site(page):
    long = [
        f"{line + i}: {x}"
        for _, line, t in blocks(page)
        for i, x in enumerate(t.splitlines())
        if len(x) > WIDTH
    ]
    assert not long, "\n".join(long)


def test_blocks_are_found_with_their_lines(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# T\n\n```python\na = 1\n```\n\n```{code-cell} ipython3\n:tags: [hide-input]\nb = 2\n```\n"
    )
    assert list(blocks(page)) == [("python", 4, "a = 1\n"), ("python", 8, "b = 2\n")]
    page.write_text("```{code-cell} ipython3\n:tags: [remove-cell]\na = 1\n```\n")
    assert not list(blocks(page))
    assert commands("a \\\n  b\n# no\nc\n") == ["a    b", "c"]
