"""Regression of one or several numbers: squared error, and its root over all samples (RMSE)."""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import TaskError
from ...inference.model_inputs import Inputs
from ..data import Data, all_rows
from ..model_outputs import described_type, main_output, require_finite, widened
from ..predictions import PredictionKind, Predictions
from ..protocol import Split
from .protocol import Purpose, Rows, bootstrap_first


def _check(data: Data) -> int:
    for split in Split if data.labelled else ():
        targets = data.targets(split, all_rows(data, split))
        if not np.issubdtype(targets.dtype, np.number) or not np.isfinite(targets).all():
            template = (
                "Targets of the {split} split must be finite numbers. Fix cells that are missing, infinite or not "
                "numbers."
            )
            raise TaskError("regression.targets", template, split=split.value)
    return 0


def _answer(outputs: Any, _inputs: Inputs) -> torch.Tensor:
    """[N, K] numbers."""
    answers = main_output(outputs)
    if not isinstance(answers, torch.Tensor) or answers.ndim not in (1, 2):
        template = (
            "Model output is {given}; regression expects [N] or [N, values]. Choose another purpose, or describe the "
            "task in a task.py."
        )
        raise TaskError("regression.outputs", template, given=described_type(answers))
    return widened(answers).reshape(len(answers), -1)


def _pair(outputs: Any, inputs: Inputs, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers and targets, both [N, K]."""
    answers = _answer(outputs, inputs)
    wanted = targets.reshape(len(targets), -1).to(answers.dtype)
    if answers.shape != wanted.shape:
        template = (
            "The data has {targets} target numbers a sample, but the model has {outputs} outputs. Choose as many "
            "label columns as outputs."
        )
        raise TaskError("regression.width", template, targets=wanted.shape[1], outputs=answers.shape[1])
    return answers, wanted


def _loss(outputs: Any, inputs: Inputs, targets: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(*_pair(outputs, inputs, targets))


def _rows(outputs: Any, inputs: Inputs, targets: torch.Tensor) -> Rows:
    """[N, 1]: squared error, averaged over the values of a sample; [N, 3] with target and answer of a single value."""
    answers, wanted = (one.cpu().double() for one in _pair(outputs, inputs, targets))
    errors = (require_finite(answers) - wanted).square().mean(1, keepdim=True)
    return (torch.cat([errors, wanted, answers], 1) if answers.shape[1] == 1 else errors).detach().numpy()


def _predictions(rows: Rows) -> Predictions:
    names = ("loss", "target", "predicted")[: rows.shape[1]]
    return Predictions(PredictionKind.NUMBERS, {name: rows[:, place] for place, name in enumerate(names)})


def _root(rows: Rows) -> float:
    return math.sqrt(rows[:, 0].mean())


PURPOSE = Purpose(
    metric="RMSE",
    agreement="RMSE to the original",
    check=_check,
    answer=_answer,
    loss=_loss,
    rows=_rows,
    statistic=_root,
    replicates=bootstrap_first,
    predictions=_predictions,
    higher_is_better=False,
)
