"""Solves the statements about labels: which are equal, which are fixed, which go together.

Connected components over the equalities; fixed labels spread; split relations to a fixpoint. The result names, for
every label, the *bases* whose removal removes it: one for a plain channel, several for an index of a flat axis that is
heads times head dimensions.
"""

from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .labels import LabelArray, Labels, Relation
from .shape_factors import refine

Numbers: TypeAlias = NDArray[np.int64]
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

    component: Numbers
    reason: Numbers
    base_start: Numbers
    base: Numbers


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
    component, edges = np.arange(labels.count, dtype=np.int64), _equal_pairs(labels)
    forced: list[tuple[LabelArray, Numbers]] = []
    if labels.fixed:
        lengths = [len(f.labels) for f in labels.fixed]
        forced.append((np.concatenate([f.labels for f in labels.fixed]), np.repeat(np.arange(len(lengths)), lengths)))
    reason = np.zeros(0, dtype=np.int64)
    for _ in range(MAX_ROUNDS):
        # Labels that were made in the last round are components of their own.
        fresh = int(component.max(initial=-1)) + 1 + np.arange(labels.count - len(component), dtype=np.int64)
        component = _join(np.concatenate([component, fresh]), edges)
        reason = _reasons(component, forced)
        found = _Round(labels, component, reason)
        found.relate()
        if not found.edges and not found.forced:
            break
        edges = found.edges
        forced += found.forced
    else:
        # Not settled: what the relations touch stays, which is never wrong.
        everything = [r.flat.ravel() for r in labels.relations] + [f for r in labels.relations for f in r.factors]
        forced += [(e, np.full(len(e), len(labels.fixed), dtype=np.int64)) for e in everything]
        reason = _reasons(component, forced)
    start, base = _bases(labels, component, reason)
    return Solution(component, reason, start, base)


def components(labels: Labels) -> Numbers:
    """[labels] which are said to be equal, before any conclusion."""
    return _join(np.arange(labels.count, dtype=np.int64), _equal_pairs(labels))


def _equal_pairs(labels: Labels) -> list[Numbers]:
    return [np.stack([np.concatenate(side) for side in zip(*labels.equal, strict=True)])] if labels.equal else []


def _join(component: Numbers, edges: list[Numbers]) -> Numbers:
    """Components of the labels when the pairs of labels in `edges` are the same too."""
    if not edges:
        return component
    first, second = component[np.concatenate(edges, axis=1)]
    return merged_components(int(component.max(initial=-1)) + 1, first, second)[component]


def merged_components(count: int, first: Numbers, second: Numbers) -> Numbers:
    """[count] the component of each number when `first` and `second` [pairs] are the same, in order of their least.

    Roots hang themselves below smaller neighbours until no pair has two (Shiloach and Vishkin 1982). Each round leaves
    at most half of the roots of a component that is not done. In numpy, as scipy takes longer to import than most
    models to be analysed.
    """
    root = np.arange(count, dtype=np.int64)
    a, b = first, second
    while True:
        apart = a != b
        if not apart.any():
            # Roots are the least of their component; they are numbered in order.
            return (np.cumsum(root == np.arange(count)) - 1)[root]
        low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
        np.minimum.at(root, high, low)
        while not np.array_equal(further := root[root], root):
            root = further
        a, b = root[low], root[high]


def _reasons(component: Numbers, forced: list[tuple[LabelArray, Numbers]]) -> Numbers:
    """The first statement that fixes each component, -1 for none."""
    far = np.iinfo(np.int64).max
    found = np.full(int(component.max(initial=-1)) + 1, far, dtype=np.int64)
    for label, why in forced:
        np.minimum.at(found, component[label], why)
    found[found == far] = -1
    return found


@dataclass(slots=True)
class _Round:
    """What the relations add, given what is known so far.

    Attributes:
        labels: All statements; may get more.
        component: [labels] component of each label.
        reason: [components] as `Solution.reason`.
        edges: Pairs of labels that are the same too.
        forced: Labels that must stay too, and why.
    """

    labels: Labels
    component: Numbers
    reason: Numbers
    edges: list[Numbers] = field(default_factory=list[Numbers])
    forced: list[tuple[LabelArray, Numbers]] = field(default_factory=list[tuple[LabelArray, Numbers]])

    def why(self, labels: LabelArray) -> Numbers:
        """What fixes each of some labels, -1 for nothing."""
        return self.reason[self.component[labels]]

    def force(self, labels: LabelArray, why: int) -> None:
        """These labels must stay."""
        self.forced.append((labels, np.full(len(labels), why, dtype=np.int64)))

    def relate(self) -> None:
        """Draw the conclusions of every axis and relation by itself; of two on one axis when there are no others."""
        conflict = len(self.labels.fixed)
        for axis in self.labels.axes:
            self._keep_whole(axis, conflict + 1)
        for relation in self.labels.relations:
            self._relate_factors(relation, conflict)
            for factor in relation.factors:
                self._keep_whole(factor, conflict)
        if not self.edges and not self.forced:
            self._combine_relations()

    def _keep_whole(self, axis: LabelArray, why: int) -> None:
        """An axis or factor whose indices are all the same could only go as a whole, and everything with it."""
        one = self.component[axis[0]]
        if self.reason[one] < 0 and self.component[axis[-1]] == one and (self.component[axis] == one).all():
            self.force(axis, why)

    def _relate_factors(self, relation: Relation, conflict: int) -> None:
        """What the flat axis says of its factors, and the other way round."""
        spread, flat_why = grids(relation), self.why(relation.flat)
        # A flat index that must stay keeps every factor's index.
        if (flat_why >= 0).any():
            for grid in spread:
                at = (flat_why >= 0) & (self.why(grid) < 0)
                if at.any():
                    self.forced.append((grid[at], flat_why[at]))
        # An axis flattened with itself (all products of channels) must stay: an index would be on both factors.
        for number, factor in enumerate(relation.factors):
            for other in relation.factors[:number]:
                both = factor[np.isin(self.component[factor], self.component[other]) & (self.why(factor) < 0)]
                if len(both):
                    self.force(both, conflict)
        # Where all factors but one must stay, the flat index is that one; where all must stay, so must it.
        why = np.stack([self.why(grid) for grid in spread])
        free = (why < 0).sum(axis=0)
        none_free = (free == 0) & (flat_why < 0)
        if none_free.any():
            self.forced.append((relation.flat[none_free], why.max(axis=0)[none_free]))
        for number, grid in enumerate(spread):
            at = (free == 1) & (why[number] < 0) & (self.component[relation.flat] != self.component[grid])
            if at.any():
                self.edges.append(np.stack([relation.flat[at], grid[at]]))

    def _combine_relations(self) -> None:
        """Flat indices that are the same fall into the same factors.

        Equal factorings are tied, those that nest (4 heads of 16, 2 groups of 32) get their common factors. Of two
        others the smallest factor of each must stay, until an axis is left that both divide in one way.
        """
        labels, component, relations = self.labels, self.component, list(self.labels.relations)
        flat, number, place = _flat_positions(relations, component, self.reason)
        if not len(flat):
            return
        order = np.argsort(flat, kind="stable")
        flat, number, place = flat[order], number[order], place[order]
        leader = np.searchsorted(flat, flat, side="left")
        same = leader != np.arange(len(flat))
        pairs: list[int] = np.unique(number[leader[same]] * len(relations) + number[same]).tolist()
        for first, second in (divmod(pair, len(relations)) for pair in pairs):
            at = same & (number == second) & (number[leader] == first)
            one, other = relations[first], relations[second]
            if one.flat.shape == other.flat.shape:
                for grid, grid2 in zip(grids(one), grids(other), strict=True):
                    a, b = grid.ravel()[place[leader[at]]], grid2.ravel()[place[at]]
                    differs = component[a] != component[b]
                    if differs.any():
                        self.edges.append(np.stack([a[differs], b[differs]]))
                continue
            shifts = np.unique(place[at] - place[leader[at]])
            shared = _share_factors(labels, first, second, component, int(shifts[0])) if len(shifts) == 1 else None
            if shared is None:
                for relation in (one, other):
                    free = [f[self.why(f) < 0] for f in relation.factors]
                    self.force(min((f for f in free if len(f)), key=len), len(labels.fixed))
                continue
            self.edges += [np.stack([a, b]) for a, b in shared]
            # This is said once (`refined`); another solution of the same labels needs it, too.
            for a, b in shared:
                labels.tie(a, b)


def _share_factors(
    labels: Labels, first: int, second: int, component: Numbers, shift: int
) -> list[tuple[LabelArray, LabelArray]] | None:
    """Give two relations of one flat axis common factors.

    Args:
        labels: All statements; gets new labels and relations.
        first: Number of a relation.
        second: Number of another, of another shape.
        component: Component of each label.
        shift: Place in the second flat axis minus place in the first, where they meet.

    Returns:
        Labels that are equal, none where that was said already; None where the two do not fit together.
    """
    if shift < 0:
        first, second, shift = second, first, -shift
    one, other = labels.relations[first], labels.relations[second]
    row = prod(other.flat.shape[1:])
    if (first, second, shift) in labels.refined:
        return []
    if shift % row or one.flat.size % row:
        return None
    rows = slice(shift // row, (shift + one.flat.size) // row)
    within = other.flat[rows]
    if within.size != one.flat.size or (component[within.ravel()] != component[one.flat.ravel()]).any():
        return None
    parts = refine(one.flat.shape, within.shape)
    if parts is None:
        return None
    labels.refined.add((first, second, shift))
    pieces: list[list[LabelArray]] = []
    for factors, sizes in ((one.factors, parts[0]), ((other.factors[0][rows], *other.factors[1:]), parts[1])):
        divided: list[LabelArray] = []
        for factor, own in zip(factors, sizes, strict=True):
            if len(own) < 2:  # a factor of one index is none
                divided += [factor] if own else []
                continue
            # Also where the factor's labels repeat, which the solver finds out.
            made = tuple(labels.new(size) for size in own)
            labels.relations.append(Relation(factor.reshape(own), made))
            divided += made
        pieces.append(divided)
    return list(zip(pieces[0], pieces[1], strict=True))


def grids(relation: Relation) -> list[LabelArray]:
    """Each factor's labels spread over the flat grid."""
    rank = relation.flat.ndim
    return [
        np.broadcast_to(f.reshape([-1 if a == n else 1 for a in range(rank)]), relation.flat.shape)
        for n, f in enumerate(relation.factors)
    ]


def _flat_positions(relations: list[Relation], component: Numbers, reason: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """(component, relation, place in it) of every free flat index with at least two free factors."""
    empty = np.zeros(0, dtype=np.int64)
    parts: list[tuple[Numbers, Numbers, Numbers]] = [(empty, empty, empty)]
    for number, relation in enumerate(relations):
        free = np.stack([reason[component[g]] < 0 for g in grids(relation)]).sum(axis=0).ravel()
        place = np.flatnonzero((free >= 2) & (reason[component[relation.flat.ravel()]] < 0))
        parts.append((component[relation.flat.ravel()[place]], np.full(len(place), number, dtype=np.int64), place))
    joined = [np.concatenate(p) for p in zip(*parts, strict=True)]
    return joined[0], joined[1], joined[2]


def _bases(labels: Labels, component: Numbers, reason: Numbers) -> tuple[Numbers, Numbers]:
    """CSR of the bases: derived components stand for those of their factors, down to plain ones."""
    count = len(reason)
    flat, number, place = _flat_positions(labels.relations, component, reason)
    first = np.unique(flat, return_index=True)[1]
    pairs: list[Numbers] = [np.zeros((2, 0), dtype=np.int64)]
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
        nested: Numbers = known[:, derived[known[1]]]
        if not nested.size:
            break
        # Each (component, derived) pair becomes (component, the factors of the derived one).
        order = np.argsort(known[0], kind="stable")
        owner: Numbers = known[0][order]
        factor: Numbers = known[1][order]
        whole: Numbers = nested[1]
        low = np.searchsorted(owner, whole, "left")
        lengths = np.searchsorted(owner, whole, "right") - low
        expanded = np.stack([np.repeat(nested[0], lengths), factor[joined_ranges(low, lengths)]])
        known = np.concatenate([known[:, ~derived[known[1]]], expanded], axis=1)
    known = known[:, ~derived[known[1]]]
    known = np.stack(np.divmod(np.unique(known[0] * max(1, count) + known[1]), max(1, count)))
    start = np.searchsorted(known[0], np.arange(count + 1))
    return start.astype(np.int64), known[1]


def joined_ranges(first: Numbers, lengths: Numbers) -> Numbers:
    """The numbers of ranges behind each other: for each of them `first`, `first + 1` ... as many as its length."""
    begin = np.cumsum(lengths) - lengths
    return np.repeat(first - begin, lengths) + np.arange(int(lengths.sum()))
