"""The permutation check: permuting the structures of a coupled set must not change the outputs.

It tests the analysis itself: no surgery, no zeros, and it goes through every normalisation.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...structures.analysis import Analysis, Kind, Mask
from ..cut.slice_tensors import sliced_constants


class Permutation(NamedTuple):
    """Structures that change places.

    Attributes:
        orders: By tensor and dimension: for each place the one whose values it takes.
        constants: The same for what the code makes itself, as in `Edits.constants`.
    """

    orders: Mapping[str, Mapping[int, NDArray[np.int64]]]
    constants: tuple[Any, ...] = ()


def permuted(analysis: Analysis, before: Mask, chosen: Mask, rng: np.random.Generator) -> Permutation:
    """The structures of every set of which one is chosen shuffled, over all tensors that they touch.

    Args:
        analysis: Of the original.
        before: What is gone already.
        chosen: Structures whose sets are shuffled.
        rng: Source of the order.

    Returns:
        Places in the numbering of `before`.
    """
    order = _orders(analysis, before, chosen, rng)
    gone = analysis.removed_positions(before)
    taken_of = [order[a:b][~gone[a:b]] - a for a, b in pairwise(analysis.axis_start)]
    found: dict[str, dict[int, NDArray[np.int64]]] = {}
    for info in analysis.tensors:
        for dim, axis in enumerate(info.axes):
            if axis >= 0:
                low, high = analysis.axis_start[axis], analysis.axis_start[axis + 1]
                kept = np.flatnonzero(~gone[low:high])
                taken: NDArray[np.int64] = order[low:high][kept] - low
                places = np.searchsorted(kept, taken)
                if (places != np.arange(len(places))).any():
                    found.setdefault(info.name, {})[dim] = places
    return Permutation(found, tuple(sliced_constants(analysis, taken_of)))


def _orders(analysis: Analysis, before: Mask, chosen: Mask, rng: np.random.Generator) -> NDArray[np.int64]:
    """[P] for each position of an axis, the position whose values it takes.

    Structures change places with those that lie on the same axes, also on the way: not with those of another part.
    """
    axis_of = np.repeat(np.arange(len(analysis.axis_start) - 1), np.diff(analysis.axis_start))
    of_tensors = np.zeros(len(analysis.axis_start), dtype=np.bool_)
    of_tensors[[axis for one in (*analysis.tensors, *analysis.constants) for axis in one.axes if axis >= 0]] = True
    order = np.arange(len(axis_of), dtype=np.int64)
    for one in analysis.sets:
        if one.kind is Kind.BLOCK or not chosen[one.structures].any():
            continue
        alike: dict[bytes, list[NDArray[np.int64]]] = {}
        for structure in one.first + np.flatnonzero(~before[one.structures]):
            member = analysis.member_position[analysis.member_start[structure] : analysis.member_start[structure + 1]]
            on = axis_of[member]
            alike.setdefault(on.tobytes(), []).append(member[of_tensors[on]])
        step = np.arange(len(order), dtype=np.int64)
        for members in alike.values():
            for old, new in enumerate(rng.permutation(len(members))):
                step[members[old]] = members[new]
        order = order[step]
    return order
