"""Weight times gradient on calibration data, batch by batch or sample by sample; nothing enters `.grad`.

Taking a structure away is zeroing the weights that read it. The first-order change of the loss is the sum of w g over
exactly these, and that equals activation times gradient: what a gate on the structure's outputs would measure.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, TaskError
from ..jobs import CancelToken, Job, Progress, check
from ..tasks.protocol import EMPTY, Portion, Split
from .protocol import PassCost, RatedModel, ScoringContext, Step, no_loss, with_partial_scores
from .samples import own_batches, samples_of
from .score_options import Choices

BATCHES = 32
"""At most so many calibration batches: the ranking settles long before the split ends."""

SAMPLES = 256
"""At most so many samples where each gets a pass of its own."""

WeightChanges = dict[str, NDArray[np.float32]]
"""Tensor name -> w g of each of its elements."""


def batch_cost(context: ScoringContext, choices: Choices) -> PassCost:
    """A forward and a backward of each batch that is looked at."""
    batches = batches_of(context, choices)
    return PassCost(batches, batches)


def sample_cost(context: ScoringContext, choices: Choices) -> PassCost:
    """A forward and a backward of each sample that is looked at."""
    batches = batches_of(context, choices)
    samples = batches * context.batch if choices.batches else min(SAMPLES, batches * context.batch)
    return PassCost(samples, samples, samples=True)


def forward_cost(context: ScoringContext, choices: Choices) -> PassCost:
    """A forward of each batch that is looked at."""
    return PassCost(batches_of(context, choices))


def batches_of(context: ScoringContext, choices: Choices) -> int:
    """How many batches are looked at; as many as asked for where it is unknown how many there are."""
    asked = choices.batches or BATCHES
    return min((context.batches or {}).get(Split.TRAIN, 0) or asked, asked)


def each_batch(rated: RatedModel, token: CancelToken, shown: Message) -> Iterator[tuple[Any, Progress]]:
    """(calibration batch, progress after it), shuffled by the seed; raises where there is none.

    Where several processes compute together, each gets whole batches in turn.
    """
    place = rated.group.place
    turns = None if rated.group.is_alone else Portion(place.rank, place.size, turns=place.size)
    yield from _own_batches(rated, token, shown, turns)


def _own_batches(
    rated: RatedModel, token: CancelToken, shown: Message, portion: Portion | None
) -> Iterator[tuple[Any, Progress]]:
    """The same with what a portion leaves of each batch, without those of which it leaves nothing."""
    assert rated.task is not None
    asked = rated.choices.batches or BATCHES
    total = min(rated.task.batch_count(Split.TRAIN) or asked, asked)
    number = 0
    for number, batch in enumerate(islice(own_batches(rated.task, rated.seed, portion=portion), asked), 1):
        check(token)
        # Each process counts every batch, its own or not, so that all stop at the same one.
        if batch is not EMPTY:
            yield batch, Progress(shown, number, total)
    if not number:
        raise no_batch_error()


def no_batch_error() -> TaskError:
    """The error for a task without a batch to calibrate with."""
    return TaskError("scoring.no_data", "The train split is empty. Add data to it.")


def nan_loss_error() -> TaskError:
    """The error for a loss that is none."""
    template = "The loss of a calibration batch is NaN or infinity. Check the data and the preprocessing."
    return TaskError("scoring.loss", template)


def over_samples(
    rated: RatedModel,
    token: CancelToken,
    shown: Message,
    value: Callable[[WeightChanges], NDArray[np.float64]],
    scores: Callable[[NDArray[np.float64], int], NDArray[np.float64]],
) -> Job[NDArray[np.float64]]:
    """Add up what `value` makes of w g of each sample; returns what `scores` makes of that, and is asked on the way.

    Where samples have a loss only together (`DataTask.together`), a batch counts as one. Where several processes
    compute together, each gets samples in turn.

    Args:
        rated: What is rated.
        token: Cancels.
        shown: Message of the progress.
        value: [S] of the changes of a sample.
        scores: [S] raw scores of the sum [S] of so many samples.
    """
    assert rated.task is not None
    together = getattr(rated.task, "together", False)
    # Of the samples here, and over all processes.
    count = number = 0
    most = sys.maxsize if rated.choices.batches else SAMPLES
    place, sums = rated.group.place, np.zeros(rated.analysis.count)
    for batch, progress in _own_batches(rated, token, shown, None):
        total = min(most, progress.total * (1 if together else rated.task.spec.batch))
        for sample in [batch] if together else samples_of(batch, rated.task.inputs(batch)):
            check(token)
            # In turn, by the number in the whole: the same samples are rated however many processes there are.
            if number % place.size == place.rank:
                sums += value(changes_of(rated, sample, token))
                count += 1
                so_far = partial(scores, sums, count)
                yield with_partial_scores(Progress(shown, number + 1, total), so_far, Step.SAMPLES)
            number += 1
            if number == most:
                break
        if number == most:
            break
    return scores(rated.group.sums(sums)[0], number)


def changes_of(rated: RatedModel, batch: Any, token: CancelToken) -> WeightChanges:
    """Changes w g of each element of the weights that count, for one batch; 0 for what the batch did not use."""
    import torch

    from ..tracing.model_state import model_state_restored
    from .cancellable_autograd import interruptible
    from .reparametrised_weights import WeightRecorder
    from .weights import untied_weights

    names = sorted({p.tensor for p in rated.slices.slices})
    interrupted = interruptible(token, [rated.parameters[n] for n in names])
    # Gradients are taken for parameters, and for what layers made of parameters in this pass.
    weights = [(n, rated.parameters[n]) for n in names if n not in rated.made]
    made = {n: rated.parameters[n] for n in names if n in rated.made}
    with torch.enable_grad(), untied_weights(rated), interrupted, model_state_restored(rated.model):
        if made:
            with WeightRecorder(rated.model, made) as found:
                loss = _loss(rated, batch)
            weights += [(n, one) for n, some in found.running.items() for one in some]
        else:
            loss = _loss(rated, batch)
        # Not `backward`, which would leave gradients in the user's model.
        gradients: tuple[Any, ...] = torch.autograd.grad(loss, [w for _, w in weights], allow_unused=True)
    # A layer may run several times in a forward and make its weight anew each time: the changes add up.
    changes = {n: _change(one, None) for n, one in made.items()}
    for (n, w), g in zip(weights, gradients, strict=True):
        changes[n] = changes[n] + _change(w, g) if n in made else _change(w, g)
    return changes


def _change(weight: Any, gradient: Any | None) -> NDArray[np.float32]:
    if gradient is None:
        return np.broadcast_to(np.float32(0), tuple(weight.shape))
    # A product in half precision is off by more than sums of many forgive.
    if weight.element_size() < 4:
        weight, gradient = weight.float(), gradient.float()
    return (weight.detach() * gradient).float().cpu().numpy()


def _loss(rated: RatedModel, batch: Any) -> Any:
    assert rated.task is not None
    loss = rated.task.loss(rated.model, batch)
    if loss is None:
        raise TaskError.saying(no_loss(Message("scoring.this_one", "This criterion")))
    if not bool(loss.isfinite()):
        raise nan_loss_error()
    return loss
