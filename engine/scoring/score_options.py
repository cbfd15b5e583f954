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
        Combine | None,
        Option(
            title="Combine",
            help="how the weights of a structure are combined into one score",
            titles={Combine.SUM: "sum", Combine.MEAN: "mean", Combine.MAX: "largest"},
        ),
    ] = None
    slices: Annotated[
        Slices | None,
        Option(
            title="Weights",
            help="which weights of a structure are used: those that compute it, those that read it, or all",
            titles={Slices.PRODUCERS: "that compute it", Slices.CONSUMERS: "that read it", Slices.ALL: "all"},
        ),
    ] = None
    normalise: Annotated[
        Normalise | None,
        Option(
            title="Normalise",
            help="what the scores of a layer are divided by",
            titles={
                Normalise.NONE: "not at all",
                Normalise.MEAN: "by their mean",
                Normalise.MAX: "by the largest",
                Normalise.L2: "by their L2 norm",
                Normalise.STANDARD: "to mean 0, std 1",
            },
        ),
    ] = None
    batches: int = 0
    selection: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
