"""Latent factors after sampling: which way they point, and what they were on each day."""

import numpy as np
import xarray as xr

from bayesfactor import schema as s
from bayesfactor.calls import verb
from bayesfactor.errors import ModelError, unknown_names
from bayesfactor.laws import law_of
from bayesfactor.laws.alignment import aligned
from bayesfactor.laws.blocks import Seed, root_entropy
from bayesfactor.laws.rotation import METHODS
from bayesfactor.laws.whole import part_of, whole_fit

__all__ = ["align_loadings", "factor_scores"]


@verb
def align_loadings(tree: xr.DataTree, method: str = "varimax") -> xr.DataTree:
    """Settle rotation, sign and order of the latent factors, draw by draw.

    Loadings Lambda and Lambda Q say the same of returns for any orthogonal Q, and draws come in any of them.
    `bf.fit` aligns by varimax already; this does it again, or otherwise.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`, of a model with latent factors.
    method : {"varimax", "procrustes"}
        "varimax": few large loadings per factor, then the nearest signed permutation to a pivot [1]_; for
        reading what a factor is. "procrustes": nearest to the mean of all draws [2]_, which stands
        on its principal axes; `latent-1` is then what moves most.

    Returns
    -------
    DataTree
        The tree with aligned `latent_loadings (chain, draw, asset, latent)` (and `factor_scores`, where they
        were sampled), in decreasing order of mean squared loadings, the larger side of each positive.
        `latent_loadings.attrs["aligned"]` names the method and the coord `loads_on (latent)` the assets
        with the largest loadings. Likelihood, `communality`, `latent_variance` and all risk of whole
        portfolios are untouched. `predictions` on the tree, made along the old axes, are dropped.

    Raises
    ------
    ModelError
        If the model has no latent factors, or the method is unknown.
    SchemaError
        If `tree` did not come from `bf.fit`.

    References
    ----------
    .. [1] Papastamoulis, P. and Ntzoufras, I. (2022). On the identifiability of Bayesian factor
       analytic models. Statistics and Computing 32, algorithm 1.
    .. [2] Assmann, C., Boysen-Hogrefe, J. and Pape, M. (2016). Bayesian analysis of static and dynamic
       factor models: an ex-post approach towards the rotation problem. J. Econometrics 192.
    """
    _check(tree, "align_loadings")
    if s.OTHERS in tree.children:
        kept = tree[s.OBSERVED_DATA].to_dataset()[s.ASSET].values.astype(str).tolist()
        return part_of(align_loadings(whole_fit(tree), method), kept)
    if method not in METHODS:
        msg = f"method is one of {', '.join(METHODS)}; got {unknown_names([method], METHODS)}."
        raise ModelError(msg)
    new = tree.copy()
    new[s.POSTERIOR] = xr.DataTree(aligned(tree[s.POSTERIOR].to_dataset(), method))
    if s.PREDICTIONS in new.children:
        del new[s.PREDICTIONS]
    return new


@verb
def factor_scores(tree: xr.DataTree, *, random_seed: Seed = None) -> xr.DataArray:
    """Draw what the latent factors were on each day, given the returns of that day.

    Parameters
    ----------
    tree : DataTree
        From `bf.fit`, of a model with latent factors.
    random_seed : int, Generator or SeedSequence, optional
        The tree's own seed where not given. Scores that were sampled along are returned as they are.

    Returns
    -------
    DataArray (chain, draw, time, latent)
        `factor_scores`, of unit scale (not unit variance where nu is finite), along the axes of the tree's
        `latent_loadings`. On days without a return they are draws from the factors' own law.

    Raises
    ------
    ModelError
        If the model has no latent factors.
    SchemaError
        If `tree` did not come from `bf.fit`.

    Notes
    -----
    Given the parameters, z_t is multivariate t(nu + n_t) around M^-1 Lambda' D^-1 e_t with scale matrix
    (nu + e_t' S_t^-1 e_t) / (nu + n_t) M^-1, M = I + Lambda' D^-1 Lambda, over the n_t assets seen on day t.
    """
    _check(tree, "factor_scores")
    if random_seed is None:
        random_seed = int(tree.attrs.get("random_seed", 0))
    rng = np.random.default_rng(root_entropy(random_seed))
    post = tree[s.POSTERIOR].to_dataset()
    drawn = law_of(tree).scores(rng)
    shape = (post.sizes[s.CHAIN], post.sizes[s.DRAW], *drawn.shape[1:])
    coords = {d: post[d].to_numpy() for d in (s.CHAIN, s.DRAW, s.LATENT)}
    coords[s.TIME] = tree[s.OBSERVED_DATA][s.TIME].to_numpy()
    dims = (s.CHAIN, s.DRAW, s.TIME, s.LATENT)
    return xr.DataArray(drawn.reshape(shape), dims=dims, coords=coords, name=s.FACTOR_SCORES)


def _check(tree: xr.DataTree, verb: str) -> None:
    s.check_tree(tree, s.POSTERIOR, s.CONSTANT_DATA, s.OBSERVED_DATA, verb=verb)
    if s.LATENT_LOADINGS not in tree[s.POSTERIOR].data_vars:
        msg = (
            f"{verb} is for models with latent factors; {tree.attrs.get('model')!r} has none. "
            "Fit 'latent-t' or 'hybrid-t', with n_latent of at least 1."
        )
        raise ModelError(msg)
