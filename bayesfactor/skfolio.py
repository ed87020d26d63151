"""For skfolio: a prior that hands its optimisers the posterior predictive law (extra `allocate`)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.allocate.law import AssetLaw, asset_law, pooled_returns
from bayesfactor.errors import PanelError, RiskError, WeightsError, unknown_names
from bayesfactor.fit import fit
from bayesfactor.forecast import predict
from bayesfactor.laws import checked_drift
from bayesfactor.limits import check_count
from bayesfactor.panel import panel_from_returns
from bayesfactor.panel.construct import MARKET, equal_weights, market_return

try:
    import sklearn.utils.validation as skv
    from skfolio.prior import BasePrior, ReturnDistribution
except ImportError as _error:
    _msg = 'bayesfactor.skfolio needs the package skfolio: pip install "bayesfactor[allocate]".'
    raise RiskError(_msg) from _error

__all__ = ["FactorModelPrior"]

_LEAST: int = 2
"""Returns an asset needs to be fitted; one with fewer is not investable."""


class FactorModelPrior(BasePrior):
    """The posterior predictive law of a factor model, as a prior of skfolio's optimisers.

    Its `returns` are full predictive draws, factors and specific returns, all posterior draws pooled; its
    `covariance` is exact (law of total variance), not that of the draws. Both hold parameter uncertainty.

    Parameters
    ----------
    model : str, Path or FactorModel
        What is fitted where no `tree` is given.
    tree : DataTree, optional
        A fit that is there already. `fit` then reads nothing off X but which assets there are.
    horizon : int
        Periods ahead that the law is of.
    scenarios : int
        Draws in `returns`.
    groups : mapping of str to str, optional
        Group of each asset, for models that pool by group.
    drift : {"zero", "posterior", "prior"}
        Expected returns, as in `bf.decompose_risk`. Zero is the default here too: an optimiser follows
        whatever mean it is told, and daily data hardly tell its sign. Objectives that are about the mean
        (largest ratio, largest utility) need "posterior": with none, all weights are as good.
    sample : mapping, optional
        Options of `bf.fit`: `draws`, `tune`, `chains`, ...
    random_seed : int, Generator or SeedSequence, optional

    Attributes
    ----------
    return_distribution_ : ReturnDistribution
        Over all columns of X. An asset with fewer than two returns in X has NaN: skfolio does not hold it.
    tree_ : DataTree
        The fit.
    n_features_in_, feature_names_in_
        As of scikit-learn.

    Examples
    --------
    >>> from skfolio import RiskMeasure  # doctest: +SKIP
    >>> from skfolio.optimization import MeanRisk  # doctest: +SKIP
    >>> prior = FactorModelPrior("score-skew-t", random_seed=1)  # doctest: +SKIP
    >>> MeanRisk(risk_measure=RiskMeasure.CVAR, prior_estimator=prior).fit(returns)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any = "hierarchical-t",
        *,
        tree: xr.DataTree | None = None,
        horizon: int = 1,
        scenarios: int = 20_000,
        groups: Mapping[str, str] | None = None,
        drift: str = "zero",
        sample: Mapping[str, Any] | None = None,
        random_seed: Any = None,
    ) -> None:
        self.model = model
        self.tree = tree
        self.horizon = horizon
        self.scenarios = scenarios
        self.groups = groups
        self.drift = drift
        self.sample = sample
        self.random_seed = random_seed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any = None, *, factors: Any = None, **_: Any) -> "FactorModelPrior":
        """Fit the model, where there is no tree, and set `return_distribution_`.

        Parameters
        ----------
        X : DataFrame or ndarray (time, asset)
            Simple returns, fractions; NaN where there is none. With a tree, only its columns are read.
        y : DataFrame or Series (time, factor), optional
            Factor returns. None forms the equal-weight market of X's assets.
        factors : DataFrame or Series (time, factor), optional
            The same by scikit-learn's metadata routing, as skfolio's own factor model takes them.

        Raises
        ------
        RiskError, PanelError
            If an option or the data cannot be used.
        WeightsError
            If X holds assets that the tree does not.
        """
        checked_drift(self.drift)
        check_count("scenarios", self.scenarios, least=2, error=RiskError)
        values = skv.validate_data(self, X, ensure_all_finite="allow-nan", dtype="float64")
        names = [str(n) for n in getattr(self, "feature_names_in_", range(values.shape[1]))]
        self.tree_ = (
            self._fitted(X, values, names, y if factors is None else factors)
            if self.tree is None
            else self.tree
        )
        s.check_tree(self.tree_, s.OBSERVED_DATA, s.CONSTANT_DATA, verb="FactorModelPrior")
        known = [str(a) for a in self.tree_[s.OBSERVED_DATA].to_dataset()[s.ASSET].values]
        if self.tree is not None and not hasattr(self, "feature_names_in_"):
            names = self._unnamed(names, known)
        if self.tree is not None and (strange := [n for n in names if n not in set(known)]):
            msg = f"X holds assets the tree does not know: {unknown_names(strange, known)}. Rename them."
            raise WeightsError(msg)
        self.return_distribution_ = self._distribution(names)
        return self

    def _unnamed(self, names: list[str], known: list[str]) -> list[str]:
        if len(names) != len(known):
            msg = (
                f"X without names has a column for each asset of the tree, {len(known)}; got {len(names)}. "
                "Give a DataFrame."
            )
            raise WeightsError(msg)
        return known

    def _fitted(self, X: Any, values: np.ndarray, names: list[str], y: Any) -> xr.DataTree:
        """Return a fit of the columns of X that have returns."""
        days = getattr(X, "index", None)
        if not isinstance(days, pd.DatetimeIndex):
            days = pd.date_range("2000-01-01", periods=len(values))
        table = pd.DataFrame(values, index=days, columns=names)
        table = table.loc[:, table.notna().sum() >= _LEAST]
        if table.shape[1] < 2:
            msg = f"a factor model needs returns of at least two assets; X has them of {table.shape[1]}."
            raise PanelError(msg)
        panel = panel_from_returns(table, factors=_factors(table, y), groups=self.groups)
        options = {"progressbar": False, **(self.sample or {})}
        return fit(self.model, panel, random_seed=self.random_seed, **options)

    def _distribution(self, names: list[str]) -> Any:
        """Return the law in the order of `names`, NaN where the tree has no such asset."""
        found = predict(self.tree_, self.horizon, drift=self.drift, random_seed=self.random_seed)
        if self.tree_[s.OBSERVED_DATA].attrs.get("returns_kind", "simple") != "simple":
            msg = "portfolios need simple returns, which add up across assets; the tree holds log returns."
            raise RiskError(msg)
        law: AssetLaw = asset_law(found.moments)
        returns = pooled_returns(found, self.scenarios)
        canonical = found.labels.canonical.tolist()
        place = {a: i for i, a in enumerate(canonical)}
        at = np.array([place.get(n, -1) for n in names])
        there = at >= 0
        n = len(names)
        mu, covariance = np.full(n, np.nan), np.full((n, n), np.nan)
        whole = np.full((len(returns), n), np.nan)
        mu[there], whole[:, there] = law.mean[at[there]], returns[:, at[there]]
        covariance[np.ix_(there, there)] = law.covariance[np.ix_(at[there], at[there])]
        return ReturnDistribution(mu=mu, covariance=covariance, returns=whole)


def _factors(table: pd.DataFrame, y: Any) -> Any:
    """Return what `panel_from_returns` takes: y on X's days, or the market of X's own assets."""
    if y is not None:
        named = y.to_frame() if isinstance(y, pd.Series) else y
        if not isinstance(named, pd.DataFrame):
            values = np.asarray(y, dtype="float64").reshape(len(table), -1)
            named = pd.DataFrame(values, columns=[f"factor-{i + 1}" for i in range(values.shape[1])])
        if len(named) != len(table):
            msg = f"y has a row for each of X; got {len(named)} for {len(table)}."
            raise PanelError(msg)
        return named.set_axis(table.index, axis=0)
    weights = equal_weights(table)
    market = market_return(table, weights)
    dims = (s.TIME, s.FACTOR)
    return xr.Dataset(
        {
            s.FACTOR_RETURNS: (dims, market.to_numpy()),
            s.FACTOR_WEIGHTS: ((*dims, s.ASSET), weights.to_numpy()[:, None, :]),
        },
        coords={
            s.TIME: table.index.to_numpy(),
            s.FACTOR: [MARKET],
            s.ASSET: [str(c) for c in table.columns],
            s.FAMILY: (s.FACTOR, [MARKET]),
            s.ROTATES: (s.FACTOR, [False]),
        },
    )
