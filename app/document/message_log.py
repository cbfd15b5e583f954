"""What happened, line by line, each with a level and a time; the oldest lines go when there are too many."""

import re
import time
from collections import deque
from enum import StrEnum
from itertools import islice

MOST = 10_000
"""Lines that are kept."""
_WARNING = re.compile(r"(?i:\b(warn(ing)?|deprecated)\b)|[a-z]Warning\b")
_ERROR = re.compile(r"(?i:\b(error|traceback|exception|critical|fatal)\b)|[a-z](Error|Exception)\b")


class Level(StrEnum):
    """How much a line matters."""

    OUTPUT = "output"  # what the user's code or a library printed
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """More matters more."""
        return list(Level).index(self)


class Line(str):
    """A line of the log.

    Attributes:
        level: How much it matters.
        at: When it was written, seconds since 1970.
    """

    level: Level
    at: float
    __slots__ = ("at", "level")

    def __new__(cls, text: str, level: Level = Level.INFO) -> "Line":
        """Write it now."""
        made = super().__new__(cls, text)
        made.level, made.at = level, time.time()
        return made

    def written(self) -> str:
        """With its time, and its level where that says something."""
        stamp = time.strftime("%H:%M:%S", time.localtime(self.at))
        mark = "" if self.level is Level.INFO else f"{self.level.value}  "
        return f"{stamp}  {mark}{self}"


class MessageLog:
    """A ring of lines.

    Attributes:
        total: Lines ever written since it was cleared, also those that are gone.
    """

    def __init__(self, most: int = MOST) -> None:
        """Start empty; keep so many lines."""
        self._lines: deque[Line] = deque(maxlen=most)
        self.total = 0

    def write(self, text: str, level: Level = Level.INFO) -> None:
        """Add a text, perhaps of several lines."""
        for line in text.splitlines() or [""]:
            self._lines.append(Line(line, level))
            self.total += 1

    def clear(self) -> None:
        """Forget all."""
        self._lines.clear()
        self.total = 0

    def lines(self) -> tuple[Line, ...]:
        """All that are kept, the oldest first."""
        return tuple(self._lines)

    def since(self, total: int) -> tuple[Line, ...]:
        """Those that were written after so many, as far as they are kept."""
        fresh = min(self.total - total, len(self._lines))
        return tuple(islice(self._lines, len(self._lines) - fresh, None)) if fresh > 0 else ()


def level_of(printed: str) -> Level:
    """The level of something that code printed, by its words."""
    if _ERROR.search(printed):
        return Level.ERROR
    return Level.WARNING if _WARNING.search(printed) else Level.OUTPUT
