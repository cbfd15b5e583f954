"""The table of purposes by name. To add one, add a file with a `PURPOSE` and a line here. Loads no torch."""

from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import TaskError
from ...messages import all_of
from ..protocol import TaskSpec, option

if TYPE_CHECKING:
    from .protocol import Purpose

PURPOSES: dict[str, str] = {
    "classification": "Classification",
    "regression": "Regression",
    "similarity": "Sentence similarity",
    "causal": "Language modelling, next token",
    "masked": "Language modelling, masked tokens",
    "segmentation": "Segmentation",
    "detection": "Object detection",
}
"""Name, which is the module's too, to its title."""


def purpose_of(spec: TaskSpec, *fitting: str, default: str = "") -> "Purpose":
    """The purpose that a specification names, where it fits its data; without a name the default, or the first."""
    name = option(spec, "purpose", default or fitting[0])
    if name in PURPOSES and name not in fitting:
        template = "{path} can be used for {purposes} only, not for {name}. Choose another purpose."
        raise TaskError("purpose.unfit", template, path=spec.path, purposes=all_of(fitting), name=name)
    return purpose_named(name)


def purpose_named(name: str) -> "Purpose":
    """The purpose of that name; raises TaskError with the names there are."""
    if name not in PURPOSES:
        template = "Unknown purpose {name}. Choose one of {known}."
        raise TaskError("task.purpose", template, name=name, known=", ".join(PURPOSES))
    return import_module(f".{name}", __package__).PURPOSE
