"""Mixes named domains of text anew after every evaluation, by where the loss lags. Loads torch."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message
from ..jobs import Job, Progress, spanning
from ..machine.devices import placed
from ..messages import Phrase, listed
from ..tasks.domain_mixture import DomainMixture, DomainTask
from ..tasks.evaluate import fitting_domain_losses
from ..tasks.protocol import SeekableTask, Split
from ..text.format import percent
from ..text.notation import write_amount
from .batchnorm import trainable_batches
from .checkpoint import Position
from .protocol import Mixing
from .reference_losses import ReferenceLosses, ScalingLaw, fit_law
from .side_effects import keep_modes
from .training import BatchStream, Training
from .training_curve import domain_point

Floats = NDArray[np.float64]
SHOWN = 4
"""Domains that a sentence names."""


def begin_mixing(training: Training, found: dict[str, Any], parameters: int) -> Job[None]:
    """Give the training the mixture of the data and the losses that lead it; nothing without domains.

    The losses are those that the settings give, else the teacher's on the val split. A resumed training takes both from
    its checkpoint.

    Args:
        training: Gets the mixture.
        found: Of the checkpoint, empty where there is none.
        parameters: Of the model that comes of it, at which a scaling law is read.
    """
    task = training.task
    if training.settings.mixing is Mixing.NATURAL:
        return
    if isinstance(task, DomainTask) and (mixture := task.mixture()) is not None:
        if found.get("mixture") is not None:
            training.mixture = replace(mixture, seed=training.settings.seed).restored(found["mixture"])
            return
        if given := training.settings.references:
            references = reference_losses(given, mixture.names, parameters)
        else:
            with keep_modes(training.teacher), placed(training.device, training.teacher):
                references = yield from _losses(training, task, training.teacher.eval())
        training.mixture = replace(mixture, references=references, seed=training.settings.seed)
        text = _describe_references(training.mixture, given, parameters)
        yield Progress(text, values=domain_point(training.mixture, training.step))
    else:
        yield Progress("The data names no domains, so none are mixed")


def reference_losses(given: Sequence[ReferenceLosses], names: Sequence[str], parameters: int) -> Floats:
    """[k] losses of these domains: as given, or by a scaling law through them at a number of parameters."""
    if not given[0].parameters:
        return np.array([dict(given[0].losses)[name] for name in names])
    return np.array([one.loss(parameters) for one in _laws(given, names)])


def _laws(given: Sequence[ReferenceLosses], names: Sequence[str]) -> list[ScalingLaw]:
    """The law of each of these domains."""
    sizes = [one.parameters for one in given]
    return [fit_law(sizes, [dict(one.losses)[name] for one in given]) for name in names]


def _describe_references(mixture: DomainMixture, given: Sequence[ReferenceLosses], parameters: int) -> Message:
    pairs = zip(mixture.names, mixture.references.tolist(), strict=True)
    fields: dict[str, Phrase] = {"losses": ", ".join(f"{name} {loss:.3f}" for name, loss in pairs)}
    if not given:
        return Message("progress.references", "Losses of the original by domain: {losses}", fields)
    if not given[0].parameters:
        return Message("progress.references_given", "Reference losses by domain, as given: {losses}", fields)
    digits = 10 ** max(int(math.log10(parameters)) - 2, 0)
    fields["parameters"] = write_amount(round(parameters / digits) * digits)
    flat = [name for name, law in zip(mixture.names, _laws(given, mixture.names), strict=True) if not law.falls]
    if not flat:
        template = "Reference losses by domain, of a scaling law at {parameters} parameters: {losses}"
        return Message("progress.references_fitted", template, fields)
    template = (
        "Reference losses by domain, of a scaling law at {parameters} parameters: {losses}. In {flat} the larger "
        "models given do not lose less, so the mean of their losses counts for any size."
    )
    return Message("progress.references_flat", template, fields | {"flat": listed(flat, SHOWN)})


def mix_anew(training: Training, batches: int) -> Job[None]:
    """Mix by the present losses, after a number of batches of an epoch."""
    mixture, task = training.mixture, training.task
    if mixture is None or not isinstance(task, DomainTask):
        return
    with keep_modes(training.student), placed(training.device, training.student):
        losses = yield from _losses(training, task, training.student.eval())
    clamped = training.settings.mixing is Mixing.CLAMPED
    anew = task.advanced(mixture, batches).led_by(losses, clamped)
    shares = zip(anew.names, anew.proportions.tolist(), strict=True)
    words = ", ".join(f"{name} {percent(share)}" for name, share in shares)
    text = Message("progress.mixing", "Domains from now on: {shares}", {"shares": words})
    yield Progress(text, values=domain_point(anew, training.step, losses))
    training.mixture, training.stream = anew, None  # last: a mixing that is broken off is done again


def _losses(training: Training, task: DomainTask, model: Any) -> Job[Floats]:
    """[k] losses of a model on the val split; they count as no work of their own in the progress."""
    losses = None
    if training.leads or training.division is not None:
        job = fitting_domain_losses(task, model, Split.VAL, training.token, training.passes)
        losses = (yield from spanning(job, 0.0, 0.0)).tolist()
    return np.array(training.agreed(losses))


def advance_mixture(training: Training, batches: int) -> None:
    """Move the cursors past batches of an epoch that no evaluation follows."""
    if training.mixture is not None and isinstance(training.task, DomainTask):
        training.mixture = training.task.advanced(training.mixture, batches)


def next_pass(training: Training, position: Position) -> Position:
    """The start of the next epoch, with torch's present random state; nothing is drawn of its domains yet."""
    if training.mixture is not None:
        training.mixture = training.mixture.begun()
    return position.next_epoch(torch.get_rng_state())


def stream_at(training: Training, position: Position) -> BatchStream:
    """The batches of an epoch from a position on, or from its first where the data can only be read in order."""
    task, seed = training.task, training.settings.seed * 1000 + position.epoch
    portion = None if training.sharing is None else training.sharing.portion
    if training.mixture is not None and isinstance(task, DomainTask):
        mixed = task.mixed_batches(training.mixture, position.done, portion)
        return BatchStream(mixed, position.epoch, position.done)
    start = position.done if isinstance(task, SeekableTask) else 0
    batches = trainable_batches(training.student, task, seed=seed, start=start, portion=portion)
    return BatchStream(batches, position.epoch, start)
