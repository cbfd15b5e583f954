"""Convolutions in any number of dimensions, with groups, depth-wise and transposed."""

import numpy as np

from .. import reasons
from ..analysis import Kind
from ..solver.labels import Dim, Dims, LabelArray
from .context import Context


def convolution(context: Context) -> None:
    """Input [N, C, ...] * weight [O, C / groups, ...] -> [N, O, ...]; a transposed weight is [C, O / groups, ...]."""
    weight = context.of("weight")
    made = read_channels(context)
    if context.value("bias") is not None:
        context.labels.meet([made, context.of("bias")[0]], reasons.combined(context.call.op), context.call.module)
    space = _space(context)
    context.cost(weight[0], weight[1], *[d for d in (context.of("input")[0], *space) if d is not None])
    context.give([context.of("input")[0], made, *space])


def _space(context: Context) -> Dims:
    """Axes of space that a channel's weights made pass where each place is read by itself; elsewhere they stay."""
    space: Dims = [None] * (len(context.out_shape()) - 2)
    for number, dim in enumerate(context.of("input")[2:]):
        if dim is None:
            continue
        kernel, stride, padding = (
            numbers[number % len(numbers)]
            for numbers in (context.shape("weight")[2:], context.get("stride"), context.get("padding"))
        )
        if (kernel, stride, padding) == (1, 1, 0) and not any(d is not None for d in space):
            space[number] = dim
        else:
            context.labels.fix(dim, reasons.reduced(context.call.op), context.call.module)
    return space


def read_channels(context: Context) -> Dim:
    """Tie the input's channels to the weight; the labels of the channels that it makes."""
    channels, weight, transposed = context.of("input")[1], context.of("weight"), context.get("transposed")
    if context.get("groups") > 1:
        made = _grouped(context, channels)
    else:
        reads, made = (weight[0], weight[1]) if transposed else (weight[1], weight[0])
        if context.shape("input")[1] > 1:
            context.labels.meet([channels, reads], reasons.model_input(context.call.op), context.call.module)
    if context.value("weight") in context.parameters:
        context.producers.append(("filter", made))
    for dim in weight[2:]:
        context.labels.fix(dim, reasons.kernel(), context.call.module)
    return made


def _grouped(context: Context, channels: Dim) -> Dim:
    """Split input and output axes by group; the groups are shared, the rest of the input is the weight's own."""
    labels, call = context.labels, context.call
    groups, weight, shape = context.get("groups"), context.of("weight"), context.shape("weight")
    if channels is None:
        for dim in weight[:2]:
            labels.fix(dim, reasons.model_input(call.op), call.module)
        return None
    inside = context.shape("input")[1] // groups
    if context.get("transposed"):
        return _transposed_groups(context, channels, groups)
    if inside == 1:  # depth-wise: the groups are the input channels themselves
        made = weight[0]
        if made is not None:
            labels.tie(np.repeat(channels, shape[0] // groups), made)
        context.sizes.append((call.module, "groups", channels))
        return made
    group, within = labels.split(channels, (groups, inside))
    group_out, _ = labels.split(weight[0], (groups, shape[0] // groups))
    if group is not None and group_out is not None:
        labels.tie(group, group_out)
        labels.hint(Kind.GROUP, group)
        context.sizes.append((call.module, "groups", group))
    elif group is not None or group_out is not None:
        labels.fix(group if group is not None else group_out, reasons.combined(call.op), call.module)
    labels.meet([within, weight[1]], reasons.combined(call.op), call.module)
    return weight[0]


def _transposed_groups(context: Context, channels: LabelArray, groups: int) -> Dim:
    """Weight [C, O / groups, ...]: each group of input channels makes the same number of output channels."""
    labels, op, module = context.labels, context.call.op, context.call.module
    reads, makes = context.of("weight")[:2]
    labels.meet([channels, reads], reasons.combined(op), module)
    group, _ = labels.split(channels, (groups, len(channels) // groups))
    if group is not None:
        labels.hint(Kind.GROUP, group)
        context.sizes.append((module, "groups", group))
    return labels.merge([group, makes], (groups, context.shape("weight")[1]))


RULES = {"aten.convolution": convolution, "aten._convolution": convolution}
