"""The verdict on a goal: was it met, by how much, and the sentence that says so.

Ledger, trade-off, state strip, report and command line all show this one verdict. It takes what was measured and
counted as plain data, so that it can be given wherever a result is known. Loads neither torch nor the solver.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any

from ..errors import Message
from ..messages import Phrase, clauses, title
from ..structures.analysis import Kind
from ..tasks.protocol import ROUNDING, Metric, Split, lost
from ..text.format import signed
from .protocol import Cost, QualityLimits, Reached, plural


class Phase(StrEnum):
    """How far what is judged has come: only a result misses a goal, before that there is more to do."""

    PLAN = "plan"
    CUT = "cut"
    RESULT = "result"


MOST_DIGITS = 4
"""Decimals of a number at most, where fewer do not show on which side of its limit it is."""
EXACT = 1e-9
"""How near a rounded number is to the one that was asked for."""
QUALITY = QualityLimits()
"""No limit."""
COST_NAMES: dict[Cost | Kind, Message] = {
    Cost.MACS: Message("verdict.name_macs", "MACs"),
    Cost.PARAMETERS: Message("verdict.name_parameters", "parameters"),
    Cost.SIZE: Message("verdict.name_size", "file size"),
    Cost.PEAK: Message("verdict.name_peak", "peak memory"),
    Cost.LATENCY: Message("verdict.name_latency", "latency"),
} | {kind: title(plural(kind)) for kind in Kind}


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """What became of the metric.

    Attributes:
        name: Of the metric.
        split: That both values are of; None where they were not measured on a common one.
        count: n of the result, 0 unknown.
        percent: Losses are points of a fraction; else shares of the original's value.
        loss: What is lost, as `LossLimit.loss` counts; None where it was not measured, NaN where it is no number.
        error: Standard error of the loss, by pairs where both values are of the same samples; 0 unknown.
        paired: Whether it is by pairs.
        allowed: What may be lost, None for no limit.
        met: The loss is at most what is allowed; None where it was not measured or has no limit.
        clause: The same in words: "−1.3 pt, allowed −0.5".
    """

    name: str
    split: Split | None
    count: int
    percent: bool
    loss: float | None
    error: float
    allowed: float | None
    met: bool | None
    clause: Message
    paired: bool = False


@dataclass(frozen=True, slots=True)
class CostVerdict:
    """What became of one limit, in the unit of the cost.

    Attributes:
        cost: Which; a kind where its structures are counted.
        original: What the original costs.
        asked: To stay at or under.
        got: What the result costs.
        predicted: `got` is predicted, not counted or measured.
        met: `got` is at or under `asked`.
        clause: The same in words: "−50.4 % MACs, reached".
    """

    cost: Cost | Kind
    original: int
    asked: int
    got: int
    predicted: bool
    met: bool
    clause: Message


@dataclass(frozen=True, slots=True)
class QualityVerdict:
    """What became of a limit besides the metric, as fractions.

    Attributes:
        name: "class loss" or "calibration error".
        got: What the class that lost most loses, or the calibration error; None where it was not measured.
        allowed: At most.
        met: Whether that holds, None where it was not measured.
        clause: The same in words: "worst class 7: −3.1 pt, allowed −2.0".
    """

    name: str
    got: float | None
    allowed: float
    met: bool | None
    clause: Message


@dataclass(frozen=True, slots=True)
class GoalVerdict:
    """What became of a goal.

    Attributes:
        met: False where a result misses a limit, True where all are kept, None while that is not known.
        metric: Of the metric, None where there is none and none was asked for.
        costs: Of each limited cost.
        quality: Of each limit besides the metric.
        sentence: "Goal missed: −1.3 pt, allowed −0.5; −50.4 % MACs, reached".
    """

    met: bool | None
    metric: MetricVerdict | None
    costs: tuple[CostVerdict, ...]
    quality: tuple[QualityVerdict, ...]
    sentence: Message

    @property
    def has_regressed(self) -> bool:
        """Whether the metric, or what is limited besides it, fell by more than was allowed."""
        return (self.metric is not None and self.metric.met is False) or any(one.met is False for one in self.quality)


def goal_verdict(
    reached: Sequence[Reached],
    original: Metric | None = None,
    result: Metric | None = None,
    allowed: float | None = None,
    predicted: Collection[Cost] = (),
    unmeasured: Sequence[Cost] = (),
    quality: QualityLimits = QUALITY,
    phase: Phase = Phase.RESULT,
) -> GoalVerdict | None:
    """The verdict on a goal; None where nothing was limited.

    Args:
        reached: Asked and got of each limited cost (`goal.reached`; of a latency what was measured, where it was).
        original: The original's metric, None unknown.
        result: The result's; compared only where name and split are the original's.
        allowed: What may be lost, as `LossLimit.loss` counts: 0.005 is half a point of accuracy. None for no limit.
        predicted: Costs whose `got` is a prediction.
        unmeasured: Limited costs of which nothing is known yet; they are not among `reached`.
        quality: What is limited besides the metric.
        phase: A plan, or a cut that will be recovered, meets a goal or leaves it open.
    """
    if not reached and not unmeasured and allowed is None and not quality.given:
        return None
    costs = list[CostVerdict]()
    for one in reached:
        whole, met, foreseen = max(one.original, 1), one.got <= one.asked, one.cost in predicted
        change, asked = 100 * (one.got / whole - 1), 100 * (one.asked / whole - 1)
        got_words, asked_words = _apart(change, asked, one.got != one.asked)
        words = {"change": got_words, "cost": COST_NAMES[one.cost], "asked": asked_words}
        # Structures are counted, as whoever asks for a number of them does.
        counts = {"got": one.got, "original": one.original, "kinds": COST_NAMES[one.cost], "asked": one.asked}
        if isinstance(one.cost, Kind) and met:
            clause = Message("verdict.kind_reached", "{got:,} of {original:,} {kinds}, reached", counts)
        elif isinstance(one.cost, Kind):
            clause = Message("verdict.kind_missed", "{got:,} of {original:,} {kinds}, asked for {asked:,}", counts)
        elif foreseen and met:
            clause = Message("verdict.cost_predicted", "{change} % {cost} as predicted, reached", words)
        elif foreseen:
            template = "{change} % {cost} as predicted, asked for {asked} %"
            clause = Message("verdict.cost_predicted_missed", template, words)
        elif met:
            clause = Message("verdict.cost_reached", "{change} % {cost}, reached", words)
        else:
            clause = Message("verdict.cost_missed", "{change} % {cost}, asked for {asked} %", words)
        costs.append(CostVerdict(one.cost, one.original, one.asked, one.got, foreseen, met, clause))
    metric = _metric_verdict(original, result, allowed)
    # Classes lose against the original, so only where both were measured alike.
    judged = quality_verdicts(quality, result if result is not None and result.like(original) else None)
    decided = [one.met for one in (*costs, *judged)] + ([] if metric is None or allowed is None else [metric.met])
    open_costs = (Message("verdict.cost_open", "{cost} not measured", {"cost": COST_NAMES[one]}) for one in unmeasured)
    clauses_said = [] if metric is None else [metric.clause]
    clauses_said += [*(one.clause for one in judged), *(one.clause for one in costs), *open_costs]
    said = {"said": clauses(clauses_said)}
    met = False if False in decided else None if None in decided or unmeasured else True
    sentence = Message("verdict.open", "Goal open: {said}", said)
    if met:
        sentence = Message("verdict.met", "Goal met: {said}", said)
    elif phase is Phase.PLAN:
        met, sentence = None, Message("verdict.plan", "Plan so far: {said}", said)
    elif phase is Phase.CUT:
        met, sentence = None, Message("verdict.cut", "Before recovery: {said}", said)
    elif met is False:
        sentence = Message("verdict.missed", "Goal missed: {said}", said)
    return GoalVerdict(met, metric, tuple(costs), judged, sentence)


def quality_verdicts(quality: QualityLimits, result: Metric | None) -> tuple[QualityVerdict, ...]:
    """What became of each limit besides the metric; of a result that was not measured they stay open."""
    found = list[QualityVerdict]()
    if (allowed := quality.class_loss) is not None:
        worst = None if result is None else result.class_loss
        words: dict[str, Any] = {"allowed": signed(-100 * allowed, _digits(100 * allowed))}
        clause = Message("verdict.class_open", "losses of the classes not measured, allowed {allowed} pt", words)
        met = None
        if worst is not None:
            met = worst.loss <= allowed + ROUNDING
            differ = abs(worst.loss - allowed) > ROUNDING
            change, limit = _apart(-100 * worst.loss, -100 * allowed, differ, _digits(100 * allowed))
            words = {"name": worst.name, "change": change, "allowed": limit}
            clause = Message("verdict.class_loss", "worst class {name}: {change} pt, allowed {allowed}", words)
        found.append(QualityVerdict("class loss", None if worst is None else worst.loss, allowed, met, clause))
    if (allowed := quality.calibration_error) is not None:
        error = None if result is None else result.calibration_error
        words = {"allowed": signed(100 * allowed, _digits(100 * allowed)).removeprefix("+")}
        clause = Message("verdict.calibration_open", "calibration error not measured, allowed {allowed} %", words)
        met = None
        if error is not None:
            met = error <= allowed + ROUNDING
            differ = abs(error - allowed) > ROUNDING
            texts = _apart(100 * error, 100 * allowed, differ, _digits(100 * allowed))
            words = dict(zip(("got", "allowed"), (text.removeprefix("+") for text in texts), strict=True))
            clause = Message("verdict.calibration", "calibration error {got} %, allowed {allowed}", words)
        found.append(QualityVerdict("calibration error", error, allowed, met, clause))
    return tuple(found)


def _metric_verdict(original: Metric | None, result: Metric | None, allowed: float | None) -> MetricVerdict | None:
    """What became of the metric; None where there is none to name and no loss is limited."""
    known = result or original
    if known is None:
        if allowed is None:
            return None
        words = {"allowed": signed(-100 * allowed, _digits(100 * allowed))}
        clause = Message("verdict.no_metric", "metric not measured, allowed {allowed}", words)
        return MetricVerdict("", None, 0, True, None, 0.0, allowed, None, clause)
    if original is None or result is None or not result.like(original):
        clause = Message("verdict.not_measured", "{name} not measured", {"name": known.name})
        if allowed is not None:
            most = signed((-100 if known.higher_is_better else 100) * allowed, _digits(100 * allowed))
            words = {"name": known.name, "allowed": most if known.percent else f"{most} %"}
            clause = Message("verdict.not_measured_limit", "{name} not measured, allowed {allowed}", words)
        return MetricVerdict(known.name, None, 0, known.percent, None, 0.0, allowed, None, clause)
    loss, error = lost(original, result)
    if not isfinite(loss):
        clause = Message("verdict.no_number", "{name} is NaN or infinity", {"name": result.name})
        error, met = 0.0, None if allowed is None else False
    else:
        clause = _loss_clause(result, loss, allowed)
        met = None if allowed is None else loss <= allowed + ROUNDING
    return MetricVerdict(
        name=result.name,
        split=result.split,
        count=result.count,
        percent=result.percent,
        loss=loss,
        error=error,
        allowed=allowed,
        met=met,
        clause=clause,
        paired=original.paired_with(result),
    )


def _loss_clause(result: Metric, loss: float, allowed: float | None) -> Message:
    """The change of the metric beside what is allowed; the split is named unless it is the test split."""
    way = -100 if result.higher_is_better else 100
    limit = loss if allowed is None else allowed
    change_words, limit_words = _apart(
        way * loss, way * limit, abs(loss - limit) > ROUNDING, 1 if allowed is None else _digits(100 * allowed)
    )
    change: Phrase = Message("verdict.points", "{change} pt", {"change": change_words})
    if not result.percent:
        change = Message("verdict.share", "{change} % {name}", {"change": change_words, "name": result.name})
    if result.split is not Split.TEST:
        words = {"change": change, "split": result.split.value}
        change = Message("verdict.on_split", "{change} on the {split} split", words)
    if allowed is None:
        return Message("verdict.no_limit", "{change}, no limit", {"change": change})
    said = {"change": change, "allowed": limit_words}
    if result.percent:
        return Message("verdict.loss_points", "{change}, allowed {allowed}", said)
    return Message("verdict.loss_share", "{change}, allowed {allowed} %", said)


def _digits(allowed: float) -> int:
    """Decimals of what a person allows to be lost, in per cent: as many as were asked for, 0.35 is not 0.3."""
    return 1 if abs(round(allowed, 1) - allowed) < EXACT else 2


def _apart(value: float, limit: float, differ: bool, least: int = 1) -> tuple[str, str]:
    """A number beside its limit, with as many decimals as show which is larger, and at least so many."""
    for digits in range(least, MOST_DIGITS):
        words = signed(value, digits), signed(limit, digits)
        if not differ or words[0] != words[1]:
            return words
    return signed(value, MOST_DIGITS), signed(limit, MOST_DIGITS)
