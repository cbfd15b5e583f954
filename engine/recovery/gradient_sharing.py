"""Gradients of one update that several processes compute together (`distributed.py`). Loads torch.

Rank 0 has optimiser, schedule, evaluations and checkpoint. At each update it gives its weights to the others, each
process adds up the gradients of its part of the batches (`tasks/portion.py`), and rank 0 gets their sum. The others
keep nothing from one update to the next, so there is nothing in which processes could differ.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..distributed import Group
from ..masks.learned_masks import LearnedMasks
from ..tasks.portion import Portion
from ..tasks.protocol import Task
from .batchnorm import norms_of
from .protocol import RecoverySettings


@dataclass(frozen=True, slots=True)
class MasksOrder:
    """The masks of a training, as of `LearnedMasks`: structures by set key, original indices.

    Attributes:
        plan: What the plan removes.
        scores: [S] what it was made by.
        removed: What goes in any case.
        locked: What stays in any case.
    """

    plan: dict[str, list[int]]
    scores: list[float]
    removed: dict[str, list[int]]
    locked: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """That a training begins or is gone on with. The weights of the student follow, those of the teacher if it teaches.

    Attributes:
        of_original: It is the original that is trained, or a model of its shape; else the state that was told before.
        settings: As asked.
        teaches: The teacher has a part in the loss.
        mirror: About half of the images of each batch are mirrored.
        outputs: Paths of the outputs to learn.
        steps: Steps in all, 0 where that is not known.
        device: Where rank 0 computes.
        masks: Gates that are learned with it, None for none.
    """

    of_original: bool
    settings: RecoverySettings
    teaches: bool
    mirror: bool
    outputs: tuple[str, ...]
    steps: int
    device: str
    masks: MasksOrder | None = None


@dataclass(frozen=True, slots=True)
class StepOrder:
    """One update. The weights of now follow; then sums and gradients go back.

    Attributes:
        step: Updates before it.
        epoch: The pass, from 1.
        first: Batches of the pass before those of the update.
        mixture: How domains are mixed, as `DomainMixture.state_dict`; None where they are not.
    """

    step: int
    epoch: int
    first: int
    mixture: dict[str, Any] | None


class GradientSharing:
    """What a training exchanges with the other processes.

    Attributes:
        group: All of them.
        portion: The part of the batches that is this one's.
    """

    def __init__(
        self, group: Group, student: nn.Module, task: Task, settings: RecoverySettings, masks: LearnedMasks | None
    ) -> None:
        """Share the gradients of a student, and of its gates if it has any."""
        turns = settings.accumulate if settings.accumulate >= group.place.size else 0
        least = 2 if norms_of(student) else 1
        if not turns and getattr(task, "together", False):  # samples that have a loss only together
            least = sys.maxsize
        self.group = group
        self.portion = Portion(group.place.rank, group.place.size, turns, least)
        self._student, self._masks = student, masks

    def begin(self, order: StepOrder | None) -> None:
        """Rank 0 tells of an update, and its weights; the others, which got the order, take these."""
        if order is not None:
            self.group.order(order)
        gates = [] if self._masks is None else [self._masks.as_tensor()]
        self.group.share([*self._student.parameters(), *self._statistics(), *gates])
        if self._masks is not None and not self.group.is_writer:
            self._masks.load_tensor(gates[0])

    def sums(self, *numbers: float) -> list[float]:
        """The sum of each number over all processes."""
        return [float(one) for one in self.group.sums(*numbers)]

    def collect(self, parameters: Sequence[nn.Parameter], part: float) -> None:
        """Add up the gradients of all processes in rank 0; None stays what no process has a gradient of.

        Statistics of BatchNorm become the mean of the processes', by how much of the batches each had: `part`, 0 to 1.
        """
        (used,) = self.group.sums(np.array([one.grad is not None for one in parameters], np.float64))
        trained = [one for one, count in zip(parameters, used.tolist(), strict=True) if count]
        self.group.collect(_gradients(trained))
        statistics = [part * one for one in self._statistics()]
        self.group.collect(statistics)
        if self.group.is_writer:
            for own, mean in zip(self._statistics(), statistics, strict=True):
                own.copy_(mean)

    def _statistics(self) -> list[Tensor]:
        return [one for norm in norms_of(self._student) for one in norm.buffers() if one.is_floating_point()]


def _gradients(parameters: Sequence[nn.Parameter]) -> Iterator[Tensor]:
    for one in parameters:
        if one.grad is None:
            one.grad = torch.zeros_like(one)
        yield one.grad
