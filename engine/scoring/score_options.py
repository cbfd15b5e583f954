"""Options of a score besides its criterion, as plain data.

None of a choice means the criterion's own default, which is what its paper does.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from ..options import Option


class Combine(StrEnum):
    """How the weights in the slices of a structure become one number."""

    SUM = "sum"
    MEAN = "mean"
    MAX = "max"


class Slices(StrEnum):
    """Which slices of a structure count."""

    PRODUCERS = "producers"
    CONSUMERS = "consumers"
    ALL = "all"


class Normalise(StrEnum):
    """What the scores of a coupled set are divided by.

    NONE: nothing. MEAN: their mean. MAX: the largest. L2: the root of the sum of their squares (Michel et al. 2019).
    STANDARD: their standard deviation, after their mean is taken away (An et al. 2023).
    """

    NONE = "none"
    MEAN = "mean"
    MAX = "max"
    L2 = "l2"
    STANDARD = "standard"


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices about a score.

    Attributes:
        combine: How weights are combined, None for the criterion's own way.
        slices: Which slices count, None for the criterion's own.
        normalise: Within each coupled set, None for the criterion's own way.
        batches: Calibration batches that are looked at, 0 for the criterion's own number.
        selection: Structures to rate, by set key, original indices; {} for the criterion's own. For criteria that
            measure one structure after the other.
    """

    combine: Annotated[
        Combine | None, Option(title="Combine", help="how the slices of a structure become one number")
    ] = None
    slices: Annotated[
        Slices | None,
        Option(title="Slices", help="which slices count: those that compute a structure, those that read it, or all"),
    ] = None
    normalise: Annotated[
        Normalise | None, Option(title="Normalise", help="what the scores of a coupled set are divided by")
    ] = None
    batches: int = 0
    selection: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
