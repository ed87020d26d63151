"""`EllipticalColumns`, `EllipticalBlocks`: independent days of the factors, one Student-t or several."""

import numpy as np
import pymc as pm

from bayesfactor.laws.correlation import partial_cholesky
from bayesfactor.laws.factors import FactorLaw
from bayesfactor.likelihoods.blocks_kernel import blocks_kernel
from bayesfactor.likelihoods.fused import FusedLogLikelihood
from bayesfactor.likelihoods.kernels import elliptical_kernel

__all__ = ["BlocksLogLikelihood", "EllipticalBlocks", "EllipticalColumns", "EllipticalLogLikelihood"]


class EllipticalLogLikelihood(FusedLogLikelihood):
    """(values, seen), (location, scale, partial, nu) -> value and four gradients."""

    kernel = elliptical_kernel
    n_data = 2
    ranks = (1, 1, 1, 0)


class BlocksLogLikelihood(FusedLogLikelihood):
    """(values, pattern, block, seen), (location, scale, partial, nu) -> value and four gradients."""

    kernel = blocks_kernel
    n_data = 4
    ranks = (1, 1, 1, 1)


_log_likelihood, _log_likelihood_of_blocks = EllipticalLogLikelihood(), BlocksLogLikelihood()


def _logp(value, location, scale, partial, nu, seen):
    return _log_likelihood(value, seen, location, scale, partial, nu)


def _random(location, scale, partial, nu, seen, rng=None, size=None):
    n = seen.shape[-1]
    chol = scale[:, None] * partial_cholesky(partial, len(location))
    mixing = 1.0 if np.isinf(nu) else np.sqrt(0.5 * nu / rng.standard_gamma(0.5 * nu, size=n))
    return location[:, None] + mixing * (chol @ rng.standard_normal((len(location), n)))


def EllipticalColumns(name, location, scale, partial, nu, seen, *, observed=None, dims=None):  # noqa: N802
    """Values (factor, time) whose columns are independent multivariate t.

    Parameters
    ----------
    name : str
    location, scale : tensor (factor)
    partial : tensor (pair)
        Partial correlations, see `bayesfactor.laws.correlation`; the matrix is built inside the
        kernel, so no linear algebra stands in the graph and it compiles in seconds.
    nu : tensor ()
        `inf` is the normal.
    seen : tensor (time)
        1.0 for the columns that count, else 0.0.
    observed : tensor (factor, time), optional
    dims : tuple of str, optional
    """
    return pm.CustomDist(
        name,
        location,
        scale,
        partial,
        nu,
        seen,
        logp=_logp,
        random=_random,
        signature="(k),(k),(p),(),(t)->(k,t)",
        class_name="EllipticalColumns",
        observed=observed,
        dims=dims,
    )


def _logp_of_blocks(value, location, scale, partial, nu, pattern, block, seen):
    return _log_likelihood_of_blocks(value, pattern, block, seen, location, scale, partial, nu)


def _random_blocks(location, scale, partial, nu, pattern, block, seen, rng=None, size=None):
    chol = partial_cholesky(partial, len(location))
    back = np.argsort(np.argsort(block, kind="stable"))
    matrix = (chol @ chol.T)[back[:, None], back]
    block = block.astype(int)
    law = FactorLaw.of_correlation(location[None], scale[None], matrix[None], nu[None], block)
    shape = (len(nu), seen.shape[-1])
    half = 0.5 * np.where(np.isinf(nu), 1.0, nu)[:, None]
    mixing = np.where(np.isinf(nu)[:, None], 1.0, np.sqrt(half / rng.standard_gamma(half, size=shape)))
    normal = mixing[block] * rng.standard_normal((len(location), shape[1]))
    days = [(law.centre(here)[0], law.spread(here)[0]) for here in seen.T > 0.0]
    return np.stack([m + a @ z for (m, a), z in zip(days, normal.T, strict=True)], axis=1)


def EllipticalBlocks(  # noqa: N802
    name, location, scale, partial, nu, pattern, block, seen, *, observed=None, dims=None
):
    """Values (factor, time) in blocks with tails of their own, each told given those before it.

    Parameters
    ----------
    name : str
    location, scale : tensor (factor)
    partial : tensor (pair)
        Partial correlations of the factors in the order of their blocks.
    nu : tensor (block)
        `inf` is the normal.
    pattern : tensor (time)
        See `bayesfactor.laws.woodbury.patterns`.
    block : tensor (factor)
    seen : tensor (factor, time)
        1.0 where a factor is open, else 0.0; see `bayesfactor.laws.factors`.
    observed : tensor (factor, time), optional
    dims : tuple of str, optional
    """
    return pm.CustomDist(
        name,
        location,
        scale,
        partial,
        nu,
        pattern,
        block,
        seen,
        logp=_logp_of_blocks,
        random=_random_blocks,
        signature="(k),(k),(p),(b),(t),(k),(k,t)->(k,t)",
        class_name="EllipticalBlocks",
        observed=observed,
        dims=dims,
    )
