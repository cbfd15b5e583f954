"""Products by a weight of which it is known what is absent equal those by a weight that holds NaN there."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from secateur.engine.surgery.verify.masked_model import with_nan
from secateur.engine.surgery.verify.nan_masking import NAN, MaskedWeight, NanMasking

Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
CASES: list[tuple[Product, tuple[int, ...], tuple[int, ...], int]] = [
    (lambda x, w, b: F.conv2d(x, w, b, padding=1), (2, 6, 5, 5), (8, 6, 3, 3), 8),
    (lambda x, w, b: F.conv2d(x, w, b), (2, 6, 5, 5), (8, 6, 1, 1), 8),
    (lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=6), (2, 6, 5, 5), (6, 1, 3, 3), 6),
    (lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=6), (2, 6, 5, 5), (12, 1, 3, 3), 12),
    (lambda x, w, b: F.conv2d(x, w, b, groups=3), (2, 6, 5, 5), (9, 2, 1, 1), 9),
    (lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2), (2, 6, 5, 5), (6, 8, 2, 2), 8),
    (lambda x, w, b: F.conv_transpose2d(x, w, b, groups=2), (2, 6, 5, 5), (6, 4, 2, 2), 8),
    (lambda x, w, b: torch.addmm(b, x, w), (4, 6), (6, 8), 8),
    (lambda x, w, _: x @ w, (4, 6), (6, 8), 8),
]


class Stored:
    """One weight, handed out as it is stored."""

    def __init__(self, weight: torch.Tensor, gone: dict[int, np.ndarray]) -> None:
        self.weight, self.gone = weight, gone

    def matrix(self, tensor: torch.Tensor) -> MaskedWeight | None:
        return MaskedWeight(self.weight, self.gone) if tensor.data_ptr() == self.weight.data_ptr() else None

    def resolve(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize(
    "gone", [{}, {0: [1, 3]}, {1: [0]}, {0: [0], 1: [0, 3]}, {0: [0, 1, 2, 3, 4, 5, 6, 7]}], ids=str
)
@pytest.mark.parametrize("lost", ["nothing", "channels", "channel and places", "everything"])
def test_what_is_known_to_be_absent_is_as_what_holds_nan(case: int, gone: dict[int, list[int]], lost: str) -> None:
    product, source, shape, size = CASES[case]
    generator = torch.Generator().manual_seed(case)
    x, weight, bias = (torch.randn(one, generator=generator) for one in (source, shape, (size,)))
    known = {
        dim: np.array([n for n in some if n < shape[dim]]) for dim, some in gone.items() if max(some[:1]) < shape[dim]
    }
    if lost.startswith("channel"):
        x[:, 2] = NAN
    if lost == "channel and places":
        x[0, 4] = NAN
    if lost == "everything":
        x[:] = NAN
    held, stored = with_nan(weight, known), weight
    with NanMasking():
        expected = product(x, held, bias)
    with NanMasking(Stored(stored, known)):
        found = product(x, stored, bias)
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.allclose(found, expected, atol=1e-5, equal_nan=True)
