"""Applies each operator's rule to a record: the rules state which labels are equal."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..jobs import CancelToken, check
from ..tracing.record import Record
from . import reasons
from .constants import Constants
from .dead_code import keep_dead_code
from .liveness import liveness
from .rules import RULES, Context, elementwise, quantised, routing
from .rules.recurrent import tie_units
from .solver.labels import Dim, Dims, FixedLabels, LabelArray, Labels
from .unread_indices import keep_unread_indices
from .unread_parameters import LabelledRun, UnreadParameters, keep_unused


def apply_rules(
    record: Record, token: CancelToken, training: Record | None = None, unused: Sequence[UnreadParameters] = ()
) -> Context:
    """All statements about labels that the record makes, with the labels of every value.

    Args:
        record: The run.
        token: Stops the walk.
        training: A run in training mode: what only that uses is understood from it.
        unused: Parameters that no run read, and with which what they may read is to stay.
    """
    context = Context(record, Labels())
    zero_points = quantised.zero_points(record)
    for source in record.sources:
        numbers = source.floating or source.value in zero_points
        context.dims[source.value] = _source_dims(context.labels, source.shape, numbers)
        context.parameters.add(source.value)
        if source.parameter:
            context.labels.axes += [dim for dim in context.dims[source.value] if dim is not None]
    idle, alive = list[FixedLabels](), list[LabelArray]()
    runs: list[LabelledRun] = [(record, context.dims)]
    used = _statements(context, token, idle, alive)
    if training is not None:
        # The same parameters, so the same labels; structures are named and costs are counted by the main run.
        # Constants that only training uses have no place in the analysis where they could be cut.
        training = replace(training, handed=())
        other = Context(training, context.labels, producers=context.producers, sizes=context.sizes)
        for source, same in zip(record.sources, training.sources, strict=True):
            other.dims[same.value] = context.dims[source.value]
            other.parameters.add(same.value)
        used |= _statements(other, token, idle, alive)
        runs.append((training, other.dims))
    for number, source in enumerate(record.sources):
        if number not in used:
            for dim in context.dims[source.value]:
                context.labels.fix(dim, reasons.unused(), source.module)
    keep_unused(context.labels, runs, unused)
    tie_units(context)
    keep_unread_indices(context.labels, runs)
    keep_dead_code(context.labels, idle, alive)
    context.labels.settle()
    return context


def _statements(context: Context, token: CancelToken, idle: list[FixedLabels], alive: list[LabelArray]) -> set[int]:
    """What the operators of one run say; gives the numbers of the sources that an output depends on.

    Adds to `idle` the labels of what is made for nothing, and to `alive` those of all else.
    """
    record = context.record
    matters = liveness(record)
    context.used = matters.read
    context.dead = frozenset(
        n for n, (live, runs) in enumerate(zip(matters.live, matters.idle, strict=True)) if not (live or runs)
    )
    touched = set[int]()
    constants = Constants(context)
    for number, call in enumerate(record.calls):
        if number % 256 == 0:
            check(token)
        context.number = number
        constants.before(number)
        for value in call.refs():
            context.dims.setdefault(value, [None] * len(record.shapes[value]))
        if matters.live[number] or matters.idle[number]:
            _apply(context)
        else:
            _run_for_nothing(context)
        if matters.live[number]:
            touched.update((*call.refs(), *call.outputs))
        elif matters.idle[number]:
            spare = call.outputs if call.flops else set(call.outputs) - matters.read
            made = [d for value in spare for d in context.dims[value] if d is not None]
            idle += [FixedLabels(d.ravel(), reasons.unused(), call.module) for d in made]
    _tie_replaced(context)
    constants.finish()
    if idle:
        alive += [d for value in touched for d in context.dims[value] if d is not None]
    for values, reason in ((record.outputs, reasons.output()), (record.exposed, reasons.handed())):
        for value in values:
            context.labels.fix(context.points.get(value), reason, "")
            for dim in context.dims.get(value, []):
                context.labels.fix(dim, reason, "")
    return {number for number, source in enumerate(record.sources) if source.value in context.used}


def _tie_replaced(context: Context) -> None:
    """What the forward puts in the place of a buffer has the same axes."""
    shapes = context.record.shapes
    for source, value in context.record.replaced:
        dims, made = context.dims[source], context.dims.get(value, [])
        if shapes[source] == shapes[value] and len(made) == len(dims):
            for pair in zip(dims, made, strict=True):
                context.labels.meet(list(pair), reasons.state(), "")
        else:  # it grows, or comes from where nothing was seen
            for dim in (*dims, *made):
                context.labels.fix(dim, reasons.state(), "")


def _apply(context: Context) -> None:
    call = context.call
    rule = routing.pointed(context) or RULES.get(call.op)
    if rule is None:
        rule = elementwise.pointwise if call.pointwise or not any(True for _ in call.refs()) else fix_unknown
    rule(context)


def _run_for_nothing(context: Context) -> None:
    """Nothing depends on a call, but it runs all the same; what it changes in place stays what it was."""
    call = context.call
    before = {value: context.dims[value] for value in set(call.outputs).intersection(call.refs())}
    with context.labels.for_nothing(call.module):
        _apply(context)
    context.dims.update(before)


def fix_unknown(context: Context) -> None:
    """An operator without a rule fixes what it touches and all that reads its results, its name as the reason."""
    call, labels = context.call, context.labels
    touched = [dim for value in call.refs() for dim in context.dims[value] if dim is not None]
    if not touched or labels.idle:
        context.give_untracked()
        return
    for number in range(len(call.outputs)):
        made: Dims = [labels.new(size) if size > 1 else None for size in context.out_shape(number)]
        context.give(made, number)
        touched += [dim for dim in made if dim is not None]
    labels.fix(np.concatenate([dim.ravel() for dim in touched]), reasons.no_rule(call.op), call.module)


def _source_dims(labels: Labels, shape: tuple[int, ...], numbers: bool) -> Dims:
    dims: list[Dim] = [labels.new(size) if size > 1 else None for size in shape]
    if not numbers:
        for dim in dims:
            labels.fix(dim, reasons.not_floating(), "")
    return dims
