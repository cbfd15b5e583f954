"""Traps of transformers: heads written in every order, shared keys, positions, tables."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .toy import sequence, tokens, toy


class Mixer(nn.Module):
    """Linear in, an attention beside a shortcut (by the toy), norm and linear out."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.into, self.norm, self.end = nn.Linear(9, width), nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        return self.end((x + self.attend(self.norm(x))).mean(1))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Projected(Mixer):
    """Three projections and one back, [n, t, c] to [n, heads, t, c / heads]."""

    def __init__(self, heads: int = 4, shared: int = 4, width: int = 24) -> None:
        super().__init__(width)
        self.heads, self.shared, self.head_dim = heads, shared, width // heads
        self.q, self.back = nn.Linear(width, width), nn.Linear(width, width)
        self.k, self.v = nn.Linear(width, shared * self.head_dim), nn.Linear(width, shared * self.head_dim)

    def split(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        return x.view(*x.shape[:2], heads, self.head_dim).transpose(1, 2)

    def projections(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.split(self.q(x), self.heads), self.split(self.k(x), self.shared), self.split(self.v(x), self.shared)

    def joined(self, x: torch.Tensor) -> torch.Tensor:
        return self.back(x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1))


@toy(sequence())
class GroupedQueries(Projected):
    """Two query heads share one key and value head, which is repeated by expanding."""

    def __init__(self) -> None:
        super().__init__(4, 2)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        n, h, t, d = k.shape
        k, v = (a[:, :, None].expand(n, h, 2, t, d).reshape(n, h * 2, t, d) for a in (k, v))
        return self.joined(F.scaled_dot_product_attention(q, k, v))


@toy(sequence())
class RepeatedKeys(Projected):
    """The same, by `repeat_interleave` with a number computed from two attributes."""

    def __init__(self) -> None:
        super().__init__(4, 2)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        k, v = (a.repeat_interleave(self.heads // self.shared, 1) for a in (k, v))
        return self.joined((q @ k.transpose(-1, -2) / math.sqrt(self.head_dim)).softmax(-1) @ v)


@toy(sequence())
class OneKey(Projected):
    """All query heads share one key and value head, by broadcasting."""

    def __init__(self) -> None:
        super().__init__(4, 1)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        return self.joined((q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v)


class Fused(Mixer):
    """One linear layer makes queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.qkv, self.back = 4, nn.Linear(24, 72), nn.Linear(24, 24)

    def finish(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.back(y.reshape(*y.shape[:2], -1))


@toy(sequence())
class FusedByKind(Fused):
    """Three, heads, head dimension: queries first, sizes from the input's width."""

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        n, t, c = x.shape
        return self.finish(*self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4))


@toy(sequence())
class FusedByHead(Fused):
    """Heads, three, head dimension: each head's query, key and value stand together."""

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        return self.finish(*self.qkv(x).view(n, t, self.heads, 3, -1).permute(3, 0, 2, 1, 4))


@toy(sequence())
class FusedInside(Fused):
    """Heads, head dimension, three: the kind is the fastest index."""

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        n, t, c = x.shape
        return self.finish(*self.qkv(x).view(n, t, self.heads, c // self.heads, 3).permute(4, 0, 2, 1, 3))


@toy(sequence())
class FusedChunks(Fused):
    """Heads, then head dimension times three, chunked on the last axis."""

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, self.heads, -1).transpose(1, 2).chunk(3, -1)
        return self.finish(q, k, v)


@toy(sequence())
class FusedUneven(Mixer):
    """Queries of four heads, keys and values of one, split by literal sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.back = nn.Linear(24, 24 + 12), nn.Linear(24, 24)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).split((24, 6, 6), -1)
        q, k, v = q.view(n, t, 4, 6).transpose(1, 2), k[:, None], v[:, None]
        y = (q @ k.transpose(-1, -2) / 6**0.5).softmax(-1) @ v
        return self.back(y.transpose(1, 2).flatten(2))


@toy(sequence())
class Rotary(Projected):
    """Rotates halves of each head by angles of a buffer, so that dimensions go in pairs."""

    angles: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("angles", 1.0 / 100 ** (torch.arange(0, 6, 2) / 6), persistent=False)

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        turns = torch.outer(torch.arange(x.shape[2], dtype=x.dtype), self.angles)
        turns = torch.cat([turns, turns], -1)
        half = x.shape[-1] // 2
        return x * turns.cos() + torch.cat([-x[..., half:], x[..., :half]], -1) * turns.sin()

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        return self.joined(F.scaled_dot_product_attention(self.turned(q), self.turned(k), v))


@toy(sequence())
class RotaryPairs(Projected):
    """Rotates neighbours within each head as complex numbers; the angles are made at every forward."""

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        d = x.shape[-1]
        angles = torch.outer(
            torch.arange(x.shape[2], dtype=x.dtype), 1.0 / 100 ** (torch.arange(0, d, 2, dtype=x.dtype) / d)
        )
        turns = torch.polar(torch.ones_like(angles), angles)
        return torch.view_as_real(torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * turns).flatten(3)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        return self.joined(F.scaled_dot_product_attention(self.turned(q), self.turned(k), v))


@toy(sequence(16))
class Windows(Fused):
    """Rolls a 4 x 4 grid, cuts it into windows and adds a bias a head out of a table by position."""

    index: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 4))
        at = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None] + 1
        self.register_buffer("index", apart[0] * 3 + apart[1])

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        n, _, c = x.shape
        x = x.view(n, 4, 4, c).roll((-1, -1), (1, 2)).view(n, 2, 2, 2, 2, c).transpose(2, 3).reshape(n * 4, 4, c)
        q, k, v = self.qkv(x).view(n * 4, 4, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(4, 4, -1).permute(2, 0, 1)
        y = ((q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v).transpose(1, 2)
        y = self.back(y.reshape(n * 4, 4, c)).view(n, 2, 2, 2, 2, c).transpose(2, 3).reshape(n, 4, 4, c)
        return y.roll((1, 1), (1, 2)).view(n, 16, c)


@toy(sequence())
class RelativeBias(Projected):
    """An embedding of distances has one column a head; the product is not scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.distance = nn.Embedding(11, 4)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        at = torch.arange(x.shape[1])
        bias = self.distance(at[:, None] - at[None] + 5).permute(2, 0, 1)[None]
        return self.joined((q @ k.transpose(-1, -2) + bias).softmax(-1) @ v)


@toy(sequence())
class Slopes(Projected):
    """A penalty on distance, another for each number of a head, made at every forward."""

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        at = torch.arange(x.shape[1])
        slopes = 2.0 ** -torch.arange(1, self.heads + 1)
        penalty = -(at[:, None] - at[None]).abs() * slopes[:, None, None]
        return self.joined((q @ k.transpose(-1, -2) / 6**0.5 + penalty).softmax(-1) @ v)


@toy(sequence())
class TalkingHeads(Projected):
    """A linear layer mixes the heads before the softmax, and another after it."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(4, 4), nn.Linear(4, 4)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        scores = self.before((q @ k.transpose(-1, -2)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        return self.joined(self.after(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) @ v)


@toy(sequence())
class Einsum(Mixer):
    """Weights with axes for heads and their dimensions, contracted by `einsum` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(torch.randn(24, 4, 6) / 5) for _ in range(3))
        self.out = nn.Parameter(torch.randn(4, 6, 24) / 5)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (torch.einsum("ntc,chd->nhtd", x, w) for w in (self.q, self.k, self.v))
        scores = torch.einsum("nhtd,nhsd->nhts", q, k).softmax(-1)
        return torch.einsum("nhts,nhsd,hdc->ntc", scores, v, self.out)


@toy(sequence())
class CosineAttention(Projected):
    """Queries and keys are divided by their length, with a learned temperature a head."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.randn(4, 1, 1))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) * self.temperature.exp()
        return self.joined(scores.softmax(-1) @ v)


@toy(sequence())
class ScaleFromSize(Projected):
    """The scale is an attribute computed from the head dimension once, as a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor(self.head_dim**-0.5)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.projections(x)
        return self.joined((q @ k.transpose(-1, -2) * self.scale).softmax(-1) @ v)


class TransposedLinear(nn.Module):
    """A linear layer whose weight has input before output, as GPT-2 has it."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.nf = out
        self.weight, self.bias = nn.Parameter(torch.randn(into, out) / into**0.5), nn.Parameter(torch.randn(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], self.nf)


@toy(tokens())
class LanguageModel(nn.Module):
    """Tied embeddings, a learned position, a causal mask in a buffer, and layers that hold their weights transposed."""

    mask: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(11, 24), nn.Embedding(7, 24)
        self.norm1, self.qkv, self.back = nn.LayerNorm(24), TransposedLinear(24, 72), TransposedLinear(24, 24)
        self.norm2, self.wide, self.narrow = nn.LayerNorm(24), TransposedLinear(24, 40), TransposedLinear(40, 24)
        self.norm, self.out = nn.LayerNorm(24), nn.Linear(24, 11, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("mask", torch.tril(torch.ones(7, 7, dtype=torch.bool))[None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t = x.shape
        x = self.embed(x) + self.position(torch.arange(t))
        q, k, v = (a.view(n, t, 4, 6).transpose(1, 2) for a in self.qkv(self.norm1(x)).split(24, 2))
        scores = (q @ k.transpose(-1, -2) / v.size(-1) ** 0.5).masked_fill(~self.mask[:, :, :t, :t], -1e4)
        x = x + self.back((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, 24))
        x = x + self.narrow(F.gelu(self.wide(self.norm2(x))))
        return self.out(self.norm(x))
