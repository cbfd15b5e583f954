"""The points of the trade-off as plain data: what is known of each state and of the plan, on the chosen cost."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from PySide6.QtCore import QCoreApplication

from secateur.engine.baselines.protocol import Baseline, BaselineKind
from secateur.engine.export.protocol import Exported
from secateur.engine.export.table import EXPORTERS
from secateur.engine.session.states import State, StateKind, export_name
from secateur.engine.tasks.protocol import Metric, Split

from ...document.baseline_queries import shown_baselines
from ...document.document import Document
from ...text.baselines import facts_of, name_of
from ...text.format import change, milliseconds, percent, scaled, size
from ...text.metrics import (
    elsewhere_tip,
    latency_text,
    metric_of,
    metric_tip,
    target_text,
    timing_in,
    timing_of,
    timing_tip,
)
from ...text.verdicts import trial_label, trial_sentence
from ..compare.sides import state_title

say = QCoreApplication.translate
TRIAL = "trial"
"""The mark of a state that a search tried, where it is seen on the split that the search looks at."""
BASELINES = frozenset(map(str, BaselineKind))
"""The marks of baselines."""


class Cost(StrEnum):
    """What the metric is drawn against."""

    LATENCY = "latency"
    MACS = "macs"
    PARAMETERS = "parameters"


@dataclass(frozen=True, slots=True)
class Point:
    """A state, or the plan.

    Attributes:
        state: Id of the state or the baseline, name of the export, "" for the plan.
        parent: Id of the state it was made from.
        x: Cost in the unit of the axis.
        y: Metric in the unit of the axis, NaN when it is not known.
        error: Standard error of y.
        kind: How it came about; None for the plan.
        label: Words beside the point.
        tip: All of it.
        present: The document is there.
        mark: What else it is: a kind of baseline, `TRIAL` for a state that a search judged, the precision of an
            exported file that computes in less than the model, "" for none of these.
    """

    state: str
    parent: str
    x: float
    y: float
    error: float
    kind: StateKind | None
    label: str
    tip: str
    present: bool
    mark: str = ""


@dataclass(frozen=True, slots=True)
class TradeOff:
    """All that the plot shows.

    Attributes:
        cost: What x is.
        unit: Size of one on the x axis (1e6 for millions).
        points: States, plan and baselines.
        goal_x: The goal's cost in the unit of the axis, NaN for none.
        goal_y: The least metric that the goal accepts, NaN for none.
        metric: Name of the metric.
        percent: y is in per cent.
        missing: Why some states or the plan are not in the plot, "" when all are.
        split: That y was measured on, of all points.
        x_range: Of the axis by itself, from nothing to a little more than the original: no state changes it.
        y_range: Of the axis: original and goal, and of the results what is near enough that a point can be seen.
        higher: More of the metric is better.
    """

    cost: Cost
    unit: float
    points: tuple[Point, ...]
    goal_x: float
    goal_y: float
    metric: str
    percent: bool
    missing: str
    split: Split
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    higher: bool = True

    def outside(self, point: Point) -> bool:
        """Whether the metric of a point is known, and too far away for the axis: it is drawn at the border."""
        low, high = self.y_range
        return not low <= point.y <= high and point.y == point.y

    @property
    def front(self) -> tuple[Point, ...]:
        """The points than which none is better and cheaper, the cheapest first: the curve of what can be had.

        A cut that was recovered is on its way to a point, and no point of it; baselines and what was judged on another
        split are no points either.
        """
        on_the_way = {p.parent for p in self.points if p.kind in (StateKind.RECOVERED, StateKind.ATTACHED)}
        own = [p for p in self.points if p.y == p.y and p.kind is not None and not p.mark]
        ends = [p for p in own if not (p.kind is StateKind.CUT and p.state in on_the_way)]
        found, best = list[Point](), float("-inf")
        for point in sorted(ends, key=lambda p: (p.x, -p.y)):
            if (height := point.y if self.higher else -point.y) > best:
                found.append(point)
                best = height
        return tuple(found)


def first_cost(document: Document) -> Cost:
    """What a model that was opened is drawn against: the cost that the goal limits, else the MACs."""
    wanted = str(document.goal.cost)
    return Cost(wanted) if wanted in [*Cost] else Cost.MACS


def splits_of(document: Document) -> tuple[Split, ...]:
    """The splits that the original was evaluated on: metrics are compared on one of them."""
    original = document.original
    return () if original is None else tuple(s for s in Split if metric_of(original, s) is not None)


def trade_off(document: Document, cost: Cost, split: Split | None = None) -> TradeOff | None:
    """The points, None while the original's metric is not known.

    Args:
        document: Whose.
        cost: What x is.
        split: That metrics are of, None for the one that results are judged on.
    """
    original, split = document.original, split or document.evaluation_split
    first = metric_of(original, split)
    if original is None or first is None:
        return None
    unit, whole = 1.0, _value(document, original, cost)
    if cost is not Cost.LATENCY:
        unit = next((size for size in (1e12, 1e9, 1e6, 1e3) if whole is not None and whole >= size), 1.0)
    # A state says nothing that was not evaluated while what was made of it is there; nor do learned masks: their metric
    # is that of the cut to come, their costs are those of the whole model.
    parents = {state.id: state.parent for state in document.states}
    made_from = set(parents.values())
    states: list[State] = []
    for state in document.states:
        telling = metric_of(state, split) is not None or (state.id not in made_from and not state.metrics)
        if state.kind is not StateKind.MASKED and (state is document.state or telling):
            states.append(state)
    points = [p for s in states if (p := _state_point(document, s, first, cost, unit)) is not None]
    unmeasured = len(states) - len(points)
    # Each point's parent is the nearest state before it that is shown.
    seen = {point.state for point in points}
    for number, point in enumerate(points):
        parent = point.parent
        while parent and parent not in seen:
            parent = parents.get(parent, "")
        points[number] = replace(point, parent=parent)
    points += [p for p in (_plan_point(document, cost, unit),) if p is not None]
    exports = [(s, one) for s in states for one in s.lower_precision]
    points += [p for s, one in exports if (p := _export_point(document, s, one, first, cost, unit)) is not None]
    baselines = shown_baselines(document)
    found = [p for one in baselines if (p := _baseline_point(document, one, first, cost, unit)) is not None]
    points += found

    missing, elsewhere = "", [s for s in document.states if s.metrics and metric_of(s, split) is None]
    elsewhere = [s for s in elsewhere if s is not document.state]
    if cost is Cost.LATENCY and document.marked.any() and document.contents.plan_latency() is None:
        missing = say("tradeoff", "The plan appears here after it is cut and measured.")
    elif unmeasured > 0:
        missing = say("tradeoff", "States without a measurement are not shown: {0}.").format(unmeasured)
    elif len(baselines) > len(found):
        words = say("tradeoff", "Baselines without a measurement are not shown: {0}.")
        missing = words.format(len(baselines) - len(found))
    elif elsewhere:
        splits = ", ".join(dict.fromkeys(m.split.value for s in elsewhere for m in s.metrics))
        words = say("tradeoff", "Evaluated on another split ({1}) and not shown: {0}.")
        missing = words.format(len(elsewhere), splits)

    goal_y = (100.0 if first.percent else 1.0) * document.goal.accepted(first)
    limited = cost.value == document.goal.cost.value and not document.goal.shaped
    whole_x = (whole or max((p.x for p in points), default=1.0) * unit) / unit
    return TradeOff(
        cost=cost,
        unit=unit,
        points=tuple(points),
        goal_x=document.goal.keep * whole / unit if limited and whole is not None else float("nan"),
        goal_y=goal_y,
        metric=first.name,
        percent=first.percent,
        missing=missing,
        split=split,
        x_range=(0.0, 1.08 * max(whole_x, 1e-9)),
        y_range=metric_range(points, _height(first, first), goal_y, first.percent),
        higher=first.higher_is_better,
    )


LEAST_RANGE, MOST_RANGE = 2.0, 10.0
"""Points of a fraction that the axis shows at least, and at most, unless original and goal need more."""
WHOLE, MARK = 100.0, 0.06
"""No metric in per cent is above it, though its error may be; the axis goes on by this share of itself, so that a mark
there is whole."""


def metric_range(
    points: list[Point], original: tuple[float, float], goal: float, in_percent: bool
) -> tuple[float, float]:
    """The range of the metric's axis: original and goal, and what is nearest to them as long as a point can be seen.

    What would stretch it further, as a cut before its recovery does, is drawn at the border.

    Args:
        points: All of them.
        original: Metric of the original, with its error.
        goal: The worst metric that is accepted.
        in_percent: All of these are per cents.
    """
    known, (first, error) = [p for p in points if p.y == p.y], original
    unit = 1.0 if in_percent else max(abs(first), 1e-9) / 100
    low, high = min(first - error, goal), max(first + error, goal)
    # From the nearest on, points are taken in as long as differences between them can still be seen.
    most = max(MOST_RANGE * unit, 2 * (high - low))
    # A cut that was recovered is no result: its metric before the recovery would flatten all others.
    on_the_way = {p.parent for p in known if p.kind in (StateKind.RECOVERED, StateKind.ATTACHED)}
    results = [p for p in known if not (p.kind is StateKind.CUT and p.state in on_the_way)]
    for point in sorted(results, key=lambda p: abs(p.y - first)):
        lower, higher = min(low, point.y - point.error), max(high, point.y + point.error)
        if higher - lower <= most:
            low, high = lower, higher
    whole = WHOLE if in_percent else math.inf
    high = min(high, whole)
    pad = max(0.12 * (high - low), (LEAST_RANGE * unit - (high - low)) / 2)
    return low - pad, min(high + pad, whole + MARK * (high - low + 2 * pad))


def axis_title(shown: TradeOff, document: Document) -> str:
    """What x is, with its unit."""
    prefix = {1.0: "", 1e3: "k", 1e6: "M", 1e9: "G", 1e12: "T"}[shown.unit]
    if shown.cost is Cost.LATENCY:
        return say("tradeoff", "latency, ms ({0})").format(target_text(document.target))
    if shown.cost is Cost.MACS:
        return say("tradeoff", "{0}MACs of one sample").format(f"{prefix} " if prefix else "")
    return say("tradeoff", "{0}parameters").format(f"{prefix} " if prefix else "")


def _value(document: Document, state: State | Baseline, cost: Cost) -> float | None:
    if cost is Cost.LATENCY:
        timing = timing_of(state, document.target)
        return None if timing is None else timing.median
    return float(state.macs if cost is Cost.MACS else state.parameters)


def _state_point(document: Document, state: State, first: Metric, cost: Cost, unit: float) -> Point | None:
    value, metric = _value(document, state, cost), metric_of(state, first.split)
    if value is None:
        return None
    y, error = _height(metric, first)
    name = label = state_title(state)
    present = state is document.state and not document.marked.any()
    searched = document.contents.trials.get(state.id) if first.split is Split.VAL else None
    if metric is None:
        label = say("tradeoff", "{0}, metric not measured").format(name)
    elif searched is not None:
        label = trial_label(searched.trial, searched.number)
    lines = [name, say("tradeoff", "metric not measured") if metric is None else metric_tip(metric)]
    split = document.evaluation_split if metric is None else metric.split
    lines += [others] if (others := elsewhere_tip(state, split)) else []
    if metric is not None and (tried := document.contents.trials.get(state.id)) is not None:
        words = trial_sentence(tried.trial, tried.number, tried.limit, tried.cost, document.loses_points)
        lines.append(words)
    lines.append(say("tradeoff", "{0} MACs, {1} parameters").format(scaled(state.macs), scaled(state.parameters)))
    timing = timing_of(state, document.target)
    if timing is not None:
        lines.append(f"{latency_text(timing)}: {timing_tip(timing)}")
    if state is not document.state:
        lines.append(say("tradeoff", "Click to go to this state."))
    tip, mark = "\n".join(lines), TRIAL if searched is not None and metric is not None else ""
    return Point(state.id, state.parent, value / unit, y, error, state.kind, label, tip, present, mark)


def _export_point(
    document: Document, state: State, one: Exported, first: Metric, cost: Cost, unit: float
) -> Point | None:
    """A file in lower precision, None where its metric or its latency is not known."""
    timing = timing_in(one.timings, document.target)
    value = _value(document, state, cost) if cost is not Cost.LATENCY else timing.median if timing else None
    if value is None or one.metric is None or not one.metric.like(first):
        return None
    y, error = _height(one.metric, first)
    precision = EXPORTERS[one.format].precision
    name = say("tradeoff", "{0} in {1}").format(state_title(state), precision)
    latency = [f"{latency_text(timing)}: {timing_tip(timing)}"] if timing else []
    lines = [name, metric_tip(one.metric), *latency, size(one.bytes)]
    tip = "\n".join([*lines, say("tradeoff", "An exported file. Click to go to its state.")])
    key = export_name(state.id, one.format)
    return Point(key, state.id, value / unit, y, error, state.kind, name, tip, False, precision)


def _height(metric: Metric | None, first: Metric) -> tuple[float, float]:
    """A metric and its error in the unit of the axis, NaN where it is not known."""
    scale = 100.0 if first.percent else 1.0
    return (float("nan"), 0.0) if metric is None else (scale * metric.value, scale * metric.error)


def _baseline_point(document: Document, one: Baseline, first: Metric, cost: Cost, unit: float) -> Point | None:
    """A baseline, None where its cost is not known or it was evaluated otherwise than the original."""
    value = _value(document, one, cost)
    if value is None or (one.metric.name, one.metric.split) != (first.name, first.split):
        return None
    y, error = _height(one.metric, first)
    tip = "\n".join([name_of(one), *facts_of(one, document.original, document.target)])
    return Point(one.id, "", value / unit, y, error, None, name_of(one), tip, False, str(one.asked.kind))


def _plan_point(document: Document, cost: Cost, unit: float) -> Point | None:
    """The plan, None where there is none, or where nothing predicts its latency."""
    plan, original, state = document.plan_costs, document.original_costs, document.state
    if not document.marked.any() or plan is None or original is None or state is None:
        return None
    if cost is Cost.LATENCY:
        predicted, table = document.contents.plan_latency(), document.contents.table
        if predicted is None or table is None:
            return None
        x, label = predicted, say("tradeoff", "plan, {0} predicted, metric unknown").format(milliseconds(predicted))
        words = say(
            "tradeoff",
            "Predicted from measured blocks, with an error below {0} for 9 of 10 cut models. Cut the plan to measure "
            "it.",
        )
        tip = words.format(percent(table.trust.ninetieth))
    else:
        now, before = (plan.macs, original.macs) if cost is Cost.MACS else (plan.parameters, original.parameters)
        x, label = now / unit, say("tradeoff", "plan, {0}, metric unknown").format(change(before, now))
        tip = say("tradeoff", "The plan's cost is exact. Cut it to measure its metric.")
    return Point("", state.id, x, float("nan"), 0.0, None, label, tip, True)
