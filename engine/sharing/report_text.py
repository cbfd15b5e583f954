"""What a report and a bundle call a model, its data, a state's metric and a place where latency was measured."""

from ..session.state_history import StateHistory
from ..session.states import State, StateKind
from ..targets.protocol import Timing
from ..tasks.protocol import Metric, Split, TaskSpec
from ..text.format import counted, thousands
from .anonymise import base_name

KINDS = {
    StateKind.ORIGINAL: "Original",
    StateKind.CUT: "Cut",
    StateKind.RECOVERED: "Recovered",
    StateKind.ATTACHED: "Attached weights",
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
