"""The parts of an operator call that the audit of a cut model compares: operator, sizes, literal numbers."""

from collections.abc import Sequence

from ..tracing.record import OperatorCall
from .analysis import AuditStep
from .op_sequence import changes_layout_only
from .rules import attention

SAME = {
    "aten.addmm": "aten.mm",
    "aten.baddbmm": "aten.bmm",
    "aten._convolution": "aten.convolution",
    "aten.as_strided_": "aten.as_strided",
}
AUDITED = (
    "aten.mm", "aten.bmm", "aten.convolution", "aten.native_layer_norm", "aten.native_batch_norm", "aten._softmax",
    "aten._safe_softmax", "aten.cat", "aten.embedding", "aten.mul", "aten.div", "aten.mean", "aten.sum", "aten.var",
    "aten.var_mean", "aten.linalg_vector_norm", "aten.native_group_norm", "aten.as_strided", "aten.im2col",
    "aten.col2im",
    *attention.RULES,
)  # fmt: skip
"""Operators whose results are compared after a cut: each spelling of a view in between leads to the same ones."""
PARTS = ("aten.slice", "aten.split", "aten.split_with_sizes")
"""Operators that take parts of an axis: where they begin and all their results are compared."""
SPELLED = (*PARTS, "aten.mul", "aten.div", "aten.mean", "aten.cat", "aten._softmax")
"""Operators that lead to the same products in more than one order or shape."""


def name_of(call: OperatorCall) -> str:
    """The operator, spellings of one product alike."""
    return SAME.get(call.op, call.op)


def is_audited(call: OperatorCall) -> bool:
    """A call of an operator that is compared; scaling only where it is by a literal number."""
    name = name_of(call)
    if changes_layout_only(call):
        return False
    return name in PARTS or (name in AUDITED and (name not in ("aten.mul", "aten.div") or bool(scalars(call))))


def scalars(call: OperatorCall) -> tuple[float, ...]:
    """The literal numbers of a call which a size may hide in: floating ones, whole ones that scale, and steps."""
    if name_of(call) == "aten.as_strided":
        # Each stride in units of the largest of those before of which it is a multiple.
        before: list[int] = call.arguments["strides"]
        return tuple(
            float(stride) / max((one for one in before if one and stride % one == 0), default=1)
            for stride in call.arguments["stride"]
        )
    factor = call.arguments.get("other")
    if call.op in ("aten.mul", "aten.div") and type(factor) is int:
        return (float(factor),)
    return tuple(a for a in call.arguments.values() if isinstance(a, float))


def measured_values(call: OperatorCall) -> tuple[int, ...]:
    """The results of a call whose sizes are compared; of a group norm the means, which show the number of groups."""
    if call.op in PARTS:
        return call.outputs
    return call.outputs[1:2] if call.op == "aten.native_group_norm" else call.outputs[:1]


def measures(call: OperatorCall, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The numbers of a call that are compared: sizes of results, of a slice what it leaves out before and behind."""
    sizes = tuple(s for o in measured_values(call) for s in shapes[o])
    if call.op != "aten.slice":
        return sizes
    dim: int = call.arguments["dim"]
    whole = shapes[next(call.refs())][dim]
    start, end, _ = slice(call.arguments["start"], call.arguments["end"]).indices(whole)
    # In steps, what is left out behind the last one tells nothing.
    return (*sizes, start, whole - max(start, end) if call.arguments["step"] == 1 else 0)


def may_be_absent(step: AuditStep, sizes: Sequence[int]) -> bool:
    """A slice that leaves out nothing is none to torch; one in dead code may leave out nothing in a cut model."""
    return step.op == "aten.slice" and (step.dead or not any(sizes[-2:]))
