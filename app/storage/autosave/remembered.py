"""The state of a window, as plain data: the history and everything else that a person would have to redo."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from secateur.engine.planning.protocol import Ranking
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.scoring.score_options import Choices
from secateur.engine.structures.analysis import Analysis, matching_keys
from secateur.engine.targets.protocol import TargetSpec

from ...document.aspects import Goal, Selection
from ...document.contents import Contents
from ...document.document import Document
from ...document.job_state import UnfinishedJob
from ...document.undo_history import Snapshot, UndoHistory
from .. import settings
from .layout import Layout

CHOSEN: dict[str, type] = {"choices": Choices, "ranking": Ranking, "target": TargetSpec, "expected": float}
"""What else of the contents is kept, by name."""


@dataclass(slots=True)
class Remembered:
    """The window's part of a session.

    Attributes:
        name: Of the model, for a person.
        source: Where it came from.
        layout: What the masks stand for.
        now: What was last shown.
        history: The undo history.
        values: What else was chosen, by name; as JSON has it where a file was read.
        selection: (module, key of the set, number in it) of what was selected; None for nothing.
        job: What was running, None for nothing.
    """

    name: str
    source: str
    layout: Layout
    now: Snapshot
    history: UndoHistory = field(default_factory=UndoHistory)
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    selection: tuple[str, str, int] | None = None
    job: UnfinishedJob | None = None

    @classmethod
    def of(cls, document: Document, analysis: Analysis, layout: Layout) -> "Remembered":
        """The state of a document: takes no time, and nothing in it changes afterwards."""
        contents = document.contents
        now, history = contents.snapshot(), UndoHistory()
        if contents.unpreviewed is not None:
            # A preview becomes a plan only when it is taken.
            now = replace(now, marked=contents.unpreviewed)
        history.take(document.history)
        values = {name: getattr(contents, name) for name in ("criterion", "recovery", *CHOSEN)}
        one, selection = contents.selection, None
        if 0 <= one.set_number < len(analysis.sets):
            chosen = analysis.sets[one.set_number]
            selection = one.module, chosen.key, one.structure - chosen.first if one.structure >= 0 else -1
        elif one.module:
            selection = one.module, "", -1
        source = contents.spec.source if contents.spec is not None else ""
        return cls(contents.name, source, layout, now, history, values, selection, document.unfinished)

    def fit(self, analysis: Analysis, states: set[str]) -> "Remembered":
        """The same for an analysis of this run; steps from or to states that are gone are left out, as at first.

        Args:
            analysis: Of the model that was opened again.
            states: Ids of the states that there are.
        """
        move, made = self.layout.onto(Layout.of(analysis)), dict[int, np.ndarray]()

        def moved(mask: np.ndarray) -> np.ndarray:
            # Steps share the masks that they did not change: move each of them once.
            if id(mask) not in made:
                made[id(mask)] = move(mask)
            return made[id(mask)]

        def at(snapshot: Snapshot) -> Snapshot:
            return replace(
                snapshot,
                marked=moved(snapshot.marked),
                locked=moved(snapshot.locked),
                by_hand=moved(snapshot.by_hand),
            )

        history = UndoHistory()
        history.entries = [replace(e, before=at(e.before), after=at(e.after)) for e in self.history.entries]
        history.parents, history.latest = list(self.history.parents), dict(self.history.latest)
        history.position, clean = self.history.position, self.history.clean_place
        lost = [n for n, e in enumerate(history.entries) if not {e.before.state, e.after.state} <= states]
        if lost:
            while history.position > lost[0]:
                history.position = history.parents[history.position - 1]
            history.entries, history.parents = history.entries[: lost[0]], history.parents[: lost[0]]
            history.latest = {place: ahead for place, ahead in history.latest.items() if ahead <= lost[0]}
            clean = None
        history.mark_clean(clean)
        return replace(self, layout=Layout.of(analysis), now=at(self.now), history=history)

    def apply_to(self, contents: Contents, recovery: RecoverySettings) -> RecoverySettings:
        """Put the choices that can still be made into the contents; returns the settings of the next recovery."""
        # Imported late: the window starts without it.
        import msgspec

        from secateur.engine.storage.serialization import from_plain

        for name, value in self.values.items():
            # Another version may know other values.
            with suppress(msgspec.MsgspecError, ValueError, TypeError, KeyError):
                if name == "recovery":
                    recovery = from_plain(value, RecoverySettings)
                elif name == "criterion":
                    contents.criterion = CRITERIA[value].name
                elif name in CHOSEN:
                    setattr(contents, name, from_plain(value, CHOSEN[name]))
        # A project may come from a stranger: connect only to machines that this user has measured on.
        if contents.target.address not in settings.machines(settings.BOARDS):
            contents.target = replace(contents.target, address="")
        return recovery

    def selected(self, analysis: Analysis | None) -> Selection:
        """What was selected, as far as it is there."""
        if self.selection is None or analysis is None:
            return Selection()
        module, key, number = self.selection
        key = matching_keys((key,), (one.key for one in analysis.sets)).get(key, "")
        found = next((n for n, one in enumerate(analysis.sets) if one.key == key), -1)
        if found < 0:
            return Selection(module if any(m.path == module for m in analysis.modules) else "")
        one = analysis.sets[found]
        return Selection(module, found, one.first + number if 0 <= number < one.count else -1)


def nothing(layout: Layout, state: str, goal: Goal) -> Snapshot:
    """A snapshot without marks and locks: what every file begins from."""
    empty = np.zeros(layout.count, dtype=np.bool_)
    return Snapshot(state, empty, empty, empty, goal)
