"""Small networks whose Python code branches: on sizes, on values, on chance, on what an earlier call left behind."""

import random
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


class Branching(nn.Module):
    """Two convolutions and a third, and between them what `way` makes of (module, inputs [N, C, H, W])."""

    def __init__(self, way: Callable[["Branching", torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 4, 1)
        self.way, self.calls = way, 0
        self.register_buffer("ready", torch.tensor(True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.way(self, x))


def one_sample(net: Branching, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    if x.shape[0] == 1:
        h = h.roll(1, 1)
    return h


def mean_chooses(net: Branching, x: torch.Tensor) -> torch.Tensor:
    return net.a(x) if x.mean() > 1 else net.b(x)


def large_batch(net: Branching, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    if x.shape[0] > 16:
        h = h.flip(1)
    return h


def wide(net: Branching, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    if x.shape[-1] > 16:
        h = h.flip(1)
    return h


def second_call(net: Branching, x: torch.Tensor) -> torch.Tensor:
    net.calls += 1
    h = net.a(x)
    if net.calls > 1:
        h = h.flip(1)
    return h


def by_chance(net: Branching, x: torch.Tensor) -> torch.Tensor:
    return net.a(x) if random.random() < 0.5 else net.b(x)


def drawn_by_torch(net: Branching, x: torch.Tensor) -> torch.Tensor:
    return net.a(x) if torch.rand(()) < 0.5 else net.b(x)


def large_values(net: Branching, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    if x.abs().max() > 8:
        h = h.flip(1)
    return h


def item_chooses(net: Branching, x: torch.Tensor) -> torch.Tensor:
    level = x.mean().item() * 2
    return net.a(x) if level > 2 else net.b(x)


def plain_float_chooses(net: Branching, x: torch.Tensor) -> torch.Tensor:
    level = float(x.mean())
    return net.a(x) if level > 1 else net.b(x)


def many(net: Branching, x: torch.Tensor) -> torch.Tensor:
    count = len(x)
    return net.a(x) if count > 5 else net.b(x)


def inner_size(net: Branching, x: torch.Tensor) -> torch.Tensor:
    h = F.avg_pool2d(net.a(x), 2)
    if h.size(2) // 2 >= 8:
        h = h.flip(1)
    return h


def area(net: Branching, x: torch.Tensor) -> torch.Tensor:
    *_, height, width = x.shape
    return net.a(x) if height * width > 1000 else net.b(x)


def odd(net: Branching, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    if x.shape[2] % 2:
        h = h.flip(1)
    return h


def padded(net: Branching, x: torch.Tensor) -> torch.Tensor:
    h = F.interpolate(F.max_pool2d(net.a(x), 2), scale_factor=2)
    if h.shape[-1] != x.shape[-1]:
        h = F.pad(h, (0, x.shape[-1] - h.shape[-1], 0, x.shape[-2] - h.shape[-2])).roll(1, 1)
    return h


def vast(net: Branching, x: torch.Tensor) -> torch.Tensor:
    return net.a(x) if x.shape[0] > 4096 else net.b(x)


def insisting(net: Branching, x: torch.Tensor) -> torch.Tensor:
    """No way at all: the other side raises, or has to do with the network's own sizes."""
    h = net.a(x)
    assert x.shape[0] < 9, "too many"
    assert h.shape[1] == 8 and h.shape[0] == x.shape[0] and h.shape[2:] == x.shape[2:]
    if x.shape[1] != 3:
        raise ValueError("no image")
    if net.ready and (x.mean() < 1e30) and not torch.isnan(x).any():
        h = h * 2
    if h.shape[1] > 4:
        h = h + 1
    return h


def far_below_a_bound(net: Branching, x: torch.Tensor) -> torch.Tensor:
    """What is compared falls with the batch, so that it would be reached at a batch of nearly none."""
    return net.a(x) if float(x.abs().mean() / len(x)) < 1e9 else net.b(x)


def impossible(net: Branching, x: torch.Tensor) -> torch.Tensor:
    return net.a(x) if x.sigmoid().mean() <= 1 else net.b(x)
