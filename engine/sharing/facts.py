"""What a report says, gathered from a history as data and words; the template only lays it out. Loads no torch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..baselines.protocol import Baseline
from ..baselines.verdict import Result, verdict
from ..planning.obstacles import asked_in_words
from ..recovery.protocol import RecoverySettings, Repair
from ..session.history import History
from ..session.matching import shown
from ..session.states import PlanIntent, State, StateKind
from ..targets.protocol import Timing
from ..tasks.protocol import Metric, Split, TaskSpec
from ..wording import byte_size, change, counted, metric_value, percent, size, thousands
from .plots import SMALL, WIDE, Given, Plot, curve, scatter
from .stripping import base_name

EXACT, MEASURED = "exact", "measured"
ROWS = 400
"""Layers that a report lists at most."""
KINDS = {
    StateKind.ORIGINAL: "Original",
    StateKind.CUT: "Cut",
    StateKind.RECOVERED: "Recovered",
    StateKind.ATTACHED: "Attached weights",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the original beside that of the result, and how it is known."""

    title: str
    before: str
    after: str
    change: str
    known: str
    note: str = ""
    good: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A state, or a baseline, in a table."""

    id: str
    name: str
    parameters: str
    macs: str
    share: str
    metric: str
    count: str
    latency: str
    note: str = ""
    present: bool = False


@dataclass(frozen=True, slots=True)
class StepTold:
    """A step on the way to the result: a title, and lines of what was asked and what came out."""

    title: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """A coupled set with what it has and keeps; `share` is kept of had."""

    name: str
    kind: str
    before: int
    after: int
    share: float


@dataclass(frozen=True, slots=True)
class Checked:
    """A comparison of a verification."""

    cut: str
    name: str
    difference: str
    effect: str
    tolerance: str
    dtype: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The course of a recovery."""

    title: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Timed:
    """A latency."""

    name: str
    median: str
    spread: str
    runs: str
    where: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says.

    Attributes:
        title: The model.
        written: When the report was.
        summary: What came out, a sentence each.
        figures: Original beside result.
        states: All states.
        baselines: Beside the result.
        verdict: Was it worth it, a sentence each.
        steps: The way to the result.
        layers: Widths before and after; () where the recipe does not say them.
        left_out: Layers that are not listed.
        tradeoffs: Metric against MACs, and against latency where it was measured.
        curves: Of the recoveries on the way.
        checks: Of the verifications on the way.
        skipped: Comparisons that could not be made, and repairs, in words.
        latencies: All that were measured.
        environment: (what, words).
        recipe: As JSON.
        script: As Python.
    """

    title: str
    written: str
    summary: tuple[str, ...]
    figures: tuple[Figure, ...]
    states: tuple[Row, ...]
    baselines: tuple[Row, ...]
    verdict: tuple[str, ...]
    steps: tuple[StepTold, ...]
    layers: tuple[Layer, ...]
    left_out: int
    tradeoffs: tuple[Plot, ...]
    curves: tuple[Curve, ...]
    checks: tuple[Checked, ...]
    skipped: tuple[str, ...]
    latencies: tuple[Timed, ...]
    environment: tuple[tuple[str, str], ...]
    recipe: str
    script: str


def facts_of(
    history: History,
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
    layers = [_layer(key, count, last) for key, count in widths.items()]
    layers = [one for one in layers if one.before != one.after] + [one for one in layers if one.before == one.after]
    said = verdict(Result(metric[1], last.macs, last.timings), beside) if metric and beside else None
    return Facts(
        title=model_name(history),
        written=time.strftime("%Y-%m-%d %H:%M"),
        summary=tuple(_summary(path, metric)),
        figures=tuple(_figures(original, last, metric)),
        states=tuple(_row(one, original, last) for one in history.states.values()),
        baselines=tuple(_beside(one, original) for one in beside),
        verdict=tuple(str(sentence) for sentence in said.sentences) if said is not None else (),
        steps=tuple(_step(before, one, original) for before, one in pairwise(path)),
        layers=tuple(layers[:ROWS]),
        left_out=max(0, len(layers) - ROWS),
        tradeoffs=tuple(_tradeoffs(history, last, beside)),
        curves=tuple(found for one in path if (found := _curve(one, original))),
        checks=tuple(check for one in path for check in _checks(one)),
        skipped=tuple(words for one in path for words in _skipped(one)),
        latencies=tuple(row for name, timings in _timed(history) for row in _latencies(name, timings)),
        environment=tuple(environment),
        recipe=recipe,
        script=script,
    )


def model_name(history: History) -> str:
    """The model for a person: resnet18, model.py:make; never a path."""
    return base_name(history.spec.source) if history.spec is not None else "model"


def metric_pair(original: State, last: State) -> tuple[Metric, Metric] | None:
    """The metric of both on one split, report before choose; None where there is none."""
    for split in (Split.REPORT, Split.CHOOSE):
        for first in original.metrics:
            alike = (m for m in last.metrics if (m.name, m.split) == (first.name, first.split))
            if first.split is split and (second := next(alike, None)) is not None:
                return first, second
    return None


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
        said.append(f"{what}, {worst:.0e} at worst. That says nothing about accuracy.")
    return said


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
        f"({words}{margin if error else ''}{unit}, {_size(last)}).{within}"
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
        words = (f"{before.median:.3g} ms", f"{after.median:.3g} ms", change(before.median, after.median))
        found.append(Figure("Latency", *words, MEASURED, note, after.median <= before.median))
    if metric is not None:
        first, second = metric
        step = 100 * (second.value - first.value) if first.percent else second.value - first.value
        words = f"{step:+.1f} points" if first.percent else f"{step:+.3g}"
        note = f"{first.split} split, {_size(second)}, ± one standard error"
        good = step >= 0 if first.higher_is_better else step <= 0
        cells = (metric_value(first), metric_value(second), words.replace("-", "−"))
        found.append(Figure(first.name, *cells, MEASURED, note, good))
    for exported in last.exports:
        metric_words = (
            f"; {exported.metric.name} on the file {metric_value(exported.metric)}" if exported.metric else ""
        )
        note = f"differs from the model by {exported.difference:.0e}{metric_words}"
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
        f"{metric.split}, {_size(metric)}" if metric is not None else "",
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
        f"{one.metric.split}, {_size(one.metric)}",
        f"{timing.median:.3g} ms" if timing is not None else "not measured",
        "; ".join([trained, *map(str, one.notes)]),
    )


def metric_of(state: State) -> Metric | None:
    """A state's metric: report before choose before any."""
    order = {Split.REPORT: 0, Split.CHOOSE: 1, Split.CALIBRATE: 2}
    return min(state.metrics, key=lambda metric: order[metric.split], default=None)


def _size(metric: Metric) -> str:
    """On how many samples, where anybody said it."""
    return f"n = {thousands(metric.count)}" if metric.count else "n unknown"


def _step(before: State, one: State, original: State) -> StepTold:
    lines: list[tuple[str, str]] = []
    title = f"{KINDS[one.kind]} {one.id}"
    if one.kind is StateKind.CUT:
        gone = sum(map(len, one.removed.values())) - sum(map(len, before.removed.values()))
        title = f"{title}: {counted(gone, 'structure')}"
        lines += _intent(one.plan or PlanIntent())
    elif one.recovery is not None:
        lines += _settings(one.recovery)
    shares = (percent(one.parameters / max(original.parameters, 1)), percent(one.macs / max(original.macs, 1)))
    costs = f"{thousands(one.parameters)} parameters ({shares[0]}), {size(one.macs)} MACs ({shares[1]}), exact"
    lines.append(("Came out", costs))
    lines += [(f"{m.name}, {m.split}", f"{metric_value(m)}, {_size(m)}, measured") for m in one.metrics]
    if one.verification is not None:
        lines.append(("Cut verified", f"equals the masked original, {one.verification.difference:.0e}"))
    return StepTold(title, tuple(lines))


def _intent(plan: PlanIntent) -> list[tuple[str, str]]:
    goal = plan.asked
    lines = [("Asked", asked_in_words(goal) if goal is not None else "marked by hand")]
    if plan.criterion and goal is not None:
        lines.append(("Chosen by", f"{plan.criterion} scores, seed {plan.seed}, ranked by {goal.ranking}"))
        lines.append(("Widths", f"multiples of {goal.multiple}, at least {goal.least}"))
    if goal is not None and goal.scope:
        lines.append(("Only in", ", ".join(goal.scope)))
    for title, named in (("Locked", plan.locked), ("By hand", plan.marked)):
        if named:
            lines.append((title, counted(sum(map(len, named.values())), "structure")))
    return lines


def _settings(told: RecoverySettings) -> list[tuple[str, str]]:
    repair = [] if told.repair is Repair.NONE else [("Repair", str(told.repair))]
    if not told.epochs:
        return repair
    training = (
        f"{counted(told.epochs, 'epoch')}, {told.optimizer}, learning rate {told.learning_rate:g}, weight decay "
        f"{told.weight_decay:g}, warm-up {told.warm_up:.0%}"
    )
    teacher = f"weight {told.distillation:g}, temperature {told.temperature:g}, blocks {told.features:g}"
    threads = counted(told.threads, "thread") if told.threads else "all threads but one"
    return [*repair, ("Training", training), ("Teacher", teacher), ("Seed", f"{told.seed}, {threads}")]


def _layer(key: str, count: int, last: State) -> Layer:
    name, _, kind = shown(key).rpartition(" (")
    left = max(0, count - len(last.removed.get(key, ())))
    return Layer(name, kind.rstrip(")"), count, left, left / max(count, 1))


def _tradeoffs(history: History, last: State, beside: Sequence[Baseline]) -> list[Plot]:
    """The metric against the MACs, and against the latency at the place where the result was timed last."""
    original = next(iter(history.states.values()))
    first = metric_of(original)
    judged = [one for one in history.states.values() if (m := metric_of(one)) is not None and _alike(m, first)]
    if first is None or len(judged) + len(beside) < 2:
        return []
    whole = max(original.macs, 1)
    place = last.timings[-1].target.place if last.timings else ()
    timed = [one for one in judged if _at(one, place) is not None]
    others = [one for one in beside if _at(one, place) is not None]
    room = SMALL if len(timed) + len(others) > 1 else WIDE
    share = "MACs of one sample, % of the original"
    found = [_plot(judged, beside, last, lambda one: 100 * one.macs / whole, share, room)]
    if room is SMALL:
        title = f"latency, ms ({where(last.timings[-1])})"
        found.append(_plot(timed, others, last, lambda one: _at(one, place) or 0.0, title, room))
    return [plot for plot in found if plot is not None]


def _plot(
    states: Sequence[State],
    beside: Sequence[Baseline],
    last: State,
    cost: Callable[[State | Baseline], float],
    x_title: str,
    room: tuple[int, int],
) -> Plot | None:
    points: list[Given] = []
    metric = metric_of(states[0]) if states else beside[0].metric
    assert metric is not None
    scale = 100 if metric.percent else 1
    for one in states:
        found = metric_of(one)
        kind = "result" if one is last else "original" if not one.parent else "state"
        label = KINDS[one.kind].lower() if kind != "state" else ""
        title = f"{KINDS[one.kind]} {one.id}: {metric_value(found)}"
        assert found is not None
        points.append(Given(cost(one), scale * found.value, kind, title, scale * found.error, label))
    for other in beside:
        title = f"{other.title}: {metric_value(other.metric)}"
        value, error = scale * other.metric.value, scale * other.metric.error
        points.append(Given(cost(other), value, "baseline", title, error, other.title))
    unit = ", %" if metric.percent else ""
    return scatter(f"{metric.name} against {x_title}", x_title, f"{metric.name}{unit}", points, room)


def _alike(metric: Metric, first: Metric | None) -> bool:
    return first is not None and (metric.name, metric.split) == (first.name, first.split)


def _at(one: State | Baseline, place: tuple[object, ...]) -> float | None:
    """Milliseconds at a place, None where it was not timed there."""
    return next((timing.median for timing in one.timings if timing.target.place == place), None)


def _curve(one: State, original: State) -> Curve | None:
    losses = [(point["step"], point["loss"]) for point in one.curve if "loss" in point and "step" in point]
    metric = next((m for m in one.metrics if m.split is Split.CHOOSE), None)  # what a recovery looks at
    scale = 100 if metric is not None and metric.percent else 1
    found = [(p["step"], scale * p["metric"]) for p in one.curve if "metric" in p and "step" in p]
    name = f"{metric.name}, {metric.split}{', %' if metric.percent else ''}" if metric is not None else "metric"
    level = None
    if metric is not None:
        own = next((m for m in original.metrics if (m.name, m.split) == (metric.name, metric.split)), None)
        level = (scale * own.value, "original") if own is not None else None
    plots = [
        curve(f"Loss of {one.id} by step", "step", "loss", losses),
        curve(f"{name} of {one.id} by step", "step", name, found, level),
    ]
    shown_plots = tuple(plot for plot in plots if plot is not None)
    return Curve(f"{KINDS[one.kind]} {one.id}", shown_plots) if shown_plots else None


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
            check.detail,
        )
        for check in (one.verification.checks if one.verification is not None else ())
    ]


def _skipped(one: State) -> list[str]:
    found = [f"{one.id}: not compared: {reason}" for reason in (one.verification.skipped if one.verification else ())]
    return found + [f"{one.id}: {repair}" for repair in one.repairs]


def _timed(history: History) -> list[tuple[str, tuple[Timing, ...]]]:
    named = [(f"{KINDS[one.kind]} {one.id}", one.timings) for one in history.states.values()]
    return named + [(f"{one.title} {one.id}", one.timings) for one in history.baselines.values()]


def _latencies(name: str, timings: Sequence[Timing]) -> list[Timed]:
    rows: list[Timed] = []
    for one in timings:
        place = f"{where(one)}; {one.machine}"
        rows.append(Timed(name, f"{one.median:.3g} ms", _spread(one), thousands(one.runs), place))
        if one.step is not None:
            step = one.step
            words = (f"{step.median:.3g} ms", _spread(step), thousands(step.runs))
            rows.append(Timed(f"{name}, one further token", *words, place))
    return rows


def _spread(one: Any) -> str:
    return f"{one.low:.3g} to {one.high:.3g} ms"


def where(timing: Timing) -> str:
    """Where a latency was measured: onnxruntime, 1 thread, batch 1, fp32."""
    target = timing.target
    threads = counted(target.threads, "thread")
    sizes = ["x".join(map(str, target.size))] if target.size else []
    prompt = [f"prompt of {target.tokens} tokens"] if target.tokens else []
    parts = [target.runtime, threads, f"batch {target.batch}", target.precision, *sizes, *prompt]
    return ", ".join([f"{target.machine}: {parts[0]}" if target.machine else parts[0], *parts[1:]])


def _both_timed(original: State, last: State) -> tuple[Timing, Timing] | None:
    places = {one.target.place: one for one in original.timings}
    found = [(places[one.target.place], one) for one in last.timings if one.target.place in places]
    return found[-1] if found else None


def data_words(task: TaskSpec | None) -> str:
    """The data for a person, without a path."""
    if task is None:
        return "none"
    name = f" {base_name(task.path)}" if task.path else ""
    options = "".join(f", {key} {base_name(value)}" for key, value in task.options)
    return f"{task.kind}{name}, batch {task.batch}{options}"
