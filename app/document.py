"""The document: the only state of the window. Panels are views of it and call its methods; it talks to the engine.

Skeleton that fixes names; every change is announced once by `changed` with the aspects that it touched.
"""

from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QObject, Signal


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
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the inspector shows: a module path, and within it perhaps a set and a structure (numbers of the analysis, -1 none)."""

    module: str = ""
    set_number: int = -1
    structure: int = -1


@dataclass(frozen=True, slots=True)
class Goal:
    """Keep at most this share of the original's MACs, and lose at most this many points of the metric."""

    keep_macs: float = 0.5
    lose: float = 0.5


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as the window shows it (times in seconds, `left` is -1 when unknown)."""

    id: int
    title: str
    text: str
    done: int
    total: int
    elapsed: float
    left: float
    cancelling: bool = False


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the live recovery curves; loss or metric is NaN where that point has none."""

    step: int
    loss: float
    metric: float


class Document(QObject):
    """Model, task, target, tree of states, marks, selection, jobs.

    Properties (read-only for views): model_name: str, analysis: Analysis | None, task: TaskInfo | None, target: TargetSpec,
    goal: Goal, states: tuple[State, ...], state: State | None (the present one), original: State | None,
    criterion: str, scores: NDArray[float64] [S] | None (NaN unknown), removed: Mask (gone in the present state),
    marked: Mask (the plan, on top of removed), locked: Mask, selection: Selection, hovered: int (structure or -1),
    original_costs: Costs | None, plan_costs: Costs | None (of removed | marked), jobs: tuple[JobView, ...],
    curve: tuple[CurvePoint, ...], log: tuple[str, ...], undo_text: str, redo_text: str, clean: bool,
    busy: bool (a job that changes states runs), last_export: Exported | None.

    Methods for views. Undoable, instant: mark(structures: ndarray[int] | Mask, on: bool), keep(set_number, count),
    mark_below(set_numbers, threshold: float) (live while dragged: preview(mask) / commit), lock(structures, on), clear_marks(),
    suggest_plan(), set_goal(goal), select(selection), hover(structure).
    preview_below(set_numbers, threshold) changes `marked` without an undo entry until mark_below commits or cancel_preview() reverts.
    Jobs: open(ModelSpec), attach_task(TaskSpec), set_target(TargetSpec), set_criterion(name), evaluate(), measure(), cut(), recover(RecoverySettings),
    export(format, path), cancel(job_id), go_to(state_id), undo(), redo().

    Signals:
        changed: frozenset[Aspect].
        failed: SecateurError, to be shown in an error bar or dialog.
        announced: str, a sentence for the status bar.
    """

    changed = Signal(object)
    failed = Signal(object)
    announced = Signal(str)
