"""The common factors of two shapes of the same numbers."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

ShapeFactors: TypeAlias = list[tuple[int, ...]]
"""For each dimension of a shape, the sizes it consists of."""


def segments(before: Sequence[int], after: Sequence[int]) -> list[tuple[slice, slice]]:
    """Cut two shapes at all boundaries that both have: pairs of ranges of dimensions with equally many numbers."""
    found: list[tuple[slice, slice]] = []
    i, j = len(before), len(after)
    while i and j and 0 not in before and 0 not in after:
        end, other_end = i, j
        i, j = i - 1, j - 1
        while math.prod(before[i:end]) != math.prod(after[j:other_end]):
            if math.prod(before[i:end]) < math.prod(after[j:other_end]):
                i -= 1
            else:
                j -= 1
        found.append((slice(i, end), slice(j, other_end)))
    if i or j:  # sizes of one in front, or nothing at all
        first, second = found.pop() if found else (slice(len(before), len(before)), slice(len(after), len(after)))
        found.append((slice(0, first.stop), slice(0, second.stop)))
    return found[::-1]


def refine(before: Sequence[int], after: Sequence[int]) -> tuple[ShapeFactors, ShapeFactors] | None:
    """The finest common factors of two shapes: for each dimension of either, the sizes it consists of.

    Sizes of one never carry a factor. None when the boundaries do not nest (6 as 2 x 3 and as 3 x 2).
    """
    if 0 in before or 0 in after:
        return None
    bounds = sorted(set(_bounds(before)) | set(_bounds(after)))
    if any(b % a for a, b in pairwise(bounds)):
        return None

    def parts(shape: Sequence[int]) -> ShapeFactors:
        found: ShapeFactors = []
        below = 1
        for size in reversed(shape):
            inside = [b for b in bounds if below <= b <= below * size]
            found.append(tuple(b // a for a, b in pairwise(inside))[::-1])
            below *= size
        return found[::-1]

    return parts(before), parts(after)


def _bounds(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[i:]) for i in range(len(shape) + 1)]
