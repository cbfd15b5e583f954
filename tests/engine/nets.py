"""Small real networks, one for each behaviour of the heart, with random weights; none is the program's own sample."""

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Stem, two residual blocks in a Sequential (one with a projection), SE gate, flatten into two linears."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.blocks = nn.Sequential(Basic(12, 12), Basic(12, 20), Basic(20, 20))
        self.squeeze = nn.Conv2d(20, 6, 1)
        self.excite = nn.Conv2d(6, 20, 1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden = nn.Linear(80, 24)
        self.head = nn.Linear(24, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))
        x = x * torch.sigmoid(self.excite(F.silu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.head(F.relu(self.hidden(torch.flatten(self.pool(x), 1))))


class Basic(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Identity() if into == out else nn.Conv2d(into, out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class Concat(nn.Module):
    """Two branches joined, a depth-wise and a grouped convolution after them."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 10, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.widen = nn.Conv2d(16, 24, 1)
        self.grouped = nn.Conv2d(24, 12, 3, padding=1, groups=4)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.depthwise(torch.cat([self.left(x), self.right(x)], 1)))
        return self.head(F.relu(self.grouped(F.relu(self.widen(x)))).mean((2, 3)))


class Attention(nn.Module):
    """Fused qkv in the common spelling: sizes computed from the input's width, the scale left to torch."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))


class Layer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 40), nn.GELU(), nn.Linear(40, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Patches, class token, position embedding, three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 24))
        self.position = nn.Parameter(torch.randn(1, 17, 24))
        self.layers = nn.ModuleList([Layer(24, 4) for _ in range(3)])
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


class TorchAttention(nn.Module):
    """`nn.MultiheadAttention` beside a shortcut, on embedded tokens."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.embed = nn.Embedding(11, 24)
        self.attention = nn.MultiheadAttention(24, 4, batch_first=batch_first)
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        x = x if self.batch_first else x.transpose(0, 1)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x if self.batch_first else x.transpose(0, 1)
        return self.head(self.norm(x).mean(1))


class Stubborn(nn.Module):
    """Refuses any other width of its first convolution in its own code."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 24, 3), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        if x.shape[1] != 16:
            raise ValueError("sixteen channels, please")
        return self.head(F.relu(self.second(x)).mean((2, 3)))


class Unruly(nn.Module):
    """Uses an operator that has no rule between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x.take(torch.arange(x.numel()).view_as(x))
        return self.third(F.relu(self.second(x))).mean((2, 3))


def image(size: int = 32, batch: int = 2) -> tuple[torch.Tensor]:
    """Example inputs [batch, 3, size, size]."""
    return (torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)),)


def tokens(batch: int = 2) -> tuple[torch.Tensor]:
    """Example inputs [batch, 9] of whole numbers below 11."""
    return (torch.randint(0, 11, (batch, 9), generator=torch.Generator().manual_seed(0)),)


class Rotary(nn.Module):
    """A gate over channels made from a buffer that no checkpoint holds, and a counter that every forward moves."""

    frequency: torch.Tensor
    calls: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(9, 16), nn.Linear(16, 16), nn.Linear(16, 5)
        self.register_buffer("frequency", torch.arange(1.0, 17.0) / 16, persistent=False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.head(torch.relu(self.second(torch.relu(self.first(x)) * self.frequency)))


class Tied(nn.Module):
    """Input and output embedding are one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden, self.out = nn.Embedding(11, 12), nn.Linear(12, 20), nn.Linear(12, 11, bias=False)
        self.back = nn.Linear(20, 12)
        self.out.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.back(torch.relu(self.hidden(self.embed(x)))).mean(1))


class OneBatch(Residual):
    """Runs at a batch of two only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.reshape(2, *x.shape[1:]))


class OwnAttention(nn.MultiheadAttention):
    """A subclass with a forward of its own."""

    def forward(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        result, weights = super().forward(*args, **kwargs)  # type: ignore[arg-type]
        return result * 2, weights


class WithOwnAttention(TorchAttention):
    """The layer of `TorchAttention`, with the subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = OwnAttention(24, 4, batch_first=True)
        self.head = nn.Sequential(nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 6))


def rows(batch: int = 2) -> tuple[torch.Tensor]:
    """Example inputs [batch, 9]."""
    return (torch.randn(batch, 9, generator=torch.Generator().manual_seed(0)),)


class Ghost(nn.Module):
    """Half of the channels are made from the other half, channel by channel; both go through one depth-wise layer."""

    def __init__(self) -> None:
        super().__init__()
        self.primary = nn.Conv2d(3, 8, 3, padding=1)
        self.cheap = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.primary(x))
        x = torch.cat([x, F.relu(self.cheap(x))], 1)
        return self.head(F.relu(self.depthwise(x)).mean((2, 3)))
