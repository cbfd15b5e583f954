"""Classification: cross entropy and top-1, with its binomial standard error."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import TaskError
from ...inference.model_inputs import Inputs
from ..data import Data, all_rows
from ..model_outputs import logits, require_finite, widened
from ..predictions import PredictionKind, Predictions
from ..protocol import Split
from .protocol import Purpose, Rows, bootstrap_first


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
    """[N, 6]: 1 where the largest logit is at the right class, then the columns of `PredictionKind.CLASSES`."""
    answers = require_finite(logits(outputs)).detach()
    wanted = targets.to(answers.device).long()
    # In 32 bits at least: the tail of a softmax in 16 bits is lost, and with it the loss.
    likelihoods = widened(answers).log_softmax(1)
    predicted = answers.argmax(1)
    own = likelihoods.gather(1, predicted[:, None])[:, 0]
    right = likelihoods.gather(1, wanted[:, None])[:, 0]
    columns = (predicted == wanted, wanted, predicted, own.exp(), right.exp(), -right)
    return torch.stack([column.double() for column in columns], 1).cpu().numpy()


def _predictions(rows: Rows) -> Predictions:
    names = {"target": np.int32, "predicted": np.int32}
    names |= dict.fromkeys(("confidence", "true_confidence", "loss"), np.float32)
    found = {name: rows[:, place].astype(kind) for place, (name, kind) in enumerate(names.items(), 1)}
    return Predictions(PredictionKind.CLASSES, found)


def _mean(rows: Rows) -> float:
    return float(rows[:, 0].mean())


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
    replicates=bootstrap_first,
    error=_binomial,
    predictions=_predictions,
    logits=True,
    percent=True,
)
