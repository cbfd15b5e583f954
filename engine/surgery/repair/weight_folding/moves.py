"""Operators that only move entries: what they make of something that each entry of their operand has."""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....structures.solver.shape_factors import segments
from ....tracing.record import OperatorCall
from .degrees import Uneven, plain


def moved(call: OperatorCall, degree: NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    """What an operator that only moves entries makes of something that each entry of its operand has.

    Args:
        call: A call of an operator in `MOVES`.
        degree: [n, ...] as `Degree`, of any n.
        shapes: Of all values.
    """
    return MOVES[plain(call)](call, degree, shapes)


def _viewed(call: OperatorCall, degree: NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    before, after = shapes[next(call.refs())], shapes[call.outputs[0]]
    if math.prod(before) != math.prod(after):
        raise Uneven  # the same bytes as numbers of another type
    spread: list[int] = []
    result: list[int] = []
    for old, new in segments(before, after):
        whole = any(s > 1 for s in degree.shape[1:][old])
        spread += before[old] if whole else [1] * len(before[old])
        result += after[new] if whole else [1] * len(after[new])
    return [np.broadcast_to(degree, (len(degree), *spread)).reshape(len(degree), *result)]


def _permuted(call: OperatorCall, degree: NDArray[Any], _: Any) -> list[NDArray[Any]]:
    rank = degree.ndim - 1
    order, op = list(range(rank)), plain(call)
    if op == "aten.permute":
        order = [d % rank for d in call.arguments["dims"]]
    elif rank:
        default = (0, rank - 1) if op == "aten.t" else (0, 0)
        first, second = (call.arguments.get(n, d) % rank for n, d in zip(("dim0", "dim1"), default, strict=True))
        order[first], order[second] = order[second], order[first]
    return [degree.transpose(0, *(d + 1 for d in order))]


def _expanded(call: OperatorCall, degree: NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    lead = len(shapes[call.outputs[0]]) - (degree.ndim - 1)
    return [degree.reshape(len(degree), *[1] * lead, *degree.shape[1:])]


def _same(call: OperatorCall, degree: NDArray[Any], _: Any) -> list[NDArray[Any]]:
    return [degree] * len(call.outputs)


def _sliced(call: OperatorCall, degree: NDArray[Any], _: Any) -> list[NDArray[Any]]:
    given = call.arguments
    return [_at(degree, given.get("dim", 0), slice(given.get("start"), given.get("end"), given.get("step", 1)))]


def _selected(call: OperatorCall, degree: NDArray[Any], _: Any) -> list[NDArray[Any]]:
    axis = call.arguments["dim"] % (degree.ndim - 1) + 1
    return [degree.take(call.arguments["index"] if degree.shape[axis] > 1 else 0, axis)]


def _unbound(call: OperatorCall, degree: NDArray[Any], _: Any) -> list[NDArray[Any]]:
    axis = call.arguments.get("dim", 0) % (degree.ndim - 1) + 1
    return [degree.take(n if degree.shape[axis] > 1 else 0, axis) for n in range(len(call.outputs))]


def _divided(call: OperatorCall, degree: NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    axis: int = call.arguments.get("dim", 0) % (degree.ndim - 1)
    bounds = list(accumulate((shapes[o][axis] for o in call.outputs), initial=0))
    return [_at(degree, axis, slice(a, b)) for a, b in pairwise(bounds)]


def _at(degree: NDArray[Any], dim: int, part: slice) -> NDArray[Any]:
    axis = dim % (degree.ndim - 1) + 1
    return degree if degree.shape[axis] == 1 else degree[(*[slice(None)] * axis, part)]


MOVES: dict[str, Callable[[OperatorCall, NDArray[Any], Sequence[tuple[int, ...]]], list[NDArray[Any]]]] = {
    f"aten.{name}": move
    for move, names in (
        (_viewed, ("view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze")),
        (_permuted, ("permute", "transpose", "t")),
        (_expanded, ("expand",)),
        (_same, ("clone", "contiguous", "detach", "alias", "_to_copy", "lift_fresh")),
        (_sliced, ("slice",)),
        (_selected, ("select",)),
        (_unbound, ("unbind",)),
        (_divided, ("split", "split_with_sizes")),
    )
    for name in names
}
"""Operators that only move entries."""
