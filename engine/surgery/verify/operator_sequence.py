"""Tells whether two runs of a model took the same way through its code, by the operators that they ran."""

import itertools
from typing import Any

import torch

from ...tracing.record import Ref
from ...tracing.recorder import Attempt

CONVERSIONS = frozenset({"aten._to_copy", "aten.clone", "aten.detach", "aten.alias"})
"""Operators that a tensor of another type or layout may need, or no more, without another way through the code."""
PRODUCTS: dict[str, str] = dict.fromkeys(("aten.addmm", "aten.bmm", "aten.baddbmm"), "aten.mm")
"""Of these torch itself chooses one, by the type and layout of the operands."""
OperatorSequence = list[tuple[Any, ...]]


def operator_sequence(run: Attempt, resized: bool = False, retyped: bool = False) -> OperatorSequence | None:
    """The operators of a run: which module called them, what they read, their numbers; None where the run raised.

    Args:
        run: What ran.
        resized: Compared with a run at other sizes: numbers may be others.
        retyped: Compared with a run in another type, in which torch chooses other views and products by itself: only
            what computes counts.
    """
    if run.error is not None:
        return None
    found: OperatorSequence = []
    # Values are named by what made them, as runs number those differently of which nothing is made.
    names: dict[int, tuple[int, int]] = {}
    given = itertools.count()
    for one in run.calls:
        reads = tuple(names[v] if v in names else names.setdefault(v, (-1, next(given))) for v in one.reads)
        if one.op in CONVERSIONS:
            names.update(dict.fromkeys(one.outputs, reads[0]) if reads else ())
            continue
        names.update({value: (len(found), place) for place, value in enumerate(one.outputs)})
        if not retyped:
            literals = [value for value in one.arguments.values() if not isinstance(value, Ref)]
            found.append((one.op, one.module, reads, "" if resized else repr(literals)))
        elif not _is_view(one.op, one.overload):
            found.append((PRODUCTS.get(one.op, one.op), one.module))
    return found


def _is_view(op: str, overload: str) -> bool:
    if op == "aten._unsafe_view":
        return True
    namespace, _, name = op.partition(".")
    return bool(getattr(getattr(getattr(torch.ops, namespace), name), overload).is_view)
