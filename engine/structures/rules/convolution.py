"""Convolutions in any number of dimensions, with groups, depth-wise and transposed."""

import numpy as np

from .. import reasons
from ..analysis import Kind
from ..solver.labels import Dim, Dims
from .context import Context


def convolution(context: Context) -> None:
    """Input [N, C, ...] * weight [O, C / groups, ...] -> [N, O, ...]; a transposed weight is [C, O / groups, ...]."""
    weight = context.of("weight")
    made = read_channels(context)
    if context.value("bias") is not None:
        context.meet([made, context.of("bias")[0]])
    # An axis of space that a channel's weights made passes if each place of it is read by itself; a second one cannot.
    space: Dims = [None] * (len(context.out_shape()) - 2)
    settings = (context.shape("weight")[2:], context.get("stride"), context.get("padding"))
    for number, dim in enumerate(context.of("input")[2:]):
        kernel, stride, padding = (numbers[number % len(numbers)] for numbers in settings)
        if (kernel, stride, padding) == (1, 1, 0) and not any(d is not None for d in space):
            space[number] = dim
        else:
            context.fix(dim, reasons.reduced(context.call.op))
    context.cost(weight[0], weight[1], *[d for d in (context.of("input")[0], *space) if d is not None])
    context.give([context.of("input")[0], made, *space])


def read_channels(context: Context) -> Dim:
    """Tie the input's channels to the weight; the labels of the channels that it makes."""
    channels, weight, transposed = context.of("input")[1], context.of("weight"), context.get("transposed")
    if context.get("groups") > 1:
        made = _read_groups(context, channels)
    else:
        reads, made = (weight[0], weight[1]) if transposed else (weight[1], weight[0])
        if context.shape("input")[1] > 1:
            context.meet([channels, reads], reasons.model_input(context.call.op))
    if context.value("weight") in context.parameters:
        context.producers.append(("filter", made))
    for dim in weight[2:]:
        context.fix(dim, reasons.kernel())
    return made


def _read_groups(context: Context, channels: Dim) -> Dim:
    """Split input and output axes by group; the groups are shared, the rest of the input is the weight's own."""
    labels, call = context.labels, context.call
    groups, weight, shape = context.get("groups"), context.of("weight"), context.shape("weight")
    if channels is None:
        for dim in weight[:2]:
            context.fix(dim, reasons.model_input(call.op))
        return None
    inside = context.shape("input")[1] // groups
    if context.get("transposed"):
        # Weight [C, O / groups, ...]: each group of input channels makes the same number of output channels.
        context.meet([channels, weight[0]])
        group, _ = labels.split(channels, (groups, inside))
        if group is not None:
            labels.hint(Kind.GROUP, group)
            context.sizes.append((call.module, "groups", group))
        return labels.merge([group, weight[1]], (groups, shape[1]))
    # Depth-wise: the groups are the input channels themselves.
    if inside == 1:
        if weight[0] is not None:
            labels.tie(np.repeat(channels, shape[0] // groups), weight[0])
        context.sizes.append((call.module, "groups", channels))
        return weight[0]
    group, within = labels.split(channels, (groups, inside))
    group_out, _ = labels.split(weight[0], (groups, shape[0] // groups))
    if group is not None and group_out is not None:
        labels.tie(group, group_out)
        labels.hint(Kind.GROUP, group)
        context.sizes.append((call.module, "groups", group))
    else:
        context.meet([group, group_out])
    context.meet([within, weight[1]])
    return weight[0]


RULES = {"aten.convolution": convolution, "aten._convolution": convolution}
