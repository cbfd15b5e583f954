"""Attention in every spelling: grouped queries, masks a head, cross attention, one fused operator."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.structures.analysis import Kind

from .between import sequences
from .proof import prove


class Grouped(nn.Module):
    """Six query heads on three key/value groups; `how` spells it."""

    def __init__(self, how: str, biased: bool) -> None:
        super().__init__()
        self.how, self.heads, self.groups = how, 6, 3
        self.q, self.k, self.v, self.out = nn.Linear(9, 24), nn.Linear(9, 12), nn.Linear(9, 12), nn.Linear(24, 7)
        self.bias = nn.Parameter(torch.randn(6, 5, 5)) if biased else None
        self.head = nn.Linear(7, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q = self.q(x).view(n, t, self.heads, -1).transpose(1, 2)
        k, v = (f(x).view(n, t, self.groups, -1).transpose(1, 2) for f in (self.k, self.v))
        bias = None if self.bias is None else self.bias[None].expand(n, -1, -1, -1)
        x = self.attend(q, k, v, bias).transpose(1, 2).reshape(n, t, -1)
        return self.head(torch.tanh(self.out(x)).mean(1))

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: Any) -> torch.Tensor:
        times = self.heads // self.groups
        if self.how == "flag":
            return F.scaled_dot_product_attention(q, k, v, bias, enable_gqa=True)
        if self.how == "expand":
            k, v = (z[:, :, None].expand(-1, -1, times, -1, -1).flatten(1, 2) for z in (k, v))
            return F.scaled_dot_product_attention(q, k, v, bias)
        k, v = (z.repeat_interleave(times, 1) for z in (k, v))
        if self.how == "fused":
            fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
            return fused(q, k, v, attn_mask=bias, scale=0.5)[0]
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * 0.5 + (0 if bias is None else bias)
        return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)


@pytest.mark.parametrize(("how", "biased"), [
    ("flag", False), ("expand", True), ("fused", False), ("fused", True), ("einsum", True),
])  # fmt: skip
def test_a_key_value_group_goes_with_its_queries(how: str, biased: bool) -> None:
    torch.manual_seed(0)
    expected = ("q.weight", "k.weight", "v.weight", *(("bias",) if biased else ()))
    analysis = prove(Grouped(how, biased), sequences(), *expected)
    group = next(s for s in analysis.sets if s.kind is Kind.KV_GROUP)
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(group.first + 1)}
    assert found["k.weight", 0] == [4, 5, 6, 7] and found["q.weight", 0] == list(range(8, 16))
    assert not biased or found["bias", 0] == [2, 3]


class Crossed(nn.Module):
    """`nn.MultiheadAttention` between two different sequences."""

    def __init__(self, weights: bool = False, **options: Any) -> None:
        super().__init__()
        self.weights = weights
        self.a, self.b = nn.Linear(9, 12), nn.Linear(9, options.get("kdim", 12))
        self.c = nn.Linear(9, options["vdim"]) if "vdim" in options else None
        self.attention, self.head = nn.MultiheadAttention(12, 3, **options), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> Any:
        query, key = torch.tanh(self.a(x)), torch.tanh(self.b(x.flip(1)))
        value = key if self.c is None else torch.tanh(self.c(x))
        y, weights = self.attention(query, key, value, need_weights=self.weights)
        y = self.head(torch.tanh(query + y)).mean(1)
        return (y, weights) if self.weights else y


@pytest.mark.parametrize(("options", "expected"), [
    ({"batch_first": True}, ("attention.in_proj_weight", "attention.in_proj_weight:1")),
    ({"weights": True}, ("attention.in_proj_weight",)),
    ({"kdim": 10, "vdim": 8}, ("attention.q_proj_weight", "attention.k_proj_weight:1", "attention.v_proj_weight:1")),
    ({"batch_first": True, "add_bias_kv": True, "add_zero_attn": True}, ("attention.in_proj_weight",)),
], ids=str)  # fmt: skip
def test_heads_of_cross_attention_are_free(options: dict[str, Any], expected: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    analysis = prove(Crossed(**options), sequences(), *expected)
    head = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    found = {(s.tensor, s.dim): s.indices.tolist() for s in analysis.slices(head.first + 1)}
    assert found["attention.out_proj.weight", 1] == [4, 5, 6, 7]
    if "attention.in_proj_weight" in expected:
        assert found["attention.in_proj_weight", 0] == [*range(4, 8), *range(16, 20), *range(28, 32)]
