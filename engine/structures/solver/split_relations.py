"""Combines relations of one flat axis: nested ones (4 heads of 16, 2 groups of 32) get common factors."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from .labels import LabelArray, Labels, Relation
from .shape_factors import refine


def apply_relation(
    labels: Labels,
    component: NDArray[np.int64],
    reason: NDArray[np.int64],
    edges: list[NDArray[np.int64]],
    forced: list[tuple[LabelArray, NDArray[np.int64]]],
) -> None:
    """Flat indices that are the same fall into the same factors.

    Equal factorings are tied, those that nest get their common factors. Of two others the smallest factor of each must
    stay, until an axis is left that both divide in one way.
    """
    relations = list(labels.relations)
    flat, number, place = flat_positions(relations, component, reason)
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
        if one.flat.shape != other.flat.shape:
            shifts = np.unique(place[at] - place[leader[at]])
            shared = _share_factors(labels, first, second, component, int(shifts[0])) if len(shifts) == 1 else None
            if shared is None:
                for relation in (one, other):
                    factor = _smallest(relation, component, reason)
                    forced.append((factor, np.full(len(factor), len(labels.fixed), dtype=np.int64)))
            else:
                edges += [np.stack([a, b]) for a, b in shared]
                for a, b in shared:  # said once; whoever solves again needs it, too
                    labels.tie(a, b)
            continue
        for grid, grid2 in zip(grids(one), grids(other), strict=True):
            a, b = grid.ravel()[place[leader[at]]], grid2.ravel()[place[at]]
            differs = component[a] != component[b]
            if differs.any():
                edges.append(np.stack([a[differs], b[differs]]))


def _share_factors(
    labels: Labels, first: int, second: int, component: NDArray[np.int64], shift: int
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
        pieces.append([p for f, s in zip(factors, sizes, strict=True) for p in _divided(labels, f, s)])
    return list(zip(pieces[0], pieces[1], strict=True))


def _smallest(relation: Relation, component: NDArray[np.int64], reason: NDArray[np.int64]) -> LabelArray:
    """The free labels of the factor that has the fewest."""
    free = [f[reason[component[f]] < 0] for f in relation.factors]
    return min((f for f in free if len(f)), key=len)


def _divided(labels: Labels, factor: LabelArray, sizes: tuple[int, ...]) -> list[LabelArray]:
    """A factor as several (also where its labels repeat, which the solver finds out); one of one index as none."""
    if len(sizes) < 2:
        return [factor] if sizes else []
    made = tuple(labels.new(size) for size in sizes)
    labels.relations.append(Relation(factor.reshape(sizes), made))
    return list(made)


def grids(relation: Relation) -> list[LabelArray]:
    """Each factor's labels spread over the flat grid."""
    rank = relation.flat.ndim
    return [
        np.broadcast_to(f.reshape([-1 if a == n else 1 for a in range(rank)]), relation.flat.shape)
        for n, f in enumerate(relation.factors)
    ]


def flat_positions(
    relations: list[Relation], component: NDArray[np.int64], reason: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(component, relation, place in it) of every free flat index with at least two free factors."""
    empty = np.zeros(0, dtype=np.int64)
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = [(empty, empty, empty)]
    for number, relation in enumerate(relations):
        free = np.stack([reason[component[g]] < 0 for g in grids(relation)]).sum(axis=0).ravel()
        place = np.flatnonzero((free >= 2) & (reason[component[relation.flat.ravel()]] < 0))
        parts.append((component[relation.flat.ravel()[place]], np.full(len(place), number, dtype=np.int64), place))
    joined = [np.concatenate(p) for p in zip(*parts, strict=True)]
    return joined[0], joined[1], joined[2]
