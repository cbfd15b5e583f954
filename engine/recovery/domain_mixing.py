"""Mixes named domains of text anew after every pass, by where the loss lags behind the original's. Loads torch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..devices import placed
from ..errors import Message
from ..jobs import Job, Progress
from ..tasks.domain_mixture import DomainTask
from ..tasks.protocol import Split
from ..text.format import percent
from .batchnorm import trainable_batches
from .protocol import Mixing
from .side_effects import modes_kept
from .training import Training


def begin_mixing(training: Training) -> Job[None]:
    """Take the mixture that the data has, led by what the teacher loses on the val split; nothing without domains."""
    task = training.task
    if training.settings.mixing is Mixing.NATURAL:
        return
    if isinstance(task, DomainTask) and (mixture := task.mixture()) is not None:
        with modes_kept(training.teacher), placed(training.device, training.teacher):
            references = yield from task.domain_losses(training.teacher.eval(), Split.VAL, training.token)
        training.mixture = replace(mixture, references=references, seed=training.settings.seed)
    else:
        yield Progress("The data names no domains, so none are mixed")


def mixed_anew(training: Training) -> Job[None]:
    """After a pass: the cursors behind it, and the proportions that the losses of now ask for."""
    mixture, task = training.mixture, training.task
    if mixture is None or not isinstance(task, DomainTask):
        return
    with modes_kept(training.student), placed(training.device, training.student):
        losses = yield from task.domain_losses(training.student.eval(), Split.VAL, training.token)
    clamped = training.settings.mixing is Mixing.CLAMPED
    anew = mixture.after(task.mixed_count).led_by(losses, clamped)
    shares = zip(anew.names, anew.proportions.tolist(), strict=True)
    words = ", ".join(f"{name} {percent(share)}" for name, share in shares)
    yield Progress(Message("progress.mixing", "Domains from now on: {shares}", {"shares": words}))
    training.mixture = anew  # last: what is broken off before is done again


def batches_of(training: Training, seed: int) -> Iterator[Any]:
    """The batches of a pass, mixed where domains are."""
    if training.mixture is not None and isinstance(training.task, DomainTask):
        return training.task.mixed_batches(training.mixture)
    return trainable_batches(training.student, training.task, seed=seed)
