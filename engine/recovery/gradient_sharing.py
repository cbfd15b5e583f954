"""Gradients of one update that several processes compute together (`distributed.py`). Loads torch.

Rank 0 has optimiser, schedule, evaluations and checkpoint. At each update it gives its weights to the others, each
process adds up the gradients of its part of the batches (`tasks/portion.py`), and rank 0 gets their sum. The others
keep nothing from one update to the next, so there is nothing in which processes could differ.

Of a model that is divided among them (`division.py`) each process has weights, gradients and optimiser of its own part.
"""

import sys
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..distributed import Group
from ..masks.learned_masks import LearnedMasks
from ..scoring.samples import own_batches
from ..tasks.protocol import Portion, Task
from ..tracing.isolated_forward import seeded
from .batchnorm import norms_of
from .flip_augmentation import Sides
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
        mirror: Which sides of images are shown.
        outputs: Paths of the outputs to learn.
        steps: Steps in all, 0 where that is not known.
        device: Where rank 0 computes.
        masks: Gates that are learned with it, None for none.
    """

    of_original: bool
    settings: RecoverySettings
    teaches: bool
    mirror: Sides
    outputs: tuple[str, ...]
    steps: int
    device: str
    masks: MasksOrder | None = None


@dataclass(frozen=True, slots=True)
class StepOrder:
    """One update. The weights of now follow; then sums and gradients go back, unless the model is divided.

    Attributes:
        step: Updates before it.
        rate: The learning rate.
        epoch: The pass, from 1.
        first: Batches of the pass before those of the update.
        mixture: How domains are mixed, as `DomainMixture.state_dict`; None where they are not.
    """

    step: int
    rate: float
    epoch: int
    first: int
    mixture: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class PassOrder:
    """Run a model that is divided, without gradients, on inputs, which follow.

    Attributes:
        model: 0 for the student, 1 for the teacher.
        size: Bytes of the inputs.
        rounded: The student's weights are rounded to its own types.
    """

    model: int
    size: int
    rounded: bool


@dataclass(frozen=True, slots=True)
class GatherOrder:
    """Give rank 0 the weights of a student that is divided, rounded or not, and the optimiser's states if asked for."""

    rounded: bool
    optimizer: bool


@dataclass(frozen=True, slots=True)
class HeldState:
    """A state that an optimiser holds of a parameter.

    Attributes:
        dtype: As torch names it ("float32").
        shaped: It has the shape of the parameter; else it is a single number.
    """

    dtype: str
    shaped: bool


@dataclass(frozen=True, slots=True)
class RestoreOrder:
    """Take the weights of a student that is divided, and the optimiser's states, which follow.

    Attributes:
        states: Of each parameter, by its number, its states by name.
    """

    states: dict[str, dict[str, HeldState]]


WITHIN_TRAINING = (StepOrder, PassOrder, GatherOrder, RestoreOrder)
"""What is asked for between the order for a training and the next of another kind."""


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
        self._student, self._task, self._masks, self._divided = student, task, masks, False
        self._stand_in: Any = None

    def of_parts(self, student: nn.Module) -> "GradientSharing":
        """The same for a student that is divided, which adds up the gradients of its weights itself."""
        other = copy(self)
        other._student, other._divided = student, True
        return other

    def begin(self, order: StepOrder | None) -> None:
        """Rank 0 tells of an update, and its weights; the others, which got the order, take these."""
        if order is not None:
            self.group.order(order)
        gates = [] if self._masks is None else [self._masks.as_tensor()]
        weights = () if self._divided else self._student.parameters()
        self.group.share([*weights, *self._statistics(), *gates])
        if self._masks is not None and not self.group.is_writer:
            self._masks.load_tensor(gates[0])

    def sums(self, *numbers: float) -> list[float]:
        """The sum of each number over all processes."""
        return [float(one) for one in self.group.sums(*numbers)]

    def collect(self, parameters: Sequence[nn.Parameter], part: float) -> None:
        """Add up the gradients of all processes in rank 0; None stays what no process has a gradient of.

        Statistics of BatchNorm become the mean of the processes', by how much of the batches each had: `part`, 0 to 1.
        """
        (used,) = self.group.sums(np.array(self._has_gradient(parameters), np.float64))
        if self._divided:  # sums are there, zeros where no process has a gradient
            for one, count in zip(parameters, used.tolist(), strict=True):
                one.grad = one.grad if count else None
        else:
            trained = [one for one, count in zip(parameters, used.tolist(), strict=True) if count]
            self.group.collect(_gradients(trained))
        statistics = [part * one for one in self._statistics()]
        self.group.collect(statistics)
        if self.group.is_writer:
            for own, mean in zip(self._statistics(), statistics, strict=True):
                own.copy_(mean)

    def _has_gradient(self, parameters: Sequence[nn.Parameter]) -> list[bool]:
        """Whether each has a gradient here; a part of one has where it is not zero."""
        gradients: dict[int, Any] = {n: one.grad for n, one in enumerate(parameters) if one.grad is not None}
        if self._divided and gradients:
            nonzero: Any = torch.stack([one.to_local().any() for one in gradients.values()])
            used: list[bool] = nonzero.tolist()
            gradients = {n: one for (n, one), counts in zip(gradients.items(), used, strict=True) if counts}
        return [n in gradients for n in range(len(parameters))]

    def missing(self, batches: int) -> list[Any]:
        """Batches that stand in where another process has more than so many: a divided model runs in all alike."""
        counts = np.zeros(self.group.place.size)
        counts[self.group.place.rank] = batches
        (every,) = self.group.sums(counts)
        fewer = int(every.max()) - batches
        if fewer and self._stand_in is None:
            with seeded():  # what it draws counts for nothing
                first = Portion(0, self.portion.size, 0, self.portion.least)
                self._stand_in = next(own_batches(self._task, 0, portion=first))
        return fewer * [self._stand_in]

    def _statistics(self) -> list[Tensor]:
        return [one for norm in norms_of(self._student) for one in norm.buffers() if one.is_floating_point()]


def _gradients(parameters: Sequence[nn.Parameter]) -> Iterator[Tensor]:
    for one in parameters:
        if one.grad is None:
            one.grad = torch.zeros_like(one)
        yield one.grad
