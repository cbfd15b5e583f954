"""What a recovery gives: weights, metric, what was repaired and found on the way, with messages for a person."""

from dataclasses import dataclass, field

from torch import Tensor

from ..errors import Message
from ..tasks.protocol import Metric

SPELLED_OUT = 4
"""Layers that are named where several were left for the same reason."""

NO_DATA = Message("repair.no_data", "No calibration sample reached it. Add data that does.")
TOO_FEW = Message("repair.too_few", "Too few calibration samples reached it. Add data.")
DERIVED = Message("repair.derived", "Its weight is computed from other parameters. Fine-tune instead.")
MIXED = Message("repair.mixed", "Its weight is also used transposed, or as an embedding. Fine-tune instead.")
TRAINED = Message("repair.trained", "It was trained since the cut. Repair before training.")
TOO_LARGE = Message("repair.too_large", "It has too many inputs. Fine-tune instead.")
NO_BIAS = Message("repair.no_bias", "It has no bias that can be repaired on its own. Choose least squares.")
NO_VIEW = Message("repair.no_view", "Its weight is read in another form. Fine-tune instead.")
NO_NUMBERS = Message("repair.no_numbers", "Its calibration inputs contain NaN or infinity. Check the data.")
NO_GAIN = Message("repair.no_gain", "The plain cut was better on calibration data that was held out.")
INDEPENDENT = Message(
    "repair.independent",
    "Each layer was repaired independently, on the original's inputs: better on the val split than layers in sequence.",
)
UNUSED = Message("repair.unused", "The repaired model was worse on the val split. The cut is kept as it was.")

REASONS = {
    one.code: one
    for one in (NO_DATA, TOO_FEW, DERIVED, MIXED, TRAINED, TOO_LARGE, NO_BIAS, NO_VIEW, NO_NUMBERS, NO_GAIN)
}
"""Why a layer was not repaired, by code."""


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What a repair did.

    Attributes:
        repaired: Names of the weights that were repaired, in the order in which they run.
        left: (name, why) of the other weights that lost inputs.
        used: The repaired model was kept: it was no worse on the val split.
        independent: Each layer was repaired on the original's inputs, not on what the cut model gives it.
    """

    repaired: tuple[str, ...] = ()
    left: tuple[tuple[str, Message], ...] = ()
    used: bool = True
    independent: bool = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """For a person: how many of how many, and which were not, and why; none where no layer lost inputs."""
        total = len(self.repaired) + len(self.left)
        if not total:
            return ()
        fields = {"done": len(self.repaired), "total": total}
        said = [Message("repair.done", "{done} of {total} layers that lost inputs were repaired.", fields)]
        reasons: dict[str, tuple[Message, list[str]]] = {}
        for name, why in self.left:
            reasons.setdefault(str(why), (why, []))[1].append(name.removesuffix(".weight"))
        for why, names in reasons.values():
            fields = {"layers": ", ".join(names[:SPELLED_OUT]), "more": len(names) - SPELLED_OUT, "why": why}
            if len(names) > SPELLED_OUT:
                said.append(Message("repair.left_many", "Not repaired: {layers} and {more} more. {why}", fields))
            else:
                said.append(Message("repair.left", "Not repaired: {layers}. {why}", fields))
        return (*said, *(() if self.used else (UNUSED,)), *((INDEPENDENT,) if self.independent else ()))


@dataclass(frozen=True, slots=True)
class FoundRate:
    """What the trials found.

    Attributes:
        rate: Peak of the learning rate.
        steps: Updates that they took together.
    """

    rate: float
    steps: int

    @property
    def message(self) -> Message:
        """For a person."""
        template = "Learning rate {rate}, found by {steps} steps of trial."
        return Message("recovery.rate_found", template, {"rate": f"{self.rate:.3g}", "steps": self.steps})


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
        remeasured: That BatchNorm's statistics were measured again after training; None where they were not.
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
    remeasured: Message | None = None
    temperature: float = 0.0

    @property
    def messages(self) -> tuple[Message, ...]:
        """For a person: what was done before any training, how batches ran, which steps counted."""
        template = "Temperature {temperature}, found by how confident the teacher is on the training data."
        fields = {"temperature": f"{self.temperature:.3g}"}
        temperature = Message("recovery.temperature_found", template, fields) if self.temperature else None
        rate = None if self.rate is None else self.rate.message
        others = (self.teacher, self.divided, self.overflow, temperature, rate, self.remeasured)
        return (*(one for one in others if one is not None), *self.repair.messages)
