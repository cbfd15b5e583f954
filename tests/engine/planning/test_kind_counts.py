"""Plans by kind keep as many heads, neurons or blocks as was asked, the best of the model, beside any other limit."""

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import PlanError
from secateur.engine.planning.budget_schedule import goals_of
from secateur.engine.planning.goal import reached, solve
from secateur.engine.planning.isomorphic_classes import with_block_contents
from secateur.engine.planning.kind_counts import structures_of
from secateur.engine.planning.protocol import (
    KIND_LIMIT,
    Choose,
    Cost,
    Goal,
    KindLimit,
    Limit,
    Ranking,
    kind_limit_of,
    read_kind,
)
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from tests.engine.planning.stacks import stack

LAYERS, HEADS, HIDDEN = 4, 8, 24


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.up, self.down = nn.Linear(16, HIDDEN), nn.Linear(HIDDEN, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (one(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2) for one in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.o(mixed.reshape(*x.shape[:2], -1))
        return x + self.down(self.up(x).relu())


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.Sequential(*(Layer() for _ in range(LAYERS))), nn.Linear(16, 3))
    return analyse(model.eval(), (torch.randn(2, 6, 5),))


def rated(analysis: Analysis) -> np.ndarray:
    return np.random.default_rng(3).random(analysis.count)


def of_kind(analysis: Analysis, kind: Kind) -> Mask:
    mask = analysis.empty()
    for one in analysis.sets:
        if one.kind is kind:
            mask[one.structures] = True
    return mask


def planned(analysis: Analysis, *kept: KindLimit, limits: tuple[Limit, ...] = (), multiple: int = 1) -> Mask:
    goal = Goal(limits, kept=kept, ranking=Ranking.MODEL, multiple=multiple)
    return solve(analysis, rated(analysis), goal).removed


def test_the_weakest_heads_of_the_whole_model_go_and_nothing_else(analysis: Analysis) -> None:
    scores, heads = rated(analysis), of_kind(analysis, Kind.HEAD)
    plan = planned(analysis, KindLimit(Kind.HEAD, 0.7))
    assert heads.sum() == LAYERS * HEADS
    assert not plan[~heads].any()
    weakest = np.flatnonzero(heads)[np.argsort(scores[heads])[: LAYERS * HEADS - round(0.7 * LAYERS * HEADS)]]
    assert sorted(np.flatnonzero(plan)) == sorted(weakest)  # as Michel et al. rank them


def test_kinds_are_counted_each_for_itself_in_steps_of_the_multiple(analysis: Analysis) -> None:
    plan = planned(analysis, KindLimit(Kind.HEAD, count=20), KindLimit(Kind.NEURON, 0.6), multiple=8)
    neurons = of_kind(analysis, Kind.NEURON)
    assert (~plan & of_kind(analysis, Kind.HEAD)).sum() == 20
    assert (~plan & neurons).sum() == 56  # 0.6 of 96 is 58, and widths are multiples of 8
    assert all((~plan[one.structures]).sum() % 8 == 0 for one in analysis.sets if one.kind is Kind.NEURON)


def test_what_lies_in_a_removed_block_is_gone(analysis: Analysis) -> None:
    blocks = structures_of(analysis, Kind.BLOCK)
    assert blocks.sum() == LAYERS  # not their feed-forward branches, and not the stack of them
    plan = planned(analysis, KindLimit(Kind.BLOCK, count=3), KindLimit(Kind.HEAD, count=23))
    gone = with_block_contents(analysis, plan)
    assert (~plan & blocks).sum() == 3
    assert (~gone & of_kind(analysis, Kind.HEAD)).sum() == 23  # 8 went with their block, and one more
    assert plan[of_kind(analysis, Kind.HEAD)].sum() == 1
    assert [one.got for one in reached(analysis, Goal((), kept=(KindLimit(Kind.HEAD, count=23),)), plan)] == [23]


def test_other_limits_are_met_with_other_kinds(analysis: Analysis) -> None:
    plan = planned(analysis, KindLimit(Kind.HEAD, 0.75), limits=(Limit(Cost.MACS, 0.6),))
    assert (~plan & of_kind(analysis, Kind.HEAD)).sum() == 24
    assert 0.5 < costs(analysis, plan).macs / costs(analysis).macs <= 0.6
    assert plan[of_kind(analysis, Kind.NEURON)].any()


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ((KindLimit(Kind.EXPERT, 0.5),), "no removable experts"),
        ((KindLimit(Kind.HEAD, 0.5), KindLimit(Kind.HEAD, count=3)), "once"),
        ((KindLimit(Kind.HEAD, 1.5),), "at most 100 %"),
        ((KindLimit(Kind.HEAD, count=3),), "lowest possible is 4 of 32 heads. Ask for that."),
        ((KindLimit(Kind.BLOCK, count=0, share=0.1),), "lowest possible is 1 of 4 blocks"),
    ],
)
def test_what_cannot_be_is_refused(analysis: Analysis, kept: tuple[KindLimit, ...], words: str) -> None:
    with pytest.raises(PlanError, match=words.replace(".", r"\.")):
        planned(analysis, *kept)


def test_a_refusal_says_what_would_help(analysis: Analysis) -> None:
    locked = of_kind(analysis, Kind.HEAD)
    with pytest.raises(PlanError, match=r"lowest possible is 32 of 32 heads.* or unlock structures\."):
        solve(analysis, rated(analysis), Goal((), kept=(KindLimit(Kind.HEAD, 0.5),)), locked=locked)
    goal = Goal((Limit(Cost.MACS, 0.05),), kept=(KindLimit(Kind.HEAD, 0.9), KindLimit(Kind.NEURON, 0.9)))
    with pytest.raises(PlanError, match="keep fewer heads, neurons"):
        solve(analysis, rated(analysis), goal)


def test_shares_of_equal_layers_are_even_where_each_layer_is_ranked_by_itself() -> None:
    chain = stack(6, 10)
    goal = Goal((), kept=(KindLimit(Kind.NEURON, 0.7),), ranking=Ranking.SET)
    plan = solve(chain, rated(chain), goal).removed
    assert [int((~plan[one.structures]).sum()) for one in chain.sets] == [7] * 6


def test_rounds_come_closer_to_the_counts(analysis: Analysis) -> None:
    goals = goals_of(analysis, Goal((), kept=(KindLimit(Kind.HEAD, count=8),)), analysis.empty(), Choose.SCORES, 2)
    assert [goal.kept for goal in goals] == [(KindLimit(Kind.HEAD, count=16),), (KindLimit(Kind.HEAD, count=8),)]


@pytest.mark.parametrize("kind", Kind)
def test_what_is_written_is_read_again(kind: Kind) -> None:
    for value in (0.7, 12):
        written = KIND_LIMIT.write((kind, value))
        assert " " not in written and KIND_LIMIT.read(written) == (kind, value)
    assert kind_limit_of((kind, 12)) == KindLimit(kind, count=12)
    assert read_kind(str(kind)) is kind


def test_nothing_is_marked_in_a_block_that_is_gone(analysis: Analysis) -> None:
    plan = planned(analysis, KindLimit(Kind.BLOCK, count=3), limits=(Limit(Cost.MACS, 0.5),))
    block = next(one for one in analysis.sets if one.kind is Kind.BLOCK and plan[one.first])
    there = [one for one in analysis.sets if one.module.startswith(f"{block.module}.") and one.kind is not Kind.BLOCK]
    assert there and not any(plan[one.structures].any() for one in there)
