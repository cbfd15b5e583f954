"""Every text that the window and its dialogs paint can be read, and the focus seen, in every look."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QColor, QImage, QRegion
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QScrollArea, QTabBar, QWidget

from secateur.app.theme import Scheme, apply, contrast, ink, score_colours
from secateur.app.widgets.labels import set_role
from tests.app.demo_analysis import llama
from tests.app.painted_text import Written, written
from tests.app.stand_in import StandIn
from tests.app.test_reach import every_dialog, inner
from tests.app.whole import full, window_of

pytestmark = pytest.mark.end_to_end

LEAST = 4.5
"""Of WCAG 2.2, level AA, for text of any size."""


@pytest.fixture(params=[Scheme.LIGHT, Scheme.DARK, Scheme.CONTRAST])
def look(request, qapp) -> Iterator[Scheme]:
    yield request.param
    apply(qapp, Scheme.LIGHT)


def faint(root: QWidget) -> list[str]:
    """Texts of a window that stand out too little from what is behind most of their letters."""
    for _ in range(4):
        QApplication.processEvents()
    picture, found = root.grab().toImage(), []
    for one in written(root):
        ground = _ground(root, picture, one)
        if ground is not None and contrast(_over(one.colour, ground).name(), ground.name()) < LEAST:
            colours = f"{one.colour.name(QColor.NameFormat.HexArgb)} on {ground.name()}"
            found.append(f"{one.text!r} in {type(one.widget).__name__}: {colours}")
    return list(dict.fromkeys(found))


def _ground(root: QWidget, picture: QImage, one: Written) -> QColor | None:
    """The colour of most pixels around the letters, None where nothing of them is seen."""
    seen = QRegion(one.box.toAlignedRect()) & QRegion(one.clip.toAlignedRect()) & one.widget.visibleRegion()
    area = seen.boundingRect().translated(one.widget.mapTo(root, QPoint())) & QRect(QPoint(), root.size())
    if area.isEmpty():
        return None
    pixels = (picture.pixel(x, y) for y in range(area.top(), area.bottom() + 1, 2) for x in _columns(area))
    return QColor(Counter(pixels).most_common(1)[0][0])


def _columns(area: QRect) -> range:
    return range(area.left(), area.right() + 1, max(1, area.width() // 40))


def _over(colour: QColor, ground: QColor) -> QColor:
    """A colour that lets some of the ground through, as it is seen."""
    part = colour.alphaF()
    own, below = (np.array((one.redF(), one.greenF(), one.blueF())) for one in (colour, ground))
    red, green, blue = (part * own + (1 - part) * below).tolist()
    return QColor.fromRgbF(red, green, blue)


FRAME = 3.0
"""Of WCAG 2.2 between what has the focus and the same without it, in so many pixels as half its outline has."""
KINDS = 20
"""Of what Tab reaches that are met, at least."""
CORNERS = 24
"""Pixels of an outline that are blended, or that what is in front of them takes."""


def blind(root: QWidget, known: set[tuple[object, ...]]) -> list[str]:
    """What Tab reaches in a window, one of each kind, and looks too much alike with the focus and without it."""
    found = []
    for one in filter(_is_reached, root.findChildren(QWidget)):
        kind = (type(one), one.property("role"), isinstance(one, QAbstractButton) and one.isChecked())
        if kind in known:
            continue
        # What is out of sight comes into it by Tab, which scrolls; to set the focus does not.
        for area in (each for each in root.findChildren(QScrollArea) if each.isAncestorOf(one)):
            area.ensureWidgetVisible(one)
        one.clearFocus()
        before = _picture(one)
        one.setFocus(Qt.FocusReason.TabFocusReason)
        changed, size = _changed(before, _picture(one)), one.size().boundedTo(one.sizeHint())
        size = one.tabRect(one.currentIndex()).size() if isinstance(one, QTabBar) else size
        if one.hasFocus():
            known.add(kind)
            if changed < size.width() + size.height() - CORNERS:
                found.append(f"{type(one).__name__} {one.accessibleName()!r}: {changed} pixels of {size.toTuple()}")
    return found


def _is_reached(one: QWidget) -> bool:
    used = one.isVisible() and one.isEnabled() and one.focusPolicy() & Qt.FocusPolicy.TabFocus
    return bool(used) and not inner(one)


def _picture(one: QWidget) -> QImage:
    QApplication.processEvents()
    # Cut out of its window: what a widget does not paint itself is its window's ground there, and chance in its own.
    return one.window().grab(QRect(one.mapTo(one.window(), QPoint()), one.size())).toImage()


def _changed(one: QImage, other: QImage) -> int:
    """How many pixels differ by enough contrast."""
    places = ((x, y) for x in range(one.width()) for y in range(one.height()) if one.pixel(x, y) != other.pixel(x, y))
    return sum(contrast(one.pixelColor(x, y).name(), other.pixelColor(x, y).name()) >= FRAME for x, y in places)


@pytest.mark.parametrize("kind", [StandIn, full, lambda: full(llama(2, 64, 96, 8))], ids=["empty", "net", "heads"])
def test_every_text_of_the_window_can_be_read(qtbot, look, kind) -> None:
    with window_of(kind(), qtbot) as window:
        roles = {one: role for one in window.findChildren(QLabel) if (role := one.property("role"))}
        for one in roles:
            set_role(one, "good")
        apply(QApplication.instance(), look)  # type: ignore[arg-type]
        for one, role in roles.items():  # as new numbers bring them back
            set_role(one, role)
        found = faint(window)
        for tabs in window.area.tabs.values():
            for index in range(tabs.bar.count()):
                tabs.bar.setCurrentIndex(index)
                found += faint(tabs)
    assert not found, "\n".join(found)


def test_every_text_of_a_dialog_and_the_focus_anywhere_can_be_seen(qtbot, look) -> None:
    with window_of(full(), qtbot) as window:
        apply(QApplication.instance(), look)  # type: ignore[arg-type]
        window.activateWindow()
        known: set[tuple[object, ...]] = set()
        found = list[str]()
        for tabs in window.area.tabs.values():
            for index in range(tabs.bar.count()):
                tabs.bar.setCurrentIndex(index)
                found += blind(window, known)
        for name, dialog in every_dialog(window, qtbot):
            dialog.activateWindow()
            found += [f"{name}: {fault}" for fault in (*faint(dialog), *blind(dialog, known))]
    assert len(known) > KINDS and any(kind[0] is QTabBar for kind in known)
    assert not found, "\n".join(found)


def test_numbers_on_the_colours_of_scores_can_be_read() -> None:
    for red, green, blue in score_colours([n / 255 for n in range(256)]).tolist():
        ground = f"#{red:02x}{green:02x}{blue:02x}"
        assert contrast(ink(ground), ground) >= LEAST
