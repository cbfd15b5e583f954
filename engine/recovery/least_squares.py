"""Repairs layers that lost inputs, without training: by bias or by least squares over kept inputs. Loads torch.

A layer of the original computes W x + b. Without the removed inputs x_r it computes W_k x_k + b. Two repairs:

* *bias*: the mean of what is missing goes into the bias, b + W_r E[x_r] (the compensation of FLAP, An et al. 2023);
* *least squares*: the missing inputs are foretold from those that are left, x_r = E[x_r] + B (x_k - E[x_k]), with the B
  of least squares over calibration data; W_k + W_r B then gives what is nearest to the original's answer (as He et al.
  2017 reconstruct layers). A ridge on B keeps it at zero, the plain cut, where the data says little.

Inputs are those of the original, all layers in few passes over the data. Layers without a bias keep the mean in B.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..model_inputs import call, filled
from ..scoring.cancellable_autograd import interruptible
from ..structures.transition import KeptIndices
from ..tasks.protocol import Split, Task
from ..tracing.model_state import model_state_restored
from .consumer_layers import ConsumerLayer, consumer_layers, drawn_columns
from .protocol import Repair

BATCHES = 32
"""Calibration batches to look at, at most."""
ENOUGH, FEWEST = 6, 8192
"""Rows of data for each input of a layer, and in all, after which it looks at no more; drawn at random."""
RIDGE = 1e-3
"""Added to the mean square of the inputs, as a share of it."""
MEMORY = 1 << 30
"""Bytes of moments to hold at a time; what needs more is gathered in further passes over the data."""
LARGEST = 1 << 28
"""Numbers in the products of one layer's inputs: a layer with more is left as it was cut."""


class InputMoments:
    """Sums over what flows into a layer of the original: of the inputs, and of the products of those left with all."""

    def __init__(self, layer: ConsumerLayer, products: bool, batches: int) -> None:
        """Take the layer; `products` where least squares need them. It will look at so many batches."""
        self.layer, self.rows = layer, 0
        self.wanted = max(ENOUGH * layer.inputs, FEWEST)
        self._share, self._random = -(-2 * self.wanted // batches), torch.Generator().manual_seed(0)
        self.sums = torch.zeros(layer.inputs, dtype=torch.float64)
        self.products = torch.zeros(len(layer.left), layer.inputs) if products else None

    def look(self, given: Tensor, present: Tensor | None) -> None:
        """Add the inputs of one forward, some of them where there are many; `present` [N, T]: tokens that count."""
        if self.rows >= self.wanted:
            return
        drawn = drawn_columns(self.layer.teacher, given.detach(), self._share, self._random, present)
        columns = drawn.float().cpu()
        self.rows += len(columns)
        self.sums += columns.sum(0, dtype=torch.float64)
        if self.products is not None:
            self.products += columns[:, self.layer.left].T @ columns


def reconstruct(
    student: nn.Module, teacher: nn.Module, kept: KeptIndices, task: Task, how: Repair, token: CancelToken | None = None
) -> Job[int]:
    """Repair the layers of a student that lost inputs, in place; gradients are not needed and no label is read.

    Args:
        student: A fresh cut; layers that were trained since are left alone.
        teacher: The original; left as it is.
        kept: For each tensor of the original that the student has smaller: per dimension the indices left.
        task: Gives calibration batches.
        how: Which repair.
        token: Cancels; the student is as before then.

    Returns:
        How many layers were repaired.
    """
    token = token or NeverCancelled()
    layers = [*consumer_layers(student, teacher, kept)] if how is not Repair.NONE else []
    if how is Repair.BIAS:
        layers = [one for one in layers if getattr(one.student, "bias", None) is not None]
    else:
        layers = [one for one in layers if len(one.left) * one.inputs <= LARGEST]
    made: list[tuple[ConsumerLayer, Tensor, Tensor | None]] = []
    parts = _parts(layers, how)
    batches = min(task.batch_count(Split.TRAIN), BATCHES) or BATCHES
    for number, part in enumerate(parts):
        moments = [InputMoments(layer, how is Repair.LEAST_SQUARES, batches) for layer in part]
        yield from _gather(moments, teacher, task, (number, len(parts), batches), token)
        for one in moments:
            check(token)
            made += [(one.layer, *_repaired(one))] if one.rows else []
            yield Progress("Repairing layers", len(made), len(layers))
    with torch.no_grad():
        for layer, weight, bias in made:
            own: Any = layer.student
            own.weight.copy_(weight.reshape(own.weight.shape))
            if bias is not None:
                own.bias.copy_(bias)
    return len(made)


def _parts(layers: Sequence[ConsumerLayer], how: Repair) -> list[list[ConsumerLayer]]:
    """Layers whose moments fit into memory together."""
    parts: list[list[ConsumerLayer]] = []
    room = 0
    for layer in layers:
        size = 4 * len(layer.left) * layer.inputs if how is Repair.LEAST_SQUARES else 8 * layer.inputs
        if not parts or size > room:
            parts.append([])
            room = MEMORY
        parts[-1].append(layer)
        room -= size
    return parts


def _gather(
    moments: Sequence[InputMoments], teacher: nn.Module, task: Task, place: tuple[int, int, int], token: CancelToken
) -> Job[None]:
    """Pass over calibration batches until every layer has seen enough; `place`: this pass, passes, batches of each."""
    number, parts, total = place
    for done, batch in enumerate(islice(task.batches(Split.TRAIN, seed=0), BATCHES), start=1):
        check(token)
        inputs = task.inputs(batch)
        with model_state_restored(teacher), torch.no_grad(), interruptible(token), _heard(moments, filled(inputs)):
            teacher.eval()
            call(teacher, inputs)
        yield Progress("Recording the inputs of layers", number * total + done, parts * total)
        if all(one.rows >= one.wanted for one in moments):
            return


@contextmanager
def _heard(moments: Sequence[InputMoments], present: Tensor | None) -> Generator[None]:
    """Record the inputs of the layers inside, at the tokens that are present."""

    def listening(one: InputMoments) -> Any:
        def look(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            one.look(given[0] if given else named["input"], present)

        return look

    handles = [one.layer.teacher.register_forward_pre_hook(listening(one), with_kwargs=True) for one in moments]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _repaired(one: InputMoments) -> tuple[Tensor, Tensor | None]:
    """Weight [r, m] and bias [r] of the student's layer; the bias None where it has none."""
    layer, own, held = one.layer, one.layer.student, cast("Any", one.layer.teacher)
    full: Tensor = held.weight.detach().cpu().double().flatten(1)[layer.rows]
    mean, factor = one.sums / one.rows, layer.factor.double()
    centred = getattr(own, "bias", None) is not None
    more = full[:, layer.gone] @ _foretelling(one, mean, centred)
    weight = (factor[:, None] * (full[:, layer.left] + more)).to(held.weight.dtype)
    if not centred:
        return weight, None
    missing = full[:, layer.gone] @ mean[layer.gone] - more @ mean[layer.left]
    return weight, factor * (held.bias.detach().cpu().double()[layer.rows] + missing)


def _foretelling(one: InputMoments, mean: Tensor, centred: bool) -> Tensor:
    """B [n - m, m]: the removed inputs from those that are left."""
    layer = one.layer
    if one.products is None:
        return torch.zeros(len(layer.gone), len(layer.left), dtype=torch.float64)
    moment = one.products.double().div_(one.rows)
    one.products = None  # the largest thing here, and no longer needed
    if centred:
        moment.sub_(torch.outer(mean[layer.left], mean))
    own = moment[:, layer.left]
    own.diagonal().add_(RIDGE * own.diagonal().mean().clamp_min(1e-12))
    return cast("Tensor", torch.linalg.solve(own, moment[:, layer.gone])).T
