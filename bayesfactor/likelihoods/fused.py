"""The Op all fused likelihoods share: value and gradients computed together by a numba kernel."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from numba import njit
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

__all__ = ["FusedLogLikelihood"]


@intrinsic
def _retype(typingctx, a):
    """Reinterpret an array's type as C-contiguous; the memory is not touched."""
    contiguous = a.copy(layout="C")

    def codegen(context, builder, signature, args):
        return impl_ret_borrowed(context, builder, signature.return_type, args[0])

    return contiguous(a), codegen


@njit(nogil=True)
def _in_one_piece(a):
    """Return `a` typed as C-contiguous, without a copy where it is.

    Compiled graphs type their data as strided, which costs the kernel its vector instructions.
    """
    if a.flags.c_contiguous:
        return _retype(a)
    return a.copy()


class FusedLogLikelihood(Op):
    """A scalar log-likelihood whose further outputs are its gradients in the parameters.

    A child names its `kernel`, how many leading inputs are data (never differentiated), and the
    ranks of the parameters; the gradient then costs nothing beyond the value.
    """

    __props__ = ()
    default_output = 0

    kernel: ClassVar[Callable[..., tuple[Any, ...]]]
    n_data: ClassVar[int]
    ranks: ClassVar[tuple[int, ...]]
    version: ClassVar[int] = 2

    def make_node(self, *inputs):
        """Type the node: data, then parameters in; value, then gradients out."""
        tensors = [pt.as_tensor_variable(x).astype("float64") for x in inputs]
        outputs = [pt.dscalar(), *(pt.tensor(dtype="float64", shape=(None,) * r) for r in self.ranks)]
        return Apply(self, tensors, outputs)

    def perform(self, node, inputs, output_storage):
        """Run the kernel."""
        scalars = [x if x.ndim else float(x) for x in map(np.asarray, inputs)]
        for storage, value in zip(output_storage, type(self).kernel(*scalars), strict=True):
            storage[0] = np.asarray(value, dtype="float64")

    def infer_shape(self, node, input_shapes):
        """Gradients have the shapes of their parameters."""
        return [(), *input_shapes[self.n_data :]]

    def connection_pattern(self, node):
        """Only the value depends differentiably on the parameters; data never do."""
        outputs = 1 + len(self.ranks)
        data = [[False] * outputs] * self.n_data
        return data + [[True] + [False] * (outputs - 1)] * len(self.ranks)

    def pullback(self, inputs, outputs, cotangents):
        """Scale the gradients computed beside the value."""
        data = [DisconnectedType()() for _ in range(self.n_data)]
        return data + [cotangents[0] * gradient for gradient in outputs[1:]]


@register_funcify_default_op_cache_key(FusedLogLikelihood)
def _funcify(op, **kwargs):
    kernel = type(op).kernel
    ranks = (0, *op.ranks)
    inputs = [f"x{i}" for i in range(op.n_data + len(op.ranks))]
    scalar = [i for i, r in enumerate(ranks[1:], start=op.n_data) if r == 0]
    given = ", ".join(f"{x}[()]" if i in scalar else f"one({x})" for i, x in enumerate(inputs))
    made = [f"y{i}" for i in range(len(ranks))]
    back = ", ".join(f"np.asarray({y})" if r == 0 else y for y, r in zip(made, ranks, strict=True))
    source = f"def run({', '.join(inputs)}):\n    {', '.join(made)} = kernel({given})\n    return {back}\n"
    scope = {"kernel": kernel, "np": np, "one": _in_one_piece}
    exec(source, scope)  # noqa: S102 - the arity differs by kernel and numba needs it spelled out
    return numba_njit(scope["run"]), op.version
