"""The project file: what a project was made of, by content, so that opening it says what has changed since.

`project.json` lies beside the log and the weights, with paths relative to its folder. The window's part of a session
(`window.jsonl`) goes along as it is. Loads no torch.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from ..errors import Message, OpenError
from ..jobs import CancelToken, Job, Progress, check
from ..messages import title
from ..sources.protocol import ModelSpec, change_model
from ..storage.atomic_files import read_through, write
from ..storage.file_limits import FOLDERS, check_special, read_whole
from ..storage.paths import Change, absolute_to, relative_to
from ..storage.serialization import from_json, to_json
from ..tasks.protocol import BYTES, TaskSpec, change_task, option

SCHEMA = 1
PROJECT = "project.json"
WINDOW = "window.jsonl"
"""The window's log: the engine only takes it along."""
WHOLE = 1 << 30
"""Bytes up to which a file's whole content is compared; of a larger one its size, its begin and its end."""
ENDS = 1 << 20
FILES = 1000
"""Files of a folder between two looks at a token."""


class Role(StrEnum):
    """What a file is to a project."""

    MODEL = "model"
    WEIGHTS = "weights"
    TASK = "task"
    DATA = "data"
    TOKENIZER = "tokenizer"


@dataclass(frozen=True, slots=True)
class Part:
    """A file or folder that a project needs.

    Attributes:
        role: What it is for.
        path: Where it lies; relative to the project in its file, absolute elsewhere.
        digest: sha256 of its content; of a folder, of the names and sizes of its files. "" where it was not there.
    """

    role: Role
    path: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """The file.

    Attributes:
        state: Which state was present.
        parts: What it was made of.
        saved: When, in ISO 8601, UTC.
        schema: Version of this shape.
    """

    state: str
    parts: tuple[Part, ...]
    saved: str = ""
    schema: int = SCHEMA


CHANGED = {
    Role.MODEL: (
        "project.changed_model",
        "{path} has changed since the project was saved. The project keeps its own weights, but its measurements were "
        "made with the old code.",
    ),
    Role.WEIGHTS: (
        "project.changed_weights",
        "{path} has changed since the project was saved. The project keeps using its own weights.",
    ),
    Role.TASK: (
        "project.changed_task",
        "{path} has changed since the project was saved. Its metrics may now mean something else.",
    ),
    Role.DATA: (
        "project.changed_data",
        "{path} has changed since the project was saved. Its metrics were measured on the old data.",
    ),
    Role.TOKENIZER: (
        "project.changed_tokenizer",
        "{path} has changed since the project was saved. Texts may now be read differently.",
    ),
}
"""Code and template of what is said of a part that has changed."""
STALE = frozenset({Role.MODEL, Role.TASK, Role.DATA, Role.TOKENIZER})
"""What measured metrics depend on."""
TEMPLATE_STALE = (
    "Earlier measurements are marked as stale and earlier baselines are removed. Evaluate again to update them."
)


def parts_of(model: ModelSpec, task: TaskSpec | None) -> tuple[Part, ...]:
    """The files that a model and its task come from, paths as they are there; without digests."""
    file, colon, _ = model.source.rpartition(":")
    source = file if colon and file.endswith(".py") else model.source
    found = [Part(Role.MODEL, source)] if source and (file.endswith(".py") or Path(source).exists()) else []
    if model.weights:
        found.append(Part(Role.WEIGHTS, model.weights))
    if task is not None and task.path:
        found.append(Part(Role.TASK if task.kind == "file" else Role.DATA, task.path))
    if task is not None and option(task, "tokenizer") not in ("", BYTES):
        found.append(Part(Role.TOKENIZER, option(task, "tokenizer")))
    return tuple(found)


def compared(parts: Iterable[Part], token: CancelToken) -> Job[tuple[Part, ...]]:
    """Parts with the digests of what is there now."""
    found: list[Part] = []
    for part in parts:
        found.append(replace(part, digest=(yield from digest_of(Path(part.path), token))))
    return tuple(found)


def write_project(folder: Path, parts: Iterable[Part], state: str) -> None:
    """Write the project file into a folder, atomically; paths of the parts as they are, with their digests."""
    change = relative_to(folder)
    moved = tuple(replace(part, path=change(part.path)) for part in parts)
    project = Project(state, moved, datetime.now(UTC).isoformat(timespec="seconds"))
    write(folder / PROJECT, to_json(project, indent=2) + b"\n")


def read_project(folder: Path) -> tuple[Project | None, tuple[Message, ...]]:
    """The project file of a folder with absolute paths, None without one that can be read; and what to say of it."""
    path = folder / PROJECT
    try:
        project = from_json(read_whole(path), Project)
    except FileNotFoundError:
        return None, ()
    except (OSError, msgspec.MsgspecError, ValueError, TypeError):
        template = "Cannot read {path}, so changes in the project's files cannot be detected."
        return None, (Message("project.unreadable", template, {"path": str(path)}),)
    if project.schema > SCHEMA:
        template = "{folder} was written by a newer version of Secateur. Update Secateur to open it."
        raise OpenError("session.later", template, folder=str(folder))
    change = absolute_to(folder)
    return replace(project, parts=tuple(replace(part, path=change(part.path)) for part in project.parts)), ()


def located(
    model: ModelSpec, task: TaskSpec | None, moved: tuple[tuple[str, str], ...]
) -> tuple[ModelSpec, TaskSpec | None]:
    """Model and task with files where they lie now; raises OpenError ("project.moved") for one that is not found.

    Args:
        model: Paths as they were.
        task: Paths as they were.
        moved: (where it was, where it is); what lay beside it and is not there any more is looked for beside it, too.
    """
    change = followed(moved)
    model = change_model(model, change)
    task = None if task is None else change_task(task, change)
    for part in parts_of(model, task):
        if not Path(part.path).exists():
            template = "{path} is missing; the project needs it as its {role}. Choose where it is now."
            raise OpenError("project.moved", template, path=part.path, role=title(part.role))
    return model, task


def changes(
    project: Project | None, model: ModelSpec, task: TaskSpec | None, token: CancelToken
) -> Job[tuple[tuple[Message, ...], frozenset[Role]]]:
    """A sentence for each part that is no longer what it was, and those by which what was measured is stale."""
    if project is None:
        return (), frozenset()
    before = {part.role: part.digest for part in project.parts}
    notes, found = list[Message](), set[Role]()
    for part in (yield from compared([one for one in parts_of(model, task) if before.get(one.role)], token)):
        if part.digest != before[part.role]:
            notes.append(Message(*CHANGED[part.role], {"path": part.path}))
            found.add(part.role)
    stale = STALE & found
    if stale:
        notes.append(Message("project.stale", TEMPLATE_STALE))
    return tuple(notes), stale


def digest_of(path: Path, token: CancelToken) -> Job[str]:
    """sha256 of a file's content, or of the list of a folder's files with their sizes; "" where there is nothing."""
    shown = Message("progress.looking", "Checking {name}", {"name": path.name})
    yield Progress(shown)
    check_special(path)
    try:
        if path.is_dir():
            return hashlib.sha256("\n".join((yield from _rows(path, shown, token))).encode()).hexdigest()
        size = path.stat().st_size
        # Gigabytes of weights are not read whole at each opening: what is edited changes its size or its ends.
        if size > WHOLE:
            with path.open("rb") as file:
                hashed = hashlib.sha256(f"{size}\n".encode() + file.read(ENDS))
                file.seek(size - ENDS)
                hashed.update(file.read(ENDS))
            return hashed.hexdigest()
        hashed = hashlib.sha256()
        yield from read_through(path, hashed.update, shown, token)
        return hashed.hexdigest()
    except OSError:
        return ""


def _rows(folder: Path, shown: Message, token: CancelToken) -> Job[list[str]]:
    """Names and sizes of a folder's files, in order."""
    found, folders = list[Path](), 0
    for number, path in enumerate(folder.rglob("*")):
        if number % FILES == 0:
            check(token)
            yield Progress(shown)
        # Python writes there by itself; that changes nothing of the data.
        if path.is_file() and "__pycache__" not in path.parts:
            found.append(path)
        elif (folders := folders + 1) > FOLDERS:
            template = "{path} contains more than {most} folders. Name the folder that holds only the data."
            raise OpenError("file.folders", template, path=str(folder), most=FOLDERS)
    return [f"{one.relative_to(folder).as_posix()}\t{one.stat().st_size}" for one in sorted(found)]


def take_window(source: Path, folder: Path) -> None:
    """Copy the window's part of a session, which is added to where it lies; nothing where there is none."""
    if (source / WINDOW).is_file() and source.resolve() != folder.resolve():
        write(folder / WINDOW, (source / WINDOW).read_bytes())


def followed(moved: tuple[tuple[str, str], ...]) -> Change:
    """Where files lie now, by (where one was, where it is); what is where it was stays."""
    ways: list[Callable[[Path], Path | None]] = []
    for old, new in moved:
        ways.append(lambda path, old=Path(old), new=Path(new): new if path == old else None)
    for old, new in moved:
        ways.append(lambda path, old=Path(old), new=Path(new): _beside(path, old, new))

    def change(path: str) -> str:
        # What is where it was stays, also where a file of that name is in the new place too.
        if Path(path).exists():
            return path
        return next((str(found) for way in ways if (found := way(Path(path))) is not None), path)

    return change


def _beside(path: Path, old: Path, new: Path) -> Path | None:
    """Where a file lies now that was in the folder of another one, or below it, when that one was moved."""
    if not path.is_relative_to(old.parent):
        return None
    found = new.parent / path.relative_to(old.parent)
    return found if found.exists() else None
