"""Gradients of one update that several processes compute together (`distributed.py`). Loads torch.

Every process runs the same training, with its part of each batch (`tasks/portion.py`), and makes every update itself,
of the sums of all gradients. Of a model that is divided among them (`division.py`) each process has weights, gradients
and optimiser of its own part.

`DistributedDataParallel` does not fit, and so neither does `accelerate`, which wraps a model in it: its reducer expects
one forward and one backward of the wrapped module in every process. Here a loss of the user's calls the module itself,
as often as it likes; a part of a batch may be run again in backward (`batch_parts.py`); a process may have no samples
of an update; and gradients are averaged over the positions that count in all processes.
"""

import sys
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..distributed import Group
from ..scoring.samples import own_batches
from ..tasks.protocol import Portion, Task
from ..tracing.isolated_forward import seeded
from .batchnorm import norms_of
from .protocol import RecoverySettings

STEPS = 1_000_003
"""More than an epoch has, so that each has a seed of its own."""


class GradientSharing:
    """What a training exchanges with the other processes.

    Attributes:
        group: All of them.
        portion: The part of the batches that is this one's.
    """

    def __init__(self, group: Group, student: nn.Module, task: Task, settings: RecoverySettings) -> None:
        """Share the gradients of a student."""
        turns = settings.accumulate if settings.accumulate >= group.place.size else 0
        least = 2 if norms_of(student) else 1
        if not turns and getattr(task, "together", False):  # samples that have a loss only together
            least = sys.maxsize
        self.group = group
        self.portion = Portion(group.place.rank, group.place.size, turns, least)
        self._student, self._task, self._seed, self._divided = student, task, settings.seed, False
        self._stand_in: Any = None

    def of_parts(self, student: nn.Module) -> "GradientSharing":
        """The same for a student that is divided, which adds up the gradients of its weights itself."""
        other = copy(self)
        other._student, other._divided = student, True
        return other

    def seed(self, step: int) -> None:
        """Let this process draw other random numbers in an update than rank 0, which goes on with its own."""
        if not self.group.is_writer:
            place = self.group.place
            torch.manual_seed((self._seed * STEPS + step) * place.size + place.rank)

    def sums(self, *numbers: float) -> list[float]:
        """The sum of each number over all processes."""
        return [float(one) for one in self.group.sums(*numbers)]

    def has_gradient(self, parameters: Sequence[nn.Parameter]) -> NDArray[np.float64]:
        """Whether each has a gradient here, as 1 or 0; a part of one has where it is not zero."""
        gradients: dict[int, Any] = {n: one.grad for n, one in enumerate(parameters) if one.grad is not None}
        if self._divided and gradients:
            nonzero: Any = torch.stack([one.to_local().any() for one in gradients.values()])
            used: list[bool] = nonzero.tolist()
            gradients = {n: one for (n, one), counts in zip(gradients.items(), used, strict=True) if counts}
        return np.array([n in gradients for n in range(len(parameters))], np.float64)

    def add_up(self, parameters: Sequence[nn.Parameter], used: NDArray[np.float64], part: float) -> None:
        """Add up the gradients of all processes; None stays what no process has a gradient of.

        Statistics of BatchNorm become the mean of the processes', by how much of the batches each had.

        Args:
            parameters: What is trained.
            used: In how many processes each has a gradient.
            part: How much of the batches this process had, 0 to 1.
        """
        if self._divided:  # sums are there, zeros where no process has a gradient
            for one, count in zip(parameters, used.tolist(), strict=True):
                one.grad = one.grad if count else None
        else:
            self.group.add_up(_gradients([one for one, n in zip(parameters, used.tolist(), strict=True) if n]))
        statistics = [one for norm in norms_of(self._student) for one in norm.buffers() if one.is_floating_point()]
        for one in statistics:
            one.mul_(part)
        self.group.add_up(statistics)

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


def _gradients(parameters: Sequence[nn.Parameter]) -> Iterator[Tensor]:
    for one in parameters:
        if one.grad is None:
            one.grad = torch.zeros_like(one)
        yield one.grad
