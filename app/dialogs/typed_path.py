"""Paths as they are typed, half of them still: what no disk can answer is a sentence, never a crash."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PySide6.QtCore import QCoreApplication

CONTEXT = "TypedPath"


def path_problem(text: str, problem: Callable[[Path], str]) -> str:
    """What speaks against a path, "" for nothing.

    Args:
        text: As it was typed; `~` and `~user` are home folders.
        problem: Looks at the path, and says what speaks against it.
    """
    try:
        path = Path(text).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):  # what is not there yet can be written
            path.stat()
        return problem(path)
    except (OSError, RuntimeError, ValueError) as error:  # not readable, no such user, a character that no name has
        reason = getattr(error, "strerror", None) or str(error)
        words = QCoreApplication.translate(CONTEXT, "{path} cannot be read: {reason}. Choose another path.")
        return words.format(path=text, reason=reason.rstrip("."))
