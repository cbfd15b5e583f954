"""Normalises the scores of each coupled set, so that sets can be compared with each other."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Kind
from .score_options import Normalise

Floats = NDArray[np.float64]


def normalised(analysis: Analysis, scores: Floats, how: Normalise) -> Floats:
    """[S] the scores of each set over what `how` names; NaN stays, and so do blocks, each of which is a set alone."""
    rule = RULES.get(how)
    if rule is None:
        return scores
    result = scores.copy()
    for one in analysis.sets:
        known = np.isfinite(scores[one.structures])
        if one.kind is not Kind.BLOCK and known.any():
            result[one.structures][known] = rule(scores[one.structures][known])
    return result


def _over(values: Floats, size: float) -> Floats:
    return values / size if size > 0 else np.zeros_like(values)


RULES: dict[Normalise, Callable[[Floats], Floats]] = {
    Normalise.MEAN: lambda values: _over(values, float(np.abs(values).mean())),
    Normalise.MAX: lambda values: _over(values, float(np.abs(values).max())),
    Normalise.L2: lambda values: _over(values, float(np.sqrt(np.square(values).sum()))),
    Normalise.STANDARD: lambda values: _over(values - values.mean(), float(values.std()) if np.ptp(values) else 0.0),
}
