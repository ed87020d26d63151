"""From one graph to draws: the samplers, which only this room knows, and how they are asked."""

from bayesfactor.density import Geometry
from bayesfactor.sampling.options import METHODS, SampleOptions
from bayesfactor.sampling.verb import draw_prior, log_prior, sample

__all__ = ["METHODS", "Geometry", "SampleOptions", "draw_prior", "log_prior", "sample"]
