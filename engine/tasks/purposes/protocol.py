"""The protocol of purposes: a loss to train by, and a metric with its uncertainty.

A purpose turns a batch of answers into a row of numbers for each sample, and all the rows into one metric. The same
rows drawn again and again (a bootstrap) say how far the metric would vary with other samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ...inference.model_inputs import Inputs
from ..data import Data
from ..predictions import Predictions

Rows: TypeAlias = NDArray[Any]
"""[n, k]: k numbers of each sample, all that its part of the metric is made of; [n] objects where no k would do."""

DRAWS = 200
"""Bootstrap draws: the standard error is then known within about 5 %."""


def bootstrap(rows: Rows, statistic: Callable[[Rows], float]) -> NDArray[np.float64]:
    """[DRAWS] a statistic on as many samples drawn with replacement (Efron 1979), always by the same draws."""
    random = np.random.default_rng(0)
    return np.array([statistic(rows[random.integers(0, len(rows), len(rows))]) for _ in range(DRAWS)])


def bootstrap_first(rows: Rows, statistic: Callable[[Rows], float]) -> NDArray[np.float64]:
    """`bootstrap` for a metric that is made of the first column alone: the others are not drawn with it."""
    return bootstrap(rows[:, :1], statistic)


def written_replicates(replicates: NDArray[np.float64]) -> tuple[float, ...]:
    """Replicates as they are kept: six digits, enough for a difference of models; none where one is no number."""
    return tuple(float(f"{one:.6g}") for one in replicates) if np.isfinite(replicates).all() else ()


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a model is for.

    Attributes:
        metric: What the metric is called.
        agreement: What it is called where the original says what is right.
        check: Looks at the data once: how many classes the model needs, 0 for any; raises TaskError.
        answer: What outputs (and inputs) say, in the form of the targets.
        loss: Scalar loss of outputs, inputs and targets.
        rows: Rows of outputs, inputs and targets.
        statistic: The metric of all rows.
        replicates: The metric on samples drawn again, always by the same draws: their standard deviation is its
            standard error, and that of the differences between two models the standard error of the difference.
        error: Its standard error by a closed formula; None to take the replicates'.
        count: Its n.
        counts: Which positions count [N, T] of answers [N, T, values], by inputs and targets; None where answers have
            none, also as what it gives.
        logits: Answers [N, values] are logits, and no numbers that count by themselves.
        percent: Shown as per cent.
        higher_is_better: Direction.
        predictions: What of the rows is kept of each sample; None where that is nothing.
        together: The loss compares the samples of a batch with each other: one by itself has none.
    """

    metric: str
    agreement: str
    check: Callable[[Data], int]
    answer: Callable[[Any, Inputs], Any]
    loss: Callable[[Any, Inputs, Any], torch.Tensor]
    rows: Callable[[Any, Inputs, Any], Rows]
    statistic: Callable[[Rows], float]
    replicates: Callable[[Rows, Callable[[Rows], float]], NDArray[np.float64]] = bootstrap
    error: Callable[[Rows], float] | None = None
    count: Callable[[Rows], int] = len
    counts: Callable[[Inputs, Any], Any] | None = None
    logits: bool = False
    percent: bool = False
    higher_is_better: bool = True
    predictions: Callable[[Rows], Predictions] | None = None
    together: bool = False
