"""What every test of the engine starts from."""

import math
import random

import numpy as np
import pytest
import torch

from secateur.engine.recovery import finetune

# How often a training tells where it stands goes by its steps here, and not by the clock: how much is told, and when it
# is told so that a test can stop it, is then the same however busy the machine is.
finetune.SILENCE = math.inf


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
