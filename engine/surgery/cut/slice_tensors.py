"""Slices tensors and constants to the indices that are kept."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...structures.analysis import Analysis


def slice_tensor(tensor: torch.Tensor, keeps: Sequence[NDArray[np.int64] | None], blank: bool = False) -> torch.Tensor:
    """The tensor with only the kept places of each dimension; a copy, contiguous.

    Args:
        tensor: A parameter's data, or a buffer.
        keeps: The places that each dimension keeps, None for all; () for all of all.
        blank: Make it on the meta device.
    """
    if blank or tensor.is_meta:
        shape = list(tensor.shape)
        for dim, kept in enumerate(keeps):
            if kept is not None:
                shape[dim] = len(kept)
        return torch.empty(shape, dtype=tensor.dtype, device="meta")
    cut = tensor.detach()
    for dim, kept in enumerate(keeps):
        if kept is not None:
            index = torch.from_numpy(kept)
            cut = cut.index_select(dim, index if cut.is_cpu else index.to(cut.device))
    return cut.clone() if all(kept is None for kept in keeps) else cut


def sliced_constants(analysis: Analysis, indices: Sequence[NDArray[np.int64]]) -> Iterator[Any]:
    """Constants of which the axes have these indices of the original's, in this order, where these are others.

    Args:
        analysis: Of the original.
        indices: For each axis.
    """
    places: dict[tuple[str, str, str], dict[int, Any]] = {}
    for one in analysis.constants:
        dims = tuple(
            (dim, one.shape[dim], tuple(indices[axis].tolist()))
            for dim, axis in enumerate(one.axes)
            if axis >= 0 and not np.array_equal(indices[axis], np.arange(one.shape[dim]))
        )
        places.setdefault((one.module, one.site, one.where), {})[one.number] = dims
    for (module, site, where), calls in places.items():
        each = {-1: next(iter(calls.values()))} if len(set(calls.values())) == 1 else calls
        yield from ((module, site, number, where, dims) for number, dims in each.items() if dims)
