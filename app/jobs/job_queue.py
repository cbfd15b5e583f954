"""The jobs that run or wait, as the document tracks them: what each was started from and what to do with its result."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from secateur.engine.jobs import Progress

from ..document.aspects import JobView
from ..text.translate import sentence

RECENT, FEWEST = 5.0, 4
"""Seconds of a job's progress that tell how long a step takes, and of how many times it is told at least."""
GOING_ON, TRAINING = "progress.going_on", "progress.fine_tuning"
"""Codes of the progress that tells where training goes on from, and where it stands."""


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
        turn: Time from which it was the one that runs, 0 while it waits.
        cancelling: Cancel was pressed.
        background: Nobody asked for it: it steps aside, and its failure is not told.
        method: Of the session that it calls.
        about: What it is for, so that the same is not asked for twice.
        arrived: Takes what the job made on the way, a tuple as it comes; None where that is nothing.
        so_far: Its result as far as it is made; None where it tells nothing of that.
        arguments: Of the call.
        text: What the step that it leads to is called.
        otherwise: Called when it fails or is cancelled.
        then: Called once its result was taken; None where nothing follows.
        again: It was asked for once more, because the engine was lost in it.
        stage: Of how many steps its present stage is.
        recent: (time, step) of its last progress; how long a step takes is told by them: steps of before may have been
            known already, or done in an earlier run.
        trained: Steps of training that an earlier run had done, that are done now, and all; (0, 0, 0) unknown.
        expected: Seconds that it takes as estimated when it was asked for, NaN unknown.
        work: How much it is, in the unit of `pace.py`: what its time teaches about the next one.
    """

    id: int
    title: str
    changes: bool
    revision: int
    apply: Callable[[Any], None]
    progress: Progress = field(default_factory=lambda: Progress(""))
    started: float = 0.0
    turn: float = 0.0
    cancelling: bool = False
    background: bool = False
    method: str = ""
    about: object = None
    arrived: Callable[[tuple[Any, ...]], None] | None = None
    so_far: Any = None
    arguments: tuple[Any, ...] = ()
    text: str = ""
    otherwise: Callable[[], None] | None = None
    then: Callable[[], None] | None = None
    again: bool = False
    stage: int = 0
    recent: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    trained: tuple[int, int, int] = (0, 0, 0)
    expected: float = math.nan
    work: float = math.nan

    @property
    def part(self) -> float:
        """What of its work was done in this run: training goes on from a checkpoint, and may end before its time."""
        begun, done, total = self.trained
        return (done - begun) / total if total else 1.0

    def told(self, progress: Progress) -> None:
        """Take where it stands."""
        now, code = time.monotonic(), progress.message.code
        self.started = self.started or now
        self.progress = progress
        self.so_far = self.so_far if progress.so_far is None else progress.so_far
        if progress.total != self.stage or (self.recent and progress.done < self.recent[-1][1]):
            self.stage = progress.total  # another one, or one that is gone on with
            self.recent.clear()
        if not self.recent or progress.done > self.recent[-1][1]:
            self.recent.append((now, progress.done))
        while len(self.recent) > FEWEST and self.recent[1][0] < now - RECENT:
            del self.recent[0]
        if code == GOING_ON:
            self.trained = progress.done, progress.done, 0
        if code == TRAINING:
            self.trained = self.trained[0], progress.done, progress.total

    def view(self, place: int = 0, earlier: bool = False, later: bool = False) -> JobView:
        """As the window shows it, at a place of the queue."""
        elapsed = time.monotonic() - self.started if self.started else 0.0
        done, total = self.progress.done, self.progress.total
        since, first = self.recent[0] if self.recent else (0.0, done)
        left = (time.monotonic() - since) / (done - first) * (total - done) if total and done > first else -1.0
        rough = left < 0 and elapsed < self.expected
        return JobView(
            self.id,
            self.title,
            sentence(self.progress.message),
            done,
            total,
            elapsed,
            self.expected - elapsed if rough else left,
            self.cancelling,
            self.method,
            place,
            earlier,
            later,
            rough,
            self.about,
        )


class Board:
    """All jobs in flight, by number."""

    def __init__(self) -> None:
        """Start empty."""
        self._running: dict[int, Running] = {}

    def __len__(self) -> int:
        """How many run or wait."""
        return len(self._running)

    def add(self, job: Running) -> None:
        """Track a job; the first of them begins at once."""
        self._running[job.id] = job
        self._begin()

    def get(self, number: int) -> Running | None:
        """The job of that number."""
        return self._running.get(number)

    def take(self, number: int) -> Running | None:
        """The job of that number, no longer tracked; the next begins."""
        job = self._running.pop(number, None)
        self._begin()
        return job

    def progressed(self, number: int, progress: Progress) -> None:
        """Note where a job stands; it is the one that runs."""
        if (job := self._running.get(number)) is not None:
            if next(iter(self._running)) != number:  # It was sent before it could be moved.
                self._running = {number: job} | self._running
            job.told(progress)

    def about(self, what: object) -> Running | None:
        """The job about something, None where none runs or waits."""
        return next((job for job in self._running.values() if job.about == what), None)

    def so_far(self, what: object) -> Any:
        """What the job about something has made of its result until now; None where none runs or tells it."""
        return None if (job := self.about(what)) is None else job.so_far

    def move(self, number: int, earlier: bool) -> int | None:
        """Let a job that waits change places with its neighbour.

        Returns:
            The job that it now comes before, 0 for none; None where it may not move.
        """
        numbers = list(self._running)
        if number not in numbers:
            return None
        at = numbers.index(number)
        if not self._may(at, -1 if earlier else 1):
            return None
        other = at - 1 if earlier else at + 1
        numbers[at], numbers[other] = numbers[other], numbers[at]
        self._running = {n: self._running[n] for n in numbers}
        place = numbers.index(number) + 1
        return numbers[place] if place < len(numbers) else 0

    def _may(self, at: int, step: int) -> bool:
        """Only what waits moves, and nothing passes a job that makes a state or opens a model."""
        jobs = list(self._running.values())
        inside = at > 0 and 0 < at + step < len(jobs)
        return inside and not (jobs[at].changes or jobs[at + step].changes)

    def _begin(self) -> None:
        if (first := next(iter(self._running.values()), None)) is not None:
            first.turn = first.turn or time.monotonic()

    @property
    def changing(self) -> bool:
        """A job that changes states runs."""
        return any(job.changes for job in self._running.values())

    def running(self) -> tuple[Running, ...]:
        """All jobs, oldest first."""
        return tuple(self._running.values())

    def views(self) -> tuple[JobView, ...]:
        """All jobs as the window shows them."""
        jobs = enumerate(self._running.values())
        return tuple(job.view(place, self._may(place, -1), self._may(place, 1)) for place, job in jobs)
