"""The paths inside a model's specification: changed together, when what names them is written or read elsewhere.

A project folder or a recipe that is moved together with the model's code and data still finds them.
"""

import os
from dataclasses import replace

from ..storage.paths import Change
from ..tasks.spec_paths import change_task
from .protocol import ModelSpec


def change_model(spec: ModelSpec, change: Change) -> ModelSpec:
    """A model's specification with its paths changed, the task's too."""
    return replace(
        spec,
        source=change_source(spec.source, change),
        weights=change(spec.weights) if spec.weights else "",
        task=None if spec.task is None else change_task(spec.task, change),
        moved=tuple((change(old), change(new)) for old, new in spec.moved),
    )


def change_source(source: str, change: Change) -> str:
    """A source with its path changed: `path/to/file.py:callable` or a folder; `torchvision:resnet18` has none."""
    file, colon, name = source.rpartition(":")
    if file.endswith(".py"):
        return change(file) + colon + name
    is_name = bool(colon) and not os.path.exists(change(source)) and len(file) > 1
    return source if is_name or not source else change(source)
