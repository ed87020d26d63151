"""Reports: one file each, that a risk manager can read and a regulator can keep.

Nothing is loaded from elsewhere when it is opened; every number comes from the tree, its
diagnosis and its risk Dataset, or from a backtest and its scores.
"""

from bayesfactor.report.backtest_page import report_backtest
from bayesfactor.report.build import report

__all__ = ["report", "report_backtest"]
