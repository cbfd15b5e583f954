"""The purposes by name. To add one is to add a file that holds a `PURPOSE`, and a line here. Loads no torch."""

from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import TaskError

if TYPE_CHECKING:
    from .protocol import Purpose

PURPOSES: dict[str, str] = {
    "classification": "Classification",
    "regression": "Regression",
    "similarity": "Similarity of sentences",
    "causal": "Language, next token",
    "masked": "Language, masked tokens",
    "segmentation": "Segmentation",
}
"""Name, which is the module's too, to its title."""


def purpose_named(name: str) -> "Purpose":
    """The purpose of that name; raises TaskError with the names there are."""
    if name not in PURPOSES:
        template = "There is no purpose {name}, only {known}."
        raise TaskError("task.purpose", template, name=name, known=", ".join(PURPOSES))
    return import_module(f".{name}", __package__).PURPOSE
