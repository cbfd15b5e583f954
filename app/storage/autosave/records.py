"""The lines of the window's log: JSON objects, each telling what one step changed since the line before.

Masks are stored as what changed in them, so that a step costs a few dozen bytes whatever the model's size. `Writing`
makes lines, `Reading` takes them; both follow the same snapshots.
"""

import json
from collections.abc import Iterator
from typing import Any

from ...document.aspects import Goal
from ...document.job_state import UnfinishedJob
from ...document.undo_history import Entry, Snapshot, UndoHistory
from .layout import Layout, changed, difference
from .remembered import Remembered, nothing

SCHEMA = 1
MASKS = ("marked", "locked", "by_hand")
NONE: dict[str, int] = {}


class Writing:
    """Makes the lines of one log, in order.

    Attributes:
        layout: What masks stand for.
    """

    def __init__(self, layout: Layout) -> None:
        """Begin from an empty plan."""
        self.layout = layout
        self._last = nothing(layout, "", Goal())

    def whole(self, kept: Remembered) -> Iterator[bytes]:
        """Everything that is known: the first lines of a log."""
        head = {"do": "begin", "schema": SCHEMA, "name": kept.name, "source": kept.source}
        yield _line({**head, "layout": self.layout.plain()})
        history = kept.history
        for entry, parent in zip(history.entries, history.parents, strict=True):
            yield self._step("entry", entry, {"parent": parent})
        latest = sorted(history.latest.items())
        place = {"position": history.position, "clean": history.clean_place, "latest": latest}
        yield _line({"do": "place", **place, "now": self._change(kept.now)})
        yield self.values(kept.values)
        yield self.selection(kept.selection)
        yield self.job(kept.job)

    def push(self, entry: Entry) -> bytes:
        """A step was done."""
        return self._step("push", entry)

    def travel(self, how: str, now: Snapshot, place: int) -> bytes:
        """A step was undone or done again, or a place gone to (`how`), which led to a snapshot."""
        self._last = now
        return _line({"do": how, "place": place})

    def clean(self, place: int | None) -> bytes:
        """A place of the history was saved, or none is any more."""
        return _line({"do": "clean", "place": place})

    def values(self, values: dict[str, Any]) -> bytes:
        """Choices beside the history."""
        return _line({"do": "set", "values": to_plain(values)})

    def selection(self, selected: tuple[str, str, int] | None) -> bytes:
        """What is selected."""
        return _line({"do": "select", "selected": selected})

    def job(self, job: UnfinishedJob | None) -> bytes:
        """What runs."""
        return _line({"do": "job", "job": to_plain(job)})

    def _step(self, do: str, entry: Entry, more: dict[str, int] = NONE) -> bytes:
        before, after = self._change(entry.before), self._change(entry.after)
        return _line({"do": do, **more, "text": entry.text, "fold": entry.fold, "before": before, "after": after})

    def _change(self, now: Snapshot) -> dict[str, Any]:
        """What a snapshot changes of the one before."""
        last, self._last = self._last, now
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


class Reading:
    """Takes the lines of a log, in order.

    Attributes:
        kept: What they tell so far, None before the first.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.kept: Remembered | None = None

    def take(self, line: bytes) -> None:
        """One line; raises ValueError, KeyError, TypeError or IndexError, and changes nothing, when it is none."""
        record = json.loads(line)
        do = record["do"]
        if do == "begin":
            self._begin(record)
        elif self.kept is None:
            raise ValueError("a log begins with its layout")
        elif take := getattr(self, f"_take_{do}", None):  # what a later version added is nothing to this one
            take(self.kept, record)

    def _begin(self, record: dict[str, Any]) -> None:
        if record["schema"] > SCHEMA:
            raise ValueError("written by a later version")
        layout = Layout.from_plain(record["layout"])
        now = nothing(layout, "", Goal())
        self.kept = Remembered(str(record["name"]), str(record["source"]), layout, now, UndoHistory())

    def _take_entry(self, kept: Remembered, record: dict[str, Any]) -> None:
        history, parent = kept.history, int(record["parent"])
        if not 0 <= parent <= len(history.entries):
            raise ValueError("a step follows one that comes later")
        history.entries.append(self._step(kept, record))
        history.parents.append(parent)

    def _take_place(self, kept: Remembered, record: dict[str, Any]) -> None:
        position, clean = int(record["position"]), record["clean"]
        if not 0 <= position <= len(kept.history.entries):
            raise ValueError("the history is shorter than its position")
        kept.now = _after(kept.now, record["now"])
        kept.history.position = position
        kept.history.latest = {int(place): int(ahead) for place, ahead in record["latest"]}
        kept.history.mark_clean(None if clean is None else int(clean))

    def _take_push(self, kept: Remembered, record: dict[str, Any]) -> None:
        kept.history.push(self._step(kept, record))

    def _take_undo(self, kept: Remembered, _record: dict[str, Any]) -> None:
        if (entry := kept.history.undo()) is not None:
            kept.now = entry.before

    def _take_redo(self, kept: Remembered, _record: dict[str, Any]) -> None:
        if (entry := kept.history.redo()) is not None:
            kept.now = entry.after

    def _take_go(self, kept: Remembered, record: dict[str, Any]) -> None:
        if (reached := kept.history.go(int(record["place"]))) is not None:
            kept.now = reached

    def _take_clean(self, kept: Remembered, record: dict[str, Any]) -> None:
        kept.history.mark_clean(None if record["place"] is None else int(record["place"]))

    def _take_set(self, kept: Remembered, record: dict[str, Any]) -> None:
        kept.values = kept.values | dict(record["values"])

    def _take_select(self, kept: Remembered, record: dict[str, Any]) -> None:
        chosen = record["selected"]
        kept.selection = None if chosen is None else (str(chosen[0]), str(chosen[1]), int(chosen[2]))

    def _take_job(self, kept: Remembered, record: dict[str, Any]) -> None:
        kept.job = None if record["job"] is None else from_plain(record["job"], UnfinishedJob)

    def _step(self, kept: Remembered, record: dict[str, Any]) -> Entry:
        before = _after(kept.now, record["before"])
        after = _after(before, record["after"])
        entry = Entry(str(record["text"]), before, after, str(record["fold"]))
        kept.now = after
        return entry


def _after(last: Snapshot, change: dict[str, Any]) -> Snapshot:
    masks = {n: changed(getattr(last, n), change[n]) if n in change else getattr(last, n) for n in MASKS}
    goal = from_plain(change["goal"], Goal) if "goal" in change else last.goal
    searched = str(change.get("searched", last.searched))
    return Snapshot(state=str(change.get("state", last.state)), goal=goal, searched=searched, **masks)


def to_plain(value: Any) -> Any:
    """As `session.plain` does, which is loaded with the first line: the window starts without it."""
    from secateur.engine.storage import serialization

    return serialization.to_plain(value)


def from_plain(value: Any, kind: type[Any]) -> Any:
    """As `session.plain` does."""
    from secateur.engine.storage import serialization

    return serialization.from_plain(value, kind)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
