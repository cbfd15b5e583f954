"""Small networks whose blocks take masks and positions, return tuples and dataclasses, or are branches in a forward."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 16


class Mixer(nn.Module):
    """Attention of one head with a bias that is made where none is given, like T5's: (result, bias, weights)."""

    def __init__(self, makes_bias: bool) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.bias = nn.Embedding(32, 1) if makes_bias else None

    def forward(self, x: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor | None):
        q, k, v = self.qkv(x).chunk(3, -1)
        if bias is None:
            assert self.bias is not None
            far = (torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])[None]).abs()
            bias = self.bias(far).squeeze(-1)
        weights = (q @ k.transpose(-2, -1) / 4 + bias).masked_fill(mask, -1e4).softmax(-1)
        return self.out(weights @ v), bias, weights


class Step(nn.Module):
    """Pre-norm layer with its hidden states by keyword only; the first makes the bias, the others hand it on."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.norm1, self.mixer, self.norm2 = nn.LayerNorm(WIDTH), Mixer(first), nn.LayerNorm(WIDTH)
        self.up, self.gate, self.down = nn.Linear(WIDTH, 24), nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.scale = nn.Parameter(torch.rand(WIDTH) + 0.5)
        self.kind = "causal"  # read from outside

    def forward(self, *, hidden: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor | None):
        mixed, bias, weights = self.mixer(self.norm1(hidden), mask, bias)
        hidden = hidden + self.scale * mixed
        y = self.norm2(hidden)
        return hidden + self.down(F.silu(self.gate(y)) * self.up(y)), bias, {"weights": weights}


class Decoder(nn.Module):
    """Three such layers, each told what it asks for; image-like input [N, 16, L]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, WIDTH)
        self.steps = nn.ModuleList(Step(n == 0) for n in range(3))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, bias = self.embed(x), None
        masks = {"causal": torch.ones(x.shape[1], x.shape[1]).triu(1).bool()}
        for step in self.steps:
            hidden, bias, _ = step(hidden=hidden, mask=masks[str(step.kind)], bias=bias)
        return self.head(self.norm(hidden).mean(1))


@dataclass
class Answer:
    """What `Wrapped` returns."""

    hidden: torch.Tensor
    norm: torch.Tensor | None = None
    name: str = "answer"


class Wrapped(nn.Module):
    """Two convolutions in a forward that returns a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 8, 3, padding=1)

    def forward(self, scale: torch.Tensor, x: torch.Tensor) -> Answer:
        y = x + torch.tanh(self.second(F.relu(self.first(x * scale))))
        return Answer(y, y.norm())


class Branches(nn.Module):
    """A branch of several layers added in place, one with a layer scale, a shortcut; steps by name in a ModuleDict."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.wrapped = nn.ModuleDict({"one": Wrapped(), "two": Wrapped()})
        self.point = nn.Sequential(nn.Conv2d(8, 20, 1), nn.GELU(), nn.Conv2d(20, 8, 1))
        self.gamma = nn.Parameter(torch.rand(8, 1, 1) + 0.5)
        self.side, self.shortcut, self.head = nn.Conv2d(8, 10, 1), nn.Conv2d(8, 10, 1), nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        y += x
        x = F.relu(y)
        for step in self.wrapped.values():
            x = step(torch.ones(8, 1, 1), x).hidden
        x = x + F.dropout(self.gamma * self.point(x), 0.1, self.training)
        return self.head((self.side(x) + self.shortcut(x)).mean((2, 3)))


class Numbered(nn.Module):
    """A residual layer that has a number; where `computes`, its forward divides by it."""

    def __init__(self, number: int, computes: bool) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.layer_idx, self.computes = number, computes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.tanh(self.up(x))) / (2.0 + self.layer_idx if self.computes else 2.0)


def sequence(batch: int = 2) -> tuple[torch.Tensor]:
    """Example inputs [batch, 7, 5]."""
    return (torch.randn(batch, 7, 5, generator=torch.Generator().manual_seed(0)),)
