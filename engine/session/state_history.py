"""The history of a session: the tree of states, kept in memory and in the event log; the log is written first.

Reading the log again gives the same history, so that a session goes on after a crash where it stood. A log may be
somebody else's: what of its records leads to other machines is left out, unless this user's seal vouches for it.
"""

import platform
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from ..baselines.protocol import Baseline, change_baseline
from ..errors import Message, OpenError, PlanError
from ..foreign_code.consent import Consent, is_sealed, seal_of
from ..jobs import NeverCancelled, finish
from ..recovery.protocol import as_recorded
from ..sources.named_code import seal, sealed_consent
from ..sources.protocol import ModelSpec, change_model
from ..storage.atomic_files import copy, free, write
from ..storage.event_log import EventLog
from ..storage.paths import DIGEST, Change, absolute_to, relative_to, require_no_links
from ..storage.serialization import from_plain, to_json, to_plain
from ..targets.protocol import Timing, addresses_in, without_addresses
from ..tasks.protocol import Metric, TaskSpec, change_task
from .project_file import located
from .states import EXPORT_MARK, IDENTITY, Request, State, StateKind

SCHEMA = 1
LOG = "events.jsonl"


class StateHistory:
    """What was opened, and the states that came of it.

    Attributes:
        folder: The session's folder.
        spec: What was opened, None before.
        task: The task that evaluates it, None without one.
        states: States by id, in the order they were made; "s0" is the original.
        baselines: Baselines by id, in the order they were made.
        versions: Versions of what the session was made with.
        request: What a command was asked to do last, None where no command has worked here.
        owns_request: This user's command asked for it, with the original that is here; a stranger's is only told.
        seal: Vouches for the Python files that opening it runs, see `sources.consent`.
        notes: What of the log could not be read or was left out, in words.
    """

    def __init__(self, folder: Path) -> None:
        """Take a session folder; nothing is read before `read`."""
        self.folder = folder
        self.spec: ModelSpec | None = None
        self.task: TaskSpec | None = None
        self.states: dict[str, State] = {}
        self.baselines: dict[str, Baseline] = {}
        self.versions: dict[str, str] = {}
        self.request: Request | None = None
        self.owns_request = False
        self.seal = ""
        self.notes: tuple[Message, ...] = ()
        self._asking = False  # The command that the request is of is at work, in this process.
        self._damaged = False  # Lines of the log could not be read.
        self._left = ("", 0)  # A state, and how many there were when it was left at that.
        self._log = EventLog(folder / LOG)

    def open(self, spec: ModelSpec, task: TaskSpec | None, original: State) -> None:
        """Begin anew with a model."""
        self.leave("")
        record = _opened(spec, task, original, versions(), self.folder)
        self._log.append(record)
        self._apply(record)

    def attach_task(self, task: TaskSpec, original: State) -> None:
        """Another task evaluates the states from now on; what an earlier one measured is gone."""
        assert self.spec is not None
        written = to_plain(change_task(task, relative_to(self.folder)))
        self._append({"event": "task", "task": written, "seal": seal(replace(self.spec, task=task))})
        self.put(original)

    def ask(self, request: Request) -> None:
        """Keep what a command is asked to do, or that it has done it; the states that follow are its own."""
        self._append(self._request_record(request, own=True))
        self._asking = not request.result

    def put(self, state: State) -> State:
        """Add a state, or replace the one of the same id by what was measured of it."""
        # Somebody works on from what a command has left: the same command must not take these states for its own.
        if self.request is not None and not self.request.left and not self._asking and state.id not in self.states:
            self.ask(replace(self.request, left=True))
            self._asking = False
        self._append(self._state_record(state))
        return state

    def add_metric(self, state: str, metric: Metric) -> State:
        """Keep a measured metric; an earlier one of the same name and split is replaced."""
        return self.put(self.state(state).with_metric(metric))

    def put_baseline(self, one: Baseline) -> Baseline:
        """Add a baseline, or replace the one of the same id by what was measured of it."""
        self._append({"event": "baseline", "baseline": to_plain(_moved(one, relative_to(self.folder)))})
        return one

    def add_timing(self, name: str, timing: Timing) -> None:
        """Keep a latency of a state, an export or a baseline; an earlier one at the same place is replaced."""
        state, mark, format = name.partition(EXPORT_MARK)
        if mark:
            self.put(self.state(state).with_export_timing(format, timing))
            return
        beside = self.baselines.get(name)
        one = self.state(name) if beside is None else beside
        timings = (*(t for t in one.timings if t.target.place != timing.target.place), timing)
        if beside is None:
            self.put(replace(self.state(name), timings=timings))
        else:
            self.put_baseline(replace(beside, timings=timings))

    @property
    def weights(self) -> frozenset[str]:
        """sha256 of the weights of all states and baselines."""
        return frozenset(one.weights for one in (*self.states.values(), *self.baselines.values()))

    @property
    def predictions(self) -> frozenset[str]:
        """sha256 of the predictions of all metrics that still hold."""
        metrics = [metric for one in self.states.values() if not one.stale for metric in one.metrics]
        metrics += [file.metric for one in self.states.values() for file in one.exports if file.metric is not None]
        metrics += [one.metric for one in self.baselines.values()]
        return frozenset(metric.predictions for metric in metrics if metric.predictions)

    def owner(self, weights: str) -> str:
        """The states and baselines that have weights, by their sha256, for a sentence."""
        return ", ".join(one.id for one in (*self.states.values(), *self.baselines.values()) if one.weights == weights)

    @property
    def present(self) -> State:
        """The state that it was left at, until there is a further one; else the last."""
        left, count = self._left
        return self.states[left if left in self.states and count == len(self.states) else [*self.states][-1]]

    def leave(self, state: str) -> None:
        """It is left at a state, "" where nobody says at which: at the last."""
        self._left = (state, len(self.states))

    def state(self, state: str) -> State:
        """A state by its id."""
        if state not in self.states:
            raise PlanError("session.no_state", "This session has no state {state}.", state=state)
        return self.states[state]

    @property
    def consent(self) -> Consent | None:
        """Consent to the code that it names, as that was when this user sealed it; None where nobody here did."""
        return None if self.spec is None else sealed_consent(self.seal, replace(self.spec, task=self.task))

    def next_id(self) -> str:
        """The id of the next state."""
        return f"s{len(self.states)}"

    def path_to(self, state: str) -> list[State]:
        """The states from the original to this one."""
        path = [self.state(state)]
        while path[0].parent:
            path.insert(0, self.state(path[0].parent))
        return path

    def read(self) -> None:
        """Read the log; raises OpenError when there is none or it does not fit this version.

        Lines that are damaged are left out, with the states that came of what stood there; `notes` say so.
        """
        require_no_links(self.folder)
        records, damaged = self._log.salvage()
        # All other lines are of the model that the first one opens.
        if damaged and damaged[0] == 1:
            self._log.read()  # Without what was opened the rest means nothing: this says which line.
        if not any(record.get("event") == "opened" for record in records):
            raise OpenError("session.empty", "Nothing to restore: {folder} holds no session.", folder=str(self.folder))
        try:
            for record in records:
                self._apply(record)
        except (msgspec.ValidationError, KeyError, TypeError) as error:
            template = "The history in {folder} has a format that this version does not know: {error}"
            raise OpenError("session.shape", template, folder=str(self.folder), error=str(error)) from error
        for one in (*self.states.values(), *self.baselines.values()):
            if (one.weights and not DIGEST.fullmatch(one.weights)) or not IDENTITY.fullmatch(one.id):
                template = (
                    "The history in {folder} names invalid weights {weights!r} of {id!r}: it is damaged or was edited. "
                    "Restore it from a backup."
                )
                names = {"weights": one.weights[:80], "id": one.id[:40]}
                raise OpenError("session.weights_name", template, folder=str(self.folder), **names)
        if damaged:
            self._leave_out(damaged)
        # Raise OpenError where the states do not come of the original, each by way of others.
        sound = set[str]()
        for state in self.states.values():
            way, one = set[str](), state
            while one.parent and one.id not in sound:
                if one.id in way or one.parent not in self.states:
                    template = (
                        "The history in {folder} is damaged: state {state} does not descend from the original. Restore "
                        "it from a backup, or open the model again."
                    )
                    raise OpenError("session.no_way", template, folder=str(self.folder), state=state.id)
                way.add(one.id)
                one = self.states[one.parent]
            sound |= way

    def mend(self) -> None:
        """Where `read` found damaged lines: set the damaged log aside and write what was read in its place."""
        if not self._damaged:
            return
        log = self._log.path
        name = f"{log.stem} damaged {time.strftime('%Y-%m-%d %H.%M.%S')}{log.suffix}"
        finish(copy(log, aside := free(log.with_name(name)), NeverCancelled()))
        self.write_to(self.folder, consent=True)
        self._damaged = False
        template = "The history was rewritten. The old file is kept as {path}."
        self.notes = (*self.notes, Message("session.set_aside", template, {"path": str(aside)}))

    def relocate(self, moved: tuple[tuple[str, str], ...]) -> bool:
        """Look for files where they lie now; True where one lies elsewhere. Raises OpenError for one that is gone.

        Args:
            moved: (where it was, where it is).
        """
        assert self.spec is not None
        before = (self.spec, self.task)
        self.spec, self.task = located(self.spec, self.task, moved)
        self.spec = replace(self.spec, task=self.task)
        return (self.spec, self.task) != before

    def mark_stale(self, code: bool = False) -> None:
        """What was measured by now was measured on something else, and what was trained learned from that.

        Where the model's code is what has changed, latencies of what is a step of what is made now are forgotten too.

        A run that was stopped is gone on with, its last cut may have waited for data to be mended: what leads to a cut
        of which nothing was made yet stays a step of what is made now.
        """
        # A cut without children is where a stopped run goes on.
        used = {one.parent for one in self.states.values()}
        waiting = [key for key, one in self.states.items() if key not in used and one.kind is StateKind.CUT]
        steps = {one.id for key in waiting for one in self.path_to(key)}
        for key, one in self.states.items():
            former = bool(one.parent) and key not in steps
            timings = () if code and not former else one.timings
            self.states[key] = replace(one, stale=bool(one.metrics), former=former, timings=timings)
        self.baselines = {}

    def _leave_out(self, damaged: list[int]) -> None:
        """Forget states whose way to the original is lost, and say what was damaged."""
        lost = list[str]()
        for state in list(self.states.values()):
            if state.parent and state.parent not in self.states:
                lost.append(state.id)
                del self.states[state.id]
        self.baselines = {key: one for key, one in self.baselines.items() if one.against in self.states}
        lines = ", ".join(map(str, damaged))
        template = "The history in {folder} was damaged at line {lines}. What could be read was restored."
        self._damaged = True
        self.notes = (*self.notes, Message("session.salvaged", template, {"folder": str(self.folder), "lines": lines}))
        if lost:
            template = "Lost: {states}."
            self.notes = (*self.notes, Message("session.lost_states", template, {"states": ", ".join(lost)}))

    def require_room(self, folder: Path) -> None:
        """Raise OpenError where a folder holds a project with states or baselines that this history does not have."""
        if not is_project(str(folder)):
            return
        there = StateHistory(folder)
        there.read()
        lost = len(there.weights - self.weights)
        if lost:
            template = (
                "{folder} holds another project, with {count} results that this session lacks. Choose another folder, "
                "or open that project and continue there."
            )
            raise OpenError("session.other_project", template, folder=str(folder), count=lost)

    def write_to(self, folder: Path, consent: bool = False) -> None:
        """Write a compact log of the same history into a folder, atomically.

        Consent to pickles and code stays behind unless `consent` takes it along.
        """
        assert self.spec is not None
        original, *others = self.states.values()
        spec = self.spec if consent else self.spec.without_consent
        lines = [_opened(spec, self.task, original, self.versions, folder)]
        lines += map(self._state_record, others)
        lines += [] if self.request is None else [self._request_record(self.request, self.owns_request)]
        change = relative_to(folder)
        lines += [{"event": "baseline", "baseline": to_plain(_moved(b, change))} for b in self.baselines.values()]
        write(folder / LOG, b"".join(to_json(line) + b"\n" for line in lines))

    def _append(self, record: dict[str, Any]) -> None:
        self._log.append(record)
        self._apply(record, own=True)

    def _apply(self, written: dict[str, Any], own: bool = False) -> None:
        """Take a record; what leads elsewhere is left out of one that is neither this session's own nor sealed."""
        record = as_recorded(written)
        match record["event"]:
            case "opened":
                if record["schema"] > SCHEMA:
                    template = "{folder} was written by a newer version of Secateur. Update Secateur to open it."
                    raise OpenError("session.later", template, folder=str(self.folder))
                spec = change_model(from_plain(record["spec"], ModelSpec), absolute_to(self.folder))
                original = without_addresses(from_plain(record["state"], State))
                # One log may hold several openings, one after the other: the last one counts.
                self.spec, self.task, self.states = spec, spec.task, {original.id: original}
                self.baselines, self.request, self.owns_request, self._asking = {}, None, False, False
                self.notes, self._damaged = (), False
                self.versions = from_plain(record["versions"], dict[str, str])
                self.seal = str(record.get("seal", ""))
            case "task":
                before = self.task
                self.task = change_task(from_plain(record["task"], TaskSpec), absolute_to(self.folder))
                self.seal = str(record.get("seal", ""))
                # Another metric on the same data leaves what was trained there as it is.
                if not self.task.same_data(before):
                    # Nothing was measured yet on the data of now; what was made on data before is no step of what is
                    # made now.
                    for key, one in self.states.items():
                        former = bool(one.parent) and before is not None
                        self.states[key] = replace(one, metrics=(), stale=False, former=former)
                    self.baselines = {}  # they were trained on the data before, and judged by it
            case "state":
                # A stranger's log may name machines; only this user's own records may have anything sent to them.
                state = from_plain(record["state"], State)
                if (addresses := addresses_in(state)) and not (own or self._vouches_for(written)):
                    state = without_addresses(state)
                    # Note each machine once that a stranger's states were measured on.
                    template = (
                        "This project was made elsewhere and measured on {address}. Nothing is sent there. Enter the "
                        "address yourself to measure there too."
                    )
                    told = (Message("session.machine", template, {"address": address}) for address in addresses)
                    self.notes = (*self.notes, *(one for one in told if one not in self.notes))
                self.states[state.id] = state
            case "baseline":
                one = _moved(from_plain(record["baseline"], Baseline), absolute_to(self.folder))
                self.baselines[one.id] = without_addresses(one)
            case "request":
                request = from_plain(record["request"], Request)
                self.owns_request = own or self._vouches_for(written)
                self.request = request if self.owns_request else request.confined
            case _:  # Written by a later version that added an event: nothing that this one needs.
                pass

    def _state_record(self, state: State) -> dict[str, Any]:
        return self._sealed({"event": "state", "state": to_plain(state)}, bool(addresses_in(state)))

    def _request_record(self, request: Request, own: bool) -> dict[str, Any]:
        return self._sealed({"event": "request", "request": to_plain(request)}, own)

    def _sealed(self, record: dict[str, Any], needed: bool) -> dict[str, Any]:
        """A record with this user's seal where it needs that: it leads elsewhere, or is to be gone on with."""
        return record | {"seal": self._seal_of(record)} if needed else record

    def _vouches_for(self, record: dict[str, Any]) -> bool:
        """Whether this user wrote a record, as it stands there."""
        return is_sealed(str(record.get("seal", "")), self._seal_of(record))

    def _seal_of(self, record: dict[str, Any]) -> str:
        """The seal of a whole record beside this original: worth nothing on another one, or in another history."""
        # The original is part of the seal: a record that is copied into another project is worth nothing there.
        original = next((one.weights for one in self.states.values()), "")
        content = {name: value for name, value in record.items() if name != "seal"}
        return seal_of(["reach", original, content])


def is_project(path: str) -> bool:
    """Whether a path is a folder with a session in it."""
    return (Path(path) / LOG).is_file()


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("secateur", "torch", "numpy", "onnxruntime"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _moved(one: Baseline, change: Change) -> Baseline:
    """A baseline with its paths changed."""
    source = None if one.source is None else change_model(one.source.without_consent, change)
    return replace(one, asked=change_baseline(one.asked, change), source=source)


def _opened(
    spec: ModelSpec, task: TaskSpec | None, original: State, made_with: dict[str, str], folder: Path
) -> dict[str, Any]:
    spec = replace(spec, task=task)
    written = change_model(spec, relative_to(folder))
    fields = {"spec": to_plain(written), "seal": seal(spec), "state": to_plain(original), "versions": made_with}
    return {"event": "opened", "schema": SCHEMA, **fields}
