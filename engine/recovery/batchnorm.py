"""Recalibrates BatchNorm statistics, the first step of a recovery. Loads torch."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]  # what all of them share

from ..batch_parts import PassLimit, in_fitting_parts, input_parts
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..model_inputs import Inputs, batch_size, call
from ..scoring.cancellable_autograd import interruptible
from ..scoring.own_batches import own_batches
from ..tasks.evaluate_on import first_inputs
from ..tasks.portion import EMPTY, Portion
from ..tasks.protocol import Split, Task
from .side_effects import modes_kept

BATCHES = 32
"""At most so many calibration batches: means and variances settle early."""


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """BatchNorm modules that keep running statistics."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


def calibrate_batchnorm(
    model: nn.Module, task: Task, token: CancelToken | None = None, limit: PassLimit | None = None
) -> Job[int]:
    """Recompute the running statistics of BatchNorm as the average over calibration batches, in place.

    Each batch counts by its samples: the last one is small.

    Everything else stays in eval mode and no weight is touched; cancelled or failed, the statistics are as they were.

    Args:
        model: Where it is to run.
        task: Gives the batches.
        token: Cancels.
        limit: How many samples run at a time; fewer where memory runs out. None to find out.

    Returns:
        How many batches were used; 0 where the model has no such layer.
    """
    limit = PassLimit() if limit is None else limit
    job = in_fitting_parts(
        lambda: _calibrated(model, task, token, limit),
        model,
        lambda: first_inputs(task, Split.TRAIN),
        limit,
        divides=True,
    )
    return (yield from job)


def _calibrated(model: nn.Module, task: Task, token: CancelToken | None, limit: PassLimit) -> Job[int]:
    norms, done = norms_of(model), 0
    if not norms:
        return done
    before = [(norm, norm.momentum, [b.clone() for b in norm.buffers()]) for norm in norms]
    total = min(task.batch_count(Split.TRAIN), BATCHES)
    try:
        for norm in norms:
            norm.reset_running_stats()
        seen = dict.fromkeys(norms, 0)
        for batch in trainable_batches(model, task, seed=0, limit=BATCHES):
            for part in input_parts(task.inputs(batch), limit):
                _observe(model, seen, part, token or NeverCancelled())
            done += 1
            yield Progress("Updating BatchNorm statistics", done, total)
    except BaseException:
        done = 0
        raise
    finally:
        for norm, momentum, buffers in before:
            norm.momentum = momentum
            _restore(norm, buffers, counters_only=done > 0)
    return done


def trainable_batches(
    model: nn.Module,
    task: Task,
    seed: int,
    limit: int | None = None,
    start: int = 0,
    portion: Portion | None = None,
) -> Iterator[Any]:
    """Shuffled calibration batches; for BatchNorm the one sample that is left over is left out, it has no variance.

    Args:
        model: Says whether there is BatchNorm.
        task: Gives them; one that is a `SeekableTask` where `start` is not 0.
        seed: Of the order.
        limit: At most so many; None for all of a pass.
        start: The first of them, counted from 0.
        portion: What of each batch is this process's, None for all.
    """
    normed, usual = bool(norms_of(model)), task.spec.batch if start else 0
    for batch in islice(own_batches(task, seed, start, portion), limit):
        count = batch_size(task.inputs(batch)) if normed and batch is not EMPTY else 0
        usual = usual or count
        if not (count == 1 < usual):
            yield batch


def _observe(model: nn.Module, seen: dict[_BatchNorm, int], inputs: Inputs, token: CancelToken) -> None:
    """One forward in which only BatchNorm is in train mode; `seen` counts the samples that each has had."""
    check(token)
    count = batch_size(inputs)

    def weigh(norm: _BatchNorm, _inputs: Any) -> None:
        seen[norm] += count
        norm.momentum = count / seen[norm]

    handles = [norm.register_forward_pre_hook(weigh) for norm in seen]
    try:
        with modes_kept(model), torch.no_grad(), interruptible(token):
            model.eval()
            for norm in seen:
                norm.training = True
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()


def _restore(norm: _BatchNorm, buffers: list[torch.Tensor], counters_only: bool) -> None:
    for buffer, value in zip(norm.buffers(), buffers, strict=True):
        if not (counters_only and buffer.is_floating_point()):
            buffer.copy_(value)
