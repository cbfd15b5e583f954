"""Pooling, padding and sampling: spatial axes change, the others pass."""

import numpy as np

from .. import reasons
from ..solver.labels import Dim, Dims, LabelArray
from .context import Context, Rule

DIMENSIONS = {
    1: ("avg_pool1d", "max_pool1d", "max_pool1d_with_indices", "adaptive_avg_pool1d", "upsample_nearest1d",
        "_upsample_nearest_exact1d", "upsample_linear1d", "reflection_pad1d", "replication_pad1d"),
    2: ("max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d",
        "fractional_max_pool2d", "mkldnn_max_pool2d", "upsample_nearest2d",
        "_upsample_nearest_exact2d", "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_bicubic2d",
        "_upsample_bicubic2d_aa", "reflection_pad2d", "replication_pad2d"),
    3: ("max_pool3d_with_indices", "avg_pool3d", "_adaptive_avg_pool3d", "adaptive_max_pool3d",
        "fractional_max_pool3d", "upsample_nearest3d", "_upsample_nearest_exact3d",
        "upsample_trilinear3d", "reflection_pad3d", "replication_pad3d"),
}  # fmt: skip


def spatial(count: int) -> Rule:
    """The rule of an operator that mixes the last `count` axes, each within itself."""

    def rule(context: Context) -> None:
        """Leading axes pass; those of space pass where each index stays by itself, else they are fixed."""
        dims = context.of("self" if context.value("self") is not None else "input")
        settings = [context.get(name) for name in ("kernel_size", "stride", "padding")]
        places = any(value in context.used for value in context.call.outputs[1:])
        space: Dims = []
        for axis, dim in enumerate(dims[-count:]):
            # A kernel of one index that steps over none leaves this axis as it is; an empty stride is the kernel's.
            kernel, stride, padding = (given[axis % len(given)] if given else None for given in settings)
            if not places and kernel == 1 and stride in (1, None) and not padding:
                space.append(dim)
            else:
                context.fix(dim, reasons.reduced(context.call.op))
                space.append(None)
        context.give([*dims[:-count], *space])
        for number in range(1, len(context.call.outputs)):
            context.give([*dims[:-count], *[None] * count], number)

    return rule


def unpool(context: Context) -> None:
    """Values [N, C, ...] are put at the places [N, C, ...] that a pooling gave: a channel has places of its own."""
    values, places = context.of("self"), context.of("indices")
    leading = len(values) - len(context.get("output_size"))
    for dim in (*values[leading:], *places[leading:]):
        context.fix(dim, reasons.reduced(context.call.op))
    context.give(
        [context.meet([value, place]) for value, place in zip(values[:leading], places[:leading], strict=True)]
        + [None] * (len(values) - leading)
    )


def pad(context: Context) -> None:
    """Padding with a constant: what is put around an axis must stay."""
    dims: Dims = list(context.of("self"))
    widths: list[int] = context.get("pad")
    for behind in range(1, len(widths) // 2 + 1):
        before, after = widths[2 * behind - 2], widths[2 * behind - 1]
        dim = dims[-behind]
        if dim is not None and min(before, after) < 0:
            context.fix(dim, reasons.sliced(context.call.op))
            dims[-behind] = None
        elif dim is not None and (before or after):
            dims[-behind] = np.concatenate([_edge(context, before), dim, _edge(context, after)])
    context.give(dims)


def _edge(context: Context, width: int) -> LabelArray:
    made = context.labels.new(width)
    context.fix(made, reasons.sliced(context.call.op))
    return made


def grid_sample(context: Context) -> None:
    """Input [N, C, ...] at the points of a grid [N, ..., coordinates] -> [N, C, ...]; N may be samples times heads."""
    first, channels, *space = context.of("input")
    own, *points = context.of("grid")
    first = context.meet([first, own])
    for dim in (*space, *points):
        context.fix(dim, reasons.reduced(context.call.op))
    context.give([first, channels, *[None] * len(space)])


def glu(context: Context) -> None:
    """One half of an axis gates the other: index by index."""
    dims: Dims = list(context.of("self"))
    axis: int = context.get("dim", -1)
    whole: Dim = dims[axis]
    if whole is not None:
        first, second = np.split(whole, 2)
        context.labels.tie(first, second)
        dims[axis] = first
    context.give(dims)


RULES: dict[str, Rule] = {
    **{f"aten.{name}": spatial(count) for count, names in DIMENSIONS.items() for name in names},
    "aten.max_unpool2d": unpool,
    "aten.max_unpool3d": unpool,
    "aten.constant_pad_nd": pad,
    "aten.grid_sampler_2d": grid_sample,
    "aten.grid_sampler_3d": grid_sample,
    "aten.glu": glu,
}
