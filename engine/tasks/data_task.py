"""The built-in task: some data, and a purpose that defines loss and metric.

Where the data does not say what is right, recovery distils, and the metric compares with what the original says.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Message, TaskError
from ..inference.bfloat16 import narrowed
from ..inference.model_inputs import Inputs, call, inputs_of, named_arrays
from ..jobs import CancelToken, Job, Progress, check
from .data import Data, DomainData, SlicedData, all_rows, shuffled_rows
from .domain_mixture import DomainMixture, mixture_of, require_judged
from .evaluate import measure
from .image_samples import sample
from .model_outputs import evaluating, main_output, run_model
from .predictions import Evaluation
from .protocol import (
    BFLOAT16,
    DTYPE,
    EMPTY,
    DistillationBatch,
    Metric,
    Portion,
    Sample,
    Split,
    TaskInfo,
    TaskSpec,
    option,
)
from .purposes.protocol import Purpose, Rows
from .tokens import in_words

SHOWN = 5
SHOWN_FROM = Split.VAL
OUTPUTS = 1 << 28
"""Bytes of answers to judge at a time: logits over a vocabulary take more memory than the model that gives them."""


class DataTask:
    """A built-in task (a `Task`); a batch is (inputs, targets [N, ...]), the inputs a tensor or tensors by name.

    Attributes:
        spec: Where it came from.
        purpose: What the model is for.
        remarks: What to know of the data.
    """

    def __init__(self, spec: TaskSpec, data: Data, purpose: Purpose, remarks: tuple[Message, ...] = ()) -> None:
        """Judge and train by `data`, for a purpose that fits it."""
        if spec.batch < 1:
            raise TaskError("task.batch_size", "The batch size must be at least 1, not {given}.", given=spec.batch)
        self.spec = spec
        self.purpose = purpose
        self.remarks = remarks
        self._data = data
        self._classes = self.purpose.check(data)
        self._original: Any = None

    @property
    def together(self) -> bool:
        """Whether the loss compares the samples of a batch with each other: one by itself has none then."""
        return self.purpose.together

    def info(self, model: Any | None) -> TaskInfo:
        """Title, sizes, samples of different classes; the first model given is the original that others agree with."""
        if model is not None and self._original is None:
            self._original = model
        labelled = self._data.labelled
        return TaskInfo(
            title=self._data.title,
            sizes={split.value: self._data.size(split) for split in Split},
            classes=self._data.classes,
            metric=self.purpose.metric if labelled else self.purpose.agreement,
            samples=self._samples(model),
            labelled=labelled,
            loss=labelled,
            domains=self._domains,
        )

    def example_inputs(self) -> Inputs:
        """Two training samples (one twice where there is only one)."""
        rows = np.arange(2) % self._data.size(Split.TRAIN)
        return self._as_inputs(self._data.read(Split.TRAIN, rows))

    def batches(self, split: Split, seed: int | None = None) -> Iterator[tuple[Any, torch.Tensor]]:
        """Inputs and targets, in order or shuffled by `seed`; targets are -1 where nothing is known."""
        return self.batches_from(split, seed, 0)

    def batches_from(self, split: Split, seed: int | None, start: int) -> Iterator[tuple[Any, torch.Tensor]]:
        """The same from a batch on; none before it is read."""
        for rows in self._rows_of_batches(split, seed, start):
            yield self._batch(split, rows)

    def portion_batches(self, split: Split, seed: int | None, start: int, portion: Portion) -> Iterator[Any]:
        """A process's part of each batch from one on; no other row is read."""
        for number, rows in enumerate(self._rows_of_batches(split, seed, start), start):
            own = portion.of(rows, number)
            yield self._batch(split, own) if len(own) else EMPTY

    def batch_count(self, split: Split) -> int:
        """Batches of a pass, the last one may be smaller."""
        return -(-self._data.size(split) // self.spec.batch)

    def inputs(self, batch: Any) -> Inputs:
        """The model's inputs in a batch."""
        return self._as_inputs(batch[0])

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        """The outputs for the inputs of a batch, of models of tokens at those that count."""
        inputs, positions = self.inputs(batch), self.purpose.counts
        counts = None if positions is None else positions(inputs, batch[1])
        return DistillationBatch(inputs, counts, self.purpose.logits)

    def loss(self, model: Any, batch: Any) -> torch.Tensor | None:
        """The purpose's loss of a batch; None without targets."""
        if not self._data.labelled:
            return None
        inputs = self.inputs(batch)
        outputs = call(model, inputs)
        self._check_classes(outputs)
        return self.purpose.loss(outputs, inputs, batch[1])

    def evaluate(self, predict: Any, split: Split, token: CancelToken) -> Job[Metric]:
        """The purpose's metric with its uncertainty, of the right targets or of what the original says."""
        return (yield from self.evaluate_samples(predict, split, token)).metric

    def evaluate_samples(
        self,
        predict: Any,
        split: Split,
        token: CancelToken,
        asked: bool = False,
        only: NDArray[np.int64] | None = None,
    ) -> Job[Evaluation]:
        """The same with the predictions; row n is sample n of the split, or of the rows that alone are wanted."""
        labelled = self._data.labelled
        if not labelled and self._original is None:
            template = (
                "The data has no labels, and there is no original to compare with yet. Open a model with it first."
            )
            raise TaskError("task.no_original", template)
        with evaluating(predict), evaluating(None if labelled else self._original):
            order = all_rows(self._data, split) if only is None else only
            judged, classes = self._evaluate_batches(predict, split, order), self._data.classes
            return (yield from measure(judged, self.purpose, len(order), split, not labelled, token, classes))

    def slices(self, split: Split) -> dict[str, NDArray[np.str_]]:
        """By name what is known of each sample of a split [N]: folder, domain, column or length."""
        found = dict(self._data.slices(split)) if isinstance(self._data, SlicedData) else {}
        if self._domains:
            assert isinstance(self._data, DomainData)
            named = np.full(self._data.size(split), "", "U64")
            for domain, rows in zip(self._domains, self._data.domain_rows(split), strict=True):
                named[rows] = domain
            found["domain"] = named
        return {name: words for name, words in found.items() if len(np.unique(words)) > 1}

    def show(self, split: Split, rows: NDArray[np.int64]) -> tuple[Sample, ...]:
        """Some samples of a split to look at, with their labels; rows that the split does not have are left out."""
        rows = rows[(rows >= 0) & (rows < self._data.size(split))]
        return self._shown(split, rows, None) if len(rows) else ()

    def mixture(self) -> DomainMixture | None:
        """The mixture of named domains that the data has by itself; None where it names none."""
        if not self._domains:
            return None
        assert isinstance(self._data, DomainData)
        found = mixture_of(self._data.domains, self._data.domain_rows(Split.TRAIN))
        require_judged(self._data.domains, self._data.domain_rows(Split.VAL))
        return found

    def advanced(self, mixture: DomainMixture, batches: int) -> DomainMixture:
        """A mixture with its cursors behind so many batches of a pass over the train split.

        At the end of the pass it stays there, and once more is no move; `DomainMixture.begun` begins the next one.
        """
        count = self._data.size(Split.TRAIN)
        done = min(batches * self.spec.batch, count)
        return replace(mixture.after(done - mixture.passed), passed=done)

    def mixed_batches(self, mixture: DomainMixture, start: int = 0, portion: Portion | None = None) -> Iterator[Any]:
        """Inputs and targets of a pass over the train split, from its domains as a mixture says, from a batch on.

        With a portion that part of each, and `EMPTY` for a batch of which nothing is the process's.
        """
        assert isinstance(self._data, DomainData)
        rows, size = self._data.domain_rows(Split.TRAIN), self.spec.batch
        count = self._data.size(Split.TRAIN)
        batches = mixture.batches(rows, count - mixture.passed, size, start * size - mixture.passed)
        for number, some in enumerate(batches, start):
            own = some if portion is None else portion.of(some, number)
            yield self._batch(Split.TRAIN, own) if len(own) else EMPTY

    def domain_losses(self, predict: Any, split: Split, token: CancelToken) -> Job[NDArray[np.float64]]:
        """[k] mean loss of each domain of texts in a split, in nats a token; NaN where it has none of it."""
        assert isinstance(self._data, DomainData)
        parts, total = list[Rows](), self._data.size(split)
        with evaluating(predict):
            for rows in self._evaluate_batches(predict, split, all_rows(self._data, split)):
                check(token)
                parts.append(rows)
                yield Progress("Measuring the loss of each domain", sum(map(len, parts)), total)
        rows = np.concatenate(parts)
        sums = np.array([rows[some].sum(0) for some in self._data.domain_rows(split)]).reshape(-1, 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums[:, 0] / sums[:, 1]

    @property
    def _domains(self) -> tuple[str, ...]:
        """Names of the domains that can be mixed; one alone is none."""
        return self._data.domains if isinstance(self._data, DomainData) and len(self._data.domains) > 1 else ()

    def _batch(self, split: Split, rows: NDArray[np.int64]) -> tuple[Any, Any]:
        """Inputs and targets of some rows."""
        return self._data.read(split, rows), torch.from_numpy(self._targets(split, rows))

    def _rows_of_batches(self, split: Split, seed: int | None, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """The rows of each batch, from one on."""
        order = all_rows(self._data, split) if seed is None else shuffled_rows(self._data, split, seed)
        return self._in_batches(order[start * self.spec.batch :])

    def _in_batches(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        return (order[first : first + self.spec.batch] for first in range(0, len(order), self.spec.batch))

    def _evaluate_batches(self, predict: Any, split: Split, order: NDArray[np.int64]) -> Iterator[Rows]:
        """The rows of each batch, or of a part of it, of these samples."""
        # Answers at every position may be large; the first sample shows how large. All others fit as whole batches.
        most = self.spec.batch if self.purpose.counts is None else 0
        for rows in self._in_batches(order):
            first = 0
            while first < len(rows):
                inputs, targets = self._batch(split, rows[first : first + max(most, 1)])
                inputs = self._as_inputs(inputs)
                outputs = run_model(predict, inputs)
                if self._data.labelled:
                    self._check_classes(outputs)
                else:
                    targets = self.purpose.answer(run_model(self._original, inputs), inputs)
                first += len(targets)
                if not most:
                    answers = main_output(outputs)
                    size = answers.nbytes if isinstance(answers, torch.Tensor) else 1
                    most = max(OUTPUTS // max(size, 1), 1)
                yield self.purpose.rows(outputs, inputs, targets)
                del outputs

    def _as_inputs(self, given: Any) -> Inputs:
        """Inputs of the type that the model takes."""
        inputs = inputs_of(given)
        return narrowed(inputs) if option(self.spec, DTYPE) == BFLOAT16 else inputs

    def _check_classes(self, outputs: Any) -> None:
        """Refuse labels that the model has no output for."""
        answers = main_output(outputs)
        count = answers.shape[1] if isinstance(answers, torch.Tensor) and answers.ndim == 2 else self._classes
        if self._classes > count:
            template = (
                "The data has {classes} classes, but the model has {outputs} outputs. Open the data of this model."
            )
            raise TaskError("task.classes", template, classes=self._classes, outputs=count)

    def _targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[Any]:
        return self._data.targets(split, rows) if self._data.labelled else np.full(len(rows), -1)

    def _samples(self, model: Any | None) -> tuple[Sample, ...]:
        size = self._data.size(SHOWN_FROM)
        rows = _varied_rows(self._targets(SHOWN_FROM, np.arange(size if self._classes else min(size, SHOWN))))
        return self._shown(SHOWN_FROM, rows, model)

    def _shown(self, split: Split, rows: NDArray[np.int64], model: Any | None) -> tuple[Sample, ...]:
        inputs, targets = inputs_of(self._data.read(split, rows)), self._targets(split, rows)
        said = [""] * len(rows)
        if model is not None:
            with evaluating(model):
                outputs = run_model(model, self._as_inputs(inputs))
            if self._data.labelled:
                self._check_classes(outputs)
            said = [self._word(one) for one in self.purpose.answer(outputs, inputs).cpu().numpy()]
        x, count = next(one for _, one in named_arrays(inputs)), len(rows)
        words = in_words([x[i::count] for i in range(count)], self.spec)  # of pairs the second ones follow
        return tuple(sample(x[i], self._word(targets[i]), said[i], words[i]) for i in range(count))

    def _word(self, value: NDArray[Any]) -> str:
        """A target in words: a class by its name, numbers as they are, "" for what is unknown or does not fit."""
        if value.size > SHOWN:
            return ""
        if not np.issubdtype(value.dtype, np.integer):
            return ", ".join(f"{number:.3g}" for number in np.ravel(value))
        number = int(value) if value.ndim == 0 else -1
        if number < 0:
            return ""
        return self._data.classes[number] if number < len(self._data.classes) else str(number)


def _varied_rows(targets: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of up to five samples, of different classes spread over all of them where there are enough."""
    if targets.ndim != 1:
        return np.arange(min(len(targets), SHOWN))
    _, first = np.unique(targets, return_index=True)
    if len(first) >= SHOWN:
        return first[np.linspace(0, len(first) - 1, SHOWN).round().astype(int)]
    others = np.setdiff1d(np.arange(len(targets)), first)
    return np.concatenate([first, others])[:SHOWN]
