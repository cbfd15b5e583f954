"""A shape in words and as plain data: what each kind has, keeps, and could keep."""

from typing import Any

from ..planning.protocol import plural
from ..planning.target_shape import KindSize
from ..storage.serialization import to_plain
from ..text.format import percent
from ..workflows.shape_plan import ShapePlan
from .tables import columns


def shape_content(plan: ShapePlan) -> dict[str, Any]:
    """The sizes and the key/value cache for JSON; of what is fixed the reason in words."""
    cached = plan.cached
    return {
        "sizes": [to_plain(one) | {"fixed": str(one.fixed or "")} for one in plan.sizes],
        "cached": None if cached is None else {"before": cached[0], "after": cached[1]},
    }


def shape_lines(plan: ShapePlan) -> list[str]:
    """A table with a row for each kind that layers have, and a line for the cache."""
    rows = [["in each layer", "original", "kept", "possible"], *map(_row, plan.sizes)]
    lines = columns(rows).splitlines()
    if plan.cached is not None:
        before, after = plan.cached
        lines.append(
            f"key/value cache: {before:,} -> {after:,} numbers a token ({percent(after / max(before, 1))}), "
            f"in 16 bits {2 * before:,} -> {2 * after:,} bytes"
        )
    return lines


def _row(one: KindSize) -> list[str]:
    possible = f"{one.least:,} and more, in steps of {one.step:,}" if one.step else "fixed"
    name = "layers of the model" if one.kind == "block" else plural(one.kind)
    return [name, _numbers(one.sizes), _numbers(one.kept), possible]


def _numbers(values: tuple[int, ...]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}" if values else "0"
