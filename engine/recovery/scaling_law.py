"""What a model of one size should lose by what models of other sizes do: L(N) = E + A / N^alpha (Hoffmann et al. 2022).

For a fixed amount of text, as LLM-Shearing takes it (Xia et al. 2023). Numpy and scipy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXPONENTS = (0.01, 3.0)
"""Between which the exponent is sought; published ones of language models lie between .05 and .5."""
TRIED = 300
"""Exponents that are tried before the best one is refined."""


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """L(N) = floor + scale / (N / unit)^exponent.

    Attributes:
        floor: E, nats a token, at least 0.
        scale: A of sizes in units, at least 0.
        exponent: alpha.
        unit: Parameters.
    """

    floor: float
    scale: float
    exponent: float
    unit: float

    @property
    def falls(self) -> bool:
        """Whether larger models lose less; else every size has one loss."""
        return self.scale > 0 and self.exponent > 0

    def loss(self, parameters: float) -> float:
        """Nats a token of a model of that size."""
        return self.floor + self.scale * (parameters / self.unit) ** -self.exponent


def fitted_law(sizes: Sequence[int], losses: Sequence[float]) -> ScalingLaw:
    """The law with the least sum of squared differences; of two sizes that without a floor, a line in logarithms.

    Where larger models do not lose less on the whole, it is the mean of the losses (of two the geometric one), whatever
    the size. For each exponent the other two are a linear problem with numbers of at least 0, so that one number is
    sought.

    Args:
        sizes: [n] parameters, 2 or more different ones.
        losses: [n] nats a token.
    """
    optimize: Any = import_module("scipy.optimize")  # loaded where it is needed; it has no types
    unit = float(min(sizes))
    units, measured = np.asarray(sizes, np.float64) / unit, np.asarray(losses, np.float64)
    if len(sizes) == 2:
        slope, intercept = np.polyfit(np.log(units), np.log(measured), 1)
        if slope >= 0:
            return ScalingLaw(float(np.exp(np.log(measured).mean())), 0.0, 0.0, unit)
        return ScalingLaw(0.0, float(np.exp(intercept)), float(-slope), unit)

    def solved(exponent: float) -> tuple[Floats, float]:
        """Floor and scale for an exponent, and how far the law is off."""
        found, distance = optimize.nnls(np.stack([np.ones_like(units), units**-exponent], 1), measured)
        return found, float(distance)

    tried = np.geomspace(*EXPONENTS, TRIED)
    best = int(np.argmin([solved(one)[1] for one in tried.tolist()]))
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, TRIED - 1)]

    def off(exponent: float) -> float:
        """Sum of squared differences."""
        return solved(float(exponent))[1] ** 2

    refined = optimize.minimize_scalar(off, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    exponent = float(refined.x)
    (floor, scale), _ = solved(exponent)
    return ScalingLaw(float(floor), float(scale), exponent, unit)
