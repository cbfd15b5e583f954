"""Weights that are computed from other parameters."""

from .. import reasons
from ..solver.labels import Dims
from .context import Context


def weight_norm(context: Context) -> None:
    """V * (g / |v|): g has one number for each index of an axis of v, which keeps its labels."""
    dims: Dims = list(context.of("v"))
    axis = context.get("dim", 0) % len(dims)
    dims[axis] = context.labels.meet(
        [dims[axis], context.of("g")[axis]], reasons.combined(context.call.op), context.call.module
    )
    context.give(dims)
    context.give_untracked(1)
    context.parameters.add(context.call.outputs[0])


RULES = {"aten._weight_norm_interface": weight_norm}
