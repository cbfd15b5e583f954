"""Operators over space: the last axes change, the others pass."""

from .. import reasons
from .context import Context

DIMENSIONS = {
    1: ("avg_pool1d", "max_pool1d_with_indices", "upsample_nearest1d", "upsample_linear1d", "reflection_pad1d"),
    2: (
        "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d",
        "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_bicubic2d", "_upsample_bicubic2d_aa",
        "reflection_pad2d", "replication_pad2d",
    ),
    3: ("max_pool3d_with_indices", "avg_pool3d", "_adaptive_avg_pool3d", "upsample_trilinear3d"),
}  # fmt: skip


def _spatial(count: int):  # noqa: ANN202 - a rule
    def rule(context: Context) -> None:
        value = context.value("self")
        name = "self" if value is not None else "input"
        dims = context.of(name)
        for dim in dims[-count:]:
            context.labels.fix(dim, reasons.reduced(context.call.op), context.call.module)
        for number in range(len(context.call.outputs)):
            context.give([*dims[:-count], *[None] * count], number)

    return rule


def pad(context: Context) -> None:
    """Padding with a constant: axes that grow must stay."""
    dims, before, after = list(context.of("self")), context.shape("self"), context.out_shape()
    for axis, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            context.labels.fix(dims[axis], reasons.reduced(context.call.op), context.call.module)
            dims[axis] = None
    context.give(dims)


RULES = {f"aten.{name}": _spatial(count) for count, names in DIMENSIONS.items() for name in names}
RULES["aten.constant_pad_nd"] = pad
