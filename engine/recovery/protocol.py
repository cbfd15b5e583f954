"""Settings of a recovery, as plain data."""

import math
from dataclasses import dataclass
from enum import StrEnum

from ..devices import check_threads
from ..errors import SecateurError


class Repair(StrEnum):
    """What is done before, or without, any training; see `least_squares.py`."""

    NONE = "none"
    BIAS = "bias"
    LEAST_SQUARES = "least squares"


class Optimizer(StrEnum):
    """Optimisers to train with; `optimizers.py` makes them."""

    ADAMW = "adamw"
    ADAM = "adam"
    SGD = "sgd"


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """Fine-tuning with the original as teacher.

    Attributes:
        epochs: Passes over the train split.
        learning_rate: Peak of a one-cycle schedule.
        distillation: Weight of the teacher's soft targets, 0..1; the rest is the task's own loss.
        temperature: Softening of both outputs (Hinton et al. 2015).
        weight_decay: Decoupled decay (AdamW); for SGD the usual one.
        seed: Order of the batches.
        threads: torch threads, 0: as many as the machine has less one.
        repair: How layers that lost inputs are repaired from calibration data before training.
        optimizer: What makes the steps; SGD has Nesterov momentum 0.9 and wants a learning rate of its own.
        warm_up: Share of the steps in which the learning rate rises.
        patience: Epochs without a better metric after which training stops, 0 for never.
        features: Weight of the distance between what blocks give in student and teacher, 0 for none.
        mirror: Mirror about half of the images of each batch, anew each time; the teacher answers for them, so its
            weight has to be 1.
        half: Forward and loss in bfloat16 where torch thinks it safe; weights are trained in single precision anyway.
    """

    epochs: int = 5
    learning_rate: float = 2e-3
    distillation: float = 0.7
    temperature: float = 2.0
    weight_decay: float = 1e-4
    seed: int = 0
    threads: int = 0
    repair: Repair = Repair.NONE
    optimizer: Optimizer = Optimizer.ADAMW
    warm_up: float = 0.15
    patience: int = 0
    features: float = 0.0
    mirror: bool = False
    half: bool = False


def require_possible(settings: RecoverySettings) -> None:
    """Raise SecateurError for settings that no training can have."""
    if settings.threads:
        check_threads(settings.threads)
    above = (settings.learning_rate, settings.temperature)
    others = (settings.epochs, settings.weight_decay, settings.features, settings.patience, settings.warm_up)
    shares = (settings.distillation, settings.warm_up)
    if (
        any(not n > 0 or math.isinf(n) for n in above)
        or any(not n >= 0 or math.isinf(n) for n in others)
        or any(not n <= 1 for n in shares)
        or not settings.distillation >= 0
    ):
        raise SecateurError(
            "recovery.settings",
            "Invalid recovery settings: {epochs} epochs, learning rate {rate}, temperature {temperature}, "
            "distillation weight {share}. Use 0 or more epochs, a learning rate and a temperature above 0, a "
            "distillation weight and a warm-up share from 0 to 1, and 0 or more for weight decay, patience and "
            "feature distillation.",
            epochs=settings.epochs,
            rate=settings.learning_rate,
            temperature=settings.temperature,
            share=settings.distillation,
        )
    if settings.mirror and settings.distillation < 1:
        raise SecateurError(
            "recovery.mirror_weight",
            "Mirrored images can be used with distillation only, because the task's own loss does not know them. Set "
            "the distillation weight to 1 (it is {share}), or turn off mirrored images.",
            share=settings.distillation,
        )
