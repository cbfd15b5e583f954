"""One HTML file that says what was done and what came out: no network, no scripts, plots as SVG, light and dark.

`facts_of` finds what it says, as plain data; the template `report.j2` shows it.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..baselines.protocol import Baseline
from ..baselines.verdict import PrunedResult, verdict
from ..errors import Message
from ..inspection.change_tables import confusion_table
from ..inspection.changes import Changes, chance, group_change, summary
from ..planning.goal_verdict import GoalVerdict, goal_verdict
from ..planning.protocol import Cost, Reached
from ..recipes.compatibility import shown
from ..recipes.script import script_of
from ..recipes.steps import Open, Recipe
from ..recovery.training_curve import domain_curves
from ..session.state_history import StateHistory, versions
from ..session.state_text import (
    KINDS,
    StepTold,
    data_words,
    metric_of,
    metric_pair,
    model_name,
    sample_size,
    step_told,
    where,
)
from ..session.states import State, StateKind
from ..storage.atomic_files import write
from ..storage.paths import base_name
from ..storage.serialization import to_json
from ..structures.analysis import matching_keys
from ..surgery.cut.edits import Check
from ..targets.protocol import Latency, Timing
from ..tasks.protocol import Metric, Split, metric_value
from ..text.format import byte_size, change, counted, percent, size
from ..workflows.changes import classes_that_pay, kept_changes
from .anonymise import strip_history, strip_recipe
from .plots import SMALL, WIDE, Given, Plot, curve, curves, scatter

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the original and of the result, and how it is known."""

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
class Layer:
    """A coupled set with what it has and keeps; `share` is kept of had."""

    name: str
    kind: str
    before: int
    after: int
    share: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The course of a recovery."""

    title: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """What got worse, in words.

    Attributes:
        sentences: The whole, a sentence each.
        groups: By class: name, n, before, after, difference, chance, and whether it is worse than the rest; those that
            lost most first.
        left_out: Classes that are not listed.
        confusions: Right class, what it is taken for, before and after; those first that changed most.
    """

    sentences: tuple[str, ...]
    groups: tuple[tuple[str, str, str, str, str, str, bool], ...]
    left_out: int
    confusions: tuple[tuple[str, str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says.

    Attributes:
        title: The model.
        written: When the report was.
        summary: What came out, a sentence each.
        goal: The verdict on the goal, "" where there was none.
        goal_met: Whether it was met, None where that is open.
        figures: Original against result.
        states: All states.
        baselines: What the result is compared with.
        verdict: Was it worth it, a sentence each.
        changes: What got worse, None where the predictions of both were not kept.
        steps: The way to the result.
        layers: Widths before and after; () where the recipe does not say them.
        left_out: Layers that are not listed.
        tradeoffs: Metric against MACs, and against latency where it was measured.
        curves: Of the recoveries on the way.
        checks: Of the verifications on the way, each with the cut's id.
        skipped: Comparisons that could not be made, and repairs, in words.
        latencies: All that were measured: (model, where, milliseconds).
        environment: (what, words).
        recipe: As JSON.
        script: As Python.
    """

    title: str
    written: str
    summary: tuple[str, ...]
    goal: str
    goal_met: bool | None
    figures: tuple[Figure, ...]
    states: tuple[Row, ...]
    baselines: tuple[Row, ...]
    verdict: tuple[str, ...]
    changes: ChangedRows | None
    steps: tuple[StepTold, ...]
    layers: tuple[Layer, ...]
    left_out: int
    tradeoffs: tuple[Plot, ...]
    curves: tuple[Curve, ...]
    checks: tuple[tuple[str, Check], ...]
    skipped: tuple[str, ...]
    latencies: tuple[tuple[str, str, Timing | Latency], ...]
    environment: tuple[tuple[str, str], ...]
    recipe: str
    script: str


def tradeoffs(history: StateHistory, last: State, baselines: Sequence[Baseline]) -> list[Plot]:
    """The metric against the MACs, and against the latency at the place where the result was timed last.

    Without learned masks: their metric is that of the cut to come, their costs are those of the whole model.
    """
    original = next(iter(history.states.values()))
    first = metric_of(original)
    states = [one for one in history.states.values() if one.kind is not StateKind.MASKED]
    judged = [one for one in states if (m := metric_of(one)) is not None and m.like(first)]
    if first is None or len(judged) + len(baselines) < 2:
        return []
    whole = max(original.macs, 1)
    place = last.timings[-1].target.place if last.timings else ()
    timed = [one for one in judged if _at(one, place) is not None]
    others = [one for one in baselines if _at(one, place) is not None]
    room = SMALL if len(timed) + len(others) > 1 else WIDE
    share = "MACs of one sample, % of the original"
    found = [_plot(judged, baselines, last, lambda one: 100 * one.macs / whole, share, room)]
    if room is SMALL:
        title = f"latency, ms ({where(last.timings[-1])})"
        found.append(_plot(timed, others, last, lambda one: _at(one, place) or 0.0, title, room))
    return [plot for plot in found if plot is not None]


def _plot(
    states: Sequence[State],
    baselines: Sequence[Baseline],
    last: State,
    cost: Callable[[State | Baseline], float],
    x_title: str,
    room: tuple[int, int],
) -> Plot | None:
    points: list[Given] = []
    metric = metric_of(states[0]) if states else baselines[0].metric
    assert metric is not None
    scale = 100 if metric.percent else 1
    for one in states:
        found = metric_of(one)
        kind = "result" if one is last else "original" if not one.parent else "state"
        label = KINDS[one.kind].lower() if kind != "state" else ""
        title = f"{KINDS[one.kind]} {one.id}: {metric_value(found)}"
        assert found is not None
        points.append(Given(cost(one), scale * found.value, kind, title, scale * found.error, label))
    for other in baselines:
        title = f"{other.title}: {metric_value(other.metric)}"
        value, error = scale * other.metric.value, scale * other.metric.error
        points.append(Given(cost(other), value, "baseline", title, error, other.title))
    unit = ", %" if metric.percent else ""
    return scatter(f"{metric.name} against {x_title}", x_title, f"{metric.name}{unit}", points, room)


def _at(one: State | Baseline, place: tuple[object, ...]) -> float | None:
    """Milliseconds at a place, None where it was not timed there."""
    return next((timing.median for timing in one.timings if timing.target.place == place), None)


def recovery_curve(one: State, original: State) -> Curve | None:
    """The losses and the metric of a recovery by step; None where nothing was noted."""
    losses = [(point["step"], point["loss"]) for point in one.curve if "loss" in point and "step" in point]
    # A recovery is led by the val split.
    metric = next((m for m in one.metrics if m.split is Split.VAL), None)
    scale = 100 if metric is not None and metric.percent else 1
    found = [(p["step"], scale * p["metric"]) for p in one.curve if "metric" in p and "step" in p]
    name = f"{metric.name}, {metric.split}{', %' if metric.percent else ''}" if metric is not None else "metric"
    level = None
    if metric is not None:
        own = next((one for one in original.metrics if one.like(metric)), None)
        level = (scale * own.value, "original") if own is not None else None
    # Loss and share of each domain of text that the recovery mixed; dashed the loss that leads it.
    domains = domain_curves(one.curve)
    domain_losses = {key: [(step, at.loss) for step, at in some] for key, some in domains.items()}
    shares = {key: [(step, 100 * at.share) for step, at in some] for key, some in domains.items()}
    levels = {key: some[-1][1].reference for key, some in domains.items()}
    by_domain = "loss by domain, nats (dashed: reference)"
    plots = [
        curve(f"Loss of {one.id} by step", "step", "loss", losses),
        curve(f"{name} of {one.id} by step", "step", name, found, level),
        curves(f"Loss by domain of {one.id} by step", "step", by_domain, domain_losses, levels),
        curves(f"Share of domains of {one.id} by step", "step", "share of the sequences, %", shares),
    ]
    shown_plots = tuple(plot for plot in plots if plot is not None)
    return Curve(f"{KINDS[one.kind]} {one.id}", shown_plots) if shown_plots else None


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
    changes: Changes | None = None,
    classes: Sequence[Message] = (),
) -> Facts:
    """Gather the facts of a history.

    Args:
        history: Read; neither model nor data are needed.
        result: Id of the state that the report is about.
        widths: Structures of each coupled set of the original.
        environment: Versions, machine and the like, in words.
        recipe: The result's recipe, as JSON.
        script: And as Python.
        changes: From the original to the result.
        classes: Which classes the result or a baseline loses alone.
    """
    path = history.path_to(result)
    original, last = path[0], path[-1]
    baselines = [one for one in history.baselines.values() if one.against == last.id]
    metric = metric_pair(original, last)
    now = matching_keys(last.removed, widths)
    gone = {now[key]: len(indices) for key, indices in last.removed.items() if key in now}
    layers: list[Layer] = []
    for key, count in widths.items():
        name, _, kind = str(shown(key)).rpartition(" (")
        left = max(0, count - gone.get(key, 0))
        layers.append(Layer(name, kind.rstrip(")"), count, left, left / max(count, 1)))
    layers = [one for one in layers if one.before != one.after] + [one for one in layers if one.before == one.after]
    goal = goal_of(path, metric)
    said = verdict(PrunedResult(metric[1], last.macs, last.timings), baselines) if metric and baselines else None
    if last is original:
        summary = ["Nothing was cut: this is the original."]
    else:
        macs, parameters = (last.macs / max(original.macs, 1), last.parameters / max(original.parameters, 1))
        sentences = [f"Keeps {percent(macs)} of the MACs and {percent(parameters)} of the parameters."]
        if metric is not None:
            sentences.append(_metric_change(*metric))
        checked = [one.verification for one in path if one.verification is not None]
        if checked:
            worst = max(one.difference for one in checked)
            what = "Each cut equals its masked original" if len(checked) > 1 else "The cut equals its masked original"
            sentences.append(f"{what} (largest difference {worst:.0e}). This does not measure accuracy.")
        repaired = [one for one in path if one.repaired]
        if len(repaired) == 1:
            sentences += map(str, repaired[0].repaired)
        elif repaired:
            sentences.append(f"The repairs of {len(repaired)} recoveries are listed with their steps.")
        sentences += [str(message) for one in path for message in one.rated]
        summary = sentences + [str(one.stopped) for one in path if one.stopped is not None]
    skipped: list[str] = []
    for one in path:
        if one.verification is not None:
            skipped += [f"{one.id}: {line}" for line in one.verification.scope]
            skipped += [f"{one.id}: not checked: {reason}" for reason in one.verification.skipped]
        skipped += [f"{one.id}: {repair}" for repair in one.repairs]
    named = [(f"{KINDS[one.kind]} {one.id}", one.timings) for one in history.states.values()]
    named += [(f"{one.title} {one.id}", one.timings) for one in history.baselines.values()]
    latencies: list[tuple[str, str, Timing | Latency]] = []
    for title, timings in named:
        for timing in timings:
            place = f"{where(timing)}; {timing.machine}"
            latencies.append((title, place, timing))
            if timing.step is not None:
                latencies.append((f"{title}, next token", place, timing.step))
    return Facts(
        title=model_name(history),
        written=time.strftime("%Y-%m-%d %H:%M"),
        summary=tuple(summary),
        goal=str(goal.sentence) if goal is not None else "",
        goal_met=goal.met if goal is not None else None,
        figures=tuple(_figures(original, last, metric)),
        states=tuple(_state_row(one, original, last) for one in history.states.values()),
        baselines=tuple(_baseline_row(one, original) for one in baselines),
        verdict=tuple(str(sentence) for sentence in (*said.sentences, *classes)) if said is not None else (),
        changes=None if changes is None else _changed_rows(changes),
        steps=tuple(step_told(before, one, original) for before, one in pairwise(path)),
        layers=tuple(layers[:ROWS]),
        left_out=max(0, len(layers) - ROWS),
        tradeoffs=tuple(tradeoffs(history, last, baselines)),
        curves=tuple(found for one in path if (found := recovery_curve(one, original))),
        checks=tuple((one.id, check) for one in path if one.verification for check in one.verification.checks),
        skipped=tuple(skipped),
        latencies=tuple(latencies),
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
    timed = _common_timing(original, last)
    if timed is not None:
        known[Cost.LATENCY] = (round(timed[0].median * 1e6), round(timed[1].median * 1e6))
    found: list[Reached] = []
    for one in limits:
        if one.cost in known:
            before, after = known[one.cost]
            found.append(Reached(one.cost, before, one.amount or int(one.share * before + 0.5), after))
    first, now = metric if metric is not None else (metric_of(original), None)
    open_costs = [one.cost for one in limits if one.cost not in known]
    return goal_verdict(found, first, now, intent.lose, unmeasured=open_costs, quality=intent.quality)


def _metric_change(first: Metric, last: Metric) -> str:
    """How the metric changed, with the standard error of the difference."""
    error = (first.error**2 + last.error**2) ** 0.5
    scale, unit = (100, " points") if first.percent else (1, "")
    step = scale * (last.value - first.value)
    words = (f"{step:+.1f}" if first.percent else f"{step:+.3g}").replace("-", "−")
    margin = f" ± {scale * error:.1f}" if first.percent else f" ± {scale * error:.2g}"
    better = step > 0 if first.higher_is_better else step < 0
    which = "better" if better else "worse"
    within = " That is within the standard error." if error and abs(step) <= scale * error else ""
    compared = "the same as" if not step else f"{which} than"
    values = f"{metric_value(last)} against {metric_value(first)}"
    return (
        f"{first.name} on the {first.split} split is {compared} the original's: {values} "
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
    if (timed := _common_timing(original, last)) is not None:
        before, after = timed
        note = f"{where(before)}; 10th to 90th percentile {after.low:.3g} to {after.high:.3g} ms"
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


def _changed_rows(changes: Changes) -> ChangedRows:
    """The classes that lost most, and the confusions that changed most."""
    rows, group = list[tuple[str, str, str, str, str, str, bool]](), changes.by_class
    if group is not None:
        order = group.differences.argsort(kind="stable")
        for row in map(int, order[:CLASSES]):
            values = [f"{100 * float(value[row]):.1f} %" for value in (group.before, group.after)]
            words = (group_change(changes, group, row), chance(float(group.p[row])))
            rows.append(
                (group.names[row], f"{group.counts[row]:,}", values[0], values[1], *words, bool(group.worse[row]))
            )
    left_out = 0 if group is None else len(group.names) - len(rows)
    confusions = [row for _, row in zip(range(CONFUSIONS), confusion_table(changes).rows())]
    return ChangedRows(tuple(map(str, summary(changes))), tuple(rows), left_out, tuple(confusions))


def _state_row(one: State, original: State, last: State) -> Row:
    metric = metric_of(one)
    return _row(one, KINDS[one.kind], original, metric, f"from {one.parent}" if one.parent else "", one is last)


def _baseline_row(one: Baseline, original: State) -> Row:
    trained = f"{counted(one.epochs, 'epoch')}, seed {one.asked.seed}"
    return _row(one, one.title, original, one.metric, "; ".join([trained, *map(str, one.notes)]))


def _row(
    one: State | Baseline, name: str, original: State, metric: Metric | None, note: str, present: bool = False
) -> Row:
    return Row(
        id=one.id,
        name=name,
        parameters=size(one.parameters),
        macs=size(one.macs),
        share=percent(one.macs / max(original.macs, 1)),
        metric=metric_value(metric) or "not measured",
        count=f"{metric.split}, {sample_size(metric)}" if metric is not None else "",
        latency=f"{one.timings[-1].median:.3g} ms" if one.timings else "not measured",
        note=note,
        present=present,
    )


def _common_timing(original: State, last: State) -> tuple[Timing, Timing] | None:
    """Latencies of both at the place where the result was timed last; None where the original was not timed there."""
    places = {one.target.place: one for one in original.timings}
    found = [(places[one.target.place], one) for one in last.timings if one.target.place in places]
    return found[-1] if found else None


CLASSES, CONFUSIONS = 30, 10
"""Rows of the tables of what got worse."""
STYLE, TEMPLATE = "report.css", "report.j2"


def report_of(history: StateHistory, recipe: Recipe, state: str, machine: str = "") -> str:
    """The report of a state of a history; neither the model nor its data are opened.

    Args:
        history: Read.
        recipe: Of the state.
        state: Which.
        machine: Where the report's session ran, in words; this one where "".
    """
    # Predictions are in the folder of the history, which the stripped one does not name.
    bare, kept, history = strip_recipe(recipe), history, strip_history(history)
    first = bare.steps[0]
    assert isinstance(first, Open)
    changes = kept_changes(kept, next(iter(kept.states)), state) if state in kept.states else None
    facts = facts_of(
        history,
        state,
        first.outcome.widths,
        environment(history, first, machine),
        to_json(bare, indent=2).decode(),
        script_of(bare),
        changes if state != next(iter(kept.states)) else None,
        classes_that_pay(kept, state, [one for one in kept.baselines.values() if one.against == state]),
    )
    return render(facts)


def write_report(path: Path, history: StateHistory, recipe: Recipe, state: str) -> Path:
    """Write a report atomically; returns the path."""
    write(path, report_of(history, recipe, state).encode())
    return path


def render(facts: Facts) -> str:
    """Facts as HTML; every word in them is escaped."""
    from markupsafe import Markup

    # The style sheet is ours: nothing in it has to be escaped.
    style = Markup(_text(STYLE))
    return _environment().get_template(TEMPLATE).render(facts=facts, style=style).lstrip()


def environment(history: StateHistory, first: Open, machine: str = "") -> list[tuple[str, str]]:
    """What the numbers depend on, in words, without a path or a name of a person."""
    spec, made = history.spec, history.versions or versions()
    threads = f"{first.intent.threads} ({first.intent.dtype})"
    found = [
        ("Model", base_name(spec.source) if spec is not None else ""),
        ("Weights", base_name(spec.weights) if spec is not None and spec.weights else "default of the source"),
        ("Weights, sha256", first.outcome.weights),
        ("Data", data_words(history.task)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in made.items())),
        ("Threads", threads),
        ("Machine", machine or this_machine()),
    ]
    return [(name, words) for name, words in found if words]


def this_machine() -> str:
    """Processor, cores and system, without the machine's name."""
    from ..targets.bench import processor

    return f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


@cache
def _environment() -> "jinja2.Environment":
    # Slow to import, and a session rarely writes a report.
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def _text(name: str) -> str:
    return resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
