"""What every test of the engine starts from."""

import math
import random

import numpy as np
import pytest
import torch

from secateur.engine.recovery import checkpoint, finetune

# How often a training tells where it stands, and is kept where a test asks for that, goes by its steps here and not by
# the clock: what is told, where a test stops it and where it goes on are the same however busy the machine is.
finetune.SILENCE, checkpoint.SHARE = math.inf, 0


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _same_fixtures_every_time() -> None:
    """What the tests of a file share is the same whatever ran before it in this process."""
    _seed()


@pytest.fixture(autouse=True)
def _same_weights_every_time() -> None:
    """Networks of random weights are the same in every run: a filter that happens to be silent proves nothing."""
    _seed()
