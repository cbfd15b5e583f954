"""Two layers with something between them."""

from collections.abc import Callable

import torch
from torch import nn

Between = Callable[[torch.Tensor], torch.Tensor]


class Images(nn.Module):
    """A convolution, whatever is between, a convolution that reads it, a classifier; on [N, 3, H, W]."""

    def __init__(self, between: Between, makes: int, reads: int) -> None:
        super().__init__()
        self.between = between
        self.first, self.second = nn.Conv2d(3, makes, 3, padding=1), nn.Conv2d(reads, 7, 1)
        self.head = nn.Linear(7, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.between(torch.tanh(self.first(x))))
        return self.head(torch.tanh(x.mean((2, 3))))


class Rows(nn.Module):
    """The same with linear layers, on [N, 9] (or [N, T, 9]); what is between may have weights."""

    def __init__(self, between: nn.Module, makes: int, reads: int) -> None:
        super().__init__()
        self.first, self.between, self.head = nn.Linear(9, makes), between, nn.Linear(reads, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.between(torch.tanh(self.first(x)))))


def pictures() -> tuple[torch.Tensor]:
    """Example inputs [2, 3, 8, 8]."""
    return (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)


def features() -> tuple[torch.Tensor]:
    """Example inputs [3, 9]."""
    return (torch.randn(3, 9, generator=torch.Generator().manual_seed(0)),)


def sequences() -> tuple[torch.Tensor]:
    """Example inputs [2, 5, 9]."""
    return (torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)),)
