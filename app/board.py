"""The jobs that run or wait, as the document tracks them: what each was started from and what to do with its result."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from secateur.engine.jobs import Progress

from .aspects import JobView


@dataclass(slots=True)
class Running:
    """A job in flight.

    Attributes:
        id: Number of the call.
        title: What it does, in words.
        changes: It makes a state, or another model: the plan cannot be edited meanwhile.
        revision: Document revision it was started from.
        apply: Takes its result.
        progress: The last progress.
        started: Time of the first progress, 0 while it waits (seconds, monotonic).
        cancelling: Cancel was pressed.
        background: Nobody asked for it: it steps aside, and its failure is not told.
        method: Of the session that it calls.
        about: What it is for, so that the same is not asked for twice.
        arrived: Takes what the job made on the way, a tuple as it comes; None where that is nothing.
        arguments: Of the call.
        text: What the step that it leads to is called.
        otherwise: Called when it fails or is cancelled.
    """

    id: int
    title: str
    changes: bool
    revision: int
    apply: Callable[[Any], None]
    progress: Progress = field(default_factory=lambda: Progress(""))
    started: float = 0.0
    cancelling: bool = False
    background: bool = False
    method: str = ""
    about: object = None
    arrived: Callable[[tuple[Any, ...]], None] | None = None
    arguments: tuple[Any, ...] = ()
    text: str = ""
    otherwise: Callable[[], None] | None = None

    def view(self) -> JobView:
        """As the window shows it."""
        elapsed = time.monotonic() - self.started if self.started else 0.0
        done, total = self.progress.done, self.progress.total
        left = elapsed / done * (total - done) if done and total else -1.0
        text = self.progress.text
        return JobView(self.id, self.title, text, done, total, elapsed, left, self.cancelling, self.method)


class Board:
    """All jobs in flight, by number."""

    def __init__(self) -> None:
        """Start empty."""
        self._running: dict[int, Running] = {}

    def __len__(self) -> int:
        """How many run or wait."""
        return len(self._running)

    def add(self, job: Running) -> None:
        """Track a job."""
        self._running[job.id] = job

    def get(self, number: int) -> Running | None:
        """The job of that number."""
        return self._running.get(number)

    def take(self, number: int) -> Running | None:
        """The job of that number, no longer tracked."""
        return self._running.pop(number, None)

    def progressed(self, number: int, progress: Progress) -> None:
        """Note where a job stands."""
        if (job := self._running.get(number)) is not None:
            job.started = job.started or time.monotonic()
            job.progress = progress

    @property
    def changing(self) -> bool:
        """A job that changes states runs."""
        return any(job.changes for job in self._running.values())

    def running(self) -> tuple[Running, ...]:
        """All jobs, oldest first."""
        return tuple(self._running.values())

    def views(self) -> tuple[JobView, ...]:
        """All jobs as the window shows them."""
        return tuple(job.view() for job in self._running.values())
