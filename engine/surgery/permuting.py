"""The permutation check: structures of a coupled set may change places without changing the function.

It tests the analysis itself: no surgery, no zeros, and it goes through every normalisation.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..structures.analysis import Analysis, Kind, Mask
from . import runtime
from .slicing import sliced_constants


def permute(model: nn.Module, analysis: Analysis, before: Mask, chosen: Mask, rng: np.random.Generator) -> None:
    """Shuffle, in place, the structures of every set of which one is chosen, over all tensors that they touch.

    Args:
        model: A private copy at state `before`.
        analysis: Of the original.
        before: What is gone already.
        chosen: Structures whose sets are shuffled.
        rng: Source of the order.
    """
    order = _orders(analysis, before, chosen, rng)
    gone = analysis.removed_positions(before)
    start = analysis.axis_start
    taken_of = [order[a:b][~gone[a:b]] - a for a, b in pairwise(start)]
    runtime.apply_edits(model, {"constants": list(sliced_constants(analysis, taken_of))})
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters())
    tensors.update(model.named_buffers())
    for info in analysis.tensors:
        tensor = tensors.get(info.name)
        if tensor is None:
            continue
        for dim, axis in enumerate(info.axes):
            if axis >= 0:
                low, high = analysis.axis_start[axis], analysis.axis_start[axis + 1]
                kept = np.flatnonzero(~gone[low:high])
                taken: NDArray[np.int64] = order[low:high][kept] - low
                places = np.searchsorted(kept, taken)
                if (places != np.arange(len(places))).any():
                    tensor.data = tensor.data.index_select(dim, torch.from_numpy(places).to(tensor.device))


def _orders(analysis: Analysis, before: Mask, chosen: Mask, rng: np.random.Generator) -> NDArray[np.int64]:
    """[P] for each position of an axis, the position whose values it takes.

    Structures change places with those that lie on the same axes, also on the way: not with those of another part.
    """
    axis_of = np.repeat(np.arange(len(analysis.axis_start) - 1), np.diff(analysis.axis_start))
    of_tensors = np.zeros(len(analysis.axis_start), dtype=np.bool_)
    of_tensors[[axis for tensor in analysis.tensors for axis in tensor.axes if axis >= 0]] = True
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
