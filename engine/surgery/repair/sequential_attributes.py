"""Repairs attributes one after the other, each by the first wrong number that the audit finds.

Whether it runs further shows only once all of them have changed; which number is wrong first shows after each.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from .audit import Audit
from .joint_attributes import AttributeGroup

RepairOptions: TypeAlias = Callable[[Audit], Iterable[AttributeGroup]]
"""Changes that may help where an audit ended."""


def sequential_attributes(
    first: Audit, options: RepairOptions, run: Callable[[AttributeGroup], Audit]
) -> tuple[AttributeGroup, Audit] | None:
    """Values that make it run further than the first audit, and the audit with them; None where none are found.

    Args:
        first: Of the model as it is, with the numbers that its forwards give.
        options: Tried in their order.
        run: Audits the model with other values; it is as before afterwards.
    """
    chosen: AttributeGroup = {}
    now: Audit | None = first
    while now is not None and now.wrong:
        last, now = now, None
        for one in options(last):
            if one.keys() & chosen.keys():
                continue
            after = run({**chosen, **one})
            if after.passed or (after.right > last.right and after.matched > first.matched):
                return {**chosen, **one}, after
            if after.right > last.right and after.matched == first.matched:
                chosen, now = {**chosen, **one}, after
                break
    return None
