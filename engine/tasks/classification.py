"""Classification of images or vectors with the usual loss and metric: cross entropy and top-1.

Where the data has no labels, recovery distils, and the metric is agreement with what the original says.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ..errors import TaskError
from ..jobs import CancelToken, Job
from .answers import ask, evaluating, logits
from .labelled import Labelled
from .pixels import sample
from .protocol import Metric, Sample, Split, TaskInfo, TaskSpec
from .top1 import measure

SHOWN = 5
SHOWN_FROM = Split.CHOOSE


class Classification:
    """A built-in task (a `Task`) over any `Labelled` data; a batch is (inputs [N, ...], class numbers [N]).

    Attributes:
        spec: Where it came from.
    """

    def __init__(self, spec: TaskSpec, data: Labelled) -> None:
        """Judge and train by `data`."""
        if spec.batch < 1:
            raise TaskError("task.batch_size", "The batch size must be 1 or more, not {given}.", given=spec.batch)
        self.spec = spec
        self._data = data
        self._labelled = data.labels(Split.CALIBRATE) is not None
        self._classes = max(len(data.classes), 1 + max(int(self._labels(split).max()) for split in Split))
        self._original: Any = None

    def info(self, model: Any | None) -> TaskInfo:
        """Title, sizes, samples of different classes; the first model given is the original that others agree with."""
        if model is not None and self._original is None:
            self._original = model
        return TaskInfo(
            title=self._data.title,
            sizes={split.value: self._data.size(split) for split in Split},
            classes=self._data.classes,
            metric="top-1" if self._labelled else "agreement",
            samples=self._samples(model),
            labelled=self._labelled,
            loss=self._labelled,
        )

    def example_inputs(self) -> tuple[torch.Tensor]:
        """Two calibrate samples (one twice where there is only one)."""
        rows = np.arange(2) % self._data.size(Split.CALIBRATE)
        return (self._data.read(Split.CALIBRATE, rows),)

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs [n, ...] and class numbers [n], in order or shuffled by `seed`; labels are -1 where there are none."""
        size = self._data.size(split)
        order = np.arange(size) if seed is None else np.random.default_rng(seed).permutation(size)
        labels = self._labels(split)
        for start in range(0, size, self.spec.batch):
            rows = order[start : start + self.spec.batch]
            yield self._data.read(split, rows), torch.from_numpy(labels[rows])

    def batch_count(self, split: Split) -> int:
        """Batches of a pass, the last one may be smaller."""
        return -(-self._data.size(split) // self.spec.batch)

    def inputs(self, batch: Any) -> tuple[torch.Tensor]:
        """The images of a batch."""
        return (batch[0],)

    def loss(self, model: Any, batch: Any) -> torch.Tensor | None:
        """Mean cross entropy of a batch; None without labels."""
        if not self._labelled:
            return None
        answers = logits(model(batch[0]))
        self._check_classes(answers)
        return F.cross_entropy(answers, batch[1])

    def evaluate(self, predict: Any, split: Split, token: CancelToken) -> Job[Metric]:
        """Top-1 with its standard error, or agreement with the original where there are no labels."""
        if not self._labelled and self._original is None:
            template = "The data has no labels and no original to agree with yet. Open a model with it first."
            raise TaskError("task.no_original", template)
        with evaluating(predict), evaluating(self._original if not self._labelled else None):
            return (yield from measure(self._judged(predict, split), self._data.size(split), split, self._name, token))

    @property
    def _name(self) -> str:
        return "top-1" if self._labelled else "agreement"

    def _judged(self, predict: Any, split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """What was answered and what is right, batch by batch."""
        for x, y in self.batches(split):
            answers = logits(ask(predict, (x,)))
            if self._labelled:
                self._check_classes(answers)
                yield answers, y
            else:
                yield answers, logits(ask(self._original, (x,))).argmax(1)

    def _check_classes(self, answers: torch.Tensor) -> None:
        """Refuse labels that the model has no output for."""
        outputs = answers.shape[1]
        if self._classes > outputs:
            template = "The data has {classes} classes, the model answers with {outputs}. Open the data of this model."
            raise TaskError("task.classes", template, classes=self._classes, outputs=outputs)

    def _labels(self, split: Split) -> NDArray[np.int64]:
        labels = self._data.labels(split)
        return np.full(self._data.size(split), -1) if labels is None else labels

    def _samples(self, model: Any | None) -> tuple[Sample, ...]:
        labels = self._labels(SHOWN_FROM)
        rows = _different(labels)
        x = self._data.read(SHOWN_FROM, rows)
        predicted = [""] * len(rows)
        if model is not None:
            with evaluating(model):
                answers = logits(ask(model, (x,)))
            if self._labelled:
                self._check_classes(answers)
            predicted = [self._word(int(number)) for number in answers.argmax(1)]
        return tuple(
            sample(one, self._word(int(label)), said)
            for one, label, said in zip(x, labels[rows], predicted, strict=True)
        )

    def _word(self, number: int) -> str:
        """A class in words: its name, its number where it has none, "" where it is unknown."""
        if number < 0:
            return ""
        return self._data.classes[number] if number < len(self._data.classes) else str(number)


def _different(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of up to five samples, of different classes spread over all of them where there are enough."""
    _, first = np.unique(labels, return_index=True)
    if len(first) >= SHOWN:
        return first[np.linspace(0, len(first) - 1, SHOWN).round().astype(int)]
    others = np.setdiff1d(np.arange(len(labels)), first)
    return np.concatenate([first, others])[:SHOWN]
