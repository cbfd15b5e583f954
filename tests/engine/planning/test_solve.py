"""Goals of any cost: all limits hold as closely as whole steps allow, or what stands in the way is named."""

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from secateur.engine.errors import Message, PlanError
from secateur.engine.planning.goal import solve, suggest
from secateur.engine.planning.infeasibility import amount_text
from secateur.engine.planning.isomorphic_classes import step
from secateur.engine.planning.protocol import DEFAULT_KINDS, Cost, Goal, Limit
from secateur.engine.planning.scope import in_scope, outside_scope, structures_touching
from secateur.engine.process.plain_data import decode, encode
from secateur.engine.storage.serialization import from_json, to_json
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind, Mask
from secateur.engine.structures.costs import costs
from secateur.engine.structures.memory import memory
from tests.engine.builders import tiny_analysis, tiny_scores
from tests.engine.planning.stacks import stack

ANALYSIS = tiny_analysis()
SCORES = tiny_scores(ANALYSIS)
NONE = ANALYSIS.empty()
FLOAT32, FLOAT16 = 4, 2


def limited(cost: Cost, share: float, **others: object) -> Goal:
    return Goal((Limit(cost, share),), **others)  # type: ignore[arg-type]


def plan(goal: Goal, locked: Mask = NONE, scores: np.ndarray = SCORES) -> Mask:
    return solve(ANALYSIS, scores, goal, NONE, locked).removed


def named(name: str, kind: Kind) -> CoupledSet:
    return next(s for s in ANALYSIS.sets if s.name == name and s.kind is kind)


def kept(mask: Mask, one: CoupledSet) -> int:
    return int((~mask[one.structures]).sum())


def exact(analysis: Analysis, mask: Mask, cost: Cost) -> int:
    """By `costs` and `memory`, which know nothing of the solver."""
    total = costs(analysis, mask)
    sizes = {Cost.PARAMETERS: total.parameters, Cost.MACS: total.macs, Cost.SIZE: FLOAT32 * total.tensor_sizes.sum()}
    return int(sizes[cost]) if cost in sizes else memory(analysis, mask).peak


ADDED = st.sampled_from([Cost.PARAMETERS, Cost.MACS, Cost.SIZE])


@given(ADDED, st.floats(0.3, 0.95), st.sampled_from([1, 4, 8]), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_asked_and_got_are_exact_and_no_step_back_fits_between(cost: Cost, share: float, multiple: int, seed: int):
    scores = tiny_scores(ANALYSIS, seed)
    try:
        planned = solve(ANALYSIS, scores, limited(cost, share, multiple=multiple), NONE, NONE)
    except PlanError as refused:
        assert share < refused.message.arguments["lowest"]
        return
    (reached,) = planned.reached
    assert reached.got == exact(ANALYSIS, planned.removed, cost) <= reached.asked
    assert reached.asked == int(share * exact(ANALYSIS, NONE, cost) + 0.5)
    for one in ANALYSIS.sets:
        marked = one.first + np.flatnonzero(planned.removed[one.structures])
        if len(marked):
            less = planned.removed.copy()
            less[marked[np.argsort(scores[marked])][-step(ANALYSIS, one, multiple) :]] = False
            assert exact(ANALYSIS, less, cost) > reached.asked


@pytest.mark.parametrize("cost", [Cost.PARAMETERS, Cost.MACS, Cost.SIZE])
def test_got_lies_within_one_per_cent_of_asked(cost: Cost):
    analysis = stack(layers=6, width=96)
    scores = np.random.default_rng(0).random(analysis.count)
    for share in (0.8, 0.5, 0.2):
        (reached,) = solve(analysis, scores, limited(cost, share), analysis.empty(), analysis.empty()).reached
        assert 0.99 * reached.asked <= reached.got <= reached.asked


class Grouped(nn.Module):
    """Eight heads of queries, served by four groups of keys and values; before them a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv1d(1, 16, 1), nn.Conv1d(16, 16, 3, padding=1, groups=4)
        self.q, self.k, self.v, self.o = nn.Linear(16, 32), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mix(self.stem(x).relu()).relu().transpose(1, 2)
        q, k, v = (layer(x).unflatten(-1, (-1, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        k, v = (one.repeat_interleave(2, dim=1) for one in (k, v))
        return self.o(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("share", [0.4, 0.6, 0.75])
def test_a_limit_holds_where_kinds_lie_on_the_same_weights(share: float):
    """Heads go with the group that serves them, filters with their channel group."""
    torch.manual_seed(0)
    analysis = analyse(Grouped().eval(), (torch.randn(2, 1, 6),))
    assert {Kind.HEAD, Kind.KV_GROUP, Kind.FILTER, Kind.GROUP} <= {one.kind for one in analysis.sets}
    for seed in range(12):
        scores = np.random.default_rng(seed).random(analysis.count)
        planned = solve(analysis, scores, limited(Cost.MACS, share), analysis.empty(), analysis.empty())
        (reached,) = planned.reached
        assert reached.got == costs(analysis, planned.removed).macs <= reached.asked


def test_two_limits_hold_together_and_one_of_them_closely():
    goal = Goal((Limit(Cost.PARAMETERS, 0.7), Limit(Cost.MACS, 0.5)))
    planned = solve(ANALYSIS, SCORES, goal, NONE, NONE)
    assert all(one.got <= one.asked for one in planned.reached)
    assert any(one.got >= 0.97 * one.asked for one in planned.reached)
    assert planned.removed.sum() > suggest(ANALYSIS, SCORES, 0.7).sum()


def test_an_amount_means_what_its_share_means():
    total = costs(ANALYSIS)
    amount = Goal((Limit(Cost.PARAMETERS, amount=int(0.6 * total.parameters + 0.5)),))
    assert (plan(amount) == plan(limited(Cost.PARAMETERS, 0.6))).all()


def test_a_file_of_half_the_type_leaves_room_for_twice_the_weights():
    half = FLOAT16 * int(costs(ANALYSIS).tensor_sizes.sum())
    (same,) = solve(ANALYSIS, SCORES, Goal((Limit(Cost.SIZE, amount=half),), dtype="float16"), NONE, NONE).reached
    (pruned,) = solve(ANALYSIS, SCORES, Goal((Limit(Cost.SIZE, amount=half),)), NONE, NONE).reached
    assert (same.got, same.original) == (half, half) and pruned.original == 2 * half and pruned.got <= half


def convolutions() -> Analysis:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 24, 3), nn.ReLU(), nn.Conv2d(24, 8, 3), nn.Flatten())
    return analyse(nn.Sequential(*layers, nn.Linear(8 * 36, 3)).eval(), (torch.randn(2, 1, 12, 12),))


def test_a_peak_of_memory_is_met_by_what_adds_to_it_alone():
    analysis = convolutions()
    scores = np.random.default_rng(0).random(analysis.count)
    planned = solve(analysis, scores, limited(Cost.PEAK, 0.5), analysis.empty(), analysis.empty())
    (reached,) = planned.reached
    assert reached.got == memory(analysis, planned.removed).peak <= reached.asked
    middle, last = (next(s for s in analysis.sets if s.module == name) for name in ("2", "4"))
    assert kept(planned.removed, middle) < 13 and kept(planned.removed, last) == last.count
    for number in np.flatnonzero(planned.removed):
        less = planned.removed.copy()
        less[number] = False
        assert memory(analysis, less).peak > reached.asked


def test_a_scope_is_a_subtree_or_a_pattern():
    first, second = named("layer1.0.conv1.weight", Kind.FILTER), named("layer1.1.conv1.weight", Kind.FILTER)
    below = plan(limited(Cost.MACS, 0.8, scope=("layer1.0",)))
    assert below.sum() == below[first.structures].sum() > 0
    pattern = plan(limited(Cost.MACS, 0.6, scope=("*.conv1",)))
    assert pattern.sum() == pattern[first.structures].sum() + pattern[second.structures].sum()
    with pytest.raises(PlanError, match=r"Nothing in layer9 can be removed"):
        plan(limited(Cost.MACS, 0.8, scope=("layer1.0", "layer9")))


def test_a_pattern_takes_what_lies_below_each_match():
    blocks = outside_scope(ANALYSIS, limited(Cost.MACS, 0.8, scope=("layer1.*",)))
    assert (outside_scope(ANALYSIS, limited(Cost.MACS, 0.8, scope=("layer?",))) == blocks).all()
    assert blocks.any() and not blocks.all()


def test_a_place_without_structures_of_the_goals_kinds_is_refused():
    heads = next(one for one in ANALYSIS.sets if one.kind is Kind.HEAD)
    assert not outside_scope(ANALYSIS, limited(Cost.MACS, 0.8, scope=(heads.module,)))[heads.structures].any()
    with pytest.raises(PlanError, match=rf"Nothing in {heads.module} can be removed"):
        outside_scope(ANALYSIS, limited(Cost.MACS, 0.8, scope=(heads.module,), kinds=(Kind.FILTER,)))


@pytest.mark.parametrize("place", ["layer1.0", "*.conv1", "attn", "conv1", "fc"])
def test_what_touches_a_place_is_what_changes_its_tensors(place: str):
    lock = structures_touching(ANALYSIS, [place])
    for structure in range(ANALYSIS.count):
        one = ANALYSIS.empty()
        one[structure] = True
        modules = {name.rpartition(".")[0] for name in ANALYSIS.kept_indices(one)}
        assert lock[structure] == any(in_scope(module, place) for module in modules), modules


def test_a_place_that_nothing_touches_is_refused():
    with pytest.raises(PlanError, match=r"No removable structure touches layer9"):
        structures_touching(ANALYSIS, ["layer1.0", "layer9"])


def test_every_set_keeps_its_least():
    for goal in (limited(Cost.MACS, 0.4, least=9), limited(Cost.MACS, 0.45, least_share=0.5)):
        marks = plan(goal)
        for one in ANALYSIS.sets:
            least = max(goal.least, int(np.ceil(goal.least_share * one.count)))
            assert one.kind not in DEFAULT_KINDS or kept(marks, one) >= min(least, one.count)


class Stages(nn.Module):
    """Pairs of layers of which one step costs between a thousandth and a tenth of all MACs."""

    def __init__(self) -> None:
        super().__init__()
        widths = [(1, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, stride, 1) for a, b, stride in widths)
        self.fc = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("multiple", [1, 8, 16])
def test_near_the_original_a_plan_is_as_close_as_legal_steps_allow(multiple: int):
    """Within one per cent, or no plan of one or two steps comes closer."""
    torch.manual_seed(0)
    analysis = analyse(Stages().eval(), (torch.randn(2, 1, 16, 16),))
    scores, full = np.random.default_rng(0).random(analysis.count), costs(analysis).macs
    each = [multiple if one.count >= 2 * multiple else one.count // 2 for one in analysis.sets]
    legal = list[int]()
    for chosen in (some for n in (1, 2) for some in combinations_with_replacement(range(len(each)), n)):
        mask = analysis.empty()
        for number in chosen:
            one = analysis.sets[number]
            mask[one.first + np.flatnonzero(~mask[one.structures])[: each[number]]] = True
        if not any(mask[one.structures].all() for one in analysis.sets):
            legal.append(costs(analysis, mask).macs)
    for share in (0.99, 0.97, 0.95, 0.9):
        goal = limited(Cost.MACS, share, multiple=multiple)
        (reached,) = solve(analysis, scores, goal, analysis.empty(), analysis.empty()).reached
        nearest = max((one for one in legal if one <= reached.asked), default=0)
        assert reached.asked - reached.got <= max(0.01 * full, reached.asked - nearest)


def test_what_has_no_score_is_named_where_it_stands_in_the_way():
    unrated = SCORES.copy()
    unrated[ANALYSIS.count // 8 :] = np.nan
    with pytest.raises(PlanError, match=r"choose a criterion that scores every structure \(.*that is enough"):
        plan(limited(Cost.MACS, 0.5), scores=unrated)


@pytest.mark.parametrize(("share", "count", "kept_least"), [(0.07, 100, 7), (0.55, 100, 55), (0.071, 100, 8)])
def test_a_share_to_keep_is_not_rounded_up_by_what_floats_are_off(share: float, count: int, kept_least: int):
    analysis = stack(1, count)
    goal = limited(Cost.MACS, kept_least / count, least_share=share)
    planned = solve(analysis, np.arange(count, dtype=float), goal, analysis.empty(), analysis.empty())
    assert kept(planned.removed, analysis.sets[0]) == kept_least


def test_multiples_are_those_of_each_kind():
    marks = plan(limited(Cost.MACS, 0.5, multiple=1, multiples={"filter": 6, "residual width": 8}))
    for one in ANALYSIS.sets:
        size = {Kind.FILTER: 6, Kind.WIDTH: 8}.get(one.kind, 1)
        assert kept(marks, one) % size == 0


@pytest.mark.parametrize(
    ("goal", "locks", "name", "words"),
    [
        (limited(Cost.MACS, 0.25, least=4), True, "locks", "unlock structures in layer1.0.conv1"),
        (limited(Cost.MACS, 0.2, scope=("layer1.0",)), False, "scope", "widen the scope"),
        (limited(Cost.PARAMETERS, 0.2, least_share=0.9), False, "minimum", "lower the minimum"),
        (limited(Cost.SIZE, 0.05, multiple=16), False, "multiple", "smaller multiple"),
    ],
)
def test_what_stands_in_the_way_is_found_by_relaxing_it(goal: Goal, locks: bool, name: str, words: str):
    locked = NONE.copy()
    locked[named("layer1.0.conv1.weight", Kind.FILTER).structures] = locks
    with pytest.raises(PlanError, match="out of reach") as refused:
        plan(goal, locked)
    found = dict(refused.value.message.arguments["obstacles"])
    assert found[name] and words in str(refused.value) and "that is enough" in str(refused.value)
    ((_, lowest),) = decode(encode(refused.value.message), Message).arguments["nearest"]  # a trial's note comes by wire
    cost = goal.limits[0].cost
    nearest = replace(goal, limits=(Limit(cost, amount=lowest),))
    assert solve(ANALYSIS, SCORES, nearest, NONE, locked).reached[0].got == lowest


def test_a_goal_that_nothing_reaches_blames_nothing():
    kinds = tuple(Kind)
    with pytest.raises(PlanError, match=r"out of reach: the file size at most 10 bytes. The lowest possible is .* B?"):
        plan(Goal((Limit(Cost.SIZE, amount=10),), kinds=kinds))


def test_a_goal_without_limits_or_with_an_unknown_type_is_refused():
    with pytest.raises(PlanError, match="at least one limit"):
        plan(Goal(()))
    with pytest.raises(PlanError, match="weight type float13"):
        plan(limited(Cost.SIZE, 0.5, dtype="float13"))


def test_a_goal_comes_back_from_json():
    goal = Goal((Limit(Cost.SIZE, amount=7),), ("a", "*.b"), 2, 0.1, 8, {"head": 2}, (Kind.BLOCK, Kind.FILTER), "int8")
    assert from_json(to_json(goal), Goal) == goal


@pytest.mark.parametrize("scores", ["ones", "zeros", "half"])
def test_what_is_rated_alike_goes_evenly_from_all_layers(scores: str):
    analysis = stack(8, 64)
    noise = np.maximum(np.random.default_rng(0).normal(size=analysis.count), 0)
    given = {"ones": np.ones(analysis.count), "zeros": np.zeros(analysis.count), "half": noise}[scores]
    marks = solve(analysis, given, limited(Cost.MACS, 0.5), analysis.empty(), analysis.empty()).removed
    left = [kept(marks, one) for one in analysis.sets]
    assert max(left) - min(left) <= (8 if scores == "half" else 2)


def test_locks_that_are_named_are_said_to_be_enough_only_where_they_are():
    analysis = stack(8, 32)
    none, rated = analysis.empty(), np.arange(analysis.count, dtype=float)
    locked = np.arange(analysis.count) % 8 > 0
    with pytest.raises(PlanError, match=r"in layer\d, layer\d, layer\d and elsewhere \(that is enough\)"):
        solve(analysis, rated, limited(Cost.MACS, 0.1), none, locked)
    locked[3 * 32 :] = False
    with pytest.raises(PlanError, match=r"unlock structures in layer\d, layer\d, layer\d \(that is enough\)"):
        solve(analysis, rated, limited(Cost.MACS, 0.05), none, locked)


def test_the_least_that_is_told_can_be_asked_for():
    assert amount_text(Cost.SIZE, 313_200) == "313 kB" and amount_text(Cost.SIZE, 313_200, up=True) == "314 kB"
    assert (
        amount_text(Cost.LATENCY, 1_234_000, up=True) == "1.24 ms"
        and amount_text(Cost.PEAK, 999_900, up=True) == "1 MB"
    )
    assert amount_text(Cost.MACS, 313_201, up=True) == "313,201" and amount_text(Cost.SIZE, 40, up=True) == "40 bytes"
