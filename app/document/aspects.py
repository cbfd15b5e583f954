"""The plain data that the document shows to its views: what changed, what is selected, jobs and curve points."""

from dataclasses import dataclass
from enum import StrEnum

from secateur.engine.planning import protocol as planning
from secateur.engine.planning.isomorphic_classes import DEEP
from secateur.engine.planning.protocol import Cost
from secateur.engine.structures.analysis import Mask
from secateur.engine.structures.types import Kind
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Metric


class Aspect(StrEnum):
    """What changed, so that each view decides whether to refresh."""

    MODEL = "model"  # another model: everything
    TASK = "task"
    TARGET = "target"
    GOAL = "goal"
    SCORES = "scores"
    MARKS = "marks"  # marked or locked structures, and with them the plan's costs
    STATES = "states"  # states, their metrics and timings, or which one is present
    SELECTION = "selection"
    HOVER = "hover"
    JOBS = "jobs"
    CURVE = "curve"
    SENSITIVITY = "sensitivity"  # points of a sensitivity analysis
    LOG = "log"
    COMPARED = "compared"  # which two models are put beside each other


@dataclass(frozen=True, slots=True)
class Selection:
    """What the inspector shows: a module path, perhaps a set and a structure in it (numbers, -1 for none)."""

    module: str = ""
    set_number: int = -1
    structure: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """A model to compare: a state, or what a plan would leave of it.

    Attributes:
        state: Id of the state.
        plan: [S] marks on top of what the state lacks, None for the state itself.
        live: The plan as it is at present, whatever becomes of it.
    """

    state: str
    plan: Mask | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted.

    Attributes:
        keep: Share of the original's cost to keep at most.
        lose: What of the metric may be lost: points of a fraction, else per cent of what the original has.
        cost: Which cost.
        depth: Whole blocks may go, where they are worth less than filters and heads.
    """

    keep: float = 0.5
    lose: float = 0.5
    cost: Cost = Cost.MACS
    depth: bool = False

    def accepted(self, original: Metric) -> float:
        """The worst metric that is accepted, in the metric's own unit."""
        unit = 1.0 if original.percent else abs(original.value)
        return original.value - self.lose / 100 * unit * (1 if original.higher_is_better else -1)

    def asked(self, target: TargetSpec, kinds: tuple[Kind, ...] = ()) -> planning.Goal:
        """The goal as the engine takes it: widths that the target likes, kinds that the criterion scores."""
        timed = target if self.cost is Cost.LATENCY else None
        limits = (planning.Limit(self.cost, self.keep),)
        kinds = kinds or (DEEP if self.depth else ())
        return planning.Goal(limits, multiple=target.multiple, kinds=kinds, target=timed)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as the window shows it.

    Attributes:
        id: Number of the call.
        title: What it does, in words.
        text: Its present step, in words.
        done: Steps done.
        total: Steps in all, 0 unknown.
        elapsed: Seconds since it began, 0 while it waits.
        left: Seconds that it still takes, -1 unknown.
        cancelling: Cancel was pressed.
        method: Of the session that it calls.
        place: In the queue: 0 runs, 1 is next.
        earlier: It may come before the one before it.
        later: It may come after the one after it.
        rough: What is left is an estimate from other jobs, not from its own progress.
        about: What it is for, None where that is not asked.
    """

    id: int
    title: str
    text: str
    done: int
    total: int
    elapsed: float
    left: float
    cancelling: bool = False
    method: str = ""
    place: int = 0
    earlier: bool = False
    later: bool = False
    rough: bool = False
    about: object = None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the live recovery curves; loss or metric is NaN where that point has none."""

    step: int
    loss: float
    metric: float
