"""What the window does while another model is taken in."""

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QWidget

from secateur.app.storage import settings
from secateur.app.window.main_window import MainWindow
from tests.waiting import PATIENCE

from ..fake_link import FakeLink, workbench_on
from ..stand_in import adopt_small


@pytest.fixture
def window(empty: MainWindow) -> MainWindow:
    return empty


class Windows(QObject):
    """Writes down every window of its own that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def eventFilter(self, one: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Show and isinstance(one, QWidget) and one.isWindow():
            self.shown.append(type(one).__name__)
        return False


def test_no_other_window_flashes_up_while_the_panels_are_made(qtbot, qapp, dressed) -> None:
    seen = Windows()
    qapp.installEventFilter(seen)
    window = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None)
    qapp.removeEventFilter(seen)
    window.close()
    assert seen.shown == ["MainWindow"]


def test_a_model_that_was_opened_is_looked_at_first_and_its_samples_too_where_all_is_on_one_screen(
    window, qtbot
) -> None:
    for page, expected in (
        ("export", {"middle": "Graph", "bottom": "Log"}),
        ("all", {"middle": "Trade-off", "bottom": "Samples"}),
    ):
        window.show_page(page)
        adopt_small(window.document)
        with qtbot.waitSignal(window.document.dispatcher.settled):
            pass
        assert {
            where: tabs.bar.tabText(tabs.bar.currentIndex()) for where, tabs in window.area.tabs.items()
        } == expected


def test_panels_are_out_of_reach_until_all_of_them_show_the_model_that_was_opened(window, qtbot) -> None:
    for _ in ("a first model", "another one"):
        adopt_small(window.document)
        assert not window.area.isVisible()
        with qtbot.waitSignal(window.document.dispatcher.settled):
            pass
        assert window.area.isVisible()
        assert window.area.panels["tree"].model.analysis is window.document.analysis


def test_each_menu_has_its_own_commands_and_what_was_opened_lately_stands_in_one(window) -> None:
    menus = {action.text(): action.menu() for action in window.menuBar().actions()}
    entries = {title: [action.text() for action in menu.actions()] for title, menu in menus.items()}
    assert [title for title, texts in entries.items() if "Open recent" in texts] == ["File"]
    for texts in entries.values():
        shown = [text for text in texts if text]
        assert len(shown) == len(set(shown))
        assert texts[0] and texts[-1]


def test_a_project_that_was_saved_stands_among_what_was_opened_lately(window, tmp_path) -> None:
    adopt_small(window.document)
    window.document.saved(str(tmp_path), 0)
    assert window.workbench.files.flush(PATIENCE)
    assert (window.document.model_name, str(tmp_path)) in settings.recent()
