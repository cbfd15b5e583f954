"""What masks choose costs what the plan costs, and settled gates compute what the drawn ones' middle computed."""

from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.inference.model_inputs import call
from secateur.engine.masks.learned_gates import LearnedGates
from secateur.engine.masks.learned_masks import SETTLING, LearnedMasks, first_logits, groups_of, plan_by
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, KindLimit, Limit, PlanStart
from secateur.engine.process.plain_data import decode, encode
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import cut
from tests.engine.masks.test_gates import built, distance, results

SHAPE = Goal((), shape=(KindLimit(Kind.BLOCK, count=2), KindLimit(Kind.KV_GROUP, count=1), KindLimit(Kind.NEURON, 0.5)))


def planned(goal: Goal, name: str = "decoder") -> tuple[Any, Any, Analysis, np.ndarray, Mask]:
    """A network, inputs, analysis, scores, and the plan for a goal by them."""
    model, inputs = built(name)
    analysis = analyse(model, inputs)
    scores = np.random.default_rng(0).random(analysis.count)
    return model, inputs, analysis, scores, solve(analysis, scores, goal).removed


def counts(analysis: Analysis, removed: Mask) -> list[int]:
    return [int(removed[one.structures].sum()) for one in analysis.sets if one.kind is not Kind.BLOCK]


@pytest.mark.parametrize(
    ("goal", "name"),
    [
        (SHAPE, "decoder"),
        (Goal((Limit(Cost.MACS, 0.6),), multiple=2), "convolutions"),
        (Goal((Limit(Cost.PARAMETERS, 0.6),)), "recurrent"),
        (Goal((Limit(Cost.MACS, 0.5),), kinds=(Kind.FILTER, Kind.WIDTH, Kind.BLOCK)), "residual network"),
    ],
)
def test_another_choice_keeps_the_counts_and_the_costs_of_the_plan(goal: Goal, name: str) -> None:
    model, inputs, analysis, scores, plan = planned(goal, name)
    groups = groups_of(PlanStart.of(analysis, scores), plan)
    chosen = plan_by(analysis, plan, groups, -scores[groups.structures])
    assert (chosen != plan).any() and counts(analysis, chosen) == counts(analysis, plan)
    assert (costs(analysis, chosen).macs, costs(analysis, chosen).parameters) == (
        costs(analysis, plan).macs,
        costs(analysis, plan).parameters,
    )
    first = first_logits(groups, scores, 2.0)
    assert (plan_by(analysis, plan, groups, first) == plan).all() and abs(first).max() < 2
    cut(model, analysis, chosen, inputs)  # raises where a constraint does not hold


def test_whole_blocks_are_chosen_anew_with_what_they_hold() -> None:
    _, _, analysis, scores, plan = planned(SHAPE)
    groups = groups_of(PlanStart.of(analysis, scores), plan)
    blocks = np.array([one.first for one in analysis.sets if one.kind is Kind.BLOCK])
    (gone,) = blocks[plan[blocks]]
    chosen = plan_by(analysis, plan, groups, np.where(groups.structures == gone, 9.0, 0.0))
    assert chosen[blocks].sum() == 1 and not chosen[gone]


def test_locks_and_marks_hold() -> None:
    _, _, analysis, scores, _ = planned(SHAPE)
    (one,) = (each for each in analysis.sets if each.kind is Kind.NEURON and each.module == "layers.1.gate")
    locked, marked = analysis.empty(), analysis.empty()
    locked[one.first + np.array([0, 1])] = marked[one.first + np.array([2, 3])] = True
    plan = solve(analysis, scores, SHAPE, marked, locked).removed
    groups = groups_of(PlanStart(analysis, scores, marked, locked), plan)
    for worth in (scores, -scores):
        chosen = plan_by(analysis, plan, groups, worth[groups.structures])
        assert not chosen[locked].any() and chosen[marked].all()


def masks_of(name: str, goal: Goal) -> tuple[Any, Any, Analysis, Mask, LearnedMasks]:
    model, inputs, analysis, scores, plan = planned(goal, name)
    masks = LearnedMasks(model, PlanStart.of(analysis, scores), plan, seed=0)
    return model, inputs, analysis, plan, masks


@pytest.mark.parametrize(
    ("name", "goal"), [("decoder", SHAPE), ("residual network", Goal((Limit(Cost.MACS, 0.5),), multiple=4))]
)
def test_settling_changes_nothing_but_the_gates_that_were_folded(name: str, goal: Goal) -> None:
    model, inputs, analysis, plan, masks = masks_of(name, goal)
    middle = masks._concrete.median(1 / 3)  # pyright: ignore[reportPrivateUsage]
    with torch.no_grad(), masks._gates.applied(middle):  # pyright: ignore[reportPrivateUsage]
        expected = call(model, inputs)
    masks.settle()
    with torch.no_grad(), masks.applied(0, SETTLING):
        assert distance([expected], [call(model, inputs)]) < 1e-5
    assert masks.chosen is not None and counts(analysis, masks.chosen) == counts(analysis, plan)
    with torch.no_grad(), masks.applied(0, 1.0):  # and at the end the cut is what was trained
        found = call(model, inputs)
    assert distance(results(cut(model, analysis, masks.chosen, inputs).model.eval(), inputs), [found]) < 1e-5
    assert distance([expected], [found]) > 1e-3


def test_all_counts_are_met_on_average_after_every_step() -> None:
    model, inputs, _, _, masks = masks_of("decoder", SHAPE)
    chosen_after = 0
    for step in range(30):
        position = step / 29
        with masks.applied(step, position):
            call(model, inputs).square().mean().backward()
        masks.step(position)
        if masks.chosen is not None:
            chosen_after = step
            break
        share, temperature = 0.1 + 0.9 * min(position / 0.2, 1), 2 / 3 - min(position / 0.8, 1) / 3
        concrete = masks._concrete  # pyright: ignore[reportPrivateUsage]
        assert torch.allclose(concrete.expected(temperature), concrete.counts(share), rtol=1e-4)
    assert chosen_after == 24  # 24 / 29 is the first position behind the choice


def test_what_is_told_of_the_gates_adds_up_to_the_plan_and_crosses_the_wire() -> None:
    model, inputs, analysis, plan, masks = masks_of("decoder", SHAPE)
    steps = 30
    told = masks.gates(0, steps, 0.0)
    for step in range(steps):
        position = step / (steps - 1)
        with masks.applied(step, position):
            call(model, inputs).square().mean().backward()
        masks.step(position)
        told = decode(encode(masks.gates(step + 1, steps, position)), LearnedGates)
        known = {one.kind for one in analysis.sets if one.kind in {each.kind for each in told.counts}}
        assert Kind.NEURON in known and Kind.BLOCK in known
        for one in told.counts:
            here = np.concatenate([np.arange(s.first, s.first + s.count) for s in analysis.sets if s.kind is one.kind])
            assert one.whole == len(here) and one.final == int((~plan[here]).sum())
            assert one.expected == pytest.approx(float(told.open[here].sum()), rel=1e-4)
            assert one.expected == pytest.approx(one.target, rel=1e-3)  # the projection meets it at every step
            if position >= 0.2:
                assert one.expected == pytest.approx(one.final, rel=1e-3)
        assert told.chosen == (masks.chosen is not None)
    assert masks.chosen is not None and (told.open == ~masks.chosen).all()
    assert told.final.tolist() == [int((~plan[one.structures]).sum()) for one in analysis.sets]
    assert not any(one.undecided for one in told.counts)
