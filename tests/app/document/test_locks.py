"""A locked structure is never marked and never cut: by hand, by a rule, by a plan, or by going back and forth."""

import random
from dataclasses import replace

import numpy as np
import pytest

from secateur.app.document.document import Document
from secateur.engine.planning.isomorphic_classes import with_their_blocks
from secateur.engine.planning.marks import check_plan
from secateur.engine.planning.selection_rules import SelectionRule, StructureChoice, marked_by
from secateur.engine.structures.analysis import Analysis, Constraint, CountBundle, CountRule, Kind, from_identities
from secateur.engine.structures.reasons import equal_parts
from tests.app.demo_analysis import llama, small_resnet
from tests.app.playing import Player, play
from tests.app.stand_in import opened


def coupled() -> Analysis:
    """A network in which the filters of two layers go in step."""
    analysis = small_resnet()
    sets = [number for number, one in enumerate(analysis.sets) if one.kind is Kind.FILTER][:2]
    axes = tuple(analysis.tensors[analysis.sets[number].touches[0][0]].axes[0] for number in sets)
    even = Constraint(CountRule.EQUAL, axes, 32, tuple(sets), equal_parts("aten.split", 2), "split")
    return replace(analysis, constraints=(even,), bundles=(CountBundle(tuple(sets), (1, 1), 20),))


MAKERS = {"resnet": small_resnet, "llama": llama, "coupled": coupled}


def holds(document: Document) -> bool:
    """Nothing locked is marked, and no block around it; the plan can be cut."""
    assert document.analysis is not None
    check_plan(document.analysis, document.removed | document.marked)
    return not (document.marked & with_their_blocks(document.analysis, document.locked)).any()


def test_locking_unmarks_what_was_marked_and_undo_brings_both_back(qapp) -> None:
    document = opened()
    said = list[str]()
    document.announced.connect(said.append)
    document.plan.mark(range(6), True)
    document.plan.lock([2], True)
    assert np.flatnonzero(document.marked).tolist() == [0, 1, 3, 4, 5] and holds(document)
    assert said[-1] == "Unmarked 1 structure: locked structures are never removed."
    document.plan.undo()
    assert document.marked[:6].all() and not document.locked.any()
    document.plan.redo()
    assert not document.marked[2] and document.locked[2]
    document.plan.lock([2], False)
    assert not document.marked[2]


def test_marking_what_is_locked_is_refused_with_a_word(qapp) -> None:
    document = opened()
    said = list[str]()
    document.announced.connect(said.append)
    document.plan.lock([2], True)
    steps = len(document.history.entries)
    for gesture in (lambda: document.plan.mark([2], True), lambda: document.plan.toggle_marks([2])):
        gesture()
        assert not document.marked.any() and said[-1] == "Locked structures were not marked. Unlock them first."
    assert len(document.history.entries) == steps
    document.plan.toggle_marks([1, 2, 3])
    assert np.flatnonzero(document.marked).tolist() == [1, 3]
    document.plan.toggle_marks([1, 2, 3])
    assert not document.marked.any()


def test_locking_something_in_a_marked_block_unmarks_the_block(qapp) -> None:
    document = opened()
    block = next(one for one in document.analysis.sets if one.kind is Kind.BLOCK)
    inside = next(one for one in document.analysis.sets if one.module.startswith(f"{block.module}."))
    document.plan.mark([block.first], True)
    assert document.marked[block.first]
    document.plan.lock([inside.first], True)
    assert not document.marked[block.first] and holds(document)


def test_where_sets_keep_equal_counts_those_that_go_along_are_unmarked_too(qapp) -> None:
    document = opened(coupled())
    bundle = document.analysis.bundles[0]
    first, other = (document.analysis.sets[number] for number in bundle.sets)
    document.plan.mark([first.first, first.first + 1], True)
    assert document.marked[other.structures].sum() == 2
    document.plan.lock([first.first], True)
    assert holds(document) and document.marked[other.structures].sum() == document.marked[first.structures].sum() == 1
    document.plan.lock(range(other.first, other.first + other.count), True)
    assert holds(document) and not document.marked.any()


def test_what_a_former_version_kept_as_marked_and_locked_is_not_marked_when_it_is_opened(qapp) -> None:
    document = opened()
    document.plan.mark(range(6), True)
    document.plan.lock([2], True)
    now = document.contents.snapshot()
    marked = now.marked.copy()
    marked[2] = True
    document.resume(document.history, replace(now, marked=marked), document.recovery, document.selection)
    assert holds(document) and document.marked[:2].all()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("seed", range(4))
def test_no_sequence_of_edits_marks_what_is_locked(qapp, name: str, seed: int) -> None:
    analysis = MAKERS[name]()
    draw, document = random.Random(seed), opened(analysis)
    plan = document.plan

    def some() -> list[int]:
        return draw.sample(range(analysis.count), draw.randrange(1, 20))

    def rule() -> None:
        asked = SelectionRule("", None, StructureChoice.LOWEST_EACH, low=draw.random())
        plan.take_marks("rule", *marked_by(analysis, document.scores, document.contents.masks, asked))

    def keep() -> None:
        number = draw.randrange(len(analysis.sets))
        plan.keep(number, draw.randint(1, analysis.sets[number].count))

    edits = (
        lambda: plan.mark(some(), True), lambda: plan.mark(some(), False), lambda: plan.toggle_marks(some()),
        lambda: plan.lock(some(), True), lambda: plan.lock(some(), False), lambda: plan.toggle_locks(some()),
        rule, keep, plan.undo, plan.redo, plan.grow, lambda: plan.invert(document.marked | document.locked),
        lambda: plan.mark_below([draw.randrange(len(analysis.sets))], draw.random()),
    )  # fmt: skip
    for number in range(60):
        draw.choice(edits)()
        assert holds(document), number
        locked, by_hand = document.contents.decided()
        both = from_identities(analysis, locked)[0] & from_identities(analysis, by_hand)[0]
        assert not both.any()


def cut_by(player: Player) -> np.ndarray:
    """[S] what the engine is asked to cut."""
    player.workbench.states.cut()
    _, marks, _ = player.link.asked("cut")
    return marks


def test_a_plan_that_was_suggested_leaves_what_was_marked_and_then_locked(qtbot, qapp) -> None:
    player = play()
    document = player.document
    assert document.scores is not None
    weak = [int(n) for n in np.argsort(np.nan_to_num(document.scores, nan=9.0))[:40]]
    document.plan.mark(weak[:20], True)
    document.plan.lock(weak[10:30], True)
    player.workbench.plan.suggest()
    qtbot.waitUntil(lambda: player.workbench.plan.solver.flush() and document.history.undo_text == "suggest plan")
    assert document.marked.sum() > 30 and not (document.marked & document.locked).any() and holds(document)
    assert not (cut_by(player) & document.locked).any()
    player.workbench.close()
