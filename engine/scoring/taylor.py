"""First-order Taylor: how much the loss changes when a structure is taken away (Molchanov et al. 2019).

Taking a structure away is zeroing the weights that read it, so the first-order change of the loss is the sum of w g
over exactly these; it equals activation times gradient summed over the batch, which is what the paper's gates measure.
The model stays in eval mode, and gradients never enter `.grad`.
"""

from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TaskError
from ..jobs import CancelToken, Job, Progress, check
from ..tasks.protocol import Split, Task
from .aggregate import structure_sums
from .protocol import Criterion, Subject
from .weights import as_array

BATCHES = 32
"""At most so many calibrate batches: the ranking settles long before the split ends."""


def rate(subject: Subject, token: CancelToken) -> Job[NDArray[np.float64]]:
    """[S] root mean square over batches of the sum of w g: the change of the loss, in units of the loss."""
    assert subject.task is not None
    squares, batches = np.zeros(subject.analysis.count), 0
    total = min(subject.task.batch_count(Split.CALIBRATE), BATCHES)
    counts = structure_sums(subject.consumers, lambda name: np.abs(as_array(subject, name)))[1]
    for batch in islice(subject.task.batches(Split.CALIBRATE, seed=0), BATCHES):
        check(token)
        changes = _changes(subject, batch, token)
        squares += np.square(structure_sums(subject.consumers, changes.get)[0])
        batches += 1
        yield Progress("Measuring how the loss depends on each structure", batches, total)
    if not batches:
        raise TaskError("scoring.no_data", "The calibrate split is empty: give the task some data to calibrate with.")
    return np.where(counts > 0, np.sqrt(squares / batches), np.nan)


def _changes(subject: Subject, batch: Any, token: CancelToken) -> dict[str, NDArray[np.float32]]:
    """Tensor name -> w g of each element, for one batch."""
    import torch

    from .interrupt import interruptible

    assert subject.task is not None
    names = sorted({p.tensor for p in subject.consumers.places})
    weights = [subject.parameters[n] for n in names]
    with torch.enable_grad(), interruptible(token, weights):
        loss = _loss(subject.task, subject.model, batch)
        gradients: tuple[Any, ...] = torch.autograd.grad(loss, weights, allow_unused=True)
    pairs = zip(names, weights, gradients, strict=True)
    return {n: (w.detach() * g).float().cpu().numpy() for n, w, g in pairs if g is not None}


def _loss(task: Task, model: Any, batch: Any) -> Any:
    loss = task.loss(model, batch)
    if loss is None:
        raise TaskError(
            "scoring.no_loss",
            "Taylor needs a loss, and this task has none. Choose a magnitude, or give the task a loss.",
        )
    if not bool(loss.isfinite()):
        raise TaskError(
            "scoring.loss", "The loss of a calibrate batch is not a number. Check the data and the preprocessing."
        )
    return loss


TAYLOR = Criterion(
    name="taylor",
    title="Taylor, first order",
    formula="root mean square over batches of the sum of w g over the weights that read the structure",
    paper="Molchanov et al., Importance Estimation for Neural Network Pruning, 2019",
    needs_data=True,
    rate=rate,
)
