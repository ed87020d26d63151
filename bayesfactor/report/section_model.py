"""The model in facts, the verdicts on it, and what is needed to compute the page again."""

import json
import tomllib
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor import words as w
from bayesfactor.periods import count_periods, year_in
from bayesfactor.report.content import Banner, Block, Facts, Folded, Listing, Section, Words

__all__ = ["banners", "cadence_of", "model_facts", "model_section", "stamps", "versions_section", "years_of"]

_HEADLINES: Final = {
    "ok": "Sampling has converged: the numbers below can be used",
    "warn": "Sampling is good enough to read, with care",
    "fail": "Sampling failed: the numbers below must not be used",
}
_ADEQUACY: Final = {
    "ok": "The model describes these data, as far as the checks can see",
    "warn": "The model misses some features of these data",
}


def banners(diagnosis: xr.Dataset) -> list[Banner]:
    """Return what stands first: the verdict on the sampling, then that on the model."""
    attrs = diagnosis.attrs
    verdict, adequacy = str(attrs["verdict"]), str(attrs.get("adequacy", ""))
    reasons, remedies = (_lines(attrs.get(k)) for k in ("reasons", "remedies"))
    found = [Banner("verdict", verdict, verdict, _HEADLINES[verdict], reasons, remedies)]
    if adequacy in _ADEQUACY:
        lines = _lines(attrs.get("adequacy_reasons"))
        found.append(Banner("adequacy", adequacy, adequacy, _ADEQUACY[adequacy], lines))
    return found


def _lines(text: Any) -> tuple[str, ...]:
    return tuple(line.strip() for line in str(text or "").splitlines() if line.strip())


def years_of(tree: xr.DataTree) -> float:
    """Return the periods of a year."""
    return year_in(tree[s.OBSERVED_DATA])


def cadence_of(tree: xr.DataTree) -> str:
    """Return what one period is called."""
    return w.cadence(years_of(tree))


def stamps(tree: xr.DataTree) -> tuple[str, str]:
    """Return the first and last stamp of the estimation window."""
    return w.stamps(tree[s.OBSERVED_DATA].to_dataset()[s.TIME].values)


def model_section(tree: xr.DataTree) -> Section:
    """Return what the model is and what it has seen."""
    why = str(_card(tree).get("why", ""))
    blocks: list[Block] = [Words(why)] if why else []
    return Section("model", "The model", (*blocks, Facts("model", model_facts(tree))), "The model")


def _card(tree: xr.DataTree) -> dict[str, Any]:
    try:
        return tomllib.loads(str(tree.attrs.get("card", "")))
    except tomllib.TOMLDecodeError:
        return {}


def model_facts(tree: xr.DataTree) -> tuple[tuple[str, str], ...]:
    """Return the facts about a fit: model, window, assets, factors, draws."""
    attrs = tree.attrs
    obs, const, post = (tree[g].to_dataset() for g in (s.OBSERVED_DATA, s.CONSTANT_DATA, s.POSTERIOR))
    first, last = stamps(tree)
    groups, sizes = np.unique(obs[s.GROUP].values.astype(str), return_counts=True)
    trimmed = str(obs.attrs.get("trimmed", ""))
    missing = float(np.isnan(obs[s.RETURNS].values).mean())
    draws = f"{w.count(post.sizes[s.CHAIN], 'chain')} of {w.count(post.sizes[s.DRAW], 'draw')} each"
    if "tune" in attrs:
        draws += f", after {w.count(int(attrs['tune']), 'step')} of warm-up"
    method = str(attrs.get("method", "nuts"))
    sampler = {"nuts": "NUTS", "numpyro": "NUTS (numpyro)"}.get(method, f"{method} (approximate)")
    facts = [
        ("Model", f"{attrs.get('model', '')}: {attrs.get('title', '')}"),
        ("Structure", str(attrs.get("structure", ""))),
        ("Changed from the card", str(attrs.get("overrides", ""))),
        ("Estimation window", f"{first} to {last}, {w.count(obs.sizes[s.TIME], cadence_of(tree))}"),
        ("Skipped", _skipped(obs)),
        ("Left out", str(obs.attrs.get("dropped", ""))),
        ("Trimmed", trimmed if any(c in "123456789" for c in trimmed) else ""),
        (
            "Assets",
            f"{obs.sizes[s.ASSET]}: {', '.join(f'{g} ({n})' for g, n in zip(groups, sizes, strict=True))}",
        ),
        ("Missing returns", w.percent(missing)),
        ("Factors", _factors(const) or "none observed"),
        *_latent(post),
        ("Draws", draws),
        ("Sampler", sampler),
        ("Random seed of the fit", str(attrs.get("random_seed", ""))),
    ]
    return tuple((name, text) for name, text in facts if text)


def _skipped(obs: xr.Dataset) -> str:
    n = int(obs.attrs.get("skipped", 0))
    return f"{count_periods(n, year_in(obs))} without any price" if n else ""


def _factors(const: xr.Dataset) -> str:
    names = const[s.FACTOR].values.astype(str)
    families = const[s.FAMILY].values.astype(str) if s.FAMILY in const.coords else names
    parts = []
    for family in dict.fromkeys(families):
        own = [n for n, f in zip(names, families, strict=True) if f == family]
        parts.append(family if own == [family] else f"{', '.join(own)} ({family})")
    return "; ".join(parts)


def _latent(post: xr.Dataset) -> list[tuple[str, str]]:
    """Return each latent factor with the assets it loads on."""
    if "loads_on" not in post.coords:
        return []
    return [
        (f"Factor {n}", f"loads on {a}")
        for n, a in zip(post[s.LATENT].values, post["loads_on"].values, strict=True)
    ]


def versions_section(trees: dict[str, xr.DataTree], entropy: int, script: str) -> Section:
    """Return versions, fingerprints and seeds, the script that makes the page again, and the cards."""
    blocks: list[Block] = [
        Words("With these versions and the same data, every number of this page can be computed again.")
    ]
    for name, tree in trees.items():
        title = f"versions_{name}" if len(trees) > 1 else "versions"
        seed = (("random seed of this report", str(entropy)),)
        blocks += [Words(name)] if len(trees) > 1 else []
        blocks.append(Facts(title, (*_versions(tree), *seed), code=True))
    blocks.append(Folded("How to make this page again", (Listing("Script", script, "python"),)))
    cards = {name: str(tree.attrs.get("card", "")) for name, tree in trees.items()}
    for name, card in cards.items():
        which = f" of {name}" if len(trees) > 1 else ""
        if card:
            listing = Listing(f"Model card{which}", card, "toml")
            blocks.append(Folded(f"The model card{which}, with all priors", (listing,), aside=True))
    return Section("versions", "Versions and fingerprints", tuple(blocks), "Versions")


def _versions(tree: xr.DataTree) -> tuple[tuple[str, str], ...]:
    attrs = tree.attrs
    try:
        packages = json.loads(attrs.get("versions", "{}"))
    except json.JSONDecodeError:
        packages = {}
    facts = [
        *((str(k), str(v)) for k, v in packages.items()),
        ("schema", str(attrs.get("schema_version", ""))),
        ("model card", str(attrs.get("card_digest", ""))),
        ("returns", str(attrs.get("returns_digest", ""))),
        ("factors", str(attrs.get("factors_digest", ""))),
        ("random seed of the fit", str(attrs.get("random_seed", ""))),
    ]
    return tuple((name, text) for name, text in facts if text)
