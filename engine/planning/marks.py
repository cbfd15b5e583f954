"""Marks by hand: keep n of a set, everything under a threshold; and the check of any plan. Numpy only."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..messages import Phrase, module_named, of_kind
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import kept_sizes
from .count_balance import balanced, bundle_of, check_counts, weakest_first


def keep(
    analysis: Analysis,
    scores: NDArray[np.float64] | None,
    removed: Mask,
    set_number: int,
    count: int,
    locked: Mask | None = None,
) -> Mask:
    """Keep the `count` best of what remains in a set; sets that lose structures in step with it do.

    Args:
        analysis: Of the original model.
        scores: [S], NaN where unknown: such structures are marked last, the higher index first.
        removed: [S] what is gone; a set's earlier marks must not be in it if they are to be replaced.
        set_number: Which set.
        count: How many stay.
        locked: [S] what stays in any case.

    Returns:
        [S] `removed` and the marks in that set, and in those that go along as far as locks let them.

    Raises:
        PlanError: So many cannot be kept.
    """
    one = analysis.sets[set_number]
    here = one.first + np.flatnonzero(~removed[one.structures])
    free = here if locked is None else here[~locked[here]]
    bundle = bundle_of(analysis, set_number)
    size = bundle.sizes[bundle.sets.index(set_number)]
    lowest = max(len(here) - len(free), one.count - size * bundle.most)
    if not lowest <= count <= len(here) or (len(here) - count) % size:
        where = of_kind(one.module, one.kind)
        if size == 1:
            template = "{where} can keep {lowest} to {highest}, not {count}. Choose a number in this range."
            raise PlanError("plan.keep", template, where=where, lowest=lowest, highest=len(here), count=count)
        raise PlanError(
            "plan.keep_steps",
            "{where} can keep {lowest} to {highest} in steps of {size}, not {count}. Choose one of these numbers.",
            where=where,
            lowest=lowest,
            highest=len(here),
            size=size,
            count=count,
        )
    marked, touched = analysis.empty(), analysis.empty()
    marked[weakest_first(free, scores)[: len(here) - count]] = True
    touched[here] = True
    return removed | balanced(analysis, marked, removed, scores, locked, touched)


def below(analysis: Analysis, scores: NDArray[np.float64], set_numbers: Iterable[int], threshold: float) -> Mask:
    """[S] the structures of these sets that score under the threshold; the best of each set always stays.

    Sets that lose structures in step lose as few as the one that loses the fewest.
    """
    marked = analysis.empty()
    for number in set_numbers:
        one = analysis.sets[number]
        values = scores[one.structures]
        marked[one.structures] = values < threshold
        if one.kind is not Kind.BLOCK and marked[one.structures].all():
            marked[one.first + int(np.argmax(values))] = False
    return balanced(analysis, marked, scores=scores)


def check_plan(analysis: Analysis, removed: Mask) -> None:
    """Raise `PlanError` when a plan does not fit the analysis, empties a layer that stays or breaks a constraint."""
    if removed.shape != (analysis.count,):
        raise PlanError(
            "plan.shape",
            "This plan is for {given} structures, but the model has {count}. Plan again.",
            given=removed.size,
            count=analysis.count,
        )
    vanished = set(analysis.block_tensor[removed[analysis.block_tensor[:, 0]], 1].tolist())
    for one in analysis.sets:
        stays = any(t not in vanished for t, _ in one.touches)
        if one.kind is not Kind.BLOCK and stays and removed[one.structures].all():
            raise _emptied(of_kind(one.module, one.kind))
    kept = kept_sizes(analysis, removed)
    _check_axes(analysis, kept, vanished)
    check_counts(analysis, removed, kept)


def _check_axes(analysis: Analysis, kept: NDArray[np.int64], vanished: set[int]) -> None:
    """Sets that overlap can empty an axis together."""
    for number, tensor in enumerate(analysis.tensors):
        if number not in vanished and any(a >= 0 and kept[a] == 0 for a in tensor.axes):
            raise _emptied(module_named(tensor.module))


def _emptied(where: Phrase) -> PlanError:
    return PlanError("plan.empty", "The plan removes everything from {where}. Keep at least one there.", where=where)
