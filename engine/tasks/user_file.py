"""Runs the functions of a user's Python file; an error becomes a sentence with file, line and cause."""

import inspect
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import SecateurError, TaskError
from ..foreign_code.consent import Consent
from ..foreign_code.import_file import failing_line, import_file

FUNCTIONS = ("model", "example_inputs", "batches", "inputs", "loss", "evaluate")


class UserFile:
    """The functions that a task.py defines.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str, consent: Consent) -> None:
        """Execute the file, if consent covers it; raises TaskError with its line where that fails."""
        self.path = Path(path).expanduser().absolute()
        self._module = import_file(self.path, consent, TaskError)
        if not any(self.defines(name) for name in FUNCTIONS):
            template = "{file} defines none of {names}. Define those that your task needs; the others have defaults."
            names = ", ".join(f"{name}()" for name in FUNCTIONS)
            raise TaskError("task_file.nothing", template, file=path, names=names)

    def defines(self, name: str) -> bool:
        """True where the file has a function of this name."""
        return callable(getattr(self._module, name, None))

    def value(self, name: str, default: Any) -> Any:
        """A value that the file defines beside its functions."""
        return getattr(self._module, name, default)

    def accepts(self, name: str, argument: str) -> bool:
        """True where a function of the file takes an argument of this name."""
        return argument in inspect.signature(getattr(self._module, name)).parameters

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of the file."""
        function = self._function(name)
        with self._located():
            return function(*arguments, **named)

    def iterate(self, name: str, *arguments: Any, **named: Any) -> Iterator[Any]:
        """Go through what a function of the file returns, lazily."""
        given = self.call(name, *arguments, **named)
        with self._located():
            items = iter(given)
        while True:
            with self._located():
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def _function(self, name: str) -> Any:
        if not self.defines(name):
            template = "{file} has no function {name}, which is needed here. Define it."
            raise TaskError("task_file.absent", template, file=str(self.path), name=name)
        return getattr(self._module, name)

    @contextmanager
    def _located(self) -> Generator[None]:
        """Turn an error inside the user's code into a sentence with its line."""
        try:
            yield
        except SecateurError:
            raise
        except (Exception, SystemExit) as error:
            file, line = failing_line(error, self.path.parent)
            template = "{file}, line {line}: {kind}: {reason}"
            details = "".join(traceback.format_exception(error))
            raise TaskError(
                "task_file.failed", template, details,
                file=file or str(self.path), line=line, kind=type(error).__name__, reason=str(error),
            ) from error  # fmt: skip
