"""Opens a task from its specification: a table from kind to opener, one file each. Opening loads torch."""

from collections.abc import Callable
from pathlib import Path

from ..errors import TaskError
from .protocol import Task, TaskSpec


def open_task(spec: TaskSpec) -> Task:
    """Open what judges a model.

    Raises:
        TaskError: The data cannot be used, with the reason.
    """
    if spec.kind not in OPENERS:
        raise TaskError(
            "task.kind", "There is no task of kind {kind}, only {kinds}.", kind=spec.kind, kinds=", ".join(OPENERS)
        )
    return OPENERS[spec.kind](spec)


def kind_of(path: str) -> str:
    """The kind that a path is opened as: a folder of images, an .npz, a task.py; "" is the bundled task."""
    if not path:
        return "bundled"
    where = Path(path)
    if not where.exists():
        raise TaskError(
            "task.missing", "{path} does not exist. Give a folder of images, an .npz or a task.py.", path=path
        )
    kind = "folder" if where.is_dir() else {".npz": "arrays", ".py": "file"}.get(where.suffix.lower(), "")
    if not kind:
        template = "{path} is no task: give a folder of images with one sub-folder a class, an .npz or a task.py."
        raise TaskError("task.unknown_file", template, path=path)
    return kind


def _bundled(spec: TaskSpec) -> Task:
    from .bundled import open_bundled

    return open_bundled(spec)


def _arrays(spec: TaskSpec) -> Task:
    from .arrays import open_arrays

    return open_arrays(spec)


def _folder(spec: TaskSpec) -> Task:
    from .folder import open_folder

    return open_folder(spec)


def _file(spec: TaskSpec) -> Task:
    from .user_task import open_file

    return open_file(spec)


OPENERS: dict[str, Callable[[TaskSpec], Task]] = {
    "bundled": _bundled,
    "arrays": _arrays,
    "folder": _folder,
    "file": _file,
}
