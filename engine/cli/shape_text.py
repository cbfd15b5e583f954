"""A shape in words and as plain data: what each kind has, keeps, and could keep."""

from typing import Any

from ..planning.protocol import plural
from ..planning.target_shape import KindSize
from ..storage.serialization import to_plain
from ..text.format import percent
from ..workflows.shape_answer import ShapePlan
from .tables import columns


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
    rows = [
        ["in each layer", "original", "kept", "possible"],
        *(_row(one, one.kind in plan.joint) for one in plan.sizes),
    ]
    lines = columns(rows).splitlines()
    if plan.cached is not None:
        before, after = plan.cached
        lines.append(
            f"key/value cache: {before:,} -> {after:,} numbers a token ({percent(after / max(before, 1))}), "
            f"in 16 bits {2 * before:,} -> {2 * after:,} bytes"
        )
    return [*lines, *map(str, plan.notes)]


def _row(one: KindSize, joint: bool) -> list[str]:
    steps = ", as the configuration allows" if joint else f", in steps of {one.step:,}"
    possible = f"{one.least:,} and more{steps}" if one.step else "fixed"
    name = "layers of the model" if one.kind == "block" else plural(one.kind)
    return [name, _numbers(one.sizes), _numbers(one.kept), possible]


def _numbers(values: tuple[int, ...]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}" if values else "0"
