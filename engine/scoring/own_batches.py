"""The batches of the train split of which one process has a part, for any task."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..tasks.portion import EMPTY, Portion
from ..tasks.protocol import PortionedTask, SeekableTask, Split, Task
from .samples import sample_count, samples_between


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
