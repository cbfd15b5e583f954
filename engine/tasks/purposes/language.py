"""Language modelling: cross entropy of the right token at every position that asks for one, and its perplexity.

The data says which token is right where (the next one, or the one that was hidden), so that both kinds are one purpose.
"""

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import TaskError
from ...inference.model_inputs import Inputs
from ..data import Data
from ..model_outputs import described_type, main_output
from ..predictions import PredictionKind, Predictions
from ..protocol import NOT_ASKED
from .protocol import Purpose, Rows


def _check(_data: Data) -> int:
    return 0


def _logits(outputs: Any) -> torch.Tensor:
    """[N, T, vocabulary]."""
    found = main_output(outputs)
    if not isinstance(found, torch.Tensor) or found.ndim != 3:
        template = (
            "Model output is {given}; language modelling expects [N, tokens, vocabulary]. Choose another purpose, or "
            "describe the task in a task.py."
        )
        raise TaskError("language.outputs", template, given=described_type(found))
    return found


def _answer(outputs: Any, _inputs: Inputs) -> torch.Tensor:
    """The most likely tokens [N, T]."""
    return _logits(outputs).argmax(2)


def _losses(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
    """Negative log likelihoods [N, T], 0 where nothing is asked."""
    logits = _logits(outputs)
    highest = int(targets.max())
    if logits.shape[:2] != targets.shape or highest >= logits.shape[2]:
        template = (
            "The text has {shape} tokens with ids up to {highest}, but the model output is {given}. Choose the "
            "tokenizer that belongs to the model."
        )
        shapes: dict[str, Any] = {"shape": list(targets.shape), "given": list(logits.shape)}
        raise TaskError("language.vocabulary", template, highest=highest, **shapes)
    flat = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NOT_ASKED, reduction="none")
    return flat.reshape(targets.shape)


def _asked(targets: torch.Tensor) -> torch.Tensor:
    """Positions [N, T] at which something is asked."""
    return targets != NOT_ASKED


def _loss(outputs: Any, _inputs: Inputs, targets: torch.Tensor) -> torch.Tensor:
    return _losses(outputs, targets).sum() / _asked(targets).sum().clamp_min(1)


def _rows(outputs: Any, _inputs: Inputs, targets: torch.Tensor) -> Rows:
    """[N, 2]: the sum of the losses of a sequence, and how many tokens they are of."""
    sums = _losses(outputs, targets).detach().double().sum(1).cpu().numpy()
    if not np.isfinite(sums).all():
        template = "The likelihood of some tokens is NaN or infinity. Check the model and its tokenizer."
        raise TaskError("task.likelihood_not_finite", template)
    return np.stack([sums, _asked(targets).sum(1).cpu().numpy()], 1)


def _predictions(rows: Rows) -> Predictions:
    return Predictions(PredictionKind.TOKENS, {"loss": rows[:, 0], "tokens": rows[:, 1].astype(np.int32)})


def _perplexity(rows: Rows) -> float:
    total, tokens = rows.sum(0)
    return math.exp(min(total / max(tokens, 1), 700.0))  # what a float can hold


def _tokens(rows: Rows) -> int:
    return int(rows[:, 1].sum())


PURPOSE = Purpose(
    metric="perplexity",
    agreement="perplexity of what the original says",
    check=_check,
    answer=_answer,
    loss=_loss,
    rows=_rows,
    statistic=_perplexity,
    count=_tokens,
    predictions=_predictions,
    counts=lambda _inputs, targets: _asked(targets),
    logits=True,
    higher_is_better=False,
)
