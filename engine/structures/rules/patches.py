"""Operators that move numbers between channels and space."""

import math

import numpy as np

from .. import reasons
from ..solver.labels import Dim
from .context import Context


def im2col(context: Context) -> None:
    """[N, C, H, W] -> [N, C * kernel, places]: channel by channel."""
    *lead, channels, _, _ = context.of("self")
    count = math.prod(list[int](context.get("kernel_size")))
    context.give([*lead, None if channels is None else np.repeat(channels, count), None])


def col2im(context: Context) -> None:
    """[N, C * kernel, places] -> [N, C, H, W]."""
    *lead, columns, _ = context.of("self")
    context.give([*lead, _outer(context, columns, math.prod(list[int](context.get("kernel_size")))), None, None])


def pixel_shuffle(context: Context) -> None:
    """[..., C * r * r, H, W] -> [..., C, H * r, W * r]."""
    *lead, channels, _, _ = context.of("self")
    context.give([*lead, _outer(context, channels, context.get("upscale_factor") ** 2), None, None])


def pixel_unshuffle(context: Context) -> None:
    """[..., C, H * r, W * r] -> [..., C * r * r, H, W]."""
    *lead, channels, _, _ = context.of("self")
    count = context.get("downscale_factor") ** 2
    context.give([*lead, None if channels is None else np.repeat(channels, count), None, None])


def channel_shuffle(context: Context) -> None:
    """[N, groups * C, ...] -> [N, C * groups, ...]: two factors change places."""
    first, channels, *space = context.of("self")
    groups: int = context.get("groups")
    inside = context.shape("self")[1] // groups
    group, within = context.labels.split(channels, (groups, inside))
    context.sizes.append((context.call.module, "groups", group))
    context.groups[context.call.outputs[0]] = group
    context.give([first, context.labels.merge([within, group], (inside, groups)), *space])


def _outer(context: Context, dim: Dim, inside: int) -> Dim:
    """The slow factor of an axis; the fast one becomes space and stays."""
    if dim is None:
        return None
    outer, inner = context.labels.split(dim, (len(dim) // inside, inside))
    context.fix(inner, reasons.kernel())
    return outer


RULES = {
    "aten.im2col": im2col,
    "aten.col2im": col2im,
    "aten.pixel_shuffle": pixel_shuffle,
    "aten.pixel_unshuffle": pixel_unshuffle,
    "aten.channel_shuffle": channel_shuffle,
    "aten.native_channel_shuffle": channel_shuffle,
}
