"""What a model said of each sample of a split, as plain arrays that are kept with the metric made of them.

A purpose makes them of the rows that its metric is computed from (`purposes/protocol.py`), the session keeps them
(`session/prediction_store.py`) and `inspection/changes.py` compares two of them. Loads no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job
from .protocol import Metric, Split


class PredictionKind(StrEnum):
    """What is known of each sample; the names of the columns [N] that each kind has stand behind it.

    CLASSES: "target" and "predicted" (class numbers), "confidence" (probability of the predicted class),
        "true_confidence" (of the right one), "loss" (cross entropy in nats).
    NUMBERS: "loss" (squared error); of a single number a sample "target" and "predicted" too.
    TOKENS: "loss" (sum over the tokens of a sequence, in nats) and "tokens" (how many those are).
    OVERLAPS: "intersection" and "union" [N, C], pixels of each class.
    VALUES: "value", of which the metric is made.
    """

    CLASSES = "classes"
    NUMBERS = "numbers"
    TOKENS = "tokens"
    OVERLAPS = "overlaps"
    VALUES = "values"


REQUIRED = {
    PredictionKind.CLASSES: frozenset({"target", "predicted", "confidence", "true_confidence", "loss"}),
    PredictionKind.NUMBERS: frozenset({"loss"}),
    PredictionKind.TOKENS: frozenset({"loss", "tokens"}),
    PredictionKind.OVERLAPS: frozenset({"intersection", "union"}),
    PredictionKind.VALUES: frozenset({"value"}),
}
"""Columns that each kind always has."""
IDENTITY = "identity"
"""A column [N] uint64 that says which sample each row is of, where the task gives its samples no fixed order."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model said of each sample of a split, in the order of the split.

    Attributes:
        kind: Says which columns there are.
        columns: Arrays [N] or [N, C] by name. Without `IDENTITY` row n is sample n of the split.
        classes: Names of the classes, may be empty.
    """

    kind: PredictionKind
    columns: Mapping[str, NDArray[Any]]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where columns are missing, or are not of the same samples."""
        missing = REQUIRED[self.kind] - self.columns.keys()
        if missing or len({len(column) for column in self.columns.values()}) != 1:
            raise ValueError(f"columns {sorted(self.columns)} do not make {self.kind}")

    def __len__(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column by its name."""
        return self.columns[name]

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self.columns.values())

    def taken(self, rows: NDArray[np.int64]) -> "Predictions":
        """Those of some samples, in their order."""
        return replace(self, columns={name: column[rows] for name, column in self.columns.items()})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A metric, with the predictions that it was computed from.

    Attributes:
        metric: The metric.
        predictions: None where the task knows nothing of single samples.
    """

    metric: Metric
    predictions: Predictions | None = None


@runtime_checkable
class SampledTask(Protocol):
    """A task that can say what a model predicts for each sample."""

    def evaluate_samples(
        self,
        predict: Any,
        split: Split,
        token: CancelToken,
        asked: bool = False,
        only: NDArray[np.int64] | None = None,
    ) -> Job[Evaluation]:
        """As `Task.evaluate`, with the predictions.

        Args:
            predict: What is called as the model is.
            split: What is evaluated on.
            token: Cancels.
            asked: The predictions are wanted also where they take a further pass over the split.
            only: The rows of the split to evaluate, ascending; row n of the predictions is then the n-th of them. None
                for all, and ignored by a task whose samples have no fixed order.
        """
        ...
