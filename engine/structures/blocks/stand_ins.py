"""Works out what a stand-in for a removed block must return."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from ...tracing.record import ModuleCall, Ref
from ..rules import Context
from ..solver.labels import Dim
from ..solver.solve import Solution
from ..value_uses import ValueUses


def alike(context: Context, solution: Solution, first: int, second: int) -> bool:
    """Two values of equal shape and type whose axes keep equal sizes whatever is removed."""
    record = context.record
    if record.shapes[first] != record.shapes[second] or record.dtypes[first] != record.dtypes[second]:
        return False
    nothing: list[Dim] = [None] * len(record.shapes[first])
    pairs = zip(context.dims.get(first, nothing), context.dims.get(second, nothing), strict=True)
    return all(_same(solution, one, other) for one, other in pairs)


def _same(solution: Solution, first: Dim, second: Dim) -> bool:
    """The same indices stay of both; an untracked axis keeps all of its own."""
    if first is second:
        return True
    if first is None or second is None:
        tracked = second if first is None else first
        return tracked is None or bool((solution.reason[solution.component[tracked]] >= 0).all())
    a, b = solution.component[first], solution.component[second]
    fixed = (solution.reason[a] >= 0) & (solution.reason[b] >= 0)
    return bool(np.all((a == b) | fixed))


def passed_values(usage: ValueUses, call: ModuleCall, given: str, result: int) -> dict[str, str]:
    """What stands for a result: what was given there, or a copy of it where code behind changes either in place.

    That change would otherwise reach the other one too, which the block kept apart.
    """
    values = (result, call.inputs[call.places.index(given)])
    return {"copy" if any(usage.overwritten(v, call.last) for v in values) else "input": given}


def place_of(call: ModuleCall, value: int) -> str:
    """Where a module call was given a value."""
    return call.places[call.inputs.index(value)]


def stand_in_result(call: ModuleCall, entries: dict[int, Any]) -> Any | None:
    """What a stand-in returns in place of a module: its result with these entries for its tensors, None for others.

    Args:
        call: The module's call.
        entries: Value to {"input": place} (hand it on), {"copy": place} or {"zeros": place} (zeros of its shape).
            Further values that the module returned as it was given them are handed on.

    Returns:
        As `runtime.load_pruned.StandIn` takes it; None where the result cannot be made again: it holds numbers, which
        may be sizes, or is of a class of its own.
    """
    passed = {v: {"input": p} for p, v in zip(call.places, call.inputs, strict=True) if v in call.outputs}
    try:
        return _filled(call.result, passed | entries)
    except _Unknown:
        return None


def replacements(call: ModuleCall, entry: Any) -> Iterator[tuple[int, int | None]]:
    """What a stand-in gives in place of each tensor of a result: (value, that input, or None for fresh memory).

    Args:
        call: The module's call.
        entry: What `stand_in_result` made of it.
    """
    given = dict(zip(call.places, call.inputs, strict=True))
    waiting: list[tuple[Any, Any]] = [(call.result, entry)]
    while waiting:
        part, made = waiting.pop()
        if isinstance(part, Ref):
            if made is not None:
                yield part.value, given[made["input"]] if "input" in made else None
        elif isinstance(part, dict):
            held = cast("dict[str, Any]", part)
            for key in ("tuple", "list"):
                waiting += zip(held.get(key, ()), made.get(key, ()), strict=True)
            for key in ("dict", "fields"):
                waiting += ((one, made[key][name]) for name, one in held.get(key, {}).items())


class _Unknown(Exception):
    """A part of a result that cannot be made again."""


def _filled(part: Any, entries: dict[int, Any]) -> Any:
    if isinstance(part, Ref):
        return entries.get(part.value)
    if part is None or isinstance(part, (bool, str)):
        return {"constant": part} if part is not None else None
    if not isinstance(part, dict) or "other" in part:
        raise _Unknown
    held = cast("dict[str, Any]", part)
    for kind in ("tuple", "list"):
        if kind in held:
            return {kind: [_filled(one, entries) for one in held[kind]]}
    name = "dict" if "dict" in held else "fields"
    return held | {name: {key: _filled(one, entries) for key, one in held[name].items()}}
