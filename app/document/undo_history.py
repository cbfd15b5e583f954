"""One history across marks, locks, goal and the jobs that made states: snapshots before and after each step.

A snapshot names the current state and holds the arrays of the plan, which are never changed in place, so steps share
what they did not change. Going back never runs a job: the weights of every state are on disk. Steps are a tree: going
back and doing something else begins a branch, and the other branch stays.
"""

from dataclasses import dataclass

from secateur.engine.structures.analysis import Mask

from .aspects import Goal

LIMIT = 300
"""Steps kept; older ones are forgotten, their states are not."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that undo brings back.

    Attributes:
        state: Id of the current state.
        marked: [S] the plan, on top of what the state removed.
        locked: [S] protected by the user.
        by_hand: [S] decided by the user's own hand: the solver leaves these as they are.
        goal: The goal.
        searched: What a search of shares has left this plan by; "" where none has.
    """

    state: str
    marked: Mask
    locked: Mask
    by_hand: Mask
    goal: Goal
    searched: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A step: its words ("cut 96 structures"), what was before and after; steps in a row with one `fold` become one."""

    text: str
    before: Snapshot
    after: Snapshot
    fold: str = ""


class UndoHistory:
    """Undo and redo over a tree of entries, with the place that was saved.

    A place is 0 for the begin, and n + 1 behind entry n.

    Attributes:
        entries: In the order in which they were done.
        parents: For each entry the place at which it was done.
        position: The present place.
        latest: Where redo leads from places that were left by going back.
        clean_place: The place that is saved, None for none.
    """

    def __init__(self) -> None:
        """Start empty and clean."""
        self.entries: list[Entry] = []
        self.parents: list[int] = []
        self.position = 0
        self.clean_place: int | None = 0
        self.latest: dict[int, int] = {}

    def push(self, entry: Entry) -> None:
        """Add a step at the present place; steps that were undone there stay as a branch of their own."""
        place, last = self.position, self.entries[self.position - 1] if self.position else None
        if (
            last is not None
            and entry.fold
            and entry.fold == last.fold
            and self.clean_place != place
            and self._is_end(place)
        ):
            self.entries[place - 1] = Entry(entry.text, last.before, entry.after, entry.fold)
            return
        self.entries.append(entry)
        self.parents.append(place)
        self.position = self.latest[place] = len(self.entries)
        if len(self.entries) > LIMIT:
            self.forget_first()

    def undo(self) -> Entry | None:
        """Step back; the entry that was undone."""
        if self.position == 0:
            return None
        undone, self.position = self.position, self.parents[self.position - 1]
        self.latest[self.position] = undone
        return self.entries[undone - 1]

    def redo(self) -> Entry | None:
        """Step forward, on the branch that was left last; the entry that was done again."""
        ahead = self._ahead(self.position)
        if ahead is None:
            return None
        self.position = ahead
        return self.entries[ahead - 1]

    def go(self, place: int) -> Snapshot | None:
        """Go to a place on any branch; what stood there, None where there is no such place."""
        if not 0 <= place <= len(self.entries) or not self.entries:
            return None
        at = self.position = place
        # Redo from any place on the way has to lead back here.
        while at:
            self.latest[self.parents[at - 1]] = at
            at = self.parents[at - 1]
        return self.at(place)

    def at(self, place: int) -> Snapshot:
        """The snapshot at a place; there must be an entry."""
        return self.entries[place - 1].after if place else self.entries[self.parents.index(0)].before

    def line(self) -> list[int]:
        """The places from the begin to the present one, and on to where redo leads."""
        places = [self.position]
        while places[0]:
            places.insert(0, self.parents[places[0] - 1])
        while (ahead := self._ahead(places[-1])) is not None:
            places.append(ahead)
        return places

    def ends(self) -> list[int]:
        """The last place of every branch, in the order in which they were made."""
        return [place for place in range(1, len(self.entries) + 1) if self._is_end(place)]

    def clear(self) -> None:
        """Forget everything (another model)."""
        self.entries.clear()
        self.parents.clear()
        self.latest.clear()
        self.position = 0
        self.clean_place = 0

    def spoil(self) -> None:
        """Something that no step shows was made: no place is the saved one any more."""
        self.clean_place = None

    def take(self, other: "UndoHistory") -> None:
        """Become another history, as it was read from a disk."""
        self.entries, self.parents, self.latest = list(other.entries), list(other.parents), dict(other.latest)
        self.position, self.clean_place = other.position, other.clean_place

    @property
    def clean(self) -> bool:
        """True where nothing was changed since the last save."""
        return self.clean_place == self.position

    @property
    def undo_text(self) -> str:
        """What undo would take back, "" for nothing."""
        return self.entries[self.position - 1].text if self.position else ""

    @property
    def redo_text(self) -> str:
        """What redo would do again, "" for nothing."""
        ahead = self._ahead(self.position)
        return "" if ahead is None else self.entries[ahead - 1].text

    def _is_end(self, place: int) -> bool:
        return place not in self.parents

    def _ahead(self, place: int) -> int | None:
        """Where redo leads from a place: the branch on which one was last, else the newest."""
        if (known := self.latest.get(place)) is not None:
            return known
        after = [number + 1 for number, parent in enumerate(self.parents) if parent == place]
        return after[-1] if after else None

    def forget_first(self) -> None:
        """Forget the oldest entry: what followed it begins the history now."""
        alone = self.parents.count(0) == 1
        del self.entries[0], self.parents[0]
        self.parents = [max(parent - 1, 0) for parent in self.parents]
        self.position = max(self.position - 1, 0)
        self.latest = {place - 1: ahead - 1 for place, ahead in self.latest.items() if place and ahead > 1}
        self.clean_place = self.clean_place - 1 if self.clean_place and (self.clean_place > 1 or alone) else None
