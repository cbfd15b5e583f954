"""How scores become lengths and colours: one scale for the whole model, so that layers can be compared by eye."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..text.format import MINUS, three_digits

DECIMALS = ((0.5, 2), (0.05, 3), (0.005, 4), (0.001, 5))
"""From which top on how many decimals say enough."""
SAMPLE = 20_000
"""About how many scores decide the scale: it is asked for at every move of a threshold."""


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """From scores to 0..1.

    Attributes:
        top: The score at which a bar is full: the 99th percentile, so that a few outliers do not empty all others.
    """

    top: float

    @classmethod
    def of(cls, scores: NDArray[np.float64] | None) -> "ScoreScale":
        """The scale of a model's scores; 1 when there are none."""
        finite = np.zeros(0) if scores is None else scores[np.isfinite(scores)]
        finite = finite[:: max(1, len(finite) // SAMPLE)]
        top = float(np.percentile(finite, 99)) if len(finite) else 0.0
        if len(finite) and top <= 0:
            top = float(finite.max())
        return cls(top if top > 0 else 1.0)

    def fractions(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n] lengths 0..1, NaN where the score is unknown."""
        return np.clip(scores / self.top, 0.0, 1.0)

    def fraction(self, score: float) -> float:
        """The same of one score."""
        return min(max(score / self.top, 0.0), 1.0) if score == score else score

    def text(self, score: float) -> str:
        """The number beside a bar, never wider than its column: the same decimals for all where that says enough."""
        if score != score:
            return ""
        decimals = next((n for least, n in DECIMALS if least <= self.top), 0)
        if decimals and self.top < 100:
            return f"{score:.{decimals}f}"
        if self.top >= 100 or score == 0:
            return three_digits(score)
        digits, exponent = f"{score:.1e}".split("e")
        return f"{digits}e{int(exponent)}".replace("-", MINUS)
