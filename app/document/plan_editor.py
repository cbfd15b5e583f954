"""The plan: what is marked, locked and decided by hand, and the goal; every edit is instant and can be undone."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import PlanError, SecateurError
from secateur.engine.planning import marks
from secateur.engine.planning.isomorphic_classes import with_their_blocks
from secateur.engine.structures.analysis import Analysis, Mask

from ..text.translate import counted
from .aspects import Aspect, Goal
from .contents import Contents
from .undo_history import Entry, Snapshot, UndoHistory

PLAN = frozenset({Aspect.MARKS, Aspect.GOAL, Aspect.STATES, Aspect.SCORES})
"""What another current state changes."""
CONTEXT = "PlanEditor"


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


def _plan_key(revision: int) -> str:
    """What joins a goal that led to a revision with the plan that is made there."""
    return f"planned {revision}"


class PlanHost(Protocol):
    """What the editor needs of the document: contents and history that it edits, and whom it informs.

    Attributes:
        contents: What is open.
        history: Where each edit becomes a step.
        revision: Grows with every change that makes a plan in the making worthless.
    """

    contents: Contents
    history: UndoHistory
    revision: int

    @property
    def busy(self) -> bool:
        """A job that changes states runs: the plan cannot be edited."""
        ...

    def announce(self, *aspects: Aspect) -> None:
        """Tell the views what changed."""
        ...

    def tell(self, sentence: str) -> None:
        """Say something in the status bar."""
        ...

    def fail(self, error: SecateurError) -> None:
        """Tell the window what went wrong."""
        ...

    def want_scores(self) -> None:
        """Another state is present, or another rating wanted: its scores may be missing."""
        ...


class PlanEditor:
    """Edits the plan, and travels through its history."""

    def __init__(self, host: PlanHost) -> None:
        """Edit the plan of a document."""
        self._host = host

    @property
    def _now(self) -> Contents:
        return self._host.contents

    @property
    def _analysis(self) -> Analysis | None:
        return self._host.contents.analysis

    def mark(self, structures: Mask | NDArray[np.int64] | Iterable[int], on: bool) -> None:
        """Mark structures for removal, or unmark them; what is locked or removed stays as it is."""
        if self.refuses() or self._analysis is None:
            return
        asked = marks.as_mask(self._analysis, structures) & ~self._now.removed
        touched = asked & ~self._now.barred if on else asked
        if (asked & ~touched).any():
            self._host.tell(say("Locked structures were not marked. Unlock them first."))
        words = say("mark {0}") if on else say("unmark {0}")
        text = words.format(self._count_words(touched))
        self._plan(text, np.where(touched, on, self._now.marked), touched)

    def toggle_marks(self, structures: Mask | NDArray[np.int64] | Iterable[int]) -> None:
        """Mark what of these can be marked; unmark it where all of it is marked."""
        if self._analysis is not None:
            asked = marks.as_mask(self._analysis, structures) & ~self._now.removed
            free = asked & ~self._now.barred
            self.mark(asked, not free.any() or not self._now.marked[free].all())

    def take_marks(self, text: str, marked: Mask, touched: Mask) -> None:
        """Take marks that a rule made, as one step; what it touched counts as decided by hand."""
        if not self.refuses() and self._analysis is not None:
            self.cancel_preview()
            self._plan(text, marked & ~self._now.removed, touched)

    def invert(self, scope: Mask) -> None:
        """Mark in a scope what is not marked, and unmark what is."""
        if self._analysis is not None:
            now = self._now
            after, touched = marks.invert_marks(self._analysis, now.present_scores, now.masks, scope)
            self.take_marks(say("invert marks"), after, touched)

    def grow(self) -> None:
        """Mark more until widths are multiples that are fast on the target."""
        if self._analysis is not None:
            now = self._now
            after, touched = marks.grow_marks(self._analysis, now.present_scores, now.masks, now.target.multiple)
            if (after == self._now.marked).all():
                self._host.tell(say("The width of every layer with marks is already aligned."))
            self.take_marks(say("align widths"), after, touched)

    def keep(self, set_number: int, count: int) -> None:
        """Keep the `count` best structures of a coupled set and mark the rest."""
        if self.refuses() or self._analysis is None:
            return
        now = self._now
        try:
            after = marks.keep(self._analysis, now.present_scores, now.masks, set_number, count, alone=True)
        except PlanError as error:
            self._host.announce(Aspect.MARKS)
            self._host.fail(error)
            return
        touched = self._analysis.empty()
        touched[self._analysis.sets[set_number].structures] = True
        module = self._analysis.sets[set_number].module
        self._plan(
            say("keep {count} of {module}").format(count=count, module=module), after, touched & ~self._now.removed
        )

    def preview(self, marked: Mask) -> None:
        """Show a plan without an undo step, until an edit takes it or `cancel_preview` ends it."""
        if self._host.busy or self._analysis is None:
            return
        if self._now.unpreviewed is None:
            self._now.unpreviewed = self._now.marked
        self._now.marked = marked & ~self._now.removed
        self._host.announce(Aspect.MARKS)

    def preview_below(self, set_numbers: Iterable[int], threshold: float) -> None:
        """Show what a threshold would mark in these sets (live, while it is dragged)."""
        if self._analysis is not None and self._now.present_scores is not None and not self._host.busy:
            self.preview(self._below(set_numbers, threshold))

    def mark_below(self, set_numbers: Iterable[int], threshold: float) -> None:
        """Mark in these sets exactly what scores below the threshold; the best of a set stays."""
        if self._analysis is None or self._now.present_scores is None or self.refuses():
            return
        numbers = list(set_numbers)
        after = self._below(numbers, threshold)
        self._now.marked, self._now.unpreviewed = self._base(), None
        touched = after != self._now.marked
        self._plan(say("mark below {threshold:.3g}").format(threshold=threshold), after, touched)

    def cancel_preview(self) -> None:
        """Go back to the plan before the preview."""
        if self._now.unpreviewed is not None:
            self._now.marked, self._now.unpreviewed = self._now.unpreviewed, None
            self._host.announce(Aspect.MARKS)

    def lock(self, structures: Mask | NDArray[np.int64] | Iterable[int], on: bool) -> None:
        """Protect structures from being marked, now and later, or release them (also from what was decided by hand)."""
        if self.refuses() or self._analysis is None:
            return
        self.cancel_preview()
        touched, now = marks.as_mask(self._analysis, structures), self._now
        text = (say("lock {0}") if on else say("unlock {0}")).format(self._count_words(touched))
        locked = np.where(touched, on, now.locked)
        if not on:
            by_hand = now.by_hand & ~touched
            if (locked != now.locked).any() or (by_hand != now.by_hand).any():
                self.step(text, locked=locked, by_hand=by_hand)
            return
        if (locked == now.locked).all():
            return
        after = replace(now.masks, locked=with_their_blocks(self._analysis, locked))
        marked = now.marked
        if (marked & after.locked).any():
            marked = marks.unlocked_marks(self._analysis, now.present_scores, after)
            words = say("Unmarked {0}: locked structures are never removed.")
            self._host.tell(words.format(self._count_words(now.marked & ~marked)))
        self.step(text, locked=locked, marked=marked)

    def toggle_locks(self, structures: Mask | NDArray[np.int64] | Iterable[int]) -> None:
        """Lock these; unlock them where all are locked."""
        if self._analysis is not None:
            asked = marks.as_mask(self._analysis, structures)
            self.lock(asked, not asked.any() or not self._now.locked[asked].all())

    def clear_marks(self) -> None:
        """Empty the plan; locks stay."""
        if not self.refuses() and self._analysis is not None:
            self.step(say("clear marks"), marked=self._analysis.empty(), by_hand=self._analysis.empty())

    def set_goal(self, goal: Goal, planned: bool = False) -> None:
        """Change what to keep and what may be lost; where it is `planned` for at once, both are one step."""
        if goal != self._now.goal and not self.refuses():
            self.step(say("change the goal"), fold=_plan_key(self._host.revision + 1) if planned else "goal", goal=goal)

    def remove_shape(self) -> None:
        """Ask for no target shape any more, but for what was asked before it; where no step says what, for half."""
        history, goal = self._host.history, self._now.goal
        places = reversed(history.line()) if history.entries else ()
        before = (history.at(place).goal for place in places if place <= history.position)
        former = next((one for one in before if not one.shape), Goal(cost=goal.cost))
        self.set_goal(replace(goal, keep=former.keep, cost=former.cost, kept=former.kept, shape=()))

    def apply_plan(self, marked: Mask, text: str, searched: bool = False) -> None:
        """Take a plan that was computed, perhaps by a search of shares; marks made by hand stay."""
        by = self._now.rule if searched else ""
        self.step(text, fold=_plan_key(self._host.revision), marked=marked & ~self._now.removed, searched=by)

    def undo(self) -> None:
        """Take the last step back; never runs a job."""
        self._travel(back=True)

    def redo(self) -> None:
        """Do the step again that was taken back; never runs a job."""
        self._travel(back=False)

    def jump(self, place: int) -> None:
        """Go to a place of the history, on any of its branches; never runs a job."""
        if place != self._host.history.position and not self.refuses():
            self.cancel_preview()
            self._arrive(self._host.history.go(place), say("Now at: {step}"), self._host.history.undo_text)

    def go_to(self, state_id: str) -> None:
        """Make a state the present one (undoable)."""
        here = state_id == self._now.present and not self._now.marked.any()
        if not here and state_id in self._now.states and not self.refuses():
            self.enter(state_id, say("go to {state}").format(state=state_id))

    def enter(self, state_id: str, text: str) -> None:
        """Make a state present as an undoable step."""
        before = self._now.snapshot()
        self._now.go_to(state_id)
        self._push(text, before)
        self._host.announce(*PLAN, Aspect.LOG)
        self._host.want_scores()

    # How a step is taken.

    def step(self, text: str, fold: str = "", **after: Any) -> None:
        """One undoable step: put these attributes into the contents."""
        self.cancel_preview()
        before = self._now.snapshot()
        self._now.searched = ""
        for name, value in after.items():
            setattr(self._now, name, value)
        self._push(text, before, fold)
        self._host.announce(Aspect.GOAL if "goal" in after else Aspect.MARKS)

    def _plan(self, text: str, marked: Mask, touched: Mask) -> None:
        assert self._analysis is not None
        now = self._now
        even = marks.in_step(self._analysis, now.present_scores, replace(now.masks, marked=marked), touched)
        if (even & ~marked).any():
            words = say("Also marked {0}, so that counts stay equal.")
            self._host.tell(words.format(self._count_words(even & ~marked)))
        marked = even
        try:
            marks.check_plan(self._analysis, self._now.removed | marked)
        except PlanError as error:
            self._host.announce(Aspect.MARKS)
            self._host.fail(error)
            return
        if (marked != self._now.marked).any():
            self.step(text, marked=marked, by_hand=self._now.by_hand | touched)
        else:
            self._host.announce(Aspect.MARKS)

    def _push(self, text: str, before: Any, fold: str = "") -> None:
        self._host.history.push(Entry(text, before, self._now.snapshot(), fold))
        self._host.revision += 1

    def _travel(self, back: bool) -> None:
        if self.refuses():
            return
        self.cancel_preview()
        entry = self._host.history.undo() if back else self._host.history.redo()
        if entry is not None:
            words = say("Undone: {step}") if back else say("Redone: {step}")
            self._arrive(entry.before if back else entry.after, words, entry.text)

    def _arrive(self, snapshot: Snapshot | None, words: str, step: str) -> None:
        """Show what stood at another place of the history."""
        if snapshot is None:
            return
        self._now.restore(snapshot)
        self._host.revision += 1
        self._host.tell(words.format(step=step or say("the start")))
        self._host.announce(*PLAN)
        self._host.want_scores()

    def _count_words(self, structures: Mask) -> str:
        return counted(int(structures.sum()), say("{count} structure"), say("{count} structures"))

    def _base(self) -> Mask:
        return self._now.marked if self._now.unpreviewed is None else self._now.unpreviewed

    def _below(self, set_numbers: Iterable[int], threshold: float) -> Mask:
        now, analysis, scores = self._now, self._analysis, self._now.present_scores
        assert analysis is not None and scores is not None
        masks = replace(now.masks, marked=self._base())
        return marks.below(analysis, scores, masks, list(set_numbers), threshold)

    def refuses(self) -> bool:
        """True, with the reason said, while a job that changes states runs."""
        if self._host.busy:
            self._host.tell(say("The plan is fixed while a job changes the state. Wait for the job, or cancel it."))
        return self._host.busy
