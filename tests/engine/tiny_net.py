"""The torch module that `builders.tiny_analysis` describes, and a cut of it written out by hand."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .builders import CLASSES, HEAD_DIM, HEADS, HIDDEN, WIDTH


class TinyBlock(nn.Module):
    """Two convolutions with BatchNorm beside a skip: [N, W, H, W'] -> the same."""

    def __init__(self, width: int, hidden: int) -> None:
        """Take the residual width and the number of filters between the convolutions."""
        super().__init__()
        self.conv1 = nn.Conv2d(width, hidden, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to its input."""
        return (x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))).relu()


class TinyAttention(nn.Module):
    """Self-attention over pixels beside a skip: [N, L, W] -> the same."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        """Take the sizes; the scale stays the original's."""
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim
        self.qkv = nn.Linear(width, 3 * heads * head_dim)
        self.proj = nn.Linear(heads * head_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        """Add the attention to its input."""
        n, length, _ = x.shape
        parts = self.qkv(x).reshape(n, length, 3, self.heads, self.head_dim)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # [N, heads, L, d]
        weights = (q @ k.transpose(-2, -1) * HEAD_DIM**-0.5).softmax(-1)  # [N, heads, L, L]
        return x + self.proj((weights @ v).transpose(1, 2).reshape(n, length, -1))


class TinyNet(nn.Module):
    """Images [N, 1, 8, 8] -> logits [N, 3]."""

    def __init__(
        self,
        width: int = WIDTH,
        hidden: tuple[int, int] = (HIDDEN, HIDDEN),
        heads: int = HEADS,
        head_dim: int = HEAD_DIM,
    ) -> None:
        """Take the sizes."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1: Any = nn.BatchNorm2d(width)  # Any, so that tests may reach into them
        self.layer1: Any = nn.Sequential(*(TinyBlock(width, h) for h in hidden))
        self.attn = TinyAttention(width, heads, head_dim)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Classify."""
        x = self.layer1(self.bn1(self.conv1(x)).relu())
        return self.fc(self.attn(x.flatten(2).transpose(1, 2)).mean(1))


def build(seed: int) -> TinyNet:
    """The original with random weights and statistics, in eval mode, without touching the global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = TinyNet()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.0, 0.1)
                module.running_mean = torch.randn(module.num_features) * 0.1
                module.running_var = torch.rand(module.num_features) + 0.5
    return net.eval()


def cut(net: TinyNet, kept: dict[str, tuple[NDArray[np.int64] | None, ...] | None]) -> TinyNet:
    """A `TinyNet` of the kept sizes with the sliced weights of `net`."""
    state = {name: _slice(tensor, kept.get(name)) for name, tensor in net.state_dict().items()}
    hidden = (len(state["layer1.0.conv1.weight"]), len(state["layer1.1.conv1.weight"]))
    inner = state["attn.proj.weight"].shape[1]
    smaller_heads = _smaller_heads(net, kept.get("attn.proj.weight"))
    small = TinyNet(len(state["conv1.weight"]), hidden, smaller_heads, inner // smaller_heads)
    small.load_state_dict(state)
    return small.train(net.training)


def _slice(tensor: Tensor, kept: tuple[NDArray[np.int64] | None, ...] | None) -> Tensor:
    for dim, indices in enumerate(kept or ()):
        if indices is not None:
            tensor = tensor.index_select(dim, torch.from_numpy(indices))
    return tensor.clone()


def _smaller_heads(net: TinyNet, kept: tuple[NDArray[np.int64] | None, ...] | None) -> int:
    if kept is None or kept[1] is None:
        return net.attn.heads
    return len(np.unique(kept[1] // net.attn.head_dim))
