"""Plans under which a model's code stays as it is: what its sizes have to do with one another."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import PlanError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.planning.count_balance import balanced, broken_constraints
from secateur.engine.runtime.load_pruned import own_class as class_of
from secateur.engine.structures.analysis import Analysis, CountRule, Kind, Mask
from secateur.engine.surgery.cut.cut import CutModel, cut
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.repair.keep_class import keep_own_class
from secateur.engine.surgery.verify.verify import verify

NEVER = NeverCancelled()


class Attention(nn.Module):
    """The usual one: the width is read off the input, and what the heads give is reshaped to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Encoder(nn.Module):
    """Two blocks of attention on one width, each with neurons of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(5, 24), nn.Linear(24, 3)
        self.attention = nn.ModuleList(Attention(24, 6) for _ in range(2))
        self.mlp = nn.ModuleList(nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 24)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        for attention, mlp in zip(self.attention, self.mlp, strict=True):
            x = x + attention(x)
            x = x + mlp(x)
        return self.head(x.mean(1))


class Shared(nn.Module):
    """One remembered number stands for two sizes that the operators leave apart."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 8
        self.a, self.b, self.c = nn.Linear(5, 32), nn.Linear(5, 32), nn.Linear(5, 32)
        self.end = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c = (f(x).view(*x.shape[:2], -1, self.size).transpose(1, 2) for f in (self.a, self.b, self.c))
        mixed = (a @ b.transpose(-2, -1) / 4).softmax(-1) @ c
        return self.end(mixed.transpose(1, 2).flatten(2).mean(1))


class Torchs(nn.Module):
    """torch's own attention on a residual width."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(5, 24), nn.Linear(24, 3)
        self.attention = nn.MultiheadAttention(24, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        return self.head((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


def opened(model: nn.Module) -> SimpleNamespace:
    torch.manual_seed(0)
    inputs = (torch.randn(2, 7, 5),)
    free = finish(settle(model.eval(), inputs, name="net"))
    return SimpleNamespace(
        model=model, inputs=inputs, free=free, own=finish(keep_own_class(model, free, inputs, NEVER))
    )


def made(given: SimpleNamespace, analysis: Analysis, mask: Mask) -> CutModel:
    done = cut(given.model, analysis, mask, given.inputs)
    proof = finish(verify(given.model, done.model, analysis, mask, given.inputs, factors=done.factors))
    assert proof.passed, proof
    return done


def half(analysis: Analysis) -> Mask:
    """Half of every set but blocks, as far as constraints let it."""
    return trial_mask(analysis, tuple(one for one in analysis.sets if one.kind is not Kind.BLOCK))


def loses(analysis: Analysis, mask: Mask, kind: Kind) -> list[int]:
    return [int(mask[one.structures].sum()) for one in analysis.sets if one.kind is kind]


@pytest.fixture(scope="module")
def encoder() -> SimpleNamespace:
    return opened(Encoder())


def test_a_free_plan_replaces_numbers_and_one_for_the_own_class_does_not(encoder: SimpleNamespace) -> None:
    assert made(encoder, encoder.free, half(encoder.free)).edits.literals
    mask = half(encoder.own)
    done = made(encoder, encoder.own, mask)
    assert not done.edits.literals and not done.edits.attention
    assert all(type(m) is class_of(m) for m in done.model.modules())
    assert loses(encoder.own, mask, Kind.HEAD) == [3, 3] and loses(encoder.own, mask, Kind.WIDTH) == [12]
    assert loses(encoder.own, mask, Kind.HEAD_DIM) == [0] * len(loses(encoder.own, mask, Kind.HEAD_DIM))
    assert loses(encoder.own, mask, Kind.NEURON) == [20, 20]


def test_any_plan_that_keeps_the_constraints_does_without(encoder: SimpleNamespace) -> None:
    random = np.random.default_rng(7)
    for _ in range(3):
        mask = encoder.own.empty()
        for one in encoder.own.sets:
            mask[one.first + random.permutation(one.count)[: random.integers(0, one.count)]] = (
                one.kind is not Kind.BLOCK
            )
        mask = balanced(encoder.own, mask)
        assert not [*broken_constraints(encoder.own, mask)]
        if mask.any():
            assert not made(encoder, encoder.own, mask).edits.literals


def test_structures_keep_their_numbers_and_a_plan_that_breaks_a_constraint_is_refused(encoder: SimpleNamespace) -> None:
    assert encoder.own.sets == encoder.free.sets
    mask = encoder.own.empty()
    mask[next(one.first for one in encoder.own.sets if one.kind is Kind.HEAD)] = True
    with pytest.raises(PlanError, match="The code of Attention computes one of these sizes from another"):
        made(encoder, encoder.own, mask)
    made(encoder, encoder.free, mask)


def test_removed_blocks_take_their_constraints_along(encoder: SimpleNamespace) -> None:
    """The heads of a block that is gone need not follow the width."""
    block = next((one for one in encoder.own.sets if one.kind is Kind.BLOCK and one.module == "attention.0"), None)
    assert block is not None
    mask = encoder.own.empty()
    width = next(one for one in encoder.own.sets if one.kind is Kind.WIDTH)
    heads = next(one for one in encoder.own.sets if one.kind is Kind.HEAD and one.module.startswith("attention.1"))
    mask[width.first : width.first + 12] = True
    mask[heads.first : heads.first + 3] = True
    assert [*broken_constraints(encoder.own, mask)]
    mask[block.first] = True
    assert not [*broken_constraints(encoder.own, mask)]
    assert not made(encoder, encoder.own, mask).edits.literals


def test_sizes_that_share_one_remembered_number_stay_equal() -> None:
    given = opened(Shared())
    uneven = given.free.empty()
    uneven[next(one.first for one in given.free.sets if one.kind is Kind.HEAD_DIM)] = True
    assert made(given, given.free, uneven).edits.literals
    mask = half(given.own)
    assert not made(given, given.own, mask).edits.literals
    (shared,) = [one for one in given.own.constraints if one.kind is CountRule.EQUAL]
    assert [given.own.sets[n].kind for n in shared.sets] == [Kind.HEAD_DIM, Kind.HEAD_DIM]
    assert loses(given.own, mask, Kind.HEAD_DIM) == [4, 4]


def test_torchs_attention_stays_torchs() -> None:
    given = opened(Torchs())
    assert made(given, given.free, half(given.free)).edits.attention
    done = made(given, given.own, half(given.own))
    assert type(done.model.attention) is nn.MultiheadAttention and not done.edits.attention
    assert (done.model.attention.embed_dim, done.model.attention.num_heads) == (12, 2)


def test_what_needs_no_such_repair_is_left_as_it_is() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x).mean(1)

    given = opened(Rows())
    assert given.own is given.free
