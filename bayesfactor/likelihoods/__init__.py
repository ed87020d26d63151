"""The laws as PyMC distributions, with fused value-and-gradient kernels."""

from bayesfactor.likelihoods.elliptical import EllipticalBlocks, EllipticalColumns
from bayesfactor.likelihoods.garch import GarchSkewT
from bayesfactor.likelihoods.lowrank import LowRankNormal, LowRankStudentT
from bayesfactor.likelihoods.scores import LatentScores, ScoresStudentT
from bayesfactor.likelihoods.static import FactorNormal, FactorStudentT

__all__ = [
    "EllipticalBlocks",
    "EllipticalColumns",
    "FactorNormal",
    "FactorStudentT",
    "GarchSkewT",
    "LatentScores",
    "LowRankNormal",
    "LowRankStudentT",
    "ScoresStudentT",
]
