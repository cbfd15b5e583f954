"""A classification task on tensors that a test gives, the same in every split."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from secateur.engine.jobs import Job, Progress
from secateur.engine.tasks.protocol import DistillationBatch, Metric, Split, TaskInfo, TaskSpec


class GivenTask:
    """Batches (inputs [N, ...], labels [N]).

    Attributes:
        spec: As of arrays.
        given: The batches.
        has_loss: Whether there is a loss.
    """

    def __init__(self, inputs: Tensor, classes: int, batch: int = 4, has_loss: bool = True) -> None:
        """Give each sample a class in turn."""
        self.spec = TaskSpec("arrays", batch=batch)
        self.has_loss = has_loss
        labels = torch.arange(len(inputs)) % classes
        self.given = list(zip(inputs.split(batch), labels.split(batch), strict=True))

    def info(self, model: Any | None) -> TaskInfo:
        """Facts without samples."""
        return TaskInfo("given", {}, (), "top-1", (), loss=self.has_loss)

    def example_inputs(self) -> tuple[Tensor]:
        """Two samples."""
        return (self.given[0][0][:2],)

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """In the order given."""
        yield from self.given

    def batch_count(self, split: Split) -> int:
        """How many batches a pass has."""
        return len(self.given)

    def inputs(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor]:
        """The inputs."""
        return (batch[0],)

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        """All of the outputs, which are logits."""
        return DistillationBatch(self.inputs(batch), logits=True)

    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Tensor | None:
        """Mean cross entropy."""
        return nn.functional.cross_entropy(model(batch[0]), batch[1]) if self.has_loss else None

    def evaluate(self, predict: Any, split: Split, token: Any) -> Job[Metric]:
        """Mean probability of the right class, in inference mode as built-in tasks ask."""
        total = count = 0
        for images, labels in self.given:
            with torch.inference_mode():
                total += float(predict(images).softmax(1).gather(1, labels[:, None]).sum())
            count += len(labels)
            yield Progress("Evaluating", count)
        return Metric("probability", total / count, count, 0.0, split)
