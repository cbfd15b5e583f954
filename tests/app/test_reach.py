"""Everything that can be used has a name for those who do not see it, and is reached by keys in a sensible order."""

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QTabBar,
    QWidget,
)

from secateur.app import gallery
from secateur.app.main_window import MainWindow
from tests.app.stand_in import StandIn, opened
from tests.app.whole import full, window_of

INTERACTIVE = (
    QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QPlainTextEdit, QProgressBar, QTabBar,
)  # fmt: skip
TAB = Qt.FocusPolicy.TabFocus


def inner(widget: QWidget) -> bool:
    """A part that Qt makes for a widget of its own, and speaks for."""
    parent = widget.parent()
    return (
        widget.objectName().startswith("qt_")
        or isinstance(parent, QAbstractSpinBox | QComboBox | QLineEdit | QTabBar | QAbstractItemView)
        or type(widget).__name__ in ("QComboBoxListView", "QToolTip")
    )


def seen(root: QWidget) -> list[QWidget]:
    return [w for w in root.findChildren(QWidget) if w.isVisible() and w.window() is root.window() and not inner(w)]


def nameless(root: QWidget) -> list[str]:
    """Widgets that can be used, or have the focus, without a name."""
    found = []
    for widget in seen(root):
        focusable = bool(widget.focusPolicy() & TAB) and not isinstance(widget, QLabel)
        if (isinstance(widget, INTERACTIVE) or focusable) and not widget.accessibleName():
            found.append(f"{type(widget).__name__} {widget.objectName()} in {type(widget.parent()).__name__}")
    return found


def unreached(root: QWidget) -> list[str]:
    """Enabled things to use that Tab does not reach."""
    found = []
    for widget in seen(root):
        used = isinstance(widget, INTERACTIVE) and not isinstance(widget, QProgressBar)
        if used and widget.isEnabled() and not widget.focusPolicy() & TAB and type(widget).__name__ != "QHeaderView":
            found.append(f"{type(widget).__name__} {widget.accessibleName()}")
    return found


def chain(root: QWidget) -> list[QWidget]:
    """What Tab reaches, in its order."""
    found, widget = [], root.nextInFocusChain()
    while widget is not root and len(found) < 2000:
        usable = widget.isVisible() and widget.isEnabled() and widget.window() is root.window()
        if usable and widget.focusPolicy() & TAB and not inner(widget):
            found.append(widget)
        widget = widget.nextInFocusChain()
    return found


@pytest.fixture(params=["empty", "opened", "full"])
def window(request, qtbot):
    document = {"empty": StandIn, "opened": opened, "full": full}[request.param]()
    with window_of(document, qtbot) as window:
        yield window


@pytest.fixture
def whole(qtbot):
    with window_of(full(), qtbot) as window:
        yield window


def every_tab(window: MainWindow):
    """Bring each panel to the front in turn."""
    yield
    for tabs in window.area.tabs.values():
        for index in range(tabs.count()):
            tabs.setCurrentIndex(index)
            QApplication.processEvents()
            yield


def test_everything_in_the_window_has_a_name(window) -> None:
    for _ in every_tab(window):
        assert nameless(window) == []


def test_everything_in_the_window_is_reached_by_tab(window) -> None:
    for _ in every_tab(window):
        assert unreached(window) == []


def test_tab_goes_through_the_window_part_by_part_from_top_to_bottom(whole) -> None:
    area = whole.area
    parts = [whole.top_bar, *(area.panels[m] for m in ("strip", "ledger")), area.docks["model"]]
    parts += [area.tabs["middle"], area.docks["inspector"], area.docks["work"], whole.status]
    places = []
    for widget in chain(whole):
        place = next((n for n, part in enumerate(parts) if part is widget or part.isAncestorOf(widget)), None)
        assert place is not None, (type(widget).__name__, widget.accessibleName())
        places.append(place)
    assert places == sorted(places), [parts[n].objectName() or type(parts[n]).__name__ for n in dict.fromkeys(places)]


@pytest.fixture(params=list(gallery.dialog_kinds()))
def dialog(request, qtbot, whole) -> QWidget:
    made = gallery.make(gallery.dialog_kinds()[request.param], whole)
    made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(made)
    made.show()
    QApplication.processEvents()
    yield made
    made.close()


def test_every_dialog_can_be_made_from_a_window() -> None:
    assert [name for name, kind in gallery.dialog_kinds().items() if not gallery.takes_a_window(kind)] == []


def test_everything_in_a_dialog_has_a_name_and_is_reached_by_tab(dialog) -> None:
    assert nameless(dialog) == [] and unreached(dialog) == []
    assert not isinstance(dialog, QDialog) or dialog.windowTitle()


def test_tab_goes_through_a_dialog_from_top_to_bottom(dialog) -> None:
    widgets = [w for w in chain(dialog) if not isinstance(w, QAbstractScrollArea) or w.isEnabled()]
    rows = [(w.mapTo(dialog, QPoint(0, w.height() // 2)).y() // 12, w.mapTo(dialog, QPoint()).x()) for w in widgets]
    start = rows.index(min(rows)) if rows else 0
    turned = rows[start:] + rows[:start]
    assert turned == sorted(turned), [(w.accessibleName(), r) for w, r in zip(widgets, rows, strict=True)]


def test_escape_closes_every_dialog(dialog, qtbot) -> None:
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
