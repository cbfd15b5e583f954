"""Normalisations, of activations and of weights: their parameters are on the axis that they scale."""

from ..analysis import Kind
from ..solver.labels import Dim, Dims
from .context import Context


def batch_norm(context: Context) -> None:
    """Statistics a channel, its own or those of the batch: every index of axis 1 stands for itself."""
    dims = list(context.of("input"))
    dims[1] = _meet_scales(context, dims[1], 0, ("weight", "bias", "running_mean", "running_var"))
    context.give(dims)
    context.give_untracked(1)
    # Weights that are standardised remain weights.
    if context.value("input") in context.parameters:
        context.parameters.add(context.call.outputs[0])


def layer_norm(context: Context) -> None:
    """Layer and RMS norm: statistics over the last axes."""
    dims = list(context.of("input"))
    for axis in range(-len(context.get("normalized_shape")), 0):
        dims[axis] = _meet_scales(context, dims[axis], axis, ("weight", "bias"))
    context.give(dims)
    context.give_untracked(1)


def group_norm(context: Context) -> None:
    """[N, C, ...] with C = groups x within: a channel goes with its group, or from every group alike."""
    dims = list(context.of("input"))
    channels, count = context.shape("input")[1], context.get("group")
    dims[1] = _meet_scales(context, dims[1], 0, ("weight", "bias"))
    group, within = context.labels.split(dims[1], (count, channels // count))
    if within is not None:
        context.labels.hint(Kind.GROUP, group)
    context.sizes.append((context.call.module, "groups", group))
    context.groups[context.call.outputs[0]] = group
    context.give(dims)
    for number in (1, 2):
        context.give([dims[0], group], number)


def weight_norm(context: Context) -> None:
    """V * (g / |v|): g has one number for each index of an axis of v, which keeps its labels."""
    dims: Dims = list(context.of("v"))
    axis = context.get("dim", 0) % len(dims)
    dims[axis] = context.meet([dims[axis], context.of("g")[axis]])
    context.give(dims)
    context.give_untracked(1)
    context.parameters.add(context.call.outputs[0])


def _meet_scales(context: Context, dim: Dim, axis: int, names: tuple[str, ...]) -> Dim:
    """The axis, met by that of the tensors that scale and shift it."""
    given = [context.of(name)[axis] for name in names if context.value(name) is not None]
    return context.meet([dim, *given])


RULES = {
    **{
        f"aten.{name}": batch_norm
        for name in ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
                     "cudnn_batch_norm", "_batch_norm_no_update")
    },
    "aten.native_layer_norm": layer_norm,
    "aten._fused_rms_norm": layer_norm,
    "aten.native_group_norm": group_norm,
    "aten._weight_norm_interface": weight_norm,
}  # fmt: skip
