"""Losses by domain that lead how domains of text are mixed, as a user gives them; see `domain_mixing.py`. No torch.

Either the references themselves, or the losses of models of several sizes. A scaling law through those,
L(N) = E + A / N^alpha (Hoffmann et al. 2022), then says what a model of the cut one's size should reach on a fixed
amount of text, as in LLM-Shearing (Xia et al. 2023).
"""

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SecateurError
from ..text.notation import Notation, read_amount, write_amount

SIZED = re.compile(r"([0-9.]+[kmgb]?):(.*)", re.IGNORECASE | re.DOTALL)
"""Losses behind the size of a model; a colon elsewhere belongs to a name."""
NAMED = re.compile(r"\s*(.+?)\s*=\s*([^=,]*?)\s*(?:,|$)", re.DOTALL)
"""A name and its loss, up to the comma behind it: a name may hold commas and equals signs too."""


@dataclass(frozen=True, slots=True)
class ReferenceLosses:
    """What a model loses in each domain.

    Attributes:
        losses: (domain, nats a token).
        parameters: Of the model; 0 where these are the references themselves.
    """

    losses: tuple[tuple[str, float], ...]
    parameters: int = 0


def require_references(given: Sequence[ReferenceLosses]) -> None:
    """Refuse reference losses that lead to nothing: none to fit, or not the same domains for each size.

    Raises:
        SecateurError: With the reason.
    """
    if not given:
        return
    if any(not math.isfinite(loss) or loss <= 0 for one in given for _, loss in one.losses):
        template = "Reference losses are nats a token, above 0. Correct the one that is not."
        raise SecateurError("references.positive", template)
    names = [[name for name, _ in one.losses] for one in given]
    if any(not some or len(set(some)) < len(some) or set(some) != set(names[0]) for some in names):
        template = "Reference losses need the same domains for each model, each once."
        raise SecateurError("references.domains", template)
    sizes = [one.parameters for one in given]
    if sizes == [0]:
        return
    if min(sizes) < 1 or len(set(sizes)) < max(len(sizes), 2):
        template = (
            "A scaling law needs the losses of models of two or more different sizes, such as 160M:wiki=3.2 "
            "410M:wiki=2.8. Add models, or leave out the size to give the reference itself."
        )
        raise SecateurError("references.sizes", template)


def read_references(text: str) -> tuple[ReferenceLosses, ...]:
    """Read "wiki=1.76,code=0.75" as one; "160M:wiki=3.2,code=1.4 410M:wiki=2.8,code=1.2" as one for each size."""
    found = list[ReferenceLosses]()
    try:
        models = list[str]()
        for part in shlex.split(text):
            if models and models[-1].endswith(","):  # a blank behind a comma starts no other model
                models[-1] += part
            else:
                models.append(part)
        for model in models:
            sized = SIZED.fullmatch(model)
            rest, losses = (sized[2] if sized else model).rstrip(", "), list[tuple[str, float]]()
            while rest:
                one = NAMED.match(rest)
                if one is None:
                    raise ValueError(model)
                losses.append((one[1], float(one[2])))
                rest = rest[one.end() :]
            found.append(ReferenceLosses(tuple(losses), read_amount(sized[1]) if sized else 0))
    except ValueError:
        template = (
            "{text!r} does not give a loss for each domain. Write it like wiki=1.76,code=0.75, or for models of "
            "several sizes like 160M:wiki=3.2,code=1.4 410M:wiki=2.8,code=1.2."
        )
        raise SecateurError("references.text", template, text=text) from None
    require_references(found)
    return tuple(found)


def write_references(given: Sequence[ReferenceLosses]) -> str:
    """The text that `read_references` reads."""
    parts = list[str]()
    for one in given:
        losses = ",".join(f"{name}={loss!r}" for name, loss in one.losses)
        parts.append(shlex.quote(f"{write_amount(one.parameters)}:{losses}" if one.parameters else losses))
    return " ".join(parts)


REFERENCE_LOSSES = Notation(read_references, write_references, "NAME=LOSS,...")


Floats = NDArray[np.float64]
EXPONENTS = (0.01, 3.0)
"""Bounds of the exponent; published ones of language models are between 0.05 and 0.5."""
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


def fit_law(sizes: Sequence[int], losses: Sequence[float]) -> ScalingLaw:
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

    def solve(exponent: float) -> tuple[Floats, float]:
        """Floor and scale for an exponent, and how far the law is off."""
        found, distance = optimize.nnls(np.stack([np.ones_like(units), units**-exponent], 1), measured)
        return found, float(distance)

    tried = np.geomspace(*EXPONENTS, TRIED)
    best = int(np.argmin([solve(one)[1] for one in tried.tolist()]))
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, TRIED - 1)]

    def squared_error(exponent: float) -> float:
        """Sum of squared differences."""
        return solve(float(exponent))[1] ** 2

    refined = optimize.minimize_scalar(squared_error, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    exponent = float(refined.x)
    (floor, scale), _ = solve(exponent)
    return ScalingLaw(float(floor), float(scale), exponent, unit)
