"""Gathers what a report says from a history, as data and words. Loads no torch."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..baselines.protocol import Baseline
from ..baselines.verdict import PrunedResult, verdict
from ..planning.goal_verdict import GoalVerdict, goal_verdict
from ..planning.protocol import Cost, Reached
from ..recipes.compatibility import shown
from ..session.state_history import StateHistory
from ..session.state_text import KINDS, metric_of, metric_pair, model_name, sample_size, step_told, where
from ..session.states import State
from ..structures.analysis import matching_keys
from ..targets.protocol import Timing
from ..tasks.metric_text import metric_value
from ..tasks.protocol import Metric
from ..text.format import byte_size, change, counted, percent, size, thousands
from .report_plots import recovery_curve, tradeoffs
from .report_types import Checked, Facts, Figure, Layer, Row, Timed

EXACT, MEASURED = "exact", "measured"

ROWS = 400
"""Layers that a report lists at most."""


def facts_of(
    history: StateHistory,
    result: str,
    widths: Mapping[str, int],
    environment: Sequence[tuple[str, str]],
    recipe: str,
    script: str,
) -> Facts:
    """Gather the facts of a history.

    Args:
        history: Read; neither model nor data are needed.
        result: Id of the state that the report is about.
        widths: Structures of each coupled set of the original.
        environment: Versions, machine and the like, in words.
        recipe: The result's recipe, as JSON.
        script: And as Python.
    """
    path = history.path_to(result)
    original, last = path[0], path[-1]
    beside = [one for one in history.baselines.values() if one.against == last.id]
    metric = metric_pair(original, last)
    now = matching_keys(last.removed, widths)
    gone = {now[key]: len(indices) for key, indices in last.removed.items() if key in now}
    layers = [_layer(key, count, gone.get(key, 0)) for key, count in widths.items()]
    layers = [one for one in layers if one.before != one.after] + [one for one in layers if one.before == one.after]
    goal = goal_of(path, metric)
    said = verdict(PrunedResult(metric[1], last.macs, last.timings), beside) if metric and beside else None
    return Facts(
        title=model_name(history),
        written=time.strftime("%Y-%m-%d %H:%M"),
        summary=tuple(_summary(path, metric)),
        goal=str(goal.sentence) if goal is not None else "",
        goal_met=goal.met if goal is not None else None,
        figures=tuple(_figures(original, last, metric)),
        states=tuple(_row(one, original, last) for one in history.states.values()),
        baselines=tuple(_beside(one, original) for one in beside),
        verdict=tuple(str(sentence) for sentence in said.sentences) if said is not None else (),
        steps=tuple(step_told(before, one, original) for before, one in pairwise(path)),
        layers=tuple(layers[:ROWS]),
        left_out=max(0, len(layers) - ROWS),
        tradeoffs=tuple(tradeoffs(history, last, beside)),
        curves=tuple(found for one in path if (found := recovery_curve(one, original))),
        checks=tuple(check for one in path for check in _checks(one)),
        skipped=tuple(words for one in path for words in _skipped(one)),
        latencies=tuple(row for name, timings in _timed(history) for row in _latencies(name, timings)),
        environment=tuple(environment),
        recipe=recipe,
        script=script,
    )


def goal_of(path: Sequence[State], metric: tuple[Metric, Metric] | None) -> GoalVerdict | None:
    """The verdict on the goal of the last plan on a path; None where nothing was cut, or marked by hand alone."""
    original, last = path[0], path[-1]
    intent = next((one.plan for one in reversed(path) if one.plan is not None), None)
    if intent is None:
        return None
    limits = intent.asked.limits if intent.asked is not None else ()
    known = {Cost.MACS: (original.macs, last.macs), Cost.PARAMETERS: (original.parameters, last.parameters)}
    timed = _both_timed(original, last)
    if timed is not None:
        known[Cost.LATENCY] = (round(timed[0].median * 1e6), round(timed[1].median * 1e6))
    found: list[Reached] = []
    for one in limits:
        if one.cost in known:
            before, after = known[one.cost]
            found.append(Reached(one.cost, before, one.amount or int(one.share * before + 0.5), after))
    first, now = metric if metric is not None else (metric_of(original), None)
    open_costs = [one.cost for one in limits if one.cost not in known]
    return goal_verdict(found, first, now, intent.lose, unmeasured=open_costs)


def _summary(path: Sequence[State], metric: tuple[Metric, Metric] | None) -> list[str]:
    original, last = path[0], path[-1]
    if last is original:
        return ["Nothing was cut: this is the original."]
    macs, parameters = (last.macs / max(original.macs, 1), last.parameters / max(original.parameters, 1))
    said = [f"Keeps {percent(macs)} of the MACs and {percent(parameters)} of the parameters."]
    if metric is not None:
        said.append(_lost(*metric))
    checked = [one.verification for one in path if one.verification is not None]
    if checked:
        worst = max(one.difference for one in checked)
        what = "Each cut equals its masked original" if len(checked) > 1 else "The cut equals its masked original"
        said.append(f"{what} (largest difference {worst:.0e}). This does not measure accuracy.")
    repaired = [one for one in path if one.repaired]
    if len(repaired) == 1:
        said += map(str, repaired[0].repaired)
    elif repaired:
        said.append(f"The repairs of {len(repaired)} recoveries are listed with their steps.")
    return said + [str(one.stopped) for one in path if one.stopped is not None]


def _lost(first: Metric, last: Metric) -> str:
    error = (first.error**2 + last.error**2) ** 0.5
    scale, unit = (100, " points") if first.percent else (1, "")
    step = scale * (last.value - first.value)
    words = (f"{step:+.1f}" if first.percent else f"{step:+.3g}").replace("-", "−")
    margin = f" ± {scale * error:.1f}" if first.percent else f" ± {scale * error:.2g}"
    better = step > 0 if first.higher_is_better else step < 0
    which = "better" if better else "worse"
    within = " That is within the standard error." if error and abs(step) <= scale * error else ""
    told = "the same as" if not step else f"{which} than"
    values = f"{metric_value(last)} against {metric_value(first)}"
    return (
        f"{first.name} on the {first.split} split is {told} the original's: {values} "
        f"({words}{margin if error else ''}{unit}, {sample_size(last)}).{within}"
    )


def _figures(original: State, last: State, metric: tuple[Metric, Metric] | None) -> list[Figure]:
    found = [
        Figure(title, size(before), size(after), change(before, after), EXACT, note, after <= before)
        for title, before, after, note in (
            ("Parameters", original.parameters, last.parameters, ""),
            ("MACs", original.macs, last.macs, "one sample"),
        )
    ]
    if (timed := _both_timed(original, last)) is not None:
        before, after = timed
        note = f"{where(before)}; 10th to 90th percentile {_spread(after)}"
        found.append(
            Figure(
                "Latency",
                f"{before.median:.3g} ms",
                f"{after.median:.3g} ms",
                change(before.median, after.median),
                MEASURED,
                note,
                after.median <= before.median,
            )
        )
    if metric is not None:
        first, second = metric
        step = 100 * (second.value - first.value) if first.percent else second.value - first.value
        words = (f"{step:+.1f} points" if first.percent else f"{step:+.3g}").replace("-", "−")
        note = f"{first.split} split, {sample_size(second)}, ± one standard error"
        good = step >= 0 if first.higher_is_better else step <= 0
        found.append(Figure(first.name, metric_value(first), metric_value(second), words, MEASURED, note, good))
    for exported in last.exports:
        metric_words = (
            f"; {exported.metric.name} on the file {metric_value(exported.metric)}" if exported.metric else ""
        )
        differs = "" if exported.difference is None else f"differs from the model by {exported.difference:.0e}"
        note = f"{differs}{metric_words}"
        found.append(Figure(f"File ({exported.format})", "", byte_size(exported.bytes), "", MEASURED, note))
    return found


def _row(one: State, original: State, last: State) -> Row:
    timing = one.timings[-1] if one.timings else None
    metric = metric_of(one)
    note = f"from {one.parent}" if one.parent else ""
    return Row(
        one.id,
        KINDS[one.kind],
        size(one.parameters),
        size(one.macs),
        percent(one.macs / max(original.macs, 1)),
        metric_value(metric) or "not measured",
        f"{metric.split}, {sample_size(metric)}" if metric is not None else "",
        f"{timing.median:.3g} ms" if timing is not None else "not measured",
        note,
        one is last,
    )


def _beside(one: Baseline, original: State) -> Row:
    timing = one.timings[-1] if one.timings else None
    trained = f"{counted(one.epochs, 'epoch')}, seed {one.asked.seed}"
    return Row(
        one.id,
        one.title,
        size(one.parameters),
        size(one.macs),
        percent(one.macs / max(original.macs, 1)),
        metric_value(one.metric),
        f"{one.metric.split}, {sample_size(one.metric)}",
        f"{timing.median:.3g} ms" if timing is not None else "not measured",
        "; ".join([trained, *map(str, one.notes)]),
    )


def _layer(key: str, count: int, gone: int) -> Layer:
    name, _, kind = str(shown(key)).rpartition(" (")
    left = max(0, count - gone)
    return Layer(name, kind.rstrip(")"), count, left, left / max(count, 1))


def _checks(one: State) -> list[Checked]:
    return [
        Checked(
            one.id,
            check.name,
            f"{check.difference:.1e}",
            "" if check.effect is None else f"{check.effect:.1e}",
            f"{check.tolerance:.0e}",
            check.dtype,
            check.passed,
            str(check.detail),
        )
        for check in (one.verification.checks if one.verification is not None else ())
    ]


def _skipped(one: State) -> list[str]:
    made = one.verification
    found = [] if made is None else [f"{one.id}: {line}" for line in made.scope]
    found += [] if made is None else [f"{one.id}: not checked: {reason}" for reason in made.skipped]
    return found + [f"{one.id}: {repair}" for repair in one.repairs]


def _timed(history: StateHistory) -> list[tuple[str, tuple[Timing, ...]]]:
    named = [(f"{KINDS[one.kind]} {one.id}", one.timings) for one in history.states.values()]
    return named + [(f"{one.title} {one.id}", one.timings) for one in history.baselines.values()]


def _latencies(name: str, timings: Sequence[Timing]) -> list[Timed]:
    rows: list[Timed] = []
    for one in timings:
        place = f"{where(one)}; {one.machine}"
        rows.append(Timed(name, f"{one.median:.3g} ms", _spread(one), thousands(one.runs), place))
        if one.step is not None:
            step = one.step
            title = f"{name}, next token"
            rows.append(Timed(title, f"{step.median:.3g} ms", _spread(step), thousands(step.runs), place))
    return rows


def _spread(one: Any) -> str:
    return f"{one.low:.3g} to {one.high:.3g} ms"


def _both_timed(original: State, last: State) -> tuple[Timing, Timing] | None:
    places = {one.target.place: one for one in original.timings}
    found = [(places[one.target.place], one) for one in last.timings if one.target.place in places]
    return found[-1] if found else None
