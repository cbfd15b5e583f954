"""Panels in windows of their own do all that they do in the main window: nothing takes their window for that one."""

import ast
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtWidgets import QApplication, QMenu, QPushButton, QWidget

import secateur.app
from secateur.app.dialogs.compare_criteria import CompareCriteria
from secateur.app.dialogs.export import Share
from secateur.app.dialogs.mark import MarkDialog
from secateur.app.dialogs.recovery_settings import RecoverySettingsDialog
from secateur.app.dialogs.save_plot import SavePlot
from tests.app.whole import full, window_of

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(qtbot):
    """All docks float, each in a window of its own, as a double click on its grip makes it."""
    with window_of(full(), qtbot) as window:
        for dock in window.area.docks.values():
            qtbot.mouseDClick(dock.titleBarWidget(), LEFT)
            if not dock.isFloating():  # where the platform has no window manager the click goes nowhere
                dock.toggle_float()
        qtbot.waitUntil(lambda: all(dock.window() is not window for dock in window.area.docks.values()))
        yield window


def choose(menu: QMenu, words: str) -> None:
    next(action for action in menu.actions() if action.text().startswith(words)).trigger()
    menu.close()


def menu_of(widget: QWidget) -> QMenu:
    """What the right button opens."""
    middle = widget.rect().center()
    QApplication.sendEvent(
        widget, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, middle, widget.mapToGlobal(QPoint(middle)))
    )
    menus = [one for one in widget.findChildren(QMenu) if one.isVisible()]
    return menus[-1]


def dialog_of(window, kind: type):
    """The one dialog of a kind, over the main window."""
    (found,) = window.findChildren(kind)
    assert found.isVisible() and found.parentWidget() is window
    found.reject()
    return found


@pytest.mark.parametrize("name", ["save_script", "save_recipe"])
def test_the_buttons_of_a_floating_recipe_ask_where_to_write(window, qtbot, name: str) -> None:
    window.show_panel("recipe")
    button: QPushButton = getattr(window.area.panels["recipe"], name)
    assert button.window() is not window
    qtbot.mouseClick(button, LEFT)
    assert dialog_of(window, Share).path.text()


def test_two_ratings_are_compared_from_a_floating_tree(window, qtbot) -> None:
    panel = window.area.panels["tree"]
    qtbot.mouseClick(panel.options, LEFT)
    qtbot.mouseClick(panel._popover.compare, LEFT)
    assert dialog_of(window, CompareCriteria).document is window.document


def test_a_pattern_is_asked_for_from_the_menu_of_a_floating_tree(window) -> None:
    tree = window.area.panels["tree"].view
    tree.setCurrentIndex(tree.model().index(0, 0))
    choose(tree.menu(), "Keep by pattern")
    assert dialog_of(window, MarkDialog).parentWidget() is window


def test_further_settings_are_asked_for_from_a_floating_recovery(window, qtbot) -> None:
    window.show_panel("recovery")
    qtbot.mouseClick(window.area.panels["recovery"].more, LEFT)
    assert dialog_of(window, RecoverySettingsDialog).parentWidget() is window


def test_a_plot_of_a_floating_panel_is_saved_by_its_menu(window, qtbot, tmp_path: Path) -> None:
    window.show_panel("inspector")
    choose(menu_of(window.area.panels["inspector"].histogram), "Save plot")
    (dialog,) = window.findChildren(SavePlot)
    assert dialog.parentWidget() is window
    dialog.path.setText(str(tmp_path / "plot.png"))
    qtbot.mouseClick(dialog.accept_button, LEFT)
    qtbot.waitUntil((tmp_path / "plot.png").exists)


def test_nothing_takes_the_window_of_a_widget_for_the_main_window() -> None:
    """A widget of a floating panel is in another one. What needs the main window asks the document for it."""
    geometry = {"form.py", "main_window.py", "jobs.py"}  # how wide is it, does a widget lie in it, which has the focus
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(secateur.app.__file__).parent.rglob("*.py")
        if path.name not in geometry
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "window"
    ]
    assert found == []
