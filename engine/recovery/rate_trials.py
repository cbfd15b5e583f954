"""Finds the peak of the learning rate by short trials on the model itself. Loads torch.

How large a rate a model bears depends on its size and on what the cut and its repair have left of it: a damaged small
network learns most at a large rate; a large one, or one that is nearly as good as before, is thrown back by it further
than its steps can mend. So the largest rate is tried first: some steps of a whole cycle, from the weights as they are.
Where these have raised the loss on other batches by more than a little, half of that rate is tried, from the same
weights. Nothing of the trials stays.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import nn

from ..device_list import CPU
from ..errors import NO_NUMBERS, Message, SecateurError
from ..jobs import Job, Progress
from ..tracing.isolated_forward import seeded
from ..tracing.model_state import model_state_restored
from .batchnorm import trainable_batches
from .budget import Budget, Unit
from .found_rate import FoundRate
from .optimizers import optimizer_of
from .protocol import RATE, RecoverySettings
from .side_effects import modes_kept
from .time_limit import TimeLimit, TrainingTime
from .training import Training

RATE_TRIALS = ("progress.rate_trials", "Trying learning rate {rate}")
"""Code and words of their progress."""
RATES = tuple(RATE / 2**halvings for halvings in range(6))
"""Peaks to try; the last one is taken without a trial."""
TOLERANCE, LARGEST_TOLERANCE, BRIEF = 0.1, 0.2, 300
"""Of the loss before a trial, how much higher it may be after it: before so few steps, and at most; see `tolerance`."""
MOST, LEAST, PART = 16, 4, 15
"""Updates of a trial: at most, at least, and one of so many of those that follow."""
USUAL = 2
"""Trials of a recovery, for what is foretold of its time: there may be fewer or more."""
COMPARED = 8
"""Batches that the loss before and after a trial is taken on."""
STEP = 3
"""How many times as long a step takes as comparing on a batch."""
SHARE = 1 / 5
"""Of the minutes that are left, what trials may take."""


def trial_steps(settings: RecoverySettings, steps: float) -> int:
    """Updates of a trial before a training of so many `steps`, or one that minutes end; 0 where no rate is sought."""
    if not settings.seeks_rate:
        return 0
    return MOST if settings.minutes else round(min(max(steps / PART, LEAST), MOST))


def tolerance(settings: RecoverySettings, steps: float) -> float:
    """Share by which a trial may raise the loss before a training of so many `steps`: long ones mend more."""
    if settings.minutes:  # how many steps they come to is not known yet
        return TOLERANCE
    return min(TOLERANCE * math.sqrt(max(steps / BRIEF, 1.0)), LARGEST_TOLERANCE)


def usual_trial_steps(settings: RecoverySettings, steps: float) -> int:
    """Updates that trials take together, as many as there usually are."""
    return USUAL * trial_steps(settings, steps)


def rate_trials(training: Training, steps: int, tolerated: float = TOLERANCE) -> Job[FoundRate | None]:
    """Find the peak for a training that has not begun; the same seed and data, the same rate.

    The student, its statistics and all random numbers are as before afterwards, bit for bit. However many processes
    train together, this one alone tries, on all of each batch. None is found where the clock leaves no time for trials,
    where there are no batches, and where the loss is no number before any trial: the training itself says that.

    Args:
        training: Stays as it is, but for how many samples fit into memory.
        steps: Updates of a trial.
        tolerated: Share by which it may raise the loss.

    Raises:
        SecateurError: As `Training.train_on`.
        Cancelled: The token was set.
    """
    settings, student, time, done = training.settings, training.student, training.time, 0
    begun, every = time.limit.elapsed, (len(RATES) - 1) * steps
    ahead = len(RATES) * COMPARED + STEP * settings.accumulate * every  # batches of comparing that all takes as long as
    with modes_kept(student, training.teacher), seeded(settings.seed):
        batches = _groups(training)
        compared, losses, first = list[Any](), list[float](), 0
        while len(compared) < COMPARED and (group := next(batches, None)):
            for one in group[: COMPARED - len(compared)]:
                losses.append(_loss(training, one))
                compared.append(one)
                left = max(time.limit.left - time.reserve, 0.0)
                if ahead * (time.limit.elapsed - begun) > SHARE * len(losses) * left or losses[-1] == math.inf:
                    return None
            first += 1
        if not losses:
            return None
        before = math.fsum(losses) / len(losses)
        for rate in RATES[:-1]:
            with _restored(student):
                trial = _trial(training, rate, steps)
                try:
                    for group in islice(batches, steps):
                        trial.train_on(group)
                        done += 1
                        text = Message(*RATE_TRIALS, {"rate": f"{rate:.3g}"})
                        yield Progress(text, done, every)
                    after = math.fsum(_loss(training, one) for one in compared) / len(compared)
                except SecateurError as error:
                    if error.message.code not in NO_NUMBERS:
                        raise
                    after = math.inf
            if after <= before + tolerated * abs(before):
                return FoundRate(rate, done)
            batches = islice(_groups(training), first, None)
    return FoundRate(RATES[-1], done)


def _loss(training: Training, batch: Any) -> float:
    """The loss on a batch, infinity for one that is no number."""
    try:
        return training.measure(batch)
    except SecateurError as error:
        if error.message.code not in NO_NUMBERS:
            raise
        return math.inf


def _trial(training: Training, rate: float, steps: int) -> Training:
    """A training of its own on the same student, as precise, with a whole cycle of the learning rate."""
    settings = replace(training.settings, learning_rate=rate, half=bool(training.half))
    settings = settings.within(Budget(Unit.STEPS, steps))
    return replace(
        training,
        settings=settings,
        optimizer=optimizer_of(training.student, settings),
        time=TrainingTime(TimeLimit()),
        steps=steps,
        stream=None,
        sharing=None,
        masks=None,
    )


def _groups(training: Training) -> Iterator[list[Any]]:
    """The batches of one step after the other, in an order of their own; a pass follows on another."""
    count, seed = training.settings.accumulate, training.settings.seed * 1000
    while True:
        batches = trainable_batches(training.student, training.task, seed=seed)
        group = list(islice(batches, count))
        if not group:
            return
        while group:
            yield group
            group = list(islice(batches, count))


@contextmanager
def _restored(student: nn.Module) -> Generator[None]:
    """Weights, buffers, gradients and what else a step changes are as before afterwards; weights wait on the CPU."""
    before = [(one, one.detach().to(CPU, copy=True)) for one in student.parameters()]
    try:
        with model_state_restored(student):
            yield
    finally:  # once each lies again in the memory that it lay in
        with torch.no_grad():
            for one, value in before:
                one.copy_(value)
