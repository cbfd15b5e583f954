"""The protocol of criteria: plain facts for the window, and a function that rates structures.

A criterion is one file with one `Criterion` value and one line in `criteria.py`. Nothing here imports torch, so the
window can list criteria.
"""

from collections.abc import Callable, Mapping, MutableMapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..distributed import ALONE, Group
from ..errors import Message
from ..inference.batch_parts import PassLimit
from ..jobs import CancelToken, Job, Progress
from ..messages import Phrase
from ..planning.protocol import Ranking
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.transition import KeptIndices
from ..tasks.protocol import Task
from .score_options import Choices, Combine, Normalise, Slices
from .weight_slices import WeightSlices

Scores = NDArray[np.float64]
REPORTED_AT = (4, 2)
"""One over the share of the way after which preliminary scores are reported, for display and never for a decision."""
FEWEST_STEPS = 8
"""Of a job that reports any on the way."""


class Needs(StrEnum):
    """What a criterion needs besides the model: nothing, data to run it on, or data and a loss."""

    NOTHING = "nothing"
    DATA = "data"
    LOSS = "loss"


@dataclass(frozen=True, slots=True)
class ScoringContext:
    """What is known before a score is asked for: plain data, so that the window can list what is available.

    Attributes:
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        batches: Batches in each split, where they are known; None without a task.
        batch: Samples in a batch.
        loss: Whether the task has a loss.
    """

    analysis: Analysis
    removed: Mask
    batches: Mapping[str, int] | None = None
    batch: int = 1
    loss: bool = True


@dataclass(frozen=True, slots=True)
class PassCost:
    """What a score costs at most.

    Attributes:
        forwards: Forward passes.
        backwards: Backward passes, as many or none.
        samples: Whether a pass is of a single sample; else it is of a batch.
    """

    forwards: int = 0
    backwards: int = 0
    samples: bool = False

    @property
    def message(self) -> Message:
        """The cost in words."""
        if not self.forwards:
            return Message("cost.weights", "Reads only the weights; needs no data.")
        of = Message("cost.sample", "sample") if self.samples else Message("cost.batch", "batch")
        arguments = {"passes": f"{self.forwards:,}", "of": of}
        if not self.backwards:
            return Message("cost.forwards", "At most {passes} forward passes of one {of} each.", arguments)
        return Message("cost.backwards", "At most {passes} forward and backward passes of one {of} each.", arguments)


@dataclass(frozen=True, slots=True)
class RatedModel:
    """A model that is rated, in its present state.

    Attributes:
        model: The `torch.nn.Module`; its tensors may be smaller than the original's.
        analysis: Of the original model.
        removed: [S] what the model no longer has.
        kept: `analysis.kept_indices(removed)`.
        parameters: Canonical name -> the `torch.nn.Parameter` that the model still has; further uses of tied ones stand
            under their own names, as copies where data is measured (`tied_weights.py`).
        slices: The slices of weights that count.
        combine: How they are combined.
        task: What the model is for; never None for a criterion that needs data.
        choices: As they were made.
        seed: Of what is random.
        known: Structure -> what was measured before; what is measured now is added.
        made: Name of a parameter -> the weight that a layer computes from it (`reparametrised_weights.py`).
        group: The processes that rate together, where the criterion can (`Criterion.parallel`).
        limit: How many samples go through the model at a time.
        remarks: Gets what a person should know of the scores.
    """

    model: Any
    analysis: Analysis
    removed: Mask
    kept: KeptIndices
    parameters: dict[str, Any]
    slices: WeightSlices
    combine: Combine
    task: Task | None
    choices: Choices
    seed: int
    known: MutableMapping[int, float]
    made: Mapping[str, Any] = field(default_factory=dict[str, Any])
    group: Group = ALONE
    limit: PassLimit = field(default_factory=PassLimit)
    remarks: list[Message] = field(default_factory=list[Message])


RateFunction = Callable[[RatedModel, CancelToken], Job[Scores]]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A rule that rates structures; higher is more important.

    Attributes:
        name: Stable name, in recipes and on the command line.
        title: What a person reads.
        formula: In words and signs, w a weight, g its gradient.
        paper: Where it comes from.
        needs: What it needs.
        rate: Job that returns [S] scores; NaN where a structure has none. A block without one gets the mean of what it
            holds. On the way it may report `PartialScores`, raw ones.
        slices: Which slices count by default; None where that is no choice.
        combine: How they are combined by default; None where that is no choice.
        normalise: How the scores of a set are normalised by default.
        ranking: What its scores compare over.
        kinds: Kinds of structures that it rates, () for all.
        missing: Why a model cannot be rated, None where it can.
        watches: It looks at operators beneath the modules: on a device with other ones it runs on the CPU.
        cost: What it costs.
        parallel: Several processes can divide the data among them (`RatedModel.group`).
    """

    name: str
    title: str
    formula: str
    paper: str
    needs: Needs
    rate: RateFunction
    slices: Slices | None = None
    combine: Combine | None = None
    normalise: Normalise = Normalise.NONE
    ranking: Ranking = Ranking.SHAPES
    kinds: tuple[Kind, ...] = ()
    missing: Callable[[ScoringContext], Message | None] = lambda context: None
    watches: bool = False
    cost: Callable[[ScoringContext, Choices], PassCost] = lambda context, choices: PassCost()
    parallel: bool = False

    @property
    def needs_data(self) -> bool:
        """Whether it needs a task with data."""
        return self.needs is not Needs.NOTHING

    @property
    def reads_weights(self) -> bool:
        """Whether weights or their gradients make its scores."""
        return self.slices is not None or self.needs is Needs.LOSS


def no_loss(criterion: Phrase) -> Message:
    """Why a criterion that needs a loss is not available."""
    return Message(
        "scoring.no_loss",
        "{title} needs a loss, and this task has none. Add a loss to the task, or choose another criterion.",
        {"title": criterion},
    )


class Step(StrEnum):
    """What is looked at one after the other."""

    BATCHES = "batches"
    SAMPLES = "samples"
    LAYERS = "layers"


@dataclass(frozen=True, slots=True, eq=False)
class PartialScores:
    """Preliminary scores from a part of the data.

    Attributes:
        scores: [S] as the final ones, of what was looked at.
        done: How much was.
        total: How much will be.
        step: Of what.
    """

    scores: Scores
    done: int
    total: int
    step: Step


def with_partial_scores(progress: Progress, scores: Callable[[], Scores], step: Step = Step.BATCHES) -> Progress:
    """The progress of a rating; at a quarter and at half of the way with its raw scores so far."""
    due = progress.total >= FEWEST_STEPS and progress.done in [progress.total // part for part in REPORTED_AT]
    return replace(progress, so_far=PartialScores(scores(), progress.done, progress.total, step)) if due else progress


def finished_scores(job: Job[Scores], finish: Callable[[Scores], Scores]) -> Job[Scores]:
    """A rating whose raw scores are finished, those of the way too."""
    with closing(job):
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                return finish(stop.value)
            partial: PartialScores | None = progress.so_far
            if partial is not None:
                progress = replace(progress, so_far=replace(partial, scores=finish(partial.scores)))
            yield progress
