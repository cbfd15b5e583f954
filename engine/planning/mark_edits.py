"""Edits marks: pure functions from masks to masks, fast enough for a dragged slider. Numpy only.

Masks are [S] bool arrays; the given ones are never changed. What is removed already or locked stays as it is.
"""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Kind, Mask


def as_mask(analysis: Analysis, structures: Mask | NDArray[np.int64] | Iterable[int]) -> Mask:
    """Structure numbers, or a mask already, as a mask."""
    given = np.asarray(structures if isinstance(structures, np.ndarray) else list(structures))
    if given.dtype == np.bool_:
        return given.copy()
    mask = analysis.empty()
    mask[given.astype(np.int64)] = True
    return mask


def below(
    analysis: Analysis,
    scores: NDArray[np.float64],
    marked: Mask,
    removed: Mask,
    locked: Mask,
    set_numbers: Collection[int],
    threshold: float,
) -> Mask:
    """Marks where in these sets exactly what scores below the threshold is marked; the best of a set always stays.

    Sets that keep equal counts with them follow, and of several of these sets the one that loses most leads.

    Args:
        analysis: The analysis.
        scores: [S], NaN where unknown (never marked).
        marked: [S] marks before.
        removed: [S] gone already.
        locked: [S] left as it is.
        set_numbers: Numbers of the sets.
        threshold: In the unit of the scores.
    """
    after = marked.copy()
    for number in set_numbers:
        one = analysis.sets[number]
        place = one.structures
        free = ~(removed[place] | locked[place])
        with np.errstate(invalid="ignore"):
            low = scores[place] < threshold
        after[place] = np.where(free, low, marked[place])
        if one.kind is not Kind.BLOCK and free.any() and not (~after[place] & ~removed[place]).any():
            values = np.where(free, np.nan_to_num(scores[place], nan=-np.inf), -np.inf)
            after[one.first + int(np.argmax(values))] = False
    touched = as_mask(analysis, np.flatnonzero(np.isin(analysis.set_numbers(), list(set_numbers))))
    return in_step(analysis, scores, after, removed, locked, touched)


def best_stay(
    analysis: Analysis, scores: NDArray[np.float64] | None, after: Mask, removed: Mask, locked: Mask, before: Mask
) -> Mask:
    """Marks that empty no layer: where all that remains of a set would go, the best of what was marked just now stays.

    Args:
        analysis: The analysis.
        scores: [S], NaN where unknown; None before scoring.
        after: [S] marks that are wanted.
        removed: [S] gone already.
        locked: [S] left as it is.
        before: [S] marks before.
    """
    spared = after.copy()
    stays = np.bincount(analysis.set_numbers(), weights=~(after | removed), minlength=len(analysis.sets))
    for number in np.flatnonzero(stays == 0):
        one = analysis.sets[number]
        fresh = (after & ~before & ~locked & ~removed)[one.structures]
        if one.kind is Kind.BLOCK or not fresh.any():
            continue
        here = one.first + np.flatnonzero(fresh)
        values = np.zeros(len(here)) if scores is None else np.nan_to_num(scores[here], nan=-np.inf)
        spared[here[int(np.argmax(values))]] = False
    return spared


def inverted(
    analysis: Analysis, scores: NDArray[np.float64] | None, marked: Mask, removed: Mask, locked: Mask, scope: Mask
) -> tuple[Mask, Mask]:
    """([S] marks with those in a scope turned round, [S] what was touched); of every layer one structure stays."""
    touched = scope & ~removed & ~locked
    after = np.where(touched, ~marked, marked)
    return best_stay(analysis, scores, after, removed, locked, marked), touched


def grown(
    analysis: Analysis,
    scores: NDArray[np.float64] | None,
    marked: Mask,
    removed: Mask,
    locked: Mask,
    multiple: int,
) -> tuple[Mask, Mask]:
    """([S] marks grown to whole groups, [S] what was touched).

    In every set with marks the weakest of what would stay go along, until what is kept makes a width that is a multiple
    of `multiple` (`planning.isomorphic_classes.step`: heads and small layers have steps of their own).
    """
    from .count_balance import weakest_first
    from .isomorphic_classes import step

    after, touched = marked.copy(), analysis.empty()
    counts = np.bincount(analysis.set_numbers(), weights=marked, minlength=len(analysis.sets))
    for number in np.flatnonzero(counts):
        one, place = analysis.sets[number], analysis.sets[number].structures
        whole = step(analysis, one, multiple)
        kept = int(np.count_nonzero(~(removed | marked)[place]))
        free = one.first + np.flatnonzero(~(removed | marked | locked)[place])
        more = kept % whole
        if more and more < kept and more <= len(free):
            after[weakest_first(free, scores)[:more]] = True
            touched[place] = True
    return after, touched & ~removed & ~locked


def in_step(
    analysis: Analysis, scores: NDArray[np.float64] | None, marked: Mask, removed: Mask, locked: Mask, touched: Mask
) -> Mask:
    """Marks where sets that keep equal counts follow those that were touched."""
    from .count_balance import balanced

    return balanced(analysis, marked, removed, scores, locked, touched)


def keep(
    analysis: Analysis,
    scores: NDArray[np.float64] | None,
    marked: Mask,
    removed: Mask,
    locked: Mask,
    set_number: int,
    count: int,
) -> Mask:
    """Marks where of this set the `count` best stay; locked ones stand as they are. Raises PlanError."""
    from .goal import keep as keep_best

    place = analysis.sets[set_number].structures
    gone = removed.copy()
    gone[place] |= marked[place] & locked[place]
    after = marked.copy()
    after[place] = keep_best(analysis, scores, gone, set_number, count, locked)[place] & ~removed[place]
    return after
