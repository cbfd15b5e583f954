"""The samples that excite a structure most, or that a head looks at, as a list: an item model, painted with responses.

An item is enlarged under the mouse, and by the space bar; Escape closes that.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    Slot,
)
from PySide6.QtGui import QColor, QFontMetrics, QHideEvent, QImage, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from secateur.engine.inspection.response_data import LayerResponses, MapForm

from ...text.format import three_digits
from ...theme import ink, px, tokens
from ...widgets.painting import paint_focus

Index = QModelIndex | QPersistentModelIndex
HEAT = (232, 30, 140)
"""Red, green and blue of a full response: no colour that scores or marks have."""
COVERS = 190
"""How much of a picture a full response covers, of 255."""
ACROSS, GAP = 3, 4
"""Pictures in a row, and the room between them in device-independent pixels."""
LINE = 22
"""Height of a text in device-independent pixels."""
LARGE = 224
"""Side of an enlarged picture in device-independent pixels."""
WIDE = 420
"""Width of an enlarged text in device-independent pixels."""


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample as it is painted.

    Attributes:
        picture: The image, None where it is none.
        heat: Colours over it where the structure responds; None where that is not known place by place.
        words: Tokens of a text, or one for the numbers of a row.
        weights: [words] how strong the response is at each token, 0 to 1.
        peak: Number of the token with the largest response, -1 for none.
        label: Its class, "" unknown.
        value: Its largest response, NaN where it is not about that.
    """

    picture: QImage | None
    heat: QImage | None
    words: tuple[str, ...]
    weights: NDArray[np.float64]
    peak: int
    label: str
    value: float


def heat_image(weights: NDArray[np.uint8]) -> QImage:
    """[h, w] weights as a transparent image."""
    pixels = np.zeros((*weights.shape, 4), np.uint8)
    pixels[..., :3] = HEAT
    pixels[..., 3] = weights.astype(np.uint16) * COVERS // 255
    tall, wide = weights.shape
    # A copy, because the bytes are gone by the time that it is painted.
    return QImage(pixels.tobytes(), wide, tall, 4 * wide, QImage.Format.Format_RGBA8888).copy()


class ResponseSamples(QAbstractListModel):
    """The samples of one structure."""

    def __init__(self, parent: QObject | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.shown: list[ShownSample] = []
        self._pictures: tuple[LayerResponses | None, dict[int, QImage]] = (None, {})

    def show_structure(self, found: LayerResponses | None, row: int) -> None:
        """Show the samples of a row of the responses; None shows nothing."""
        shown = [] if found is None or row < 0 else self._samples(found, row)
        self.beginResetModel()
        self.shown = shown
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many samples."""
        return 0 if parent.isValid() else len(self.shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The label, and all of it in words."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.shown[index.row()].label
        return self.words(index.row()) if role == Qt.ItemDataRole.AccessibleTextRole else None

    def words(self, row: int) -> str:
        """A sample in words: which, its text or class, how strong its response is."""
        one = self.shown[row]
        parts = [self.tr("Sample {0} of {1}").format(row + 1, len(self.shown))]
        parts += [one.label] if one.label else []
        parts += ["".join(one.words)] if one.words else []
        if 0 <= one.peak < len(one.words):
            parts.append(self.tr("strongest at {0}").format(one.words[one.peak].strip()))
        if one.value == one.value:
            parts.append(self.tr("response {0}").format(three_digits(one.value)))
        return ", ".join(parts)

    def _samples(self, found: LayerResponses, row: int) -> list[ShownSample]:
        attention = found.attention
        if attention is not None:
            form, numbers, values = attention.form, attention.samples, np.full(len(attention.samples), np.nan)
        else:
            form, numbers, values = found.form, found.top[row], found.values[row]
        made: list[ShownSample] = []
        for rank, number in enumerate(int(n) for n in numbers):
            if number < 0:
                continue
            view = found.samples[number]
            heat, words, weights, peak = None, view.tokens or ((view.words,) if view.words else ()), np.zeros(0), -1
            picture = self._picture(found, number)
            if attention is not None:
                heat = heat_image(attention.maps[row, rank])
            elif form is MapForm.IMAGE and found.maps.shape[2]:
                heat = heat_image(found.maps[row, rank])
            elif form is MapForm.TOKENS:
                start = int(found.starts[row, rank])
                weights = found.maps[row, rank, 0] / 255
                words, peak = view.tokens[start : start + len(weights)], int(weights.argmax())
            made.append(ShownSample(picture, heat, words, weights, peak, view.label, float(values[rank])))
        return made

    def _picture(self, found: LayerResponses, number: int) -> QImage | None:
        """A sample's image, read once."""
        if self._pictures[0] is not found:
            self._pictures = (found, {})
        known, data = self._pictures[1], found.samples[number].picture
        if data and number not in known:
            known[number] = QImage.fromData(data)
        return known.get(number)


def paint_picture(painter: QPainter, one: ShownSample, area: QRectF, heated: bool = True) -> None:
    """Draw a sample's image, and where the structure responds; attention between tokens has no image below."""
    if one.picture is not None:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, one.picture.width() > area.width() / 2)
        size = one.picture.size().toSizeF().scaled(area.size(), Qt.AspectRatioMode.KeepAspectRatio)
        area = QRectF(area.center().x() - size.width() / 2, area.center().y() - size.height() / 2, *size.toTuple())  # pyright: ignore
        painter.drawImage(area, one.picture)
    if heated and one.heat is not None:
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, one.picture is not None)
        painter.drawImage(area, one.heat)


def paint_tokens(painter: QPainter, one: ShownSample, area: QRect, wraps: bool = False) -> int:
    """Draw tokens with their responses behind them; on one line the strongest is in the middle. Returns the height."""
    measure, look = painter.fontMetrics(), tokens()
    tall = measure.height() + 4
    shown = [word.replace("\n", "\u23ce") or " " for word in one.words]
    widths = [measure.horizontalAdvance(word) + (0 if len(one.weights) else 1) for word in shown]
    x, y = area.left(), area.top()
    if not wraps and one.peak >= 0 and sum(widths) > area.width():
        # The line begins so far left that the strongest token is in sight.
        before = sum(widths[: one.peak])
        x = area.left() - max(before + widths[one.peak] // 2 - area.width() * 2 // 3, 0)
    for number, (word, wide) in enumerate(zip(shown, widths, strict=True)):
        if wraps and x + wide > area.right() and x > area.left():
            x, y = area.left(), y + tall
        where = QRect(QPoint(x, y), QSize(wide, tall))
        weight = float(one.weights[number]) if number < len(one.weights) else 0.0
        ground = QColor(*HEAT, round(COVERS * weight))
        painter.fillRect(where, ground)
        painter.setPen(QColor(ink(QColor(*HEAT).name()) if weight > 0.75 else look.text))
        painter.drawText(where, Qt.AlignmentFlag.AlignCenter, word)
        x += wide
    return y + tall - area.top()


class _SampleDelegate(QStyledItemDelegate):
    """Paints a sample: its image with its class below, or its text on a line."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw it."""
        view: Any = option.widget  # type: ignore[attr-defined]
        one = view.samples.shown[index.row()]
        edge = GAP // 2
        area: QRect = option.rect.adjusted(edge, edge, -edge, -edge)  # type: ignore[attr-defined]
        measure: QFontMetrics = option.fontMetrics  # type: ignore[attr-defined]
        painter.save()
        painter.setClipRect(area)
        if one.picture is None and one.heat is None:
            paint_tokens(painter, one, area.adjusted(2, (area.height() - measure.height() - 4) // 2, -2, 0))
        else:
            below = measure.height() if one.label else 0
            paint_picture(painter, one, QRectF(area.adjusted(0, 0, 0, -below)))
            words = measure.elidedText(one.label, Qt.TextElideMode.ElideRight, area.width())
            painter.setPen(QColor(tokens().muted))
            painter.drawText(area, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignHCenter, words)
        if option.state & QStyle.StateFlag.State_HasFocus:  # type: ignore[attr-defined]
            painter.setPen(QColor(tokens().accent))
            painter.drawRect(area.adjusted(0, 0, -1, -1))
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """As large as the view gives it."""
        return option.widget.tile()  # type: ignore[attr-defined]


class ResponseView(QListView):
    """Shows samples in rows of three, or texts below each other; as tall as it needs.

    Attributes:
        samples: What it shows.
        enlarged: The one that is enlarged, hidden while there is none.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.samples = ResponseSamples(self)
        self.enlarged = EnlargedSample(self)
        self.setModel(self.samples)
        self.setItemDelegate(_SampleDelegate(self))
        self.setProperty("role", "small")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.entered.connect(self._enlarge)
        self.samples.modelReset.connect(self._fit)

    def tile(self) -> QSize:
        """Size of an item."""
        first = self.samples.shown[0] if self.samples.shown else None
        if first is not None and first.picture is None and first.heat is None:
            return QSize(self.viewport().width(), px(LINE))
        side = max((self.viewport().width() - 2) // ACROSS - GAP, 24)
        below = self.fontMetrics().height() if any(one.label for one in self.samples.shown) else 0
        return QSize(side + GAP, side + GAP + below)

    @Slot()
    def _fit(self) -> None:
        """Take the height that the samples need."""
        self.enlarged.hide()
        tile, count = self.tile(), len(self.samples.shown)
        self.setGridSize(tile)
        across = max(self.viewport().width() // max(tile.width(), 1), 1)
        self.setFixedHeight(-(-count // across) * tile.height() + 2 if count else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Three in a row whatever the width."""
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._fit()

    @Slot(QModelIndex)
    def _enlarge(self, index: QModelIndex) -> None:
        if index.isValid():
            self.enlarged.show_sample(self.samples, index.row(), self, self.visualRect(index))

    def viewportEvent(self, event: QEvent) -> bool:
        """What is enlarged under the mouse goes with it."""
        if event.type() is QEvent.Type.Leave:
            self.enlarged.hide()
        return super().viewportEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nothing stays enlarged."""
        self.enlarged.hide()
        super().hideEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The space bar enlarges and closes, Escape closes; what is enlarged follows the arrow keys."""
        shown = self.enlarged.isVisible()
        if event.key() == Qt.Key.Key_Escape and shown:
            return self.enlarged.hide()
        if event.key() == Qt.Key.Key_Space:
            return self.enlarged.hide() if shown else self._enlarge(self.currentIndex())
        super().keyPressEvent(event)
        if shown:
            self._enlarge(self.currentIndex())

    def focusInEvent(self, event: Any) -> None:
        """There is a current sample as soon as keys arrive."""
        super().focusInEvent(event)
        if not self.currentIndex().isValid() and self.samples.shown:
            self.setCurrentIndex(self.samples.index(0))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the samples, and the frame of the focus."""
        super().paintEvent(event)
        painter = QPainter(self.viewport())
        paint_focus(painter, self)


class EnlargedSample(QFrame):
    """A sample large, once as it is and once with the response; takes no focus."""

    def __init__(self, parent: QWidget) -> None:
        """Start hidden."""
        super().__init__(parent, Qt.WindowType.ToolTip)
        self.setProperty("role", "card")
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self._one: ShownSample | None = None
        self._words = ""

    def show_sample(self, samples: ResponseSamples, row: int, view: QWidget, item: QRect) -> None:
        """Show a sample next to its item, on the side of the view that has room."""
        self._one, self._words = samples.shown[row], samples.words(row)
        self.setAccessibleName(self._words)
        self.resize(self._size())
        screen = view.screen().availableGeometry()
        corner = view.mapToGlobal(item.topLeft())
        left = view.mapToGlobal(QPoint(0, 0)).x() - self.width() - px(GAP)
        x = left if left >= screen.left() else min(corner.x(), screen.right() - self.width())
        below = view.mapToGlobal(item.bottomLeft()).y() + px(GAP)
        y = corner.y() if left >= screen.left() else below
        self.move(x, max(screen.top(), min(y, screen.bottom() - self.height())))
        self.show()
        self.update()

    def _size(self) -> QSize:
        assert self._one is not None
        line = self.fontMetrics().height() + px(6)
        if self._one.picture is None and self._one.heat is None:
            image = QImage(1, 1, QImage.Format.Format_ARGB32)
            painter = QPainter(image)
            painter.setFont(self.font())
            tall = paint_tokens(painter, self._one, QRect(0, 0, px(WIDE), 1), wraps=True)
            painter.end()
            return QSize(px(WIDE) + 2 * px(10), tall + line + 2 * px(10))
        twice = 2 if self._one.picture is not None and self._one.heat is not None else 1
        return QSize(twice * px(LARGE) + (twice + 1) * px(10), px(LARGE) + line + 2 * px(10))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the sample and its words."""
        super().paintEvent(event)
        if (one := self._one) is None:
            return
        painter, edge, measure = QPainter(self), px(10), self.fontMetrics()
        line = measure.height()
        if one.picture is None and one.heat is None:
            paint_tokens(painter, one, QRect(edge, edge, px(WIDE), self.height()), wraps=True)
        else:
            areas = [QRectF(edge, edge, px(LARGE), px(LARGE))]
            if one.picture is not None and one.heat is not None:
                paint_picture(painter, one, areas[0], heated=False)
                areas.append(areas[0].translated(px(LARGE) + edge, 0))
            paint_picture(painter, one, areas[-1])
        words = self._words if one.picture is not None else ", ".join(filter(None, (one.label, self._value())))
        words = measure.elidedText(words, Qt.TextElideMode.ElideRight, self.width() - 2 * edge)
        painter.setPen(QColor(tokens().text))
        painter.drawText(QRect(edge, self.height() - edge - line, self.width() - 2 * edge, line), 0, words)

    def _value(self) -> str:
        assert self._one is not None
        value = self._one.value
        return self.tr("response {0}").format(three_digits(value)) if value == value else ""
