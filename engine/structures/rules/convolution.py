"""Convolutions in any number of dimensions, with groups, depth-wise and transposed."""

import numpy as np

from .. import reasons
from ..analysis import Kind
from ..labels import Dim, LabelArray
from .context import Context


def convolution(context: Context) -> None:
    """Input [N, C, ...] * weight [O, C / groups, ...] -> [N, O, ...]; a transposed weight is [C, O / groups, ...]."""
    groups, transposed = context.get("groups"), context.get("transposed")
    channels, weight = context.of("input")[1], context.of("weight")
    reads, makes = (weight[0], weight[1]) if transposed else (weight[1], weight[0])
    made = _plain(context, channels, reads, makes) if groups == 1 else _grouped(context, channels)
    if context.value("weight") in context.parameters:
        context.producers.append(("filter", made))
    if context.value("bias") is not None:
        context.labels.meet([made, context.of("bias")[0]], reasons.combined(context.call.op), context.call.module)
    for dim in weight[2:]:
        context.labels.fix(dim, reasons.kernel(), context.call.module)
    context.costs.append((context.number, (context.of("input")[0], weight[0], weight[1])))
    context.give([context.of("input")[0], made, *[None] * (len(context.out_shape()) - 2)])


def _plain(context: Context, channels: Dim, reads: Dim, makes: Dim) -> Dim:
    if context.shape("input")[1] > 1:
        context.labels.meet([channels, reads], reasons.model_input(context.call.op), context.call.module)
    return makes


def _grouped(context: Context, channels: Dim) -> Dim:
    """Split input and output axes by group; the groups are shared, the rest of the input is the weight's own."""
    labels, call = context.labels, context.call
    groups, weight, shape = context.get("groups"), context.of("weight"), context.shape("weight")
    transposed = context.get("transposed")
    if channels is None:
        for dim in weight[:2]:
            labels.fix(dim, reasons.model_input(call.op), call.module)
        return None
    inside = context.shape("input")[1] // groups
    if transposed:
        return _transposed_groups(context, channels, weight, groups)
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


def _transposed_groups(context: Context, channels: LabelArray, weight: list[Dim], groups: int) -> Dim:
    for dim in (channels, weight[0], weight[1]):
        context.labels.fix(dim, reasons.no_rule("a transposed convolution with groups"), context.call.module)
    return None


RULES = {"aten.convolution": convolution, "aten._convolution": convolution}
