"""Fields whose arrows are drawn and whose text is never clipped, and in which Escape is theirs, not the window's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QLocale, QPointF, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QValidator
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from secateur.engine.planning.protocol import Cost

from ..text.structures import cost_words
from ..theme import tokens
from .buttons import is_available
from .labels import Eliding, least
from .painting import chevron

if TYPE_CHECKING:
    Widget = QDoubleSpinBox
else:
    # At run time Qt's own class comes after it among the bases.
    Widget = object

HEIGHT = 28
"""Of buttons and combo boxes, and so of spin boxes in the same row; the style's own is a little more."""
AROUND = 42
"""Width of a combo box besides its words: padding and arrow."""
BESIDE = 36
"""The same of a spin box, with the place of the cursor."""


class ComboBox(Eliding, QComboBox):
    """A combo box as wide as its widest entry where there is room; else its tooltip shows the whole choice."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """`name` is what a screen reader says."""
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.setMinimumContentsLength(4)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Wide enough for the widest entry, its padding and the arrow."""
        return QSize(self._advance(self._widest()) + AROUND, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Room for a few letters."""
        return least(self.sizeHint(), self._widest(), self.fontMetrics())

    def _widest(self) -> str:
        return max((self.itemText(i) for i in range(self.count())), key=self._advance, default="")

    def _advance(self, text: str) -> int:
        return self.fontMetrics().horizontalAdvance(text)

    def words(self) -> str:
        """The choice."""
        return self.currentText()

    def shown(self) -> str:
        """The choice, shortened where it must be."""
        mode = Qt.TextElideMode.ElideMiddle
        # One pixel more: what rounding takes is no reason to shorten the text.
        room = self.width() - AROUND + 1
        return self.fontMetrics().elidedText(self.currentText(), mode, room)

    def showPopup(self) -> None:
        """Entries are whole in the list."""
        room, widest = self.screen().availableGeometry().width(), self._advance(self._widest()) + AROUND
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.view().setMinimumWidth(min(max(self.width(), widest), room))
        super().showPopup()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The field as the style paints it, with what fits of its choice, and the arrow."""
        option, painter = QStyleOptionComboBox(), QStylePainter(self)
        self.initStyleOption(option)
        option.currentText = self.shown()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
        colour = tokens().text if is_available(self) else tokens().muted
        chevron(QPainter(self), QPointF(self.width() - 14.5, self.height() / 2), "down", colour)

    def wheelEvent(self, event) -> None:  # noqa: ANN001
        """Turn only what has the focus: a wheel that scrolls past must change nothing."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class ElidedComboBox(ComboBox):
    """A combo box whose width does not depend on its entries."""

    def __init__(self, name: str, letters: int, least: int, parent: QWidget | None = None) -> None:
        """Take room for so many average letters, and for `least` of them where there is no more room."""
        super().__init__(name, parent)
        self._letters, self._least = letters, least

    def sizeHint(self) -> QSize:
        """As wide as its letters, whatever is chosen."""
        return QSize(self._width(self._letters), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """As wide as the least of them."""
        return QSize(self._width(self._least), super().sizeHint().height())

    def _width(self, letters: int) -> int:
        return letters * self.fontMetrics().averageCharWidth() + AROUND


class NumberField(Widget):
    """What spin boxes have in common: they read a comma and a point as the same sign, whatever the system's language.

    They print as all else in the window does: with a point, and without signs between thousands.
    """

    units: tuple[str, ...] = ()
    """Suffixes that it may have besides its first one: it is wide enough for each."""

    def prepare(self, name: str, suffix: str) -> None:
        """Take a name for a screen reader, and what is shown after the number."""
        self.setLocale(QLocale.c())
        self.setAccessibleName(name)
        self.setSuffix(suffix)
        self.setKeyboardTracking(False)
        # The style sheet's padding does not reach the inner line.
        self.lineEdit().setTextMargins(6, 0, 0, 0)
        # No focus by the wheel: scrolling past must change nothing.
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        """A comma is a point. A whole number has neither, and none is left out of what was typed: 0.5 is not 5."""
        number = text.removeprefix(self.prefix()).removesuffix(self.suffix())
        if isinstance(self, QSpinBox) and set(number) & {",", "."}:
            return QValidator.State.Intermediate, text, place
        return super().validate(text.replace(number, number.replace(",", ".")) if number else text, place)

    def fixup(self, text: str) -> str:
        """What is typed and is no number is taken back; Qt would take signs out of it."""
        return f"{self.prefix()}{self.textFromValue(self.value())}{self.suffix()}"

    def sizeHint(self) -> QSize:
        """Wide enough for its widest value."""
        numbers = [self.textFromValue(value) for value in (self.minimum(), self.maximum())]
        texts = [self.prefix() + number + unit for number in numbers for unit in (self.suffix(), *self.units)]
        texts.append(self.specialValueText())
        measure = self.fontMetrics()
        return QSize(max(map(measure.horizontalAdvance, texts)) + BESIDE, max(HEIGHT, measure.height() + 12))

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def event(self, event: QEvent) -> bool:
        """Escape takes back what was typed, before any shortcut gets it."""
        return _claims_escape(event) or super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape shows the value that counts; where it is shown already, it is not for the field."""
        typed = self.text()
        if event.key() == Qt.Key.Key_Escape:
            self.setValue(self.value())
        if self.text() == typed:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The field as the style paints it, and the arrows."""
        super().paintEvent(event)
        colour = tokens().text if is_available(self) and not self.isReadOnly() else tokens().muted
        painter, middle = QPainter(self), self.height() / 2
        chevron(painter, QPointF(self.width() - 11.5, middle - 4.0), "up", colour, 0.8)
        chevron(painter, QPointF(self.width() - 11.5, middle + 4.0), "down", colour, 0.8)


class SpinBox(NumberField, QSpinBox):
    """Whole numbers."""

    if TYPE_CHECKING:

        def value(self) -> int:
            """The number."""
            ...

    def __init__(self, name: str, low: int, high: int, suffix: str = "", parent: QWidget | None = None) -> None:
        """`name` is what a screen reader says; `suffix` is shown after the number."""
        super().__init__(parent)
        self.setRange(low, high)
        self.prepare(name, suffix)


class DoubleSpinBox(NumberField, QDoubleSpinBox):
    """Numbers with decimals."""

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        decimals: int,
        suffix: str = "",
        parent: QWidget | None = None,
        units: tuple[str, ...] = (),
    ) -> None:
        """`name` is what a screen reader says; `suffix` is shown after the number, one of `units` where it changes."""
        super().__init__(parent)
        self.units = units
        self.setDecimals(decimals)
        self.setRange(low, high)
        self.prepare(name, suffix)


class LineEdit(Eliding, QLineEdit):
    """A line of text; its tooltip shows what does not fit of the text, or of the hint while it is empty."""

    def __init__(self, name: str, text: str = "", hint: str = "", parent: QWidget | None = None) -> None:
        """`name` is what a screen reader says; `hint` is shown while it is empty."""
        super().__init__(text, parent, placeholderText=hint)
        self.setAccessibleName(name)

    def minimumSizeHint(self) -> QSize:
        """That of Qt: the text scrolls."""
        return QLineEdit.minimumSizeHint(self)

    def hidden(self) -> str:
        """The text, or the hint of an empty line, where it is longer than the line."""
        text = self.text() or self.placeholderText()
        room = self.width() - 2 * self.fontMetrics().averageCharWidth() - 10
        return text if self.fontMetrics().horizontalAdvance(text) > room else ""


class FilterLine(LineEdit):
    """A line to type what is looked for."""

    def __init__(self, name: str, hint: str = "", parent: QWidget | None = None) -> None:
        """`name` is what a screen reader says; `hint` is shown while it is empty."""
        super().__init__(name, hint=hint, parent=parent)
        self.setClearButtonEnabled(True)

    def event(self, event: QEvent) -> bool:
        """Escape empties it, before any shortcut gets it."""
        return _claims_escape(event) or super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape empties it."""
        if event.key() == Qt.Key.Key_Escape:
            self.clear()
        else:
            super().keyPressEvent(event)


def _claims_escape(event: QEvent) -> bool:
    """Whether a field was asked if Escape is its own, and said so."""
    claims = (
        event.type() is QEvent.Type.ShortcutOverride
        and isinstance(event, QKeyEvent)
        and event.key() == Qt.Key.Key_Escape
    )
    if claims:
        event.accept()
    return claims


COSTS = (Cost.MACS, Cost.PARAMETERS, Cost.SIZE, Cost.PEAK, Cost.LATENCY)
"""As people ask for them."""


class CostBox(ComboBox):
    """The costs as entries."""

    def __init__(self, name: str, costs: Sequence[Cost] = COSTS, parent: QWidget | None = None) -> None:
        """Offer some; `name` is what a screen reader says."""
        super().__init__(name, parent)
        for cost in costs:
            self.addItem(cost_words(cost), str(cost))

    @property
    def cost(self) -> Cost:
        """The chosen one."""
        return Cost(self.currentData())

    def choose(self, cost: Cost) -> None:
        """Choose one; the first where it is not offered."""
        self.setCurrentIndex(max(0, self.findData(str(cost))))
