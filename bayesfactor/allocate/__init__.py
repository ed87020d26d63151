"""Allocation: weights out of a posterior, how sure they are, and what trading there costs."""

from bayesfactor.allocate.verb import OBJECTIVES, allocate

__all__ = ["OBJECTIVES", "allocate"]
