"""Nothing is clipped: in small and large windows, with small and large text, long names and a longer language.

All that is written on the screen is read from how it is painted (`painted_text`): each piece has to be seen whole, or
be elided and told in a tooltip.
"""

import pytest
from PySide6.QtCore import QCoreApplication, QPoint, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QScrollArea, QTreeWidget, QWidget

from secateur.app.theme import Scheme, Sizes, apply, theme
from secateur.app.widgets.buttons import button
from secateur.app.widgets.check_boxes import CheckBox
from secateur.app.widgets.fields import ComboBox, LineEdit
from secateur.app.widgets.labels import label
from secateur.app.widgets.table import elide_titles
from secateur.app.window.main_window import TITLE_BAR
from secateur.app.window.pages import ALL, PAGES
from tests.app.demo_analysis import llama, within
from tests.app.painted_text import cut
from tests.app.pseudo import Pseudo
from tests.app.stand_in import StandIn
from tests.app.test_reach import every_dialog
from tests.app.whole import full, window_of

pytestmark = pytest.mark.end_to_end

LONG = "vision_language_model.text_tower.transformer_stack"
SMALL, MIDDLE = QSize(1024, 700), QSize(1440, 900)
"""Of windows; 2880x1800 at a scale of 2 is the second in pixels that do not depend on the device."""
PLAIN, LARGE = Sizes().body, round(1.5 * Sizes().body)
ENGLISH = ("Diagnostics", "UnexpectedError")
"""Dialogs with facts for a report, in lines that scroll."""


@pytest.fixture
def wordy(qapp):
    """A longer language, and text as before at the end."""
    translator = Pseudo()
    QCoreApplication.installTranslator(translator)
    yield
    QCoreApplication.removeTranslator(translator)
    theme().resize(PLAIN)
    apply(qapp, Scheme.LIGHT)


def settle() -> None:
    """Let layouts and plots come to rest."""
    for _ in range(6):
        QApplication.processEvents()


def faults(window) -> list[str]:
    """What is cut in a window, in each of its panels."""
    settle()
    found = cut(window)
    for tabs in window.area.tabs.values():
        for index in range(tabs.bar.count()):
            tabs.bar.setCurrentIndex(index)
            settle()
            found += cut(tabs)
    return list(dict.fromkeys(found))


def test_no_panel_cuts_words_off_at_any_size(qtbot, wordy) -> None:
    found = list[str]()
    with window_of(full(within(llama(2, 64, 96, 8), LONG)), qtbot) as window:
        qtbot.waitUntil(window.status.running.isVisible)  # a job is shown after a while
        for body in (PLAIN, LARGE):
            theme().resize(body)
            for size in (MIDDLE, SMALL):
                window.resize(size)
                settle()
                least = window.minimumSizeHint()
                if least.width() > size.width() or least.height() > size.height():
                    found.append(f"the window needs {least.width()}x{least.height()} with text of {body} px")
                found += [f"{size.width()}x{size.height()}, {body} px: {fault}" for fault in faults(window)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", [name for name in PAGES if name != ALL])
def test_no_page_cuts_words_off_in_the_smallest_window_with_large_text(qtbot, wordy, page: str) -> None:
    found = list[str]()
    with window_of(full(within(llama(2, 64, 96, 8), LONG)), qtbot, SMALL.toTuple(), page) as window:
        for body in (PLAIN, LARGE):
            theme().resize(body)
            least = window.minimumSizeHint()
            assert least.width() <= SMALL.width() and least.height() <= SMALL.height()
            found += [f"{body} px: {fault}" for fault in faults(window)]
    assert not found, "\n".join(found)


def test_the_smallest_screen_has_room_for_a_title_bar_too(qtbot) -> None:
    size = SMALL - QSize(0, TITLE_BAR)
    with window_of(full(within(llama(2, 64, 96, 8), LONG)), qtbot) as window:
        qtbot.waitUntil(window.status.running.isVisible)
        window.resize(size)
        found = faults(window)
        theme().resize(LARGE)
        window.resize(SMALL)
        window.errors.show_error("The model could not be opened.")
        settle()
        large = window.size()
        theme().resize(PLAIN)
    assert not found, "\n".join(found)
    assert large == SMALL


def test_no_dialog_cuts_words_off(qtbot, wordy) -> None:
    found = list[str]()
    with window_of(full(within(llama(2, 64, 96, 8), LONG)), qtbot, SMALL.toTuple()) as window:
        theme().resize(LARGE)
        for name, dialog in every_dialog(window, qtbot):
            settle()
            least = dialog.minimumSizeHint().expandedTo(dialog.minimumSize())
            room = SMALL.expandedTo(dialog.screen().availableSize())
            if least.width() > room.width() or least.height() > room.height():
                found.append(f"{name} needs {least.width()}x{least.height()}")
            if name not in ENGLISH:
                found += [f"{name}: {fault}" for fault in cut(dialog)]
    assert not found, "\n".join(found)


def test_the_start_page_cuts_no_words_off(qtbot, wordy) -> None:
    with window_of(StandIn(), qtbot, SMALL.toTuple()) as window:
        for body in (PLAIN, LARGE):
            theme().resize(body)
            settle()
            assert cut(window) == []


def places(window) -> dict[str, tuple[int, int]]:
    """Width and height of docks and middle."""
    parts = {**window.area.docks, "middle": window.area.holder.centralWidget()}
    return {name: part.size().toTuple() for name, part in parts.items()}


def drag(qtbot, window, dock: str, *, across: int = 0, down: int = 0) -> None:
    """Drag the edge between a dock and the middle."""
    holder, moved = window.area.holder, window.area.docks[dock]
    corner = {"model": QPoint(moved.width() + 2, 40), "inspector": QPoint(-3, 40), "work": QPoint(80, -3)}[dock]
    edge = moved.mapTo(holder, corner)
    qtbot.mousePress(holder, Qt.MouseButton.LeftButton, pos=edge)
    qtbot.mouseMove(holder, edge + QPoint(across, down))
    settle()  # Qt moves it in the next turn
    qtbot.mouseRelease(holder, Qt.MouseButton.LeftButton, pos=edge + QPoint(across, down))
    settle()


def near(one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]], within: int = 2) -> bool:
    return all(abs(a - b) <= within for name in one for a, b in zip(one[name], other[name], strict=True))


def test_a_window_made_smaller_has_the_panels_of_a_small_one_and_they_grow_back(qtbot) -> None:
    with window_of(full(), qtbot, SMALL.toTuple()) as window:
        small = places(window)
    with window_of(full(), qtbot, MIDDLE.toTuple()) as window:
        large = places(window)
        for _ in range(2):
            window.resize(SMALL)
            settle()
            assert near(places(window), small)
            window.resize(MIDDLE)
            settle()
            assert near(places(window), large)


def test_a_small_window_opens_with_the_panels_of_a_small_one_whatever_was_kept_of_a_large_one(qtbot) -> None:
    with window_of(full(), qtbot, SMALL.toTuple()) as window:
        small = places(window)
    with window_of(full(), qtbot, MIDDLE.toTuple()) as window:
        drag(qtbot, window, "inspector", across=-60)
        large = places(window)
    with window_of(full(), qtbot, SMALL.toTuple()) as window:
        settle()
        assert small["middle"][0] - 60 <= places(window)["middle"][0] <= small["middle"][0]
        window.resize(MIDDLE)
        settle()
        assert near(places(window), large)


def test_what_a_hand_dragged_stays_and_the_middle_can_still_be_read_in_a_smaller_window(qtbot) -> None:
    with window_of(full(), qtbot, MIDDLE.toTuple()) as window:
        first = places(window)
        drag(qtbot, window, "model", across=250)
        drag(qtbot, window, "work", down=-120)
        dragged = places(window)
        assert dragged["model"][0] > first["model"][0] + 200 and dragged["work"][1] > first["work"][1] + 90
        window.resize(SMALL)
        settle()
        middle = places(window)["middle"]
        assert middle[0] >= 280 and middle[1] >= 200  # the inspector has a least width too
        drag(qtbot, window, "work", down=30)  # which leaves alone how wide the docks are wanted
        window.resize(MIDDLE)
        settle()
        assert abs(places(window)["model"][0] - dragged["model"][0]) <= 2
        assert places(window)["work"][1] < dragged["work"][1]


def test_docks_keep_their_sizes_when_the_look_is_switched_and_when_one_is_hidden_for_a_while(qtbot, wordy) -> None:
    with window_of(full(), qtbot, SMALL.toTuple()) as window:
        first = places(window)
        for scheme in (Scheme.DARK, Scheme.CONTRAST, Scheme.LIGHT):
            theme().choose(scheme)
            settle()
            assert near(places(window), first, within=0), scheme
        for dock in ("inspector", "work"):
            window.toggle_dock(dock)
            settle()
            window.toggle_dock(dock)
            settle()
            assert near(places(window), first), dock


class Painted(QWidget):
    """Writes more than it has room for."""

    def paintEvent(self, event) -> None:
        QPainter(self).drawText(self.rect(), Qt.AlignmentFlag.AlignLeft, "far too long for this")


def test_the_check_sees_what_is_cut_wherever_it_is_painted(qtbot, dressed) -> None:
    tree = QTreeWidget()
    tree.setHeaderLabels(["a heading that is too long", "b"])
    area = QScrollArea()
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(QLabel("words that the area hides at its right"))
    for made in (QLabel("words that do not fit"), tree, area, Painted()):
        qtbot.addWidget(made)
        made.resize(60, 80)
        tree.setColumnWidth(0, 40)
        made.show()
        assert cut(made), made
        made.resize(900, 80)
        tree.setColumnWidth(0, 400)
        settle()
        assert cut(made) == [], made
        made.hide()


def test_parts_that_elide_ask_for_all_of_their_room_and_tell_what_they_hide(qtbot, dressed) -> None:
    words = "encoder.layer.11.attention.output.dense"
    box, tree = ComboBox("a choice"), QTreeWidget()
    box.addItem(words)
    tree.setHeaderLabels([words, ""])
    elide_titles(tree.header())
    holder = QWidget()
    row = QHBoxLayout(holder)
    parts = (label(words), button(words), CheckBox(words), box, LineEdit("a line", hint=words), tree)
    for part in parts:
        row.addWidget(part)
    qtbot.addWidget(holder)
    holder.resize(holder.sizeHint())
    tree.setColumnWidth(0, 400)
    holder.show()
    settle()
    assert cut(holder) == []
    tree.setColumnWidth(0, 50)
    holder.resize(holder.minimumSizeHint())
    settle()
    assert all(part.width() < part.fontMetrics().horizontalAdvance(words) for part in parts)
    assert cut(holder) == []
