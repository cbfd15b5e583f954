"""Classification: cross entropy and top-1, with its binomial standard error."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import TaskError
from ...inference.model_inputs import Inputs
from ..data import Data, all_rows
from ..model_outputs import logits, require_finite
from ..protocol import Split
from .protocol import Purpose, Rows


def _check(data: Data) -> int:
    """As many classes as the names or the highest label say."""
    highest = -1
    for split in Split if data.labelled else ():
        labels = data.targets(split, all_rows(data, split))
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            template = (
                "Labels of the {split} split must be class numbers: integers from 0. For other numbers choose the "
                "purpose regression."
            )
            raise TaskError("task.labels", template, split=split.value)
        highest = max(highest, int(labels.max()))
    return max(len(data.classes), highest + 1)


def _answer(outputs: Any, _inputs: Inputs) -> torch.Tensor:
    """Class numbers [N]."""
    return logits(outputs).argmax(1)


def _loss(outputs: Any, _inputs: Inputs, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits(outputs), targets)


def top1_rows(outputs: Any, _inputs: Inputs, targets: torch.Tensor) -> Rows:
    """[N, 1]: 1 where the largest logit is at the right class."""
    right = require_finite(logits(outputs)).argmax(1).cpu() == targets.cpu()
    return right.double().numpy()[:, None]


def _mean(rows: Rows) -> float:
    return float(rows.mean())


def _binomial(rows: Rows) -> float:
    share = _mean(rows)
    return math.sqrt(share * (1 - share) / len(rows))


PURPOSE = Purpose(
    metric="top-1",
    agreement="agreement",
    check=_check,
    answer=_answer,
    loss=_loss,
    rows=top1_rows,
    statistic=_mean,
    error=_binomial,
    logits=True,
    percent=True,
)
