"""Which plans the history shows beside its states: those that were left behind when something else was done there."""

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from secateur.engine.session.states import State, StateKind
from secateur.engine.structures.costs import Costs, costs

from ...document.document import Document, Side
from ...document.job_state import Receipt
from ...document.undo_history import UndoHistory

say = QCoreApplication.translate


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan that was made on a state and not cut.

    Attributes:
        place: Where the history has it.
        state: Id of the state.
        marked: How many structures it marks.
        steps: Words of the steps that led to it, the newest first.
        present: It is the plan as it stands.
        side: The same for a comparison.
    """

    place: int
    state: str
    marked: int
    steps: tuple[str, ...]
    present: bool
    side: Side


class Plans:
    """The plans of a document, and what they cost; each is counted once."""

    def __init__(self) -> None:
        """Know none."""
        self._costs: dict[tuple[str, int], tuple[object, Costs]] = {}

    def rows(self, document: Document) -> list[PlanRow]:
        """All plans that no cut carried out, in the order in which they were made."""
        history = document.history
        after: dict[int, list[int]] = {}
        for number, parent in enumerate(history.parents):
            after.setdefault(parent, []).append(number + 1)
        places = range(1, len(history.entries) + 1)
        return [
            _row(document, place)
            for place in places
            if place == history.position or _stands(document, place, after.get(place, []))
            if history.entries[place - 1].after.marked.any()
        ]

    def costs(self, document: Document, row: PlanRow) -> Costs | None:
        """Exact costs of what a plan leaves."""
        if document.analysis is None or row.side.plan is None:
            return None
        key = row.state, id(row.side.plan)
        if key not in self._costs or self._costs[key][0] is not row.side.plan:
            gone = document.contents.removed_in(row.state) | row.side.plan
            self._costs[key] = (row.side.plan, costs(document.analysis, gone))
        return self._costs[key][1]

    def forget(self) -> None:
        """Another model is shown."""
        self._costs.clear()


def receipts(state: State) -> list[Receipt]:
    """The files that were written of a state, each place once with what was written there last."""
    last = {exported.files: exported for exported in state.exports}
    return [Receipt(state.id, exported) for exported in last.values()]


def _stands(document: Document, place: int, after: list[int]) -> bool:
    """Whether the plan at a place was left as it is: nothing went on with it, and no cut was made of it."""
    entries, states = document.history.entries, document.contents.states
    state = entries[place - 1].after.state
    for one in after:
        led = states.get(entries[one - 1].after.state)
        if led is None or led.id == state:
            return False
        if led.parent == state and led.kind is StateKind.CUT and entries[one - 1].before.state == state:
            return False
    return True


def _row(document: Document, place: int) -> PlanRow:
    snapshot = document.history.entries[place - 1].after
    present = place == document.history.position
    side = Side(snapshot.state, snapshot.marked, live=present)
    marked = int(snapshot.marked.sum())
    return PlanRow(place, snapshot.state, marked, _steps(document.history, place), present, side)


def _steps(history: UndoHistory, place: int) -> tuple[str, ...]:
    """What was done on this state up to a place, the newest first."""
    state, found = history.entries[place - 1].after.state, list[str]()
    while place and history.entries[place - 1].after.state == state:
        found.append(history.entries[place - 1].text)
        place = history.parents[place - 1]
    return tuple(found)


def plan_name(row: PlanRow) -> str:
    """Plan, 184 marked."""
    return say("history", "plan, {count} marked").format(count=f"{row.marked:,}")


def plan_tip(row: PlanRow) -> str:
    """How it was made, and what a click does."""
    lines = [say("history", "A plan that was not cut. Its steps, newest first:"), *row.steps[:8]]
    if len(row.steps) > 8:
        lines.append(say("history", "and {0} more").format(len(row.steps) - 8))
    return "\n".join(lines)
