"""How gestures become marks: pure functions from masks to masks, numpy only, quick enough for a dragged slider.

Masks are [S] bool arrays; the given ones are never changed. What is removed already or locked stays as it is.
"""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Kind, Mask


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


def in_step(
    analysis: Analysis, scores: NDArray[np.float64] | None, marked: Mask, removed: Mask, locked: Mask, touched: Mask
) -> Mask:
    """Marks where sets that keep equal counts follow those that were touched."""
    from secateur.engine.planning.balance import balanced

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
    from secateur.engine.planning.goal import keep as keep_best

    place = analysis.sets[set_number].structures
    gone = removed.copy()
    gone[place] |= marked[place] & locked[place]
    after = marked.copy()
    after[place] = keep_best(analysis, scores, gone, set_number, count, locked)[place] & ~removed[place]
    return after
