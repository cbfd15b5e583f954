"""Adjusts BatchNorm statistics to a cut, or measures them anew: the first step of a recovery. Loads torch.

What calibration data shows of a norm's inputs is not what the training data showed: it may be a few photographs taken
elsewhere, and statistics measured anew on these alone can cost a network its accuracy, cut or not. So where the model
before the cut is at hand, each norm's statistics change by as much as the cut has changed its inputs on the same data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]  # what all of them share
from torch.utils.hooks import RemovableHandle

from ..batch_parts import PassLimit, in_fitting_parts, input_parts
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..model_inputs import Inputs, batch_size, call
from ..scoring.cancellable_autograd import interruptible
from ..scoring.own_batches import own_batches
from ..structures.transition import KeptIndices
from ..tasks.evaluate_on import first_inputs
from ..tasks.portion import EMPTY, Portion
from ..tasks.protocol import Split, Task
from ..tracing.isolated_forward import quiet_forward
from ..tracing.tree import modules_of
from .side_effects import modes_kept

BATCHES = 32
"""At most so many calibration batches: means and variances settle early."""
COMPARED = 8
"""At most so many of both models: what is random in a batch is nearly the same in both."""


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


def adjust_batchnorm(
    model: nn.Module,
    reference: nn.Module,
    kept: KeptIndices,
    task: Task,
    token: CancelToken | None = None,
    limit: PassLimit | None = None,
) -> Job[int]:
    """Set the running statistics of BatchNorm to a reference's, changed by as much as the inputs of each norm are.

    Both models see the same calibration batches: m' = m + mean of what this model gives the norm - mean of what the
    reference gives it, and s' = s times this model's variance over the reference's, for the reference's running mean m
    and variance s. Norms follow on each other: each is given what earlier ones make of it after their change.

    Everything else stays in eval mode and no weight is touched; cancelled or failed, the statistics are as they were.

    Args:
        model: Where it is to run.
        reference: What it was cut from, there too; left as it is.
        kept: For each tensor of the reference that the model has smaller: per dimension the indices left.
        task: Gives the batches.
        token: Cancels.
        limit: How many samples run at a time; fewer where memory runs out. None to find out.

    Returns:
        How many batches were used; 0 where the model has no such layer, and where one is not the reference's.
    """
    limit = PassLimit() if limit is None else limit
    shifts = _shifts(model, reference, kept)
    if not shifts:
        return 0
    job = in_fitting_parts(
        lambda: _adjusted(model, reference, _shifts(model, reference, kept), task, token or NeverCancelled(), limit),
        model,
        lambda: first_inputs(task, Split.TRAIN),
        limit,
        divides=True,
    )
    return (yield from job)


@dataclass(slots=True)
class _Shift:
    """What a norm is given, beside what its counterpart in the reference is given.

    Attributes:
        norm: Of the model.
        before: Its running mean and variance before.
        left: [C] channels of the counterpart that the model kept.
        mean: [C] running mean of these in the reference.
        variance: [C] their running variance.
        samples: How many were looked at.
        sums: [4, C] means and variances of both, by their samples: the model's, then the reference's.
        waiting: (mean, variance) of each call of the counterpart with the present batch.
    """

    norm: _BatchNorm
    before: tuple[Tensor, Tensor]
    left: Tensor
    mean: Tensor
    variance: Tensor
    samples: int = 0
    sums: Tensor | float = 0.0
    waiting: list[Tensor] = field(default_factory=list[Tensor])

    def watch(self, other: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
        """Look at the inputs of the counterpart and of the norm until the handles are removed."""

        def expect(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            self.expect(given[0])

        def meet(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            self.meet(given[0])

        return other.register_forward_pre_hook(expect), self.norm.register_forward_pre_hook(meet)

    def expect(self, inputs: Tensor) -> None:
        """Take in what the counterpart is given."""
        self.waiting.append(_mean_and_variance(inputs)[:, self.left])

    def meet(self, inputs: Tensor) -> None:
        """Take in what the norm is given, and change its statistics for this call."""
        if self.waiting:
            both = torch.cat([_mean_and_variance(inputs), self.waiting.pop(0)])
            self.samples += len(inputs)
            self.sums = self.sums + both * len(inputs)
            self._set(both)

    def settle(self) -> None:
        """Change the statistics by the average of all calls."""
        if self.samples:
            self._set(self.sums / self.samples)

    def put_back(self) -> None:
        """Give the norm its statistics from before."""
        _fill(self.norm, *self.before)

    def _set(self, both: Any) -> None:
        own, own_variance, their, their_variance = both
        least = self.norm.eps  # so that channels that are constant in both stay as they are
        ratio = (own_variance + least) / (their_variance + least)
        _fill(self.norm, self.mean + own - their, ((self.variance + least) * ratio - least).clamp_min(0.0))


def _fill(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _mean_and_variance(inputs: Tensor) -> Tensor:
    """[2, C] over all but the channels of [N, C, ...]."""
    dims = [dim for dim in range(inputs.ndim) if dim != 1]
    variance, mean = torch.var_mean(inputs.detach().float(), dims, correction=0)
    return torch.stack([mean, variance])


def _shifts(model: nn.Module, reference: nn.Module, kept: KeptIndices) -> list[tuple[_BatchNorm, _Shift]]:
    """For each norm its counterpart and a shift; none at all where one is not left of a norm of the reference."""
    theirs = modules_of(reference)
    found: list[tuple[_BatchNorm, _Shift]] = []
    for name, norm in modules_of(model).items():
        if not isinstance(norm, _BatchNorm) or (mean := norm.running_mean) is None:
            continue
        other, dims = theirs.get(name), kept.get(f"{name}.running_mean", (None,))
        if not isinstance(other, _BatchNorm) or dims is None or other.running_mean is None:
            return []
        assert norm.running_var is not None and other.running_var is not None
        left = torch.arange(len(other.running_mean)) if dims[0] is None else torch.from_numpy(dims[0])
        left = left.to(mean.device)
        if len(left) != len(mean):
            return []
        base = other.running_mean[left].to(mean.device, copy=True), other.running_var[left].to(mean.device, copy=True)
        found.append((other, _Shift(norm, (mean.clone(), norm.running_var.clone()), left, *base)))
    return found


def _adjusted(
    model: nn.Module,
    reference: nn.Module,
    shifts: Sequence[tuple[_BatchNorm, _Shift]],
    task: Task,
    token: CancelToken,
    limit: PassLimit,
) -> Job[int]:
    done, total = 0, min(task.batch_count(Split.TRAIN), COMPARED)
    handles = [handle for other, one in shifts for handle in one.watch(other)]
    try:
        for batch in trainable_batches(model, task, seed=0, limit=COMPARED):
            for part in input_parts(task.inputs(batch), limit):
                check(token)
                for _, one in shifts:
                    one.waiting.clear()
                with quiet_forward(reference), interruptible(token):
                    call(reference, part)
                with modes_kept(model), torch.no_grad(), interruptible(token):
                    model.eval()
                    call(model, part)
            done += 1
            yield Progress("Updating BatchNorm statistics", done, total)
    except BaseException:
        done = 0
        raise
    finally:
        for handle in handles:
            handle.remove()
        for _, one in shifts:
            one.settle() if done else one.put_back()
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
