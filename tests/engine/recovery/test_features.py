"""Results of blocks are compared on the channels that student and teacher share."""

from typing import Any

import torch
from torch import nn

from secateur.engine.recovery.features import Features, blocks_of
from secateur.engine.structures.transition import KeptIndices
from tests.engine.builders import tiny_net


def _blocks(width: int) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width)),
        nn.Sequential(nn.Linear(width, 5), nn.ReLU(), nn.Linear(5, 4)),
    )


def test_a_cut_block_is_compared_with_the_same_channels_of_the_teacher() -> None:
    import numpy as np

    teacher, student, given = _blocks(6), _blocks(3), torch.randn(7, 4)
    keep = np.array([0, 2, 5])
    kept: KeptIndices = {"0.2.weight": (keep, None), "0.2.bias": (keep,), "1.0.weight": (None, keep)}
    features = Features(student, teacher, kept)
    with features.record():
        own, other = student[0](given), teacher[0](given)
        last, taught = student[1](own), teacher[1](other)
    expected = [
        ((own - other[:, keep]) ** 2).mean() / other[:, keep].var(unbiased=False),
        ((last - taught) ** 2).mean() / taught.var(unbiased=False),
    ]
    found = features.distance()
    assert found is not None and torch.allclose(found, torch.stack(expected).mean())
    assert not any(m._forward_hooks for m in (*student.modules(), *teacher.modules()))


def test_blocks_whose_channels_are_not_known_are_left_out() -> None:
    teacher, student, given = _blocks(6), _blocks(3), torch.randn(7, 4)
    features = Features(student, teacher, {})
    with features.record():
        student(given)
        teacher(given)
    found = features.distance()
    features.paths.remove("0")
    alone = features.distance()
    assert found is not None and alone is not None and torch.equal(found, alone)


def test_blocks_of_a_residual_network_are_its_blocks() -> None:
    assert {"layer1.0", "layer1.1"} <= set(blocks_of(tiny_net()))


def test_a_network_without_blocks_is_compared_by_layers() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    assert blocks_of(Plain()) == ["first", "second"]
