"""The points of the trade-off as plain data: what is known of each state and of the plan, on the chosen cost."""

from dataclasses import dataclass, replace
from enum import StrEnum

from PySide6.QtCore import QCoreApplication

from secateur.engine.baselines.protocol import Baseline, BaselineKind
from secateur.engine.export.protocol import Exported
from secateur.engine.export.table import EXPORTERS
from secateur.engine.session.states import State, StateKind, export_name
from secateur.engine.tasks.protocol import Metric

from ...document.baseline_queries import shown_baselines
from ...document.document import Document
from ...text.baselines import facts_of, name_of
from ...text.format import change, milliseconds, percent, scaled, size
from ...text.metrics import kind_text, latency_text, metric_of, metric_text, target_text, timing_in, timing_of
from ...text.search import trial_label, trial_sentence

say = QCoreApplication.translate
TRIAL = "trial"
"""The mark of a state that was judged on another split than the original is reported on."""
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
        higher: More of the metric is better.
        metric: Name of the metric.
        percent: y is in per cent.
        missing: Why some states or the plan are not in the plot, "" when all are.
    """

    cost: Cost
    unit: float
    points: tuple[Point, ...]
    goal_x: float
    goal_y: float
    metric: str
    percent: bool
    missing: str
    higher: bool = True

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


def best_cost(document: Document) -> Cost:
    """Latency when every state has it as measured, and a plan at least as predicted; else MACs."""
    timed = all(timing_of(s, document.target) is not None for s in document.states)
    told = not document.marked.any() or document.contents.plan_latency() is not None
    return Cost.LATENCY if timed and document.states and told else Cost.MACS


def trade_off(document: Document, cost: Cost) -> TradeOff | None:
    """The points, None while the original's metric is not known."""
    original = document.original
    first = metric_of(original)
    if original is None or first is None:
        return None
    unit = _unit(cost, original)
    states = _telling(document, first)
    found = [p for s in states if (p := _point(document, s, first, cost, unit)) is not None]
    found = _joined(found, {s.id: s.parent for s in document.states})
    exports = [(s, one) for s in states for one in s.lower_precision]
    files = [p for s, one in exports if (p := _export(document, s, one, first, cost, unit)) is not None]
    plan = _plan(document, cost, unit)
    if plan is not None:
        found.append(plan)
    shown = len([p for p in found if p.kind is not None])
    baselines = shown_baselines(document)
    found += files
    found += [p for one in baselines if (p := _baseline(document, one, first, cost, unit)) is not None]
    scale = 100.0 if first.percent else 1.0
    goal_y = scale * document.goal.accepted(first)
    whole = _value(document, original, cost) if cost.value == document.goal.cost.value else None
    goal_x = float("nan") if whole is None else document.goal.keep * whole / unit
    missing = _missing(document, cost, len(states) - shown, len(baselines) - sum(p.mark in BASELINES for p in found))
    higher = first.higher_is_better
    return TradeOff(cost, unit, tuple(found), goal_x, goal_y, first.name, first.percent, missing, higher)


def _telling(document: Document, first: Metric) -> list[State]:
    """All states but those that say nothing: nobody judged them, and what was made of them is there."""
    parents = {state.parent for state in document.states}
    return [
        state
        for state in document.states
        if state is document.state or state.id not in parents or metric_of(state, first.split) is not None
    ]


def _joined(points: list[Point], parent: dict[str, str]) -> list[Point]:
    """Each point's parent is the nearest state before it that is shown."""
    shown = {point.state for point in points}

    def above(state: str) -> str:
        while state and state not in shown:
            state = parent.get(state, "")
        return state

    return [replace(point, parent=above(point.parent)) for point in points]


def axis_title(shown: TradeOff, document: Document) -> str:
    """What x is, with its unit."""
    prefix = {1.0: "", 1e3: "k", 1e6: "M", 1e9: "G", 1e12: "T"}[shown.unit]
    if shown.cost is Cost.LATENCY:
        return say("tradeoff", "latency, ms ({0})").format(target_text(document.target))
    if shown.cost is Cost.MACS:
        return say("tradeoff", "{0}MACs of one sample").format(f"{prefix} " if prefix else "")
    return say("tradeoff", "{0}parameters").format(f"{prefix} " if prefix else "")


def _unit(cost: Cost, original: State) -> float:
    if cost is Cost.LATENCY:
        return 1.0
    whole = original.macs if cost is Cost.MACS else original.parameters
    return next((u for u in (1e12, 1e9, 1e6, 1e3) if whole >= u), 1.0)


def _value(document: Document, state: State | Baseline, cost: Cost) -> float | None:
    if cost is Cost.LATENCY:
        timing = timing_of(state, document.target)
        return None if timing is None else timing.median
    return float(state.macs if cost is Cost.MACS else state.parameters)


def _point(document: Document, state: State, first: Metric, cost: Cost, unit: float) -> Point | None:
    value, metric = _value(document, state, cost), metric_of(state, first.split)
    if value is None:
        return None
    tried = metric_of(state) if metric is None else None
    y, error = _height(tried if metric is None else metric, first)
    name = f"{kind_text(state.kind)} {state.id}" if state.kind is not StateKind.ORIGINAL else kind_text(state.kind)
    label, present = name, state is document.state and not document.marked.any()
    if tried is not None:
        label = say("tradeoff", "{0}, on {1}").format(name, tried.split)
        if (searched := document.contents.trials.get(state.id)) is not None:
            label = trial_label(searched.trial, searched.number)
    elif metric is None:
        label = say("tradeoff", "{0}, metric not measured").format(name)
    tip, mark = _tip(document, state, metric or tried, name), TRIAL if tried is not None else ""
    return Point(state.id, state.parent, value / unit, y, error, state.kind, label, tip, present, mark)


def _export(document: Document, state: State, one: Exported, first: Metric, cost: Cost, unit: float) -> Point | None:
    """A file in lower precision, None where its metric or its latency is not known."""
    timing = timing_in(one.timings, document.target)
    value = _value(document, state, cost) if cost is not Cost.LATENCY else timing.median if timing else None
    if value is None or one.metric is None or not one.metric.like(first):
        return None
    y, error = _height(one.metric, first)
    precision = EXPORTERS[one.format].precision
    owner = kind_text(state.kind) if state.kind is StateKind.ORIGINAL else f"{kind_text(state.kind)} {state.id}"
    name = say("tradeoff", "{0} in {1}").format(owner, precision)
    lines = [name, metric_text(one.metric), *([latency_text(timing)] if timing else []), size(one.bytes)]
    tip = "\n".join([*lines, say("tradeoff", "An exported file. Click to go to its state.")])
    key = export_name(state.id, one.format)
    return Point(key, state.id, value / unit, y, error, state.kind, name, tip, False, precision)


def _height(metric: Metric | None, first: Metric) -> tuple[float, float]:
    """A metric and its error in the unit of the axis, NaN where it is not known."""
    scale = 100.0 if first.percent else 1.0
    return (float("nan"), 0.0) if metric is None else (scale * metric.value, scale * metric.error)


def _baseline(document: Document, one: Baseline, first: Metric, cost: Cost, unit: float) -> Point | None:
    """A baseline, None where its cost is not known or it was judged otherwise than the original."""
    value = _value(document, one, cost)
    if value is None or (one.metric.name, one.metric.split) != (first.name, first.split):
        return None
    y, error = _height(one.metric, first)
    tip = "\n".join([name_of(one), *facts_of(one, document.original, document.target)])
    return Point(one.id, "", value / unit, y, error, None, name_of(one), tip, False, str(one.asked.kind))


def _tip(document: Document, state: State, metric: Metric | None, name: str) -> str:
    lines = [name, say("tradeoff", "metric not measured") if metric is None else metric_text(metric)]
    if metric is not None and (tried := document.contents.trials.get(state.id)) is not None:
        words = trial_sentence(tried.trial, tried.number, tried.limit, tried.cost, document.loses_points)
        lines += [say("tradeoff", "Evaluated on the {0} split").format(metric.split), words]
    lines.append(say("tradeoff", "{0} MACs, {1} parameters").format(scaled(state.macs), scaled(state.parameters)))
    timing = timing_of(state, document.target)
    if timing is not None:
        lines.append(latency_text(timing))
    if state is not document.state:
        lines.append(say("tradeoff", "Click to go to this state."))
    return "\n".join(lines)


def _plan(document: Document, cost: Cost, unit: float) -> Point | None:
    plan, original, state = document.plan_costs, document.original_costs, document.state
    if not document.marked.any() or plan is None or original is None or state is None:
        return None
    if cost is Cost.LATENCY:
        return _plan_in_time(document, state)
    now, before = (plan.macs, original.macs) if cost is Cost.MACS else (plan.parameters, original.parameters)
    label = say("tradeoff", "plan, {0}, metric unknown").format(change(before, now))
    tip = say("tradeoff", "The plan's cost is exact. Cut it to measure its metric.")
    return Point("", state.id, now / unit, float("nan"), 0.0, None, label, tip, True)


def _plan_in_time(document: Document, state: State) -> Point | None:
    """The plan at its predicted latency, None where nothing predicts it."""
    predicted, table = document.contents.plan_latency(), document.contents.table
    if predicted is None or table is None:
        return None
    label = say("tradeoff", "plan, {0} predicted, metric unknown").format(milliseconds(predicted))
    tip = say(
        "tradeoff",
        "Predicted from measured blocks, with an error below {0} for 9 of 10 cut models. Cut the plan to measure it.",
    )
    return Point(
        "", state.id, predicted, float("nan"), 0.0, None, label, tip.format(percent(table.trust.ninetieth)), True
    )


def _missing(document: Document, cost: Cost, states: int, baselines: int) -> str:
    if cost is Cost.LATENCY and document.marked.any() and document.contents.plan_latency() is None:
        return say("tradeoff", "The plan appears here after it is cut and measured.")
    if states > 0:
        return say("tradeoff", "States without a measurement are not shown: {0}.").format(states)
    if baselines > 0:
        return say("tradeoff", "Baselines without a measurement are not shown: {0}.").format(baselines)
    return ""
