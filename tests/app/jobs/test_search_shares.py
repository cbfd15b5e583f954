"""A search of shares leaves its best plan, also when it is cancelled, and none where the plan was changed meanwhile."""

from dataclasses import replace

import numpy as np
import pytest

from secateur.app.commands import command_named
from secateur.engine.errors import EngineLost
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import KindLimit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.share_search import SearchedPlan
from secateur.engine.structures.analysis import Kind, Mask
from secateur.engine.tasks.protocol import Split
from tests.app.demo_analysis import scores_of
from tests.app.playing import Player, play
from tests.app.stand_in import task_info


def plan(player: Player, seed: int) -> Mask:
    """One that meets the goal, by other scores."""
    contents = player.document.contents
    assert contents.analysis is not None
    return solve(contents.analysis, scores_of(contents.analysis, seed=seed), contents.wanted).removed


def found(removed: Mask, moved: int = 1) -> SearchedPlan:
    return SearchedPlan(removed, 0.5, 0.5 / 2**moved, 20, 40, moved, moved)


def test_the_plan_that_was_found_is_marked_undoable_and_recorded_as_searched(player) -> None:
    document = player.document
    before, best = document.marked.copy(), plan(player, 7)
    player.workbench.plan.search_shares()
    state, intent, scores, _table = player.link.asked("search_shares")
    assert (state, intent.search, intent.goal) == (document.contents.present, 0, document.contents.wanted)
    assert scores is document.scores
    player.answer("search_shares", found(best))
    assert (document.marked == best).all() and document.history.undo_text == "search shares"
    assert "gave each other 1 step in 20 measurements" in player.sentences[-1]
    player.workbench.states.cut()
    assert player.link.asked("cut")[2].search == 0
    player.stop("cut")
    document.plan.undo()
    assert (document.marked == before).all() and not document.contents.is_searched
    document.plan.redo()
    assert document.contents.is_searched
    document.plan.mark([int(np.flatnonzero(best)[0])], False)
    player.workbench.states.cut()
    assert player.link.asked("cut")[2].search is None


@pytest.mark.parametrize(("tokens", "updates", "told"), [(128, 100, True), (0, 100, False), (128, 1000, False)])
def test_a_plan_for_text_tells_of_the_search_where_it_helps(qtbot, tokens: int, updates: int, told: bool) -> None:
    player = play(task=replace(task_info(), tokens=tokens, batches={Split.TRAIN: 10}))
    document = player.document
    document.set_recovery(RecoverySettings(steps=updates))
    document.set_criterion("obs")
    player.settle()
    player.workbench.plan.suggest()
    qtbot.waitUntil(lambda: bool(document.marked.any()))
    assert any("Edit > Search shares" in one for one in player.sentences) is told
    player.workbench.close()


def test_a_plan_for_another_goal_or_criterion_is_not_recorded_as_searched(player) -> None:
    document = player.document
    player.workbench.plan.search_shares()
    player.answer("search_shares", found(plan(player, 7)))
    marked = document.marked.copy()
    document.plan.set_goal(replace(document.goal, keep=0.25))
    assert (document.marked == marked).all() and not document.contents.is_searched
    document.plan.undo()
    assert document.contents.is_searched
    document.set_criterion("l2" if document.criterion != "l2" else "l1")
    assert not document.contents.is_searched


@pytest.mark.parametrize("better", [0, 2])
def test_cancelled_it_leaves_the_best_plan_so_far(player, better) -> None:
    document = player.document
    before = document.marked.copy()
    plans = [plan(player, seed) for seed in range(7, 7 + better)]
    player.workbench.plan.search_shares()
    for number, one in enumerate(plans, 1):
        player.make("search_shares", found(one, number))
    player.stop("search_shares")
    assert (document.marked == (plans[-1] if better else before)).all()
    assert not document.contents.is_searched


def test_what_was_found_when_the_engine_is_lost_is_taken(player) -> None:
    document, lost, best = player.document, EngineLost("engine.lost", "It ended."), plan(player, 7)
    player.workbench.plan.search_shares()
    player.make("search_shares", found(best))
    player.link.lost.emit(lost, False, True, True)
    player.link.failed.emit(player.link.last("search_shares"), lost)
    assert (document.marked == best).all() and not document.contents.is_searched


def test_a_goal_that_leaves_no_shares_open_meanwhile_is_told(player) -> None:
    document = player.document
    document.set_criterion("l2" if document.criterion != "l2" else "l1")
    player.workbench.plan.search_shares()
    assert "The plan follows" in player.sentences[-1]
    document.plan.set_goal(replace(document.goal, shape=(KindLimit(Kind.FILTER, count=8),)))
    player.answer("score", scores_of(document.analysis, seed=3))
    assert "no shares to search" in player.sentences[-1]
    assert "search_shares" not in [name for name, _ in player.link.calls.values()]


def test_a_plan_that_was_changed_meanwhile_stays(player) -> None:
    document = player.document
    player.workbench.plan.search_shares()
    document.plan.mark([3], True)
    marked = document.marked.copy()
    player.answer("search_shares", found(plan(player, 7)))
    assert (document.marked == marked).all() and "was not taken" in player.sentences[-1]


def test_it_is_offered_where_shares_are_open_and_once(player) -> None:
    document, command = player.document, command_named("edit.search")
    assert not command.enabled(document)
    player.workbench.plan.search_shares()
    assert "cancel it to take the best plan so far" in command.enabled(document)
    player.stop("search_shares")
    document.plan.set_goal(replace(document.goal, shape=(KindLimit(Kind.FILTER, count=8),)))
    assert "no shares to search" in command.enabled(document)
