"""Options of the rating: what is chosen holds at once, for scores, plans and cuts; help says formula, cost, paper."""

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from secateur.app.dialogs.criteria import Criteria
from secateur.app.panels.tree import TreePanel
from secateur.app.panels.tree.options import RatingOptions
from secateur.engine.planning.protocol import Ranking
from secateur.engine.scoring.criteria import CRITERIA
from secateur.engine.scoring.score_options import Choices, Combine, Normalise, Slices
from tests.app.demo_analysis import scores_of
from tests.app.playing import Player, Window
from tests.app.stand_in import opened

LEFT = Qt.MouseButton.LeftButton


def shown(qtbot, player: Player) -> RatingOptions:
    panel = TreePanel(player.document)
    qtbot.addWidget(panel)
    panel.resize(440, 500)
    panel.show()
    qtbot.mouseClick(panel.options, LEFT)
    assert panel._popover is not None and panel._popover.isVisible()
    panel._popover.kept = panel  # type: ignore[attr-defined]  # its parent lives as long as it does
    return panel._popover


def choose(qtbot, box, words: str) -> None:
    """By keys, as a hand does."""
    box.setFocus()
    target = next(n for n in range(box.count()) if box.itemText(n) == words)
    key = Qt.Key.Key_Down if target > box.currentIndex() else Qt.Key.Key_Up
    for _ in range(abs(target - box.currentIndex())):
        qtbot.keyClick(box, key)


def test_it_says_formula_cost_and_paper_of_the_criterion(qtbot, player) -> None:
    player.document.set_criterion("taylor")
    options = shown(qtbot, player)
    rule = CRITERIA["taylor"]
    assert rule.formula in options.help["formula"].text() and options.help["paper"].text() == rule.paper
    assert "forward and backward passes" in options.help["cost"].text()
    options.close()


def test_a_choice_rates_anew_and_what_was_rated_before_is_not_asked_for_again(qtbot, player) -> None:
    document, link = player.document, player.link
    document.set_criterion("taylor")
    player.settle()
    options = shown(qtbot, player)
    before = document.scores
    choose(qtbot, options.slices, "all")
    assert document.contents.choices == Choices(slices=Slices.ALL)
    assert document.scores is None and link.asked("score") == ("s0", "taylor", Choices(slices=Slices.ALL))
    other = scores_of(document.analysis, seed=3)
    player.answer("score", other)
    assert document.scores is other
    asked = len(link.calls)
    qtbot.mouseClick(options._reset, LEFT)
    assert document.contents.choices == Choices() and document.scores is before and len(link.calls) == asked
    options.close()


def test_choices_that_a_criterion_leaves_no_room_for_are_greyed_and_dropped(qtbot, player) -> None:
    document = player.document
    options = shown(qtbot, player)
    assert not options.combine.isEnabled() and options.combine.currentText() == "not available"
    document.set_criterion("l1")
    assert options.combine.isEnabled() and options.combine.currentText() == "as in the paper: mean"
    choose(qtbot, options.combine, "largest")
    choose(qtbot, options.normalise, "by the largest")
    assert document.contents.choices == Choices(combine=Combine.MAX, normalise=Normalise.MAX)
    document.set_criterion("taylor")
    assert document.contents.choices == Choices(normalise=Normalise.MAX)
    options.close()


def test_the_ranking_is_part_of_the_goal_that_is_planned_and_recorded(qtbot, player) -> None:
    document = player.document
    workbench = player.workbench
    options = shown(qtbot, player)
    choose(qtbot, options.ranking, "the whole model")
    assert document.contents.wanted.ranking is Ranking.MODEL and document.scores is not None
    document.plan.mark(np.arange(40, 44), True)
    choose(qtbot, options.normalise, "by their mean")
    workbench.states.cut()
    plan = player.link.asked("cut")[2]
    assert plan.goal.ranking is Ranking.MODEL and plan.choices == Choices(normalise=Normalise.MEAN)
    options.close()


def test_the_button_says_how_many_choices_are_not_the_criterions_own(qtbot, player) -> None:
    options = shown(qtbot, player)
    panel = options.kept  # type: ignore[attr-defined]
    assert panel.options.accessibleName() == "Score options"
    player.document.set_choices(Choices(normalise=Normalise.L2), Ranking.SET)
    assert panel.options.accessibleName() == "Score options, 2 changed" and panel.options.text().endswith("2")
    options.close()


def test_the_page_of_criteria_says_all_of_each_and_why_one_is_not_available(qtbot, dressed) -> None:
    window = Window(opened(task=False).workbench)
    qtbot.addWidget(window)
    page = Criteria(window)
    page.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(page)
    texts = [each.text() for each in page.findChildren(QLabel)]
    for rule in CRITERIA.values():
        assert rule.title in texts and f"Score: {rule.formula}" in texts and rule.paper in (*texts, "")
    assert any(text.startswith("Not available. Wanda needs data") for text in texts)
    assert any(text == "Reads only the weights; needs no data." for text in texts)
