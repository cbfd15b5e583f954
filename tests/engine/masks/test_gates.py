"""Gates of 0 and 1 compute what the cut model computes, for every kind of structure, alone and together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.engine.inference.model_inputs import call
from secateur.engine.masks.gates import StructureGates
from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, CountRule, Kind, Mask
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tracing.tree import outputs_of
from secateur.resources import models as bundled
from tests.engine.nets import Transformer
from tests.engine.structures.rules.test_routing import Dense, Experts

EXACT = 1e-9
"""The largest difference, relative to the largest output, in float64."""
WIDTH, HEADS, GROUPS, HEAD = 16, 4, 2, 6


class WrittenNorm(nn.Module):
    """RMSNorm as models of transformers write it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-2))


class DecoderLayer(nn.Module):
    """Grouped queries with norms on queries and keys, and a gated feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = WrittenNorm(WIDTH), nn.RMSNorm(WIDTH, eps=1e-2)
        self.q, self.o = nn.Linear(WIDTH, HEADS * HEAD, False), nn.Linear(HEADS * HEAD, WIDTH, False)
        self.k, self.v = nn.Linear(WIDTH, GROUPS * HEAD, False), nn.Linear(WIDTH, GROUPS * HEAD, False)
        self.q_norm, self.k_norm = WrittenNorm(HEAD), WrittenNorm(HEAD)
        self.gate, self.up, self.down = nn.Linear(WIDTH, 20), nn.Linear(WIDTH, 20), nn.Linear(20, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        y = self.before(x)
        q, k, v = (one(y).view(n, t, -1, HEAD).transpose(1, 2) for one in (self.q, self.k, self.v))
        q, k = self.q_norm(q), self.k_norm(k)
        k, v = (one.repeat_interleave(HEADS // GROUPS, 1) for one in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.4)
        x = x + self.o(mixed.transpose(1, 2).reshape(n, t, -1))
        y = self.after(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Decoder(nn.Module):
    """Token numbers [N, T] to logits; the output layer is the embedding, if it is tied."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(11, WIDTH), WrittenNorm(WIDTH), nn.Linear(WIDTH, 11, False)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(3))
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Convolutions(nn.Module):
    """Depthwise and pointwise convolutions with GroupNorm, LayerNorm, BatchNorm and squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.group, self.depthwise = (
            nn.Conv2d(3, 12, 1),
            nn.GroupNorm(3, 12),
            nn.Conv2d(12, 12, 3, 1, 1, 1, 12),
        )
        self.norm, self.up, self.down = nn.LayerNorm(12), nn.Linear(12, 10), nn.Linear(10, 12)
        self.wide, self.batch = nn.Conv2d(12, 14, 1), nn.BatchNorm2d(14)
        self.squeeze, self.excite, self.head = nn.Conv2d(14, 4, 1), nn.Conv2d(4, 14, 1), nn.Linear(14, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.group(self.stem(x))
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        x = x + self.down(self.up(y).sigmoid()).permute(0, 3, 1, 2)
        x = self.batch(self.wide(x)).sigmoid()
        x = x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.head(x.mean((2, 3)))


class Recurrent(nn.Module):
    """Two recurrent layers, whose weights torch keeps in a list of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(5, 8, batch_first=True), nn.GRU(8, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)[0])[0][:, -1])


class Mixture(nn.Module):
    """Two of four experts for each row, of which a router's largest scores decide."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = 4
        self.stem, self.router, self.head = nn.Linear(5, 8), nn.Linear(8, self.experts), nn.Linear(8, 3)
        self.up, self.down = nn.Parameter(torch.randn(4, 7, 8)), nn.Parameter(torch.randn(4, 8, 7))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        scores, chosen = self.router(x).topk(2, -1)
        weights = torch.zeros(len(x), self.experts, dtype=x.dtype).scatter(1, chosen, scores.softmax(-1))
        hidden = torch.einsum("nd,ehd->enh", x, self.up).relu()
        return self.head(x + (torch.einsum("enh,edh->end", hidden, self.down) * weights.T[..., None]).sum(0))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "decoder": (lambda: Decoder(tied=False), ()),
    "tied decoder": (lambda: Decoder(tied=True), ()),
    "vision transformer": (Transformer, (3, 32, 32)),
    "residual network": (bundled.resnet, (1, 28, 28)),
    "convolutions": (Convolutions, (3, 8, 8)),
    "recurrent": (Recurrent, (4, 5)),
    "experts": (Mixture, (5,)),
}


def built(name: str) -> tuple[nn.Module, Any]:
    """A network in float64 whose every parameter is random, and inputs."""
    torch.manual_seed(0)
    make, shape = NETS[name]
    model = make().double().eval()
    with torch.no_grad():
        for one in model.parameters():
            one.add_(0.2 * torch.randn_like(one))
    return model, (torch.randn(2, *shape).double() if shape else torch.randint(0, 11, (2, 7)),)


def half(analysis: Analysis, kinds: set[Kind]) -> Mask:
    """Half of the structures of some kinds, of blocks about a third."""
    mask, random = analysis.empty(), np.random.default_rng(1)
    for one in analysis.sets:
        if one.kind in kinds:
            place = one.first + random.permutation(one.count)[: one.count // 2]
            mask[place if one.kind is not Kind.BLOCK else one.first + np.flatnonzero(random.random(1) < 0.4)] = True
    return balanced(analysis, mask)


def results(model: nn.Module, inputs: Any) -> list[Tensor]:
    with torch.no_grad():
        return [one.tensor for one in outputs_of(call(model, inputs)) if one.preserved]


def distance(expected: list[Tensor], found: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", NETS)
def test_gates_of_0_and_1_equal_the_cut_for_every_kind_and_for_all_together(name: str) -> None:
    model, inputs = built(name)
    analysis, before = analyse(model, inputs), results(model, inputs)
    gates, kinds = StructureGates(model, analysis), {one.kind for one in analysis.sets}
    together = kinds - {Kind.HEAD_DIM} if kinds & {Kind.HEAD, Kind.KV_GROUP} else kinds
    for some in (*({kind} for kind in sorted(kinds)), together):
        mask = half(analysis, some)
        if not mask.any():
            assert some == {Kind.BLOCK}
            continue
        expected = results(cut(model, analysis, mask, inputs).model.eval(), inputs)
        with gates.applied(torch.from_numpy(~mask).double()):
            found = results(model, inputs)
        assert distance(expected, found) < EXACT, some
        assert distance(expected, before) > 1e3 * EXACT, some
    with gates.applied(torch.ones(analysis.count).double()):
        assert distance(before, results(model, inputs)) < EXACT
    assert distance(before, results(model, inputs)) == 0.0  # nothing is left behind


@pytest.mark.parametrize("kind", [Experts, Dense])
def test_experts_are_gated_at_their_router(kind: type[Experts]) -> None:
    torch.manual_seed(0)
    model, inputs = kind().eval(), (torch.randn(4, 9),)
    analysis = analyse(model, inputs)
    experts = {n for one in analysis.constraints if one.kind is CountRule.AT_LEAST for n in one.sets}
    mask = half(analysis, {analysis.sets[n].kind for n in experts})
    assert mask.any() and experts
    expected = results(cut(model, analysis, mask, inputs).model.eval(), inputs)
    with StructureGates(model, analysis).applied(torch.from_numpy(~mask).float()):
        assert distance(expected, results(model, inputs)) < 1e-6  # their products are in float32 alone
    assert distance(expected, results(model, inputs)) > 1e-3


class Corrected(Experts):
    """Sigmoid scores; a number for each expert, as a parameter or not, is added to them for the choice alone."""

    def __init__(self, learned: bool) -> None:
        super().__init__()
        correction = torch.tensor([0.0, 9.0, 0.0, 9.0, 0.0, 9.0])  # decides: those that go would be chosen
        self.correction = nn.Parameter(correction) if learned else nn.Buffer(correction)

    def route(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        scores = functional.linear(input=self.seen, weight=self.router.weight.float(), bias=self.router.bias.float())
        scores = scores.sigmoid()
        chosen = (scores + self.correction.unsqueeze(0)).topk(2, -1)[1]
        weights = scores.gather(1, chosen)
        return weights / weights.sum(-1, keepdim=True), chosen

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.up(x).relu()
        return self.head(self.seen + self.mixture(self.seen, *self.route(self.seen)))


@pytest.mark.parametrize("learned", [True, False])
def test_an_expert_stays_closed_where_its_score_is_corrected_for_the_choice(learned: bool) -> None:
    torch.manual_seed(0)
    model, inputs = Corrected(learned).eval(), (torch.randn(12, 9),)
    analysis = analyse(model, inputs)
    (experts,) = (one for one in analysis.sets if one.kind is Kind.EXPERT)
    mask = analysis.empty()
    mask[experts.first + np.array([1, 3])] = True
    expected = results(cut(model, analysis, mask, inputs).model.eval(), inputs)
    with StructureGates(model, analysis).applied(torch.from_numpy(~mask).float()):
        assert distance(expected, results(model, inputs)) < 1e-6


@pytest.mark.parametrize("name", ["convolutions", "vision transformer", "decoder"])
def test_a_gated_model_keeps_its_own_type(name: str) -> None:
    model, inputs = built(name)
    analysis = analyse(model, inputs)
    mask = half(analysis, {one.kind for one in analysis.sets} - {Kind.HEAD_DIM, Kind.BLOCK})
    gates = torch.from_numpy(~mask).float()
    with StructureGates(model, analysis).applied(gates):
        expected = results(model, inputs)
    model = model.bfloat16()
    inputs = tuple(one.bfloat16() if one.is_floating_point() else one for one in inputs)
    with StructureGates(model, analysis).applied(gates):
        found = results(model, inputs)
    assert {one.dtype for one in found} == {torch.bfloat16}
    assert distance(expected, [one.double() for one in found]) < 0.1


def test_every_kind_is_among_these_networks() -> None:
    found = {one.kind for name in NETS for one in analyse(*built(name)).sets}
    assert found | {Kind.EXPERT} == {*Kind}


def test_a_gate_has_the_gradient_of_what_it_multiplies() -> None:
    model, inputs = built("decoder")
    analysis = analyse(model, inputs)
    gates = torch.ones(analysis.count, dtype=torch.float64, requires_grad=True)
    with StructureGates(model, analysis).applied(gates):
        call(model, inputs).square().sum().backward()
    assert gates.grad is not None
    down = model.get_parameter("layers.1.down.weight")
    assert down.grad is not None
    (one,) = (each for each in analysis.sets if each.kind is Kind.NEURON and each.module == "layers.1.gate")
    expected = (down * down.grad).sum(0).detach()  # Michel et al. (2019): of a gate on what the weights read
    assert torch.allclose(gates.grad[one.structures], expected)
    (width,) = (each for each in analysis.sets if each.kind is Kind.WIDTH)
    step, places = 1e-6, torch.zeros(analysis.count, dtype=torch.float64)
    places[width.first + 3] = step

    def loss(change: float) -> float:
        with torch.no_grad(), StructureGates(model, analysis).applied(1 + change * places):
            return float(call(model, inputs).square().sum())

    assert gates.grad[width.first + 3].item() == pytest.approx((loss(1) - loss(-1)) / (2 * step), rel=1e-5)


def test_folded_gates_are_in_the_weights() -> None:
    model, inputs = built("recurrent")
    analysis = analyse(model, inputs)
    gates, open_ = StructureGates(model, analysis), torch.rand(analysis.count).double()
    with gates.applied(open_):
        expected = results(model, inputs)
    gates.fold(open_)
    assert distance(expected, results(model, inputs)) < EXACT


@pytest.mark.parametrize(("kinds", "equal"), [({Kind.NEURON, Kind.HEAD}, True), ({Kind.WIDTH}, False)])
def test_folded_gates_leave_the_statistics_of_norms_alone(kinds: set[Kind], equal: bool) -> None:
    model, inputs = built("vision transformer")
    analysis = analyse(model, inputs)
    gates, open_ = StructureGates(model, analysis), torch.ones(analysis.count).double()
    for one in analysis.sets:
        if one.kind in kinds:
            open_[one.structures] = torch.arange(one.count).double() % 2 if Kind.WIDTH in kinds else 0.5
    with gates.applied(open_):
        expected = results(model, inputs)
    gates.fold(open_)
    assert (distance(expected, results(model, inputs)) < EXACT) is equal


def test_a_forward_that_fails_leaves_the_model_as_it_was() -> None:
    model, inputs = built("decoder")
    analysis, before = analyse(model, inputs), results(model, inputs)
    with (
        pytest.raises(IndexError),
        StructureGates(model, analysis).applied(torch.zeros(analysis.count, dtype=torch.float64)),
    ):
        call(model, (inputs[0] + 99,))
    assert distance(before, results(model, inputs)) == 0.0
