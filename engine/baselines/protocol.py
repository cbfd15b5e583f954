"""Baselines as plain data, and the protocol of their rules. Loads no torch.

A baseline is one file with one `BaselineRule` value and one line in `table.py`. Its model is compared with a state of
the session: measured on the same data and the same target, and trained with the same recovery.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import Message
from ..foreign_code.consent import NO_CONSENT, Consent
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken, Job
from ..machine.devices import CPU
from ..options import Option
from ..planning.protocol import Goal
from ..recovery.budget import Budget, Unit
from ..recovery.protocol import RecoverySettings
from ..sources.protocol import ModelSpec, change_source
from ..storage.paths import Change
from ..structures.analysis import Analysis, Mask
from ..surgery.cut.edits import Edits
from ..targets.protocol import Timing
from ..tasks.protocol import Metric, Task

if TYPE_CHECKING:
    from ..recovery.checkpoint import Checkpoint

LIBRARIES = ("torchvision:", "timm:")
"""Beginnings of the sources whose families `stock.py` knows."""


class BaselineKind(StrEnum):
    """What a state is compared with."""

    RANDOM = "random"
    SCRATCH = "scratch"
    STOCK = "stock"
    MAGNITUDE = "magnitude"
    UNCUT = "uncut"


@dataclass(frozen=True, slots=True)
class BaselineSpec:
    """A baseline that is asked for; plain data for recipes.

    Attributes:
        kind: Which.
        epochs: Of its training (random removal: of each recovery); None for as many as the state had on its way, or
            for what `RecoverySettings` has where it was not trained.
        seed: Of what is random: draws, fresh weights, the order of the data.
        source: Of a stock model: what to open (`ModelSpec.source`), "" to look for one of the same family.
        weights: Of a stock model: a checkpoint to begin with, "" for the source's own or random ones.
    """

    kind: Annotated[BaselineKind, Option(title="Kind", help="one of them", automatic="all", in_dialog=False)]
    epochs: Annotated[
        int | None,
        Option(
            title="Epochs each",
            help="of each baseline's training; for random removal, of each recovery",
            minimum=0,
            dialog_maximum=500,
            automatic="as many as the state was recovered for",
        ),
    ] = None
    seed: Annotated[
        int,
        Option(
            title="Seed",
            help="of what is random: removal, new weights, the order of the data",
            details="Each seed adds its own points.",
            minimum=0,
            dialog_maximum=9999,
        ),
    ] = 0
    source: Annotated[
        str,
        Option(
            title="Stock model",
            help="the stock model: torchvision:NAME, timm:NAME or path/to/file.py:callable",
            automatic="of the same family",
            hint="torchvision:resnet18, or net.py:make",
            flag="--stock",
            metavar="MODEL",
        ),
    ] = ""
    weights: Annotated[
        str,
        Option(
            title="Stock checkpoint",
            help="checkpoint that the stock model begins with",
            hint="empty: published weights, or random ones",
            flag="--stock-weights",
            metavar="FILE",
        ),
    ] = ""


def change_baseline(spec: BaselineSpec, change: Change) -> BaselineSpec:
    """A baseline that is asked for, with the paths of a stock model changed."""
    return replace(
        spec, source=change_source(spec.source, change), weights=change(spec.weights) if spec.weights else ""
    )


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline that was made; its weights are stored with those of the states.

    Attributes:
        id: Name in this session ("b0").
        against: Id of the state that it is compared with.
        asked: What was asked for.
        title: For a person ("resnet18", "random removal").
        weights: sha256 of the safetensors file in the store.
        parameters: That are not zero.
        macs: That are computed for one sample; zeros are computed too.
        epochs: Passes over the train split that it was trained for at most.
        metric: On the test split.
        timings: Measured latencies.
        removed: Structures removed from the original, by set key, original indices.
        edits: Repairs of the cut.
        source: What was opened, of a stock model.
        seal: Vouches for the Python file of that source, see `sources.consent`.
        notes: What to know when comparing, in words.
    """

    id: str
    against: str
    asked: BaselineSpec
    title: str
    weights: str
    parameters: int
    macs: int
    epochs: int
    metric: Metric
    timings: tuple[Timing, ...] = ()
    removed: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    edits: Edits = field(default_factory=Edits)
    source: ModelSpec | None = None
    seal: str = ""
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class PruningRound:
    """A cut on the way to a state, and how it was recovered.

    Attributes:
        goal: What its plan was to reach; where a hand or a latency made it, the MACs that it came to.
        locked: [S] what was not to be removed.
        recoveries: Settings of what followed it, () where nothing was recovered.
    """

    goal: Goal
    locked: Mask
    recoveries: tuple[RecoverySettings, ...] = ()


@dataclass(frozen=True, slots=True)
class ComparedState:
    """A state to compare with, and what it came from, in the engine's process.

    Attributes:
        original: The `torch.nn.Module` it was cut from, the teacher; left as it is.
        factory: Makes a module of the original's class and shape.
        model: The state's module; left as it is.
        spec: How the original was opened.
        analysis: Of the original.
        inputs: Example inputs.
        task: What evaluates and trains.
        removed: [S] what the state lacks.
        edits: Its repairs.
        rounds: How it came about.
        parameters: Of the state.
        macs: Of the state, one sample.
        device: Where to train and evaluate.
        consent: What of foreign code a stock model may run.
        resumed: Gives the checkpoint for a training of a model with these settings; None for none.
    """

    original: Any
    factory: Callable[[], Any]
    model: Any
    spec: ModelSpec
    analysis: Analysis
    inputs: Inputs
    task: Task
    removed: Mask
    edits: Edits
    rounds: tuple[PruningRound, ...]
    parameters: int
    macs: int
    device: str = CPU
    consent: Consent = NO_CONSENT
    resumed: "Callable[[Any, RecoverySettings], Checkpoint | None]" = lambda model, settings: None

    def recovery(self, asked: BaselineSpec) -> RecoverySettings:
        """The state's own recovery, with the training of all rounds or as many epochs as asked for, by another seed."""
        given = [settings for one in self.rounds for settings in one.recoveries]
        last = given[-1] if given else RecoverySettings()
        epochs = (self.trained or RecoverySettings().epochs) if asked.epochs is None else asked.epochs
        budget, budgets = Budget(Unit.EPOCHS, epochs), [one.budget for one in given if one.trains]
        if asked.epochs is None and len({one.unit for one in budgets}) == 1:
            budget = Budget(budgets[0].unit, sum(one.amount for one in budgets))
        return replace(last, epochs=epochs, seed=last.seed + asked.seed).within(budget)

    def recovery_of_trained(self, asked: BaselineSpec) -> RecoverySettings | None:
        """The same for weights that were trained before; None where neither the state was recovered nor anybody asked.

        A state that was only repaired stands beside weights that are only repaired.
        """
        if asked.epochs is None and not any(one.recoveries for one in self.rounds):
            return None
        settings = self.recovery(asked)
        return settings if asked.epochs is not None or self.trained else settings.within(Budget(Unit.EPOCHS, 0))

    @property
    def trained(self) -> int:
        """Epochs on the way to the state, 0 where it was cut and at most repaired."""
        return sum(settings.epochs for one in self.rounds for settings in one.recoveries if settings.trains)


@dataclass(frozen=True, slots=True)
class BaselineModel:
    """A model that a rule made and trained.

    Attributes:
        model: The `torch.nn.Module`, in eval mode.
        title: For a person.
        parameters: That are not zero.
        macs: One sample's.
        epochs: Passes over the train split at most.
        removed: [S] what it lacks of the original, None for a model of its own.
        edits: Its repairs.
        source: What was opened, of a model of its own.
        notes: What to know when comparing.
    """

    model: Any
    title: str
    parameters: int
    macs: int
    epochs: int
    removed: Mask | None = None
    edits: Edits = field(default_factory=Edits)
    source: ModelSpec | None = None
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class BaselineRule:
    """How a baseline is made.

    Attributes:
        kind: Which.
        title: For a person.
        question: What it answers, a sentence.
        make: Job that makes and trains it; raises SecateurError where it cannot be.
    """

    kind: BaselineKind
    title: str
    question: str
    make: Callable[[ComparedState, BaselineSpec, CancelToken], Job[BaselineModel]]
