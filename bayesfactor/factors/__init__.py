"""Factors out of what a desk has: portfolios of coins, and innovations of drivers.

Everything here is point-in-time: a value at t is known at the end of t, and a weight that earns the
return of t was formed at t-1 or before.
"""

from bayesfactor.factors.build import build_factors
from bayesfactor.factors.catalogue import list_factors
from bayesfactor.factors.combine import check_collinearity, merge_factors, orthogonalise, restore_factors
from bayesfactor.factors.drivers import driver_innovations
from bayesfactor.factors.spec import driver_spec

__all__ = [
    "build_factors",
    "check_collinearity",
    "driver_innovations",
    "driver_spec",
    "list_factors",
    "merge_factors",
    "orthogonalise",
    "restore_factors",
]
