"""Fake quantisation (quantisation-aware training): values are rounded index by index, by one scale or one a channel."""

from collections.abc import Iterable

from ...tracing.record import Record, Ref
from .context import Context


def per_tensor(context: Context) -> None:
    """One scale and zero point for all; results are the values and which of them were in range."""
    _give_rounded(context)


def per_channel(context: Context) -> None:
    """A scale and a zero point [C] for each index of one axis."""
    _meet_scales(context, context.get("axis"), ("scale", "zero_point"))
    _give_rounded(context)


def per_moving_average(context: Context) -> None:
    """The same with running extremes of what it is given, which change in place; one each, or one a channel."""
    if context.get("per_row_fake_quant"):
        _meet_scales(context, context.get("ch_axis"), ("running_min", "running_max", "scale", "zero_point"))
    _give_rounded(context)


def _meet_scales(context: Context, axis: int, names: Iterable[str]) -> None:
    dims = context.of("self")
    given = [context.of(name)[0] for name in names if context.shape(name) == (context.shape("self")[axis],)]
    context.meet([dims[axis], *given])


def _give_rounded(context: Context) -> None:
    """A rounded weight is a weight."""
    context.give_all(context.of("self"))
    if context.value("self") in context.parameters:
        context.parameters.update(context.call.outputs[:1])


def zero_points(record: Record) -> set[int]:
    """Sources that are read as zero points only: whole numbers, but one a channel, which may go with it."""
    readers: dict[int, set[bool]] = {}
    for call in record.calls:
        own = call.arguments.get("zero_point") if call.op in RULES else None
        for value in call.refs():
            role = isinstance(own, Ref) and own.value == value
            readers.setdefault(value, set()).add(role or call.op in PASSING)
    return {source.value for source in record.sources if readers.get(source.value, {False}) == {True}}


PASSING = ("aten.resize_", "aten.copy_", "aten.fill_", "aten.zero_")
"""What only writes into them."""
RULES = {
    "aten.fake_quantize_per_tensor_affine_cachemask": per_tensor,
    "aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams": per_tensor,
    "aten._fake_quantize_learnable_per_tensor_affine": per_tensor,
    "aten.fake_quantize_per_channel_affine_cachemask": per_channel,
    "aten._fake_quantize_learnable_per_channel_affine": per_channel,
    "aten._fused_moving_avg_obs_fq_helper": per_moving_average,
}
