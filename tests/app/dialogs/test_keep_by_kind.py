"""Shares and numbers of single kinds are typed in a dialog, checked while they are, and become the goal."""

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from secateur.app.dialogs.keep_by_kind import KeepByKind
from secateur.app.document.aspects import Goal
from secateur.app.window.top_bar import TopBar
from secateur.engine.planning.protocol import KindLimit
from secateur.engine.structures.analysis import Kind

from ..fake_link import FakeLink, workbench_on
from ..playing import Window
from ..stand_in import adopt_small


@pytest.fixture
def window(qtbot, dressed) -> Iterator[Window]:
    made = Window(workbench_on(FakeLink()))
    qtbot.addWidget(made)
    adopt_small(made.document)
    yield made
    made.workbench.close()


def dialog_over(qtbot, window: Window) -> KeepByKind:
    made = KeepByKind(window)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    return made


def test_what_is_typed_becomes_the_goal_and_stands_in_the_bar(qtbot, window):
    document, bar = window.document, TopBar(window)
    dialog = dialog_over(qtbot, window)
    assert dialog.cost.value() == 100 and dialog.focusWidget() is dialog.lines[Kind.FILTER]
    QTest.keyClicks(dialog.lines[Kind.FILTER], "70%")
    QTest.keyClicks(dialog.lines[Kind.BLOCK], "3")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    kept = (KindLimit(Kind.FILTER, 0.7), KindLimit(Kind.BLOCK, count=3))
    assert document.goal == Goal(1.0, 0.5, kept=kept) and document.contents.wanted.kept == kept
    bar.refresh()
    assert bar.kinds.accessibleName() == "Keep by kind: 70 % of filters, 3 blocks"
    again = dialog_over(qtbot, window)
    assert (again.lines[Kind.FILTER].text(), again.lines[Kind.BLOCK].text()) == ("70%", "3")
    document.plan.undo()
    bar.refresh()
    assert document.goal == Goal() and bar.kinds.accessibleName() == "Keep by kind: none"


@pytest.mark.parametrize(
    ("text", "words"), [("some", "Filters: enter a share"), ("0", "at least 1"), ("9999", "only"), ("150%", "share")]
)
def test_what_cannot_be_is_said_while_it_is_typed(qtbot, window, text, words):
    dialog = dialog_over(qtbot, window)
    assert dialog.accept_button.isEnabled()
    QTest.keyClicks(dialog.lines[Kind.FILTER], text)
    assert words in dialog.missing.text() and not dialog.accept_button.isEnabled()
