"""How alike the responses of structures are, from moments that are summed while batches go through. Loads torch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..scoring.input_moments import add_products

WIDEST = 16384
"""Columns beyond which no moments are gathered: they would take more than a gigabyte."""
TOGETHER = 512
"""Columns of the moments that are normalised at a time."""


class ResponseMoments:
    """Sums over columns of responses.

    Attributes:
        rows: How many rows were added.
    """

    def __init__(self, structures: int, each: int) -> None:
        """Take `structures` with `each` columns."""
        self.rows = 0
        self._structures, self._each = structures, each
        self._products: Tensor | None = None
        self._sums: Any = 0.0
        self._origin: Any = 0.0

    def add(self, columns: Tensor) -> None:
        """Take in rows [r, structures * each], structure by structure."""
        columns = columns.float()
        if self._products is None:
            # Sums of squares lose the variance where the mean is large against it.
            self._origin = columns.mean(0)
            self._products = columns.new_zeros(columns.shape[1], columns.shape[1])
        columns = columns - self._origin
        self.rows += len(columns)
        self._sums = self._sums + columns.sum(0)
        add_products(self._products, columns)

    def partners(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """([n, p] rows of the structures most alike to each, -1 for none, [n, p] how much), p at most `most`.

        Of single columns it is Pearson's correlation, ordered by its size; of several the root of the linear centred
        kernel alignment (Kornblith et al. 2019), which is the same but for the sign.
        """
        count, each = self._structures, self._each
        most = min(most, count - 1)
        rows, values = np.full((count, max(most, 0)), -1, np.int64), np.zeros((count, max(most, 0)), np.float32)
        if self._products is None or most < 1 or self.rows < 2:
            return rows, values
        firsts = range(0, count, self._step)
        if each > 1:
            norms = torch.cat([self._aligned(first).diagonal(first) for first in firsts])
        else:
            norms = torch.cat([self._block(first).diagonal(first) for first in firsts])
        norms = norms.clamp_min(0).sqrt()
        alive = norms > norms.max() * 1e-5
        for first in firsts:
            found = self._aligned(first) if each > 1 else self._block(first)
            last = first + len(found)
            found = found / (norms[first:last, None] * norms).clamp_min(1e-30)
            found = found.clamp_min(0).sqrt() if each > 1 else found
            found[~alive[first:last]] = 0
            found[:, ~alive] = 0
            found[torch.arange(len(found)), torch.arange(first, last)] = 0
            _, best = found.abs().topk(most, dim=1)
            some = found.gather(1, best).clamp(-1, 1)
            values[first:last] = some.cpu().numpy()
            rows[first:last] = np.where(values[first:last] != 0, best.cpu().numpy(), -1)
        return rows, values

    @property
    def _step(self) -> int:
        return max(TOGETHER // self._each, 1)

    def _block(self, first: int) -> Tensor:
        """[s * each, n * each] covariances of the columns of some structures with those of all."""
        products, each = self._products, self._each
        assert products is not None
        top, end = first * each, min((first + self._step) * each, len(products))
        # Only what is on and below the diagonal was summed.
        own = products[top:end, top:end].tril()
        parts = (products[top:end, :top], own + own.tril(-1).T, products[end:, top:end].T)
        mean = self._sums / self.rows
        return torch.cat(parts, 1) / self.rows - torch.outer(mean[top:end], mean)

    def _aligned(self, first: int) -> Tensor:
        """[s, n] squared Frobenius norms of the covariances between some structures and all."""
        whole = self._block(first)
        return whole.view(-1, self._each, self._structures, self._each).square().sum((1, 3))
