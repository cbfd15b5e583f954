"""Groups solved components into coupled sets, and gives these names and an order."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .analysis import Kind
from .axes import AxisTable
from .rules import Context
from .solver.solve import Solution, joined_ranges

PRIORITY = (
    Kind.KV_GROUP,
    Kind.EXPERT,
    Kind.HEAD,
    Kind.HEAD_DIM,
    Kind.GROUP,
    Kind.UNIT,
    Kind.WIDTH,
    Kind.FILTER,
    Kind.NEURON,
    Kind.CHANNEL,
)
"""A component that several hints name is called by the first of these."""

FACTORS = (Kind.KV_GROUP, Kind.HEAD, Kind.HEAD_DIM, Kind.GROUP)
"""Kinds whose structures are indices of a factor, not of a parameter's axis."""


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A coupled set before its structures have numbers.

    Attributes:
        kind: What each structure is.
        touches: (tensor, dim) pairs, the first parameter first.
        bases: [count] base component of each structure.
        index: [count] its index.
        part: Number among the sets of this kind that begin on the same dimension.
    """

    kind: Kind
    touches: tuple[tuple[int, int], ...]
    bases: NDArray[np.int64]
    index: NDArray[np.int64]
    part: int = 0


def name_sets(
    context: Context, solution: Solution, axes: AxisTable, tensor_axes: list[tuple[int, ...]]
) -> list[NamedSet]:
    """The coupled sets in order of their first parameter; structures of parts that are counted apart are apart."""
    counted = {axes.number(part) for one in context.labels.counted for part in one.parts} - {-1}
    kinds = _kinds(context, solution)
    on_axis: dict[int, list[tuple[int, int]]] = {}
    for tensor, dims in enumerate(tensor_axes):
        for dim, axis in enumerate(dims):
            if axis >= 0:
                on_axis.setdefault(axis, []).append((tensor, dim))
    base, at_position = axes.pairs()
    axis_of = np.repeat(np.arange(len(axes.arrays)), [len(a) for a in axes.arrays])[at_position]
    offset = at_position - axes.start()[axis_of]
    # The smallest index of each component.
    position = np.full(len(solution.reason), np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(position, solution.component, context.labels.position)
    signature = _signatures(len(solution.reason), base, axis_of, on_axis, counted, kinds)
    touched = np.flatnonzero(signature)
    order = np.argsort(signature[touched], kind="stable")
    groups = np.split(touched[order], np.flatnonzero(np.diff(signature[touched][order])) + 1) if len(touched) else []
    by_base = np.argsort(base, kind="stable")
    sorted_base = base[by_base]
    makers = {dim.item(0) for _, dim in context.producers if dim is not None}

    @cache
    def rank(touch: tuple[int, int]) -> tuple[bool, bool, int, int]:
        """What makes an axis comes before what reads it."""
        source = context.record.sources[touch[0]]
        dim = context.dims[source.value][touch[1]]
        return (dim is None or dim.item(0) not in makers, not source.parameter, *touch)

    found: list[NamedSet] = []
    waiting = groups[::-1]
    while waiting:
        bases = waiting.pop()
        low = np.searchsorted(sorted_base, bases, "left")
        lengths = np.searchsorted(sorted_base, bases, "right") - low
        owner, member = np.repeat(np.arange(len(bases)), lengths), by_base[joined_ranges(low, lengths)]
        first_axes = set(axis_of[member[owner == 0]].tolist())
        touches = tuple(sorted((t for axis in first_axes for t in on_axis.get(axis, [])), key=rank))
        index = position[bases]
        # What is no factor is numbered by its index on the first parameter.
        if PRIORITY[kinds[bases[0]]] not in FACTORS:
            at = axis_of[member] == tensor_axes[touches[0][0]][touches[0][1]]
            index = np.full(len(bases), np.iinfo(np.int64).max, dtype=np.int64)
            np.minimum.at(index, owner[at], offset[member[at]])
        arranged = np.argsort(index, kind="stable")
        bases, index = bases[arranged], index[arranged]
        parts = [] if (index[1:] > index[:-1]).all() else _split_by_factor(context, solution, bases)
        if parts:
            waiting += parts[::-1]
        else:
            found.append(NamedSet(PRIORITY[kinds[bases[0]]], touches, bases, index))
    found.sort(key=lambda s: (*s.touches[0], PRIORITY.index(s.kind), int(s.index[0]), len(s.bases)))
    seen: Counter[tuple[Kind, tuple[int, int]]] = Counter()
    for number, one in enumerate(found):
        found[number] = replace(one, part=seen[one.kind, one.touches[0]])
        seen[one.kind, one.touches[0]] += 1
    return found


def _split_by_factor(context: Context, solution: Solution, bases: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Bases that share indices, by the factor of an axis that each is: a square one has rows and columns."""
    for relation in context.labels.relations:
        inside = [np.isin(bases, solution.component[factor]) for factor in relation.factors]
        inside = [one for one in inside if one.any() and not one.all()]
        if len(inside) > 1 and not np.logical_and.reduce(inside).any():
            rest = ~np.logical_or.reduce(inside)
            return [bases[one] for one in (*inside, rest) if one.any()]
    return []


def _kinds(context: Context, solution: Solution) -> NDArray[np.int64]:
    """[components] number in PRIORITY."""
    kinds = np.full(len(solution.reason), len(PRIORITY) - 1, dtype=np.int64)
    named = [(kind, dim) for kind, dim in context.labels.hints]
    named += [(Kind(kind), dim) for kind, dim in context.producers if dim is not None]
    if named:
        lengths = [dim.size for _, dim in named]
        labels = np.concatenate([dim.ravel() for _, dim in named])
        ranks = np.repeat([PRIORITY.index(kind) for kind, _ in named], lengths)
        np.minimum.at(kinds, solution.component[labels], ranks)
    # A factor that nothing names is called like what it is a factor of.
    owner = np.repeat(np.arange(len(kinds)), np.diff(solution.base_start))
    nameless = kinds[solution.base] == len(PRIORITY) - 1
    np.minimum.at(kinds, solution.base[nameless], kinds[owner[nameless]])
    of_heads = set(solution.base[kinds[owner] == PRIORITY.index(Kind.HEAD)].tolist())
    for dim in context.labels.shared:
        groups = [c for c in solution.component[dim].tolist() if c in of_heads]
        kinds[groups] = PRIORITY.index(Kind.KV_GROUP)
    return kinds


def _signatures(
    count: int,
    base: NDArray[np.int64],
    axis_of: NDArray[np.int64],
    on_axis: dict[int, list[tuple[int, int]]],
    counted: set[int],
    kinds: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """[components] a number that is equal for structures of one set; 0 for what touches no parameter."""
    random = np.random.default_rng(0)
    axis_hash = np.zeros(int(axis_of.max(initial=-1)) + 1, dtype=np.uint64)
    part_hash = axis_hash.copy()
    for axis in on_axis:
        axis_hash[axis] = random.integers(1, 2**63, dtype=np.uint64)
    kind_hash = random.integers(1, 2**63, size=len(PRIORITY), dtype=np.uint64)
    for axis in sorted(counted):
        part_hash[axis] = random.integers(1, 2**63, dtype=np.uint64)
    signature, parts = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    np.add.at(signature, base, axis_hash[axis_of])
    np.add.at(parts, base, part_hash[axis_of])
    signature[signature != 0] += (kind_hash[kinds] + parts)[signature != 0]
    return signature
