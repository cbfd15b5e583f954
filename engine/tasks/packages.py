"""Imports optional packages when they are needed, with an error that says how to install them."""

from importlib import import_module
from typing import Any

from ..errors import Message, TaskError


def require_package(module: str, extra: str, what: Message) -> Any:
    """A module of an extra; raises TaskError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        template = "{what} need the package {package}, which is not installed. Install it: pip install {extra}"
        package, name = module.partition(".")[0], f"'secateur[{extra}]'"
        raise TaskError("task.package", template, str(error), what=what, package=package, extra=name) from error
