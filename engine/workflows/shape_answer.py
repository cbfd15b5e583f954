"""What is said of a target shape, as plain data: what it comes to, or why no plan has it and what is near.

Loads no torch: the window reads it. `shape_plan.py` and `check_shape.py` make it.
"""

from dataclasses import dataclass

from ..errors import Message
from ..planning.protocol import KindLimit
from ..planning.target_shape import KindSize
from ..structures.analysis import Kind, Mask


@dataclass(frozen=True, slots=True)
class ShapePlan:
    """A target shape as a plan.

    Attributes:
        name: Of the model.
        sizes: What each kind has, keeps, and could keep.
        parameters: Before and after.
        macs: The same, of one sample of the example's length.
        cached: The same: numbers that the key/value cache holds for each token; None where there is none.
        joint: Kinds whose numbers a configuration allows only together (heads that divide a width), so that none of
            them has steps of its own.
        notes: Remarks on what else goes.
    """

    name: str
    sizes: tuple[KindSize, ...]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    cached: tuple[int, int] | None
    joint: frozenset[Kind] = frozenset()
    notes: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class ShapeProblem:
    """Why no plan has a shape.

    Attributes:
        message: In words.
        kind: Whose number cannot be, whatever the others are; None where the numbers do not go together.
        offers: Numbers of which each, in place of what was asked, makes it one that a plan has; the nearest of each
            kind.
    """

    message: Message
    kind: Kind | None
    offers: tuple[KindLimit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShapeAnswer:
    """What the engine says of a target shape.

    Attributes:
        shape: What was asked, or what a budget became.
        sizes: What each kind has in the state, and could keep.
        joint: As in `ShapePlan`.
        plan: What it comes to; None where no plan has it.
        removed: [S] the plan, what was gone before included; None where there is none.
        latency: Nanoseconds of a batch on the target, original and plan, as predicted; None where nothing predicts it.
        problems: Why no plan has it.
        rounded: Of kinds whose number is no multiple that the goal asks for, the nearest that are, if a plan has them.
    """

    shape: tuple[KindLimit, ...]
    sizes: tuple[KindSize, ...]
    joint: frozenset[Kind] = frozenset()
    plan: ShapePlan | None = None
    removed: Mask | None = None
    latency: tuple[int, int] | None = None
    problems: tuple[ShapeProblem, ...] = ()
    rounded: tuple[KindLimit, ...] = ()
