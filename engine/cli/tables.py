"""Numbers in words: aligned tables for a person, and the same numbers as plain data for `--json`."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from ..errors import Message
from ..export.protocol import Exported
from ..planning.goal_verdict import GoalVerdict
from ..planning.infeasibility import amount_text, cost_name
from ..planning.protocol import Reached, plural
from ..recovery.training_curve import domain_curves
from ..session.states import State
from ..storage.serialization import to_plain
from ..structures.analysis import Analysis
from ..structures.outputs import outputs_in_words
from ..surgery.cut.edits import Verification
from ..tasks.protocol import Metric
from ..tasks.protocol import metric_value as metric_value
from ..text.format import byte_size as byte_size
from ..text.format import percent
from ..text.format import size as size
from ..text.format import thousands as thousands
from ..workflows.shape_answer import ShapePlan
from .flag_hints import with_hint


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows as lines with aligned columns, the first `left` of them to the left, the others to the right."""
    count = max((len(row) for row in rows), default=0)
    widths = [max((len(row[n]) for row in rows if n < len(row)), default=0) for n in range(count)]
    lines = (
        "  ".join(cell.ljust(widths[n]) if n < left else cell.rjust(widths[n]) for n, cell in enumerate(row))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def comparison(before: State, after: State) -> str:
    """A table of the original against a result."""
    rows = [
        ["", "original", "pruned", ""],
        ["parameters", size(before.parameters), size(after.parameters), percent(after.parameters / before.parameters)],
        ["MACs", size(before.macs), size(after.macs), percent(after.macs / max(before.macs, 1))],
    ]
    first, last = before.test_metric, after.test_metric
    if first is not None:
        change = ""
        if last is not None:
            by = last.value - first.value
            change = (f"{100 * by:+.1f} points" if first.percent else f"{by:+.3g}").replace("-", "−")
        label = f"{first.name} (n = {thousands(first.count)})"
        rows.append([label, metric_value(first), metric_value(last), change])
    return columns(rows)


def asked_and_got(reached: Sequence[Reached]) -> list[str]:
    """A line for each limited cost."""
    return [
        f"{cost_name(one.cost)}: asked for {amount_text(one.cost, one.asked)}, got {amount_text(one.cost, one.got)}"
        for one in reached
    ]


def verification_text(verification: Verification | None) -> str:
    """What a verification shows, in one line."""
    if verification is None:
        return ""
    count = len(verification.checks)
    lines = [*map(str, verification.scope), *(f"not checked: {reason}" for reason in verification.skipped)]
    below = "".join(f"\n  {line}" for line in lines)
    return (
        f"cut verified: equals the masked original, {verification.difference:.0e} in {count} comparisons "
        f"(says nothing about accuracy){below}"
    )


def export_line(exported: Exported) -> str:
    """What was written, in one line."""
    metric = exported.metric
    on_file = f", {metric.name} on the file {metric_value(metric)}" if metric is not None else ""
    files = ", ".join(exported.files)
    notes = "".join(f"\n  {note}" for note in exported.notes)
    opset = f", opset {exported.opset}" if exported.opset else ""
    differs = "" if exported.difference is None else f", differs from the model by {exported.difference:.0e}"
    return f"wrote {files} ({exported.bytes / 1e6:.2f} MB{differs}{on_file}{opset}){notes}"


def costs_of(state: State) -> dict[str, int]:
    """A state's costs for JSON."""
    return {"parameters": state.parameters, "macs": state.macs}


def verification_of(verification: Verification | None) -> dict[str, Any] | None:
    """A verification for JSON, with its verdict."""
    if verification is None:
        return None
    numbers = {"passed": verification.passed, "difference": verification.difference}
    return numbers | to_plain(verification) | {"scope": [str(line) for line in verification.scope]}


def outputs_of(analysis: Analysis) -> dict[str, Any]:
    """The model's outputs for JSON: what plans preserve and what they may make narrower."""
    every = [(one.preserved, {"path": one.path, "shape": list(one.shape)}) for one in analysis.returned]
    return {
        "preserved_outputs": [one for preserved, one in every if preserved],
        "narrower_outputs": [one for preserved, one in every if not preserved],
    }


def outputs_lines(analysis: Analysis) -> list[str]:
    """The same in words."""
    return [with_hint(one) for one in outputs_in_words(analysis.returned)]


def repairs_of(repairs: Sequence[Message]) -> list[dict[str, Any]]:
    """Repairs for JSON: a code, its arguments, and the sentence."""
    return [{"code": one.code, "text": str(one), "arguments": dict(one.arguments)} for one in repairs]


def layer_repairs_of(states: Sequence[State]) -> list[str]:
    """Which layers were repaired in recoveries, which were not and why, in words; of several recoveries by state."""
    repairs = [(one.id, message) for one in states for message in one.repaired]
    several = len({name for name, _ in repairs}) > 1
    return [f"{name}: {message}" if several else str(message) for name, message in repairs]


def searches_of(states: Sequence[State]) -> list[str]:
    """What limits the scores of plans, and what came of searches for their shares, in words."""
    return [str(said) for one in states for said in (*one.rated, one.searched) if said is not None]


def stops_of(states: Sequence[State]) -> list[str]:
    """Why recoveries ended before their time, in words."""
    return [str(one.stopped) for one in states if one.stopped is not None]


def domains_of_states(states: Sequence[State]) -> dict[str, Any] | None:
    """How each domain of text was mixed in the last training that did so, for JSON; None where none did."""
    found = next((curves for one in reversed(states) if (curves := domain_curves(one.curve))), None)
    if found is None:
        return None
    return {
        name: [
            {
                "step": step,
                "share": one.share,
                "loss": one.loss if isfinite(one.loss) else None,
                "reference": one.reference if isfinite(one.reference) else None,
            }
            for step, one in points
        ]
        for name, points in found.items()
    }


def metrics_of(states: Sequence[tuple[str, State]]) -> dict[str, Any]:
    """The reported metrics by the name of the state, for JSON."""
    found = ((name, metric) for name, state in states if (metric := state.test_metric) is not None)
    return {name: metric_of(metric) for name, metric in found}


def metric_of(metric: Metric) -> dict[str, Any]:
    """A metric for JSON, with its n."""
    plain: dict[str, Any] = to_plain(metric)
    # Replicates and predictions only serve differences, which are printed by themselves.
    inner = ("replicates", "predictions")
    return {"n" if key == "count" else key: value for key, value in plain.items() if key not in inner}


def goal_of(verdict: GoalVerdict | None) -> dict[str, Any] | None:
    """A verdict on a goal for JSON; null where nothing was limited."""
    if verdict is None:
        return None
    metric = verdict.metric
    about_metric = None
    if metric is not None:
        about_metric = {
            "name": metric.name,
            "split": None if metric.split is None else str(metric.split),
            "n": metric.count,
            "percent": metric.percent,
            "loss": metric.loss,
            "error": metric.error,
            "allowed": metric.allowed,
            "met": metric.met,
            "text": str(metric.clause),
        }
    costs = [
        {
            "cost": str(one.cost),
            "original": one.original,
            "asked": one.asked,
            "got": one.got,
            "predicted": one.predicted,
            "met": one.met,
            "text": str(one.clause),
        }
        for one in verdict.costs
    ]
    quality = [
        {"name": one.name, "allowed": one.allowed, "got": one.got, "met": one.met, "text": str(one.clause)}
        for one in verdict.quality
    ]
    return {
        "met": verdict.met,
        "sentence": str(verdict.sentence),
        "metric": about_metric,
        "costs": costs,
        "quality": quality,
    }


def export_of(exported: Exported | None) -> dict[str, Any] | None:
    """An export for JSON."""
    if exported is None:
        return None
    metric = None if exported.metric is None else metric_of(exported.metric)
    return to_plain(exported) | {"metric": metric}


def shape_content(plan: ShapePlan) -> dict[str, Any]:
    """The sizes, the key/value cache and remarks for JSON; of what is fixed the reason in words.

    A step is None where a configuration decides which numbers go together.
    """
    cached = plan.cached
    return {
        "sizes": [
            to_plain(one)
            | {"fixed": str(one.fixed or ""), "step": None if one.step and one.kind in plan.joint else one.step}
            for one in plan.sizes
        ],
        "cached": None if cached is None else {"before": cached[0], "after": cached[1]},
        "notes": list(map(str, plan.notes)),
    }


def shape_lines(plan: ShapePlan) -> list[str]:
    """A table with a row for each kind that layers have, a line for the cache, and remarks."""
    rows = [["in each layer", "original", "kept", "possible"]]
    for one in plan.sizes:
        steps = ", as the configuration allows" if one.kind in plan.joint else f", in steps of {one.step:,}"
        possible = f"{one.least:,} and more{steps}" if one.step else "fixed"
        name = "layers of the model" if one.kind == "block" else plural(one.kind)
        rows.append([name, _numbers(one.sizes), _numbers(one.kept), possible])
    lines = columns(rows).splitlines()
    if plan.cached is not None:
        before, after = plan.cached
        lines.append(
            f"key/value cache: {before:,} -> {after:,} numbers a token ({percent(after / max(before, 1))}), "
            f"in 16 bits {2 * before:,} -> {2 * after:,} bytes"
        )
    return [*lines, *map(str, plan.notes)]


def _numbers(values: tuple[int, ...]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}" if values else "0"
