"""Groups of attributes to change together, where changing one alone does not help."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

AttributeValues: TypeAlias = Mapping[str, Sequence[Any]]
"""Attributes of a module with the values that each may have now."""
AttributeGroup: TypeAlias = dict[tuple[str, str], Any]
"""Values by (module path, attribute)."""


def joint_groups(
    suspects: Sequence[tuple[str, AttributeValues]], held: AttributeGroup, wrong: Collection[int]
) -> Iterator[AttributeGroup]:
    """Groups of attributes to be tried at once.

    Of each module the attributes that can have one value only: those that hold what was given in the first wrong call,
    and all with each value of one that can have several. Then those of a module and of the one around it.

    Args:
        suspects: Modules that may be at fault, the likeliest first.
        held: Present values.
        wrong: Sizes in the first call with wrong ones, as they were before the cut.
    """
    for path, found in suspects:
        sure = _sure(path, found)
        given = {key: value for key, value in sure.items() if _holds(held[key], wrong)}
        if 1 < len(given) < len(sure):
            yield given
        for name, values in found.items():
            if len(values) > 1:
                yield from ({**sure, (path, name): value} for value in values)
    for (path, found), (around, others) in pairwise(suspects):
        one, other = _sure(path, found), _sure(around, others)
        if one and other:
            yield {**one, **other}


def _holds(value: int | Sequence[int], wrong: Collection[int]) -> bool:
    return any(one in wrong for one in (value if isinstance(value, Sequence) else [value]))


def _sure(path: str, found: AttributeValues) -> AttributeGroup:
    return {(path, name): values[0] for name, values in found.items() if len(values) == 1}
