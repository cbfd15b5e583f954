"""Results of our own benchmarks: the metric after a cut and after its recovery.

They lie in `benchmark_results.json`, which `python -m tests.benchmarks.choose --expectations` writes from kept results.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from ..storage.serialization import from_json

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
        metric: What it was judged by.
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
