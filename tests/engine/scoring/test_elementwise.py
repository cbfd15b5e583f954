"""Sums over elements of a weight that are computed block by block, against those over the whole array."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.scoring import weights
from secateur.engine.scoring.weights import Elementwise


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7,), (7, 5), (6, 4, 3, 3), (1, 9), (0, 3), ()])
def test_sums_by_block_are_those_of_the_whole(monkeypatch, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    monkeypatch.setattr(weights, "BLOCK", 10)  # two rows of the second, less than one of the third
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    rated: Any = SimpleNamespace(made={}, parameters={"weight": tensor})
    found = Elementwise(rated, "weight", np.square)
    whole = np.square(tensor.double().numpy())
    assert (found.ndim, found.size) == (whole.ndim, whole.size)
    for kept in range(max(len(shape), 1)):
        axis = tuple(d for d in range(len(shape)) if d != kept)
        np.testing.assert_allclose(found.sum(axis, np.float64), whole.sum(axis=axis), rtol=1e-6)
