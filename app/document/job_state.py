"""What the document holds of the jobs: those that run or wait, consent that one needs, the engine, a recovery's curve.

The job queue publishes it; views read it in the document and know no job.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.engine.errors import SecateurError
from secateur.engine.export.protocol import Exported
from secateur.engine.masks.learned_gates import GateCount, LearnedGates
from secateur.engine.recovery.budget import Budget
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.training_curve import DomainPoint, domains_of

MOST_POINTS = 2000
"""Of a curve of gates: a longer one loses every second."""
TRAINS = frozenset({"recover", "prune", "sweep", "lowest", "apply_recipe"})
"""Methods of jobs that train a state, or several after one another, and tell the curve."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as the window shows it.

    Attributes:
        id: Its number.
        title: What it does, in words.
        text: Its present step, in words.
        done: Steps done.
        total: Steps in all, 0 unknown.
        elapsed: Seconds since it began, 0 while it waits.
        left: Seconds that it still takes, -1 unknown.
        cancelling: Cancel was pressed.
        method: Of the session that it calls.
        place: In the queue: 0 runs, 1 is next.
        earlier: It may come before the one before it.
        later: It may come after the one after it.
        rough: What is left is an estimate from other jobs, not from its own progress.
        about: What it is for, None where that is not asked.
        changes: It makes a state, or opens another model: the plan cannot be edited meanwhile.
        background: The user did not ask for it.
        so_far: Its result as far as it is made, None where it tells nothing of that.
        work: How much of its whole work is done, 0 to 1; -1 where it tells only of its present stage.
    """

    id: int
    title: str
    text: str
    done: int
    total: int
    elapsed: float
    left: float
    cancelling: bool = False
    method: str = ""
    place: int = 0
    earlier: bool = False
    later: bool = False
    rough: bool = False
    about: object = None
    changes: bool = False
    background: bool = False
    so_far: Any = None
    work: float = -1.0

    @property
    def share(self) -> float:
        """How much of it is over, 0 to 1: of its work, else of its time; -1 where neither is known."""
        if self.work >= 0:
            return self.work
        return self.elapsed / (self.elapsed + self.left) if self.left >= 0 and self.elapsed > 0 else -1.0


@dataclass(frozen=True, slots=True)
class UnfinishedJob:
    """A job that changes states, as far as it can be gone on with or asked for again after the program ended.

    Attributes:
        method: Of the session.
        state: What it was started on.
        title: In words.
        settings: Of a recovery, None for other jobs.
        known: How many states there were when it was started.
        text: What the step it leads to is called.
        number: Of the job, in the process that made it.
    """

    method: str
    state: str
    title: str
    settings: RecoverySettings | None = None
    known: int = 0
    text: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class KeptTraining:
    """A recovery that was cancelled, and that the next one of the same state goes on with.

    Attributes:
        state: Id of the state that it recovers.
        done: Of the budget, what is done.
        budget: What was asked for.
    """

    state: str
    done: int
    budget: Budget


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an export has written, as it is shown.

    Attributes:
        state: Id of the state that was written.
        exported: What was written.
    """

    state: str
    exported: Exported


@dataclass(frozen=True, slots=True)
class FolderReceipt:
    """What was written for another machine, or for others, as it is shown.

    Attributes:
        title: What it is.
        path: The file or folder.
        facts: How to go on with it, a sentence each.
        command: What starts it there, "" where nothing does.
    """

    title: str
    path: str
    facts: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True, slots=True)
class EngineState:
    """What is known of the engine process.

    Attributes:
        text: What it does, in words.
        ready: It has loaded its libraries and lost nothing.
        processor: What it computes with, in words, "" before that is known.
        threads: How many threads that is, 0 before it is known.
        folder: The session's folder, None before it was started.
        place: The machine that it runs on, "" for this one.
    """

    text: str = ""
    ready: bool = False
    processor: str = ""
    threads: int = 0
    folder: Path | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the live recovery curves.

    Attributes:
        step: Of the training.
        loss: Mean of the latest steps; NaN where the point has none.
        metric: On the val split; NaN where the point has none.
        domains: The numbers of each domain of text, by name; () where the point has none.
    """

    step: int
    loss: float
    metric: float
    domains: tuple[tuple[str, DomainPoint], ...] = ()

    @classmethod
    def of(cls, point: Mapping[str, float]) -> "CurvePoint":
        """From what the engine tells: the step with its loss, and whatever else it has as the metric."""
        if domains := domains_of(point):
            return cls(int(point["step"]), float("nan"), float("nan"), tuple(domains.items()))
        metric = next((value for name, value in point.items() if name not in ("step", "loss", "epoch")), float("nan"))
        return cls(int(point["step"]), point.get("loss", float("nan")), metric)


@dataclass(slots=True)
class GateCurve:
    """Masks that are learned, or were last.

    Attributes:
        latest: The gates that came last, None before any.
        points: (step, counts of each kind), as they came.
    """

    latest: LearnedGates | None = None
    points: list[tuple[int, tuple[GateCount, ...]]] = field(default_factory=list[tuple[int, tuple[GateCount, ...]]])

    def add(self, gates: LearnedGates) -> None:
        """Take gates; an earlier step than the last begins another training."""
        if self.points and gates.step < self.points[-1][0]:
            self.points.clear()
        self.latest = gates
        if not self.points or gates.step > self.points[-1][0]:
            self.points.append((gates.step, gates.counts))
        if len(self.points) > MOST_POINTS:
            del self.points[1::2]


@dataclass(slots=True)
class TrainingCurve:
    """The running or last recovery.

    Attributes:
        state: Id of the state that it recovers, "" where that is not one of them.
        points: As they came.
    """

    state: str = ""
    points: list[CurvePoint] = field(default_factory=list[CurvePoint])

    def add(self, point: CurvePoint) -> None:
        """Take a point; an earlier step than the last begins the next recovery of a recipe."""
        if self.points and point.step < self.points[-1].step:
            self.points.clear()
        self.points.append(point)


CONSENTS = {
    "checkpoint.pickle": "trust_pickle",
    "program.pickle": "trust_pickle",
    "source.code": "trust_code",
    "source.changed_code": "trust_code",
    "source.machine": "trust_code",
    "source.download": "download",
    "source.pretrained": "download",
    "source.hf_download": "download",
}
"""Code of a refusal -> the argument of the job that allows it."""
MOVED = "project.moved"
"""Code of what is asked about a project whose files are elsewhere now."""


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A job that consent can be missing for.

    Attributes:
        file: What it opens, for the question.
        again: Starts it again with one consent more: "trust_pickle", "trust_code" or "download".
    """

    file: str
    again: Callable[[str], None]


def is_question(error: SecateurError, request: ConsentRequest | None) -> bool:
    """Whether the user is asked about what a job ended with, in place of an error."""
    return error.message.code == MOVED or (request is not None and error.message.code in CONSENTS)
