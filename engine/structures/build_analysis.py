"""Builds the `Analysis` from a solution: numbered structures, axes, costs, fixed axes and audit steps."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message
from ..tracing.record import SavedTensors
from . import reasons
from .analysis import (
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
from .blocks.blocks import RemovableBlock
from .count_constraints.bundles import constrain_counts
from .layer_graph import layer_graph
from .memory.activations import activations
from .name_sets import NamedSet, name_sets
from .op_sequence import digest, operations
from .rules import Context
from .rules.context import OperatorCost
from .shape_literals import find_literals
from .solver.labels import Dim
from .solver.solve import Solution
from .unsupported_ops import unruled


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
    steps = tuple(_steps(context, axes))
    literals = tuple(find_literals(context, axes, steps))
    constants = tuple(_constants(context, axes))
    sizes = tuple(sorted(set(_sizes(context, axes))))  # the last to number axes: what follows counts them
    named, left_out = _refuse(context, name_sets(context, solution, axes, tensor_axes), refused)
    named, stay, counts, together = constrain_counts(context.labels.counted, named, solution, axes)
    for one, reason, module in stay:
        left_out += _left_out(context, one, reason, module)
    why = {b.path: refused.get(set_key(Kind.BLOCK, b.path, -1)) for b in found[0]}
    blocks = [b for b in found[0] if why[b.path] is None]
    notes = [*found[1]] + [reasons.stays(path, reason) for path, reason in why.items() if reason is not None]
    sets = _number_sets(context, named, blocks)
    set_numbers = _set_numbers(sets, named)
    total = sum(s.count for s in sets)
    first_of_block = {s.name: s.first for s in sets if s.kind is Kind.BLOCK}
    held = activations(context, axes, kept, [(first_of_block[b.path], b) for b in blocks])
    member_start, member = _members(_first_numbers(sets, named), solution, axes, total)
    return Analysis(
        model=name,
        input_shapes=record.input_shapes,
        tensors=_tensors(context, tensor_axes),
        modules=tuple(ModuleInfo(path, kind, detail) for path, kind, detail, _ in record.modules),
        sets=tuple(sets),
        fixed=(*_fixed(context, solution), *left_out),
        index=_indices(sets, named, total),
        axis_start=axes.start(),
        member_start=member_start,
        member_position=member,
        operators=operators,
        notes=(*unruled(context, solution), *notes),
        block_tensor=_pairs((first_of_block[b.path], t) for b in blocks for t in b.sources),
        block_operator=_pairs((first_of_block[b.path], n) for b in blocks for n in _inside(b, costing)),
        steps=steps,
        script=tuple(operations(record.calls, [s.value for s in record.sources], context.dead)),
        block_calls=tuple((first_of_block[b.path], *calls) for b in blocks for calls in b.ranges),
        sizes=sizes,
        literals=literals,
        constants=constants,
        outputs=record.chosen,
        weightless=record.weightless,
        stand_ins=tuple(StandInSpec(first_of_block[b.path], *stand_in) for b in blocks for stand_in in b.stand_ins),
        activations=held,
        constraints=tuple(one.told(set_numbers) for one in counts),
        bundles=tuple(one.renumbered(set_numbers) for one in together),
        recorded=digest(record),
        returned=record.returned,
        graph=layer_graph(record, costing),
    )


def _tensors(context: Context, axes: Sequence[tuple[int, ...]]) -> tuple[TensorInfo, ...]:
    """Parameters, buffers and the like, with the numbers of their axes."""
    return tuple(
        TensorInfo(s.name, s.shape, s.parameter, axes[n], s.aliases, s.module)
        for n, s in enumerate(context.record.sources)
    )


def _sizes(context: Context, axes: AxisTable) -> Iterator[tuple[str, str, int, int]]:
    """(module, what, axis, repeats) of the sizes that modules remember.

    Heads are counted once though every sample of the batch has them; groups each for itself, also tied ones.
    """
    for module, what, dim in context.sizes:
        axis, repeats = axes.counted(dim) if what == "heads" else (axes.number(dim), 1)
        yield module, what, axis, repeats


def _constants(context: Context, axes: AxisTable) -> Iterator[Constant]:
    """Where the code's own tensors are combined with what may shrink."""
    for one, dims in context.constants:
        numbers = tuple(axes.number(dim) for dim in dims)
        if max(numbers, default=-1) >= 0:
            yield Constant(one.module, one.site, one.number, one.where, context.record.shapes[one.value], numbers)


def _inside(block: RemovableBlock, costing: Sequence[int]) -> Iterator[int]:
    """Places, among the calls that cost something, of those that a block makes."""
    for first, last in block.ranges:
        yield from range(bisect_left(costing, first), bisect_left(costing, last))


def _members(
    numbered: Sequence[tuple[NamedSet, int]], solution: Solution, axes: AxisTable, total: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(starts [total + 1], positions): where each structure has its indices, over all axes."""
    structure = np.full(len(solution.reason), -1, dtype=np.int64)
    for one, first in numbered:
        structure[one.bases] = np.arange(first, first + len(one.bases))
    base, position = axes.pairs()
    owner = structure[base]
    return csr(owner[owner >= 0], total, position[owner >= 0])


def _refuse(
    context: Context, named: list[NamedSet], refused: Mapping[str, Message]
) -> tuple[list[NamedSet], list[FixedAxis]]:
    """Sets that stay, and what the others fix."""
    stay: list[NamedSet] = []
    fixed: list[FixedAxis] = []
    for one in named:
        first, first_dim = one.touches[0]
        reason = refused.get(set_key(one.kind, context.record.sources[first].name, first_dim, one.part))
        if reason is None:
            stay.append(one)
        else:
            fixed += _left_out(context, one, reason)
    return stay, fixed


def _left_out(context: Context, one: NamedSet, reason: Message, module: str = "") -> Iterator[FixedAxis]:
    """What stays with a set."""
    for tensor, dim in one.touches:
        source = context.record.sources[tensor]
        if source.parameter:
            yield FixedAxis(tensor, dim, source.shape[dim], reason, module or source.module)


def _pairs(pairs: Any) -> NDArray[np.int32]:
    return np.array(list(pairs), dtype=np.int32).reshape(-1, 2)


def _number_sets(context: Context, named: list[NamedSet], blocks: list[RemovableBlock]) -> list[CoupledSet]:
    """Sets in tree order: a block stands before the sets of its own layers."""
    sources = context.record.sources
    entries: list[tuple[tuple[int, int], RemovableBlock | NamedSet]] = [
        ((min(b.sources), -len(b.sources)), b) for b in blocks
    ]
    entries += [((s.touches[0][0], 1), s) for s in named]
    sets: list[CoupledSet] = []
    first = 0
    for _, entry in sorted(entries, key=lambda e: e[0]):
        if isinstance(entry, RemovableBlock):
            sets.append(CoupledSet(Kind.BLOCK, entry.path, -1, entry.path, first, 1, (), entry.along))
        else:
            tensor, dim = entry.touches[0]
            module = sources[tensor].module
            along = dict.fromkeys(sources[t].module for t, _ in entry.touches if sources[t].module != module)
            sets.append(
                CoupledSet(
                    entry.kind,
                    sources[tensor].name,
                    dim,
                    module,
                    first,
                    len(entry.bases),
                    entry.touches,
                    tuple(along),
                    entry.part,
                )
            )
        first += sets[-1].count
    return sets


def _set_numbers(sets: list[CoupledSet], named: list[NamedSet]) -> list[int]:
    """For each named set its number among all."""
    at = {s.first: number for number, s in enumerate(sets)}
    places = {id(one): at[first] for one, first in _first_numbers(sets, named)}
    return [places[id(one)] for one in named]


def _first_numbers(sets: list[CoupledSet], named: list[NamedSet]) -> list[tuple[NamedSet, int]]:
    numbered = [s for s in sets if s.kind is not Kind.BLOCK]
    ordered = sorted(named, key=lambda s: s.touches[0][0])  # stable, as in _number_sets
    return [(one, s.first) for one, s in zip(ordered, numbered, strict=True)]


def _indices(sets: list[CoupledSet], named: list[NamedSet], count: int) -> NDArray[np.int32]:
    index = np.zeros(count, dtype=np.int32)
    for one, first in _first_numbers(sets, named):
        index[first : first + len(one.index)] = one.index
    return index


def _operators(context: Context, axes: AxisTable) -> tuple[CostingOperators, list[int]]:
    """The costing operators, those without a rule as constants, and the numbers of their calls."""
    record = context.record
    fed = _fed(context)
    constant: list[int] = []
    rows: list[list[int]] = []
    costing: list[int] = []
    ruled = {cost.number for cost in context.costs}
    constants = (OperatorCost(n, (), c.flops // 2) for n, c in enumerate(record.calls) if c.flops and n not in ruled)
    for cost in sorted((*context.costs, *constants), key=lambda c: c.number):
        number, macs = cost.number, cost.macs
        row: list[int] = []
        for dim in cost.dims:
            axis, _ = axes.counted(dim)
            if axis >= 0:
                macs //= len(axes.arrays[axis])
                row.append(axis)
        per_sample = number in fed and record.batch > 0 and macs % record.batch == 0
        constant.append(macs // record.batch if per_sample else macs)
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


def _fed(context: Context) -> set[int]:
    """Calls that depend on the model's inputs, and so are made once a sample.

    A state that begins as zeros, and a tensor that is written into, belong to a sample as soon as they are made for
    all of the batch.
    """
    record = context.record
    values, calls = set(record.inputs), set[int]()
    for number, call in enumerate(record.calls):
        made = not any(True for _ in call.refs()) and any(record.batch in record.shapes[o][:2] for o in call.outputs)
        if made or any(v in values for v in call.refs()):
            calls.add(number)
            values.update(call.outputs)
    return calls


def _steps(context: Context, axes: AxisTable) -> Sequence[AuditStep]:
    found: list[AuditStep] = []
    record = context.record
    for number, call in enumerate(record.calls):
        if not is_audited(call):
            continue
        dims: list[Dim] = [d for o in measured_values(call) for d in context.dims[o]]
        numbers = [axes.number(d) for d in dims]
        if call.op == "aten.slice":
            numbers += [axes.number(dim) for dim in context.counts.get(number, (None, None))]
        sizes = measures(call, record.shapes)
        dead = number in context.dead
        found.append(AuditStep(name_of(call), call.module, sizes, tuple(numbers), scalars(call), number, dead))
    return found


def _fixed(context: Context, solution: Solution) -> Sequence[FixedAxis]:
    """Every dimension of a parameter of which an index must stay, with the first reason of each."""
    found: list[FixedAxis] = []
    statements = context.labels.fixed
    for number, source in enumerate(context.record.sources):
        for dim, labels in enumerate(context.dims[source.value]):
            if labels is None or not source.parameter:
                continue
            why = solution.reason[solution.component[labels]]
            if why.max() < 0:
                continue
            counts = Counter(why.ravel().tolist())
            for reason in sorted(counts.keys() - {-1}):
                known = reason < len(statements)
                unsaid = reasons.conflict() if reason == len(statements) else reasons.all_or_none()
                message = statements[reason].reason if known else unsaid
                module = statements[reason].module if known else source.module
                found.append(FixedAxis(number, dim, counts[reason], message, module))
    return found
