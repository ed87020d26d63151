"""The joint density of a graph as compiled code that no model has to wait for.

`read_density` finds out what a graph consists of and returns a `Density`, whose log density and
gradient are one C function, the same for every model of known parts and compiled once per machine.
Graphs with other parts are left to PyTensor.
"""

from bayesfactor.density.callbacks import expand
from bayesfactor.density.flat import LIKELIHOODS, Density, Geometry
from bayesfactor.density.read import UnreadableGraphError, read_density

__all__ = ["LIKELIHOODS", "Density", "Geometry", "UnreadableGraphError", "expand", "read_density"]
