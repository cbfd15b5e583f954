"""Panels that move, are remembered and go back; text of any size; a page of facts to copy."""

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication

from secateur.app.commands import command_named
from secateur.app.dialogs.diagnostics import Diagnostics, private
from secateur.app.document.message_log import Level
from secateur.app.storage import settings
from secateur.app.theme import Scheme, apply, sizes, theme
from secateur.app.theme.design_tokens import LARGEST, SMALLEST
from secateur.app.widgets.pane import Pane
from tests.app.stand_in import opened
from tests.app.whole import full, window_of

LEFT, RIGHT = Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea
BOTTOM = Qt.DockWidgetArea.BottomDockWidgetArea


@pytest.fixture
def window(qtbot):
    with window_of(opened(), qtbot) as window:
        yield window


@pytest.fixture
def text_as_before(qapp):
    yield
    theme().resize(12)
    apply(qapp, Scheme.LIGHT)


def switched(qtbot) -> None:
    """The look is the one that was asked for last."""
    qtbot.waitUntil(lambda: not theme().switching)


def places(window) -> dict[str, Qt.DockWidgetArea]:
    holder = window.area.holder
    return {name: holder.dockWidgetArea(dock) for name, dock in window.area.docks.items()}


def test_at_first_the_panels_lie_as_in_the_sketch(window) -> None:
    docks, middle = window.area.docks, window.area.tabs["middle"]
    assert abs(docks["model"].width() - 440) <= 12 and abs(docks["inspector"].width() - 318) <= 12
    left, right = (docks[n].mapTo(window, docks[n].rect().topLeft()).x() for n in ("model", "inspector"))
    centre = middle.mapTo(window, middle.rect().topLeft())
    below = docks["work"].mapTo(window, docks["work"].rect().topLeft())
    assert left < centre.x() < right and below.y() > centre.y() and left < below.x() < right
    assert middle.height() > docks["work"].height() > 150


def test_a_panel_is_moved_by_keys_alone_and_back(window, qtbot) -> None:
    dock = window.area.docks["inspector"]
    qtbot.keyClick(dock.titleBarWidget(), Qt.Key.Key_Space)
    menu: Any = QApplication.activePopupWidget()
    entry = next(action for action in menu.actions() if action.text() == "Move to the left")
    menu.setActiveAction(entry)
    qtbot.keyClick(menu, Qt.Key.Key_Return)
    assert places(window)["inspector"] is LEFT
    window.commands.run(command_named("view.reset"))
    assert places(window) == {"model": LEFT, "inspector": RIGHT, "work": BOTTOM}
    assert abs(dock.width() - 318) <= 12


@pytest.mark.parametrize("name", ["model", "inspector", "work"])
def test_every_panel_floats_by_a_double_click_or_by_dragging_its_grip(window, qtbot, name: str) -> None:
    dock = window.area.docks[name]
    grip = dock.titleBarWidget()
    qtbot.mouseDClick(grip, Qt.MouseButton.LeftButton)
    assert dock.isFloating()
    dock.toggle_float()
    assert not dock.isFloating()
    start = grip.rect().center()
    qtbot.mousePress(grip, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 20):
        qtbot.mouseMove(grip, start + QPoint(0, -10 * step))
    qtbot.mouseRelease(grip, Qt.MouseButton.LeftButton, pos=start)
    assert dock.isFloating()


def test_the_layout_is_remembered_and_reset(qtbot) -> None:
    with window_of(opened(), qtbot) as window:
        window.area.docks["work"].move_to(RIGHT)
        window.area.tabs["bottom"].bar.moveTab(0, 2)
        window.commands.run(command_named("view.dock_model"))
        order = [window.area.tabs["bottom"].bar.tabText(n) for n in range(3)]
    with window_of(opened(), qtbot) as again:
        qtbot.waitUntil(lambda: places(again)["work"] is RIGHT)
        assert again.area.docks["model"].isHidden()
        assert [again.area.tabs["bottom"].bar.tabText(n) for n in range(3)] == order
        again.commands.run(command_named("view.reset"))
        assert places(again)["work"] is BOTTOM and again.area.docks["model"].isVisible()
        assert again.area.tabs["bottom"].bar.tabText(0) == "Recovery"


def test_a_layout_that_cannot_be_read_is_as_at_first(qtbot) -> None:
    settings.store("page all", {"places": "nonsense", "middle": ["no", "such", "panel"], "sizes": 3})
    with window_of(opened(), qtbot) as window:
        assert places(window) == {"model": LEFT, "inspector": RIGHT, "work": BOTTOM}
        assert window.area.tabs["middle"].bar.tabText(0) == "Trade-off"


def test_a_floating_panel_is_out_of_reach_while_another_model_is_taken_in(window) -> None:
    dock = window.area.docks["inspector"]
    dock.toggle_float()
    assert dock.isFloating() and dock.isVisible()
    window.area.hide()
    assert not dock.isVisible()
    window.area.show()
    assert dock.isVisible() and dock.isFloating()


def test_showing_a_panel_of_a_hidden_dock_shows_the_dock(window) -> None:
    window.commands.run(command_named("view.dock_work"))
    assert window.area.docks["work"].isHidden()
    window.commands.run(command_named("view.log"))
    assert window.area.docks["work"].isVisible() and window.area.panels["log"].isVisible()


def test_text_grows_and_shrinks_everywhere_and_is_remembered(qtbot, window, text_as_before) -> None:
    label = window.area.panels["tree"].search
    rows = window.area.panels["layers"].view.verticalHeader()
    row = rows.defaultSectionSize()
    tall = label.fontMetrics().height()
    for _ in range(2):
        window.commands.run(command_named("view.larger"))
    switched(qtbot)
    assert sizes().body == 14 and settings.value("text", 0) == 14
    assert label.fontMetrics().height() > tall and rows.sectionSize(0) == rows.defaultSectionSize() == row * 14 // 12
    plot = window.area.panels["tradeoff"].plot
    assert plot.getAxis("left").style["tickFont"].pixelSize() == sizes().caption
    window.commands.run(command_named("view.text"))
    switched(qtbot)
    assert sizes().body == 12 and label.fontMetrics().height() == tall


def test_text_has_bounds_and_the_command_says_so(qtbot, window, text_as_before) -> None:
    theme().resize(LARGEST - 1)
    for _ in range(2):
        window.commands.run(command_named("view.larger"))
    assert sizes().body == LARGEST
    assert command_named("view.larger").enabled(window.document) == "Text already has its largest size."
    switched(qtbot)
    assert not window.commands.by_id["view.larger"].isEnabled()
    theme().resize(SMALLEST + 1)
    for _ in range(2):
        window.commands.run(command_named("view.smaller"))
    switched(qtbot)
    assert sizes().body == SMALLEST and window.commands.by_id["view.larger"].isEnabled()


def test_diagnostics_have_what_a_report_needs_and_not_the_name_of_the_home(window, qtbot) -> None:
    window.document.note("it broke", Level.ERROR)
    dialog = Diagnostics(window)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.show()
    text = dialog.text.toPlainText()
    for needed in ("PySide6", "torch", "Python", "Qt platform: offscreen", "settings", "free memory", "it broke"):
        assert needed in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
    assert QApplication.clipboard().text() == text
    dialog.close()


def test_paths_are_written_from_the_home_folder(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert private("at /home/ada/nets/x.pt") == "at ~/nets/x.pt"


def test_the_theme_in_use_has_a_check_mark(qtbot, window, text_as_before) -> None:
    names = ("view.system", "view.light", "view.dark")
    for name in (*reversed(names), "view.light", "view.light"):
        window.commands.by_id[name].trigger()
        switched(qtbot)
        assert [one for one in names if window.commands.by_id[one].isChecked()] == [name]


@pytest.mark.parametrize("size", [(1024, 700), (1440, 900)])
@pytest.mark.parametrize("module", ["tradeoff", "recovery"])
def test_in_the_smallest_window_what_decides_is_seen_without_scrolling(qtbot, module: str, size) -> None:
    with window_of(full(), qtbot, size) as window:
        window.show_panel(module)
        window.resize(1024, 700)
        panel, left = window.area.panels[module], window.status.running.left
        pane = panel.parentWidget().parentWidget()
        assert isinstance(pane, Pane)
        qtbot.waitUntil(lambda: panel.isVisible() and left.isVisible())
        bars = pane.horizontalScrollBar(), pane.verticalScrollBar()
        qtbot.waitUntil(lambda: [bar.maximum() for bar in bars] == [0, 0])
        assert left.text() and left.width() >= left.sizeHint().width()


def test_a_heading_gives_its_room_to_a_recovery_that_runs_in_a_narrow_window(qtbot) -> None:
    with window_of(full(), qtbot, (1024, 700)) as window:
        window.show_panel("recovery")
        panel = window.area.panels["recovery"]
        heading, start = panel._heading, panel.start
        qtbot.waitUntil(panel.progress.isVisible)
        assert not heading.isVisible()
        whole = start.accessibleName()
        assert start.text() == "Recover" and whole.startswith("Recover, ")
        assert start.width() >= start.sizeHint().width()
        window.resize(1800, 900)
        qtbot.waitUntil(heading.isVisible)
        assert start.text() == whole
