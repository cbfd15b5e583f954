"""The plots of a report: what accuracy costs, and the recovery_curve of each recovery."""

from collections.abc import Callable, Sequence

from ..baselines.protocol import Baseline
from ..recovery.training_curve import domain_curves
from ..session.state_history import StateHistory
from ..session.state_text import KINDS, metric_of, where
from ..session.states import State, StateKind
from ..tasks.metric_text import metric_value
from ..tasks.protocol import Split
from .plots import SMALL, WIDE, Given, Plot, curve, curves, scatter
from .report_types import Curve


def tradeoffs(history: StateHistory, last: State, beside: Sequence[Baseline]) -> list[Plot]:
    """The metric against the MACs, and against the latency at the place where the result was timed last.

    Without learned masks: their metric is that of the cut to come, their costs are those of the whole model.
    """
    original = next(iter(history.states.values()))
    first = metric_of(original)
    states = [one for one in history.states.values() if one.kind is not StateKind.MASKED]
    judged = [one for one in states if (m := metric_of(one)) is not None and m.like(first)]
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


def _at(one: State | Baseline, place: tuple[object, ...]) -> float | None:
    """Milliseconds at a place, None where it was not timed there."""
    return next((timing.median for timing in one.timings if timing.target.place == place), None)


def recovery_curve(one: State, original: State) -> Curve | None:
    """The losses and the metric of a recovery by step; None where nothing was noted."""
    losses = [(point["step"], point["loss"]) for point in one.curve if "loss" in point and "step" in point]
    metric = next((m for m in one.metrics if m.split is Split.VAL), None)  # what a recovery looks at
    scale = 100 if metric is not None and metric.percent else 1
    found = [(p["step"], scale * p["metric"]) for p in one.curve if "metric" in p and "step" in p]
    name = f"{metric.name}, {metric.split}{', %' if metric.percent else ''}" if metric is not None else "metric"
    level = None
    if metric is not None:
        own = next((one for one in original.metrics if one.like(metric)), None)
        level = (scale * own.value, "original") if own is not None else None
    plots = [
        curve(f"Loss of {one.id} by step", "step", "loss", losses),
        curve(f"{name} of {one.id} by step", "step", name, found, level),
        *_domain_plots(one),
    ]
    shown_plots = tuple(plot for plot in plots if plot is not None)
    return Curve(f"{KINDS[one.kind]} {one.id}", shown_plots) if shown_plots else None


def _domain_plots(one: State) -> list[Plot | None]:
    """Loss and share of each domain of text that a recovery mixed; dashed the loss that leads it."""
    found = domain_curves(one.curve)
    losses = {name: [(step, at.loss) for step, at in some] for name, some in found.items()}
    shares = {name: [(step, 100 * at.share) for step, at in some] for name, some in found.items()}
    levels = {name: some[-1][1].reference for name, some in found.items()}
    return [
        curves(
            f"Loss by domain of {one.id} by step", "step", "loss by domain, nats (dashed: reference)", losses, levels
        ),
        curves(f"Share of domains of {one.id} by step", "step", "share of the sequences, %", shares),
    ]
