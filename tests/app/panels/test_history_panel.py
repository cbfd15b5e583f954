"""The history as a hand uses it: states and plans of all branches, steps, and a comparison of two of them."""

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QFontMetrics

from secateur.app.panels.history import HistoryPanel
from tests.app.branches import begun, branched


@pytest.fixture
def panel(qtbot, dressed) -> HistoryPanel:
    panel = HistoryPanel(branched())
    qtbot.addWidget(panel)
    panel.resize(760, 260)
    panel.show()
    return panel


def rows(panel: HistoryPanel) -> dict[str, QModelIndex]:
    found, index = {}, panel.view.model().index(0, 0)
    while index.isValid():  # as they stand below one another
        found[index.data()] = index
        index = panel.view.indexBelow(index)
    return found


def click(qtbot, panel: HistoryPanel, name: str, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    where = panel.view.visualRect(rows(panel)[name]).center()
    qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, modifier, where)
    panel.document.dispatcher.settle()


def steps(panel: HistoryPanel) -> list[str]:
    return [panel.steps.item(n).text() for n in range(panel.steps.count())]


def test_states_and_the_plans_that_were_left_stand_in_one_tree(panel) -> None:
    found = rows(panel)
    assert list(found) == [
        "original", "plan, 60 marked", "cut s1", "recovered s2", "cut s3 from original", "plan, 30 marked, current",
    ]  # fmt: skip
    assert found["recovered s2"].parent().data() == "cut s1"
    assert found["plan, 60 marked"].parent().data() == "original"


def test_rounds_stand_below_one_another_and_their_names_are_whole(qtbot, dressed) -> None:
    from secateur.engine.session.states import StateKind
    from tests.app.branches import make

    document, names = begun(), list[str]()
    for number in range(1, 25):
        kind = StateKind.RECOVERED if number % 2 == 0 else StateKind.CUT
        if kind is StateKind.CUT:
            document.plan.mark([number], True)
        make(document, f"s{number}", f"s{number - 1}", kind, 0.9, 0.5)
        names.append(f"{kind} s{number}")
    panel = HistoryPanel(document)
    qtbot.addWidget(panel)
    panel.resize(360, 200)  # as in a window of 1024x700
    panel.show()
    found, view = rows(panel), panel.view
    assert list(found) == ["original", *names[:-1], f"{names[-1]}, current"]
    assert {index.parent().data() for name, index in found.items() if name != "original"} == {"original"}
    for name, index in found.items():
        fonts = QFontMetrics(index.data(Qt.ItemDataRole.FontRole))
        assert view.visualRect(index).width() > fonts.horizontalAdvance(name)
    assert found[names[3]].data(Qt.ItemDataRole.ToolTipRole).startswith("recovered s4, made from cut s3.")
    document.plan.go_to("s4")
    make(document, "s25", "s4", StateKind.CUT, 0.9, 0.5)
    document.dispatcher.settle()
    found = rows(panel)
    branch = found["cut s25 from recovered s4, current"]
    assert branch.parent() == found["cut s5"].parent() == found["recovered s4"]
    assert found["recovered s6"].parent() == found["recovered s24"].parent() == found["cut s5"]
    assert list(found).index("cut s25 from recovered s4, current") == len(found) - 1


def test_going_back_and_acting_loses_no_plan(panel, qtbot) -> None:
    document = panel.document
    before = document.marked.copy()
    click(qtbot, panel, "plan, 60 marked")
    assert document.state.id == "s0" and document.marked.sum() == 60
    document.plan.mark([500], True)
    document.dispatcher.settle()
    assert "plan, 61 marked, current" in rows(panel)
    click(qtbot, panel, "plan, 30 marked")
    assert document.state.id == "s3" and (document.marked == before).all()


def test_a_click_on_a_state_goes_there_across_cuts_and_recoveries(panel, qtbot) -> None:
    click(qtbot, panel, "recovered s2")
    assert panel.document.state.id == "s2" and not panel.document.marked.any()
    assert "recovered s2, current" in rows(panel)
    click(qtbot, panel, "original")
    assert panel.document.state.id == "s0"
    panel.document.plan.undo()
    assert panel.document.state.id == "s2"


def test_steps_of_the_branch_are_listed_and_a_click_jumps(panel, qtbot) -> None:
    assert steps(panel)[0] == "opened" and steps(panel)[-1] == "mark 30 structures"
    item = panel.steps.item(2)
    assert item.text() == "keep 20 of layer1.1.conv1"
    panel.steps.scrollToItem(item)
    where = panel.steps.visualItemRect(item).center()
    qtbot.mouseClick(panel.steps.viewport(), Qt.MouseButton.LeftButton, pos=where)
    document = panel.document
    document.dispatcher.settle()
    assert document.state.id == "s0" and document.history.undo_text == "keep 20 of layer1.1.conv1"
    assert document.history.redo_text.startswith("cut")


def test_return_goes_where_the_arrow_keys_led(panel, qtbot) -> None:
    panel.view.setFocus()
    while panel.view.currentIndex().data() != "cut s1":
        qtbot.keyClick(panel.view, Qt.Key.Key_Up)
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    assert panel.document.state.id == "s1"


def test_two_branches_are_compared(panel, qtbot) -> None:
    document = panel.document
    click(qtbot, panel, "recovered s2")
    click(qtbot, panel, "cut s3 from original", Qt.KeyboardModifier.ControlModifier)
    assert document.state.id == "s2", "a click that selects a second row goes nowhere"
    click(qtbot, panel, "recovered s2, current", Qt.KeyboardModifier.ControlModifier)
    assert panel.comparison.text() == "Compare both"
    qtbot.mouseClick(panel.comparison, Qt.MouseButton.LeftButton)
    assert sorted(side.state for side in document.contents.compared) == ["s2", "s3"]


def test_a_plan_is_compared_with_what_is_present(panel, qtbot) -> None:
    document = panel.document
    click(qtbot, panel, "plan, 60 marked", Qt.KeyboardModifier.ControlModifier)
    qtbot.mouseClick(panel.comparison, Qt.MouseButton.LeftButton)
    left, right = document.contents.compared
    assert left.state == "s0" and left.plan.sum() == 60 and right is None


def test_a_plan_that_was_cut_is_shown_as_its_cut_alone(qtbot, dressed) -> None:
    document = begun()
    panel = HistoryPanel(document)
    qtbot.addWidget(panel)
    document.plan.mark([40, 41], True)
    document.dispatcher.settle()
    assert list(rows(panel)) == ["original", "plan, 2 marked, current"]
    from secateur.engine.session.states import StateKind
    from tests.app.branches import make

    make(document, "s1", "s0", StateKind.CUT, 0.9, 0.5)
    document.dispatcher.settle()
    assert list(rows(panel)) == ["original", "cut s1, current"]
    document.plan.undo()
    document.dispatcher.settle()
    assert list(rows(panel)) == ["original", "plan, 2 marked, current", "cut s1"]
