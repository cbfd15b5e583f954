"""Keeps the best weights of a recovery, by the metric on the val split. Loads torch."""

import math
from dataclasses import dataclass, field

from torch import Tensor

from ..devices import placed
from ..errors import Message
from ..jobs import Job, Progress
from ..tasks.evaluate_on import evaluate_on
from ..tasks.protocol import Metric, Split
from .found_rate import FoundRate
from .repair_result import RepairResult
from .side_effects import modes_kept
from .training import Training


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery gives.

    Attributes:
        state_dict: The best weights and buffers seen, by name.
        metric: Measured with them on the whole val split.
        epochs: Epochs trained.
        steps: Updates made.
        best_epoch: Epoch after which the best metric was first seen, 0 for before the first.
        stopped: Why training ended before its time, None where it did not.
        improved: The metric is better than that of the model as it was given.
        repair: What the repair before any training did.
        given: Measured with the model as it was given.
        teacher: How the original was tuned before it taught, or why it was not; None where nothing was tried.
        divided: That memory did not do for whole batches; None where it did.
        overflow: How many steps were skipped in float16; None where none was.
        rate: The learning rate that trials found; None where none were made.
        temperature: That which was found for class logits; 0 where it is the usual one, or was said.
    """

    state_dict: dict[str, Tensor]
    metric: Metric
    epochs: int
    steps: int
    best_epoch: int
    stopped: Message | None = None
    improved: bool = False
    repair: RepairResult = field(default_factory=RepairResult)
    given: Metric | None = None
    teacher: Message | None = None
    divided: Message | None = None
    overflow: Message | None = None
    rate: FoundRate | None = None
    temperature: float = 0.0

    @property
    def messages(self) -> tuple[Message, ...]:
        """For a person: what was done before any training, how batches ran, which steps counted."""
        template = "Temperature {temperature}, found by how confident the teacher is on the training data."
        fields = {"temperature": f"{self.temperature:.3g}"}
        temperature = Message("recovery.temperature_found", template, fields) if self.temperature else None
        rate = None if self.rate is None else self.rate.message
        others = (one for one in (self.teacher, self.divided, self.overflow, temperature, rate) if one is not None)
        return (*others, *self.repair.messages)


def better_weights(best: Recovered | None, training: Training, epoch: int) -> Job[Recovered]:
    """The better one of the best so far and the student as it stands; of equal ones the student's weights."""
    copy, step = training.student, training.step
    device = training.whole_device if training.division is None else training.device
    with modes_kept(copy), placed(device, copy), training.given_back():
        copy.eval()
        job = evaluate_on(training.task, copy, Split.VAL, training.token, device=device, limit=training.passes)
        metric = (yield from job).measured_now()
        shown = Message("progress.measured", "Measured {metric}", {"metric": metric.name})
        yield Progress(shown, step, 0, {"step": float(step), "metric": metric.value})
        if best is not None and not _as_good(metric, best.metric):
            return best
        state = training.weights()
    same = best is not None and metric.value == best.metric.value
    since = best.best_epoch if best is not None and same else epoch
    improved = best is not None and (best.improved or not same)
    repair = RepairResult() if best is None else best.repair
    given = metric if best is None else best.given
    return Recovered(state, metric, epoch, step, since, improved=improved, repair=repair, given=given)


def _as_good(metric: Metric, other: Metric) -> bool:
    if math.isnan(metric.value) or math.isnan(other.value):
        return math.isnan(other.value)
    return metric.value >= other.value if metric.higher_is_better else metric.value <= other.value
