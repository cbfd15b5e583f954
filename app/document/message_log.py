"""What happened, line by line, each with a level, a time and the job it belongs to; the oldest of a level go first."""

import re
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from heapq import merge
from itertools import takewhile

MOST = 10_000
"""Lines of each level that are kept: steps and what code prints push out no error."""
JOBS = 200
"""Jobs whose titles are kept."""
_WARNING = re.compile(r"(?i:\b(warn(ing)?|deprecated)\b)|[a-z]Warning\b")
_ERROR = re.compile(r"(?i:\b(error|traceback|exception|critical|fatal)\b)|[a-z](Error|Exception)\b")


class Level(StrEnum):
    """How much a line matters."""

    STEP = "step"  # what a job did next; shown in the log of that job alone
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
        job: Number of the job that it belongs to, 0 for none.
        number: Of the line, from 1 on.
    """

    level: Level
    at: float
    job: int
    number: int
    __slots__ = ("at", "job", "level", "number")

    def __new__(cls, text: str, level: Level = Level.INFO, job: int = 0, number: int = 0) -> "Line":
        """Write it now."""
        made = super().__new__(cls, text)
        made.level, made.at, made.job, made.number = level, time.time(), job, number
        return made

    def written(self) -> str:
        """With its time, and its level where that says something."""
        stamp = time.strftime("%H:%M:%S", time.localtime(self.at))
        mark = "" if self.level in (Level.INFO, Level.STEP) else f"{self.level.value}  "
        return f"{stamp}  {mark}{self}"


class MessageLog:
    """A ring of lines for each level.

    Attributes:
        total: Lines ever written since it was cleared, also those that are gone.
        titles: What each job that wrote something is called, by its number, the oldest first.
    """

    def __init__(self, most: int = MOST) -> None:
        """Start empty; keep so many lines of each level."""
        self._lines = {level: deque[Line](maxlen=most) for level in Level}
        self.total = 0
        self.titles: dict[int, str] = {}
        self._job = 0

    def write(self, text: str, level: Level = Level.INFO) -> None:
        """Add a text, perhaps of several lines."""
        for line in text.splitlines() or [""]:
            self.total += 1
            self._lines[level].append(Line(line, level, self._job, self.total))

    @contextmanager
    def job(self, number: int, title: str) -> Generator[None]:
        """What is written meanwhile belongs to a job."""
        before, self._job = self._job, number
        self.titles[number] = title
        while len(self.titles) > JOBS:
            del self.titles[next(iter(self.titles))]
        try:
            yield
        finally:
            self._job = before

    def clear(self) -> None:
        """Forget all."""
        for lines in self._lines.values():
            lines.clear()
        self.titles.clear()
        self.total = 0

    def lines(self) -> tuple[Line, ...]:
        """All that are kept, the oldest first."""
        return self.since(0)

    def since(self, total: int) -> tuple[Line, ...]:
        """Those that were written after so many, as far as they are kept."""
        fresh = (takewhile(lambda line: line.number > total, reversed(lines)) for lines in self._lines.values())
        return tuple(merge(*fresh, key=lambda line: line.number, reverse=True))[::-1]


def level_of(printed: str) -> Level:
    """The level of something that code printed, by its words."""
    if _ERROR.search(printed):
        return Level.ERROR
    return Level.WARNING if _WARNING.search(printed) else Level.OUTPUT
