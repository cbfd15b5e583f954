"""Places that one layer's values give, where another layer's values are read or written: each channel has its own."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from .between import pictures
from .proof import prove

ByPlaces = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Pair(nn.Module):
    """Values and what gives their places, from a convolution each ([N, 6, 64] both); a classifier."""

    def __init__(self, by_places: ByPlaces) -> None:
        super().__init__()
        self.by_places = by_places
        self.values, self.places = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values, places = torch.tanh(self.values(x)).flatten(2), torch.tanh(self.places(x)).flatten(2)
        return self.head(torch.tanh(self.by_places(values, places)).mean(2))


class SegNet(nn.Module):
    """Each unpooling takes the places of the pooling at its own level, and values of a layer in between."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.up2, self.up1 = nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(6, 7, 3, padding=1)
        self.end = nn.Conv2d(7, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, first = F.max_pool2d(torch.tanh(self.down1(x)), 2, return_indices=True)
        x, second = F.max_pool2d(torch.tanh(self.down2(x)), 2, return_indices=True)
        x = torch.tanh(self.up2(F.max_unpool2d(x, second, [2, 2])))
        return self.end(torch.tanh(self.up1(F.max_unpool2d(x, first, [2, 2]))))


def normed(x: torch.Tensor) -> torch.Tensor:
    """Over the channels, so that a channel of zeros is another thing than none."""
    return F.layer_norm(x.mT, x.shape[1:2]).mT


def unpooled(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    _, where = F.max_pool2d(places.unflatten(2, (8, 8)), 2, return_indices=True)
    return normed(F.max_unpool2d(F.avg_pool2d(values.unflatten(2, (8, 8)), 2), where, [2, 2]).flatten(2))


def unpooled_in_depth(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    _, where = F.adaptive_max_pool3d(places.unflatten(2, (4, 4, 4)), 2, return_indices=True)
    return F.max_unpool3d(F.avg_pool3d(values.unflatten(2, (4, 4, 4)), 2), where, [2, 2, 2]).flatten(2).cumsum(2)


def scattered(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return normed(torch.zeros_like(values).scatter(2, places[..., :9].argsort(2), values[..., :9]))


CASES: dict[str, ByPlaces] = {
    "unpool": unpooled,
    "unpool in depth": unpooled_in_depth,
    "gather by argmax": lambda v, p: v.gather(2, p.argmax(2, keepdim=True)),
    "gather by topk": lambda v, p: v.gather(2, p.topk(3, 2).indices),
    "gather by max": lambda v, p: v.gather(2, p.max(2, keepdim=True).indices),
    "gather by numbers": lambda v, p: v.gather(2, ((p + 1) * 31).long()),
    "take along": lambda v, p: v.take_along_dim(p.argsort(2), 2).cumsum(2),
    "scatter": scattered,
    "scatter add": lambda v, p: torch.zeros_like(v).scatter_add_(2, ((p + 1) * 31).long(), v).cumsum(2),
    "scatter reduce": lambda v, p: torch.zeros_like(v).scatter_reduce(2, p.argsort(2), v, "amax").cumsum(2),
    "scatter a number": lambda v, p: v.clone().scatter_(2, p.argsort(2)[..., :5], 0.5).cumsum(2),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_the_places_that_they_are_read_or_written_at_go_together(name: str) -> None:
    torch.manual_seed(0)
    analysis = prove(Pair(CASES[name]), pictures())
    touched = [{analysis.tensors[t].name for t, _ in s.touches} for s in analysis.sets]
    assert any({"values.weight", "places.weight", "head.weight"} <= names for names in touched)


def test_a_decoder_loses_the_channels_of_the_poolings_whose_places_it_takes() -> None:
    torch.manual_seed(0)
    analysis = prove(SegNet(), pictures(), "down1.weight", "down2.weight", "up1.weight")
    assert next(s for s in analysis.sets if s.name == "down1.weight").along == ("up2", "down2", "up1")
