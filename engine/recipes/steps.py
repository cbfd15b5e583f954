"""The steps of a recipe as plain data: each with what was wanted (intent) and what came out (outcome); a run's result.

Loads no torch; read and written by `recipe.py`, run by `replay.py`.
"""

from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from ..baselines.protocol import BaselineSpec
from ..errors import Message
from ..export.protocol import Exported
from ..machine.devices import CPU
from ..recovery.protocol import RecoverySettings
from ..scoring.score_options import Choices
from ..session.states import MaskIntent, OpenedModel, PlanIntent, State
from ..sources.protocol import ModelSpec
from ..surgery.cut.edits import Verification
from ..tasks.protocol import Metric


class Numbers(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came out of a step.

    Attributes:
        parameters: Of the state after it.
        macs: Of the state after it, one sample.
        weights: sha256 of the state's weights in a session's store.
        metrics: Measured metrics.
        verification: Of a cut.
        removed: Of a plan: what it marked, by set key, original indices.
        exported: Of an export.
        widths: Of opening: structures of each coupled set, by set key.
        data: Of opening: names and sizes of the files of the data, as a hash; "" where there are none.
    """

    parameters: int = 0
    macs: int = 0
    weights: str = ""
    metrics: tuple[Metric, ...] = ()
    verification: Verification | None = None
    removed: dict[str, list[int]] = msgspec.field(default_factory=dict[str, list[int]])
    exported: Exported | None = None
    widths: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    data: str = ""


class OpenIntent(msgspec.Struct, frozen=True):
    """Open a model, with what the numbers depend on.

    Attributes:
        model: What to open, the task included.
        threads: torch threads.
        dtype: Of the weights.
        versions: Of what it was made with.
        device: Where it was trained.
    """

    model: ModelSpec
    threads: int = 1
    dtype: str = "float32"
    versions: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    device: str = CPU


class ScoreIntent(msgspec.Struct, frozen=True):
    """Rate structures by a criterion."""

    criterion: str
    seed: int = 0
    choices: Choices = Choices()


class ExportIntent(msgspec.Struct, frozen=True):
    """Write a file of a format."""

    format: str
    path: str


class AttachIntent(msgspec.Struct, frozen=True):
    """Take weights that were trained elsewhere."""

    weights: str


class Nothing(msgspec.Struct, frozen=True):
    """A step without choices."""


class Open(msgspec.Struct, frozen=True, tag_field="step", tag="open"):
    """The first step."""

    intent: OpenIntent
    outcome: Numbers = Numbers()


class Score(msgspec.Struct, frozen=True, tag_field="step", tag="score"):
    """Scores for the plan that follows."""

    intent: ScoreIntent
    outcome: Numbers = Numbers()


class Plan(msgspec.Struct, frozen=True, tag_field="step", tag="plan"):
    """Marks on top of what is gone; the outcome's costs are predicted."""

    intent: PlanIntent
    outcome: Numbers = Numbers()


class LearnMasks(msgspec.Struct, frozen=True, tag_field="step", tag="masks"):
    """Learned masks; the outcome's marks are what the cut that follows takes."""

    intent: MaskIntent
    outcome: Numbers = Numbers()


class Cut(msgspec.Struct, frozen=True, tag_field="step", tag="cut"):
    """The cut of the plan before."""

    intent: Nothing = Nothing()
    outcome: Numbers = Numbers()


class Recover(msgspec.Struct, frozen=True, tag_field="step", tag="recover"):
    """Fine-tuning."""

    intent: RecoverySettings
    outcome: Numbers = Numbers()


class Attach(msgspec.Struct, frozen=True, tag_field="step", tag="attach"):
    """Weights from elsewhere."""

    intent: AttachIntent
    outcome: Numbers = Numbers()


class Compare(msgspec.Struct, frozen=True, tag_field="step", tag="baseline"):
    """A baseline beside the state; the outcome's weights are its own."""

    intent: BaselineSpec
    outcome: Numbers = Numbers()


class Export(msgspec.Struct, frozen=True, tag_field="step", tag="export"):
    """A file."""

    intent: ExportIntent
    outcome: Numbers = Numbers()


Step: TypeAlias = Open | Score | Plan | LearnMasks | Cut | Recover | Attach | Export | Compare


class Recipe(msgspec.Struct, frozen=True):
    """Ordered steps; the first opens the model.

    Attributes:
        schema: Version of this format.
        steps: What to do, in order.
        seal: Vouches for the code that it names, see `sources.consent`.
    """

    schema: int
    steps: tuple[Step, ...]
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """What running a recipe gave.

    Attributes:
        opened: The model.
        states: The original and the states that the steps made, in order.
        exported: Files that were written.
        missing: Structures that the recipe names and the model no longer has, "key[index]".
        notes: What differs from when the recipe was made, in words.
        complete: False when marks that a hand made could not be made again, or steps were left out.
    """

    opened: OpenedModel
    states: tuple[State, ...]
    exported: tuple[Exported, ...]
    missing: tuple[str, ...]
    notes: tuple[Message, ...]
    complete: bool = True
