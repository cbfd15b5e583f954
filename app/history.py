"""One history across marks, locks, goal and the jobs that made states: snapshots before and after each step.

A snapshot names the present state and holds the arrays of the plan, which are never changed in place, so steps share
what they did not change. Going back never runs a job: the weights of every state lie on disk.
"""

from collections.abc import Callable
from dataclasses import dataclass

from secateur.engine.structures.analysis import Mask

from .aspects import Goal

LIMIT = 300
"""Steps kept; older ones are forgotten, their states are not."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that undo brings back.

    Attributes:
        state: Id of the present state.
        marked: [S] the plan, on top of what the state removed.
        locked: [S] protected by the user.
        by_hand: [S] decided by the user's own hand: the solver leaves these as they are.
        goal: The goal.
    """

    state: str
    marked: Mask
    locked: Mask
    by_hand: Mask
    goal: Goal


@dataclass(frozen=True, slots=True)
class Entry:
    """A step: its words ("cut 96 structures"), what was before and after; steps in a row with one `fold` become one."""

    text: str
    before: Snapshot
    after: Snapshot
    fold: str = ""


class History:
    """Undo and redo over entries, with the place that was saved.

    Attributes:
        entries: The steps, oldest first.
        position: How many of them are done.
        heard: Told of each change, after it: its name (of the method) and its arguments.
    """

    def __init__(self, heard: Callable[..., None] = lambda *_: None) -> None:
        """Start empty and clean."""
        self.entries: list[Entry] = []
        self.position = 0
        self.heard = heard
        self._clean: int | None = 0

    def push(self, entry: Entry) -> None:
        """Add a step after the present place; what could be redone is gone."""
        self._push(entry)
        self.heard("push", entry)

    def _push(self, entry: Entry) -> None:
        if self._clean is not None and self._clean > self.position:
            self._clean = None
        del self.entries[self.position :]
        last = self.entries[-1] if self.entries else None
        if last is not None and entry.fold and entry.fold == last.fold and self._clean != self.position:
            self.entries[-1] = Entry(entry.text, last.before, entry.after, entry.fold)
            return
        self.entries.append(entry)
        if len(self.entries) > LIMIT:
            del self.entries[0]
            self._clean = None if not self._clean else self._clean - 1
        self.position = len(self.entries)

    def undo(self) -> Entry | None:
        """Step back; the entry that was undone."""
        if self.position == 0:
            return None
        self.position -= 1
        self.heard("undo")
        return self.entries[self.position]

    def redo(self) -> Entry | None:
        """Step forward; the entry that was done again."""
        if self.position == len(self.entries):
            return None
        self.position += 1
        self.heard("redo")
        return self.entries[self.position - 1]

    def clear(self) -> None:
        """Forget everything (another model)."""
        self.entries.clear()
        self.position = 0
        self._clean = 0
        self.heard("clear")

    def mark_clean(self, place: int | None) -> None:
        """Remember that this place is saved; None for none of them."""
        self._clean = place
        self.heard("mark_clean", place)

    def spoil(self) -> None:
        """Something that no step shows was made: no place is the saved one any more."""
        self.mark_clean(None)

    def take(self, other: "History") -> None:
        """Become another history, as it was read from a disk."""
        self.entries, self.position, self._clean = list(other.entries), other.position, other.clean_place

    @property
    def clean_place(self) -> int | None:
        """The place that is saved, None for none."""
        return self._clean

    @property
    def clean(self) -> bool:
        """True where nothing was changed since the last save."""
        return self._clean == self.position

    @property
    def undo_text(self) -> str:
        """What undo would take back, "" for nothing."""
        return self.entries[self.position - 1].text if self.position else ""

    @property
    def redo_text(self) -> str:
        """What redo would do again, "" for nothing."""
        return self.entries[self.position].text if self.position < len(self.entries) else ""
