"""Sums over the responses of a set while batches go through: activity, deviation, how alike they are. Loads torch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..scoring.features import FeatureMoments
from ..scoring.input_moments import add_products
from .response_reading import SEVERAL, ResponseSource, require_finite

WIDEST = 16384
"""Columns beyond which no moments are gathered: they would take more than a gigabyte."""
TOGETHER = 512
"""Columns of the moments that are normalised at a time."""
SAME = 1e-5
"""Deviation, in shares of the largest of its set, up to which a structure responds the same everywhere."""


class ResponseTotals:
    """What is summed of the responses of a set.

    Attributes:
        source: Where they are read.
        structures: n.
        each: Values of a structure at a place that stay apart: they are compared by their kernels.
        seen: Samples.
    """

    def __init__(self, source: ResponseSource) -> None:
        """Begin with nothing."""
        self.source = source
        self.structures = len(source.columns) // source.each
        self.each = 1 if source.kind in SEVERAL else source.each
        self.seen = 0
        self._moments = FeatureMoments(*(np.zeros(self.structures) for _ in range(3)))
        self._above = np.zeros(self.structures)

    def add(self, x: Tensor, flags: Tensor | None, draw: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """Take in the responses of some samples.

        Args:
            x: [N, n, each, P] values.
            flags: [N, P] places that count, None for all.
            draw: How many of the places to draw at random.

        Returns:
            ([N, n, P] responses, their flags on the same device, [r, n * each] columns of the places that were drawn).

        Raises:
            TaskError: There is NaN or infinity among them.
        """
        x = x.detach()
        one = x[:, :, 0] if x.shape[2] == 1 else x.float().square().sum(2).sqrt()
        one = one.float() if one.element_size() < 4 else one
        count, structures, _, places = x.shape
        mask = None if flags is None else flags.to(x.device)
        rows = torch.arange(count * places) if mask is None else mask.flatten().nonzero().flatten().cpu()
        random = torch.Generator().manual_seed(self.seen)
        drawn = rows[torch.randperm(len(rows), generator=random)[:draw]]
        columns = x[(drawn // places).to(x.device), :, :, (drawn % places).to(x.device)].flatten(1)
        flat = one.transpose(1, 2).reshape(-1, structures) if mask is None else one.transpose(1, 2)[mask]
        require_finite(flat, self.source.name)
        variance, mean = torch.var_mean(flat, dim=0, correction=0)
        self._moments.add(slice(None), len(flat), mean.cpu().double().numpy(), variance.cpu().double().numpy())
        self._above += (flat > 0).sum(0).cpu().numpy()
        self.seen += count
        return one, mask, columns

    @property
    def active(self) -> NDArray[np.float32]:
        """[n] share of places and samples at which the response was above 0; NaN for norms."""
        share = self._above / np.maximum(self._moments.count, 1)
        return (np.full(self.structures, np.nan) if self.each > 1 else share).astype(np.float32)

    @property
    def deviation(self) -> NDArray[np.float32]:
        """[n] standard deviation of the response over places and samples."""
        return np.sqrt(self._moments.variance).astype(np.float32)

    @property
    def dead(self) -> NDArray[np.bool_]:
        """[n] the response was the same at every place of every sample."""
        return self.deviation <= SAME * float(self.deviation.max(initial=0))


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
