"""Everything that can be used has a name for those who do not see it, and is reached by keys in a sensible order."""

from functools import partial

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QTabBar,
    QWidget,
)

from secateur.app.dialogs.form import FormDialog
from secateur.app.window.main_window import MainWindow
from tests.app import dialog_gallery
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
        spoken = widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text())
        if (isinstance(widget, INTERACTIVE) or focusable) and not spoken:
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
    while widget is not None and widget is not root and len(found) < 2000:
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
        for index in range(tabs.bar.count()):
            tabs.bar.setCurrentIndex(index)
            QApplication.processEvents()
            yield


def test_everything_in_the_window_has_a_name_and_is_reached_by_tab(window) -> None:
    for _ in every_tab(window):
        assert nameless(window) == []
        assert unreached(window) == []


def test_tab_goes_through_the_window_part_by_part_as_it_is_read(whole, qtbot) -> None:
    qtbot.waitUntil(whole.status.running.isVisible)  # what is over in a moment is never shown
    whole.activateWindow()
    whole.top_bar.data.setFocus()
    qtbot.keyClick(whole.top_bar.data, Qt.Key.Key_Tab)
    parts, places = whole.parts(), []
    for widget in chain(whole):
        place = next((n for n, part in enumerate(parts) if part is widget or part.isAncestorOf(widget)), None)
        assert place is not None, (type(widget).__name__, widget.accessibleName())
        places.append(place)
    start = places.index(0)
    turned = places[start:] + places[:start]
    assert turned == sorted(turned), [type(parts[n]).__name__ for n in dict.fromkeys(turned)]
    assert len(set(turned)) >= 7


def test_every_dialog_can_be_made_from_a_window() -> None:
    assert [
        name for name, kind in dialog_gallery.dialog_kinds().items() if not dialog_gallery.takes_a_window(kind)
    ] == []


def every_dialog(window: MainWindow, qtbot):
    """Each in turn, shown."""
    for name, kind in dialog_gallery.dialog_kinds().items():
        dialog = dialog_gallery.make(kind, window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        qtbot.addWidget(dialog)
        dialog.show()
        QApplication.processEvents()
        yield name, dialog
        dialog.close()


def test_every_dialog_has_names_and_an_order_and_closes_with_escape(whole, qtbot) -> None:
    for name, dialog in every_dialog(whole, qtbot):
        assert nameless(dialog) == [] and unreached(dialog) == [], name
        assert not isinstance(dialog, QDialog) or dialog.windowTitle(), name
        places = [(row_of(w, dialog), w.mapTo(dialog, QPoint()).x()) for w in chain(dialog)]
        start = places.index(min(places)) if places else 0
        turned = places[start:] + places[:start]
        assert turned == sorted(turned), (name, [(w.accessibleName(), row_of(w, dialog)) for w in chain(dialog)])
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)
        assert not dialog.isVisible(), name


def test_every_form_begins_in_a_field_and_enter_on_cancel_starts_nothing(whole, qtbot) -> None:
    for name, dialog in every_dialog(whole, qtbot):
        if not isinstance(dialog, FormDialog) or dialog.cancel_button.isDefault():
            continue
        started = list[str]()
        dialog.problem, dialog.written, dialog.act = str, list, partial(started.append, name)
        page = dialog.form.parentWidget()
        fields = [widget for widget in chain(dialog) if page.isAncestorOf(widget)]
        proposed = [each for each in dialog.findChildren(QPushButton) if each.isDefault()]
        assert dialog.focusWidget() in (fields or proposed), name
        dialog.cancel_button.setFocus()
        qtbot.keyClick(dialog.cancel_button, Qt.Key.Key_Return)
        assert not dialog.isVisible() and started == [], name


def row_of(widget: QWidget, dialog: QWidget) -> int:
    """About which line of a dialog it stands in."""
    return widget.mapTo(dialog, QPoint(0, min(widget.height() // 2, 14))).y() // 12
