"""Two ratings side by side, and what the inspector draws of a structure."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QStandardItemModel
from scipy import stats
from shiboken6 import isValid

from secateur.app.dialogs.compare_criteria import CompareCriteria
from secateur.app.document.aspects import Aspect, Selection
from secateur.app.jobs.workbench import Workbench
from secateur.engine.scoring.protocol import PartialScores, Step
from secateur.engine.session.states import StateKind
from tests.app.branches import begun
from tests.app.demo_analysis import scores_of
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.playing import Window, top1
from tests.app.stand_in import state_of


@pytest.fixture
def page(qtbot, dressed) -> Iterator[CompareCriteria]:
    document = begun()
    assert document.analysis is not None
    document.take_scores("s0", "l2", scores_of(document.analysis, seed=3))
    window = Window(Workbench(None, document))
    qtbot.addWidget(window)
    page = CompareCriteria(window)
    page.show()
    yield page
    if isValid(page):
        page.close()
    window.close()


def test_the_correlation_over_all_and_by_layer_is_spearmans(page, qtbot) -> None:
    qtbot.waitUntil(lambda: "rank correlation" in page.verdict.text())
    document = page.document
    one, other = (document.contents.scores["s0", name] for name in ("l1", "l2"))
    assert [box.currentData() for box in page.boxes] == ["l1", "l2"]
    rho = stats.spearmanr(one, other)[0]
    assert f"rank correlation {rho:.2f}".replace("-", "\u2212") in page.verdict.text() and "676" in page.verdict.text()
    model = page.table.model()
    rows = {model.index(r, 0).data(): model.index(r, 1).data() for r in range(model.rowCount())}
    for coupled in document.analysis.sets:
        if coupled.count > 1:
            expected = stats.spearmanr(one[coupled.structures], other[coupled.structures])[0]
            assert rows[coupled.module] == f"{expected:.2f}".replace("-", "\u2212")


def test_a_layer_is_chosen_by_a_click_and_drawn_by_both_ratings(page, qtbot) -> None:
    index = page.table.model().index(3, 0)
    qtbot.mouseClick(page.table.viewport(), Qt.MouseButton.LeftButton, pos=page.table.visualRect(index).center())
    document = page.document
    document.dispatcher.settle()
    assert document.selection.module == index.data() and document.selection.structure == -1
    one = document.analysis.sets[document.selection.set_number]
    for number, name in enumerate(("l1", "l2")):
        scores = document.contents.scores["s0", name]
        ranks = (stats.rankdata(scores) - 1) / (len(scores) - 1)
        assert page.maps[number].fractions == pytest.approx(ranks[one.structures])
        assert page.ranges[number].ends[0].startswith("by rank: ") and page.ranges[number].ends[1]


def test_a_click_on_a_cell_selects_the_structure_in_both(page, qtbot) -> None:
    page.table.setCurrentIndex(page.table.model().index(1, 0))
    page.document.dispatcher.settle()
    page.repaint()
    where = page.maps[1].cell(4).center().toPoint()
    qtbot.mouseClick(page.maps[1], Qt.MouseButton.LeftButton, pos=where)
    page.document.dispatcher.settle()
    one = page.document.analysis.sets[page.document.selection.set_number]
    assert page.document.selection.structure == one.first + 4
    assert [each.current for each in page.maps] == [4, 4]


def test_a_rating_that_is_not_known_is_asked_for_and_then_compared(qtbot, dressed) -> None:
    link = FakeLink()
    document = begun()
    assert document.analysis is not None
    window = Window(workbench_on(link, document))
    qtbot.addWidget(window)
    page = CompareCriteria(window)
    page.show()
    name = page.boxes[1].currentData()
    assert "Computing scores" in page.verdict.text()
    asked = [arguments[:2] for method, arguments in link.calls.values() if method == "score"]
    assert asked == [("s0", name)]
    document.take_scores("s0", name, scores_of(document.analysis, seed=9))
    document.dispatcher.settle()
    qtbot.waitUntil(lambda: "rank correlation" in page.verdict.text())
    assert document.criterion == "l1"
    page.close()


def test_what_was_compared_is_not_compared_again_when_something_else_changes(page, qtbot, monkeypatch) -> None:
    made: list[int] = []
    monkeypatch.setattr("secateur.app.dialogs.compare_criteria.agreement", lambda *_: made.append(1))
    page.table.setCurrentIndex(page.table.model().index(1, 0))
    page.document.announce(Aspect.STATES)
    page.document.dispatcher.settle()
    assert not made and page.table.currentIndex().row() == 1


def test_marked_structures_are_crosses(page) -> None:
    document = page.document
    one = document.analysis.sets[2]
    document.select(Selection(one.module, 2))
    document.plan.mark([one.first, one.first + 1], True)
    document.dispatcher.settle()
    points = page.plot._dots.getData()[0], page.plot._crosses.getData()[0]
    assert [len(each) for each in points] == [one.count - 2, 2]
    assert points[1] == pytest.approx(document.contents.scores["s0", "l1"][one.first : one.first + 2])


def test_a_rating_that_was_stopped_is_not_begun_again_and_says_so_until_it_is_chosen_again(qtbot, player, window):
    document = player.document
    page = CompareCriteria(window)
    qtbot.addWidget(page)
    page.show()
    name = page.boxes[1].currentData()
    player.get_on("score", PartialScores(scores_of(document.analysis, seed=3), 8, 32, Step.BATCHES), 8, 32)
    assert "Computing scores" in page.verdict.text()
    player.stop("score")
    document.select(Selection(document.analysis.sets[1].module, 1))
    document.take_measurements("s0", metrics=(top1(0.9),))
    asked = [arguments[1] for method, arguments in player.link.calls.values() if method == "score"]
    assert asked.count(name) == 1
    assert page.verdict.text().startswith(f"The current state has no scores by {page.boxes[1].currentText()}.")
    page.boxes[1].activated.emit(page.boxes[1].currentIndex())
    assert player.link.asked("score")[1] == name and "Computing scores" in page.verdict.text()
    player.settle()
    qtbot.waitUntil(lambda: "rank correlation" in page.verdict.text())
    page.close()


def test_what_data_or_another_state_makes_possible_is_offered_and_rated(qtbot, player, window):
    document = player.document
    task, document.contents.task = document.task, None
    document.set_criterion("l1")
    player.settle()
    page = CompareCriteria(window)
    qtbot.addWidget(page)
    page.show()
    taylor = page.boxes[1].findData("taylor")
    model = page.boxes[1].model()
    assert isinstance(model, QStandardItemModel)
    assert not model.item(taylor).isEnabled()
    chosen = page.boxes[1].currentData()
    player.settle()
    document.take_task(task)
    assert model.item(taylor).isEnabled() and page.boxes[1].currentData() == chosen
    assert _asked(player).count(("score", ("s0", chosen))) == 2
    player.settle()
    document.add_state(state_of(document.analysis, "s1", "s0", StateKind.CUT, document.removed, 0.5), "cut")
    assert ("score", ("s1", chosen)) in _asked(player)
    page.close()


def _asked(player) -> list:
    return [(method, arguments[:2]) for method, arguments in player.link.calls.values()]


def test_another_model_closes_the_page(page) -> None:
    page.document.announce(Aspect.MODEL)
    page.document.dispatcher.settle()
    assert not page.isVisible()


def test_hover_and_drag_do_not_disturb_the_cells(page, qtbot) -> None:
    qtbot.mouseMove(page.maps[0], QPoint(5, 5))
    assert not page.document.marked.any()
