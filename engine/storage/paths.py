"""Paths inside specifications: absolute while the program runs, relative to the file that they are written in.

A project folder or a recipe that is moved together with the model's code and data still finds them.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..baselines.protocol import BaselineSpec
from ..errors import OpenError
from ..sources.protocol import ModelSpec
from ..tasks.protocol import BYTES, TaskSpec

Change = Callable[[str], str]


def absolute_to(folder: Path) -> Change:
    """A change that reads paths as relative to a folder."""
    return lambda path: os.path.normpath(folder.resolve() / Path(path).expanduser())


def relative_to(folder: Path) -> Change:
    """A change that writes paths as relative to a folder, with forward slashes; absolute where none exists."""

    def change(path: str) -> str:
        try:
            return Path(os.path.relpath(path, folder.resolve())).as_posix()
        except ValueError:  # Another drive.
            return Path(path).as_posix()

    return change


def inside(path: Path, folders: Sequence[Path]) -> Path:
    """A path that a file names and that is to be written, symbolic links resolved.

    Args:
        path: Absolute.
        folders: Those that the user named.

    Raises:
        OpenError: It lies in none of them.
    """
    found = path.resolve()
    if not any(found.is_relative_to(folder.resolve()) for folder in folders):
        template = "{path} lies outside {folder}, where a recipe may not write. Name an output folder."
        raise OpenError("path.outside", template, path=str(found), folder=str(folders[0]))
    return found


def change_model(spec: ModelSpec, change: Change) -> ModelSpec:
    """A model's specification with its paths changed, the task's too."""
    return replace(
        spec,
        source=change_source(spec.source, change),
        weights=change(spec.weights) if spec.weights else "",
        task=None if spec.task is None else change_task(spec.task, change),
        moved=tuple((change(old), change(new)) for old, new in spec.moved),
    )


def change_task(spec: TaskSpec, change: Change) -> TaskSpec:
    """A task's specification with its paths changed."""
    options = tuple(
        (name, change(value) if name == "tokenizer" and value != BYTES else value) for name, value in spec.options
    )
    return replace(spec, path=change(spec.path) if spec.path else "", options=options)


def change_baseline(spec: BaselineSpec, change: Change) -> BaselineSpec:
    """A baseline that is asked for, with the paths of a stock model changed."""
    return replace(
        spec, source=change_source(spec.source, change), weights=change(spec.weights) if spec.weights else ""
    )


def change_source(source: str, change: Change) -> str:
    """A source with its path changed: `path/to/file.py:callable` or a folder; `torchvision:resnet18` has none."""
    file, colon, name = source.rpartition(":")
    if file.endswith(".py"):
        return change(file) + colon + name
    is_name = bool(colon) and not os.path.exists(change(source)) and len(file) > 1
    return source if is_name or not source else change(source)
