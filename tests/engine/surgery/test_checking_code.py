"""Code that checks its own sizes before it goes on: repairs that must come together are found one by one."""

import math

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randint(0, 20, (2, 8), generator=torch.Generator().manual_seed(0)),)


class Windowed(nn.Module):
    """Attention within windows that overlap (Beltagy et al. 2020, simplified): it takes them by strides."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim, self.window = width, heads, width // heads, window
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        batch, length, embed_dim = x.shape
        assert embed_dim == self.embed_dim, "another width"
        q /= math.sqrt(self.head_dim)
        q, k, v = (self.windows(t.view(batch, length, self.num_heads, self.head_dim)) for t in (q, k, v))
        mixed = torch.softmax(q @ k.transpose(-1, -2), -1) @ v
        assert mixed.shape[-1] == self.head_dim, "another head dimension"
        mixed = mixed[:, :, : self.window].reshape(batch, self.num_heads, -1, self.head_dim).transpose(1, 2)
        return mixed.reshape(batch, -1, embed_dim)

    def windows(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2).reshape(x.shape[0] * self.num_heads, x.shape[1], self.head_dim)
        sizes = (x.shape[0], x.shape[1] // self.window - 1, 2 * self.window, x.shape[2])
        return x.as_strided(sizes, (x.stride(0), self.window * x.stride(1), x.stride(1), x.stride(2)))


class Layers(nn.Module):
    """Two such layers, each with a projection; a sequence loses a window in each."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(20, 16), nn.Linear(16, 5)
        self.mixers = nn.ModuleList([Windowed(16, 2, 2) for _ in range(2)])
        self.outs = nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids)
        for mixer, out in zip(self.mixers, self.outs, strict=True):
            y = out(mixer(x))
            x = x[:, : y.shape[1]] + y
        return self.head(x)


def test_attention_that_checks_its_width_and_takes_windows_by_strides_loses_all_kinds() -> None:
    torch.manual_seed(0)
    model = Layers().eval()
    analysis = finish(settle(model, INPUTS, name="windowed"))
    assert not any(f.reason.code in ("fixed.sliced", "fixed.unrepaired") for f in analysis.fixed), analysis.fixed
    assert {"residual width", "head", "head dimension"} <= {str(s.kind) for s in analysis.sets}
    mask = trial_mask(analysis, tuple(s for s in analysis.sets if s.count > 1))
    smaller = cut(model, analysis, mask, INPUTS).model
    result = finish(verify(model, smaller, analysis, mask, INPUTS))
    assert result.passed, result
