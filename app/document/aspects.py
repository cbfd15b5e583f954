"""The plain data that the document shows to its views: what changed, what is selected, compared and wanted."""

from dataclasses import dataclass, field
from enum import StrEnum

from secateur.engine.planning import protocol as planning
from secateur.engine.planning.protocol import KINDS_WITH_BLOCKS, Cost
from secateur.engine.structures.analysis import Kind, Mask
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Metric


class Aspect(StrEnum):
    """What changed, so that each view decides whether to refresh."""

    MODEL = "model"  # another model: everything
    TASK = "task"
    EXPECTED = "expected"  # what the original should reach
    TARGET = "target"
    GOAL = "goal"
    SCORES = "scores"  # scores, or what else structures are coloured by
    MARKS = "marks"  # marked or locked structures, and with them the plan's costs
    STATES = "states"  # states, their metrics and timings, or which one is present
    SELECTION = "selection"
    HOVER = "hover"
    JOBS = "jobs"
    CURVE = "curve"
    GATES = "gates"  # of masks that are being learned
    SENSITIVITY = "sensitivity"  # points of a sensitivity analysis
    RESPONSES = "responses"  # what structures do on data
    LOG = "log"
    COMPARED = "compared"  # which two models are compared
    CHANGES = "changes"  # whose predictions are compared, and what that gave


class Overlay(StrEnum):
    """What views colour structures by."""

    SCORE = "score"
    ACTIVITY = "activity"
    REDUNDANCY = "redundancy"
    SENSITIVITY = "sensitivity"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the inspector shows.

    Attributes:
        module: Path of a module.
        set_number: A coupled set of it, -1 for none.
        structure: A structure of that, -1 for none.
        several: All structures that were chosen together, of which `structure` is one; none where it is alone.
    """

    module: str = ""
    set_number: int = -1
    structure: int = -1
    several: tuple[int, ...] = ()


@dataclass(slots=True)
class Listing:
    """How the tree lists a model.

    Attributes:
        typed: The text in its filter box.
        state: Of which state structures are listed, the one of the chosen chip; "" for all.
        sorting: (column, ascending) by which siblings are sorted, None for the model's own order.
    """

    typed: str = ""
    state: str = ""
    sorting: tuple[int, bool] | None = None


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
        quality: What is limited besides the metric.
        depth: Whole blocks may go, where they are worth less than filters and heads.
        kept: How many structures of single kinds stay in the whole model.
        shape: How many structures of single kinds each layer keeps, exactly; of blocks how many the model keeps. Where
            all of the cost may stay, nothing else is limited.
    """

    keep: float = 0.5
    lose: float = 0.5
    cost: Cost = Cost.MACS
    quality: planning.QualityLimits = field(default_factory=planning.QualityLimits)
    depth: bool = False
    kept: tuple[planning.KindLimit, ...] = ()
    shape: tuple[planning.KindLimit, ...] = ()

    @property
    def shaped(self) -> bool:
        """Whether a target shape alone says how much stays."""
        return bool(self.shape) and self.keep >= 1.0

    def accepted(self, original: Metric) -> float:
        """The worst metric that is accepted, in the metric's own unit."""
        unit = 1.0 if original.percent else abs(original.value)
        return original.value - self.lose / 100 * unit * (1 if original.higher_is_better else -1)

    def asked(self, target: TargetSpec, kinds: tuple[Kind, ...] = ()) -> planning.Goal:
        """The goal as the engine takes it: widths that the target likes, kinds that the criterion scores."""
        timed = target if self.cost is Cost.LATENCY else None
        limits = () if self.shaped else (planning.Limit(self.cost, self.keep),)
        kinds = kinds or (KINDS_WITH_BLOCKS if self.depth else ())
        # Only the default multiple may be refined: any other was chosen by the user.
        finer = target.multiple == TargetSpec().multiple
        return planning.Goal(
            limits,
            multiple=target.multiple,
            finer=finer,
            kinds=kinds,
            target=timed,
            kept=self.kept,
            shape=self.shape,
        )
