"""The distance of a model's outputs to those it had, with other weights in some places.

Kullback-Leibler divergence of logits, mean square of other outputs (`tasks/distillation_loss.py`); no label is read.
What runs before the first layer whose weights are replaced is not computed again, as far as memory goes
(`tracing/resumable_forward.py`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ..inference.model_inputs import batch_size, few
from ..jobs import CancelToken
from ..tasks.protocol import Split
from .gradients import no_batch_error
from .protocol import RatedModel
from .weights import run_rated

Written: TypeAlias = tuple[Any, Any]
"""A view of a parameter, and the numbers that it is to hold."""
RESUMED = 1 << 30
"""Bytes to hold of what need not be computed again in measuring."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Samples that go through the model together.

    Attributes:
        inputs: Of the model.
        size: How many samples.
        counts: As `DistillationBatch` has it.
        logits: Likewise.
    """

    inputs: Any
    size: int
    counts: Any
    logits: bool | None


class OutputDistance:
    """Calibration samples, and what the model gave for them at first."""

    def __init__(self, rated: RatedModel, read: Mapping[str, Any], count: int, token: CancelToken) -> None:
        """Take the first samples in the order of the seed and run the model as it is.

        Args:
            rated: The model.
            read: Parameters that will change, by name.
            count: Samples.
            token: Cancels.

        Raises:
            TaskError: There are no samples.
        """
        self._rated, self._read, self._token = rated, read, token
        self._batches = list(_draw_batches(rated, count))
        if not self._batches:
            raise no_batch_error()
        self._samples = sum(one.size for one in self._batches)
        self.record()
        self._originals = [one.outputs for one in self._forwards]

    def record(self) -> None:
        """Run the model with the weights that it has now: from here on, `changed` is against these."""
        from ..tracing.resumable_forward import ResumableForward

        def run(inputs: Any, inside: AbstractContextManager[Any]) -> Any:
            return run_rated(self._rated, self._token, inputs, inside, copies=True)

        # What the last ones hold is freed before new ones are made.
        self._forwards: list[ResumableForward] = []
        self._forwards = [
            ResumableForward(partial(run, one.inputs), self._read, RESUMED * one.size // self._samples)
            for one in self._batches
        ]

    def run_again(self, token: CancelToken) -> None:
        """Run the model as it is on the same samples, for hooks to see."""
        for one in self._batches:
            run_rated(self._rated, token, one.inputs, nullcontext())

    def now(self, changed: Collection[str] = ()) -> float:
        """Mean distance of the outputs from the original ones, where these parameters hold other numbers than recorded.

        NaN where the outputs do not compare: as many boxes as the model happens to find.
        """
        import torch

        from ..tasks.distillation_loss import distillation_loss
        from ..tracing.tree import preserved_outputs

        outputs, total = self._rated.analysis.outputs, 0.0
        for forward, batch, original in zip(self._forwards, self._batches, self._originals, strict=True):
            found = forward.run_changed(changed) if changed else forward.outputs
            shapes = [
                [tuple(one.shape) for one in preserved_outputs(tensors, outputs) if one.is_floating_point()]
                for tensors in (found, original)
            ]
            if shapes[0] != shapes[1] or not shapes[0]:
                return np.nan
            with torch.no_grad():
                distance = distillation_loss(found, original, 1.0, outputs, batch.counts, batch.logits)
            total += float(distance) * batch.size
        return total / self._samples

    def with_weights(self, changed: Collection[str], written: Sequence[Written]) -> float:
        """The same with other weights in place, in the parameters of these names; the old ones are put back."""
        before = [(view, view.clone()) for view, _ in written]
        try:
            write(written)
            return self.now(changed)
        finally:
            write(before)


def write(written: Sequence[Written]) -> None:
    """Write weights where they belong, each of as many numbers as are there."""
    import torch

    with torch.no_grad():
        for view, weight in written:
            view.copy_(weight.reshape(view.shape))


def _draw_batches(rated: RatedModel, count: int) -> Iterator[_Batch]:
    """So many samples of the train split, if there are as many."""
    assert rated.task is not None
    for batch in rated.task.batches(Split.TRAIN, seed=rated.seed):
        given = rated.task.distillation_batch(batch)
        inputs, counts, size = given.inputs, given.counts, batch_size(given.inputs)
        if size > count:
            inputs, counts, size = few(inputs, count), None if counts is None else counts[:count], count
        yield _Batch(inputs, size, counts, given.logits)
        count -= size
        if count <= 0:
            return
