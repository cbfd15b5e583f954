"""Convolutions with groups and multipliers, transposed and deformed."""

import pytest
import torch
import torchvision
from torch import nn

from .between import Images, pictures, sequences
from .proof import prove

MODULES = {
    "transposed": nn.ConvTranspose2d(8, 6, 2),
    "transposed, groups": nn.ConvTranspose2d(8, 6, 3, groups=2),
    "transposed, depth-wise": nn.ConvTranspose2d(8, 8, 2, 2, groups=8),
    "transposed, depth-wise with a multiplier": nn.ConvTranspose2d(8, 16, 2, 2, groups=8),
    "depth-wise with a multiplier": nn.Conv2d(8, 24, 3, groups=8),
    "groups": nn.Conv2d(8, 12, 3, groups=4),
}


@pytest.mark.parametrize("name", MODULES)
def test_groups_and_what_is_inside_them_are_free(name: str) -> None:
    torch.manual_seed(0)
    module = MODULES[name]
    model = Images(nn.Sequential(module, nn.Tanh()), 8, module.out_channels)
    prove(model, pictures(), "first.weight", "between.0.weight")


class Deformed(nn.Module):
    """A convolution at offsets that another one makes."""

    def __init__(self, groups: int, offsets: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.offset, self.mask = nn.Conv2d(8, 18 * offsets, 3, padding=1), nn.Conv2d(8, 9 * offsets, 3, padding=1)
        self.deform = torchvision.ops.DeformConv2d(8, 6, 3, padding=1, groups=groups)
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x))
        x = self.deform(x, self.offset(x) * 0.3, torch.sigmoid(self.mask(x)))
        return self.head(torch.tanh(x).mean((2, 3)))


@pytest.mark.parametrize(("groups", "offsets"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_deformed_convolution_keeps_its_offsets(groups: int, offsets: int) -> None:
    torch.manual_seed(0)
    analysis = prove(Deformed(groups, offsets), pictures(), "first.weight", "deform.weight")
    reasons = {(analysis.tensors[f.tensor].name, f.dim): f.reason.code for f in analysis.fixed}
    assert reasons["offset.weight", 0] == reasons["mask.weight", 0] == "fixed.sliced"


class States(nn.Module):
    """A product makes an axis of states (as in EfficientViM); a convolution runs over it, and it is read out."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.into, self.states, self.read = nn.Linear(9, 8), nn.Linear(9, 6), nn.Linear(9, 6)
        self.mix, self.head = nn.Conv1d(8, 10, kernel, padding=kernel // 2), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = self.mix(self.into(x).mT @ torch.softmax(self.states(x), 1))  # [N, channels, states]
        held = held - held.mean(-1, keepdim=True)  # of the states that are left
        return self.head(torch.tanh(held @ self.read(x).mT).mT)


def test_a_convolution_that_reads_each_place_alone_passes_an_axis_in_space() -> None:
    torch.manual_seed(0)
    prove(States(1), sequences(), "mix.weight", "states.weight", "read.weight")


def test_a_convolution_over_several_places_keeps_them_all() -> None:
    torch.manual_seed(0)
    analysis = prove(States(3), sequences(), "mix.weight")
    reasons = {analysis.tensors[f.tensor].name: f.reason.code for f in analysis.fixed if f.dim == 0}
    assert reasons["states.weight"] == "fixed.reduced"
