"""Small networks that normalise or take a statistic over channels, each in a spelling that real models use."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


class RMS(nn.Module):
    """As the language models write it: the root mean square of the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Gated(nn.Module):
    """Embedding, two pre-norm gated layers, norm and head."""

    def __init__(self, norm: Callable[[int], nn.Module] = RMS) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 24)
        self.norms = nn.ModuleList([norm(24) for _ in range(3)])
        self.gates, self.ups = (nn.ModuleList([nn.Linear(24, 20) for _ in range(2)]) for _ in range(2))
        self.downs = nn.ModuleList([nn.Linear(20, 24) for _ in range(2)])
        self.head = nn.Linear(24, 11)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for norm, gate, up, down in zip(self.norms, self.gates, self.ups, self.downs, strict=False):
            y = norm(x)
            x = x + down(F.silu(gate(y)) * up(y))
        return self.head(self.norms[2](x))


class TorchRMS(Gated):
    """With torch's own RMS norm."""

    def __init__(self) -> None:
        super().__init__(nn.RMSNorm)


class BareLayerNorm(Gated):
    """Layer norms without weights: nothing but an attribute knows their width."""

    def __init__(self) -> None:
        super().__init__(lambda width: nn.LayerNorm(width, elementwise_affine=False))


class Between(nn.Module):
    """Two convolutions with something between them, and a residual width around it."""

    def __init__(self, between: nn.Module, width: int = 16) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.between = between
        self.third, self.head = nn.Conv2d(width, 12, 1), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x + F.relu(self.second(self.between(x)))
        return self.head(F.relu(self.third(x)).mean((2, 3)))


class Function(nn.Module):
    """Something as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of images, from a mean and a variance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ResponseNorm(nn.Module):
    """Global response normalisation (Woo et al. 2023)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(width)), nn.Parameter(torch.randn(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)
        norm = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
        x = x + self.weight * (x * (norm / (norm.mean(-1, keepdim=True) + 1e-6))) + self.bias
        return x.permute(0, 3, 1, 2)


class SpatialGate(nn.Module):
    """CBAM's second half (Woo et al. 2018): a gate over space from the maximum and the mean of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = torch.cat([torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)], 1)
        return x * torch.sigmoid(self.conv(squeezed))


class Standardised(nn.Conv2d):
    """Weights of zero mean and unit variance a filter (Qiao et al. 2019)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = F.batch_norm(self.weight.reshape(1, len(self.weight), -1), None, None, training=True, momentum=0.0)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias, padding=1)


class DividedSum(nn.Module):
    """A mean whose count stands in the code as a number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.sum(1, keepdim=True) / x.shape[1]


class PlainGroups(nn.Module):
    """Group norm by function, its number of groups an attribute with a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.group_norm(x, self.parts)


def last_normalised(x: torch.Tensor) -> torch.Tensor:
    """Layer norm whose width is a number in the code."""
    return F.layer_norm(x.permute(0, 2, 3, 1), (16,)).permute(0, 3, 1, 2)


def widely_spread(x: torch.Tensor) -> torch.Tensor:
    """(x - mean) / standard deviation, the largest and the smallest taken off."""
    deviation, mean = torch.std_mean(x, 1, keepdim=True)
    return (x - mean) / (deviation + 0.1) - x.amax(1, keepdim=True) * x.amin(1, keepdim=True).tanh()


BETWEEN: dict[str, Callable[[], nn.Module]] = {
    "group norm": lambda: nn.GroupNorm(4, 16),
    "group norm of one group": lambda: nn.GroupNorm(1, 16),
    "group norm of every channel": lambda: nn.GroupNorm(16, 16),
    "group norm by function": PlainGroups,
    "group norm without weight": lambda: nn.GroupNorm(4, 16, affine=False),
    "instance norm": lambda: nn.InstanceNorm2d(16, affine=True),
    "channel norm": lambda: ChannelNorm(16),
    "layer norm over all": lambda: nn.LayerNorm([16, 16, 16]),
    "layer norm by function": lambda: Function(
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (16,)).permute(0, 3, 1, 2)
    ),
    "response norm": lambda: ResponseNorm(16),
    "spatial gate": SpatialGate,
    "unit length": lambda: Function(lambda x: F.normalize(x, dim=1)),
    "deviation and extremes": lambda: Function(widely_spread),
    "standardised weights": lambda: Standardised(16, 16, 3, padding=1),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 16, 1)),
    "divided sum": DividedSum,
}
"""What stands between the convolutions, by name."""


class Turned(nn.BatchNorm1d):
    """A norm for [N, L, C]."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Turn to [N, C, L] and back."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)
