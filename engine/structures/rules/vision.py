"""Operators of torchvision: deformable convolution, region pooling, suppression."""

from .. import reasons
from .context import Context
from .convolution import read_channels


def deform_conv2d(context: Context) -> None:
    """Convolution at learned offsets: input [N, C, H, W], offset [N, 2 * groups of offsets * kernel, ...].

    Every group of offsets moves an equal share of the channels: what goes from one goes from each.
    """
    channels, op = context.of("input")[1], context.call.op
    for name in ("offset", "mask"):
        context.fix(context.of(name)[1], reasons.sliced(op))
    shares = context.get("offset_groups")
    if channels is not None and shares > 1:
        share, _ = context.labels.split(channels, (shares, len(channels) // shares))
        context.fix(share, reasons.sliced(op))
    made = read_channels(context)
    context.meet([made, context.of("bias")[0]])
    context.cost(context.of("input")[0], *context.of("weight")[:2])
    context.give([context.of("input")[0], made, None, None])


def roi_pool(context: Context) -> None:
    """Input [N, C, H, W], regions [R, 5] -> [R, C, h, w]."""
    for dim in context.of("rois"):
        context.fix(dim, reasons.sliced(context.call.op))
    context.give_all([None, context.of("input")[1], None, None])


def suppression(context: Context) -> None:
    """Boxes [R, 4] and scores [R] -> numbers of those that stay."""
    for dim in (*context.of("dets"), *context.of("scores")):
        context.fix(dim, reasons.sliced(context.call.op))
    context.give_untracked()


RULES = {
    "torchvision.deform_conv2d": deform_conv2d,
    "torchvision.roi_align": roi_pool,
    "torchvision.roi_pool": roi_pool,
    "torchvision.nms": suppression,
}
