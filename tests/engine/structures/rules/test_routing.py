"""Experts of a mixture, key/value groups with their query heads, and what is computed in float32 on the way."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.errors import PlanError
from secateur.engine.planning.count_balance import balanced
from secateur.engine.planning.marks import check_plan
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.structures.costs import costs
from tests.engine.nets import rows

from .proof import prove


class Experts(nn.Module):
    """Two of six experts a row, as gated linears of stacked weights; softmax before the choice or after."""

    def __init__(self, softmax_first: bool = True) -> None:
        super().__init__()
        self.softmax_first, self.num_experts = softmax_first, 6
        self.up = nn.Linear(9, 8)
        self.router = nn.Linear(8, 6)
        self.gate_up = nn.Parameter(torch.randn(6, 16, 8) / 3)
        self.bias = nn.Parameter(torch.randn(6, 16))
        self.down = nn.Parameter(torch.randn(6, 8, 8) / 3)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.up(x))
        return self.head(x + self.mixture(x, *self.route(self.router(x))))

    def route(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.softmax_first:
            weights, chosen = scores.float().softmax(-1).topk(2, -1)
            return weights / weights.sum(-1, keepdim=True), chosen
        weights, chosen = scores.topk(2, -1)
        return weights.softmax(-1), chosen

    def mixture(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        expert, order = chosen.reshape(-1).sort()
        counts = torch.histc(expert.float(), bins=self.num_experts, min=0, max=self.num_experts - 1)
        offs = counts.cumsum(0, dtype=torch.int32)
        y = F.grouped_mm(x[order // 2], self.gate_up.transpose(1, 2), offs=offs) + self.bias[expert]
        gate, up = y.chunk(2, -1)
        y = F.grouped_mm(F.silu(gate) * up, self.down.transpose(1, 2), offs=offs)
        y = y * weights.reshape(-1)[order].unsqueeze(-1)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        return y[back].reshape(len(x), 2, -1).sum(1)


class ByNumber(Experts):
    """The experts' numbers are used as numbers."""

    def mixture(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        return super().mixture(x, weights, chosen) + chosen.sum(-1, keepdim=True)


class Dense(Experts):
    """Every expert sees every row; a mask of ones where it was chosen takes the rest out."""

    def mixture(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(len(x), self.num_experts).scatter_(1, chosen, 1.0)
        gate, up = (torch.einsum("nd,efd->enf", x, self.gate_up) + self.bias[:, None]).chunk(2, -1)
        y = F.silu(gate) * up
        return (torch.einsum("enf,edf->end", y, self.down) * mask.T[..., None]).sum(0)


def _kinds(analysis: Analysis) -> dict[Kind, int]:
    return {s.kind: s.count for s in analysis.sets}


@pytest.mark.parametrize("softmax_first", [True, False])
def test_an_expert_goes_with_its_score_and_the_choice_is_among_the_others(softmax_first: bool) -> None:
    torch.manual_seed(0)
    names = ("router.weight", "gate_up", "gate_up:1", "bias", "down", "down:1", "down:2")
    analysis = prove(Experts(softmax_first), rows(12), *names)
    assert _kinds(analysis)[Kind.EXPERT] == 6
    stacks = [n for n, name in enumerate(analysis.operators.name) if name == "_grouped_mm"]
    assert costs(analysis).operator_macs[stacks].tolist() == [2 * 8 * 16, 2 * 8 * 8]  # two experts a row, not six


def test_experts_that_are_masked_after_they_ran_go_too() -> None:
    torch.manual_seed(0)
    prove(Dense(), rows(12), "router.weight", "gate_up", "bias", "down")


def test_experts_whose_numbers_are_used_as_numbers_stay() -> None:
    analysis = analyse(ByNumber().eval(), rows(12))
    assert Kind.EXPERT not in _kinds(analysis)
    assert {f.reason.code for f in analysis.fixed if analysis.tensors[f.tensor].name == "down"} == {"fixed.chosen"}


class Grouped(nn.Module):
    """Six query heads over three key/value heads (or one), repeated by hand or by torch."""

    def __init__(self, kv: int, by_hand: bool) -> None:
        super().__init__()
        self.repeats, self.dim, self.by_hand = 6 // kv, 4, by_hand
        self.embed = nn.Embedding(11, 12)
        self.q, self.k, self.v = nn.Linear(12, 24), nn.Linear(12, 4 * kv), nn.Linear(12, 4 * kv)
        self.o, self.head = nn.Linear(24, 12), nn.Linear(12, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        q, k, v = (f(x).view(*x.shape[:2], -1, self.dim).transpose(1, 2) for f in (self.q, self.k, self.v))
        if self.by_hand:
            k, v = (self.repeat(t) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, scale=0.5, enable_gqa=not self.by_hand)
        return self.head(x + self.o(y.transpose(1, 2).flatten(2)))

    def repeat(self, x: torch.Tensor) -> torch.Tensor:
        n, heads, length, dim = x.shape
        return x[:, :, None].expand(n, heads, self.repeats, length, dim).reshape(n, -1, length, dim)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_key_value_group_goes_with_its_query_heads_and_a_query_head_from_every_group(by_hand: bool) -> None:
    torch.manual_seed(0)
    ids = (torch.randint(0, 11, (2, 7)),)
    analysis = prove(Grouped(3, by_hand), ids, "q.weight", "k.weight", "v.weight", "o.weight:1")
    kinds = _kinds(analysis)
    assert (kinds[Kind.KV_GROUP], kinds[Kind.HEAD]) == (3, 2)
    group = next(s for s in analysis.sets if s.kind is Kind.KV_GROUP)
    head = next(s for s in analysis.sets if s.kind is Kind.HEAD)
    taken = {s.tensor: set(s.indices.tolist()) for s in analysis.slices(group.first + 1) if s.dim == 0}
    assert taken["q.weight"] == set(range(8, 16)) and taken["k.weight"] == {4, 5, 6, 7}
    taken = {s.tensor: set(s.indices.tolist()) for s in analysis.slices(head.first) if s.dim == 0}
    assert taken["q.weight"] == {0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19} and "k.weight" not in taken


def test_the_one_key_value_head_of_all_query_heads_stays_and_they_go() -> None:
    torch.manual_seed(0)
    analysis = prove(Grouped(1, True), (torch.randint(0, 11, (2, 7)),), "q.weight", "o.weight:1")
    assert _kinds(analysis)[Kind.HEAD] == 6


class Halfway(nn.Module):
    """Computes a norm in float32, whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.scale, self.head = nn.Linear(9, 12), nn.Parameter(torch.rand(12)), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.up(x).to(torch.float32)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.head(self.scale * y.to(x.dtype))


def test_what_is_computed_in_float32_is_compared_in_float64() -> None:
    torch.manual_seed(0)
    prove(Halfway(), rows(12), "up.weight")


class Many(Dense):
    """Four of six experts a row: half of them would be too few."""

    def route(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weights, chosen = scores.topk(4, -1)
        return weights, chosen


def test_as_many_experts_stay_as_are_chosen_for_a_row() -> None:
    torch.manual_seed(0)
    analysis = prove(Many(), rows(9), "router.weight")
    number, experts = next((n, s) for n, s in enumerate(analysis.sets) if (s.name, s.dim) == ("router.weight", 0))
    assert experts.count == 6 and [b.most for b in analysis.bundles if number in b.sets] == [2]
    for gone, fits in ((2, True), (3, False)):
        mask = analysis.empty()
        mask[experts.first : experts.first + gone] = True
        if fits:
            check_plan(analysis, mask)
        else:
            with pytest.raises(PlanError, match=r"aten\.topk selects 4 of these, so at least as many must stay"):
                check_plan(analysis, mask)


def test_widths_that_a_kernel_reads_in_pieces_stay_multiples() -> None:
    torch.manual_seed(0)
    model, inputs = Experts().eval(), rows(9)
    analysis = analyse(model, inputs)
    neurons = next(n for n, s in enumerate(analysis.sets) if s.name == "gate_up" and s.dim == 1)
    assert [(b.sizes, b.most) for b in analysis.bundles if neurons in b.sets] == [((4,), 1)]
    mask, place = analysis.empty(), analysis.sets[neurons].first
    mask[[place, place + 3]] = True
    with pytest.raises(PlanError, match=r"aten\._grouped_mm accepts only multiples of 4"):
        check_plan(analysis, mask)
    check_plan(analysis, balanced(analysis, mask))
    assert int(balanced(analysis, mask).sum()) == 4
