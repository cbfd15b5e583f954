"""Operators that put tensors side by side."""

import numpy as np

from .. import reasons
from ..solver.labels import Dims, LabelArray
from .context import Context


def cat(context: Context) -> None:
    """The labels of the joined axis follow each other; all other axes are shared."""
    values = [v for v in context.call.refs() if len(context.record.shapes[v]) == len(context.out_shape())]
    result: Dims = []
    for axis in range(len(context.out_shape())):
        dims = [context.dims[v][axis] for v in values]
        if axis != context.get("dim", 0) % len(context.out_shape()):
            result.append(context.meet(dims))
            continue
        sizes = [context.record.shapes[v][axis] for v in values]
        if all(d is None for d, s in zip(dims, sizes, strict=True) if s > 0):
            result.append(None)
            continue
        # Beside tracked parts, an untracked one gets labels that must stay, and so do zeros: they keep their places.
        parts: list[LabelArray] = []
        for dim, size in zip(dims, sizes, strict=True):
            parts.append(context.labels.new(size) if dim is None else dim)
            if dim is None or context.labels.is_spread(dim):
                context.fix(parts[-1], reasons.combined(context.call.op))
        result.append(np.concatenate(parts))
    context.give(result)


def stack(context: Context) -> None:
    """A new axis counts the tensors; all others are shared."""
    call = context.call
    values = list(call.refs())
    dims: Dims = [
        context.meet([context.dims[v][axis] for v in values]) for axis in range(len(context.record.shapes[values[0]]))
    ]
    dims.insert(context.get("dim", 0) % (len(dims) + 1), None)
    context.give(dims)


RULES = {"aten.cat": cat, "aten.stack": stack}
