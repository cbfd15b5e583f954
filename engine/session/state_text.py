"""States in words, for reports, bundles and model cards: a model, its data, metrics, steps, places of measurement."""

from dataclasses import dataclass

from ..options import settings_of
from ..planning.infeasibility import goal_text
from ..recovery.protocol import RecoverySettings
from ..storage.paths import base_name
from ..targets.protocol import Timing
from ..tasks.protocol import Metric, Split, TaskSpec, metric_value
from ..text.format import counted, percent, size, thousands
from .state_history import StateHistory
from .states import PlanIntent, State, StateKind

KINDS = {
    StateKind.ORIGINAL: "Original",
    StateKind.CUT: "Cut",
    StateKind.RECOVERED: "Recovered",
    StateKind.ATTACHED: "Attached weights",
    StateKind.MASKED: "Learned masks",
}


def model_name(history: StateHistory) -> str:
    """The model for a person: resnet18, model.py:make; never a path."""
    return base_name(history.spec.source) if history.spec is not None else "model"


def metric_pair(original: State, last: State) -> tuple[Metric, Metric] | None:
    """The metric of both on one split, report before choose; None where there is none."""
    for split in (Split.TEST, Split.VAL):
        for first in original.metrics:
            alike = (metric for metric in last.metrics if metric.like(first))
            if first.split is split and (second := next(alike, None)) is not None:
                return first, second
    return None


def metric_of(state: State) -> Metric | None:
    """A state's metric: report before choose before any."""
    order = {Split.TEST: 0, Split.VAL: 1, Split.TRAIN: 2}
    return min(state.metrics, key=lambda metric: order[metric.split], default=None)


def sample_size(metric: Metric) -> str:
    """On how many samples, where anybody said it."""
    return f"n = {thousands(metric.count)}" if metric.count else "n unknown"


def where(timing: Timing) -> str:
    """Where a latency was measured: onnxruntime, 1 thread, batch 1, fp32."""
    target = timing.target
    threads = counted(target.threads, "thread")
    sizes = ["x".join(map(str, target.size))] if target.size else []
    prompt = [f"prompt of {target.tokens} tokens"] if target.tokens else []
    parts = [target.runtime, threads, f"batch {target.batch}", target.precision, *sizes, *prompt]
    return ", ".join([f"{target.machine}: {parts[0]}" if target.machine else parts[0], *parts[1:]])


def data_words(task: TaskSpec | None) -> str:
    """The data for a person, without a path."""
    if task is None:
        return "none"
    name = f" {base_name(task.path)}" if task.path else ""
    options = "".join(f", {key} {base_name(value)}" for key, value in task.options)
    return f"{task.kind}{name}, batch {task.batch}{options}"


@dataclass(frozen=True, slots=True)
class StepTold:
    """A step on the way to the result: a title, and lines of what was asked and what came out."""

    title: str
    lines: tuple[tuple[str, str], ...]


def step_told(before: State, one: State, original: State) -> StepTold:
    """What was asked in a step from one state to the next, and what came out, beside the original."""
    lines: list[tuple[str, str]] = []
    title = f"{KINDS[one.kind]} {one.id}"
    if one.kind is StateKind.CUT:
        gone = sum(map(len, one.removed.values())) - sum(map(len, before.removed.values()))
        title = f"{title}: {counted(gone, 'structure')}"
        lines += _intent(one.plan or PlanIntent())
    elif one.masks is not None:
        lines += [*_intent(one.masks.plan), ("Masks", counted(one.masks.steps, "step"))]
    elif one.recovery is not None:
        lines += _settings(one.recovery)
    lines += [("Scores", str(message)) for message in one.rated]
    lines += [] if one.searched is None else [("Search", str(one.searched))]
    lines += [("Repair", str(message)) for message in one.repaired]
    shares = (percent(one.parameters / max(original.parameters, 1)), percent(one.macs / max(original.macs, 1)))
    costs = f"{thousands(one.parameters)} parameters ({shares[0]}), {size(one.macs)} MACs ({shares[1]}), exact"
    lines.append(("Result", costs))
    lines += [(f"{m.name}, {m.split}", f"{metric_value(m)}, {sample_size(m)}, measured") for m in one.metrics]
    if one.verification is not None:
        lines.append(("Cut verified", f"equals the masked original, {one.verification.difference:.0e}"))
    return StepTold(title, tuple(lines))


def _intent(plan: PlanIntent) -> list[tuple[str, str]]:
    goal = plan.asked
    lines = [("Goal", str(goal_text(goal)) if goal is not None else "marked by hand")]
    if plan.criterion and goal is not None:
        lines.append(("Chosen by", f"{plan.criterion} scores, seed {plan.seed}, ranked by {goal.ranking}"))
        less = " or less" if goal.finer else ""
        lines.append(("Widths", f"multiples of {goal.multiple}{less}, at least {goal.least}"))
    if goal is not None and goal.scope:
        lines.append(("Scope", ", ".join(goal.scope)))
    for title, named in (("Locked", plan.locked), ("Marked by hand", plan.marked)):
        if named:
            lines.append((title, counted(sum(map(len, named.values())), "structure")))
    return lines


def _settings(told: RecoverySettings) -> list[tuple[str, str]]:
    """A line for each section of the settings; without training only what was repaired."""
    sections: dict[str, list[str]] = {}
    for one in settings_of(type(told)):
        if one.option.in_report and (told.trains or one.name == "repair"):
            value = one.words(getattr(told, one.name))
            sections.setdefault(one.option.section or "Recovery", []).append(f"{one.option.title}: {value}")
    return [(title, "; ".join(lines)) for title, lines in sections.items()]
