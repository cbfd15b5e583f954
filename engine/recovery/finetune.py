"""Fine-tune a cut model with the original as its teacher, and give back the best weights that were seen. Loads torch.

Neither model is changed: training works on a copy. The input itself is a candidate for the best, by the metric on the
choose split, so a recovery never returns something worse than it was given.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from traceback import format_exc

from torch import Tensor, nn

from ..errors import SecateurError, TaskError
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..tasks.protocol import Metric, Split, Task
from .batchnorm import calibrate_batchnorm, trainable_batches
from .isolation import modes_kept, pinned, working_copy
from .protocol import RecoverySettings
from .training import Training, adamw

SPOKEN = 5
"""Steps between two points of the loss curve; fewer when steps are slow."""

SILENCE = 0.3
"""Seconds after which a point is given anyway."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery gives.

    Attributes:
        state_dict: The best weights and buffers seen, by name.
        metric: Measured with them on the whole choose split.
        epochs: Epochs trained.
        steps: Updates made.
        best_epoch: Epoch after which the best was seen, 0 for before the first.
    """

    state_dict: dict[str, Tensor]
    metric: Metric
    epochs: int
    steps: int
    best_epoch: int


def recover(
    student: nn.Module,
    teacher: nn.Module,
    task: Task,
    settings: RecoverySettings,
    token: CancelToken | None = None,
    outputs: Sequence[str] = (),
) -> Job[Recovered]:
    """Measure BatchNorm's statistics again, then fine-tune; the same seed and threads give the same weights.

    Args:
        student: The cut model; left as it is.
        teacher: The original; left as it is.
        task: Batches, the metric that chooses, and the loss; without one the student learns from the teacher alone.
        settings: Epochs, learning rate and the rest.
        token: Stops within a step, also a long one.
        outputs: Paths of the outputs to learn from the teacher, as the analysis was made with them.

    Raises:
        SecateurError: The settings cannot be, the loss is no number, or the model or data failed.
        Cancelled: The token was set.
    """
    _check(settings)
    with pinned(settings.seed, settings.threads), modes_kept(teacher), working_copy(student) as copy:
        try:
            return (yield from _run(copy, teacher, task, settings, token or NeverCancelled(), outputs))
        except (SecateurError, GeneratorExit):
            raise
        except Exception as error:
            raise TaskError(
                "recovery.failed",
                "Fine-tuning stopped, the model or the data failed: {error}",
                details=format_exc(),
                error=f"{type(error).__name__}: {error}",
            ) from error


def _run(
    copy: nn.Module,
    teacher: nn.Module,
    task: Task,
    settings: RecoverySettings,
    token: CancelToken,
    outputs: Sequence[str],
) -> Job[Recovered]:
    best = yield from _better(None, copy, task, token, 0, 0)
    if (yield from calibrate_batchnorm(copy, task, token)):
        best = yield from _better(best, copy, task, token, 0, 0)
    batches = yield from _count(copy, task, settings, token)
    steps = batches * settings.epochs
    training = Training(copy, teacher, task, settings, adamw(copy, settings), steps, token, outputs)
    for epoch in range(1, settings.epochs + 1):
        yield from _epoch(training, epoch)
        best = yield from _better(best, copy, task, token, epoch, training.step)
    return Recovered(best.state_dict, best.metric, settings.epochs, training.step, best.best_epoch)


def _epoch(training: Training, epoch: int) -> Job[None]:
    """One pass over the calibrate split, in an order that the seed and the epoch give."""
    settings, losses, spoken = training.settings, list[float](), time.monotonic()
    text = f"Fine-tuning, epoch {epoch} of {settings.epochs}"
    for batch in trainable_batches(training.student, training.task, seed=settings.seed * 1000 + epoch):
        losses.append(training.train_on(batch))
        if len(losses) >= SPOKEN or time.monotonic() - spoken > SILENCE:
            values = {"step": float(training.step), "loss": math.fsum(losses) / len(losses)}
            yield Progress(text, training.step, training.steps, values)
            losses, spoken = [], time.monotonic()
    if not training.step:
        raise TaskError("recovery.no_data", "The calibrate split has no batch to train on: give the task some data.")


def _better(
    best: Recovered | None, copy: nn.Module, task: Task, token: CancelToken, epoch: int, step: int
) -> Job[Recovered]:
    """The better one of the best so far and the copy as it stands; equal ones go to the copy."""
    with modes_kept(copy):
        copy.eval()
        metric = yield from task.evaluate(copy, Split.CHOOSE, token)
    yield Progress(f"Measured {metric.name}", step, 0, {"step": float(step), "metric": metric.value})
    if best is not None and not _as_good(metric, best.metric):
        return best
    state = {name: tensor.detach().clone() for name, tensor in copy.state_dict().items()}
    return Recovered(state, metric, epoch, step, epoch)


def _as_good(metric: Metric, other: Metric) -> bool:
    if math.isnan(metric.value) or math.isnan(other.value):
        return math.isnan(other.value)
    return metric.value >= other.value if metric.higher_is_better else metric.value <= other.value


def _count(copy: nn.Module, task: Task, settings: RecoverySettings, token: CancelToken) -> Job[int]:
    """Batches of a pass; counted once where the task does not know, because the schedule needs to."""
    count = task.batch_count(Split.CALIBRATE) if settings.epochs else 1
    if count:
        return count
    for count, _ in enumerate(trainable_batches(copy, task, seed=settings.seed * 1000 + 1), start=1):
        check(token)
        yield Progress("Counting batches", count)
    return count


def _check(settings: RecoverySettings) -> None:
    numbers = (settings.learning_rate, settings.temperature)
    if settings.epochs < 0 or any(not n > 0 or math.isinf(n) for n in numbers) or not 0 <= settings.distillation <= 1:
        raise SecateurError(
            "recovery.settings",
            "Fine-tuning needs 0 or more epochs, a learning rate and a temperature above 0, "
            "and a weight of the teacher between 0 and 1; given were {epochs}, {rate}, {temperature} and {share}.",
            epochs=settings.epochs,
            rate=settings.learning_rate,
            temperature=settings.temperature,
            share=settings.distillation,
        )
