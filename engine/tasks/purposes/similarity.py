"""Similarity of sentences: Spearman's rank correlation between scores and the cosine of the two sentences' vectors.

The inputs are n first sentences and then their n second ones, [2n, T], so that the model runs once for both. A model
that answers with a vector a token, [2n, T, H], is averaged over the tokens (Reimers and Gurevych 2019).
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from scipy import stats
from torch.nn import functional as F

from ...errors import TaskError
from ...inference.model_inputs import MASK, Inputs
from ..data import Data
from ..model_outputs import described_type, main_output, require_finite, widened
from ..predictions import PredictionKind, Predictions
from .protocol import Purpose, Rows
from .regression import PURPOSE as REGRESSION


def _check(data: Data) -> int:
    return REGRESSION.check(data)


def _answer(outputs: Any, inputs: Inputs) -> torch.Tensor:
    """Cosines [n] of the pairs."""
    first, second = _vectors(outputs, inputs).chunk(2)
    if len(first) != len(second):
        template = "The model returned {count} vectors for pairs of sentences; expected one for each sentence."
        raise TaskError("similarity.count", template, count=len(first) + len(second))
    return F.cosine_similarity(first, second)


def _vectors(outputs: Any, inputs: Inputs) -> torch.Tensor:
    """[2n, H], one for each sentence."""
    named = dict(cast("Mapping[str, Any]", outputs)) if isinstance(outputs, Mapping) else dict[str, Any]()
    found = main_output(named.get("sentence_embedding", outputs))
    if not isinstance(found, torch.Tensor) or found.ndim not in (2, 3):
        template = (
            "Model output is {given}; similarity expects vectors of sentences [N, H] or of tokens [N, T, H]. Choose "
            "another purpose, or describe the task in a task.py."
        )
        raise TaskError("similarity.outputs", template, given=described_type(found))
    found = widened(found)
    if found.ndim == 2:
        return found
    mask = _mask(inputs)
    if mask is None:
        return found.mean(1)
    weights = mask.to(found)[:, :, None]
    return (found * weights).sum(1) / weights.sum(1).clamp_min(1)


def _mask(inputs: Inputs) -> torch.Tensor | None:
    return inputs.get(MASK) if isinstance(inputs, Mapping) else None


def _counts(inputs: Inputs, _targets: Any) -> torch.Tensor | None:
    """Tokens [2n, T] that there are."""
    mask = _mask(inputs)
    return None if mask is None else mask.bool()


def _loss(outputs: Any, inputs: Inputs, targets: torch.Tensor) -> torch.Tensor:
    """1 less Pearson's correlation within the batch: needs to know nothing of the scale of the scores."""
    cosines = _answer(outputs, inputs)
    centred = [one - one.mean() for one in (cosines, targets.to(cosines))]
    return 1 - F.cosine_similarity(*centred, dim=0)


def _rows(outputs: Any, inputs: Inputs, targets: torch.Tensor) -> Rows:
    """[n, 2]: cosine and score."""
    cosines = require_finite(_answer(outputs, inputs))
    return np.stack([one.cpu().double().numpy() for one in (cosines, targets)], 1)


def _predictions(rows: Rows) -> Predictions:
    return Predictions(PredictionKind.VALUES, {"value": rows[:, 0], "target": rows[:, 1]})


def _spearman(rows: Rows) -> float:
    """Correlation of the ranks; 0 where all are alike, because then nothing is ranked."""
    ranks = stats.rankdata(rows, axis=0)
    ranks -= ranks.mean(0)
    spread = float(np.sqrt(np.square(ranks).sum(0).prod()))
    return float(ranks.prod(1).sum() / spread) if spread else 0.0


PURPOSE = Purpose(
    metric="Spearman",
    agreement="Spearman with the original",
    check=_check,
    answer=_answer,
    loss=_loss,
    rows=_rows,
    statistic=_spearman,
    predictions=_predictions,
    counts=_counts,
    together=True,
)
