"""The table of tests/benchmarks/README.md, from results."""

from collections.abc import Callable
from statistics import mean, median
from typing import Any

Result = dict[str, Any]
OWN_CLASS = ("none", "attributes", "weights")
"""Repairs with which a model's classes keep their own code, the slightest first."""


def table(results: dict[str, list[Result]]) -> str:
    """Markdown: one row a set, and below it every model that fell short, with the reason."""
    lines = [
        "| set | models | cut to half, runs | verified | any plan in its own class | plans for its own class "
        "| ONNX parity | free share: mean (min) | removed share | Torch-Pruning runs: removed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    short: list[str] = []
    for own, found in results.items():
        if found:
            lines.append(_row(own, found))
            short += [f"* {own} {r['name']}: {why}" for r in found for why in _shortfalls(r)]
    return "\n".join([*lines, "", *short])


def times(results: dict[str, tuple[dict[str, Result], dict[str, Result]]]) -> str:
    """Markdown: CPU time and memory of analysis, cuts and verifications, with those of before; models slowest first.

    Args:
        results: By set, the results now and those of before, by model. Only models that ran both times count.
    """
    lines = [
        "| set | models | analyse and cut, s: before | now | verify, s: before | now | peak, median MB: before | now "
        "| peak, most MB: before | now |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    slow: list[tuple[float, str]] = []
    for own, (now, before) in results.items():
        both = [(before[name], now[name]) for name in now if name in before and "engine" in now[name]]
        both = [pair for pair in both if not any("error" in one for one in pair)]
        if not both:
            continue
        cells = [own.removesuffix("_models"), str(len(both))]
        for stages in (("analyse", "cut"), ("verify",)):
            cells += [f"{sum(_seconds(pair[n], stages) for pair in both):.0f}" for n in (0, 1)]
        for of in (median, max):
            cells += [f"{of(pair[n]['peak_mb'] for pair in both):.0f}" for n in (0, 1)]
        lines.append("| " + " | ".join(cells) + " |")
        for old, new in both:
            spent = [_seconds(one, ("analyse", "cut", "verify")) for one in (old, new)]
            slow.append((spent[1], f"* {own} {new['name']}: {spent[0]:.1f} s before, {spent[1]:.1f} s now"))
    return "\n".join([*lines, "", *(words for _, words in sorted(slow, reverse=True)[:12])])


def _seconds(result: Result, stages: tuple[str, ...]) -> float:
    return sum(value for stage, value in result["seconds"].items() if stage.startswith(stages))


def _row(own: str, found: list[Result]) -> str:
    good = [r for r in found if "free" in r]
    free = [r["free"] for r in good]
    removed = [r["removed widths"] for r in good if "removed widths" in r]
    exported = [r for r in found if "onnx" in r and not str(r["onnx"]).startswith("unpruned")]
    cells = [
        own.removesuffix("_models"),
        str(len(found)),
        _share(found, lambda r: "error" not in r),
        _share(found, verified),
        _share(good, lambda r: worst_repair(r) in OWN_CLASS),
        _share(good, own_class),
        _share(exported, lambda r: not isinstance(r["onnx"], str)),
        f"{mean(free):.3f} ({min(free):.2f})" if free else "",
        f"{mean(removed):.2f}" if removed else "",
        _other(found),
    ]
    return "| " + " | ".join(cells) + " |"


def _other(found: list[Result]) -> str:
    """How many of the models Torch-Pruning cuts so that they run, and how much of those it removes; ours beside it."""
    tried = [r for r in found if "torch_pruning" in r]
    ran = [r for r in tried if "removed" in r["torch_pruning"] and "removed widths" in r]
    if not ran:
        return ""
    theirs, ours = (
        mean(values) for values in zip(*((r["torch_pruning"]["removed"], r["removed widths"]) for r in ran))
    )
    return f"{len(ran)}/{len(tried)}: {theirs:.2f} (ours of the same {ours:.2f})"


def verified(result: Result) -> bool:
    """Every cut of the model passed."""
    return "error" not in result and all(v for k, v in result.items() if k.startswith("verified"))


def worst_repair(result: Result) -> str:
    """The strongest repair that any cut of the model needed."""
    order = (*OWN_CLASS, "attention", "literals")
    return max((result[k] for k in ("repairs widths", "repairs depth") if k in result), key=order.index, default="none")


def own_class(result: Result) -> bool:
    """Half goes with the model's code as it is: of everything, or of what the constraints for that leave."""
    own = [v for k, v in result.items() if k.startswith("repairs own")]
    return worst_repair(result) in OWN_CLASS or (bool(own) and all(v in OWN_CLASS for v in own))


def _share(found: list[Result], good: Callable[[Result], bool]) -> str:
    count = sum(map(good, found))
    return f"{count}/{len(found)}" if found else ""


def _shortfalls(result: Result) -> list[str]:
    found: list[str] = []
    if "error" in result:
        found.append(f"{result.get('stage', '')}: {result['error']}")
    found += [str(v)[:200] for k, v in result.items() if k.startswith(("failed", "no own"))]
    if result.get("free", 1) < 0.99:
        found.append(f"free share {result['free']:.3f}: {result['fixed']}")
    if str(result.get("onnx", "")).startswith("failed"):
        found.append(f"ONNX {result['onnx']}")
    return found
