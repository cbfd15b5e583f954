"""The verdict on a goal as the window shows it: its sentence, its role among labels, and what it rests on."""

from collections.abc import Collection

from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.goal_verdict import GoalVerdict
from secateur.engine.planning.protocol import Cost, KindLimit

from .costs import cost_words
from .format import PLUS_MINUS, share
from .structures import kept_words
from .translate import sentence

say = QCoreApplication.translate


def goal_asked(keep: float, cost: Cost, lose: float, points: bool, shape: Collection[KindLimit] = ()) -> str:
    """What a goal asks, where nothing was planned or cut for it yet; a `shape` stands in place of the cost."""
    unit = say("goal", "{0} pt") if points else say("goal", "{0} %")
    lost = unit.format(f"{lose:g}")
    if shape:
        return say("goal", "Goal: keep {0}, lose at most {1}").format(kept_words(shape), lost)
    words = say("goal", "Goal: keep at most {0} of the {1}, lose at most {2}")
    return words.format(share(keep), cost_words(cost), lost)


def goal_words(verdict: GoalVerdict | None) -> str:
    """The sentence, "" where there is no verdict."""
    return "" if verdict is None else sentence(verdict.sentence)


def goal_short(verdict: GoalVerdict | None) -> str:
    """Two words of it: goal met; "" where there is no verdict or it is open."""
    if verdict is None or verdict.met is None:
        return ""
    return say("goal", "goal met") if verdict.met else say("goal", "goal missed")


def goal_role(verdict: GoalVerdict | None) -> str:
    """How it is shown: a role of labels."""
    return "muted" if verdict is None else {True: "good", False: "marked", None: "strong"}[verdict.met]


def goal_tip(verdict: GoalVerdict | None) -> str:
    """Split, n and standard error behind the loss, "" where nothing was measured."""
    metric = None if verdict is None else verdict.metric
    if metric is None or metric.loss is None or metric.split is None:
        return ""
    counted = say("goal", ", n = {0}").format(f"{metric.count:,}") if metric.count else ""
    words = say("goal", "{0} on the {1} split{2}").format(metric.name, metric.split.value, counted)
    if not metric.error:
        return words
    unit = say("goal", "pt") if metric.percent else "%"
    within = say("goal", "; standard error of the loss {0}{1} {2}, as if measured on different samples")
    return words + within.format(PLUS_MINUS, f"{100 * metric.error:.2f}", unit)
