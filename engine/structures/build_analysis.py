"""Builds the `Analysis` from a solution: numbers structures and axes; costs, memory, fixed axes, audit. Loads torch."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message
from ..messages import module_named
from ..tracing.record import ModuleCall, Record, SavedTensors
from . import reasons
from .analysis import (
    Activations,
    Analysis,
    AuditStep,
    Constant,
    CostingOperators,
    CoupledSet,
    FixedAxis,
    Kind,
    ModuleInfo,
    StandInSpec,
    TensorInfo,
    set_key,
)
from .audit_fields import is_audited, measured_values, measures, name_of, scalars
from .axes import AxisTable, csr
from .count_constraints import constrain_counts
from .layer_graph import layer_graph
from .name_sets import NamedSet, name_sets
from .op_sequence import digest, operations
from .removable_blocks import RemovableBlock, replacements
from .rules import Context
from .rules.context import OperatorCost
from .shape_literals import find_literals
from .solver.solve import Solution


def build(
    context: Context,
    solution: Solution,
    found: tuple[list[RemovableBlock], list[Message]],
    name: str,
    refused: Mapping[str, Message],
    kept: SavedTensors,
) -> Analysis:
    """The analysis of a solved record, without the sets that are refused (set key to reason)."""
    record = context.record
    axes = AxisTable(solution)
    tensor_axes = [tuple(axes.number(d) for d in context.dims[s.value]) for s in record.sources]
    operators, costing = _operators(context, axes)
    steps = tuple(_audit_steps(context, axes))
    literals = tuple(find_literals(context, axes, steps))
    numbered = [(one, tuple(axes.number(dim) for dim in dims)) for one, dims in context.constants]
    constants = tuple(
        Constant(one.module, one.site, one.number, one.where, record.shapes[one.value], numbers)
        for one, numbers in numbered
        if max(numbers, default=-1) >= 0
    )
    # Heads are counted once though every sample of the batch has them; groups each for itself, also tied ones.
    counted = [
        (module, what, *(axes.distinct(dim) if what == "heads" else (axes.number(dim), 1)))
        for module, what, dim in context.sizes
    ]
    # Up to here axes get their numbers; what follows groups by them.
    left_out: list[FixedAxis] = []

    def leave_out(one: NamedSet, reason: Message, module: str = "") -> None:
        for tensor, dim in one.touches:
            source = record.sources[tensor]
            if source.parameter:
                left_out.append(FixedAxis(tensor, dim, source.shape[dim], reason, module or source.module))

    named: list[NamedSet] = []
    for one in name_sets(context, solution, axes, tensor_axes):
        tensor, dim = one.touches[0]
        reason = refused.get(set_key(one.kind, record.sources[tensor].name, dim, one.part))
        if reason is None:
            named.append(one)
        else:
            leave_out(one, reason)
    named, stay, counts, together = constrain_counts(context.labels.counted, named, solution, axes)
    for one, reason, module in stay:
        leave_out(one, reason, module)
    why = {b.path: refused.get(set_key(Kind.BLOCK, b.path, -1)) for b in found[0]}
    blocks = [b for b in found[0] if why[b.path] is None]
    notes = [*found[1]] + [reasons.stays(path, reason) for path, reason in why.items() if reason is not None]
    sets, numbers = _number_sets(context, named, blocks)
    total = sum(s.count for s in sets)
    index, structure = np.zeros(total, dtype=np.int32), np.full(len(solution.reason), -1, dtype=np.int64)
    for one, number in zip(named, numbers, strict=True):
        own = sets[number].structures
        index[own] = one.index
        structure[one.bases] = np.arange(own.start, own.stop)
    first_of_block = {s.name: s.first for s in sets if s.kind is Kind.BLOCK}
    held = activations(context, axes, kept, [(first_of_block[b.path], b) for b in blocks])
    base, position = axes.pairs()
    owner = structure[base]
    member_start, member = csr(owner[owner >= 0], total, position[owner >= 0])
    ranges = [(first_of_block[b.path], first, last) for b in blocks for first, last in b.ranges]
    return Analysis(
        model=name,
        input_shapes=record.input_shapes,
        tensors=tuple(
            TensorInfo(s.name, s.shape, s.parameter, own, s.aliases, s.module)
            for s, own in zip(record.sources, tensor_axes, strict=True)
        ),
        modules=tuple(ModuleInfo(path, kind, detail) for path, kind, detail, _ in record.modules),
        sets=tuple(sets),
        fixed=(*_fixed_axes(context, solution), *left_out),
        index=index,
        axis_start=axes.start(),
        member_start=member_start,
        member_position=member,
        operators=operators,
        notes=(*_notes_without_rule(context, solution), *notes),
        block_tensor=_pairs((first_of_block[b.path], t) for b in blocks for t in b.sources),
        block_operator=_pairs(
            (block, n)
            for block, first, last in ranges
            for n in range(bisect_left(costing, first), bisect_left(costing, last))
        ),
        steps=steps,
        script=tuple(operations(record.calls, [s.value for s in record.sources], context.dead)),
        block_calls=tuple(ranges),
        sizes=tuple(sorted(set(counted))),
        literals=literals,
        constants=constants,
        outputs=record.chosen,
        weightless=record.weightless,
        stand_ins=tuple(StandInSpec(first_of_block[b.path], *stand_in) for b in blocks for stand_in in b.stand_ins),
        activations=held,
        constraints=tuple(one.constraint(numbers) for one in counts),
        bundles=tuple(replace(one, sets=tuple(numbers[n] for n in one.sets)) for one in together),
        recorded=digest(record),
        returned=record.returned,
        graph=layer_graph(record, costing),
    )


def _pairs(pairs: Iterable[tuple[int, int]]) -> NDArray[np.int32]:
    return np.array(list(pairs), dtype=np.int32).reshape(-1, 2)


def _number_sets(
    context: Context, named: list[NamedSet], blocks: list[RemovableBlock]
) -> tuple[list[CoupledSet], list[int]]:
    """Sets in tree order, a block before the sets of its own layers; and for each named set its number among them."""
    sources = context.record.sources
    entries: list[tuple[tuple[int, int], int, RemovableBlock | NamedSet]] = [
        *(((min(b.sources), -len(b.sources)), -1, b) for b in blocks),
        *(((s.touches[0][0], 1), n, s) for n, s in enumerate(named)),
    ]
    sets: list[CoupledSet] = []
    numbers = [0] * len(named)
    first = 0
    for _, number, entry in sorted(entries, key=lambda e: e[0]):
        if isinstance(entry, RemovableBlock):
            sets.append(CoupledSet(Kind.BLOCK, entry.path, -1, entry.path, first, 1, (), entry.along))
        else:
            numbers[number] = len(sets)
            tensor, dim = entry.touches[0]
            name, module, count = sources[tensor].name, sources[tensor].module, len(entry.bases)
            along = tuple(dict.fromkeys(sources[t].module for t, _ in entry.touches if sources[t].module != module))
            sets.append(CoupledSet(entry.kind, name, dim, module, first, count, entry.touches, along, entry.part))
        first += sets[-1].count
    return sets, numbers


def _operators(context: Context, axes: AxisTable) -> tuple[CostingOperators, list[int]]:
    """The costing operators, those without a rule as constants, and the numbers of their calls."""
    record = context.record
    # What depends on the model's inputs is made once a sample. A state that begins as zeros, and a tensor that is
    # written into, belong to a sample as soon as they are made for all of the batch.
    values, per_sample = set(record.inputs), set[int]()
    for number, call in enumerate(record.calls):
        made = not any(True for _ in call.refs()) and any(record.batch in record.shapes[o][:2] for o in call.outputs)
        if made or any(v in values for v in call.refs()):
            per_sample.add(number)
            values.update(call.outputs)
    constant: list[int] = []
    rows: list[list[int]] = []
    costing: list[int] = []
    ruled = {cost.number for cost in context.costs}
    constants = (OperatorCost(n, (), c.flops // 2) for n, c in enumerate(record.calls) if c.flops and n not in ruled)
    for cost in sorted((*context.costs, *constants), key=lambda c: c.number):
        number, macs = cost.number, cost.macs
        row: list[int] = []
        for dim in cost.dims:
            axis, _ = axes.distinct(dim)
            if axis >= 0:
                macs //= len(axes.arrays[axis])
                row.append(axis)
        divided = number in per_sample and record.batch > 0 and macs % record.batch == 0
        constant.append(macs // record.batch if divided else macs)
        rows.append(row + [-1] * (4 - len(row)))
        costing.append(number)
    return (
        CostingOperators(
            np.array(constant, dtype=np.int64),
            np.array(rows, dtype=np.int32).reshape(-1, 4),
            tuple(record.calls[n].module for n in costing),
            tuple(record.calls[n].op.removeprefix("aten.") for n in costing),
        ),
        costing,
    )


def _audit_steps(context: Context, axes: AxisTable) -> Iterator[AuditStep]:
    """What each audited operator must measure after a cut."""
    record = context.record
    for number, call in enumerate(record.calls):
        if not is_audited(call):
            continue
        numbers = [axes.number(d) for o in measured_values(call) for d in context.dims[o]]
        if call.op == "aten.slice":
            numbers += [axes.number(dim) for dim in context.counts.get(number, (None, None))]
        sizes = measures(call, record.shapes)
        dead = number in context.dead
        yield AuditStep(name_of(call), call.module, sizes, tuple(numbers), scalars(call), number, dead)


def _fixed_axes(context: Context, solution: Solution) -> Iterator[FixedAxis]:
    """Every dimension of a parameter of which an index must stay, with the first reason of each."""
    statements = context.labels.fixed
    for number, source in enumerate(context.record.sources):
        for dim, labels in enumerate(context.dims[source.value]):
            if labels is None or not source.parameter:
                continue
            why = solution.reason[solution.component[labels]]
            present: list[int] = why[why >= 0].tolist()
            for reason, count in sorted(Counter(present).items()):
                known = reason < len(statements)
                unsaid = reasons.conflict() if reason == len(statements) else reasons.all_or_none()
                message = statements[reason].reason if known else unsaid
                module = statements[reason].module if known else source.module
                yield FixedAxis(number, dim, count, message, module)


def _notes_without_rule(context: Context, solution: Solution) -> Iterator[Message]:
    """A note for each operator and module that has fixed parameters for want of a rule, the dearest first."""
    statements = {
        number: (str(statement.reason.arguments["op"]), statement.module)
        for number, statement in enumerate(context.labels.fixed)
        if statement.reason.code == "fixed.no_rule"
    }
    total = sum(math.prod(s.shape) for s in context.record.sources if s.parameter)
    lost: dict[tuple[str, str], int] = {}
    for source in context.record.sources if statements else ():
        if source.parameter:
            whys = [
                np.zeros(1, np.int64) if dim is None else solution.reason[solution.component[dim]]
                for dim in context.dims[source.value]
            ]
            present = {int(r) for why in whys for r in np.unique(why)} & statements.keys()
            for key in {statements[r] for r in present}:
                mine = [r for r, owner in statements.items() if owner == key]
                fixed = math.prod(int((why >= 0).sum()) for why in whys)
                anyway = math.prod(int(((why >= 0) & ~np.isin(why, mine)).sum()) for why in whys)
                lost[key] = lost.get(key, 0) + fixed - anyway
    template = (
        "{op} in {place} has no rule, so {percent} of the parameters cannot be removed. Add a rule with register_rule."
    )
    for (op, module), elements in sorted(lost.items(), key=lambda entry: -entry[1]):
        share = elements / total
        if elements:
            fields = {"op": op, "place": module_named(module), "percent": f"{share:.1%}", "share": share}
            yield Message("analysis.no_rule", template, fields)


def activations(
    context: Context, axes: AxisTable, kept: SavedTensors, blocks: Sequence[tuple[int, RemovableBlock]]
) -> Activations:
    """Size and lifetime of every piece of memory that is not the model's own.

    Args:
        context: The walked record.
        axes: Gives the axes of sizes; new ones are added.
        kept: Who shares memory, and what is saved.
        blocks: (structure, block): what may go as a whole.
    """
    record = context.record
    first, last = _lifetimes(record, kept)
    owners = list(first)
    row = {owner: n for n, owner in enumerate(owners)}
    saved = {(number, row[owner]) for number, owner in kept.saved}
    saved.update((number, len(owners) + n) for n, (number, _) in enumerate(kept.copies))
    copied = [number for number, _ in kept.copies]
    constants: list[int] = []
    factors: list[list[int]] = []
    for value in (*owners, *(value for _, value in kept.copies)):
        shape = record.shapes[value]
        numbers = [axes.number(d) for d in context.dims.get(value, [None] * len(shape))]
        size: int = getattr(torch, record.dtypes[value]).itemsize
        for length, axis in zip(shape, numbers, strict=True):
            size *= length if axis < 0 else 1
        constants.append(size)
        factors.append([a for a in numbers if a >= 0])
    width = max(1, *map(len, factors), 1)
    # What modules that stand in for those of blocks give in place of results (see `Activations.handed`).
    calls: dict[str, list[ModuleCall]] = {}
    for call in record.module_calls:
        calls.setdefault(call.path, []).append(call)
    handed: list[tuple[int, int, int, int]] = []
    for structure, path, entry in ((number, *stand_in) for number, block in blocks for stand_in in block.stand_ins):
        for call, (value, given) in ((c, pair) for c in calls[path] for pair in replacements(c, entry)):
            result = row.get(kept.owners[value], -1)
            other = -1 if given is None else row.get(kept.owners[given], -1)
            if result >= 0 and (given is None or other >= 0):
                handed.append((structure, result, other, call.last - 1))
    inputs = {kept.owners[v] for v in record.inputs}
    return Activations(
        np.array(constants, dtype=np.int64),
        np.array([f + [-1] * (width - len(f)) for f in factors], dtype=np.int32).reshape(-1, width),
        np.array([*first.values(), *copied], dtype=np.int64),
        np.array([*(last[o] for o in owners), *copied], dtype=np.int64),
        np.array([*(o in inputs for o in owners), *(False for _ in copied)], dtype=np.bool_),
        np.array(sorted(saved), dtype=np.int64).reshape(-1, 2),
        np.array(sorted(handed, key=lambda h: h[3]), dtype=np.int64).reshape(-1, 4),
        len(record.calls),
    )


def _lifetimes(record: Record, kept: SavedTensors) -> tuple[dict[int, int], dict[int, int]]:
    """For each owner of memory the call at whose end it is there, and the first at whose end it is freed."""
    own = {kept.owners[s.value] for s in record.sources}
    first = {kept.owners[v]: 0 for v in record.inputs if kept.owners[v] not in own}
    for number, call in enumerate(record.calls):
        for value in (*call.reads, *call.outputs):
            if kept.owners[value] not in own:
                first.setdefault(kept.owners[value], number)
    last = dict.fromkeys(first, 0)
    for value, end in enumerate(record.ends):
        owner = kept.owners[value]
        if owner in last:
            last[owner] = max(last[owner], end if end >= 0 else len(record.calls))
    return first, last
