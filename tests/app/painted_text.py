"""What a window writes on the screen, read from its own painting: the words, where they are, and what is cut off.

Every visible widget paints itself on a device that draws nothing and notes each piece of text with its place and the
clip that held. So rows of views, plots and widgets that paint themselves are read as labels are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPaintDevice, QPaintEngine, QRegion, QTextItem
from PySide6.QtWidgets import (
    QAbstractScrollArea,
    QApplication,
    QHeaderView,
    QLineEdit,
    QTabBar,
    QToolTip,
    QWidget,
)

SLACK, ROUNDING = 2.0, 0.03
"""Device-independent pixels, and share of a text's width, that letters may reach over an edge: their boxes are wider
than what is inked, and widths are measured in whole pixels."""
EVERYTHING = QRectF(-1e6, -1e6, 2e6, 2e6)
ELLIPSIS = "\u2026"
_Metric = QPaintDevice.PaintDeviceMetric
_METRICS = {
    _Metric.PdmWidth: 4000, _Metric.PdmHeight: 4000, _Metric.PdmWidthMM: 1058, _Metric.PdmHeightMM: 1058,
    _Metric.PdmDpiX: 96, _Metric.PdmDpiY: 96, _Metric.PdmPhysicalDpiX: 96, _Metric.PdmPhysicalDpiY: 96,
    _Metric.PdmNumColors: 1 << 24, _Metric.PdmDepth: 32, _Metric.PdmDevicePixelRatio: 1,
    _Metric.PdmDevicePixelRatioScaled: 1 << 16,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of text on the screen.

    Attributes:
        widget: That painted it.
        text: As it was painted, perhaps elided.
        box: Around its letters, in the widget.
        clip: What the painter let through of it, in the widget, which may be smaller.
        colour: Of the pen.
    """

    widget: QWidget
    text: str
    box: QRectF
    clip: QRectF
    colour: QColor


class _Reader(QPaintEngine):
    """Draws nothing and notes text."""

    def __init__(self) -> None:
        super().__init__(QPaintEngine.PaintEngineFeature.AllFeatures)
        self.found: list[tuple[str, QRectF, QRectF, QColor]] = []

    def begin(self, pdev: QPaintDevice) -> bool:
        return True

    def end(self) -> bool:
        return True

    def type(self) -> QPaintEngine.Type:
        return QPaintEngine.Type.User

    def drawTextItem(self, p: QPointF, textItem: QTextItem) -> None:
        painter = self.painter()
        placed = painter.combinedTransform()
        high = textItem.ascent() + textItem.descent()
        box = placed.mapRect(QRectF(p.x(), p.y() - textItem.ascent(), textItem.width(), high))
        clip = placed.mapRect(painter.clipBoundingRect()) if painter.hasClipping() else QRectF()
        self.found.append((textItem.text(), box, clip, painter.pen().color()))

    def _nothing(self, *_what: object) -> None:
        """Only text is of interest."""

    updateState = drawPixmap = drawImage = drawPath = drawPolygon = drawRects = drawLines = _nothing  # pyright: ignore
    drawPoints = drawEllipse = drawTiledPixmap = _nothing  # pyright: ignore


class _Device(QPaintDevice):
    """What widgets are rendered on."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = _Reader()

    def paintEngine(self) -> QPaintEngine:
        return self.reader

    def metric(self, metric: QPaintDevice.PaintDeviceMetric) -> int:
        return _METRICS.get(metric, 0)


def written(root: QWidget) -> Iterator[Written]:
    """All text of a window that is shown."""
    for widget in (root, *root.findChildren(QWidget)):
        if not widget.isVisible() or widget.window() is not root.window() or widget.visibleRegion().isEmpty():
            continue
        device = _Device()
        QWidget.render(widget, device, QPoint(), QRegion(), QWidget.RenderFlag(0))  # a graphics view has another one
        found = [
            Written(widget, text, box, clip if clip.isValid() else EVERYTHING, colour)
            for text, box, clip, colour in device.reader.found
            if text.strip()
        ]
        yield from _joined(found)


def _joined(found: list[Written]) -> Iterator[Written]:
    """Text that is painted at one place in parts, a cell each, is seen as far as all parts let it through."""
    clips: dict[tuple[str, float, float], QRectF] = {}
    for one in found:
        key = (one.text, one.box.x(), one.box.y())
        clips[key] = clips[key] | one.clip if key in clips else one.clip
    for one in found:
        clip = clips.pop((one.text, one.box.x(), one.box.y()), None)
        if clip is not None:
            yield replace(one, clip=clip)


def cut(root: QWidget) -> list[str]:
    """What of a window's text is cut off, or elided without a tooltip; a sentence each."""
    found = [words for one in written(root) if (words := _fault(one))]
    return list(dict.fromkeys(found))


def _fault(one: Written) -> str:
    if isinstance(one.widget, QLineEdit) and one.widget.text():
        return ""  # what is typed scrolls
    where = f"{one.text!r} in {_path(one.widget)}"
    missing = _missing(one)
    if missing:
        return f"{where}: {missing}"
    if ELLIPSIS in one.text and not _own_words(one) and not _tip(one):
        return f"{where}: elided without a tooltip"
    return ""


def _missing(one: Written) -> str:
    """How much of the text cannot be seen, "" for nothing that counts."""
    across, down = _scrolls(one.widget)
    seen, box = QRectF(one.clip), one.box
    widget, place = one.widget, QPointF()
    while True:
        area = QRectF(widget.rect()).translated(-place)
        if not across:
            seen.setLeft(max(seen.left(), area.left()))
            seen.setRight(min(seen.right(), area.right()))
        if not down:
            seen.setTop(max(seen.top(), area.top()))
            seen.setBottom(min(seen.bottom(), area.bottom()))
        parent = widget.parentWidget()
        if parent is None or widget.isWindow():
            break
        place += QPointF(widget.pos())
        widget = parent
        more_across, more_down = _scrolls(widget)
        across, down = across or more_across, down or more_down
    slack = SLACK + ROUNDING * box.width()
    if not across and (box.left() < seen.left() - slack or box.right() > seen.right() + slack):
        return f"{box.left():.0f} to {box.right():.0f} across, seen {seen.left():.0f} to {seen.right():.0f}"
    before = one.clip.left() > SLACK and box.left() < one.clip.left() - slack
    after = one.clip.right() < one.widget.width() - SLACK and box.right() > one.clip.right() + slack
    if (before or after) and not isinstance(one.widget, QTabBar):
        return f"{box.left():.0f} to {box.right():.0f} in a cell of {one.clip.left():.0f} to {one.clip.right():.0f}"
    over = box.height() / 4  # room above capitals and below the line
    if not down and (box.top() < seen.top() - over or box.bottom() > seen.bottom() + over):
        return f"{box.top():.0f} to {box.bottom():.0f} down, seen {seen.top():.0f} to {seen.bottom():.0f}"
    return ""


def _scrolls(widget: QWidget) -> tuple[bool, bool]:
    """Whether what lies in a viewport can be scrolled to, across and down; tabs scroll by their arrows."""
    if isinstance(widget, QTabBar):
        return widget.usesScrollButtons(), False
    area = widget.parentWidget()
    if isinstance(area, QHeaderView) and isinstance(view := area.parentWidget(), QAbstractScrollArea):
        return _scrolls(view.viewport())  # a header goes along with its view
    if not isinstance(area, QAbstractScrollArea) or area.viewport() is not widget:
        return False, False
    off = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
    across, down = area.horizontalScrollBar(), area.verticalScrollBar()
    return (
        across.maximum() > across.minimum() and area.horizontalScrollBarPolicy() is not off,
        down.maximum() > down.minimum() and area.verticalScrollBarPolicy() is not off,
    )


def _own_words(one: Written) -> bool:
    """Whether the dots are written so ("Open model...") and nothing was taken away."""
    text = getattr(one.widget, "text", None)
    whole = text() if callable(text) else ""
    return isinstance(whole, str) and one.text in whole.replace("&", "")


def _tip(one: Written) -> str:
    """What a mouse at rest on the text tells."""
    marker, middle = "\u0000nothing", (one.box & one.clip & QRectF(one.widget.rect())).center().toPoint()
    there = one.widget.mapToGlobal(middle)
    QToolTip.showText(there, marker, one.widget)
    QApplication.sendEvent(one.widget, QHelpEvent(QEvent.Type.ToolTip, middle, there))
    told = QToolTip.text()
    return "" if told == marker else told


def _path(widget: QWidget) -> str:
    """Which widget it is, and what it lies in."""
    parts, parent = [], widget
    while parent is not None and len(parts) < 4:
        parts.append(type(parent).__name__)
        parent = parent.parentWidget()
    return " < ".join(parts)
