"""What every test of the engine starts from."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    """Networks of random weights are the same in every run: a filter that happens to be silent proves nothing."""
    torch.manual_seed(0)
