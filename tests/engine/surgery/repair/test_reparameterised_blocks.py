"""Re-parameterised blocks: cut before or after their branches are merged, with which is said."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import trial_mask


class Branches(nn.Module):
    """A large and a small depth-wise convolution, to be one; only merging reads the numbers that the block keeps."""

    def __init__(self, channels: int, out: int, groups: int) -> None:
        super().__init__()
        self.reads, self.gives, self.parts, self.merged = channels, out, groups, None
        self.large = nn.Conv2d(channels, out, 3, padding=1, groups=groups)
        self.small = nn.Conv2d(channels, out, 1, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.large(x) + self.small(x) if self.merged is None else self.merged(x)

    def reparameterize(self) -> None:
        if self.merged is not None:
            return
        kernel = self.large.weight + F.pad(self.small.weight, [1, 1, 1, 1])
        bias = self.large.bias + self.small.bias  # type: ignore[operator]
        self.merged = nn.Conv2d(self.reads, self.gives, 3, padding=1, groups=self.parts)
        self.merged.weight.data, self.merged.bias.data = kernel, bias  # type: ignore[union-attr]
        del self.large, self.small


class Net(nn.Module):
    """16 channels in, 16 out in the dense block, but not the same 16: their numbers must not be confused."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.deep, self.dense = Branches(16, 16, 16), Branches(16, 16, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.dense(F.relu(self.deep(self.stem(x)))))
        return self.head(x.mean((2, 3)))


def merged(model: nn.Module) -> nn.Module:
    model = copy.deepcopy(model)
    for block in list(model.modules()):
        if isinstance(block, Branches):
            block.reparameterize()
    return model


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


IMAGES = torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(1))


def uneven(model: nn.Module) -> nn.Module:
    """Six of the sixteen channels that the dense block reads go, and eight that it gives."""
    analysis = analyse(model, (IMAGES,))
    mask = analysis.empty()
    for one in analysis.sets:
        gone = 6 if one.module == "stem" else 8
        mask[one.first : one.first + gone] = True
    return cut(model, analysis, mask, (IMAGES,)).model


def test_a_cut_block_merges_to_what_it_computes(net: nn.Module) -> None:
    smaller = uneven(net)
    after = merged(smaller)
    with torch.no_grad():
        torch.testing.assert_close(after(IMAGES), smaller(IMAGES))
    block = after.get_submodule("dense")
    assert isinstance(block, Branches) and isinstance(block.merged, nn.Conv2d)
    assert (block.reads, block.gives, block.parts) == (10, 8, 1)
    assert (block.merged.in_channels, block.merged.out_channels) == (10, 8)


def test_a_block_without_weights_follows_too(net: nn.Module) -> None:
    with torch.device("meta"):
        weightless = Net().eval()
    analysis = analyse(weightless, (IMAGES.to("meta"),))
    half = trial_mask(analysis)
    smaller = cut(weightless, analysis, half, (IMAGES.to("meta"),)).model
    assert [getattr(smaller.get_submodule("deep"), name) for name in ("reads", "gives", "parts")] == [8, 8, 8]


def test_which_blocks_are_merged_is_said(net: nn.Module) -> None:
    before = analyse(net, (IMAGES,)).notes
    after = analyse(merged(net), (IMAGES,)).notes
    assert [note.code for note in before] == ["merging.apart"]
    assert "2 blocks" in str(before[0]) and "reparameterize()" in str(before[0])
    assert [note.code for note in after] == ["merging.done"]


def test_a_merged_model_is_cut_as_it_is(net: nn.Module) -> None:
    smaller = uneven(merged(net))
    block = smaller.get_submodule("dense")
    assert isinstance(block, Branches) and isinstance(block.merged, nn.Conv2d)
    assert block.merged.weight.shape[:2] == (8, 10)
    with torch.no_grad():
        torch.testing.assert_close(smaller(IMAGES), merged(uneven(net))(IMAGES))
