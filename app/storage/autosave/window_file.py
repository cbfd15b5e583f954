"""The state of a window as plain data (`Remembered`), and the file that keeps it in its session's folder.

Each line is a JSON object. The first one names the structures that masks are about, then come the choices outside
the history, and then the steps, oldest first. A step stores what changed in the masks since the step before, so that it
takes a few dozen bytes whatever the model's size. Earlier versions added a line for each thing that was done ("push",
"undo", "go" ...) to a file that began like this one; such journals are read too.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur.engine.errors import SecateurError
from secateur.engine.planning.protocol import Ranking
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.scoring.score_options import Choices
from secateur.engine.storage.atomic_files import staged_write
from secateur.engine.storage.file_limits import check_special
from secateur.engine.structures.analysis import Analysis, matching_keys
from secateur.engine.targets.protocol import TargetSpec

from ...document.aspects import Goal, Selection
from ...document.contents import Contents
from ...document.document import Document
from ...document.job_state import UnfinishedJob
from ...document.undo_history import Entry, Snapshot, UndoHistory
from ...storage import settings
from .layout import Layout, changed, difference

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
        history.clean_place = clean
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


WINDOW = "window.jsonl"
SCHEMA = 1
BOUND = 32_000_000
"""Bytes of steps at most: beyond that, the oldest steps are left out."""
MASKS = ("marked", "locked", "by_hand")


class WindowFile:
    """Writes the state of one window; its methods are called by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Name the file; nothing is written yet."""
        self.path = folder / WINDOW
        self._written: list[bytes] = []
        self._empty: Snapshot | None = None
        self._layout = ""
        self._steps: dict[int, tuple[Entry, Snapshot, str]] = {}

    def write(self, kept: Remembered) -> None:
        """Replace the file, unless it says the same already; raises SecateurError where the disk refuses it."""
        lines = self._encode(kept)
        if lines == self._written:
            return
        if not self._written:
            # A window that was killed while it wrote has left these.
            for left in self.path.parent.glob(f".{WINDOW}.*.part"):
                left.unlink(missing_ok=True)
        with staged_write(self.path) as temporary, temporary.open("wb") as file:
            file.writelines(lines)
        self._written = lines

    def _encode(self, kept: Remembered) -> list[bytes]:
        """The lines of the file; changes the history of `kept` where that is too long to be written."""
        if self._empty is None:
            self._empty = nothing(kept.layout, "", Goal())
            self._layout = _json(kept.layout.plain())
        history = kept.history
        # Masks of a million structures take milliseconds each, and a history has hundreds: what a step changes is
        # worked out once, and kept as long as the same two steps follow each other.
        known, self._steps = self._steps, {}
        while True:
            last, steps = self._empty, list[str]()
            for entry in history.entries:
                found = known.get(id(entry))
                if found is None or found[1] is not last:
                    change = {"before": _change(last, entry.before), "after": _change(entry.before, entry.after)}
                    found = entry, last, _json({"text": entry.text, "fold": entry.fold} | change)[1:]
                self._steps[id(entry)] = found
                steps.append(found[2])
                last = entry.after
            # The present place has to stay in the history.
            if sum(map(len, steps)) <= BOUND or history.position < 2:
                break
            known = known | self._steps
            for _ in range(min(history.position - 1, 1 + len(steps) // 8)):
                history.forget_first()
        place = {"position": history.position, "clean": history.clean_place, "latest": sorted(history.latest.items())}
        lines = [
            _json({"do": "set", "values": to_plain(kept.values)}),
            _json({"do": "select", "selected": kept.selection}),
            _json({"do": "job", "job": to_plain(kept.job)}),
            *(f'{{"do":"entry","parent":{n},{step}' for n, step in zip(history.parents, steps, strict=True)),
            _json({"do": "place", **place, "now": _change(last, kept.now)}),
        ]
        head = {"do": "begin", "schema": SCHEMA, "lines": len(lines) + 1, "name": kept.name, "source": kept.source}
        lines.insert(0, f'{_json(head)[:-1]},"layout":{self._layout}}}')
        return [f"{line}\n".encode() for line in lines]


def read(folder: Path, damaged: Callable[[Path], object] = lambda _path: None) -> Remembered | None:
    """What a folder's file says, None without one.

    Lines follow from each other, so what comes before damage is kept, and nothing behind it.

    Args:
        folder: Of the session or project.
        damaged: Takes the file, where it cannot be read to its end.
    """
    path = folder / WINDOW
    try:
        check_special(path)
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, SecateurError):
        damaged(path)
        return None
    kept: Remembered | None = None
    count = taken = 0
    lines = content.splitlines(keepends=True)
    for line in lines:
        try:
            record = json.loads(line)
            if record["do"] == "begin":
                kept, count = _begin(record), int(record.get("lines", 0))
            elif kept is None:
                raise ValueError("the first line is missing")
            else:
                _take(kept, record)
        except Exception:
            # A damaged line can raise anything.
            break
        taken += 1
    # A journal does not say how many lines it has, and may end with half a one: that is the step that was being written
    # when the window was killed.
    torn = kept is not None and not count and taken == len(lines) - 1 and not content.endswith(b"\n")
    if not lines or (taken < max(count, len(lines)) and not torn):
        damaged(path)
    return kept


def _begin(record: dict[str, Any]) -> Remembered:
    """What the first line says; raises ValueError, KeyError or TypeError for any other."""
    if record["schema"] > SCHEMA:
        raise ValueError("written by a later version")
    layout = Layout.from_plain(record["layout"])
    return Remembered(str(record["name"]), str(record["source"]), layout, nothing(layout, "", Goal()), UndoHistory())


def _take(kept: Remembered, record: dict[str, Any]) -> None:
    """Take a line that is not the first; a damaged one raises an error and changes nothing."""
    history = kept.history
    match record["do"]:
        case "set":
            kept.values = kept.values | dict(record["values"])
        case "select":
            chosen = record["selected"]
            kept.selection = None if chosen is None else (str(chosen[0]), str(chosen[1]), int(chosen[2]))
        case "job":
            kept.job = None if record["job"] is None else from_plain(record["job"], UnfinishedJob)
        case "entry":
            parent = int(record["parent"])
            if not 0 <= parent <= len(history.entries):
                raise ValueError("a step follows one that comes later")
            history.entries.append(_step(kept.now, record))
            history.parents.append(parent)
            history.position, kept.now = len(history.entries), history.entries[-1].after
        case "place":
            position, clean = int(record["position"]), record["clean"]
            if not 0 <= position <= len(history.entries):
                raise ValueError("the history is shorter than its position")
            latest = {int(place): int(ahead) for place, ahead in record["latest"]}
            kept.now = _after(kept.now, record["now"])
            history.position, history.latest = position, latest
            history.clean_place = None if clean is None else int(clean)
        case _:
            _replay(kept, record)


def _replay(kept: Remembered, record: dict[str, Any]) -> None:
    """Do again what a line of a journal says, which earlier versions wrote; unknown lines are of later ones."""
    history = kept.history
    match record["do"]:
        case "push":
            entry = _step(kept.now, record)
            history.push(entry)
            kept.now = entry.after
        case "undo":
            if (entry := history.undo()) is not None:
                kept.now = entry.before
        case "redo":
            if (entry := history.redo()) is not None:
                kept.now = entry.after
        case "go":
            kept.now = history.go(int(record["place"])) or kept.now
        case "clean":
            history.clean_place = None if record["place"] is None else int(record["place"])
        case _:
            pass


def _change(last: Snapshot, now: Snapshot) -> dict[str, Any]:
    """What a snapshot changes of another one."""
    change: dict[str, Any] = {}
    if now.state != last.state:
        change["state"] = now.state
    if now.goal != last.goal:
        change["goal"] = to_plain(now.goal)
    if now.searched != last.searched:
        change["searched"] = now.searched
    for name in MASKS:
        before, after = getattr(last, name), getattr(now, name)
        if before is not after and (before != after).any():
            change[name] = difference(before, after)
    return change


def _after(last: Snapshot, change: dict[str, Any]) -> Snapshot:
    """The snapshot that `_change` was made from."""
    masks = {n: changed(getattr(last, n), change[n]) if n in change else getattr(last, n) for n in MASKS}
    goal = from_plain(change["goal"], Goal) if "goal" in change else last.goal
    searched = str(change.get("searched", last.searched))
    return Snapshot(state=str(change.get("state", last.state)), goal=goal, searched=searched, **masks)


def _step(last: Snapshot, record: dict[str, Any]) -> Entry:
    before = _after(last, record["before"])
    return Entry(str(record["text"]), before, _after(before, record["after"]), str(record["fold"]))


def to_plain(value: Any) -> Any:
    """As `serialization.to_plain`, which is loaded with the first file: the window starts without it."""
    from secateur.engine.storage import serialization

    return serialization.to_plain(value)


def from_plain(value: Any, kind: type[Any]) -> Any:
    """As `serialization.from_plain`."""
    from secateur.engine.storage import serialization

    return serialization.from_plain(value, kind)


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
