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
    keep_parameter(context)


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
    keep_parameter(context)


def transpose(context: Context) -> None:
    """Two axes change places."""
    dims = list(context.of("self"))
    first, second = context.get("dim0", 0), context.get("dim1", 1)
    dims[first], dims[second] = dims[second], dims[first]
    context.give(dims)
    keep_parameter(context)


def t(context: Context) -> None:
    """The two axes of a matrix change places."""
    context.give(list(context.of("self"))[::-1])
    keep_parameter(context)


def unsqueeze(context: Context) -> None:
    """A new axis of size one."""
    dims = list(context.of("self"))
    dim = context.get("dim")
    dims.insert(dim if dim >= 0 else len(dims) + 1 + dim, None)
    context.give(dims)
    keep_parameter(context)


def squeeze(context: Context) -> None:
    """Axes of size one go (all of them, or the named)."""
    shape, dims = context.shape("self"), context.of("self")
    named = context.get("dim", list(range(len(shape))))
    named = [named] if isinstance(named, int) else named
    gone = {d % len(shape) for d in named if shape[d] == 1}
    context.give([d for n, d in enumerate(dims) if n not in gone])
    keep_parameter(context)


def expand(context: Context) -> None:
    """A size of one is repeated without copying: the repeated axis is untracked, and fits any."""
    shape, dims, after = context.shape("self"), context.of("self"), context.out_shape()
    lead = len(after) - len(shape)
    kept: list[Dim] = [d if s == a else None for d, s, a in zip(dims, shape, after[lead:], strict=True)]
    context.give([None] * lead + kept)
    grown = [*range(lead), *(lead + n for n, s in enumerate(shape) if s != after[lead + n])]
    context.spread.update((context.call.outputs[0], axis) for axis in grown)
    keep_parameter(context)


def keep_parameter(context: Context) -> None:
    """A view of a parameter is one too."""
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
}
