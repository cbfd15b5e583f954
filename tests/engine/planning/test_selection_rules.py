"""Marks by rules, compared with what plain loops over the structures find."""

import numpy as np
import pytest

from secateur.engine.planning import selection_rules
from secateur.engine.planning.marks import PlanMasks, grow_marks, invert_marks
from secateur.engine.planning.selection_rules import SelectionRule, StructureChoice
from secateur.engine.structures.analysis import Constraint, CountBundle, CountRule, Kind
from secateur.engine.structures.reasons import equal_parts
from tests.app.demo_analysis import scores_of, small_resnet


@pytest.fixture
def analysis():
    return small_resnet()


@pytest.fixture
def scores(analysis):
    return scores_of(analysis)


def marks(analysis, scores, rule: SelectionRule, locked=None) -> np.ndarray:
    return selection_rules.marked_by(analysis, scores, PlanMasks.of(analysis, locked=locked), rule)[0]


def test_names_are_globs_paths_or_regular_expressions(analysis) -> None:
    def found(names: str) -> list[str]:
        return [analysis.sets[n].module for n in selection_rules.sets_of(analysis, SelectionRule(names))]

    assert found("layer3.*.conv1") == ["layer3.0.conv1", "layer3.1.conv1"]
    assert found("layer2.0") == ["layer2.0.conv1", "layer2.0.conv2"]
    assert found("layer1.0.conv1, conv1") == ["conv1", "layer1.0.conv1"]
    assert found("/^layer[12].*conv1$/") == ["layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.1.conv1"]
    with pytest.raises(ValueError, match="unterminated"):
        selection_rules.matcher("/conv[/")


def test_whole_blocks_are_meant_only_when_they_are_asked_for(analysis) -> None:
    assert all(analysis.sets[n].kind is not Kind.BLOCK for n in selection_rules.sets_of(analysis, SelectionRule()))
    blocks = selection_rules.sets_of(analysis, SelectionRule(kind=Kind.BLOCK))
    assert [analysis.sets[n].module for n in blocks] == ["layer1.0", "layer1.1", "layer2.1", "layer3.1"]


def test_the_lowest_of_each_layer_are_its_weakest(analysis, scores) -> None:
    after = marks(analysis, scores, SelectionRule("layer2", which=StructureChoice.LOWEST_EACH, low=0.25))
    for one in analysis.sets:
        place = one.structures
        if one.module.startswith("layer2") and one.kind is not Kind.BLOCK:
            weakest = sorted(range(one.count), key=lambda n, place=place: scores[place][n])[: round(one.count / 4)]
            assert np.flatnonzero(after[place]).tolist() == sorted(weakest)
        else:
            assert not after[place].any()


def test_the_lowest_of_all_compete_across_layers(analysis, scores) -> None:
    after = marks(analysis, scores, SelectionRule(kind=Kind.FILTER, which=StructureChoice.LOWEST_ALL, low=0.1))
    inside = [s for one in analysis.sets if one.kind is Kind.FILTER for s in range(one.first, one.first + one.count)]
    expected = sorted(inside, key=lambda s: scores[s])[: round(0.1 * len(inside))]
    assert np.flatnonzero(after).tolist() == sorted(expected)


def test_of_equal_scores_the_first_are_the_lowest(analysis) -> None:
    draw = np.random.default_rng(0)
    here = np.concatenate([np.r_[one.structures] for one in analysis.sets if one.kind is not Kind.BLOCK])
    for share in [0.0, *draw.random(18), 1.0]:
        values = draw.integers(0, 4, analysis.count).astype(float)
        expected = here[np.argsort(values[here], kind="stable")[: round(share * len(here))]]
        rule = SelectionRule(which=StructureChoice.LOWEST_ALL, low=share)
        found = selection_rules.meant_structures(analysis, values, analysis.empty(), rule)
        assert np.flatnonzero(found).tolist() == sorted(expected.tolist())


def test_scores_below_and_between(analysis, scores) -> None:
    below = marks(analysis, scores, SelectionRule("layer3", which=StructureChoice.BELOW, low=0.2))
    between = marks(analysis, scores, SelectionRule("layer3", which=StructureChoice.BETWEEN, low=0.1, high=0.2))
    inside = np.zeros(analysis.count, bool)
    for one in analysis.sets:
        inside[one.structures] = one.module.startswith("layer3") and one.kind is not Kind.BLOCK
    assert (below == (inside & (scores < 0.2))).all()
    assert (between == (inside & (scores >= 0.1) & (scores <= 0.2))).all()


def test_numbers_are_the_original_ones(analysis, scores) -> None:
    after = marks(
        analysis,
        scores,
        SelectionRule("layer1.0.conv1", which=StructureChoice.NUMBERS, numbers=selection_rules.ranges("0-2, 30")),
    )
    one = next(s for s in analysis.sets if s.module == "layer1.0.conv1")
    assert (np.flatnonzero(after) - one.first).tolist() == [0, 1, 2, 30]
    for wrong in ("", "5-2", "many"):
        with pytest.raises(ValueError):
            selection_rules.ranges(wrong)


def test_keep_half_of_a_pattern_keeps_the_best_of_each_layer(analysis, scores) -> None:
    after = marks(analysis, scores, SelectionRule("layer3.*.conv1", which=StructureChoice.KEEP_SHARE, low=0.5))
    for one in analysis.sets:
        if one.module in ("layer3.0.conv1", "layer3.1.conv1"):
            kept = scores[one.structures][~after[one.structures]]
            assert len(kept) == one.count // 2 and kept.min() > scores[one.structures][after[one.structures]].max()
        else:
            assert not after[one.structures].any()


def test_keep_a_number_replaces_marks_but_not_locks(analysis, scores) -> None:
    one = next(s for s in analysis.sets if s.module == "layer1.0.conv1")
    marked, locked = analysis.empty(), analysis.empty()
    marked[one.first : one.first + 30] = True
    locked[one.first + 3] = True
    marked[one.first + 3] = False
    rule = SelectionRule("layer1.0.conv1", which=StructureChoice.KEEP_COUNT, low=8)
    after, _ = selection_rules.marked_by(analysis, scores, PlanMasks.of(analysis, marked=marked, locked=locked), rule)
    assert (~after[one.structures]).sum() == 8 and not after[one.first + 3]


def test_keep_takes_the_nearest_number_that_constraints_allow(analysis, scores) -> None:
    from dataclasses import replace

    reason = equal_parts("aten.chunk", 2)
    bound = replace(
        analysis,
        bundles=(CountBundle((2,), (4,), 7),),
        constraints=(Constraint(CountRule.MULTIPLE, (1,), 4, (2,), reason, ""),),
    )
    rule = SelectionRule(bound.sets[2].module, which=StructureChoice.KEEP_COUNT, low=13)
    after, _ = selection_rules.marked_by(bound, scores, PlanMasks.of(bound), rule)
    assert (~after[bound.sets[2].structures]).sum() == 12


def test_no_rule_empties_a_layer(analysis, scores) -> None:
    after = marks(analysis, scores, SelectionRule("layer1.0.conv1"))
    one = next(s for s in analysis.sets if s.module == "layer1.0.conv1")
    left = np.flatnonzero(~after[one.structures])
    assert left.tolist() == [int(np.argmax(scores[one.structures]))]


def test_what_goes_along_is_named_where_a_layer_has_nothing_of_its_own(analysis) -> None:
    assert selection_rules.sets_of(analysis, SelectionRule("layer1.0.conv2")) == []
    assert "conv1" in selection_rules.along_with(analysis, SelectionRule("layer1.0.conv2"))


def test_inverting_twice_gives_the_marks_back(analysis, scores) -> None:
    one, nothing = analysis.sets[2], analysis.empty()
    scope, marked = nothing.copy(), nothing.copy()
    scope[one.structures] = True
    marked[one.first : one.first + 5] = True
    marked[0] = True
    once, _ = invert_marks(analysis, scores, PlanMasks.of(analysis, marked=marked), scope)
    assert (once[one.structures] == ~marked[one.structures]).all() and once[0]
    twice, _ = invert_marks(analysis, scores, PlanMasks.of(analysis, marked=once), scope)
    assert (twice == marked).all()


def test_growing_marks_the_weakest_until_a_layer_keeps_a_multiple(analysis, scores) -> None:
    nothing, one = analysis.empty(), next(s for s in analysis.sets if s.module == "layer2.0.conv1")
    marked = nothing.copy()
    marked[one.first : one.first + 5] = True
    after, touched = grow_marks(analysis, scores, PlanMasks.of(analysis, marked=marked), 16)
    kept = ~after[one.structures]
    assert kept.sum() == 48 and after[one.first : one.first + 5].all()
    fresh = (after & ~marked)[one.structures]
    assert scores[one.structures][fresh].max() < scores[one.structures][kept].min()
    assert not after[: one.first].any() and touched[one.structures].all()
