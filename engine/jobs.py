"""Jobs: work that takes longer than a frame is a generator of `Progress` that returns its result.

A job looks at its `CancelToken` at least a few times a second; a cancelled job leaves everything as it was.
"""

from collections.abc import Callable, Generator, Iterator
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
    """

    text: str | Message
    done: int = 0
    total: int = 0
    values: dict[str, float] = field(default_factory=dict[str, float])
    made: Any = None
    so_far: Any = None

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
    """A job that tells, and does, what `tell` makes of each of its steps."""
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return stop.value
        yield from tell(progress)


def part_of(shown: Progress, job: Job[Result], words: bool = True) -> Job[Result]:
    """A job as one step of a longer one.

    Args:
        shown: What is told of the longer one: its share of the way stands in place of the job's own.
        job: The step.
        words: The job's words follow those.
    """

    def told(progress: Progress) -> Iterator[Progress]:
        both = {"whole": shown.message, "part": progress.message}
        text = Message("progress.part", "{whole}: {part}", both) if words else shown.text
        yield replace(progress, text=text, done=shown.done, total=shown.total)

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
