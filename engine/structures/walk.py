"""Walk over a record and let every operator's rule say which labels are equal."""

from ..jobs import CancelToken, check
from ..tracing.record import Record
from . import reasons
from .labels import Dim, Dims, Labels
from .rules import RULES, Context, elementwise


def walk(record: Record, token: CancelToken) -> Context:
    """All statements about labels that the record makes, with the labels of every value."""
    context = Context(record, Labels())
    for source in record.sources:
        context.dims[source.value] = _source_dims(context.labels, source.shape, source.floating)
        context.parameters.add(source.value)
    live = live_calls(record)
    for number, call in enumerate(record.calls):
        if number % 256 == 0:
            check(token)
        context.number = number
        for value in call.refs():
            context.dims.setdefault(value, [None] * len(record.shapes[value]))
        if not live[number]:
            context.give_untracked()
            continue
        rule = RULES.get(call.op)
        if rule is None:
            rule = elementwise.pointwise if call.pointwise or not any(True for _ in call.refs()) else unknown
        rule(context)
    _fix_unused(context, live)
    for value in record.outputs:
        for dim in context.dims.get(value, []):
            context.labels.fix(dim, reasons.output(), "")
    return context


def _fix_unused(context: Context, live: list[bool]) -> None:
    used = {v for number, call in enumerate(context.record.calls) if live[number] for v in call.refs()}
    used |= set(context.record.outputs)
    for source in context.record.sources:
        if source.value not in used:
            for dim in context.dims[source.value]:
                context.labels.fix(dim, reasons.unused(), source.module)


def unknown(context: Context) -> None:
    """An operator without a rule fixes what it touches, its name as the reason."""
    call = context.call
    for value in call.refs():
        for dim in context.dims[value]:
            context.labels.fix(dim, reasons.no_rule(call.op), call.module)
    context.give_untracked()


def live_calls(record: Record) -> list[bool]:
    """Which calls an output depends on. Calls that change a tensor in place count as soon as that tensor matters."""
    needed = set(record.outputs)
    live = [False] * len(record.calls)
    for number in range(len(record.calls) - 1, -1, -1):
        call = record.calls[number]
        in_place = call.op.endswith("_")
        if in_place or any(o in needed for o in call.outputs):
            live[number] = True
            needed.update(call.refs())
    return live


def _source_dims(labels: Labels, shape: tuple[int, ...], floating: bool) -> Dims:
    dims: list[Dim] = [labels.new(size) if size > 1 else None for size in shape]
    if not floating:
        for dim in dims:
            labels.fix(dim, reasons.not_floating(), "")
    return dims
