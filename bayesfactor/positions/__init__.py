"""Positions beside spot weights: perpetuals, options by Black's formula, or sensitivities as given."""

from bayesfactor.positions.holdings import Positions
from bayesfactor.positions.kappa import fit_kappa, kappa_for
from bayesfactor.positions.read import read_positions

__all__ = ["Positions", "fit_kappa", "kappa_for", "read_positions"]
