"""Predicts the result of a recovery from a benchmark of the same kind of model and data. Loads no torch.

The points are in `benchmark_results.json`, which `python -m tests.benchmarks.choose --expectations` writes from kept
results. Each names the cell of the benchmark that it comes from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from ..errors import Message
from ..messages import Phrase, title
from ..storage.serialization import from_json
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs
from .protocol import RecoverySettings, Repair

RESULTS = "benchmark_results.json"


class Family(StrEnum):
    """Models that behave alike when they are cut."""

    CONVOLUTIONAL = "convolutional network"
    TRANSFORMER = "transformer"
    LANGUAGE = "language model"


@dataclass(frozen=True, slots=True)
class BenchmarkPoint:
    """One cell of a benchmark.

    Attributes:
        family: Of the model.
        subject: Model and data in words.
        parameters: Of the model before the cut.
        classes: Of the data, 0 where it has none.
        kept: Share of the MACs that was kept.
        metric: What it was evaluated by.
        percent: Whether that is a fraction, shown as per cent.
        original: The metric before the cut.
        cut: Right after it.
        recovered: After the recovery.
        epochs: Of it, 0 for a repair without training.
        how: In words.
        source: The benchmark and its cell.
    """

    family: Family
    subject: str
    parameters: int
    classes: int
    kept: float
    metric: str
    percent: bool
    original: float
    cut: float
    recovered: float
    epochs: int
    how: str
    source: str


@cache
def benchmark_points() -> tuple[BenchmarkPoint, ...]:
    """All points, in the order of the file."""
    data = resources.files(__package__ or "").joinpath(RESULTS).read_bytes()
    return from_json(data, tuple[BenchmarkPoint, ...])


FAR = 0.15
"""Difference in the share of the MACs up to which cuts are alike."""
SIZE, CLASSES = 4.0, 2.0
"""Ratio of parameters, and of classes, up to which models are alike."""
LOW = 0.5
"""Below this share of the original's metric, the message adds that such values are normal right after a cut."""


@dataclass(frozen=True, slots=True)
class CutModel:
    """What of a model, its data and its cut decides which benchmarks are alike.

    Attributes:
        family: Of the model, None where no benchmark has its kind.
        kept: Share of the original's MACs.
        parameters: Of the original.
        metric: What the task's metric is called.
        classes: Of the data, 0 where it has none.
    """

    family: Family | None
    kept: float
    parameters: int
    metric: str
    classes: int


def cut_model(analysis: Analysis, removed: Mask, metric: str, classes: int) -> CutModel:
    """The same from the analysis of the original and [S] what the cut model lacks."""
    whole = costs(analysis)
    kept = costs(analysis, removed).macs / max(whole.macs, 1)
    return CutModel(family_of(analysis, metric), kept, whole.parameters, metric, classes)


def expectation(
    model: CutModel, settings: RecoverySettings, points: Sequence[BenchmarkPoint] | None = None
) -> Message | None:
    """A message to show before a recovery; None where no benchmark is alike.

    That takes the same family and metric, a similar number of parameters and classes, a similar share of the MACs, and
    training or least squares as in the benchmark. How many epochs fit into some minutes is the machine's, and
    benchmarks count epochs, so of minutes nothing is said.

    Args:
        model: What is recovered.
        settings: How.
        points: What was measured; None for the points of our own benchmarks.
    """
    trained = settings.trains
    repaired = settings.repairs is Repair.LEAST_SQUARES and settings.distilling is None
    if settings.passes is None or not (trained or repaired):
        return None
    alike = [
        one
        for one in (benchmark_points() if points is None else points)
        if (one.epochs > 0) == trained
        and one.family is model.family
        and model.metric.startswith(one.metric)
        and abs(one.kept - model.kept) <= FAR
        and _factor(one.parameters, model.parameters) <= SIZE
        and _factor(one.classes, model.classes) <= CLASSES
    ]
    if not alike:
        return None

    def distance(one: BenchmarkPoint) -> float:
        """By the share kept and, between equal ones, by epochs and size."""
        budget = abs(math.log2(max(one.epochs, 1) / max(settings.epochs, 1)))
        return abs(one.kept - model.kept) + 0.02 * (budget + math.log2(_factor(one.parameters, model.parameters)))

    nearest = min(alike, key=distance)
    values = (nearest.original, nearest.cut, nearest.recovered)
    original, cut, recovered = (f"{100 * v:.1f} %" if nearest.percent else f"{v:.3g}" for v in values)
    fields: dict[str, Phrase] = {
        "kept": f"{100 * model.kept:.0f} %",
        "its": f"{100 * nearest.kept:.0f} %",
        "original": original,
        "cut": cut,
        "recovered": recovered,
        "subject": nearest.subject,
        "metric": nearest.metric,
        "how": title(nearest.how),
    }
    seen = Message(
        "recovery.expect",
        "What to expect with {kept} of the MACs kept: in our nearest benchmark ({subject}, {its} kept), {metric} went "
        "from {original} to {cut} with the cut and was {recovered} after {how}.",
        fields,
    )
    if not (nearest.percent and nearest.cut < LOW * nearest.original):
        return seen
    template = "{seen} Values this low before fine-tuning are normal."
    return Message("recovery.expect_low", template, {"seen": seen})


def family_of(analysis: Analysis, metric: str) -> Family | None:
    """The family of benchmarks that a model belongs to, by its structures and its metric."""
    kinds = {one.kind for one in analysis.sets}
    if metric.startswith("perplexity"):
        return Family.LANGUAGE
    if kinds & {Kind.HEAD, Kind.KV_GROUP}:
        return Family.TRANSFORMER
    return Family.CONVOLUTIONAL if Kind.FILTER in kinds else None


def _factor(one: int, other: int) -> float:
    """How many times as large the larger number is; 1 where both are 0."""
    return max(one, other, 1) / max(min(one, other), 1) if bool(one) == bool(other) else math.inf
