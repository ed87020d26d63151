"""What a backtest decides: who is ahead of whom, what is rejected, which fits cannot be trusted."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bayesfactor.periods import step_in
from bayesfactor.scoring import compare_mean_loss, holm
from bayesfactor.scoring.contract import MODEL, PORTFOLIO

__all__ = [
    "COVERAGE_TESTS",
    "FEW",
    "SHORTFALL_TESTS",
    "SIZE",
    "UNIFORMITY_TESTS",
    "Contest",
    "contest",
    "rejections",
]

SIZE: Final = 0.05
"""Of every test: the chance of calling a difference, or a rejection, that is not there."""
FEW: Final = 10
"""Expected exceedances below which tests of coverage hardly ever reject, and forecasts that are too low look
good: what they cost has not happened yet."""
COVERAGE_TESTS: Final = {
    "kupiec_p": "Kupiec p",
    "christoffersen_p": "Conditional coverage p",
    "dynamic_quantile_p": "Dynamic quantile p",
}
SHORTFALL_TESTS: Final = {
    "acerbi_szekely_z1_p": "Acerbi-Szekely 1 p",
    "acerbi_szekely_z2_p": "Acerbi-Szekely 2 p",
    "exceedance_residual_p": "Exceedance residual p",
}
UNIFORMITY_TESTS: Final = {"pit_ks_p": "Kolmogorov-Smirnov p", "pit_berkowitz_p": "Berkowitz p"}
_BASELINE: Final = "baseline"


@dataclass(frozen=True)
class Contest:
    """Mean losses, and the two models that the headline is about.

    `leader` has the lowest mean loss of all. `challenger` is the leader, or the best other model where
    the leader is `reference` itself; None where there is no other. `difference` and its p-values are those of
    the challenger against the reference. `losses` holds a NaN for a model without a loss; `expected` is how
    many exceedances a right model has of a portfolio; `step` is what one period is called.
    """

    losses: dict[str, float]
    days: int
    portfolios: int
    leader: str
    reference: str
    challenger: str | None
    difference: float
    p: float
    bootstrap_p: float
    is_baseline: bool
    expected: float
    step: str = "day"

    @property
    def ranked(self) -> bool:
        """Whether any loss could be computed."""
        return bool(np.isfinite(list(self.losses.values())).any())

    @property
    def convincing(self) -> bool:
        """Whether the difference is more than chance, by both tests and on enough losses beyond VaR."""
        return self.significant and self.expected >= FEW

    @property
    def significant(self) -> bool:
        """Whether both tests reject that there is no difference."""
        return bool(self.p <= SIZE and self.bootstrap_p <= SIZE)

    @property
    def shown(self) -> tuple[str, ...]:
        """The models that are drawn: the best one first, then what it is held against."""
        ahead = self.reference if self.challenger is None else self.challenger
        return tuple(dict.fromkeys((ahead, self.reference)))


def contest(backtest: xr.Dataset, level: float, reference: str | None = None) -> Contest:
    """Return who is ahead; against the best of the baselines where no reference is given."""
    table = compare_mean_loss(backtest, level, reference)
    losses = dict(zip(table[MODEL].values.astype(str).tolist(), table["mean_loss"].values, strict=True))
    kinds = _kinds(backtest)
    if reference is None:
        reference = _reference(losses, kinds)
        table = compare_mean_loss(backtest, level, reference)
    challenger = _challenger(losses, kinds, reference)
    row = table.sel({MODEL: challenger or reference})
    return Contest(
        losses={m: float(v) for m, v in losses.items()},
        days=int(table["days"]),
        portfolios=int(table.attrs["portfolios"]),
        leader=_best(losses) or reference,
        reference=reference,
        challenger=challenger,
        difference=float(row["difference"]),
        p=float(row["diebold_mariano_p"]),
        bootstrap_p=float(row["bootstrap_p"]),
        is_baseline=kinds[reference] == _BASELINE,
        expected=int(table["days"]) * (1.0 - level),
        step=step_in(backtest),
    )


def _reference(losses: dict[str, float], kinds: dict[str, str]) -> str:
    """Return the best of the baselines, the first of all where there are none or nothing else."""
    baselines = {m: v for m, v in losses.items() if kinds[m] == _BASELINE}
    if baselines and len(baselines) < len(losses):
        return _best(baselines) or next(iter(baselines))
    return next(iter(losses))


def _challenger(losses: dict[str, float], kinds: dict[str, str], reference: str) -> str | None:
    """Return the best of all but the reference; where that is itself the best, of the models only."""
    others = {m: v for m, v in losses.items() if m != reference}
    if not others:
        return None
    if _best(losses) == reference:
        others = {m: v for m, v in others.items() if kinds[m] != _BASELINE} or others
    return _best(others) or next(iter(others))


def _kinds(backtest: xr.Dataset) -> dict[str, str]:
    names = backtest[MODEL].values.astype(str).tolist()
    kinds = backtest["kind"].values.astype(str).tolist() if "kind" in backtest.coords else [""] * len(names)
    return dict(zip(names, kinds, strict=True))


def _best(losses: dict[str, float]) -> str | None:
    known = {m: v for m, v in losses.items() if np.isfinite(v)}
    return min(known, key=known.__getitem__) if known else None


def rejections(scores: xr.Dataset, names: tuple[str, ...]) -> xr.Dataset:
    """Return which tests reject, (model, portfolio), for scores at one level.

    Holm's method holds the chance that a right model is rejected anywhere: a family is all `names` of
    one model over all portfolios, so that it does not depend on what else is in the backtest.
    """
    table = scores[list(names)].to_array("test").transpose(MODEL, PORTFOLIO, "test")
    adjusted = np.stack([holm(row) for row in table.values])
    return (table.copy(data=adjusted) <= SIZE).to_dataset("test")
