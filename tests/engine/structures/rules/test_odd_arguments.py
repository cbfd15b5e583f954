"""Masks of one axis, tensors without axes, classes that only share a name with torch's."""

import torch
from torch import nn

from secateur.engine.structures.analyse import analyse

from .between import features
from .proof import prove


class Masked(nn.Module):
    """Features chosen by a mask: they stay, whatever their number; those of the layer before are free."""

    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(9, 12), nn.Linear(12, 8), nn.Linear(5, 4)
        self.register_buffer("mask", torch.arange(8) < 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.second(torch.tanh(self.first(x)))
        hidden[:, ~self.mask] = hidden[:, :3] * 2.0
        return self.head(torch.tanh(hidden[:, self.mask]))


def test_a_mask_of_one_axis_keeps_what_it_chooses_from() -> None:
    analysis = prove(Masked(), features(), "first.weight")
    assert "second.weight" not in {s.name for s in analysis.sets}


class Scalars(nn.Module):
    """Statistics of a number: torch takes dim 0 and -1 for it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(9, 12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.first(x))
        level = hidden.mean()
        for reduced in (level.sum(0), level.max(0).values, level.cumsum(-1), level.sort(0).values, level.squeeze(-1)):
            level = level + reduced
        return self.head(hidden) * (level + level.topk(1, 0).values)


def test_a_tensor_without_axes_has_nothing_to_label() -> None:
    prove(Scalars(), features(), "first.weight")


class GRU(nn.Module):
    """No recurrent layer of torch: its weights have three axes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_ih, self.weight_hh = nn.Parameter(torch.randn(3, 9, 6)), nn.Parameter(torch.randn(3, 6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (torch.tanh(x @ self.weight_ih) @ self.weight_hh).mean(0)


def test_a_class_with_the_name_of_a_recurrent_layer_is_a_class_like_any() -> None:
    assert analyse(GRU().eval(), features()).count
