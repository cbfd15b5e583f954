"""Jobs: work that takes longer than a frame is a generator of `Progress` that returns its result.

A job looks at its `CancelToken` at least a few times a second; a cancelled job leaves everything as it was.
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from .errors import Message, SecateurError


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands.

    Attributes:
        text: What is being done ("Fine-tuning, epoch 2 of 3"): a template without fields, or a message with them.
        done: Steps done.
        total: Steps in all, 0 when unknown.
        values: Numbers for live curves, e.g. {"step": 40, "loss": 0.31} or {"step": 80, "metric": 0.87}.
        made: What is finished and stays, whatever becomes of the rest: a state, a measured point; None for nothing.
        so_far: The result as far as it is made, to be shown meanwhile and for nothing that decides; None for nothing.
        share: How much of the whole job's work is done, 0 to 1, whatever its present stage counts; NaN unknown.
    """

    text: str | Message
    done: int = 0
    total: int = 0
    values: dict[str, float] = field(default_factory=dict[str, float])
    made: Any = None
    so_far: Any = None
    share: float = math.nan

    @property
    def message(self) -> Message:
        """What is being done, to be said in any language."""
        return self.text if isinstance(self.text, Message) else Message("progress.plain", self.text)


class Cancelled(SecateurError):
    """The user stopped the job; nothing was changed."""

    def __init__(self) -> None:
        """Take nothing: there is only one way to be cancelled."""
        super().__init__("job.cancelled", "Cancelled. Nothing was changed.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process boundary."""
        return Cancelled, ()


class CancelToken(Protocol):
    """Says whether the job should stop (threading.Event and multiprocessing.Event are ones)."""

    def is_set(self) -> bool:
        """True once the job should stop."""
        ...


class NeverCancelled:
    """A token for callers that never cancel."""

    def is_set(self) -> bool:
        """Always False."""
        return False


def check(token: CancelToken) -> None:
    """Raise `Cancelled` when the token is set."""
    if token.is_set():
        raise Cancelled


Result = TypeVar("Result")
Job = Generator[Progress, None, Result]


def followed(job: Job[Result], tell: Callable[[Progress], Iterator[Progress]]) -> Job[Result]:
    """A job that tells, and does, what `tell` makes of each of its steps; the job ends before what follows it does."""
    try:
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                return stop.value
            yield from tell(progress)
    finally:
        job.close()


def part_of(shown: Progress, job: Job[Result], words: bool = True, until: float = math.nan) -> Job[Result]:
    """A job as one step of a longer one.

    Args:
        shown: What is told of the longer one: its share of the way stands in place of the job's own.
        job: The step.
        words: The job's words follow those.
        until: The share of the longer one's work that is done after it; NaN: one of the longer one's steps.
    """

    def told(progress: Progress) -> Iterator[Progress]:
        both = {"whole": shown.message, "part": progress.message}
        text = Message("progress.part", "{whole}: {part}", both) if words else shown.text
        yield replace(progress, text=text, done=shown.done, total=shown.total)

    if math.isfinite(until):
        job = spanning(job, shown.share, until)
    elif shown.total:
        job = spanning(job, shown.done / shown.total, (shown.done + 1) / shown.total)
    return (yield from followed(job, told))


def spanning(job: Job[Result], since: float, until: float) -> Job[Result]:
    """A job as a part of a longer one, whose work goes from `since` to `until`: shares of the longer one's, 0 to 1.

    A part that tells no share of its own counts by its steps; one of several stages, as far as its furthest one.
    """
    furthest = 0.0

    def told(progress: Progress) -> Iterator[Progress]:
        nonlocal furthest
        steps = progress.done / progress.total if progress.total else 0.0
        furthest = max(furthest, min(progress.share if math.isfinite(progress.share) else steps, 1.0))
        yield replace(progress, share=since + (until - since) * furthest)

    return (yield from followed(job, told))


def staged(job: Job[Result], begins: Sequence[float]) -> Job[Result]:
    """A job whose steps are stages of different lengths: `begins[n]` is the share that is done as the nth begins."""

    def told(progress: Progress) -> Iterator[Progress]:
        share = begins[progress.done] if progress.total and progress.done < len(begins) else progress.share
        yield replace(progress, share=share)

    return (yield from followed(job, told))


def finish(job: Job[Result], on_progress: Callable[[Progress], None] | None = None) -> Result:
    """Run a job to its end in this thread and return its result."""
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return stop.value
        if on_progress is not None:
            on_progress(progress)
