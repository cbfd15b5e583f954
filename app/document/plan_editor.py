"""The plan: what is marked, locked and decided by hand, and the goal; every edit is instant and can be undone."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject

from secateur.engine.errors import PlanError
from secateur.engine.planning import mark_edits
from secateur.engine.structures.analysis import Mask

from ..text.translate import counted
from .aspects import Aspect, Goal
from .document_view import Shown
from .undo_history import Entry, Snapshot

PLAN = frozenset({Aspect.MARKS, Aspect.GOAL, Aspect.STATES, Aspect.SCORES})
"""What another current state changes."""


class Planned(Shown):
    """Edits the plan, and travels through its history."""

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self._before_preview: Mask | None = None

    def mark(self, structures: Mask | NDArray[np.int64] | Iterable[int], on: bool) -> None:
        """Mark structures for removal, or unmark them; what is locked or removed stays as it is."""
        if self._refuses() or self.analysis is None:
            return
        asked = mark_edits.as_mask(self.analysis, structures) & ~self.removed
        locked = self.barred if on else self.locked
        touched = asked & ~locked
        if (asked & locked).any():
            self.announced.emit(self.tr("Locked structures were not changed. Unlock them first."))
        words = self.tr("mark {0}") if on else self.tr("unmark {0}")
        text = words.format(self._counted(touched))
        self._plan(text, np.where(touched, on, self.marked), touched)

    def take_marks(self, text: str, marked: Mask, touched: Mask) -> None:
        """Take marks that a rule made, as one step; what it touched counts as decided by hand."""
        if not self._refuses() and self.analysis is not None:
            self.cancel_preview()
            self._plan(text, marked & ~self.removed, touched)

    def invert(self, scope: Mask) -> None:
        """Mark in a scope what is not marked, and unmark what is."""
        if self.analysis is not None:
            given = (self.analysis, self.scores, self.marked, self.removed, self.barred, scope)
            self.take_marks(self.tr("invert marks"), *mark_edits.inverted(*given))

    def grow(self) -> None:
        """Mark more until widths are multiples that are fast on the target."""
        if self.analysis is not None:
            given = (self.analysis, self.scores, self.marked, self.removed, self.barred, self.target.multiple)
            after, touched = mark_edits.grown(*given)
            if (after == self.marked).all():
                self.announced.emit(self.tr("The width of every layer with marks is already aligned."))
            self.take_marks(self.tr("align widths"), after, touched)

    def keep(self, set_number: int, count: int) -> None:
        """Keep the `count` best structures of a coupled set and mark the rest."""
        if self._refuses() or self.analysis is None:
            return
        try:
            after = mark_edits.keep(
                self.analysis, self.scores, self.marked, self.removed, self.barred, set_number, count
            )
        except PlanError as error:
            self.announce(Aspect.MARKS)
            self.fail(error)
            return
        touched = self.analysis.empty()
        touched[self.analysis.sets[set_number].structures] = True
        module = self.analysis.sets[set_number].module
        self._plan(
            self.tr("keep {count} of {module}").format(count=count, module=module), after, touched & ~self.removed
        )

    def preview(self, marked: Mask) -> None:
        """Show a plan without an undo step, until `commit_preview` or `cancel_preview`."""
        if self.busy or self.analysis is None:
            return
        if self._before_preview is None:
            self._before_preview = self.marked
        self.contents.marked = marked & ~self.removed
        self.announce(Aspect.MARKS)

    def preview_below(self, set_numbers: Iterable[int], threshold: float) -> None:
        """Show what a threshold would mark in these sets (live, while it is dragged)."""
        if self.analysis is not None and self.scores is not None and not self.busy:
            self.preview(self._below(set_numbers, threshold))

    def mark_below(self, set_numbers: Iterable[int], threshold: float) -> None:
        """Mark in these sets exactly what scores below the threshold; the best of a set stays."""
        if self.analysis is None or self.scores is None or self._refuses():
            return
        numbers = list(set_numbers)
        after = self._below(numbers, threshold)
        self.contents.marked, self._before_preview = self._base(), None
        touched = after != self.marked
        self._plan(self.tr("mark below {threshold:.3g}").format(threshold=threshold), after, touched)

    def cancel_preview(self) -> None:
        """Go back to the plan before the preview."""
        if self._before_preview is not None:
            self.contents.marked, self._before_preview = self._before_preview, None
            self.announce(Aspect.MARKS)

    def lock(self, structures: Mask | NDArray[np.int64] | Iterable[int], on: bool) -> None:
        """Protect structures from every further marking, or release them (also from what was decided by hand)."""
        if self._refuses() or self.analysis is None:
            return
        touched = mark_edits.as_mask(self.analysis, structures)
        text = (self.tr("lock {0}") if on else self.tr("unlock {0}")).format(self._counted(touched))
        by_hand = self.by_hand if on else self.by_hand & ~touched
        self.step(text, locked=np.where(touched, on, self.locked), by_hand=by_hand)

    def clear_marks(self) -> None:
        """Empty the plan; locks stay."""
        if not self._refuses() and self.analysis is not None:
            self.step(self.tr("clear marks"), marked=self.analysis.empty(), by_hand=self.analysis.empty())

    def set_goal(self, goal: Goal) -> None:
        """Change what to keep and what may be lost."""
        if goal != self.goal and not self._refuses():
            self.step(self.tr("change the goal"), fold="goal", goal=goal)

    def apply_plan(self, marked: Mask, text: str) -> None:
        """Take a plan that was computed; marks made by hand stay."""
        self.step(text, marked=marked & ~self.removed)

    def undo(self) -> None:
        """Take the last step back; never runs a job."""
        self._travel(back=True)

    def redo(self) -> None:
        """Do the step again that was taken back; never runs a job."""
        self._travel(back=False)

    def jump(self, place: int) -> None:
        """Go to a place of the history, on any of its branches; never runs a job."""
        if place != self.history.position and not self._refuses():
            self.cancel_preview()
            self._arrive(self.history.go(place), self.tr("Now at: {step}"), self.history.undo_text)

    def go_to(self, state_id: str) -> None:
        """Make a state the present one (undoable)."""
        here = state_id == self.contents.present and not self.marked.any()
        if not here and state_id in self.contents.states and not self._refuses():
            self.enter(state_id, self.tr("go to {state}").format(state=state_id))

    def enter(self, state_id: str, text: str) -> None:
        """Make a state present as an undoable step."""
        before = self.contents.snapshot()
        self.contents.go_to(state_id)
        self._push(text, before)
        self.announce(*PLAN, Aspect.LOG)
        self.work.score()

    # How a step is taken.

    def step(self, text: str, fold: str = "", **after: Any) -> None:
        """One undoable step: put these attributes into the contents."""
        self.cancel_preview()
        before = self.contents.snapshot()
        for name, value in after.items():
            setattr(self.contents, name, value)
        self._push(text, before, fold)
        self.announce(Aspect.GOAL if "goal" in after else Aspect.MARKS)

    def _plan(self, text: str, marked: Mask, touched: Mask) -> None:
        from secateur.engine.planning.goal import check_plan

        assert self.analysis is not None
        even = mark_edits.in_step(self.analysis, self.scores, marked, self.removed, self.barred, touched)
        if (even & ~marked).any():
            words = self.tr("Also marked {0}, so that counts stay equal.")
            self.announced.emit(words.format(self._counted(even & ~marked)))
        marked = even
        try:
            check_plan(self.analysis, self.removed | marked)
        except PlanError as error:
            self.announce(Aspect.MARKS)
            self.fail(error)
            return
        if (marked != self.marked).any():
            self.step(text, marked=marked, by_hand=self.by_hand | touched)
        else:
            self.announce(Aspect.MARKS)

    def _push(self, text: str, before: Any, fold: str = "") -> None:
        self.history.push(Entry(text, before, self.contents.snapshot(), fold))
        self.revision += 1

    def _travel(self, back: bool) -> None:
        if self._refuses():
            return
        self.cancel_preview()
        entry = self.history.undo() if back else self.history.redo()
        if entry is not None:
            words = self.tr("Undone: {step}") if back else self.tr("Redone: {step}")
            self._arrive(entry.before if back else entry.after, words, entry.text)

    def _arrive(self, snapshot: Snapshot | None, words: str, step: str) -> None:
        """Show what stood at another place of the history."""
        if snapshot is None:
            return
        self.contents.restore(snapshot)
        self.revision += 1
        self.announced.emit(words.format(step=step or self.tr("the start")))
        self.announce(*PLAN)
        self.work.score()

    def _counted(self, structures: Mask) -> str:
        return counted(int(structures.sum()), self.tr("{count} structure"), self.tr("{count} structures"))

    def _base(self) -> Mask:
        return self.marked if self._before_preview is None else self._before_preview

    def _below(self, set_numbers: Iterable[int], threshold: float) -> Mask:
        assert self.analysis is not None and self.scores is not None
        return mark_edits.below(
            self.analysis, self.scores, self._base(), self.removed, self.barred, list(set_numbers), threshold
        )

    def _refuses(self) -> bool:
        """True, with the reason said, while a job that changes states runs."""
        if self.busy:
            self.announced.emit(
                self.tr("The plan is fixed while a job changes the state. Wait for the job, or cancel it.")
            )
        return self.busy
