"""The operators of a run with their literal numbers, which no cut may change.

A forward may divide by its width, branch on it, loop over it or make a constant of it. Nothing of that shows in the
sizes of results, so a cut model's operators and numbers are compared one by one with the record's.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..tracing.record import OperatorCall, Record, Ref

PASSING = frozenset(
    f"aten.{name}"
    for name in (
        "view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose", "t", "unsqueeze", "squeeze",
        "expand", "select", "index_select", "slice", "split", "split_with_sizes", "unbind", "clone", "copy_", "detach",
        "alias", "contiguous", "_to_copy", "empty", "empty_like", "new_empty", "empty_strided", "arange",
    )
)  # fmt: skip
"""Operators that only pass numbers on: torch takes one or another of them by the layout of its operands."""
PRODUCTS = frozenset(
    f"aten.{name}" for name in ("mm", "addmm", "bmm", "baddbmm", "convolution", "_convolution", "add", "add_")
)
"""Products and sums, spelled in several ways; how many products there are is compared elsewhere."""
CHOOSING = frozenset(f"aten.{name}" for name in ("nonzero", "_local_scalar_dense", "masked_select", "_unique2", "item"))
"""What comes after these may differ with the values, where weights made them."""
TYPES = ("dtype", "device", "layout", "memory_format")
"""Of torch's objects among arguments, those that are the same in every process."""
FILLING = ("fill_value", "value", "s")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator with the numbers in it.

    Attributes:
        op: Its name.
        module: Module that called it.
        numbers: Scalars that go into its result, in the order of its arguments.
        call: Number of the call in the record.
        dead: Nothing depends on it, so its numbers are its own.
    """

    op: str
    module: str
    numbers: tuple[float, ...]
    call: int
    dead: bool = False


def operations(
    calls: Iterable[OperatorCall], weights: Iterable[int], dead: Collection[int] = frozenset()
) -> Iterator[Operation]:
    """The operators that compute, up to the first on whose values the further course depends.

    Args:
        calls: Of one run.
        weights: Values of parameters and buffers. What is made of inputs alone is the same before and after a cut, so
            a choice by it (is anything masked?) ends nothing.
        dead: Numbers of calls on which nothing depends.
    """
    weighted = set(weights)
    for number, call in enumerate(calls):
        if not weighted.isdisjoint(call.refs()):
            if call.op in CHOOSING or "nms" in call.op:
                return
            weighted.update(call.outputs)
        # Of a pointwise operator all numbers count; of others floats and what fills a tensor: whole numbers are sizes.
        numbers = list[float]()
        for name, value in call.arguments.items():
            if name == "constant":
                numbers += value
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                neutral = name in ("alpha", "beta") and value == 1
                if not neutral and (call.pointwise or isinstance(value, float) or name in FILLING):
                    numbers.append(float(value))
        if call.op not in PASSING and not changes_layout_only(call) and (numbers or call.op not in PRODUCTS):
            yield Operation(call.op, call.module, tuple(numbers), number, number in dead)


def changes_layout_only(call: OperatorCall) -> bool:
    """An `as_strided` that leaves every element at its index: torch gives sizes of one other strides in this way."""
    if call.op not in ("aten.as_strided", "aten.as_strided_"):
        return False
    sizes, steps = call.arguments["sizes"], zip(call.arguments["stride"], call.arguments["strides"], strict=False)
    same = all(size == 1 or after == before for size, (after, before) in zip(sizes, steps, strict=False))
    return call.arguments["size"] == sizes and same and not call.arguments["storage_offset"]


def digest(record: Record) -> str:
    """sha256 of a run: each operator with all of its arguments, whole numbers (strides) and types among them.

    Of tensors it holds which values they are, with shape and type, but not their numbers.
    """
    content = hashlib.sha256(
        repr((record.shapes, record.dtypes, record.inputs, (*record.outputs, *record.handed))).encode()
    )
    for source in record.sources:
        content.update(repr((source.name, source.aliases, source.value)).encode())
    for call in record.calls:
        given = sorted((name, _stable_words(value)) for name, value in call.arguments.items())
        content.update(repr((call.op, call.overload, call.module, call.outputs, given)).encode())
    return content.hexdigest()


def _stable_words(value: Any) -> str:
    """An argument in words that are the same in every process."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_stable_words, cast('Sequence[Any]', value)))}]"
    known = isinstance(value, int | float | complex | str | Ref) or type(value).__name__ in TYPES
    return repr(value) if known else type(value).__name__
