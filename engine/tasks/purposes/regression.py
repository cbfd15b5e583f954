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
from ..protocol import Split
from .protocol import Purpose, Rows


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
    """[N, 1]: squared error, averaged over the values of a sample."""
    answers, wanted = _pair(outputs, inputs, targets)
    return (require_finite(answers).cpu().double() - wanted.cpu().double()).square().mean(1, keepdim=True).numpy()


def _root(rows: Rows) -> float:
    return math.sqrt(rows.mean())


PURPOSE = Purpose(
    metric="RMSE",
    agreement="RMSE to the original",
    check=_check,
    answer=_answer,
    loss=_loss,
    rows=_rows,
    statistic=_root,
    higher_is_better=False,
)
