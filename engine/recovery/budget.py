"""How long a recovery trains: epochs, steps, tokens or minutes, as one type; and the clock that minutes go by."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Unit(StrEnum):
    """What a budget counts; each is a field of `RecoverySettings`."""

    EPOCHS = "epochs"
    STEPS = "steps"
    TOKENS = "tokens"
    MINUTES = "minutes"


@dataclass(frozen=True, slots=True)
class Budget:
    """So much training.

    Attributes:
        unit: What is counted.
        amount: How many; 0 for no training.
    """

    unit: Unit
    amount: float

    def part(self, share: float) -> "Budget":
        """A share of it; of what is whole, rounded up, so that a part of any training is training."""
        amount = share * self.amount
        return Budget(self.unit, amount if self.unit is Unit.MINUTES else -int(-amount // 1))


def _now() -> float:
    return time.monotonic()


@dataclass(slots=True)
class TimeLimit:
    """Seconds from the start of a recovery, over all runs of it.

    Attributes:
        seconds: That it may take in all; infinity for any time.
        spent: Seconds of earlier runs that this one resumes.
        begun: When this run began, in seconds of the monotonic clock.
        whole: What it is a part of, None for a whole one.
        clock: What it goes by instead of the monotonic clock: that of all processes that train together.
    """

    seconds: float = math.inf
    spent: float = 0.0
    begun: float = field(default_factory=_now)
    whole: "TimeLimit | None" = None
    clock: Callable[[], float] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that it has taken."""
        return self.spent + (self.clock or _now)() - self.begun

    @property
    def left(self) -> float:
        """Seconds that are left of it."""
        return self.seconds - self.elapsed

    def part(self, share: float) -> "TimeLimit":
        """The limit of a part that begins now and may take so much of the whole."""
        return TimeLimit(share * self.seconds, whole=self)

    def go_on(self, spent: float) -> None:
        """Count the seconds of an earlier run, in the whole too."""
        self.spent += spent
        if self.whole is not None:
            self.whole.go_on(spent)


@dataclass(slots=True)
class TrainingTime:
    """How far a training is in its time. All in seconds.

    Attributes:
        limit: Of all that it belongs to.
        start: Seconds of the limit before the first step.
        reserve: What an evaluation takes: one follows the last step.
    """

    limit: TimeLimit = field(default_factory=TimeLimit)
    start: float = 0.0
    reserve: float = 0.0

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self.limit.seconds < math.inf

    @property
    def length(self) -> float:
        """What there is for the steps."""
        return max(self.limit.seconds - self.reserve - self.start, 0.0)

    @property
    def elapsed(self) -> float:
        """What the steps have taken, and evaluations between them."""
        return self.limit.elapsed - self.start

    @property
    def share(self) -> float:
        """How much of it is over, 0 to 1; 0 without a limit."""
        if not self.limited:
            return 0.0
        return min(max(self.elapsed, 0.0) / self.length, 1.0) if self.length else 1.0

    @property
    def up(self) -> bool:
        """Whether it is over."""
        return self.share >= 1.0
