"""The one queue of jobs: what runs, what waits, what is sent to the engine next, and what becomes of each result.

The engine works on one job at a time. What waits stays here, so that it can be taken out at once or moved, and is not
lost with a process that dies.
"""

import itertools
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import Progress
from secateur.engine.recovery.protocol import RecoverySettings

from ..document.job_state import JobView, KeptTraining, UnfinishedJob
from ..text.translate import sentence

RECENT, FEWEST = 5.0, 4
"""Seconds of progress that a job's speed is taken from, and the fewest messages for it."""
HALF = 0.5
"""Of the time of a job that tells how much of its work is done: what counts are its last seconds and this share."""
LINGERING = 0.5
"""Of the time that a step has taken already, what it is said to take still where it should have been over."""
ENOUGH = 0.02
"""How much of the work must have been seen before its speed says more than the estimate of before."""
JUMP = 10.0
"""How many times faster than before work has to go for having been done already."""
LASTING = frozenset({"recover", "sweep", "sensitivity", "lowest", "compare", "prune"})
"""What keeps as it goes what it has made, and goes on from there when it is asked for once more."""
KEEPS = LASTING | {"latencies", "search_shares"}
"""What loses next to nothing when it is cancelled; what was timed is not timed again."""
GOING_ON = "progress.going_on"
TRAINING = frozenset(
    f"progress.{name}" for name in ("fine_tuning", "fine_tuning_timed", "fine_tuning_steps", "distilling")
)
"""Codes of the progress of training: where it resumed, and how far it is."""
SAME_STEP = 5.0
"""Seconds between two lines of a job's log that differ in their numbers alone."""


@dataclass(slots=True)
class QueuedJob:
    """A job that runs or waits.

    Attributes:
        title: What it does, in words.
        apply: Takes its result.
        method: Of the session that it calls.
        arguments: Of the call.
        id: Its number, given by the queue.
        changes: It makes a state, or another model: the plan cannot be edited meanwhile.
        sent: The engine has it.
        record: As it is gone on with after the program ended, None where it is not.
        progress: The last progress.
        started: Time of the first progress, 0 while it waits (seconds, monotonic).
        turn: Time from which it was the one that runs, 0 while it waits.
        cancelling: Cancel was pressed.
        background: The user did not ask for it: it makes room for other jobs, and its failure is not shown.
        contents: Of the document that it was asked for; once another model is open, its result is not needed.
        about: What it is for, so that the same is not asked for twice.
        arrived: Takes what the job made on the way, a tuple as it comes; None where that is nothing.
        so_far: Its result as far as it is made; None where it tells nothing of that.
        text: What the step that it leads to is called.
        otherwise: Takes the reason when it fails or is cancelled.
        then: Called once its result was taken; None where nothing follows.
        again: It was asked for once more, because the engine was lost in it.
        dropped: It is cancelled because its result is not needed, which is not announced.
        tells: Its progress has the share of its whole work.
        stage: Of how many steps its present stage is; 0 where it tells the share of the whole.
        recent: (time, share) of its last progress, of the whole work where the job tells that, else of its stage. They
            tell its speed: what was done before may have been known already, or done in an earlier run.
        trained: Steps, or seconds, of training that an earlier run had done, that are done now, and all; (0, 0, 0)
            unknown.
        expected: Seconds that it takes as estimated when it was asked for, NaN unknown.
        work: How much it is, in the unit of `cost_estimator.py`: what its time teaches about the next one.
        steps: When each kind of step was written into its log last; kinds are the words without their numbers.
    """

    title: str
    apply: Callable[[Any], None]
    method: str
    arguments: tuple[Any, ...] = ()
    id: int = 0
    changes: bool = False
    sent: bool = False
    record: UnfinishedJob | None = None
    progress: Progress = field(default_factory=lambda: Progress(""))
    started: float = 0.0
    turn: float = 0.0
    cancelling: bool = False
    background: bool = False
    contents: object = None
    about: object = None
    arrived: Callable[[tuple[Any, ...]], None] | None = None
    so_far: Any = None
    text: str = ""
    otherwise: Callable[[SecateurError], None] | None = None
    then: Callable[[], None] | None = None
    again: bool = False
    dropped: bool = False
    tells: bool = False
    stage: int = 0
    recent: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    trained: tuple[int, int, int] = (0, 0, 0)
    expected: float = math.nan
    work: float = math.nan
    steps: dict[str, float] = field(default_factory=dict[str, float])

    def renewed(self) -> "QueuedJob":
        """The same job as it was asked for; what followed from the first attempt is not part of it."""
        job = QueuedJob(self.title, self.apply, self.method, self.arguments, changes=self.changes, about=self.about)
        job.arrived, job.text = self.arrived, self.text
        return job

    @property
    def part(self) -> float:
        """What of its work was done in this run: training goes on from a checkpoint, and may end before its time."""
        begun, done, total = self.trained
        return (done - begun) / total if total else 1.0

    def lost(self) -> float:
        """Seconds of work that a cancel would lose; 0 where what was done is kept."""
        return time.monotonic() - self.started if self.sent and self.started and self.method not in KEEPS else 0.0

    def kept_training(self) -> KeptTraining | None:
        """What of a recovery is kept if it is cancelled now; None where it is none, or has not begun to train."""
        begun, step, total = self.trained
        if self.method != "recover" or not (total or begun):
            return None
        settings: RecoverySettings = self.arguments[1]
        whole = settings.budget
        done = int(step * whole.amount / total) if total else 0
        return KeptTraining(self.arguments[0], done, whole)

    def take_progress(self, progress: Progress) -> None:
        """Take its progress."""
        now, code = time.monotonic(), progress.message.code
        self.started = self.started or now
        self.progress = progress
        self.so_far = self.so_far if progress.so_far is None else progress.so_far
        whole = math.isfinite(progress.share)
        self.tells = self.tells or whole
        if code in TRAINING and not self.trained[2]:
            self.recent.clear()
        # Once a job has sent its share of the whole, the progress of a single step says less.
        if whole or not self.tells:
            # Note how far it is, of the whole or of its stage: the speed of one stage says nothing of another one.
            if not whole and progress.total != self.stage:
                self.recent.clear()
            self.stage = 0 if whole else progress.total
            reached = progress.share if whole else progress.done / progress.total if progress.total else 0.0
            if self.recent and reached < self.recent[-1][1]:
                self.recent.clear()
            if whole and (known := self._known_already(now, reached)):
                self.recent = [(when, share + known) for when, share in self.recent]
            if not self.recent or reached > self.recent[-1][1]:
                self.recent.append((now, reached))
            lately = now - max(RECENT, HALF * (now - self.started) if whole else 0.0)
            while len(self.recent) > FEWEST and self.recent[1][0] < lately:
                del self.recent[0]
        if code == GOING_ON:
            self.trained = progress.done, progress.done, 0
        if code in TRAINING:
            self.trained = self.trained[0], progress.done, progress.total

    def _known_already(self, now: float, reached: float) -> float:
        """What of the whole a step went ahead by because it was made before; 0 for none.

        That says nothing of the speed: a cut that is there already is a tenth of a round, and takes no time.
        """
        if len(self.recent) < 2:
            return 0.0
        (since, first), (latest, last) = self.recent[0], self.recent[-1]
        usual = (last - first) / max(latest - since, 1e-9) * (now - latest)
        ahead = reached - last - usual
        return ahead if reached - last > JUMP * usual and ahead > ENOUGH else 0.0

    def new_step(self) -> str:
        """Its present step, in words, for its log; "" where the log has just had one like it."""
        words, now = sentence(self.progress.message), time.monotonic()
        kind = re.sub(r"\d+", "", words)
        if now - self.steps.get(kind, -math.inf) < SAME_STEP:
            return ""
        self.steps[kind] = now
        return words

    def _left(self) -> float:
        """Seconds that it still takes at the speed that it had, -1 unknown."""
        if len(self.recent) < 2:
            return -1.0
        (since, first), (_, reached) = self.recent[0], self.recent[-1]
        now, latest = time.monotonic(), self.recent[-1][0]
        if not self.stage and reached - first < ENOUGH and not now - self.started >= self.expected:
            # Too little was seen: the estimate from before says more.
            return -1.0
        left = (latest - since) / (reached - first) * (1 - reached)
        return max(left - (now - latest), LINGERING * (now - latest))

    def view(self, place: int = 0, earlier: bool = False, later: bool = False) -> JobView:
        """As the window shows it, at a place of the queue."""
        elapsed = time.monotonic() - self.started if self.started else 0.0
        done, total, left = self.progress.done, self.progress.total, self._left()
        rough = left < 0 and elapsed < self.expected
        return JobView(
            id=self.id,
            title=self.title,
            text=sentence(self.progress.message),
            done=done,
            total=total,
            elapsed=elapsed,
            left=self.expected - elapsed if rough else left,
            cancelling=self.cancelling,
            method=self.method,
            place=place,
            earlier=earlier,
            later=later,
            rough=rough,
            about=self.about,
            changes=self.changes,
            background=self.background,
            so_far=self.so_far,
            work=self.progress.share if math.isfinite(self.progress.share) else -1.0,
        )


class JobQueue:
    """All jobs that run or wait, in the order in which they have their turn; the first one runs.

    Attributes:
        held: Nothing is sent: the engine was lost, and gets back its session first.
        unheard: The engine is out of reach, so its progress is unknown.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.held = self.unheard = False
        self._numbers = itertools.count(1)
        self._jobs: dict[int, QueuedJob] = {}

    def __len__(self) -> int:
        """How many run or wait."""
        return len(self._jobs)

    def add(self, job: QueuedJob, ahead: bool = False) -> int:
        """Put a job behind all others, or `ahead` of those that the engine does not have yet; its number."""
        job.id = next(self._numbers)
        waiting = [number for number, one in self._jobs.items() if ahead and not one.sent]
        self._jobs[job.id] = job
        for number in waiting:
            self._jobs[number] = self._jobs.pop(number)
        self._begin()
        return job.id

    def get(self, number: int) -> QueuedJob | None:
        """The job of that number."""
        return self._jobs.get(number)

    def take(self, number: int) -> QueuedJob | None:
        """The job of that number, no longer in the queue; the next begins."""
        job = self._jobs.pop(number, None)
        self._begin()
        return job

    def next_to_send(self) -> QueuedJob | None:
        """The job that the engine shall have now; None while it works on another, or has to get back its session."""
        first = next(iter(self._jobs.values()), None)
        if first is None or self.held or any(job.sent for job in self._jobs.values()):
            return None
        first.sent = True
        return first

    def waiting(self) -> tuple[QueuedJob, ...]:
        """Those that the engine does not have."""
        return tuple(job for job in self._jobs.values() if not job.sent)

    def take_progress(self, number: int, progress: Progress) -> None:
        """Note the progress of a job."""
        if (job := self._jobs.get(number)) is not None:
            job.take_progress(progress)

    def about(self, what: object) -> QueuedJob | None:
        """The job about something, None where none runs or waits."""
        return next((job for job in self._jobs.values() if job.about == what), None)

    def move(self, number: int, earlier: bool) -> bool:
        """Let a job that waits change places with its neighbour; False where it may not move."""
        numbers = list(self._jobs)
        if number not in numbers:
            return False
        at = numbers.index(number)
        if not self._may(at, -1 if earlier else 1):
            return False
        other = at - 1 if earlier else at + 1
        numbers[at], numbers[other] = numbers[other], numbers[at]
        self._jobs = {n: self._jobs[n] for n in numbers}
        return True

    def _may(self, at: int, step: int) -> bool:
        """Only what waits moves, and nothing passes a job that makes a state or opens a model."""
        jobs = list(self._jobs.values())
        inside = at > 0 and 0 < at + step < len(jobs)
        return inside and not (jobs[at].changes or jobs[at + step].changes)

    def _begin(self) -> None:
        if (first := next(iter(self._jobs.values()), None)) is not None:
            first.turn = first.turn or time.monotonic()

    def jobs(self) -> tuple[QueuedJob, ...]:
        """All jobs, the one that runs first."""
        return tuple(self._jobs.values())

    def views(self) -> tuple[JobView, ...]:
        """All jobs as the window shows them."""
        jobs = enumerate(self._jobs.values())
        views = (job.view(place, self._may(place, -1), self._may(place, 1)) for place, job in jobs)
        return tuple(replace(one, left=-1.0, rough=False) if self.unheard else one for one in views)
