"""What a toy is, and the example inputs that toys share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=type[nn.Module])
TOYS: dict[str, "Toy"] = {}
"""Every toy by its name, in the order of the files."""


@dataclass(frozen=True, slots=True)
class Toy:
    """A network and example inputs for it; its docstring says what the trap is.

    Attributes:
        net: The class.
        inputs: Example inputs.
        by_value: How often an operator runs depends on values, so that no formula gives the costs of a cut model.
    """

    net: type[nn.Module]
    inputs: tuple[torch.Tensor, ...]
    by_value: bool = False

    @property
    def trap(self) -> str:
        """The trap in one sentence."""
        return " ".join((self.net.__doc__ or "").split())


def toy(*inputs: torch.Tensor, by_value: bool = False) -> Callable[[Net], Net]:
    """Put a class into the table of toys, with its example inputs."""

    def add(net: Net) -> Net:
        TOYS[net.__name__] = Toy(net, inputs, by_value)
        return net

    return add


def image(size: int = 16, channels: int = 3) -> torch.Tensor:
    """[4, channels, size, size]."""
    return torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(0))


def rows(width: int = 9) -> torch.Tensor:
    """[16, width]: many rows, so that hardly a neuron is silent in all of them."""
    return torch.randn(16, width, generator=torch.Generator().manual_seed(0))


def sequence(length: int = 6, width: int = 9) -> torch.Tensor:
    """[4, length, width]."""
    return torch.randn(4, length, width, generator=torch.Generator().manual_seed(0))


def tokens(length: int = 7) -> torch.Tensor:
    """[4, length] of whole numbers below 11."""
    return torch.randint(0, 11, (4, length), generator=torch.Generator().manual_seed(0))


def conv(into: int, out: int, kernel: int = 3, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps the size in space."""
    return nn.Conv2d(into, out, kernel, padding=kernel // 2, groups=groups, bias=bias)


class Ended(nn.Module):
    """Mean over space and a linear layer, behind whatever a toy computes."""

    def __init__(self, width: int, classes: int = 5) -> None:
        super().__init__()
        self.end = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(x.mean((2, 3)))
