"""Boxes to tick and to choose by, whose marks are drawn: the style's own are hardly seen on a dark window."""

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QRadioButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QWidget,
)

from ..theme import tokens
from .labels import Eliding

AROUND = 3
"""Between words and the focus frame around them, in device-independent pixels."""


class CheckBox(Eliding, QCheckBox):
    """A box to tick."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        """Take the words, which elide where room is scarce."""
        super().__init__(text, parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The words as the style paints them, and the box."""
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = self.shown()
        parts = QStyle.SubElement
        painter, box = _begin_mark(self, option, QStyle.ControlElement.CE_CheckBox, parts.SE_CheckBoxIndicator)
        painter.drawRoundedRect(box, 3, 3)
        if self.isChecked():
            painter.setPen(QPen(_mark_colour(self), 1.8, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            left, top, size = box.left(), box.top(), box.width()
            corners = [(0.24, 0.52), (0.43, 0.72), (0.77, 0.3)]
            painter.drawPolyline([QPointF(left + x * size, top + y * size) for x, y in corners])
        _paint_frame(self, painter, self.style().subElementRect(parts.SE_CheckBoxContents, option, self))


class RadioButton(Eliding, QRadioButton):
    """One of several."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        """Take the words, which elide where room is scarce."""
        super().__init__(text, parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The words as the style paints them, and the circle."""
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = self.shown()
        parts = QStyle.SubElement
        painter, box = _begin_mark(self, option, QStyle.ControlElement.CE_RadioButton, parts.SE_RadioButtonIndicator)
        painter.drawEllipse(box)
        if self.isChecked():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_mark_colour(self))
            painter.drawEllipse(box.center(), 3.0, 3.0)
        _paint_frame(self, painter, self.style().subElementRect(parts.SE_RadioButtonContents, option, self))


def _begin_mark(
    button: QAbstractButton, option: QStyleOptionButton, control: QStyle.ControlElement, indicator: QStyle.SubElement
) -> tuple[QPainter, QRectF]:
    """Paint the words as the style does; a painter with the colours of the mark's frame, and where the mark is."""
    stylist = QStylePainter(button)
    stylist.drawControl(control, option)
    stylist.end()
    # A square of whole pixels and a half in the middle of the indicator: its frame is sharp there.
    where = QRectF(button.style().subElementRect(indicator, option, button))
    size = min(where.width(), where.height(), 15.0) - 1
    left, top = where.center().x() - size / 2, where.center().y() - size / 2
    look, painter = tokens(), QPainter(button)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    filled = button.isChecked() and button.isEnabled()
    edge = look.accent if filled else look.muted if button.isEnabled() else look.edge
    if button.hasFocus():
        edge = look.text if filled else look.accent
    painter.setPen(QPen(QColor(edge), 1.2))
    painter.setBrush(QColor(look.accent if filled else look.panel))
    return painter, QRectF(int(left) + 0.5, int(top) + 0.5, size, size)


def _paint_frame(button: QAbstractButton, painter: QPainter, where: QRect) -> None:
    """Frame the words of a button that has the focus."""
    if button.hasFocus():
        width = min(where.width(), button.fontMetrics().horizontalAdvance(button.text())) + 2 * AROUND
        around = QRectF(where.left() - AROUND, 0, width, button.height())
        painter.setPen(QColor(tokens().accent))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(around.intersected(QRectF(button.rect())).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)


def _mark_colour(button: QAbstractButton) -> QColor:
    return QColor(tokens().on_accent if button.isEnabled() else tokens().muted)
