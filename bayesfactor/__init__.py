"""Bayesian factor models of crypto returns: loadings, uncertainty, and where the risk comes from.

The face re-exports the verbs and defines nothing; each room is imported when first used.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__version__ = "0.1.0"
