"""Solves the statements about labels: which are equal, which are fixed, which go together.

Connected components over the equalities; fixed labels spread; split relations to a fixpoint. The result names, for
every label, the *bases* whose removal removes it: one for a plain channel, several for an index of a flat axis that is
heads times head dimensions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .components import merged_components
from .labels import LabelArray, Labels, Relation
from .split_relations import apply_relation, flat_positions, grids

MAX_ROUNDS = 64


@dataclass(frozen=True, slots=True)
class Solution:
    """What follows from the statements.

    Attributes:
        component: [labels] component of each label.
        reason: [components] number of the fixed statement that fixes it, -1 where it is free;
            `len(labels.fixed)` for a conflict between relations, one more for an axis that would go as a whole.
        base_start: [components + 1] CSR over the bases of each component.
        base: Components whose removal removes the component (itself, for a plain one); none for fixed ones.
    """

    component: NDArray[np.int64]
    reason: NDArray[np.int64]
    base_start: NDArray[np.int64]
    base: NDArray[np.int64]


def solve(labels: Labels) -> Solution:
    """Components, fixed ones and bases; counts that cannot be counted one by one are said in a stronger way."""
    while True:
        solution = _solve(labels)
        others = [c for c in labels.counted if not all(_is_plain(solution, part) for part in c.parts)]
        if not others:
            return solution
        for counted in others:
            labels.uncount(counted)


def _is_plain(solution: Solution, labels: LabelArray) -> bool:
    """Every free label goes by itself, so that what goes can be counted."""
    component = solution.component[labels]
    free = component[solution.reason[component] < 0]
    start = solution.base_start[free]
    return bool(np.all(solution.base_start[free + 1] - start == 1) and np.all(solution.base[start] == free))


def _solve(labels: Labels) -> Solution:
    edges: list[NDArray[np.int64]] = []
    if labels.equal:
        edges.append(np.stack([np.concatenate(side) for side in zip(*labels.equal, strict=True)]))
    forced: list[tuple[LabelArray, NDArray[np.int64]]] = []
    if labels.fixed:
        lengths = [len(f.labels) for f in labels.fixed]
        forced.append((np.concatenate([f.labels for f in labels.fixed]), np.repeat(np.arange(len(lengths)), lengths)))
    component = np.arange(labels.count, dtype=np.int64)
    reason = np.zeros(0, dtype=np.int64)
    for _ in range(MAX_ROUNDS):
        component = _joined(_grown(component, labels.count), edges)
        reason = _reasons(component, forced)
        edges, new_forced = _relate(labels, component, reason)
        if not edges and not new_forced:
            break
        forced += new_forced
    else:
        # Not settled: what the relations touch stays, which is never wrong.
        everything = [r.flat.ravel() for r in labels.relations] + [f for r in labels.relations for f in r.factors]
        forced += [(e, np.full(len(e), len(labels.fixed), dtype=np.int64)) for e in everything]
        reason = _reasons(component, forced)
    start, base = _bases(labels, component, reason)
    return Solution(component, reason, start, base)


def components(labels: Labels) -> NDArray[np.int64]:
    """[labels] which are said to be equal, before any conclusion."""
    alone = np.arange(labels.count, dtype=np.int64)
    edges = [np.stack([np.concatenate(side) for side in zip(*labels.equal, strict=True)])] if labels.equal else []
    return _joined(alone, edges)


def _grown(component: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Labels that were made while solving are components of their own."""
    fresh = int(component.max(initial=-1)) + 1 + np.arange(count - len(component), dtype=np.int64)
    return np.concatenate([component, fresh])


def _joined(component: NDArray[np.int64], edges: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Components of the labels when the pairs of labels in `edges` are the same too."""
    if not edges:
        return component
    first, second = component[np.concatenate(edges, axis=1)]
    return merged_components(int(component.max(initial=-1)) + 1, first, second)[component]


def _reasons(component: NDArray[np.int64], forced: list[tuple[LabelArray, NDArray[np.int64]]]) -> NDArray[np.int64]:
    """The first statement that fixes each component, -1 for none."""
    far = np.iinfo(np.int64).max
    found = np.full(int(component.max(initial=-1)) + 1, far, dtype=np.int64)
    for label, why in forced:
        np.minimum.at(found, component[label], why)
    found[found == far] = -1
    return found


def _relate(
    labels: Labels, component: NDArray[np.int64], reason: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], list[tuple[LabelArray, NDArray[np.int64]]]]:
    """What the relations add, given what is known so far."""
    edges: list[NDArray[np.int64]] = []
    forced: list[tuple[LabelArray, NDArray[np.int64]]] = []
    for axis in labels.axes:
        _keep_whole(axis, component, reason, len(labels.fixed) + 1, forced)
    for relation in labels.relations:
        _spread_fixed(relation, component, reason, forced)
        _refuse_squares(relation, component, reason, len(labels.fixed), forced)
        _collapse(relation, component, reason, edges, forced)
        for factor in relation.factors:
            _keep_whole(factor, component, reason, len(labels.fixed), forced)
    if not edges and not forced:
        apply_relation(labels, component, reason, edges, forced)
    return edges, forced


def _keep_whole(
    axis: LabelArray,
    component: NDArray[np.int64],
    reason: NDArray[np.int64],
    why: int,
    forced: list[tuple[LabelArray, NDArray[np.int64]]],
) -> None:
    """An axis or factor whose indices are all the same could only go as a whole, and everything with it."""
    one = component[axis[0]]
    if reason[one] < 0 and component[axis[-1]] == one and (component[axis] == one).all():
        forced.append((axis, np.full(len(axis), why, dtype=np.int64)))


def _spread_fixed(
    relation: Relation,
    component: NDArray[np.int64],
    reason: NDArray[np.int64],
    forced: list[tuple[LabelArray, NDArray[np.int64]]],
) -> None:
    """A flat index that must stay keeps every factor's index."""
    why = reason[component[relation.flat]]
    if (why < 0).all():
        return
    for grid in grids(relation):
        at = (why >= 0) & (reason[component[grid]] < 0)
        if at.any():
            forced.append((grid[at], why[at]))


def _refuse_squares(
    relation: Relation,
    component: NDArray[np.int64],
    reason: NDArray[np.int64],
    conflict: int,
    forced: list[tuple[LabelArray, NDArray[np.int64]]],
) -> None:
    """An axis flattened with itself (all products of channels) must stay: an index would stand on both factors."""
    for number, factor in enumerate(relation.factors):
        for other in relation.factors[:number]:
            both = factor[np.isin(component[factor], component[other]) & (reason[component[factor]] < 0)]
            if len(both):
                forced.append((both, np.full(len(both), conflict, dtype=np.int64)))


def _collapse(
    relation: Relation,
    component: NDArray[np.int64],
    reason: NDArray[np.int64],
    edges: list[NDArray[np.int64]],
    forced: list[tuple[LabelArray, NDArray[np.int64]]],
) -> None:
    """Where all factors but one must stay, the flat index is that one; where all must stay, so must it."""
    spread = grids(relation)
    why = np.stack([reason[component[g]] for g in spread])
    free = (why < 0).sum(axis=0)
    flat_why = reason[component[relation.flat]]
    none_free = (free == 0) & (flat_why < 0)
    if none_free.any():
        forced.append((relation.flat[none_free], why.max(axis=0)[none_free]))
    for number, grid in enumerate(spread):
        at = (free == 1) & (why[number] < 0) & (component[relation.flat] != component[grid])
        if at.any():
            edges.append(np.stack([relation.flat[at], grid[at]]))


def _bases(
    labels: Labels, component: NDArray[np.int64], reason: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """CSR of the bases: derived components stand for those of their factors, down to plain ones."""
    count = len(reason)
    flat, number, place = flat_positions(labels.relations, component, reason)
    first = np.unique(flat, return_index=True)[1]
    pairs: list[NDArray[np.int64]] = [np.zeros((2, 0), dtype=np.int64)]
    for relation_number in map(int, np.unique(number[first])):
        at = first[number[first] == relation_number]
        for grid in grids(labels.relations[relation_number]):
            factor = component[grid.ravel()[place[at]]]
            free = reason[factor] < 0
            pairs.append(np.stack([flat[at][free], factor[free]]))
    derived = np.zeros(count, dtype=np.bool_)
    derived[flat] = True
    plain = np.flatnonzero(~derived & (reason < 0))
    known = np.concatenate([*pairs, np.stack([plain, plain])], axis=1)
    for _ in range(8):
        nested = derived[known[1]]
        if not nested.any():
            break
        known = np.concatenate([known[:, ~nested], _expand(known[:, nested], known)], axis=1)
    known = known[:, ~derived[known[1]]]
    known = np.stack(np.divmod(np.unique(known[0] * max(1, count) + known[1]), max(1, count)))
    start = np.searchsorted(known[0], np.arange(count + 1))
    return start.astype(np.int64), known[1]


def _expand(nested: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replace each (component, derived) pair by (component, its factors)."""
    order = np.argsort(known[0], kind="stable")
    owner: NDArray[np.int64] = known[0][order]
    factor: NDArray[np.int64] = known[1][order]
    derived: NDArray[np.int64] = nested[1]
    low = np.searchsorted(owner, derived, "left")
    lengths = np.searchsorted(owner, derived, "right") - low
    begin = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    index = np.repeat(low - begin, lengths) + np.arange(int(lengths.sum()))
    return np.stack([np.repeat(nested[0], lengths), factor[index]])
