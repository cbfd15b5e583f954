"""Splits a batch into batches of one sample, for gradients of each sample.

What has as many rows as the batch has samples is cut into rows: tensors on their first dimension, and lists of things
that are no batches themselves (texts, targets of a detector). A batch in which nothing can be cut is one sample.
Several processes get their parts of a batch in the same way (`own_batches`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..inference.model_inputs import Inputs, batch_size
from ..tasks.protocol import EMPTY, Portion, PortionedTask, SeekableTask, Split, Task

APART = 4
"""Of so many samples one is kept for measurements alone, where there is little data."""


def samples_of(batch: Any, inputs: Inputs) -> Iterator[Any]:
    """Batches of one sample.

    Args:
        batch: As the task gives it.
        inputs: The model's inputs in it; they say how many samples it has.
    """
    count = sample_count(batch, inputs)
    for number in range(count):
        yield batch if count == 1 else samples_between(batch, inputs, number, number + 1)


def sample_count(batch: Any, inputs: Inputs) -> int:
    """How many samples a batch can be cut into."""
    cutting = _cutting(inputs)
    return cutting.count if cutting.count > 1 and cutting.has_rows(batch) else 1


def samples_between(batch: Any, inputs: Inputs, first: int, last: int) -> Any:
    """A batch of some samples of one that can be cut, from `first` to the one before `last`."""
    return _cutting(inputs).part(batch, slice(first, last))


def apart_samples(count: int, batches: int, batch: int) -> int:
    """How many of `count` samples can be kept for measurements alone: at most a quarter of what there is.

    Args:
        count: Samples that would do.
        batches: Of the train split, 0 unknown.
        batch: Samples of the first one.
    """
    return min(count, max(batches * batch // APART, 1)) if batches else count


def batches_after(task: Task, batches: Iterable[Any], apart: int) -> Iterator[Any]:
    """Batches of the train split without those of the first `apart` samples.

    Of fewer than `APART` batches the first one goes in part, as far as it can be cut. A stream that ends with the
    samples that should be kept apart is gone through from its beginning.
    """
    few, skipped = 0 < task.batch_count(Split.TRAIN) < APART, list[Any]()
    for batch in batches:
        inputs = task.inputs(batch)
        if apart > 0 and few:
            count = sample_count(batch, inputs)
            yield samples_between(batch, inputs, apart, count) if apart < count else batch
            apart = 0
        elif apart > 0:
            skipped.append(batch)
            apart -= batch_size(inputs)
        else:
            skipped.clear()
            yield batch
    yield from skipped


def _cutting(inputs: Inputs) -> "_Cutting":
    given = list(inputs.values() if isinstance(inputs, Mapping) else inputs)
    listed = cast("list[Any]", given[0]) if given and isinstance(given[0], list) else None
    return _Cutting(batch_size(inputs) if listed is None else len(listed), listed)


@dataclass(frozen=True, slots=True)
class _Cutting:
    """Cuts what has a row for each sample.

    Attributes:
        count: Samples.
        listed: The inputs where they are a list, one entry a sample, whatever the entries look like; None for others.
    """

    count: int
    listed: list[Any] | None

    def part(self, value: Any, rows: slice) -> Any:
        """The same value for some samples."""
        if self.is_rows(value):
            return value[rows]
        kind = cast("Any", type(value))
        if isinstance(value, Mapping):
            named = {key: self.part(part, rows) for key, part in cast("Mapping[Any, Any]", value).items()}
            return named if kind is dict else kind(named)
        if isinstance(value, list | tuple):
            parts = [self.part(part, rows) for part in cast("list[Any]", value)]
            return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
        return value

    def has_rows(self, value: Any) -> bool:
        """Something in it is to be cut."""
        if isinstance(value, Mapping):
            parts = list(cast("Mapping[Any, Any]", value).values())
        else:
            parts = list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []
        return self.is_rows(value) or any(map(self.has_rows, parts))

    def is_rows(self, value: Any) -> bool:
        """It has a row for each sample itself."""
        if self.listed is not None and value is self.listed:
            return True
        if hasattr(value, "__array__"):
            return bool(value.ndim) and value.shape[0] == self.count
        if isinstance(value, list | tuple):
            parts = cast("list[Any]", value)
            return len(parts) == self.count and not any(map(self.has_rows, parts))
        return False


def own_batches(task: Task, seed: int | None, start: int = 0, portion: Portion | None = None) -> Iterator[Any]:
    """The shuffled batches of a pass from one on: this process's part of each, `EMPTY` where it has none of it.

    Args:
        task: Gives them.
        seed: Of the order.
        start: The first of them, counted from 0; above 0 for a `SeekableTask` or a `PortionedTask` alone.
        portion: Which part; None for all.
    """
    if portion is not None and isinstance(task, PortionedTask):
        yield from task.portion_batches(Split.TRAIN, seed, start, portion)
        return
    batches = task.batches(Split.TRAIN, seed=seed)
    if start and isinstance(task, SeekableTask):
        batches = task.batches_from(Split.TRAIN, seed, start)
    if portion is None:
        yield from batches
        return
    for number, batch in enumerate(batches, start):
        inputs = task.inputs(batch)
        count = sample_count(batch, inputs)
        own = portion.of(np.arange(count), number)
        whole = len(own) == count
        yield batch if whole else samples_between(batch, inputs, int(own[0]), int(own[-1]) + 1) if len(own) else EMPTY
