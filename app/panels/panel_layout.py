"""How panels are put together: parts side by side or below each other, pages one at a time, a page that scrolls."""

from typing import TypeVar

from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QLayout, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

Box = TypeVar("Box", bound=QBoxLayout)
Part = QWidget | QLayout | None | tuple[QWidget | QLayout, int]
"""A widget or a layout, perhaps with its stretch; None is empty room that takes the rest."""
Margins = tuple[int, int, int, int]
"""Left, top, right and bottom, in device-independent pixels."""


def row_of(
    *parts: Part, on: QWidget | None = None, margins: Margins | None = None, gap: int | None = None
) -> QHBoxLayout:
    """Parts from left to right; on a widget, or to be put into another layout."""
    return _fill(QHBoxLayout() if on is None else QHBoxLayout(on), parts, margins, gap)


def column_of(
    *parts: Part, on: QWidget | None = None, margins: Margins | None = None, gap: int | None = None
) -> QVBoxLayout:
    """Parts from top to bottom; on a widget, or to be put into another layout."""
    return _fill(QVBoxLayout() if on is None else QVBoxLayout(on), parts, margins, gap)


def _fill(box: Box, parts: tuple[Part, ...], margins: Margins | None, gap: int | None) -> Box:
    if margins is not None:
        box.setContentsMargins(*margins)
    if gap is not None:
        box.setSpacing(gap)
    for part in parts:
        if part is None:
            box.addStretch(1)
            continue
        what, stretch = part if isinstance(part, tuple) else (part, 0)
        if isinstance(what, QLayout):
            box.addLayout(what, stretch)
        else:
            box.addWidget(what, stretch)
    return box


def stack_of(on: QWidget, *pages: QWidget) -> QStackedLayout:
    """Pages that fill a widget, one at a time, the first at first."""
    found = QStackedLayout(on)
    for page in pages:
        found.addWidget(page)
    return found


def scroll_area(page: QWidget, name: str) -> QScrollArea:
    """A page in an area that scrolls, which is reached by keys and read out by its name."""
    page.setProperty("role", "page")
    area = QScrollArea()
    area.setProperty("role", "reached")
    area.setWidgetResizable(True)
    area.setAccessibleName(name)
    area.setWidget(page)
    return area
