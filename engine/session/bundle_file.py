"""Reads a bundle: a session in one .zip, with its states, structures, recipe and report, with weights or without.

It opens without the model and its data. What is read is foreign: only known names count, nothing is unpacked by its
name, every member has a limit and is held against its hash, and none can run code. `sharing.bundle` writes it.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..baselines.protocol import Baseline
from ..errors import Message, OpenError
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..sources.protocol import ModelSpec, change_model
from ..storage.atomic_files import staged_write
from ..storage.file_limits import ARCHIVE_ERRORS
from ..storage.paths import DIGEST, absolute_to
from ..storage.serialization import from_json
from ..structures.analysis import Analysis
from ..targets.protocol import without_addresses
from ..tasks.protocol import TaskSpec, change_task
from .state_history import StateHistory
from .states import IDENTITY, OpenedModel, State, StateKind
from .structures_file import STRUCTURES, analysis_from_json

SCHEMA = 1
SUFFIX = ".zip"
MANIFEST, RECIPE, SCRIPT, HISTORY = "bundle.json", "recipe.json", "recipe.py", "history.json"
REPORT = "report.html"
MEGABYTE = 1_000_000
PIECE = 1 << 20
NEVER = NeverCancelled()
LIMITS: Mapping[str, int] = {
    MANIFEST: 4 * MEGABYTE,
    RECIPE: 128 * MEGABYTE,
    SCRIPT: 128 * MEGABYTE,
    HISTORY: 256 * MEGABYTE,
    STRUCTURES: 512 * MEGABYTE,
    REPORT: 256 * MEGABYTE,
}
"""Bytes that each member may have when it is unpacked. Weights are stored as they are, so they cannot grow."""
NEEDED = (MANIFEST, RECIPE, HISTORY)
WEIGHTS = re.compile(r"weights/([0-9a-f]{64})\.safetensors")
MEMBERS = 5_000
Read = TypeVar("Read")


class Member(msgspec.Struct, frozen=True):
    """A file in a bundle."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle is.

    Attributes:
        schema: Version of the format.
        title: The model for a person.
        state: Id of the state that was handed on.
        written: When.
        machine: Where, in words.
        versions: Of what it was made with.
        files: All others.
    """

    schema: int
    title: str
    state: str
    written: str
    machine: str
    versions: dict[str, str]
    files: tuple[Member, ...]


class Written(msgspec.Struct, frozen=True):
    """A history as a bundle holds it; paths are names of files."""

    spec: ModelSpec
    task: TaskSpec | None
    states: tuple[State, ...]
    baselines: tuple[Baseline, ...] = ()
    versions: dict[str, str] = msgspec.field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was read of a bundle.

    Attributes:
        path: The file.
        manifest: What it says of itself.
        recipe: Of the state that was handed on, as JSON; `recipe_in` reads it.
        history: All states and baselines, in memory.
        analysis: Structures of the model, None where the bundle has none.
        weights: sha256 of the weights that it holds.
    """

    path: Path
    manifest: Manifest
    recipe: bytes
    history: StateHistory
    analysis: Analysis | None
    weights: frozenset[str]

    @property
    def absent(self) -> Message | None:
        """Why it can only be looked at, None where the weights of every state are in it."""
        if self.history.weights <= self.weights:
            return None
        template = (
            "This bundle does not contain the model's weights, so it is read-only. Apply its recipe to the weights to "
            "make its cuts again."
        )
        return Message("bundle.no_weights", template)

    def check_code(self) -> None:
        """Raise OpenError where the Python file that makes the model is not beside the bundle."""
        source = self.history.spec.source if self.history.spec is not None else ""
        file = source if source.endswith(".py") else source.rpartition(":")[0]
        if file.endswith(".py") and not Path(file).is_file():
            template = (
                "This bundle does not contain the model's code, so it is read-only. Put {file} beside it, or apply "
                "its recipe to the model."
            )
            raise OpenError("bundle.no_code", template, file=Path(file).name)

    def opened(self, absent: Message) -> OpenedModel:
        """The bundle to look at; raises OpenError where it does not have the model's structures."""
        if self.analysis is None:
            template = (
                "{path} does not contain the model's structures. Read its report, or apply its recipe to the model."
            )
            raise OpenError("bundle.no_structures", template, path=self.path.name)
        made = self.manifest
        words = {"written": made.written, "machine": made.machine}
        note = Message("bundle.made", "Bundle of {written}, made on {machine}.", words)
        original = next(iter(self.history.states.values()))
        return OpenedModel(made.title, self.analysis, original, (note, absent), None, self.history.spec, absent)


def read_bundle(path: Path) -> Bundle:
    """Read a bundle; raises OpenError with a sentence for everything that it should not be."""
    with _opened(path) as archive:
        infos = _check_members(archive, path)
        manifest = _read_json(archive, infos, MANIFEST, Manifest, path)
        if manifest.schema > SCHEMA:
            template = "{path} was written by a newer version of Secateur. Update Secateur to open it."
            raise OpenError("bundle.later", template, path=str(path))
        # Weights are checked when they are taken.
        known = {one.name: one for one in manifest.files}
        for name, info in infos.items():
            if name == MANIFEST:
                continue
            if name not in known:
                raise _damaged(path, Message("bundle.unlisted", "{name} is not in its list of files", {"name": name}))
            if name in LIMITS and hashlib.sha256(_bytes(archive, info, path)).hexdigest() != known[name].sha256:
                raise _damaged(path, Message("bundle.changed", "{name} was changed", {"name": name}))
        written = _read_json(archive, infos, HISTORY, Written, path)
        _read_json(archive, infos, RECIPE, dict[str, Any], path)  # what its steps mean is read where they are run
        recipe = _bytes(archive, infos[RECIPE], path)
        analysis = analysis_from_json(_bytes(archive, infos[STRUCTURES], path)) if STRUCTURES in infos else None
    history = _read_history(written, path)
    # Where the data is not at hand, the history opens the model with an input of the shape that it had.
    assert history.spec is not None
    # One input needs no name; of several the shapes alone would not say which is which.
    shapes = analysis.input_shapes if analysis is not None else ()
    if history.task is None and not history.spec.input_shape and len(shapes) == 1:
        history.spec = replace(history.spec, input_shape=shapes[0])
    if manifest.state not in history.states:
        raise _damaged(path, Message("bundle.no_state", "its result state is missing"))
    weights = frozenset(match[1] for name in infos if (match := WEIGHTS.fullmatch(name)))
    return Bundle(path, manifest, recipe, history, analysis, weights)


def _check_members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members by name; raises OpenError for what a bundle may not have."""
    members = archive.infolist()
    infos = {info.filename: info for info in members}
    # Of two members of one name different readers take different ones.
    if len(members) > MEMBERS or len(infos) < len(members):
        raise _damaged(path, Message("bundle.too_many", "it has too many files, or one of them twice"))
    for name, info in infos.items():
        # Weights are stored, not packed: a small file that unpacks to terabytes cannot be one of them.
        stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if name not in LIMITS and not WEIGHTS.fullmatch(name):
            raise _damaged(
                path,
                Message("bundle.odd_file", "the file {name!r} does not belong in a bundle", {"name": name[:80]}),
            )
        if info.flag_bits & 1 or (name not in LIMITS and not stored):
            raise _damaged(path, Message("bundle.stored", "{name} is not stored as it should be", {"name": name}))
    missing = [name for name in NEEDED if name not in infos]
    if missing:
        raise _damaged(path, Message("bundle.missing", "{name} is missing", {"name": missing[0]}))
    return infos


def _read_history(written: Written, path: Path) -> StateHistory:
    """The history in memory; raises OpenError for states without their parent or with names that are none."""
    history = StateHistory(path.parent)
    here = absolute_to(path.parent)
    history.spec, history.versions = change_model(written.spec, here), written.versions
    history.task = None if written.task is None else change_task(written.task, here)
    if history.task is not None and history.task.path and not Path(history.task.path).exists():
        history.task = None  # It is opened without its data; metrics that were measured stay.
    for one in written.states:
        # Parents come first, so one pass finds a state without a way to the original, and no ring can be built.
        original = one.kind is StateKind.ORIGINAL
        sound = DIGEST.fullmatch(one.weights) and IDENTITY.fullmatch(one.id) and one.id not in history.states
        if not sound or original != (not one.parent) or (original and history.states):
            raise _damaged(path, Message("bundle.state", "state {id!r} is invalid", {"id": one.id[:20]}))
        if one.parent and one.parent not in history.states:
            raise _damaged(path, Message("bundle.parent", "the parent of state {id!r} is missing", {"id": one.id[:20]}))
        history.states[one.id] = without_addresses(one)
    for beside in written.baselines:
        if beside.against not in history.states or not (
            DIGEST.fullmatch(beside.weights) and IDENTITY.fullmatch(beside.id)
        ):
            raise _damaged(path, Message("bundle.baseline", "baseline {id!r} is invalid", {"id": beside.id[:20]}))
        history.baselines[beside.id] = without_addresses(beside)
    if not history.states:
        raise _damaged(path, Message("bundle.empty", "it has no states"))
    return history


def weights_progress(number: int, count: int) -> Progress:
    """Which file of weights is read or written."""
    words = Message("progress.weights", "Weights {number} of {count}", {"number": number, "count": count})
    return Progress(words, number, count)


def take_weights(bundle: Bundle, folder: Path, token: CancelToken = NEVER) -> Job[None]:
    """Copy a bundle's weights into a folder of a store, each held against its hash."""
    with _opened(bundle.path) as archive:
        for number, digest in enumerate(sorted(bundle.weights), 1):
            yield weights_progress(number, len(bundle.weights))
            target, found = folder / f"{digest}.safetensors", hashlib.sha256()
            with staged_write(target) as temporary, temporary.open("wb") as file:
                for data in _parts(archive, f"weights/{digest}.safetensors", bundle.path):
                    check(token)
                    found.update(data)
                    file.write(data)
                if found.hexdigest() != digest:
                    raise _damaged(bundle.path, Message("bundle.other_weights", "the weights do not match their hash"))


def is_bundle(path: str | Path) -> bool:
    """Whether a path is a bundle: a zip file that says so."""
    file = Path(path)
    if file.suffix.lower() != SUFFIX or not file.is_file():
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return MANIFEST in archive.namelist()
    except ARCHIVE_ERRORS:
        return False


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        template = "Cannot read {path}: {error}."
        raise OpenError("bundle.unreadable", template, path=str(path), error=error.strerror or str(error)) from error
    except ARCHIVE_ERRORS as error:
        raise OpenError(
            "bundle.no_zip", "{path} is not a bundle: it is not a zip file. Choose another file.", path=str(path)
        ) from error


def _bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    """A member, never more of it than its limit, whatever its header says."""
    # A header may give any size, so the limit is held while it is unpacked.
    limit, data = LIMITS[info.filename], io.BytesIO()
    for part in _parts(archive, info.filename, path):
        data.write(part)
        if data.tell() > limit:
            template = "{name} is too large for a bundle"
            raise _damaged(path, Message("bundle.large", template, {"name": info.filename}))
    return data.getvalue()


def _parts(archive: zipfile.ZipFile, name: str, path: Path) -> Iterator[bytes]:
    """What is unpacked of a member, piece by piece."""
    try:
        with archive.open(name) as file:
            while part := file.read(PIECE):
                yield part
    except ARCHIVE_ERRORS as error:
        raise _damaged(path, Message("bundle.packed", "{name} cannot be unpacked", {"name": name})) from error


def _read_json(
    archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], name: str, kind: type[Read], path: Path
) -> Read:
    try:
        return from_json(_bytes(archive, infos[name], path), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError) as error:
        template = "{name} has a format that this version does not know"
        raise _damaged(path, Message("bundle.shape", template, {"name": name}), str(error)) from error


def _damaged(path: Path, what: Message, details: str = "") -> OpenError:
    return OpenError(
        "bundle.damaged", "{path} is not a valid bundle: {what}. Get it again.", details, path=path.name, what=what
    )
