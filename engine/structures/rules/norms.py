"""Normalisations: their own parameters lie on the axis that they scale."""

from .. import reasons
from .context import Context


def batch_norm(context: Context) -> None:
    """Statistics a channel: every index of axis 1 stands for itself."""
    dims = list(context.of("input"))
    for name in ("weight", "bias", "running_mean", "running_var"):
        if context.value(name) is not None:
            dims[1] = context.labels.meet(
                [dims[1], context.of(name)[0]], reasons.combined(context.call.op), context.call.module
            )
    context.give(dims)
    context.give_untracked(1)


def layer_norm(context: Context) -> None:
    """Statistics over the last axes: what remains is normalised anew after a removal."""
    dims = list(context.of("input"))
    count = len(context.get("normalized_shape"))
    for name in ("weight", "bias"):
        if context.value(name) is not None:
            for axis in range(-count, 0):
                dims[axis] = context.labels.meet(
                    [dims[axis], context.of(name)[axis]], reasons.combined(context.call.op), context.call.module
                )
    if context.value("weight") is None or count > 1:
        for axis in range(-count, 0):
            context.labels.fix(dims[axis], reasons.reduced(context.call.op), context.call.module)
    context.give(dims)
    context.give_untracked(1)


RULES = {
    **dict.fromkeys(
        (
            "aten.native_batch_norm",
            "aten._native_batch_norm_legit",
            "aten._native_batch_norm_legit_no_training",
            "aten.cudnn_batch_norm",
            "aten._batch_norm_no_update",
        ),
        batch_norm,
    ),
    "aten.native_layer_norm": layer_norm,
}
