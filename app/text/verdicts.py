"""The verdict on a goal and the trials of a search in words: the sentence, its role among labels, what it rests on."""

from collections.abc import Collection

from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.goal_verdict import QUALITY, GoalVerdict
from secateur.engine.planning.protocol import Cost, KindLimit, QualityLimits
from secateur.engine.workflows.budget_search import Trial

from .format import PLUS_MINUS, percent, share, signed
from .structures import cost_words, kept_words
from .translate import sentence

say = QCoreApplication.translate


def goal_description(
    keep: float,
    cost: Cost,
    lose: float,
    points: bool,
    shape: Collection[KindLimit] = (),
    quality: QualityLimits = QUALITY,
) -> str:
    """What a goal asks, where nothing was planned or cut for it yet; a `shape` takes the place of the cost."""
    unit = say("goal", "{0} pt") if points else say("goal", "{0} %")
    lost = ", ".join((unit.format(f"{lose:g}"), *quality_words(quality)))
    if shape:
        return say("goal", "Goal: keep {0}, lose at most {1}").format(kept_words(shape), lost)
    words = say("goal", "Goal: keep at most {0} of the {1}, lose at most {2}")
    return words.format(share(keep), cost_words(cost), lost)


def quality_words(quality: QualityLimits) -> tuple[str, ...]:
    """What a goal limits besides the metric."""
    found = list[str]()
    if quality.class_loss is not None:
        found.append(say("goal", "no class more than {0} pt").format(f"{100 * quality.class_loss:g}"))
    if quality.calibration_error is not None:
        found.append(say("goal", "calibration error at most {0} %").format(f"{100 * quality.calibration_error:g}"))
    return tuple(found)


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
    within = (
        say("goal", "; standard error of the loss {0}{1} {2}, by pairs of the same samples")
        if metric.paired
        else say("goal", "; standard error of the loss {0}{1} {2}, as if measured on different samples")
    )
    return words + within.format(PLUS_MINUS, f"{100 * metric.error:.2f}", unit)


def loss_words(loss: float, in_percent: bool, error: float = 0.0) -> str:
    """A loss in points of a fraction, else in per cent of what the original had: 0.31 ± 0.42 points."""
    number = signed(100 * loss, 2).removeprefix("+")
    number += f" {PLUS_MINUS} {100 * error:.2f}" if error else ""
    return say("trials", "{0} points").format(number) if in_percent else f"{number} %"


def trial_sentence(trial: Trial, number: int, limit: float, cost: Cost, in_percent: bool) -> str:
    """A trial in a sentence.

    Args:
        trial: What the engine said of it.
        number: Its place in the search, from 1.
        limit: What was allowed to be lost, as `Trial.loss` counts.
        cost: What the search makes as low as possible.
        in_percent: Losses are points of a fraction; else shares of the original's metric.
    """
    head = say("trials", "Result, {0} of the {1}: ")
    if not trial.final:
        head = say("trials", "Trial {2}, {0} of the {1}: ")
    head = head.format(percent(trial.got or trial.share), cost_words(cost), number)
    if trial.note is not None:
        return head + sentence(trial.note)
    lost, allowed = loss_words(trial.loss, in_percent, trial.error), loss_words(limit, in_percent)
    words = (
        say("trials", "within the limit: {0} lost, {1} allowed")
        if trial.holds
        else say("trials", "over the limit: {0} lost, {1} allowed")
    )
    close = bool(trial.state) and trial.missed is None and abs(trial.loss - limit) <= trial.error
    ending = (
        say("trials", "; the difference from the limit is below one standard error, so more samples could change this.")
        if close
        else "."
    )
    missed = "" if trial.missed is None else f"; {sentence(trial.missed)}"
    return head + words.format(lost, allowed) + missed + ending


def trial_label(trial: Trial, number: int) -> str:
    """Words at the point of a trial."""
    words = say("trials", "trial {0}, within limit") if trial.holds else say("trials", "trial {0}, over limit")
    words = words if trial.note is None else say("trials", "trial {0}, too slow")
    words = say("trials", "recovered in full, within limit") if trial.final and trial.holds else words
    return words.format(number)
