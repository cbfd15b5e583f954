"""Sums of the products of all pairs of columns, where each pair is computed once. Loads torch."""

import torch
from torch import Tensor

PANEL = 512
"""Columns that are computed together, from the diagonal downwards."""


def add_products(total: Tensor, columns: Tensor) -> None:
    """Add columns^T columns to a total, in place: on and below the diagonal, and above it what its panels hold.

    Args:
        total: [k, k].
        columns: [n, k] of the same type.
    """
    for first in range(0, columns.shape[1], PANEL):
        last = first + PANEL
        total[first:last, :last].addmm_(columns[:, first:last].T, columns[:, :last])


def whole_products(total: Tensor) -> Tensor:
    """[k, k] in float64, of a total that `add_products` made or a sum of such."""
    found = total.to(torch.float64, copy=True)
    for first in range(0, len(found), PANEL):
        last = first + PANEL
        found[:first, first:last] = found[first:last, :first].T
        block = found[first:last, first:last]
        block.copy_(block.tril() + block.tril(-1).T)
    return found
