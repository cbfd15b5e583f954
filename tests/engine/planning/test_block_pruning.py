"""Whole blocks compete with filters and heads: the plan that loses the least for the same cost, never all blocks."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.planning.goal import solve
from secateur.engine.planning.isomorphic_classes import held_by_blocks, with_their_blocks
from secateur.engine.planning.protocol import DEFAULT_KINDS, Cost, Goal, Limit
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs

KINDS = (*DEFAULT_KINDS, Kind.BLOCK)
BLOCKS, HIDDEN = 4, 12


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Conv2d(8, HIDDEN, 3, padding=1), nn.Conv2d(HIDDEN, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outer(self.inner(x).relu())


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.Sequential(*(Block() for _ in range(BLOCKS))), nn.Flatten())
    return analyse(nn.Sequential(*layers, nn.Linear(8 * 36, 3)).eval(), (torch.randn(2, 1, 8, 8),))


def rated(analysis: Analysis, levels: tuple[float, ...]) -> np.ndarray:
    """Filters of block n score around `levels[n]`, the width far above; a block has the mean of what it holds."""
    scores = np.full(analysis.count, 10.0)
    filters = [one for one in analysis.sets if one.kind is Kind.FILTER]
    for one, level in zip(filters, levels, strict=True):
        scores[one.structures] = level * (1 + np.linspace(-0.3, 0.3, one.count))
    for block, held in held_by_blocks(analysis).items():
        scores[block] = scores[held].mean()
    return scores


def gone(analysis: Analysis, plan: Mask) -> list[str]:
    return [one.module for one in analysis.sets if one.kind is Kind.BLOCK and plan[one.first]]


def planned(
    analysis: Analysis, scores: np.ndarray, share: float, locked: Mask | None = None, scope: tuple[str, ...] = ()
) -> Mask:
    goal = Goal((Limit(Cost.MACS, share),), scope, kinds=KINDS)
    return solve(analysis, scores, goal, analysis.empty(), analysis.empty() if locked is None else locked).removed


def test_a_block_that_holds_little_goes_whole_and_an_even_model_loses_widths(analysis: Analysis):
    weak = planned(analysis, rated(analysis, (1.0, 0.01, 1.0, 1.0)), 0.7)
    assert gone(analysis, weak) == ["1.1"] and costs(analysis, weak).macs <= 0.7 * costs(analysis).macs
    even = planned(analysis, rated(analysis, (1.0, 1.0, 1.0, 1.0)), 0.7)
    assert gone(analysis, even) == []


def test_the_blocks_that_go_are_those_of_the_best_of_all_choices(analysis: Analysis):
    """Every set of blocks is tried by hand: with it gone, the weakest filters go until the cost is met."""
    scores = rated(analysis, (1.0, 0.05, 0.9, 0.1))
    inner = [one for one in analysis.sets if one.kind is Kind.BLOCK and one.module != "1"]
    holds = {one.first: held_by_blocks(analysis)[one.first] for one in inner}
    lost: dict[tuple[str, ...], float] = {}
    for number in range(BLOCKS):
        for chosen in combinations(holds, number):
            mask, gone_too = analysis.empty(), [int(s) for block in chosen for s in holds[block]]
            mask[list(chosen)] = True
            rest = [s for block, held in holds.items() if block not in chosen for s in held[:-1]]  # the best stays
            for weakest in sorted(rest, key=lambda s: scores[s]):
                if costs(analysis, mask).macs > 0.5 * costs(analysis).macs:
                    mask[weakest] = True
                    gone_too.append(int(weakest))
            if costs(analysis, mask).macs <= 0.5 * costs(analysis).macs:
                lost[tuple(analysis.set_of(int(b)).module for b in chosen)] = float(scores[gone_too].sum())
    plan = planned(analysis, scores, 0.5, scope=("1",))
    ours = float(scores[[s for block, held in holds.items() for s in held if plan[block] or plan[s]]].sum())
    assert gone(analysis, plan) == ["1.1", "1.3"] and ours <= min(lost.values()) + 1e-9


def test_a_block_with_a_locked_filter_stays(analysis: Analysis):
    scores = rated(analysis, (1.0, 0.01, 1.0, 1.0))
    locked = analysis.empty()
    filters = next(one for one in analysis.sets if one.kind is Kind.FILTER and one.module == "1.1.inner")
    locked[filters.first] = True
    plan = planned(analysis, scores, 0.7, locked)
    assert gone(analysis, plan) == [] and not plan[filters.first]


def test_where_blocks_alone_are_planned_one_with_a_locked_filter_stays(analysis: Analysis):
    scores = rated(analysis, (1.0, 0.01, 0.02, 1.0))
    locked = analysis.empty()
    locked[next(one.first for one in analysis.sets if one.kind is Kind.FILTER and one.module == "1.1.inner")] = True
    goal = Goal((Limit(Cost.MACS, 0.8),), kinds=(Kind.BLOCK,))
    assert gone(analysis, solve(analysis, scores, goal, analysis.empty(), analysis.empty()).removed) == ["1.1"]
    assert gone(analysis, solve(analysis, scores, goal, analysis.empty(), locked).removed) == ["1.2"]


def test_scores_below_nothing_change_no_choice(analysis: Analysis):
    """What is standardised within its set sums up to nothing there; a block is worth what it holds all the same."""
    scores = rated(analysis, (1.0, 0.01, 1.0, 1.0))
    below = scores - scores.max() - 1
    assert gone(analysis, planned(analysis, below, 0.7)) == ["1.1"]


class Nested(nn.Module):
    """Two residual steps, each a block of the same block."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Block(), Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.first(x))


def test_a_block_around_a_locked_block_stays():
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.Sequential(Nested(), Nested()), nn.Flatten(), nn.Linear(8 * 36, 3))
    analysis = analyse(nn.Sequential(*layers).eval(), (torch.randn(2, 1, 8, 8),))
    blocks = {one.module: one.first for one in analysis.sets if one.kind is Kind.BLOCK}
    locked = analysis.empty()
    locked[blocks["1.0.first.outer"]] = True
    barred = with_their_blocks(analysis, locked)
    assert {name for name, block in blocks.items() if barred[block]} == {"1", "1.0", "1.0.first.outer"}


def test_the_best_block_of_equal_ones_always_stays(analysis: Analysis):
    plan = planned(analysis, rated(analysis, (0.1, 0.2, 0.3, 0.4)), 0.1)
    assert len(gone(analysis, plan)) < BLOCKS and "1.3" not in gone(analysis, plan)


def test_of_blocks_that_were_cut_before_only_the_rest_competes(analysis: Analysis):
    scores = rated(analysis, (1.0, 0.01, 0.02, 1.0))
    before = analysis.empty()
    before[next(one.first for one in analysis.sets if one.module == "1.1" and one.kind is Kind.BLOCK)] = True
    goal = Goal((Limit(Cost.MACS, 0.5),), kinds=KINDS)
    after = solve(analysis, np.where(before, np.nan, scores), goal, before, analysis.empty()).removed
    assert gone(analysis, after) == ["1.1", "1.2"]
