"""Operators that show the same numbers in another shape or order."""

import math
from itertools import pairwise

from .. import reasons
from ..labels import Dim, Dims
from .context import Context


def reshape(context: Context) -> None:
    """Axes are split and merged: both shapes are cut at all their common boundaries, then put together again."""
    before, after = context.shape("self"), context.out_shape()
    parts = refine(before, after)
    if parts is None:
        for dim in context.of("self"):
            context.labels.fix(dim, reasons.sliced(context.call.op), context.call.module)
        context.give_untracked()
        return
    refined: Dims = []
    for dim, sizes in zip(context.of("self"), parts[0], strict=True):
        refined += context.labels.split(dim, sizes) if len(sizes) != 1 else [dim]
    result: Dims = []
    start = 0
    for sizes in parts[1]:
        taken = refined[start : start + len(sizes)]
        result.append(taken[0] if len(sizes) == 1 else context.labels.merge(taken, sizes))
        start += len(sizes)
    context.give(result)
    _keep_parameter(context)


def refine(
    before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]] | None:
    """The finest common factors of two shapes: for each dimension of either, the sizes it consists of.

    Sizes of one never carry a factor. None when the boundaries do not nest (6 as 2 x 3 and as 3 x 2).
    """
    if 0 in before or 0 in after:
        return None
    bounds = sorted(set(_bounds(before)) | set(_bounds(after)))
    if any(b % a for a, b in pairwise(bounds)):
        return None

    def parts(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        below = 1
        for size in reversed(shape):
            inside = [b for b in bounds if below <= b <= below * size]
            found.append(tuple(b // a for a, b in pairwise(inside))[::-1])
            below *= size
        return found[::-1]

    return parts(before), parts(after)


def _bounds(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[i:]) for i in range(len(shape) + 1)]


def permute(context: Context) -> None:
    """Axes change places."""
    dims, order = context.of("self"), tuple[int, ...](context.get("dims"))
    context.give([dims[axis] for axis in order])
    _keep_parameter(context)


def transpose(context: Context) -> None:
    """Two axes change places."""
    dims = list(context.of("self"))
    first, second = context.get("dim0", 0), context.get("dim1", 1)
    dims[first], dims[second] = dims[second], dims[first]
    context.give(dims)
    _keep_parameter(context)


def t(context: Context) -> None:
    """The two axes of a matrix change places."""
    context.give(list(context.of("self"))[::-1])
    _keep_parameter(context)


def unsqueeze(context: Context) -> None:
    """A new axis of size one."""
    dims = list(context.of("self"))
    dim = context.get("dim")
    dims.insert(dim if dim >= 0 else len(dims) + 1 + dim, None)
    context.give(dims)
    _keep_parameter(context)


def squeeze(context: Context) -> None:
    """Axes of size one go (all of them, or the named)."""
    shape, dims = context.shape("self"), context.of("self")
    named = context.get("dim", list(range(len(shape))))
    named = [named] if isinstance(named, int) else named
    gone = {d % len(shape) for d in named if shape[d] == 1}
    context.give([d for n, d in enumerate(dims) if n not in gone])
    _keep_parameter(context)


def expand(context: Context) -> None:
    """A size of one is repeated without copying: the repeated axis is untracked."""
    shape, dims, after = context.shape("self"), context.of("self"), context.out_shape()
    lead = len(after) - len(shape)
    kept: list[Dim] = [d if s == a else None for d, s, a in zip(dims, shape, after[lead:], strict=True)]
    context.give([None] * lead + kept)
    _keep_parameter(context)


def select(context: Context) -> None:
    """One index of an axis is taken: it must stay, and so must its position."""
    dims = list(context.of("self"))
    gone = dims.pop(context.get("dim"))
    context.labels.fix(gone, reasons.sliced(context.call.op), context.call.module)
    context.give(dims)


def slice_(context: Context) -> None:
    """A range of an axis is taken: of a tracked axis only the whole."""
    dims = list(context.of("self"))
    dim: int = context.get("dim", 0)
    if context.shape("self") != context.out_shape():
        context.labels.fix(dims[dim], reasons.sliced(context.call.op), context.call.module)
        dims[dim] = None
    context.give(dims)


def parts(context: Context) -> None:
    """split, chunk: an axis falls into parts. Equal parts keep equal indices; unequal ones must stay."""
    dims = context.of("self")
    dim: int = context.get("dim", 0) % len(dims)
    axis = dims[dim]
    sizes = [context.record.shapes[o][dim] for o in context.call.outputs]
    if axis is not None and len(set(sizes)) > 1:
        context.labels.fix(axis, reasons.sliced(context.call.op), context.call.module)
        axis = None
    start = 0
    first = None if axis is None else axis[: sizes[0]]
    for number, size in enumerate(sizes):
        part = None if axis is None else axis[start : start + size]
        if part is not None and first is not None:
            context.labels.tie(first, part)
        context.give([*dims[:dim], part, *dims[dim + 1 :]], number)
        start += size


def unbind(context: Context) -> None:
    """Every index of an axis becomes a tensor: the axis must stay."""
    dims = list(context.of("self"))
    gone = dims.pop(context.get("dim", 0))
    context.labels.fix(gone, reasons.sliced(context.call.op), context.call.module)
    for number in range(len(context.call.outputs)):
        context.give(dims, number)


def moved(context: Context) -> None:
    """roll, flip: indices change places along the named axes, which must stay."""
    dims = list(context.of("self"))
    named = context.get("dims") or list(range(len(dims)))
    for axis in [named] if isinstance(named, int) else named:
        context.labels.fix(dims[axis], reasons.sliced(context.call.op), context.call.module)
        dims[axis] = None
    context.give(dims)


def _keep_parameter(context: Context) -> None:
    if context.value("self") in context.parameters:
        context.parameters.update(context.call.outputs)


RULES = {
    "aten.view": reshape,
    "aten._unsafe_view": reshape,
    "aten.reshape": reshape,
    "aten._reshape_alias": reshape,
    "aten.permute": permute,
    "aten.transpose": transpose,
    "aten.t": t,
    "aten.unsqueeze": unsqueeze,
    "aten.squeeze": squeeze,
    "aten.expand": expand,
    "aten.select": select,
    "aten.slice": slice_,
    "aten.split": parts,
    "aten.split_with_sizes": parts,
    "aten.unbind": unbind,
    "aten.roll": moved,
    "aten.flip": moved,
}
