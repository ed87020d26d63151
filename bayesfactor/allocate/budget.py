"""Budgets of risk: by asset, by group, or by where the risk comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

from bayesfactor import schema as s
from bayesfactor.allocate.law import AssetLaw
from bayesfactor.allocate.terms import Terms
from bayesfactor.errors import WeightsError, unknown_names
from bayesfactor.forecast import Labels
from bayesfactor.tables import Door, by_name

__all__ = ["Budget", "component_names", "make_budget", "shares_by", "weights_by_component"]

_SHARES: Final = ("share", "budget", "weight", "risk")
_MET: Final = 1e-4
"""Shares this close to their budget have met it."""


@dataclass(frozen=True)
class Budget:
    """Shares of the variance that are asked for.

    Parameters
    ----------
    by : str
        `asset`, `group`, `family` or `component`.
    names : tuple of str
    target : ndarray (name)
        Sums to 1.
    members : ndarray (name, asset) or (name, component)
        1 where an asset, or a component, counts towards a name. Components that count nowhere are left
        out of the whole.
    even : bool
        Whether nobody asked for shares, and all that is held has the same.
    """

    by: str
    names: tuple[str, ...]
    target: np.ndarray
    members: np.ndarray
    even: bool = False

    @property
    def of_assets(self) -> bool:
        """Whether each asset has its own share, which makes the problem convex."""
        return self.by in (s.ASSET, s.GROUP)

    def per_asset(self) -> np.ndarray:
        """Return a share for every asset: those of a group share its budget equally (asset)."""
        return (self.target / np.maximum(self.members.sum(axis=1), 1.0)) @ self.members

    def take(self, assets: np.ndarray) -> "Budget":
        """Return the budget where only some assets may be held.

        Raises
        ------
        WeightsError
            If what has a budget may not be held.
        """
        if not self.of_assets:
            return self
        if self.even:
            n = len(assets)
            return Budget(self.by, tuple(self.names[i] for i in assets), np.full(n, 1.0 / n), np.eye(n))
        members = self.members[:, assets]
        empty = [n for n, m, t in zip(self.names, members, self.target, strict=True) if t > 0 and not m.any()]
        if empty:
            msg = (
                f"no asset with a share of the budget may be held for {', '.join(empty)}. "
                "Loosen bounds=, or leave it out of the budget."
            )
            raise WeightsError(msg)
        return Budget(self.by, self.names, self.target, members)


def component_names(labels: Labels) -> tuple[list[str], list[str]]:
    """Return components and their families."""
    others = [s.SPECIFIC, s.DRIFT]
    return [*map(str, labels.factors), *others], [*map(str, labels.families), *others]


def make_budget(labels: Labels, budget: Mapping[str, float] | None) -> Budget:
    """Return a checked budget; none gives every asset the same.

    Raises
    ------
    WeightsError
        If names are unknown or of several kinds, or shares are negative or do not sum to 1.
    """
    assets = labels.canonical.tolist()
    groups = labels.canonical_groups.tolist()
    components, families = component_names(labels)
    if budget is None:
        n = len(assets)
        return Budget(s.ASSET, tuple(assets), np.full(n, 1.0 / n), np.eye(n), even=True)
    shares = by_name(budget, Door("budget", WeightsError), _SHARES)
    if shares is None or not len(shares):
        msg = f"budget is a mapping such as {{'market': 0.5, 'specific': 0.5}}; got {budget!r}."
        raise WeightsError(msg)
    if not shares.index.is_unique:
        twice = shares.index[shares.index.duplicated()][0]
        msg = f"each name of a budget has one share; {twice} has more than one. Add them up."
        raise WeightsError(msg)
    kinds = {s.ASSET: assets, s.GROUP: groups, s.FAMILY: families, s.COMPONENT: components}
    names = sorted(map(str, shares.index))
    by = next((kind for kind, known in kinds.items() if set(names) <= set(known)), None)
    if by is None:
        known = sorted({n for names_of in kinds.values() for n in names_of})
        strange = [n for n in names if n not in set(known)]
        wrong = unknown_names(strange, known) if strange else f"{', '.join(names)}, names of several kinds"
        msg = f"a budget names assets, groups, families or components, all of one kind; got {wrong}."
        raise WeightsError(msg)
    target = _target(dict(zip(shares.index, shares, strict=True)), names)
    members = np.array([[float(label == name) for label in kinds[by]] for name in names])
    if by not in (s.ASSET, s.GROUP):
        names, target, members = _whole(names, target, members, components)
    return Budget(by, tuple(names), target, members)


def _target(budget: dict[str, Any], names: list[str]) -> np.ndarray:
    try:
        target = np.array([float(budget[n]) for n in names])
    except (TypeError, ValueError) as error:
        msg = f"shares of a budget are numbers; {error}."
        raise WeightsError(msg) from error
    wrong = [f"{n} {t:g}" for n, t in zip(names, target, strict=True) if not (np.isfinite(t) and t >= 0.0)]
    if wrong:
        msg = f"shares of a budget are numbers of at least 0; got {', '.join(wrong)}. Leave it out."
        raise WeightsError(msg)
    if abs(target.sum() - 1.0) > 1e-6:
        msg = f"shares of a budget sum to 1; they sum to {target.sum():.6g}. Divide them by their sum."
        raise WeightsError(msg)
    return np.asarray(target / target.sum())


def _whole(
    names: list[str], target: np.ndarray, members: np.ndarray, components: list[str]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Give components without a name a share of 0; drift, which nobody budgets, is left out."""
    left = (members.sum(axis=0) == 0.0) & (np.array(components) != s.DRIFT)
    if not left.any():
        return names, target, members
    return [*names, "others"], np.append(target, 0.0), np.vstack([members, left.astype(float)])


def shares_by(budget: Budget, law: AssetLaw, weights: np.ndarray) -> np.ndarray:
    """Return what each name of a budget gives to the variance, as shares (name)."""
    if budget.of_assets:
        risk = weights * (law.covariance @ weights)
        return np.asarray(budget.members @ risk / risk.sum())
    value = np.einsum("i,cij,j->c", weights, np.einsum("nc,cij->nij", budget.members, law.parts), weights)
    return np.asarray(value / value.sum())


def weights_by_component(budget: Budget, law: AssetLaw, terms: Terms) -> np.ndarray:
    """Return weights whose shares by component are the budget, or as near to it as bounds let them come.

    Squared distance of the shares is minimised from several starts; among weights that meet the budget,
    of which there are many, those of the least volatility are taken. Gradients are exact: shares are ratios
    of quadratic forms, q_n = w' S_n w.
    """
    unit = float(np.diag(law.covariance).mean())
    forms = np.einsum("nc,cij->nij", budget.members, law.parts) / unit
    forms = 0.5 * (forms + forms.swapaxes(1, 2))
    whole, covariance, target = forms.sum(axis=0), law.covariance / unit, budget.target
    box = list(zip(terms.low, terms.high, strict=True))
    invested = {"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like}

    def shares(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        towards = forms @ w
        value = towards @ w
        total = value.sum()
        share = value / total
        return share, 2.0 * (towards - share[:, None] * (whole @ w)) / total

    def distance(w: np.ndarray) -> tuple[float, np.ndarray]:
        share, slope = shares(w)
        return 50.0 * float(((share - target) ** 2).sum()), 100.0 * (share - target) @ slope

    def run(fun: Any, start: np.ndarray, *constraints: Any) -> np.ndarray:
        found = minimize(
            fun, start, jac=True, method="SLSQP", bounds=box, constraints=[invested, *constraints],
            options={"maxiter": 500, "ftol": 1e-14},
        )  # fmt: skip
        return np.clip(found.x, terms.low, terms.high)

    ends = [run(distance, start) for start in _starts(law, terms)]
    best = min(ends, key=lambda w: distance(w)[0])
    if not _is_met(shares(best)[0], target):
        return best
    reached = shares(best)[0]
    kept = {"type": "eq", "fun": lambda w: (shares(w)[0] - reached)[:-1], "jac": lambda w: shares(w)[1][:-1]}
    calm = [
        run(lambda w: (float(w @ covariance @ w), 2.0 * covariance @ w), w, kept)
        for w in ends
        if _is_met(shares(w)[0], target)
    ]
    good = [w for w in calm if _is_met(shares(w)[0], target) and abs(w.sum() - 1.0) < 1e-9]
    return min([*good, best], key=lambda w: float(w @ covariance @ w)) if good else best


def _is_met(share: np.ndarray, target: np.ndarray) -> bool:
    return bool(np.abs(share - target).max() < _MET)


def _starts(law: AssetLaw, terms: Terms) -> list[np.ndarray]:
    """Return weights to start from: even, by inverse variance, leaning towards each component."""
    variance = np.diag(law.covariance)
    leaning = [np.diag(p) / variance for p in law.parts[:-1]]
    raw = [np.ones_like(variance), 1.0 / variance, *(np.maximum(x, 1e-6) ** 4 for x in leaning)]
    out = []
    for x in raw:
        w = np.clip(x / x.sum(), terms.low, terms.high)
        room = (terms.high - w) if w.sum() < 1.0 else (w - terms.low)
        out.append(w + (1.0 - w.sum()) * room / max(room.sum(), 1e-12))
    return out
