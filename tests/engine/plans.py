"""Plans for tests."""

import numpy as np

from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures.analysis import Analysis, Kind, Mask


def random_plan(analysis: Analysis, seed: int) -> Mask:
    """Some of every set, and some of the blocks, as far as constraints allow."""
    rng, mask = np.random.default_rng(seed), analysis.empty()
    for one in analysis.sets:
        gone = rng.integers(0, one.count) if one.kind is not Kind.BLOCK else rng.integers(0, 2)
        mask[one.first + rng.permutation(one.count)[:gone]] = True
    return balanced(analysis, mask)
