"""Mixes named domains of text anew after every evaluation, by where the loss lags. Loads torch."""

from dataclasses import replace
from typing import Any

import torch

from ..devices import placed
from ..errors import Message
from ..jobs import Job, Progress
from ..tasks.domain_mixture import DomainTask
from ..tasks.protocol import SeekableTask, Split
from ..text.format import percent
from .batchnorm import trainable_batches
from .checkpoint import Position
from .protocol import Mixing
from .side_effects import modes_kept
from .training import BatchStream, Training


def begin_mixing(training: Training, found: dict[str, Any]) -> Job[None]:
    """Take the mixture that the data has, led by what the teacher loses on the val split; nothing without domains.

    Of a training that is gone on with, the checkpoint that was found knows that.
    """
    task = training.task
    if training.settings.mixing is Mixing.NATURAL:
        return
    if isinstance(task, DomainTask) and (mixture := task.mixture()) is not None:
        if found.get("mixture") is not None:
            training.mixture = replace(mixture, seed=training.settings.seed).restored(found["mixture"])
            return
        with modes_kept(training.teacher), placed(training.device, training.teacher):
            references = yield from task.domain_losses(training.teacher.eval(), Split.VAL, training.token)
        training.mixture = replace(mixture, references=references, seed=training.settings.seed)
    else:
        yield Progress("The data names no domains, so none are mixed")


def mixed_anew(training: Training, batches: int) -> Job[None]:
    """The proportions that the losses of now ask for, behind so many batches of a pass."""
    mixture, task = training.mixture, training.task
    if mixture is None or not isinstance(task, DomainTask):
        return
    with modes_kept(training.student), placed(training.device, training.student):
        losses = yield from task.domain_losses(training.student.eval(), Split.VAL, training.token)
    clamped = training.settings.mixing is Mixing.CLAMPED
    anew = task.advanced(mixture, batches).led_by(losses, clamped)
    shares = zip(anew.names, anew.proportions.tolist(), strict=True)
    words = ", ".join(f"{name} {percent(share)}" for name, share in shares)
    yield Progress(Message("progress.mixing", "Domains from now on: {shares}", {"shares": words}))
    training.mixture, training.stream = anew, None  # last: what is broken off before is done again


def mixed_on(training: Training, batches: int) -> None:
    """The cursors behind a pass of so many batches, which no evaluation follows."""
    if training.mixture is not None and isinstance(training.task, DomainTask):
        training.mixture = training.task.advanced(training.mixture, batches)


def next_pass(training: Training, position: Position) -> Position:
    """The begin of the next pass, with torch's random state of now; of its domains nothing is drawn yet."""
    if training.mixture is not None:
        training.mixture = training.mixture.begun()
    return position.following(torch.get_rng_state())


def stream_at(training: Training, position: Position) -> BatchStream:
    """The batches of a pass from a position on, or from its first where the data can only be gone through in order."""
    task, seed = training.task, training.settings.seed * 1000 + position.epoch
    if training.mixture is not None and isinstance(task, DomainTask):
        return BatchStream(task.mixed_batches(training.mixture, position.done), position.epoch, position.done)
    start = position.done if isinstance(task, SeekableTask) else 0
    return BatchStream(trainable_batches(training.student, task, seed=seed, start=start), position.epoch, start)
