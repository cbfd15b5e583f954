"""Scores are shown while they are made, by name; nothing decides by them before all are there."""

import numpy as np
import pytest

from secateur.app.document.aspects import Selection
from secateur.app.panels.inspector.panel import InspectorPanel
from secateur.app.panels.tree import TreePanel
from secateur.app.panels.tree.model import Column
from secateur.engine.errors import EngineLost, TaskError
from secateur.engine.scoring.protocol import PartialScores, Step
from secateur.engine.scoring.score_options import Choices, Slices
from tests.app.demo_analysis import scores_of
from tests.app.playing import Player

CONV = "layer1.0.conv1"


@pytest.fixture
def player(player: Player) -> Player:
    """Other scores are asked for than those that are there."""
    player.document.set_criterion("taylor")
    player.settle()
    player.document.set_choices(Choices(slices=Slices.ALL), player.document.contents.ranking)
    player.stop("first_scores")
    return player


def partly(player: Player, done: int = 8, seed: int = 3, step: Step = Step.BATCHES) -> np.ndarray:
    scores = scores_of(player.document.contents.analysis, seed=seed)  # type: ignore[arg-type]
    player.get_on("score", PartialScores(scores, done, 32, step), done, 32)
    return scores


def test_the_legend_of_scores_says_of_how_much_they_are(qtbot, dressed, player) -> None:
    document = player.document
    tree = TreePanel(document)
    document.select(Selection(CONV, 2))
    qtbot.addWidget(tree)
    tree.resize(430, 600)
    tree.show()
    assert tree.range.ends[1] == "not scored yet"
    scores = partly(player)
    first = document.analysis.sets[2].first
    assert tree.range.so_far == "so far, after 8 of 32 batches"
    assert tree.range.accessibleName().endswith(tree.range.so_far)
    index = tree.model.index_of(CONV, 2, first).siblingAtColumn(Column.SCORE)
    assert index.data() == tree.model.figures.scale.text(float(scores[first]))
    partly(player, done=16, step=Step.SAMPLES)
    assert tree.range.so_far == "so far, after 16 of 32 samples"
    partly(player, done=20, step=Step.LAYERS)
    assert tree.range.so_far == "so far, after 20 of 32 layers"
    player.answer("score", scores_of(document.analysis, seed=5))
    assert tree.range.ends[1] == tree.model.figures.scale.text(tree.model.figures.scale.top)
    assert not tree.range.so_far
    assert index.data() != tree.model.figures.scale.text(float(scores[first]))


def test_scores_of_weights_alone_are_shown_first_and_the_others_move_no_mark(qtbot, dressed, player) -> None:
    document, plan = player.document, player.workbench.plan
    tree = TreePanel(document)
    qtbot.addWidget(tree)
    tree.show()
    plan.score_first()
    assert player.link.asked("first_scores") == ("s0", "l1", Choices())
    first = scores_of(document.analysis, seed=4)
    player.answer("first_scores", first)
    assert document.shown_scores is first and document.scores is None
    assert tree.range.so_far == "first scores by Magnitude, L1; the criterion's follow"
    partly(player, step=Step.LAYERS)
    assert document.shown_scores is first
    document.plan.mark([3], True)
    document.plan.mark_below([2], 1e9)
    plan.suggest()
    assert np.flatnonzero(document.marked).tolist() == [3] and "The plan follows" in player.sentences[-1]
    player.workbench.runner.queue.about(("s0", document.contents.rating)).then = None
    player.answer("score", scores := scores_of(document.analysis, seed=5))
    assert document.shown_scores is scores and np.flatnonzero(document.marked).tolist() == [3]
    assert not tree.range.so_far
    plan.score_first()
    assert waiting_for(player, "first_scores") == 0


def test_weights_that_cannot_be_rated_alone_are_not_spoken_of(player) -> None:
    said = len(player.sentences)
    player.workbench.plan.score_first()
    player.workbench.plan.score_first()
    assert waiting_for(player, "first_scores") == 1
    player.workbench.states.evaluate()
    assert not player.link.cancelled
    player.link.failed.emit(player.link.last("first_scores"), TaskError("scoring.factors", "They are made of others."))
    assert not player.failures and len(player.sentences) == said


def waiting_for(player: Player, method: str) -> int:
    return [job.method for job in player.workbench.runner.queue.jobs()].count(method)


def test_nothing_decides_by_them(qtbot, dressed, player) -> None:
    document = player.document
    partly(player)
    assert document.scores is None and document.shown_scores is not None
    document.plan.mark_below([2], 1e9)
    document.plan.preview_below([2], 1e9)
    assert not document.marked.any()
    inspector, tree = InspectorPanel(player.workbench), TreePanel(document)
    document.select(Selection(CONV, 2))
    for panel in (inspector, tree):
        qtbot.addWidget(panel)
        panel.show()
    assert not inspector.histogram.isVisible()
    tree.search.setText("score>0")
    qtbot.waitUntil(lambda: tree.model.hits[0] == 0)


def test_a_plan_waits_for_all_of_them(qtbot, player) -> None:
    document = player.document
    workbench = player.workbench
    partly(player)
    workbench.plan.suggest()
    partly(player, done=16)
    assert not document.marked.any() and "The plan follows" in player.sentences[-1]
    scores = scores_of(document.analysis, seed=5)
    player.answer("score", scores)
    qtbot.waitUntil(lambda: bool(document.marked.any()))
    assert document.scores is scores and not player.sentences[-1]


def test_a_search_of_shares_waits_for_them_too(player) -> None:
    player.workbench.plan.search_shares()
    assert "search_shares" not in [name for name, _ in player.link.calls.values()]
    scores = scores_of(player.document.analysis, seed=5)
    player.answer("score", scores)
    assert player.link.asked("search_shares")[2] is scores


def test_a_plan_that_waits_for_scores_takes_those_that_are_there_of_the_criterion_chosen_by_now(qtbot, player) -> None:
    document, known = player.document, Choices()
    player.workbench.plan.suggest()
    assert "The plan follows" in player.sentences[-1]
    document.set_choices(known, document.contents.ranking)
    assert document.scores is not None
    qtbot.waitUntil(lambda: bool(document.marked.any()))
    assert not player.sentences[-1]


def test_a_plan_that_waits_for_scores_is_given_up_with_them(qtbot, player):
    document = player.document
    workbench = player.workbench
    workbench.plan.suggest()
    assert "The plan follows" in player.sentences[-1]
    player.stop("score")
    document.set_criterion("l2")
    player.settle()
    workbench.plan.solver.flush()
    qtbot.wait(50)
    assert document.scores is not None and not document.marked.any()


def test_a_plan_that_waits_for_scores_follows_them_though_the_engine_is_lost(qtbot, player):
    document, lost = player.document, EngineLost("engine.lost", "It ended.")
    workbench = player.workbench
    workbench.plan.suggest()
    player.link.lost.emit(lost, False, True, True)
    player.link.failed.emit(player.link.last("score"), lost)
    player.link.restored.emit()
    player.settle()
    qtbot.waitUntil(lambda: bool(document.marked.any()))


def test_a_plan_that_waits_for_scores_comes_whatever_else_fails_meanwhile(qtbot, player):
    document = player.document
    workbench = player.workbench
    workbench.plan.suggest()
    workbench.states.evaluate()
    player.link.failed.emit(player.link.last("evaluate"), TaskError("task.no", "It broke."))
    player.settle()
    qtbot.waitUntil(lambda: bool(document.marked.any()))


def test_cancelled_they_are_gone_and_so_it_says(player) -> None:
    document = player.document
    partly(player)
    player.stop("score")
    assert document.shown_scores is None and player.sentences[-1].endswith("Nothing was changed.")


def test_other_scores_are_not_mixed_up_with_them(player) -> None:
    document = player.document
    partly(player)
    document.set_choices(Choices(), document.contents.ranking)
    assert document.partial is None and document.shown_scores is document.scores is not None
