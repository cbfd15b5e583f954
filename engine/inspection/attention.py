"""Where the heads of attention look, from the softmax of their scores. Loads torch."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .response_data import AttentionView, MapForm
from .sample_views import SampleReader, grid_of

SHOWN = 9
"""Samples whose attention is kept: the first ones, the same for all heads, so that heads can be compared."""
TOKENS = 32
"""Tokens of a text between which attention is shown, from its beginning."""


class AttentionSums:
    """Adds up what heads attend to while batches go through, and keeps maps of the first samples."""

    def __init__(self, structures: int) -> None:
        """Take how many structures the heads belong to: each has equally many of them, one behind the other."""
        self._structures = structures
        self._queries = 0.0
        self._sums = torch.zeros(3, structures, dtype=torch.float64)
        self._samples: list[int] = []
        self._maps: list[Tensor] = []
        self._form = MapForm.NONE

    def add(self, weights: Tensor, batch: int, numbers: list[int], reader: SampleReader, flags: Any) -> bool:
        """Take in attention after its softmax.

        Args:
            weights: [N, heads, queries, keys] or [N * heads, queries, keys].
            batch: N.
            numbers: Of the samples.
            reader: Has looked at the batch.
            flags: [N, queries] tokens that count, None where all do.

        Returns:
            Whether it is the attention of these heads, over tokens of the samples: not so for windows of an image.
        """
        if weights.ndim == 3 and len(weights) % batch == 0:
            weights = weights.reshape(batch, -1, *weights.shape[1:])
        heads = int(weights.shape[1]) if weights.ndim == 4 else 0
        if len(weights) != batch or not heads or heads % self._structures or weights.shape[-1] != weights.shape[-2]:
            return False
        tokens = int(weights.shape[-1])
        each = weights.float().reshape(batch, self._structures, -1, tokens, tokens).mean(2)  # [N, n, T, T]
        grid = grid_of(tokens, reader.size)
        counts = each.new_ones(batch, tokens) if flags is None else flags.to(each.device, each.dtype)
        entropy = -(each * each.clamp_min(1e-30).log2()).sum(-1)
        apart = _distances(tokens, grid).to(each.device)
        for place, values in enumerate((entropy, (each * apart).sum(-1), each[..., 0])):
            self._sums[place] += (values * counts[:, None]).sum((0, 2)).double().cpu()
        self._queries += float(counts.sum())
        for row in range(min(batch, SHOWN - len(self._samples))):
            self._samples.append(numbers[row])
            self._maps.append(_map_of(each[row], grid).cpu())
        self._form = MapForm.TOKENS if grid is None else MapForm.IMAGE
        return True

    @property
    def samples(self) -> list[int]:
        """Numbers of the samples of which there are maps."""
        return self._samples

    def view(self, places: dict[int, int]) -> AttentionView | None:
        """What was found, with samples by their places; None where nothing was seen."""
        if not self._queries:
            return None
        size = tuple(max(int(one.shape[d]) for one in self._maps) for d in (1, 2))
        maps = np.zeros((self._structures, len(self._maps), *size), np.uint8)
        for number, one in enumerate(self._maps):
            maps[:, number, : one.shape[1], : one.shape[2]] = one.numpy()
        mean = (self._sums / self._queries).float().numpy()
        samples = np.array([places[one] for one in self._samples], np.int32)
        return AttentionView(samples, maps, self._form, mean[0], mean[1], mean[2])


def _distances(tokens: int, grid: tuple[int, int, int] | None) -> Tensor:
    """[T, T] between tokens; between patches of an image, with 0 from and to the tokens before them."""
    if grid is None:
        place = torch.arange(tokens, dtype=torch.float32)[:, None]
        return torch.cdist(place, place)
    before, rows, columns = grid
    places = torch.cartesian_prod(torch.arange(rows, dtype=torch.float32), torch.arange(columns, dtype=torch.float32))
    found = torch.zeros(tokens, tokens)
    found[before:, before:] = torch.cdist(places, places)
    return found


def _map_of(each: Tensor, grid: tuple[int, int, int] | None) -> Tensor:
    """[n, h, w] bytes of attention [n, T, T] of a sample: of an image, that of the class token or the mean of all."""
    if grid is None:
        shown = each[:, :TOKENS, :TOKENS]
    else:
        before, rows, columns = grid
        queries = each[:, 0] if before else each.mean(1)
        shown = queries[:, before:].reshape(-1, rows, columns)
    largest = shown.amax((1, 2), keepdim=True).clamp_min(1e-30)
    return (255 * shown / largest).round().to(torch.uint8)
