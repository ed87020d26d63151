"""The report: one HTML file that a risk manager can read and a regulator can keep.

Nothing is loaded from elsewhere when it is opened; every number comes from the tree, its
diagnosis and its risk Dataset.
"""

from bayesfactor.report.build import report

__all__ = ["report"]
