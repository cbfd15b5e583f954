"""Operators that combine tensors index by index, with broadcasting."""

from collections.abc import Sequence

import numpy as np

from ..analysis import Kind
from ..solver.labels import Dims
from .context import Context

UNTAGGED = (
    "clone", "copy_", "detach", "detach_", "alias", "lift_fresh", "lift_fresh_copy", "_to_copy", "contiguous",
    "hardswish", "hardswish_", "hardtanh_", "dropout", "native_dropout", "zeros_like", "ones_like", "empty_like",
    "full_like", "fill_", "zero_", "where", "masked_fill", "masked_fill_", "_local_scalar_dense", "floor_divide",
    "bernoulli", "bernoulli_", "rand_like", "randn_like", "uniform_", "normal_", "exponential_", "complex", "polar",
    "_prelu_kernel", "log_sigmoid_forward", "rrelu_with_noise",
)  # fmt: skip
"""Index by index though torch does not tag them so."""
SUMS = ("aten.add", "aten.add_", "aten.sub", "aten.sub_")
"""Operators in which residual streams meet."""


def pointwise(context: Context) -> None:
    """Every operand's index i is the result's index i; a size of one is spread over the axis."""
    call = context.call
    operands = list(dict.fromkeys(call.refs()))
    if not call.outputs:
        return
    context.give(broadcast(context, operands, context.out_shape()))
    context.give_untracked(1)
    streams = _streams(context, operands)
    if call.op not in SUMS or len(streams) < 2:
        context.origins[call.outputs[0]] = frozenset().union(*streams)
    if operands and all(v in context.parameters for v in operands):
        context.parameters.update(call.outputs)


def broadcast(context: Context, operands: Sequence[int], shape: Sequence[int] | None = None) -> Dims:
    """The axes of values that are combined index by index, aligned at the last one."""
    shape = np.broadcast_shapes(*(context.record.shapes[v] for v in operands)) if shape is None else shape
    result: Dims = []
    for dim, size in enumerate(shape):
        behind = len(shape) - dim
        shaped = ((v, context.record.shapes[v]) for v in operands)
        meeting = [(v, context.dims[v][-behind]) for v, own in shaped if behind <= len(own) and own[-behind] == size]
        joined = None if size == 1 else context.meet([d for _, d in meeting])
        if context.call.op in SUMS and joined is not None and len(_streams(context, [v for v, _ in meeting])) > 1:
            context.labels.hint(Kind.WIDTH, joined)
        result.append(joined)
    return result


def _streams(context: Context, operands: Sequence[int]) -> set[frozenset[int]]:
    """What the operands were computed from, each once: `x` and `x ** 3` are one, a block's input and output are two."""
    values = [v for v in operands if v not in context.parameters]
    return {context.origins.get(v, frozenset((v,))) for v in values}


def compare_whole(context: Context) -> None:
    """is_same_size, equal ...: tensors of equal sizes stay so, as code takes another branch otherwise."""
    operands = list(dict.fromkeys(context.call.refs()))
    if len({context.record.shapes[v] for v in operands}) == 1:
        broadcast(context, operands)


RULES = {
    **{f"aten.{name}": pointwise for name in UNTAGGED},
    **{f"aten.{name}": compare_whole for name in ("is_same_size", "_has_same_storage_numel", "equal")},
}
