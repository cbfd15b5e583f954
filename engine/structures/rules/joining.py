"""Operators that put tensors side by side."""

import numpy as np

from .. import reasons
from ..labels import Dim, Dims
from .context import Context


def cat(context: Context) -> None:
    """The labels of the joined axis follow each other; all other axes are shared."""
    call, labels = context.call, context.labels
    values = [v for v in call.refs() if len(context.record.shapes[v]) == len(context.out_shape())]
    dim = context.get("dim", 0) % len(context.out_shape())
    result: Dims = []
    for axis in range(len(context.out_shape())):
        dims = [context.dims[v][axis] for v in values]
        if axis == dim:
            result.append(_join(context, dims, [context.record.shapes[v][axis] for v in values]))
        else:
            result.append(labels.meet(dims, reasons.combined(call.op), call.module))
    context.give(result)


def _join(context: Context, dims: list[Dim], sizes: list[int]) -> Dim:
    tracked = [d for d, s in zip(dims, sizes, strict=True) if d is not None and s > 0]
    if len(tracked) == len([s for s in sizes if s > 0]):
        return np.concatenate(tracked)
    for dim in tracked:
        context.labels.fix(dim, reasons.combined(context.call.op), context.call.module)
    return None


def stack(context: Context) -> None:
    """A new axis counts the tensors; all others are shared."""
    call = context.call
    values = list(call.refs())
    dims: Dims = [
        context.labels.meet([context.dims[v][axis] for v in values], reasons.combined(call.op), call.module)
        for axis in range(len(context.record.shapes[values[0]]))
    ]
    dims.insert(context.get("dim", 0) % (len(dims) + 1), None)
    context.give(dims)


RULES = {"aten.cat": cat, "aten.stack": stack}
