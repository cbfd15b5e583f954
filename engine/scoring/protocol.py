"""What a criterion is: plain facts for the window, and one function that rates the structures of a model.

A criterion is one file with one `Criterion` value and one line in `criteria.py`. Nothing here imports torch, so the
window can list criteria.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jobs import CancelToken, Job
from ..structures.analysis import Analysis
from ..tasks.protocol import Task
from .aggregate import Places


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that is rated, as it stands now.

    Attributes:
        model: The `torch.nn.Module`; its tensors may be smaller than the original's.
        analysis: Of the original model.
        parameters: Canonical name -> the `torch.nn.Parameter` that the model still has.
        producers: Where the weights that compute the structures lie (output dimensions).
        consumers: Where the weights that read the structures lie (input dimensions).
        task: What the model is for; never None for a criterion with `needs_data`.
    """

    model: Any
    analysis: Analysis
    parameters: dict[str, Any]
    producers: Places
    consumers: Places
    task: Task | None


Rate = Callable[[Subject, CancelToken], Job[NDArray[np.float64]]]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A rule that rates structures; higher is more important.

    Attributes:
        name: Stable name, in recipes and on the command line.
        title: What a person reads.
        formula: In words and signs, w a weight, g its gradient.
        paper: Where it comes from.
        needs_data: Whether it needs a task with data and a loss.
        rate: Job that returns [S] scores; NaN (0/0) where a structure has no weight that counts.
    """

    name: str
    title: str
    formula: str
    paper: str
    needs_data: bool
    rate: Rate
