"""A classification task on noise that a small network can learn: one third of each image is brighter."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from secateur.engine.jobs import Job, Progress, check
from secateur.engine.tasks.protocol import DistillationBatch, Metric, Split, TaskInfo, TaskSpec

Loss = Callable[[Tensor, Tensor], Tensor]


class ToyTask:
    """Images [N, 1, 8, 8] in three classes.

    Attributes:
        spec: As of arrays.
        loss_of: (outputs, targets) -> loss; None for a task without a loss.
        served: How many batches were handed out.
    """

    def __init__(self, count: int = 256, batch: int = 32, loss_of: Loss | None = nn.functional.cross_entropy) -> None:
        """Make `count` images in each split, batches of `batch`."""
        self.spec = TaskSpec("arrays", batch=batch)
        self.loss_of = loss_of
        self.served = 0
        self._splits = {split: _images(count, seed) for seed, split in enumerate(Split)}

    def info(self, model: Any | None) -> TaskInfo:
        """Facts without samples."""
        sizes = {split.value: len(labels) for split, (_, labels) in self._splits.items()}
        return TaskInfo("toy", sizes, ("left", "middle", "right"), "top-1", ())

    def example_inputs(self) -> tuple[Tensor]:
        """[2, 1, 8, 8]."""
        return (self._splits[Split.TRAIN][0][:2],)

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """(images, labels)."""
        images, labels = self._splits[split]
        order = torch.arange(len(labels))
        if seed is not None:
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        for chosen in order.split(self.spec.batch) if len(order) else ():
            self.served += 1
            yield images[chosen], labels[chosen]

    def batch_count(self, split: Split) -> int:
        """How many batches a pass has."""
        return -(-len(self._splits[split][1]) // self.spec.batch)

    def inputs(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor]:
        """The images."""
        return (batch[0],)

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        """All of the outputs, which are logits."""
        return DistillationBatch(self.inputs(batch), logits=True)

    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor | None:
        """The task's loss, or None."""
        return None if self.loss_of is None else self.loss_of(model(batch[0]), batch[1])

    def evaluate(self, predict: Any, split: Split, token: Any) -> Job[Metric]:
        """Top-1 accuracy."""
        right = count = 0
        for images, labels in self.batches(split):
            check(token)
            with torch.no_grad():
                right += int((predict(images).argmax(1) == labels).sum())
            count += len(labels)
            yield Progress("Evaluating", count)
        return Metric("top-1", right / count, count, (right / count * (1 - right / count) / count) ** 0.5, split)


def _images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=random)
    images = torch.randn(count, 1, 8, 8, generator=random)
    for column in range(3):
        images[labels == column, :, :, column * 3 : column * 3 + 2] += 1.2
    return images, labels
