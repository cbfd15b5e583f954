"""Adjusts BatchNorm statistics to a cut, or measures them again: the first step of a recovery. Loads torch.

Calibration samples may be unlike the training data: a few photographs taken elsewhere. Statistics that are measured
again on these alone can cost a network most of its accuracy, cut or not. So a cut model's statistics can also be
adjusted: they change by as much as the inputs of each norm differ from the original's on the same samples.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]  # what all of them share
from torch.utils.hooks import RemovableHandle

from ..inference.batch_parts import PassLimit, in_fitting_parts, input_parts
from ..inference.model_inputs import Inputs, batch_size, call
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..scoring.cancellable_autograd import interruptible
from ..scoring.samples import own_batches
from ..structures.transition import KeptIndices
from ..tasks.evaluate import first_inputs
from ..tasks.protocol import EMPTY, Portion, Split, Task
from ..tracing.isolated_forward import quiet_forward
from ..tracing.operator_mode import FlopCounter
from ..tracing.tree import copied_inputs, modules_of
from .side_effects import keep_modes

BATCHES = 32
"""Calibration batches at most: means and variances settle early."""
COMPARED = 8
"""Calibration batches to compare two models on, at most: what chance puts into a batch cancels in the difference."""
WORK = 1e12
"""Multiply-accumulates of all forwards at most, about half a minute of a core."""
LEAST, LEAST_COMPARED = 512, 128
"""Samples to measure or to compare on at least, whatever that takes."""
FLOOR, MOST = 0.01, 16.0
"""Share of a running variance that variances are compared above, and the largest factor between two of them."""


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """BatchNorm modules that keep running statistics."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


def untracked_norms(model: nn.Module) -> int:
    """How many BatchNorm modules keep statistics that training leaves behind the weights.

    With a momentum of 0 they are never written (torchcrepe ships such), with none they are the mean over all of a
    training, and a norm that a model's own `train` holds in eval mode keeps what it was given.
    """
    norms, before = norms_of(model), [module.training for module in model.modules()]
    model.train()
    found = sum(not norm.training or not norm.momentum for norm in norms)
    for module, mode in zip(model.modules(), before, strict=True):
        module.training = mode
    return found


def calibrate_batchnorm(
    model: nn.Module, task: Task, token: CancelToken | None = None, limit: PassLimit | None = None
) -> Job[int]:
    """Recompute the running statistics of BatchNorm as the average over calibration batches, in place.

    Each batch counts by its samples: the last one is small. There are at most 32, and fewer where a forward takes much.

    Everything else stays in eval mode and no weight is touched; cancelled or failed, the statistics are as they were.

    Args:
        model: Where it is to run.
        task: Gives the batches.
        token: Cancels.
        limit: How many samples run at a time; fewer where memory runs out. None to find out.

    Returns:
        How many batches were used; 0 where the model has no such layer.
    """
    token, limit = token or NeverCancelled(), PassLimit() if limit is None else limit

    def calibrate() -> Job[int]:
        """Measure anew; what is cancelled or fails is undone."""
        norms, done = norms_of(model), 0
        if not norms:
            return done
        before = [(norm, norm.momentum, [b.clone() for b in norm.buffers()]) for norm in norms]
        seen = dict.fromkeys(norms, 0)
        try:
            for norm in norms:
                norm.reset_running_stats()
            observe = partial(_observe, model, seen, token)
            done = yield from _run_batches(model, task, limit, BATCHES, LEAST, observe)
        finally:
            for norm, momentum, buffers in before:
                norm.momentum = momentum
                for buffer, value in zip(norm.buffers(), buffers, strict=True):
                    # Of a calibration that is done only the counters of batches are restored.
                    if done == 0 or not buffer.is_floating_point():
                        buffer.copy_(value)
        return done

    given = partial(first_inputs, task, Split.TRAIN)
    return (yield from in_fitting_parts(calibrate, model, given, limit, divides=True))


def _observe(model: nn.Module, seen: dict[_BatchNorm, int], token: CancelToken, inputs: Inputs) -> bool:
    """Run one forward in which only BatchNorm is in train mode; `seen` counts the samples that each norm has had."""
    check(token)
    count = batch_size(inputs)

    def weigh(norm: _BatchNorm, _inputs: Any) -> None:
        # A momentum of n / (all samples so far) makes running statistics the mean over samples.
        seen[norm] += count
        norm.momentum = count / seen[norm]

    handles = [norm.register_forward_pre_hook(weigh) for norm in seen]
    try:
        with keep_modes(model), torch.no_grad(), interruptible(token):
            model.eval()
            for norm in seen:
                norm.training = True
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return True


def adjust_batchnorm(
    model: nn.Module,
    reference: nn.Module,
    kept: KeptIndices,
    task: Task,
    token: CancelToken | None = None,
    limit: PassLimit | None = None,
) -> Job[int]:
    """Set the running statistics of BatchNorm to a reference's, changed as the inputs of each norm have changed.

    Both models run on the same calibration samples. With the reference's running mean m and variance s, the mean and
    variance (a, b) of the inputs that a norm has in the model, and (c, d) of those that it has in the reference, the
    model's statistics become m + a - c and (s + e) (b + f) / (d + f) - e. Here e is the norm's eps and f = e + s / 100,
    so that channels with hardly any variance on these samples stay as they are; the factor is at most 16, at least
    1/16. Norms follow on each other: each receives what earlier ones give with their new statistics.

    There are at most 8 batches, and fewer where a forward takes much. Everything else stays in eval mode and no weight
    is touched; cancelled or failed, the statistics are as they were.

    Args:
        model: Where it is to run.
        reference: What it was cut from, there too; left as it is.
        kept: For each tensor of the reference that the model has smaller: per dimension the indices left.
        task: Gives the batches.
        token: Cancels.
        limit: How many samples run at a time; fewer where memory runs out. None to find out.

    Returns:
        How many batches were used; 0 where nothing was adjusted: the model has no BatchNorm, or one that does not run
        in both models as often, on [N, C, ...], with the channels that were kept.
    """
    token, limit = token or NeverCancelled(), PassLimit() if limit is None else limit

    def adjust() -> Job[int]:
        """Compare batch by batch, then set the statistics by the mean of all."""
        with adjusting_batchnorm(model, reference, kept) as comparisons:
            if not comparisons:
                return 0

            def compare(part: Inputs) -> bool:
                check(token)
                _compare(model, reference, comparisons, part, token)
                return all(one.fits for one in comparisons)

            done = yield from _run_batches(model, task, limit, COMPARED, LEAST_COMPARED, compare)
            if not all(one.fits for one in comparisons):
                return 0
            found = [(one, one.sums / one.samples) for one in comparisons if one.samples]
        for one, both in found:  # outside: leaving the context has restored the statistics of before
            one.change(both)
        return done

    given = partial(first_inputs, task, Split.TRAIN)
    return (yield from in_fitting_parts(adjust, model, given, limit, divides=True))


@dataclass(slots=True)
class NormComparison:
    """A norm of the model and its counterpart in the reference, and what entered them.

    Attributes:
        norm: Of the model.
        counterpart: Of the reference.
        before: Running mean and variance of the norm before.
        left: [C] channels of the counterpart that the model kept.
        mean: [C] running mean of these in the reference.
        variance: [C] their running variance.
        recorded: (mean, variance) of the inputs of each call of the counterpart on the present batch.
        samples: How many were compared.
        sums: [4, C] means and variances times samples: the model's, then the reference's.
        fits: Inputs were [N, C, ...], and both were called equally often.
    """

    norm: _BatchNorm
    counterpart: _BatchNorm
    before: tuple[Tensor, Tensor]
    left: Tensor
    mean: Tensor
    variance: Tensor
    recorded: list[Tensor] = field(default_factory=list[Tensor])
    samples: int = 0
    sums: Tensor | float = 0.0
    fits: bool = True

    def watch(self) -> tuple[RemovableHandle, RemovableHandle]:
        """Record the inputs of both, and change the norm's statistics for each call, until the handles are removed."""

        def record(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            assert self.counterpart.running_mean is not None
            found = self._moments([*given, *named.values()], len(self.counterpart.running_mean))
            if found is not None:
                self.recorded.append(found[0][:, self.left])

        def compare(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            """Adjust the norm to this call, if the counterpart has had it."""
            found = self._moments([*given, *named.values()], len(self.mean))
            self.fits &= bool(self.recorded)
            if not self.fits or found is None:
                self.set_statistics(self.before)
            else:
                both = torch.cat([found[0], self.recorded.pop(0)])
                self.samples += found[1]
                self.sums = self.sums + both * found[1]
                self.change(both)

        return (
            self.counterpart.register_forward_pre_hook(record, with_kwargs=True),
            self.norm.register_forward_pre_hook(compare, with_kwargs=True),
        )

    def end_batch(self) -> None:
        """Note whether both were called equally often."""
        self.fits &= not self.recorded

    def change(self, both: Any) -> None:
        """Set the norm's statistics by [4, C] means and variances of the model's and the reference's inputs.

        Channels where these are NaN or infinite keep the reference's.
        """
        mean, variance, other_mean, other_variance = both
        eps = self.norm.eps
        floor = eps + FLOOR * self.variance
        factor = ((variance + floor) / (other_variance + floor)).clamp(1 / MOST, MOST)
        found = self.mean + mean - other_mean, ((self.variance + eps) * factor - eps).clamp_min(0.0)
        sound = found[0].isfinite() & found[1].isfinite()
        self.set_statistics((torch.where(sound, found[0], self.mean), torch.where(sound, found[1], self.variance)))

    def set_statistics(self, statistics: tuple[Tensor, Tensor]) -> None:
        """Give the norm a running mean and variance."""
        assert self.norm.running_mean is not None and self.norm.running_var is not None
        self.norm.running_mean.copy_(statistics[0])
        self.norm.running_var.copy_(statistics[1])

    def _moments(self, given: Sequence[Any], channels: int) -> tuple[Tensor, int] | None:
        """([2, C] mean and variance over all but the channels, how many samples); None for another layout."""
        inputs = next((one for one in given if isinstance(one, Tensor)), None)
        if inputs is None or inputs.ndim < 2 or inputs.shape[1] != channels:
            self.fits = False
            return None
        dims = [dim for dim in range(inputs.ndim) if dim != 1]
        variance, mean = torch.var_mean(inputs.detach().float(), dims, correction=0)
        return torch.stack([mean, variance]), len(inputs)


def _pair_norms(model: nn.Module, reference: nn.Module, kept: KeptIndices) -> list[NormComparison]:
    """A comparison for each norm; none at all where one is not part of a norm of the reference."""
    others, found = modules_of(reference), list[NormComparison]()
    for name, norm in modules_of(model).items():
        if not isinstance(norm, _BatchNorm) or (mean := norm.running_mean) is None:
            continue
        other, dims = others.get(name), kept.get(f"{name}.running_mean", (None,))
        if not isinstance(other, _BatchNorm) or dims is None or other.running_mean is None:
            return []
        assert norm.running_var is not None and other.running_var is not None
        left = torch.arange(len(other.running_mean)) if dims[0] is None else torch.from_numpy(dims[0])
        left = left.to(mean.device)
        if len(left) != len(mean):
            return []
        before = mean.clone(), norm.running_var.clone()
        base = other.running_mean[left].to(mean.device, copy=True), other.running_var[left].to(mean.device, copy=True)
        found.append(NormComparison(norm, other, before, left, mean=base[0], variance=base[1]))
    return found


@contextmanager
def adjusting_batchnorm(model: nn.Module, reference: nn.Module, kept: KeptIndices) -> Generator[list[NormComparison]]:
    """Within, each norm of a model uses statistics adjusted on the batch that is running; `adjust_batchnorm` averages.

    The reference has to run on each batch too, and must have passed a norm before the model reaches it. Where it has
    not, or where the two cannot be compared, the norm keeps the statistics that it had. Afterwards all norms have them.

    Args:
        model: Runs within, in eval mode.
        reference: What it was cut from.
        kept: For each tensor of the reference that the model has smaller: per dimension the indices left.

    Yields:
        What is compared, norm by norm; nothing where one of the norms is not part of one of the reference.
    """
    comparisons = _pair_norms(model, reference, kept)
    handles = [handle for one in comparisons for handle in one.watch()]
    try:
        yield comparisons
    finally:
        for handle in handles:
            handle.remove()
        for one in comparisons:
            one.set_statistics(one.before)


def norms_can_be_adjusted(
    model: nn.Module, reference: nn.Module, kept: KeptIndices, inputs: Inputs, token: CancelToken
) -> bool:
    """Whether `adjust_batchnorm` would adjust all norms, seen on some inputs; both models stay as they are."""
    with adjusting_batchnorm(model, reference, kept) as comparisons:
        if comparisons:
            with quiet_forward(model):
                _compare(model, reference, comparisons, inputs, token)
        return bool(comparisons) and all(one.fits for one in comparisons)


def _compare(
    model: nn.Module, reference: nn.Module, comparisons: list[NormComparison], inputs: Inputs, token: CancelToken
) -> None:
    """Run both on a batch, the reference first."""
    with quiet_forward(reference), interruptible(token):
        call(reference, copied_inputs(inputs))
    with keep_modes(model), torch.no_grad(), interruptible(token):
        model.eval()
        call(model, inputs)
    for one in comparisons:
        one.end_batch()


def _run_batches(
    model: nn.Module, task: Task, limit: PassLimit, most: int, least: int, run: Callable[[Inputs], bool]
) -> Job[int]:
    """Run parts of calibration batches until one ends it; gives how many batches ran.

    Args:
        model: Says whether there is BatchNorm.
        task: Gives the batches.
        limit: How many samples run at a time.
        most: How many batches; fewer where the first one took so much that others are beyond `WORK`.
        least: Samples to run, whatever that takes.
        run: Runs some samples; False ends it.
    """
    done, known = 0, task.batch_count(Split.TRAIN)
    for batch in trainable_batches(model, task, seed=0, limit=most):
        inputs = task.inputs(batch)
        with nullcontext() if done else FlopCounter() as counted:
            if not all(run(part) for part in input_parts(inputs, limit)):
                break
        if counted is not None:
            affordable = int(WORK / max(counted.flops / 2, 1.0))
            most = min(most, max(-(-least // max(batch_size(inputs), 1)), affordable))
        done += 1
        yield Progress("Updating BatchNorm statistics", done, min(known, most))
        if done >= most:
            break
    return done


def trainable_batches(
    model: nn.Module,
    task: Task,
    seed: int,
    limit: int | None = None,
    start: int = 0,
    portion: Portion | None = None,
) -> Iterator[Any]:
    """Shuffled calibration batches; for BatchNorm without a last one of a single sample, which has no variance.

    Args:
        model: Says whether there is BatchNorm.
        task: Gives them; one that is a `SeekableTask` where `start` is not 0.
        seed: Of the order.
        limit: Batches at most; None for a whole epoch.
        start: The first of them, counted from 0.
        portion: What of each batch is this process's, None for all.
    """
    normed, usual = bool(norms_of(model)), task.spec.batch if start else 0
    for batch in islice(own_batches(task, seed, start, portion), limit):
        count = batch_size(task.inputs(batch)) if normed and batch is not EMPTY else 0
        usual = usual or count
        if not (count == 1 < usual):
            yield batch
