"""The two bundled networks, in plain PyTorch: a small ResNet and a small ViT for 28 x 28 grey images of ten classes.

They are ordinary modules as a user would write them, nothing in them knows of pruning. What only finds files imports no
torch: the weights are reached through `samples`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2015).

    Attributes:
        shortcut: Identity, or a 1x1 down-sampling convolution where width or resolution change.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        """Build a block that maps [N, in_channels, H, W] to [N, out_channels, H / stride, W / stride]."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            down = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(down, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, out_channels, H / stride, W / stride]."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class SmallResNet(nn.Module):
    """A residual network of three stages with 32, 64 and 128 channels.

    The stem keeps the full resolution, every stage halves it (28, 14, 7, 4) in its first block.
    """

    def __init__(self, classes: int = 10) -> None:
        """Build the network with fresh weights."""
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(32)
        self.layer1 = nn.Sequential(BasicBlock(32, 32, stride=2), BasicBlock(32, 32))
        self.layer2 = nn.Sequential(BasicBlock(32, 64, stride=2), BasicBlock(64, 64))
        self.layer3 = nn.Sequential(BasicBlock(64, 128, stride=2))
        self.fc = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 1, 28, 28] to logits [N, classes]."""
        x = F.relu(self.bn(self.stem(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean(dim=(2, 3)))


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection (Vaswani et al. 2017).

    Attributes:
        num_heads: Heads; the size of one follows from the weight.
        scale: Factor on query times key, kept apart from the sizes so that it stays what the weights were trained with.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        """Build attention over tokens of `width`, which `num_heads` must divide."""
        super().__init__()
        self.num_heads = num_heads
        self.scale = (width // num_heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, width] to [B, N, width]."""
        B, N, _ = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, N, head dimension]
        x = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return self.proj(x.transpose(1, 2).reshape(B, N, -1))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, applied to every token."""

    def __init__(self, width: int, hidden: int) -> None:
        """Build the layers width -> hidden -> width."""
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, width] to [B, N, width]."""
        return self.fc2(F.gelu(self.fc1(x)))


class TransformerBlock(nn.Module):
    """Attention and MLP, each behind a LayerNorm and beside a shortcut (pre-norm)."""

    def __init__(self, width: int, num_heads: int, hidden: int) -> None:
        """Build one block."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, width] to [B, N, width]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class SmallViT(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2020) of four blocks over patches of 7 x 7 pixels, mean-pooled."""

    def __init__(self, classes: int = 10, width: int = 96, num_heads: int = 6, depth: int = 4) -> None:
        """Build the network with fresh weights; the MLPs are twice as wide as the tokens."""
        super().__init__()
        self.patches = nn.Conv2d(1, width, kernel_size=7, stride=7)
        self.positions = nn.Parameter(torch.zeros(1, 16, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, num_heads, 2 * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [N, 1, 28, 28] to logits [N, classes]."""
        x = self.patches(x).flatten(2).transpose(1, 2)  # [N, 16, width]
        x = self.blocks(x + self.positions)
        return self.head(self.norm(x).mean(dim=1))


def resnet() -> SmallResNet:
    """The bundled ResNet with fresh weights."""
    return SmallResNet()


def vit() -> SmallViT:
    """The bundled ViT with fresh weights."""
    return SmallViT()


FACTORIES: dict[str, Callable[[], nn.Module]] = {"resnet": resnet, "vit": vit}
