"""How a cut model is brought back, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """Fine-tuning with the original as teacher.

    Attributes:
        epochs: Passes over the calibrate split.
        learning_rate: Peak of a one-cycle schedule.
        distillation: Weight of the teacher's soft targets, 0..1; the rest is the task's own loss.
        temperature: Softening of both outputs (Hinton et al. 2015).
        weight_decay: Decoupled decay (AdamW).
        seed: Order of the batches.
        threads: torch threads, 0: as many as the machine has less one.
    """

    epochs: int = 5
    learning_rate: float = 2e-3
    distillation: float = 0.7
    temperature: float = 2.0
    weight_decay: float = 1e-4
    seed: int = 0
    threads: int = 0
