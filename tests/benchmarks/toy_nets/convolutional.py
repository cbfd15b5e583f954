"""Traps for images: channels that are split, joined, shuffled, compared, normalised and made up."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .toy import Ended, conv, image, toy


@toy(image())
class C2f(nn.Module):
    """Chunks in two, feeds one half through a chain and joins every intermediate result."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = conv(3, 16), conv(32, 12, 1)
        self.chain = nn.ModuleList(conv(8, 8) for _ in range(2))
        self.end = Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for step in self.chain:
            parts.append(F.silu(step(parts[-1])))
        return self.end(self.last(torch.cat(parts, 1)))


@toy(image())
class CrossStage(nn.Module):
    """Slices its channels by a number in the code, and joins both halves the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last, self.end = conv(3, 16), conv(8, 8), conv(16, 10, 1), Ended(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        return self.end(self.last(torch.cat([self.inner(x[:, 8:]), x[:, :8]], 1)))


@toy(image())
class ShuffleUnit(nn.Module):
    """Half of the channels passes by, the other is convolved, then both are shuffled together, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.end = conv(3, 12), Ended(12)
        self.branches = nn.ModuleList(
            nn.Sequential(conv(6, 6, 1), nn.ReLU(), conv(6, 6, groups=6), conv(6, 6, 1)) for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for branch in self.branches:
            left, right = x.chunk(2, 1)
            x = torch.cat([left, branch(right)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.end(x)


@toy(image())
class UNet(nn.Module):
    """GroupNorm couples neighbours, a skip connection joins them behind a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.norm1 = conv(3, 8), nn.GroupNorm(4, 8)
        self.down2, self.norm2 = conv(8, 16), nn.GroupNorm(4, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.join, self.norm3, self.out = conv(16, 8), nn.GroupNorm(2, 8), conv(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = F.relu(self.norm1(self.down1(x)))
        b = F.relu(self.norm2(self.down2(F.max_pool2d(a, 2))))
        return self.out(F.relu(self.norm3(self.join(torch.cat([self.up(b), a], 1)))))


@toy(image())
class SegNet(nn.Module):
    """Unpools values of one layer at the places that the pooling of another layer gave."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.up2, self.up1 = conv(3, 8), conv(8, 12), conv(12, 8), conv(8, 10)
        self.end = nn.Conv2d(10, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, first = F.max_pool2d(F.gelu(self.down1(x)), 2, return_indices=True)
        x, second = F.max_pool2d(F.gelu(self.down2(x)), 2, return_indices=True)
        x = F.gelu(self.up2(F.max_unpool2d(x, second, [2, 2])))
        return self.end(F.gelu(self.up1(F.max_unpool2d(x, first, [2, 2]))))


@toy(image())
class WeightNorm(nn.Module):
    """The weight is made of a magnitude and a direction at every forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.weight_norm(conv(3, 8))
        self.second, self.end = parametrizations.weight_norm(conv(8, 12)), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(F.relu(self.first(x)))))


@toy(image())
class SpectralNorm(nn.Module):
    """The weight is divided by its largest singular value, which depends on every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 8), parametrizations.spectral_norm(conv(8, 12))
        self.third, self.end = conv(12, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.third(F.relu(self.second(F.relu(self.first(x))))))


@toy(image())
class EfficientChannelAttention(nn.Module):
    """A convolution runs along the channels, so that neighbours matter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.along = conv(3, 16), nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.second, self.end = conv(16, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        gate = self.along(x.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()
        return self.end(self.second(x * gate[:, :, None, None]))


@toy(image())
class Cbam(nn.Module):
    """Gates channels by mean and maximum over space, then space by mean and maximum over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down, self.up = conv(3, 16), nn.Linear(16, 4), nn.Linear(4, 16)
        self.space, self.second, self.end = conv(2, 1, 7), conv(16, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        gate = self.up(F.relu(self.down(x.mean((2, 3))))) + self.up(F.relu(self.down(x.amax((2, 3)))))
        x = x * gate.sigmoid()[:, :, None, None]
        x = x * self.space(torch.cat([x.mean(1, True), x.amax(1, True)], 1)).sigmoid()
        return self.end(self.second(x))


@toy(image())
class FixedRatioGate(nn.Module):
    """Squeeze and excite whose hidden width is computed from the channels, and checked at every forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down, self.up, self.end = conv(3, 16), nn.Linear(16, 4), nn.Linear(4, 16), Ended(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        n, c = x.shape[:2]
        hidden = F.relu(self.down(x.mean((2, 3)))).view(n, c // 4)
        return self.end(x * self.up(hidden).sigmoid().view(n, c, 1, 1))


@toy(image())
class GroupedTransposed(nn.Module):
    """A transposed convolution in groups, whose weight has input before output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.up, self.end = conv(3, 16), nn.ConvTranspose2d(16, 24, 2, 2, groups=4), Ended(24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.up(F.relu(self.first(x)))))


@toy(image())
class DepthMultiplier(nn.Module):
    """A depth-wise convolution makes three channels of each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.depthwise, self.last, self.end = conv(3, 8), conv(8, 24, groups=8), conv(24, 10, 1), Ended(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.last(F.relu(self.depthwise(F.relu(self.first(x))))))


@toy(image())
class PixelShuffled(nn.Module):
    """Four channels become one at twice the size, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last, self.end = conv(3, 24), conv(6, 6), conv(24, 8), Ended(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.middle(F.pixel_shuffle(self.first(x), 2)))
        return self.end(self.last(F.pixel_unshuffle(x, 2)))


@toy(image(8))
class UnfoldFold(nn.Module):
    """Patches are laid out as channels times kernel, mixed, and put back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mix, self.last, self.end = conv(3, 4), nn.Linear(16, 16), conv(4, 8), Ended(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = F.unfold(F.relu(self.first(x)), 2, stride=2).transpose(1, 2)
        x = F.fold(F.relu(self.mix(columns)).transpose(1, 2), x.shape[-2:], 2, stride=2)
        return self.end(F.relu(self.last(x)))


@toy(image())
class InstanceNormed(nn.Module):
    """Each channel is normalised by itself, and batch and channel are one axis beneath."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = conv(3, 8), nn.InstanceNorm2d(8, affine=True)
        self.second, self.end = conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(F.relu(self.norm(self.first(x))))))


@toy(image())
class RepVgg(nn.Module):
    """Three branches over the same channels, one of them a BatchNorm alone, to be merged after training."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.end = conv(3, 8), Ended(8)
        self.large, self.large_norm = conv(8, 8, bias=False), nn.BatchNorm2d(8)
        self.small, self.small_norm, self.identity = conv(8, 8, 1, bias=False), nn.BatchNorm2d(8), nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        return self.end(F.relu(self.large_norm(self.large(x)) + self.small_norm(self.small(x)) + self.identity(x)))


@toy(image())
class DynamicConvolution(nn.Module):
    """A small network mixes four kernels into one a sample; batch and channel become groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.route = conv(3, 8), nn.Linear(8, 4)
        self.kernels, self.end = nn.Parameter(torch.randn(4, 12, 8, 3, 3) / 8), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        n, c, h, w = x.shape
        mixed = torch.einsum("nk,koihw->noihw", self.route(x.mean((2, 3))).softmax(1), self.kernels)
        out = mixed.shape[1]
        y = F.conv2d(x.reshape(1, n * c, h, w), mixed.reshape(n * out, c, 3, 3), padding=1, groups=n)
        return self.end(F.relu(y.view(n, out, h, w)))


@toy(image())
class FlippedChannels(nn.Module):
    """Adds its channels in opposite order."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.end(F.relu(self.second(x + x.flip(1))))


@toy(image())
class RolledChannels(nn.Module):
    """Multiplies each channel by the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.end(F.relu(self.second(x * x.roll(1, 1))))


@toy(image())
class SoftmaxChannels(nn.Module):
    """Softmax over channels: each depends on all, and zero is not absent."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(self.first(x).softmax(1) * 8)))


@toy(image())
class SortedChannels(nn.Module):
    """Sorts its channels, so that an index means a rank."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(self.first(x).sort(1).values)))


@toy(image())
class CumulatedChannels(nn.Module):
    """Sums up over channels, so that the order matters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(self.first(x).cumsum(1) / 4)))


@toy(image())
class Largest(nn.Module):
    """Weighs every position by which channel is largest there, a number that a removal would change."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.end(F.relu(self.second(x)) * (x.argmax(1, keepdim=True) + 1))


@toy(image())
class LiteralIndex(nn.Module):
    """Treats the channels below a number in the code otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 8), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        low = torch.arange(x.shape[1])[:, None, None] < 3
        return self.end(F.relu(self.second(torch.where(low, x.sigmoid(), x))))


@toy(image())
class BatchAndChannels(nn.Module):
    """One filter is applied to every channel as if it were a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.end = conv(3, 8), nn.Conv2d(1, 4, 3, padding=1), Ended(32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        n, c, h, w = x.shape
        return self.end(F.relu(self.shared(x.reshape(n * c, 1, h, w))).reshape(n, c * 4, h, w))


@toy(image())
class ChannelsLast(nn.Module):
    """Channels stand last in between, under a linear layer and a LayerNorm, with a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.wide, self.back = conv(3, 8), nn.LayerNorm(8), nn.Linear(8, 20), nn.Linear(20, 8)
        self.scale, self.end = nn.Parameter(torch.full((8,), 0.5)), Ended(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        y = self.back(F.gelu(self.wide(self.norm(x.permute(0, 2, 3, 1))))) * self.scale
        return self.end(x + y.permute(0, 3, 1, 2))


@toy(image(8))
class FlattenedNorm(nn.Module):
    """BatchNorm over channels times space, which only go together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = conv(3, 6), nn.BatchNorm1d(6 * 16)
        self.hidden, self.end = nn.Linear(6 * 16, 20), nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.first(x), 2).flatten(1)
        return self.end(F.relu(self.hidden(F.relu(self.norm(x)))))


@toy(image())
class LocalResponse(nn.Module):
    """Normalises every channel by the neighbours of its number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second, self.end = conv(3, 8), nn.LocalResponseNorm(3), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(F.relu(self.second(self.norm(F.relu(self.first(x))))))


@toy(image())
class Maxout(nn.Module):
    """The largest of each pair of channels goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.end = conv(3, 16), conv(8, 12), Ended(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        n, c, h, w = x.shape
        return self.end(F.relu(self.second(x.view(n, c // 2, 2, h, w).amax(2))))


@toy(image())
class Ghost(nn.Module):
    """Half of the channels is made from the other half, and what is too many is sliced off by an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.out = 10
        self.primary, self.cheap, self.end = conv(3, 6), conv(6, 6, groups=6), Ended(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.primary(x))
        return self.end(torch.cat([x, F.relu(self.cheap(x))], 1)[:, : self.out])


@toy(image())
class Gram(nn.Module):
    """Products of each channel with each, flattened in front of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.end = conv(3, 6), nn.Linear(36, 5)

    def forward(self, x: torch.Tensor) -> Any:
        flat = self.first(x).flatten(2)
        return self.end((flat @ flat.transpose(1, 2) / flat.shape[2]).flatten(1))
