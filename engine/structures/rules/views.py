"""Reshaping and permuting."""

import numpy as np

from .. import reasons
from ..solver.labels import Dims
from ..solver.shape_factors import refine, segments
from .context import Context


def reshape(context: Context) -> None:
    """Axes are split and merged: both shapes are cut at all their common boundaries, then put together again."""
    before, after = context.shape("self"), context.out_shape()
    result: Dims = []
    for old, new in segments(before, after):
        dims, parts = context.of("self")[old], refine(before[old], after[new])
        if parts is None or all(d is None for d in dims):
            for dim in dims:
                context.fix(dim, reasons.sliced(context.call.op))
            result += [None] * len(after[new])
            continue
        refined: Dims = []
        for dim, sizes in zip(dims, parts[0], strict=True):
            refined += context.labels.split(dim, sizes) if len(sizes) != 1 else [dim]
        start = 0
        for sizes in parts[1]:
            taken = refined[start : start + len(sizes)]
            result.append(taken[0] if len(sizes) == 1 else context.labels.merge(taken, sizes))
            start += len(sizes)
    context.give(result)
    keep_parameter(context)


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
    gone = {d % len(shape) for d in named if shape and shape[d] == 1}
    context.give([d for n, d in enumerate(dims) if n not in gone])
    keep_parameter(context)


def expand(context: Context) -> None:
    """A size of one is repeated without copying: how often is a literal."""
    shape, dims, after = context.shape("self"), context.of("self"), context.out_shape()
    lead = len(after) - len(shape)
    kept: Dims = [context.labels.spread(s) for s in after[:lead]]
    for dim, before, size in zip(dims, shape, after[lead:], strict=True):
        kept.append(dim if before == size else context.labels.spread(size))
        if before != size and size > 1:
            context.sizes.append((context.call.module, "repeats", kept[-1]))
    context.give(kept)
    keep_parameter(context)


def repeat(context: Context) -> None:
    """Copies of an axis behind each other (tile)."""
    shape, dims, times = context.shape("self"), context.of("self"), tuple[int, ...](context.get("repeats"))
    lead = len(times) - len(shape)
    made: Dims = []
    for dim, size, count in zip([None] * lead + dims, (1,) * lead + shape, times, strict=True):
        if size == 1:
            made.append(context.labels.spread(count))
        else:
            made.append(None if dim is None else np.tile(dim, count))
    context.give(made)


def as_strided(context: Context) -> None:
    """Sizes and strides as given: an axis that all others step past, or stay within, is what it was (windows)."""
    strides, after = list[int](context.get("strides")), list[int](context.get("stride"))
    shape, steps = context.shape("self"), list(zip(context.out_shape(), after, strict=True))
    made: Dims = [None] * len(after)
    for dim, size, stride in zip(context.of("self"), shape, strides, strict=True):
        if dim is None:
            continue
        # No step but its own may lead from one index of the axis to another: all others stay within an index, or are
        # multiples of the stride of the next axis around it.
        outer = min((t for s, t in zip(shape, strides, strict=True) if s > 1 and t > stride), default=0)
        own = [place for place, step in enumerate(steps) if step == (size, stride)]
        inner = [(s, t) for s, t in steps if s > 1 and (s, t) != (size, stride) and (not outer or t % outer)]
        within = sum((s - 1) * t for s, t in inner) < stride
        if context.get("storage_offset") is None and len(own) == 1 and within:
            made[own[0]] = dim
        else:
            context.fix(dim, reasons.sliced(context.call.op))
    context.give(made)


def resize(context: Context) -> None:
    """The size that a tensor is to have in place; mostly it has it."""
    dims = context.of("self")
    if context.out_shape() == context.shape("self"):
        context.give(dims)
        return
    for dim in dims:
        context.fix(dim, reasons.sliced(context.call.op))
    context.give_untracked()


def view_as_real(context: Context) -> None:
    """A complex number becomes an axis of two."""
    context.give([*context.of("self"), None])


def view_as_complex(context: Context) -> None:
    """The last axis, real and imaginary part, goes."""
    *dims, pair = context.of("self")
    context.fix(pair, reasons.reduced(context.call.op))
    context.give(dims)


def keep_parameter(context: Context) -> None:
    """A view of a parameter is one too."""
    if context.value("self") in context.parameters:
        context.parameters.update(context.call.outputs)


RULES = {
    **{
        f"aten.{name}": rule
        for rule, names in (
            (reshape, ("view", "_unsafe_view", "reshape", "_reshape_alias")),
            (permute, ("permute",)),
            (transpose, ("transpose", "transpose_")),
            (t, ("t", "t_")),
            (unsqueeze, ("unsqueeze", "unsqueeze_")),
            (squeeze, ("squeeze", "squeeze_")),
            (expand, ("expand",)),
            (repeat, ("repeat",)),
            (as_strided, ("as_strided", "as_strided_")),
            (resize, ("resize_",)),
            (view_as_real, ("view_as_real",)),
            (view_as_complex, ("view_as_complex",)),
        )
        for name in names
    }
}
