"""Top-k, gather and scatter: the routing of experts.

A value that holds numbers of indices ("token 3 goes to expert 1") *points* into an axis (`Context.points`). As long as
all that happens is that other tensors are looked up with it, or that it is counted how often each index was chosen,
the axis may shrink: the choice is then made among those that remain. Any other use fixes the axis.
"""

from ...tracing.record import Ref
from .. import reasons
from ..analysis import Kind
from ..solver.labels import Dim, Dims, LabelArray
from . import slicing, views
from .context import Context, Rule


def topk(context: Context) -> None:
    """The k largest of an axis: their numbers point into it. At least k must remain."""
    dims = list(context.of("self"))
    if not dims:
        context.give_untracked()
        return
    axis: int = context.get("dim")
    whole = dims[axis]
    least: int = context.get("k")
    if whole is not None and len(whole) <= least:
        context.fix(whole, reasons.chosen(context.call.op))
        whole = None
    elif whole is not None:
        context.labels.count_least(whole, least, reasons.at_least(context.call.op, least), context.call.module)
    dims[axis] = None
    context.give(dims)
    context.give(dims, 1)
    if whole is not None and context.call.outputs[1] in context.used:
        context.points[context.call.outputs[1]] = whole


def grouped_mm(context: Context) -> None:
    """Rows [s, k], sorted by expert, times the expert's own [k, n] of [e, k, n]; `offs` [e] says where each ends."""
    rows, stack = context.of("self"), context.of("mat2")
    if len(rows) != 2 or len(stack) != 3 or context.value("offs") is None:
        for dim in (d for value in context.call.refs() for d in context.dims[value]):
            context.fix(dim, reasons.no_rule(f"{context.call.op} of these shapes"))
        context.give_untracked()
        return
    (expert,) = context.of("offs")
    expert = context.meet([expert, stack[0]])
    context.labels.hint(Kind.EXPERT, expert)
    value = context.value("self")
    number = 1 if value is None else PIECES.get(context.record.dtypes[value], 1)
    # The kernel reads rows in pieces of 16 bytes.
    for dim in (rows[1], *stack[1:]):
        if dim is not None and number > 1 and len(dim) % number == 0:
            reason = reasons.multiple(context.call.op, number)
            context.labels.count_multiple(dim, number, reason, context.call.module)
    inner = context.meet([rows[1], stack[1]], reasons.model_input(context.call.op))
    if context.value("mat2") in context.parameters:
        context.producers.append(("neuron", stack[2]))
    context.cost(rows[0], inner, stack[2])
    context.give([rows[0], stack[2]])


def pointer_rule(context: Context) -> Rule | None:
    """The rule of a call that is given numbers of a labelled axis; None when it is given none."""
    if not any(value in context.points for value in context.call.refs()):
        return None
    return POINTED.get(context.call.op, keep_numbers if context.call.op in KEEPS else fix_numbers)


def keep_numbers(context: Context) -> None:
    """The same numbers in another order or shape."""
    value = context.value("self")
    if value not in context.points or sum(v in context.points for v in context.call.refs()) > 1:
        fix_numbers(context)
        return
    context.give_untracked()
    context.points[context.call.outputs[0]] = context.points[value]


def fix_numbers(context: Context) -> None:
    """The numbers themselves are used."""
    for value in context.call.refs():
        if value in context.points:
            context.fix(context.points[value], reasons.chosen(context.call.op))
        for dim in context.dims[value]:
            context.fix(dim, reasons.chosen(context.call.op))
    context.give_untracked()


def count_choices(context: Context) -> None:
    """How often each number occurs: one bin for each index."""
    whole = context.points[next(v for v in context.call.refs() if v in context.points)]
    bins, low, high = context.get("bins"), context.get("min"), context.get("max")
    if (bins, low, high) == (len(whole), 0, len(whole) - 1):
        context.give([whole])
    else:
        fix_numbers(context)


def look_up(context: Context) -> None:
    """x[:, i] with one index: the axis that is looked up in is the one that it points into."""
    given: list[Ref | None] = context.get("indices")
    named = [(axis, ref.value) for axis, ref in enumerate(given) if ref is not None]
    if len(named) != 1:
        fix_numbers(context)
        return
    ((axis, index),) = named
    if index not in context.points:
        keep_numbers(context)
    elif context.value("self") in context.points:
        fix_numbers(context)
    else:
        dims = context.of("self")
        _tie_axis(context, dims[axis], context.points[index])
        context.give([*dims[:axis], *[None] * len(context.record.shapes[index]), *dims[axis + 1 :]])


def gather(context: Context) -> None:
    """Along an axis by numbers that point into it; the other axes pass."""
    index = context.value("index")
    axis: int = context.get("dim") % len(context.shape("self"))
    if index not in context.points or _has_other_labels(context, axis):
        fix_numbers(context)
        return
    _tie_axis(context, context.of("self")[axis], context.points[index])
    context.give_untracked()


def scatter(context: Context) -> None:
    """Numbers written where they point to, among zeros: the axis is the one that they point into."""
    index = context.value("index")
    axis: int = context.get("dim") % len(context.shape("self"))
    whole = None if index is None else context.points.get(index)
    if whole is None or context.value("src") is not None or _has_other_labels(context, axis):
        fix_numbers(context)
        return
    dims: Dims = [None] * len(context.shape("self"))
    if context.of("self")[axis] is not None:
        _tie_axis(context, context.of("self")[axis], whole)
    dims[axis] = whole if context.shape("self")[axis] == len(whole) else None
    if dims[axis] is None:
        context.fix(whole, reasons.chosen(context.call.op))
    context.give(dims)


def _has_other_labels(context: Context, axis: int) -> bool:
    """An axis besides this one has labels."""
    dims = context.of("self")
    return any(d is not None and not context.labels.is_spread(d) for n, d in enumerate(dims) if n != axis)


def _tie_axis(context: Context, own: Dim, whole: LabelArray) -> None:
    """An axis that is looked up with numbers that point into `whole` has its labels."""
    if own is None or len(own) != len(whole):
        context.fix(whole, reasons.combined(context.call.op))
        context.fix(own, reasons.combined(context.call.op))
    else:
        context.labels.tie(own, whole)


PIECES = {"float64": 2, "float32": 4, "bfloat16": 8, "float16": 8}
"""Numbers in 16 bytes."""
KEEPS = {
    *views.RULES,
    *slicing.RULES,
    *(f"aten.{n}" for n in ("_to_copy", "clone", "detach", "alias", "contiguous", "lift_fresh", "sort")),
}
POINTED: dict[str, Rule] = {
    "aten.histc": count_choices,
    "aten.index": look_up,
    "aten.gather": gather,
    "aten.scatter": scatter,
    "aten.scatter_": scatter,
}
"""What numbers of a labelled axis may be used for."""

RULES: dict[str, Rule] = {"aten.topk": topk, "aten._grouped_mm": grouped_mm}
