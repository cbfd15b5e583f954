"""Tabs over widgets that come and go, against what Qt's own say of parents and visibility."""

import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QLabel

from secateur.app.widgets.tabs import Tabs


@pytest.fixture
def tabs(qtbot, dressed) -> Tabs:
    tabs = Tabs("Views")
    qtbot.addWidget(tabs)
    tabs.resize(400, 200)
    tabs.show()
    return tabs


class Parents(QObject):
    """Counts how often a widget got another parent."""

    count = 0

    def eventFilter(self, watched, event) -> bool:
        self.count += event.type() is QEvent.Type.ParentChange
        return False


def test_those_of_a_filling_are_shown_one_at_a_time_and_all_others_hidden(tabs) -> None:
    one, two, three = QLabel("1"), QLabel("2"), QLabel("3")
    tabs.fill([(one, "One"), (two, "Two")])
    assert tabs.texts() == ["One", "Two"] and tabs.current() is one
    assert one.isVisible() and not two.isVisible()
    tabs.fill([(three, "Three"), (two, "Two")])
    assert tabs.widgets() == [three, two] and three.isVisible() and not one.isVisible()
    tabs.show_widget(two)
    assert tabs.current() is two and two.isVisible() and not three.isVisible()
    tabs.show_widget(one)
    assert tabs.current() is two


def test_who_comes_back_keeps_its_parent_and_who_goes_to_other_tabs_changes_it_once(tabs, qtbot) -> None:
    one, two, seen, other = QLabel("1"), QLabel("2"), Parents(), Tabs("Activity")
    qtbot.addWidget(other)
    tabs.fill([(one, "One")])
    one.installEventFilter(seen)
    for _ in range(3):
        tabs.fill([(two, "Two")])
        tabs.fill([(one, "One"), (two, "Two")])
    assert seen.count == 0
    tabs.fill([(two, "Two")])
    other.fill([(one, "One")])
    assert seen.count == 1 and other.widgets() == [one] and two.isVisible()


def test_a_tab_that_was_dragged_keeps_its_widget(tabs) -> None:
    labels = [QLabel(text) for text in "abc"]
    tabs.fill([(one, one.text()) for one in labels])
    tabs.bar.moveTab(0, 2)
    assert tabs.texts() == ["b", "c", "a"] and tabs.widgets() == [labels[1], labels[2], labels[0]]
    assert tabs.current() is labels[0] and labels[0].isVisible()
    tabs.bar.setCurrentIndex(1)
    assert labels[2].isVisible()


def test_a_double_click_names_the_widget_and_control_tab_goes_round(tabs, qtbot) -> None:
    labels, clicked = [QLabel(text) for text in "abc"], []
    tabs.fill([(one, one.text()) for one in labels])
    tabs.double_clicked.connect(clicked.append)
    qtbot.mouseDClick(tabs.bar, Qt.MouseButton.LeftButton, pos=tabs.bar.tabRect(1).center())
    assert clicked == [labels[1]]
    tabs.show_widget(labels[1])
    for expected in (2, 0, 1):
        qtbot.keyClick(tabs, Qt.Key.Key_Tab, Qt.KeyboardModifier.ControlModifier)
        assert tabs.current() is labels[expected]
    qtbot.keyClick(tabs, Qt.Key.Key_Backtab, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert tabs.current() is labels[0]
