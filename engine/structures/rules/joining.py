"""Operators that put tensors side by side."""

import numpy as np

from .. import reasons
from ..solver.labels import Dim, Dims, LabelArray
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
    """One after the other; beside tracked parts, an untracked one has labels that must stay, and so do zeros."""
    if all(d is None for d, s in zip(dims, sizes, strict=True) if s > 0):
        return None
    parts: list[LabelArray] = []
    for dim, size in zip(dims, sizes, strict=True):
        part = context.labels.new(size) if dim is None else dim
        if dim is None or context.labels.is_spread(dim):
            context.labels.fix(part, reasons.combined(context.call.op), context.call.module)
        parts.append(part)
    return np.concatenate(parts)


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
