"""How a cut model is brought back, as plain data."""

from dataclasses import dataclass
from enum import StrEnum


class Repair(StrEnum):
    """What is done before, or without, any training; see `reconstruct.py`."""

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
        epochs: Passes over the calibrate split.
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
