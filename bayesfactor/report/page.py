"""The page in words: what each part of the template says, for a reader who knows risk, not Bayes."""

import json
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.plots.breakdown import measure_name
from bayesfactor.report import words as w
from bayesfactor.report.figures import MOST_ASSETS, Picture
from bayesfactor.report.tables import INTERVAL, contribution_tables, key_figures

__all__ = ["Banner", "banners", "page"]

_HERE: Final = Path(__file__).parent
_HEADLINES: Final = {
    "ok": "Sampling has converged: the numbers below can be used",
    "warn": "Sampling is good enough to read, with care",
    "fail": "Sampling failed: the numbers below must not be used",
}
_ADEQUACY: Final = {
    "ok": "The model describes these data, as far as the checks can see",
    "warn": "The model misses some features of these data",
}


@dataclass(frozen=True)
class Banner:
    """A coloured box at the top; `css` is ok, warn or fail."""

    name: str
    css: str
    word: str
    headline: str
    reasons: tuple[str, ...]
    remedies: tuple[str, ...] = ()


def banners(diagnosis: xr.Dataset) -> list[Banner]:
    """Return what stands first: the verdict on the sampling, then that on the model."""
    attrs = diagnosis.attrs
    verdict, adequacy = str(attrs["verdict"]), str(attrs.get("adequacy", ""))
    found = [
        Banner(
            "verdict",
            verdict,
            verdict,
            _HEADLINES[verdict],
            _lines(attrs.get("reasons")),
            _lines(attrs.get("remedies")),
        )
    ]
    if adequacy in _ADEQUACY:
        found.append(
            Banner("adequacy", adequacy, adequacy, _ADEQUACY[adequacy], _lines(attrs.get("adequacy_reasons")))
        )
    return found


def page(
    tree: xr.DataTree,
    risk: xr.Dataset,
    diagnosis: xr.Dataset,
    *,
    value: float | None,
    title: str | None,
    loadings: Picture | None,
    tails: Picture | None,
    entropy: int,
) -> str:
    """Return the HTML; `risk` is in fractions of the portfolio's value."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    card = _card(tree)
    over = w.per_horizon(int(risk.attrs.get("horizon", 1)), _years(tree))
    name = str(tree.attrs.get("title") or tree.attrs.get("model", ""))
    held = int((risk["weight"] != 0).sum())
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    html: str = environment.get_template("template.html.j2").render(
        title=title or "Portfolio risk report",
        subtitle=f"{w.count(held, 'position')} · {name} · data to {_stamps(tree)[-1]}",
        style=(_HERE / "style.css").read_text(encoding="utf-8"),
        banners=banners(diagnosis),
        why=card.get("why", ""),
        facts=_facts(tree, risk),
        over=over,
        risk_words=_risk_words(risk, over),
        cards=key_figures(risk, value),
        interval_words=_interval_words(risk),
        contribution_words=_contribution_words(risk),
        tables=contribution_tables(risk, value),
        loadings=loadings,
        loadings_words=_loadings_words(risk.sizes[s.ASSET]),
        tails=tails,
        versions=_versions(tree, entropy),
        card=tree.attrs.get("card", ""),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return html


def _lines(text: Any) -> tuple[str, ...]:
    return tuple(line.strip() for line in str(text or "").splitlines() if line.strip())


def _card(tree: xr.DataTree) -> dict[str, Any]:
    try:
        return tomllib.loads(str(tree.attrs.get("card", "")))
    except tomllib.TOMLDecodeError:
        return {}


def _years(tree: xr.DataTree) -> float:
    return float(tree[s.OBSERVED_DATA].attrs.get("periods_per_year", 365))


def _stamps(tree: xr.DataTree) -> list[str]:
    """Return the first and last stamp; midnight is left out."""
    stamps = tree[s.OBSERVED_DATA].to_dataset()[s.TIME].values
    if stamps.dtype.kind != "M":
        return [str(stamps[0]), str(stamps[-1])]
    unit = "D" if (stamps == stamps.astype("datetime64[D]")).all() else "m"
    return [str(t.astype(f"datetime64[{unit}]")).replace("T", " ") for t in (stamps[0], stamps[-1])]


def _facts(tree: xr.DataTree, risk: xr.Dataset) -> list[tuple[str, str]]:
    attrs = tree.attrs
    obs, const, post = (tree[g].to_dataset() for g in (s.OBSERVED_DATA, s.CONSTANT_DATA, s.POSTERIOR))
    first, last = _stamps(tree)
    groups, sizes = np.unique(obs[s.GROUP].values.astype(str), return_counts=True)
    trimmed = str(obs.attrs.get("trimmed", ""))
    missing = float(np.isnan(obs[s.RETURNS].values).mean())
    weight = risk["weight"].values
    long, short, net = (
        w.percent(float(part.sum())) for part in (weight[weight > 0], weight[weight < 0], weight)
    )
    draws = f"{w.count(post.sizes[s.CHAIN], 'chain')} of {w.count(post.sizes[s.DRAW], 'draw')} each"
    if "tune" in attrs:
        draws += f", after {w.count(int(attrs['tune']), 'step')} of warm-up"
    method = str(attrs.get("method", "nuts"))
    sampler = {"nuts": "NUTS", "numpyro": "NUTS (numpyro)"}.get(method, f"{method} (approximate)")
    facts = [
        ("Model", f"{attrs.get('model', '')}: {attrs.get('title', '')}"),
        ("Structure", str(attrs.get("structure", ""))),
        ("Changed from the card", str(attrs.get("overrides", ""))),
        ("Estimation window", f"{first} to {last}, {w.count(obs.sizes[s.TIME], w.cadence(_years(tree)))}"),
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
        ("Portfolio", f"long {long}, short {short}, net {net}"),
    ]
    return [(name, text) for name, text in facts if text]


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


def _risk_words(risk: xr.Dataset, over: str) -> str:
    i = int(risk[s.LEVEL].values.argmax())
    level = float(risk[s.LEVEL][i])
    var, es = (w.percent(float(risk[k][i])) for k in ("var", "es"))
    return (
        f"Losses are positive. With a probability of {w.plain_percent(1.0 - level)}, the portfolio loses "
        f"more than {var} of its value over {over} (value at risk); when that happens, it loses {es} on "
        "average (expected shortfall). Positions are held constant."
    )


def _interval_words(risk: xr.Dataset) -> str:
    scenarios = w.count(float(risk.attrs.get("scenarios", 0)), "scenario")
    floored = float(risk.attrs.get("floored_share", 0.0))
    floor = (
        f" A simulated return below {w.percent(-1.0, 0)} was set to it in {w.percent(floored, 4)} of cases."
        if floored > 0
        else ""
    )
    return (
        "Each number averages over all that the model does not know about its own parameters. Its "
        f"{w.plain_percent(INTERVAL)} interval shows how far it would move if they were known; the Monte "
        f"Carlo error is what {scenarios} leave open.{floor}{_volatility_caution(risk)}"
    )


def _volatility_caution(risk: xr.Dataset) -> str:
    share = float(risk.attrs.get("volatility_share_of_barely_finite_variances", 0.0))
    if share <= 0.25:
        return ""
    return (
        f" Caution: {w.percent(share, 0)} of the variance comes from coins whose residuals have such fat "
        "tails that a variance barely exists. Read value at risk and expected shortfall instead."
    )


def _contribution_words(risk: xr.Dataset) -> str:
    name = measure_name("es", float(risk[s.LEVEL].values.max()))
    return (
        "Contributions add up to the total. A negative one lowers the risk: it hedges. Rows are sorted by "
        f"their share of {name}; bars draw that share, the line across a bar its "
        f"{w.plain_percent(INTERVAL)} interval."
    )


def _loadings_words(n_assets: int) -> str:
    some = f" The {MOST_ASSETS} largest positions are drawn." if n_assets > MOST_ASSETS else ""
    return (
        "A loading of 1.2 on a factor that is a portfolio means that the asset moves 1.2 % when the factor "
        "moves 1 %; for other drivers it is the move per standard deviation of surprise. Dots are medians, "
        "thick lines hold half of the posterior, thin lines 94 %, dashed lines are the mean of the group."
        f"{some}"
    )


def _versions(tree: xr.DataTree, entropy: int) -> list[tuple[str, str]]:
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
        ("random seed of this report", str(entropy)),
    ]
    return [(name, text) for name, text in facts if text]
