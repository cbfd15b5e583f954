"""Goals, limits and plans, as plain data that recipes hold. Loads neither torch nor the solver."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..structures.analysis import Kind, Mask
from ..targets.protocol import TargetSpec


class Cost(StrEnum):
    """What a goal may limit: exact for any plan, but for the latency, which a table predicts (`latency/`)."""

    PARAMETERS = "parameters"
    MACS = "macs"
    SIZE = "size"
    PEAK = "peak"
    LATENCY = "latency"


class Ranking(StrEnum):
    """What competes by its scores.

    SHAPES: Sets whose structures have equal shapes (isomorphic, Fang et al. 2024); each class loses the same share.
    SET: Each coupled set by itself; all lose the same share.
    MODEL: All but blocks with each other; only meaningful where scores of different shapes compare.
    """

    SHAPES = "shapes"
    SET = "set"
    MODEL = "model"


BYTES: Mapping[str, int] = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Bytes of an element in a file of each type."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A cost to stay at or under.

    Attributes:
        cost: Which.
        share: Of the original's, above 0 and up to 1; 0 where an amount is given.
        amount: Parameters, multiply-accumulates of one sample, bytes, or nanoseconds of a batch.
    """

    cost: Cost
    share: float = 0.0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a plan.

    Attributes:
        limits: Costs to stay at or under, all of them.
        scope: Modules to choose in: paths (with everything below them) or patterns (`*.conv1`), () for everywhere.
            A coupled set belongs to the module that it is shown under.
        least: Structures that every coupled set keeps, unless it goes with its whole block.
        least_share: The same as a share of the original's structures.
        multiple: Kept widths are multiples of this (see `isomorphic_classes.step` for heads and small layers).
        multiples: The same for single kinds, where it is another one.
        kinds: Kinds of structures to choose from, () for `DEFAULT_KINDS`. With blocks among others, whole blocks
            compete with them (`block_pruning.py`).
        dtype: Type of the weights in the file whose size is limited, a key of `BYTES`.
        ranking: What competes by its scores.
        target: Where the latency is limited, None for the default target; its multiple is that of the goal.
    """

    limits: tuple[Limit, ...]
    scope: tuple[str, ...] = ()
    least: int = 1
    least_share: float = 0.0
    multiple: int = 1
    multiples: dict[str, int] = field(default_factory=dict[str, int])
    kinds: tuple[Kind, ...] = ()
    dtype: str = "float32"
    ranking: Ranking = Ranking.SHAPES
    target: TargetSpec | None = None

    @property
    def timed(self) -> bool:
        """Whether the latency is limited: planning needs a table then."""
        return any(limit.cost is Cost.LATENCY for limit in self.limits)


@dataclass(frozen=True, slots=True)
class Reached:
    """What a plan makes of one limit: asked and got in the unit of the cost, beside what the original costs."""

    cost: Cost
    original: int
    asked: int
    got: int

    @property
    def share(self) -> float:
        """Got, as a share of the original."""
        return self.got / max(self.original, 1)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan for a goal.

    Attributes:
        removed: [S] what was gone before, and the marks on top of it.
        reached: For each limit of the goal, asked and got; of the latency what is predicted.
    """

    removed: Mask
    reached: tuple[Reached, ...]
