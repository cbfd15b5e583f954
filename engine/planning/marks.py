"""What is decided of each structure, and edits of the marks; the check of any plan. Numpy only.

The edits are pure functions from `PlanMasks` to marks, fast enough for a dragged slider. Masks are [S] bool arrays; the
given ones are never changed. What is removed already or locked stays as it is.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..messages import Phrase, module_named, of_kind
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import kept_sizes
from .count_balance import balanced, broken_constraints, bundle_of, check_counts, weakest_first
from .isomorphic_classes import step, with_their_blocks


@dataclass(frozen=True, slots=True, eq=False)
class PlanMasks:
    """What is decided of each structure.

    Attributes:
        removed: [S] gone already in the state that is planned from.
        marked: [S] the plan, on top of `removed`.
        locked: [S] what cannot be marked.
        by_hand: [S] decided by hand: the solver leaves it.
    """

    removed: Mask
    marked: Mask
    locked: Mask
    by_hand: Mask

    @classmethod
    def of(
        cls,
        analysis: Analysis,
        *,
        removed: Mask | None = None,
        marked: Mask | None = None,
        locked: Mask | None = None,
        by_hand: Mask | None = None,
    ) -> "PlanMasks":
        """These masks; those that are left out are empty."""
        none = analysis.empty()
        return cls(
            removed=none if removed is None else removed,
            marked=none if marked is None else marked,
            locked=none if locked is None else locked,
            by_hand=none if by_hand is None else by_hand,
        )

    @property
    def gone(self) -> Mask:
        """[S] what the plan leaves out: removed before, or marked."""
        return self.removed | self.marked

    @property
    def free(self) -> Mask:
        """[S] what an edit may mark or unmark."""
        return ~(self.removed | self.locked)


def as_mask(analysis: Analysis, structures: Mask | NDArray[np.int64] | Iterable[int]) -> Mask:
    """Structure numbers, or a mask already, as a mask."""
    given = np.asarray(structures if isinstance(structures, np.ndarray) else list(structures))
    if given.dtype == np.bool_:
        return given.copy()
    mask = analysis.empty()
    mask[given.astype(np.int64)] = True
    return mask


def keep(
    analysis: Analysis,
    scores: NDArray[np.float64] | None,
    masks: PlanMasks,
    set_number: int,
    count: int,
    alone: bool = False,
) -> Mask:
    """Marks where of a set the `count` best of what remains stay; its earlier marks are replaced.

    Args:
        analysis: Of the original model.
        scores: [S], NaN where unknown: such structures are marked last, the higher index first.
        masks: What is decided before; what of the set is locked stays as it is, marked or not.
        set_number: Which set.
        count: How many stay.
        alone: Leave the sets alone that lose structures in step with it; else they follow as far as locks let them.

    Raises:
        PlanError: So many cannot be kept.
    """
    one = analysis.sets[set_number]
    place = one.structures
    held = masks.marked & masks.locked
    here = one.first + np.flatnonzero(~(masks.removed | held)[place])
    free = here[~masks.locked[here]]
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
    after = masks.marked.copy()
    after[place] = (held & ~masks.removed)[place]
    after[weakest_first(free, scores)[: len(here) - count]] = True
    return after if alone else in_step(analysis, scores, replace(masks, marked=after), as_mask(analysis, here))


def below(
    analysis: Analysis,
    scores: NDArray[np.float64],
    masks: PlanMasks,
    set_numbers: Collection[int],
    threshold: float,
) -> Mask:
    """Marks where in these sets exactly what scores below the threshold is marked; the best of a set always stays.

    Sets that keep equal counts with them follow, and of several of these sets the one that loses most leads.

    Args:
        analysis: The analysis.
        scores: [S], NaN where unknown (never marked).
        masks: What is decided before.
        set_numbers: Numbers of the sets.
        threshold: In the unit of the scores.
    """
    after = masks.marked.copy()
    for number in set_numbers:
        one = analysis.sets[number]
        place = one.structures
        free = masks.free[place]
        with np.errstate(invalid="ignore"):
            low = scores[place] < threshold
        after[place] = np.where(free, low, masks.marked[place])
        if one.kind is not Kind.BLOCK and free.any() and not (~after[place] & ~masks.removed[place]).any():
            # A layer without structures could not be cut out, so its best stays however high the threshold is.
            values = np.where(free, np.nan_to_num(scores[place], nan=-np.inf), -np.inf)
            after[one.first + int(np.argmax(values))] = False
    touched = as_mask(analysis, np.flatnonzero(np.isin(analysis.set_numbers(), list(set_numbers))))
    return in_step(analysis, scores, replace(masks, marked=after), touched)


def unlocked_marks(analysis: Analysis, scores: NDArray[np.float64] | None, masks: PlanMasks) -> Mask:
    """The marks without what is locked; where sets that keep equal counts cannot follow, none of these is marked."""
    marked = masks.marked & ~masks.locked
    # Balancing fills up what locks have taken from a bundle, as far as they leave it something to mark.
    even = balanced(analysis, marked, masks.removed, scores, masks.locked)
    uneven = {number for one in broken_constraints(analysis, masks.removed | even) for number in one.sets}
    for bundle in analysis.bundles:
        if not uneven.isdisjoint(bundle.sets):
            for number in bundle.sets:
                even[analysis.sets[number].structures] = False
    return even


def best_stay(analysis: Analysis, scores: NDArray[np.float64] | None, masks: PlanMasks, after: Mask) -> Mask:
    """Marks that empty no layer: where all that remains of a set would go, the best of what was marked just now stays.

    Args:
        analysis: The analysis.
        scores: [S], NaN where unknown; None before scoring.
        masks: What is decided before.
        after: [S] marks that are wanted.
    """
    unmarked = after.copy()
    stays = np.bincount(analysis.set_numbers(), weights=~(after | masks.removed), minlength=len(analysis.sets))
    for number in np.flatnonzero(stays == 0):
        one = analysis.sets[number]
        fresh = (after & ~masks.marked & masks.free)[one.structures]
        if one.kind is Kind.BLOCK or not fresh.any():
            continue
        here = one.first + np.flatnonzero(fresh)
        values = np.zeros(len(here)) if scores is None else np.nan_to_num(scores[here], nan=-np.inf)
        unmarked[here[int(np.argmax(values))]] = False
    return unmarked


def invert_marks(
    analysis: Analysis, scores: NDArray[np.float64] | None, masks: PlanMasks, scope: Mask
) -> tuple[Mask, Mask]:
    """([S] marks with those in a scope turned round, [S] what was touched); of every layer one structure stays."""
    touched = scope & masks.free
    return best_stay(analysis, scores, masks, np.where(touched, ~masks.marked, masks.marked)), touched


def grow_marks(
    analysis: Analysis, scores: NDArray[np.float64] | None, masks: PlanMasks, multiple: int
) -> tuple[Mask, Mask]:
    """([S] marks grown to whole groups, [S] what was touched).

    In every set with marks the weakest of what would stay go along, until what is kept makes a width that is a multiple
    of `multiple` (`isomorphic_classes.step`: heads and small layers have steps of their own).
    """
    after, touched = masks.marked.copy(), analysis.empty()
    counts = np.bincount(analysis.set_numbers(), weights=masks.marked, minlength=len(analysis.sets))
    for number in np.flatnonzero(counts):
        one, place = analysis.sets[number], analysis.sets[number].structures
        whole = step(analysis, one, multiple)
        kept = int(np.count_nonzero(~masks.gone[place]))
        free = one.first + np.flatnonzero((masks.free & ~masks.marked)[place])
        more = kept % whole
        if more and more < kept and more <= len(free):
            after[weakest_first(free, scores)[:more]] = True
            touched[place] = True
    return after, touched & masks.free


def in_step(analysis: Analysis, scores: NDArray[np.float64] | None, masks: PlanMasks, touched: Mask) -> Mask:
    """The marks, where sets that keep equal counts follow those that were touched."""
    return balanced(analysis, masks.marked, masks.removed, scores, masks.locked, touched)


def check_plan(analysis: Analysis, removed: Mask) -> None:
    """Raise `PlanError` when a plan does not fit the analysis, empties a layer that stays or breaks a constraint."""
    if removed.shape != (analysis.count,):
        raise PlanError(
            "plan.shape",
            "This plan is for {given} structures, but the model has {count}. Plan again.",
            given=removed.size,
            count=analysis.count,
        )
    # Tensors of removed blocks may be empty: they are no longer in the model.
    vanished = set(analysis.block_tensor[removed[analysis.block_tensor[:, 0]], 1].tolist())
    for one in analysis.sets:
        stays = any(t not in vanished for t, _ in one.touches)
        if one.kind is not Kind.BLOCK and stays and removed[one.structures].all():
            raise _empty_error(of_kind(one.module, one.kind))
    kept = kept_sizes(analysis, removed)
    for number, tensor in enumerate(analysis.tensors):
        # Sets that overlap can empty an axis together.
        if number not in vanished and any(a >= 0 and kept[a] == 0 for a in tensor.axes):
            raise _empty_error(module_named(tensor.module))
    check_counts(analysis, removed, kept)


def check_locks(analysis: Analysis, marked: Mask, locked: Mask) -> None:
    """Raise `PlanError` when something is marked [S] that is locked [S], or a block around something that is."""
    number = int(np.count_nonzero(marked & with_their_blocks(analysis, locked)))
    if number:
        template = "The plan removes {count} locked structures, or blocks around them. Unlock them, or plan again."
        raise PlanError("plan.locked", template, count=number)


def _empty_error(where: Phrase) -> PlanError:
    return PlanError("plan.empty", "The plan removes everything from {where}. Keep at least one there.", where=where)
