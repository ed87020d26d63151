"""Write docs/models.md from the cards in models/; `--check` only says whether it is up to date.

Run it as a script: `python docs/make_models.py`. It reads the cards and imports nothing of the package.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
HEAD = """\
# Models

This page is written by `docs/make_models.py` from the cards in [models/](../models).

| name | what it is | structure |
|---|---|---|
{table}

`bf.fit(name, panel)` fits one; `bf.get_model(name, priors=..., sample=...)` changes it; how to add one is in
[CONTRIBUTING.md](../CONTRIBUTING.md). The structures are written out in [the maths](maths.md).

Priors are in model units: returns are divided by the median over assets of their root mean square, each
factor by its own. LogNormal(m, s) has mean m and standard deviation s on the log scale, LogitNormal(m, s) on
that of the log odds; Normal(m, s) has standard deviation s. What is said *a year* is a Sharpe ratio: in model
units of a period it is divided by the square root of the panel's `periods_per_year`, so that a card means the
same for hourly, daily and weekly returns.
"""


def prior_text(prior: dict) -> str:
    """Return a prior as a formula; a prior inside is a hyperprior."""
    arguments = ", ".join(
        prior_text(v) if isinstance(v, dict) else f"{v:g}" for v in prior.get("kwargs", {}).values()
    )
    text = f"{prior['dist']}({arguments})"
    shifted = {
        "above_two": f"2 + {text}",
        "either_sign": f"2 {text} - 1",
        "per_year": f"{text} a year",
    }
    return shifted.get(prior.get("transform"), text)


def slot_row(slot: str, prior: dict, priors: dict) -> str:
    """Return one line of a card's table."""
    text = prior_text(prior)
    if f"group_{slot}" in priors:
        text = text.replace("(", f"(group_{slot}, ", 1)
    return f"| `{slot}` | {', '.join(prior.get('dims', [])) or '-'} | {text} |"


def section(card: dict) -> str:
    """Return the part of the page about one card."""
    priors = card["priors"]
    rows = "\n".join(slot_row(slot, prior, priors) for slot, prior in priors.items())
    sample = ", ".join(
        f"{k} {v if isinstance(v, str) else f'{v:g}'}" for k, v in card.get("sample", {}).items()
    )
    options = ", ".join(f"`{k}` = {v}" for k, v in card.get("options", {}).items())
    references = "\n".join(f"- {r}" for r in card.get("references", []))
    return (
        f"## {card['name']}\n\n**{card['title']}.** {card['why']}\n\n"
        f"| slot | dims | prior |\n|---|---|---|\n{rows}\n\n"
        + (f"Options: {options}.\n\n" if options else "")
        + f"Sampling: {sample}.\n\n{references}\n"
    )


def page() -> str:
    """Return the whole page."""
    cards = [tomllib.loads(p.read_text(encoding="utf-8")) for p in sorted((ROOT / "models").glob("*.toml"))]
    table = "\n".join(f"| [{c['name']}](#{c['name']}) | {c['title']} | `{c['structure']}` |" for c in cards)
    return "\n".join([HEAD.format(table=table), *map(section, cards)])


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print(
            "docs/models.md is up to date"
            if same
            else "docs/models.md is behind the cards: run docs/make_models.py"
        )
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
