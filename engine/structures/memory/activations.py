"""Builds the `Activations` of an analysis: size and lifetime of each piece of memory."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from ...tracing.record import ModuleCall, SavedTensors
from ..analysis import Activations
from ..axes import AxisTable
from ..blocks.blocks import RemovableBlock
from ..blocks.stand_ins import replacements
from ..rules import Context


def activations(
    context: Context, axes: AxisTable, kept: SavedTensors, blocks: Sequence[tuple[int, RemovableBlock]]
) -> Activations:
    """Every piece of memory that is not the model's own.

    Args:
        context: The walked record.
        axes: Gives the axes of sizes; new ones are added.
        kept: Who shares memory, and what is saved.
        blocks: (structure, block): what may go as a whole.
    """
    record = context.record
    first, last = _lives(context, kept)
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
        size = bytes_of(record.dtypes[value])
        for length, axis in zip(shape, numbers, strict=True):
            size *= length if axis < 0 else 1
        constants.append(size)
        factors.append([a for a in numbers if a >= 0])
    width = max(1, *map(len, factors), 1)
    inputs = {kept.owners[v] for v in record.inputs}
    return Activations(
        np.array(constants, dtype=np.int64),
        np.array([f + [-1] * (width - len(f)) for f in factors], dtype=np.int32).reshape(-1, width),
        np.array([*first.values(), *copied], dtype=np.int64),
        np.array([*(last[o] for o in owners), *copied], dtype=np.int64),
        np.array([*(o in inputs for o in owners), *(False for _ in copied)], dtype=np.bool_),
        np.array(sorted(saved), dtype=np.int64).reshape(-1, 2),
        np.array(sorted(_handed(context, kept, blocks, row), key=lambda h: h[3]), dtype=np.int64).reshape(-1, 4),
        len(record.calls),
    )


@cache
def bytes_of(dtype: str) -> int:
    """Bytes of an element: 4 of "float32", 1 of "bool"."""
    bits = re.search(r"\d+", dtype)
    return 1 if bits is None else max(1, int(bits[0]) // 8)


def _lives(context: Context, kept: SavedTensors) -> tuple[dict[int, int], dict[int, int]]:
    """For each owner of memory the call at whose end it is there, and the first at whose end it is freed."""
    record = context.record
    own = {kept.owners[s.value] for s in record.sources}
    first = {kept.owners[v]: 0 for v in record.inputs if kept.owners[v] not in own}
    for number, call in enumerate(record.calls):
        for value in (*call.reads, *call.outputs):
            owner = kept.owners[value]
            if owner not in own:
                first.setdefault(owner, number)
    last = dict.fromkeys(first, 0)
    for value, end in enumerate(record.ends):
        owner = kept.owners[value]
        if owner in last:
            last[owner] = max(last[owner], end if end >= 0 else len(record.calls))
    return first, last


def _handed(
    context: Context, kept: SavedTensors, blocks: Sequence[tuple[int, RemovableBlock]], row: dict[int, int]
) -> Iterator[tuple[int, int, int, int]]:
    """What modules that stand in for those of blocks give in place of results (see `Activations.handed`)."""
    calls: dict[str, list[ModuleCall]] = {}
    for call in context.record.module_calls:
        calls.setdefault(call.path, []).append(call)
    for structure, block in blocks:
        for path, entry in block.stand_ins:
            for call in calls[path]:
                for value, given in replacements(call, entry):
                    result = row.get(kept.owners[value], -1)
                    other = -1 if given is None else row.get(kept.owners[given], -1)
                    if result >= 0 and (given is None or other >= 0):
                        yield structure, result, other, call.last - 1
