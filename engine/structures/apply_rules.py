"""Applies each operator's rule to a record: the rules state which labels are equal.

What no rule can say of a single operator is stated here: labels of constants in the code, what stays of dead code, and
what longer inputs may read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..jobs import CancelToken, check
from ..tracing.record import PassedConstant, Record
from . import reasons
from .rules import RULES, Context, elementwise, quantised, routing
from .rules.recurrent import tie_units
from .solver.labels import Dims, FixedLabels, LabelArray, Labels
from .solver.solve import components
from .unread_parameters import LabelledRun, UnreadParameters, keep_unused
from .value_uses import liveness


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
        dims: Dims = [context.labels.new(size) if size > 1 else None for size in source.shape]
        if not source.floating and source.value not in zero_points:
            for dim in dims:
                context.labels.fix(dim, reasons.not_floating(), "")
        context.dims[source.value] = dims
        context.parameters.add(source.value)
        if source.parameter:
            context.labels.axes += [dim for dim in dims if dim is not None]
    idle, alive = list[FixedLabels](), list[LabelArray]()
    runs: list[LabelledRun] = [(record, context.dims)]
    used = _apply_run(context, token, idle, alive)
    if training is not None:
        # The same parameters, so the same labels; structures are named and costs are counted by the main run.
        # Constants that only training uses have no place in the analysis where they could be cut.
        training = replace(training, handed=())
        other = Context(training, context.labels, producers=context.producers, sizes=context.sizes)
        for source, same in zip(record.sources, training.sources, strict=True):
            other.dims[same.value] = context.dims[source.value]
            other.parameters.add(same.value)
        used |= _apply_run(other, token, idle, alive)
        runs.append((training, other.dims))
    for number, source in enumerate(record.sources):
        if number not in used:
            for dim in context.dims[source.value]:
                context.labels.fix(dim, reasons.unused(), source.module)
    # Each of these looks at what was fixed or tied before it; dead code comes last, when all living labels are known.
    keep_unused(context.labels, runs, unused)
    tie_units(context)
    keep_unread_indices(context.labels, runs)
    keep_dead_code(context.labels, idle, alive)
    context.labels.settle()
    return context


def _apply_run(context: Context, token: CancelToken, idle: list[FixedLabels], alive: list[LabelArray]) -> set[int]:
    """Apply the rules of one run; gives the numbers of the sources that an output depends on.

    Adds to `idle` the labels of what is made for nothing, and to `alive` those of all else.
    """
    record, labels = context.record, context.labels
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
        constants.advance(number)
        for value in call.refs():
            context.dims.setdefault(value, [None] * len(record.shapes[value]))
        rule = routing.pointer_rule(context) or RULES.get(call.op)
        if rule is None:
            rule = elementwise.pointwise if call.pointwise or not any(True for _ in call.refs()) else fix_unknown
        if number in context.dead:
            # Nothing depends on it, but it runs all the same; what it changes in place stays what it was.
            before = {value: context.dims[value] for value in set(call.outputs).intersection(call.refs())}
            with labels.dead_code(call.module):
                rule(context)
            context.dims.update(before)
            continue
        rule(context)
        if matters.live[number]:
            touched.update((*call.refs(), *call.outputs))
        else:
            unread = call.outputs if call.flops else set(call.outputs) - matters.read
            made = [d for value in unread for d in context.dims[value] if d is not None]
            idle += [FixedLabels(d.ravel(), reasons.unused(), call.module) for d in made]
    _tie_replaced(context)
    constants.finish()
    if idle:
        alive += [d for value in touched for d in context.dims[value] if d is not None]
    for values, reason in ((record.outputs, reasons.output()), (record.exposed, reasons.handed())):
        for value in values:
            labels.fix(context.points.get(value), reason, "")
            for dim in context.dims.get(value, []):
                labels.fix(dim, reason, "")
    return {number for number, source in enumerate(record.sources) if source.value in context.used}


def _tie_replaced(context: Context) -> None:
    """What the forward puts in the place of a buffer has the same axes."""
    shapes = context.record.shapes
    for buffer, value in context.record.replaced:
        dims, made = context.dims[buffer], context.dims.get(value, [])
        if shapes[buffer] == shapes[value] and len(made) == len(dims):
            for pair in zip(dims, made, strict=True):
                context.labels.meet(list(pair), reasons.state(), "")
        else:  # it grows, or comes from where nothing was seen
            for dim in (*dims, *made):
                context.labels.fix(dim, reasons.state(), "")


def fix_unknown(context: Context) -> None:
    """An operator without a rule fixes what it touches and all that reads its results, its name as the reason."""
    call, labels = context.call, context.labels
    touched = [dim for value in call.refs() for dim in context.dims[value] if dim is not None]
    if not touched or labels.in_dead_code:
        context.give_untracked()
        return
    for number in range(len(call.outputs)):
        made: Dims = [labels.new(size) if size > 1 else None for size in context.out_shape(number)]
        context.give(made, number)
        touched += [dim for dim in made if dim is not None]
    context.fix(np.concatenate([dim.ravel() for dim in touched]), reasons.no_rule(call.op))


@dataclass(frozen=True, slots=True)
class _OpenConstant:
    """A constant within the function that it is handed to: what labels it had before, and those that it got."""

    handed: PassedConstant
    before: Dims
    fresh: Dims


class Constants:
    """Labels for the constants of one run, as long as the functions run that these are handed to.

    Constants are tensors made in a forward, attributes of modules, globals. Where one is combined index by index with a
    tensor that has labels it gets labels of its own, and is cut there, every time that the code hands it over. Where it
    is read in another way, what it meets stays, with the constant as the reason.
    """

    def __init__(self, context: Context) -> None:
        """Take the walk's state."""
        self._context = context
        self._begin: dict[int, list[PassedConstant]] = {}
        self._end: dict[int, list[_OpenConstant]] = {}
        for handed in context.record.handed:
            if handed.first < handed.last:
                self._begin.setdefault(handed.first, []).append(handed)

    def advance(self, number: int) -> None:
        """A call is next: functions have ended before it, others begin with it."""
        for one in self._end.pop(number, ()):
            self._close(one)
        context, record = self._context, self._context.record
        for handed in self._begin.get(number, ()):
            sizes, calls = record.shapes[handed.value], record.calls[handed.first : handed.last]
            floating = record.dtypes[handed.value].startswith(("float", "bfloat", "complex"))
            if not floating or any(handed.value in call.outputs for call in calls):
                continue
            before = context.dims.setdefault(handed.value, [None] * len(sizes))
            fresh = [context.labels.new(s) if d is None and s > 1 else None for d, s in zip(before, sizes, strict=True)]
            context.dims[handed.value] = [d if f is None else f for d, f in zip(before, fresh, strict=True)]
            self._end.setdefault(handed.last, []).append(_OpenConstant(handed, before, fresh))

    def finish(self) -> None:
        """There is no further call."""
        for number in sorted(self._end):
            self.advance(number)

    def _close(self, one: _OpenConstant) -> None:
        """Give a constant its labels from before; fresh ones that met no labelled axis must stay."""
        context, handed = self._context, one.handed
        constants, calls = context.record.constants, context.record.calls[handed.first : handed.last]
        met = set[int]()  # dimensions that meet labelled ones of the same size in an operator index by index
        for call in (call for call in calls if call.pointwise):
            own = [context.dims.get(v, []) for v in call.refs() if v in constants]
            others = [context.dims.get(v, []) for v in call.refs() if v not in constants]
            for first, second in ((f, s) for f in own for s in others):
                pairs = zip(reversed(first), reversed(second), strict=False)
                met.update(id(a) for a, b in pairs if a is not None and b is not None and len(a) == len(b))
        context.dims[handed.value] = one.before
        context.constants.append((handed, one.fresh))
        reader = next((call.op for call in calls if not constants.issuperset(call.refs())), calls[0].op)
        for dim in (d for d in one.fresh if d is not None and id(d) not in met):
            context.labels.fix(dim, reasons.constant(reader), handed.module)


def keep_dead_code(labels: Labels, idle: Sequence[FixedLabels], alive: Sequence[LabelArray]) -> None:
    """Say what stays, and which sizes are equal, of what no output depends on, so that its code still runs.

    Args:
        labels: All statements of the record; gets more.
        idle: Labels of what is made for nothing.
        alive: Those of all else.
    """
    if not idle and not labels.apart:
        return
    component = components(labels)
    # What is made for nothing has no effect that a removal could be verified by, so it stays. Not so what goes with
    # something else: a norm or a layer that nothing reads fixes no width of a residual stream.
    known = np.zeros(labels.count, dtype=np.bool_)
    known[component[np.concatenate([d.ravel() for d in alive])] if alive else []] = True
    for one in idle:
        labels.fix(one.labels[~known[component[one.labels]]], one.reason, one.module)
    # Parts of which the size matters to something else are equally long, and as long as what stands for them.
    members = np.bincount(component)
    counted = np.zeros(len(members), dtype=np.bool_)
    for part in (part for one in labels.counted for part in one.parts):
        counted[component[part]] = True
    for one in labels.apart:
        own = component[one.one]
        if counted[own].any() or (members[own] > np.bincount(own)[own]).any():
            labels.tie(one.one, one.parts[0])
            labels.count_equal(one.parts, one.reason, one.module)
        else:
            # No repair could correct a size that nothing shows.
            labels.fix(one.one, one.reason, one.module)


def keep_unread_indices(labels: Labels, runs: Sequence[LabelledRun]) -> None:
    """Fix what slices of weights left out of axes of which a part must stay.

    `x + positions[: x.shape[1]]` reads the first rows of a table; longer inputs read more of them, at the same places.
    An axis of which nothing must stay is one of channels, whatever is read of it.

    Args:
        labels: All statements; gets more.
        runs: Each run with the labels of its values.
    """
    sliced: dict[bytes, tuple[LabelArray, str]] = {}
    computed = [_computed_of_weights(record) for record, _ in runs]
    for (record, dims), weights in zip(runs, computed, strict=True):
        for call in record.calls:
            if call.op == "aten.slice" and weights.issuperset(call.reads):
                dim: int = call.arguments.get("dim", 0)
                whole = dims[call.reads[0]][dim]
                if whole is not None and record.shapes[call.outputs[0]][dim] < len(whole):
                    sliced[whole.tobytes()] = (whole.ravel(), call.module)
    if not sliced:
        return
    component = components(labels)
    met, fixed = np.zeros(labels.count, dtype=np.bool_), np.zeros(labels.count, dtype=np.bool_)
    for (_, dims), weights in zip(runs, computed, strict=True):
        for value in dims.keys() - weights:
            for one in dims[value]:
                if one is not None:
                    met[component[one.ravel()]] = True
    for statement in labels.fixed:
        fixed[component[statement.labels]] = True
    for axis, module in sliced.values():
        own = component[axis]
        unread = axis[~(met[own] | fixed[own])]
        if len(unread) and fixed[own].any():
            labels.fix(unread, reasons.unread(len(axis) - len(unread), len(axis)), module)


def _computed_of_weights(record: Record) -> set[int]:
    """Weights, and values that are computed of them alone."""
    found = {source.value for source in record.sources}
    for call in record.calls:
        if found.issuperset(call.reads):
            found.update(call.outputs)
    return found
