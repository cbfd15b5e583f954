"""The paths inside a task's specification: changed together, when what names them is written or read elsewhere."""

from dataclasses import replace

from ..storage.paths import Change
from .protocol import BYTES, TaskSpec


def change_task(spec: TaskSpec, change: Change) -> TaskSpec:
    """A task's specification with its paths changed."""
    options = tuple(
        (name, change(value) if name == "tokenizer" and value != BYTES else value) for name, value in spec.options
    )
    return replace(spec, path=change(spec.path) if spec.path else "", options=options)
