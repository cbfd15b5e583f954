"""The drawing itself: an item view whose items are where the layout has them; it pans, zooms and goes along edges."""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    Qt,
    Signal,
    Slot,
)  # fmt: skip
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QRegion, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractItemView, QApplication, QListView, QWidget

from ...theme import px, sizes, tokens
from ...theme.design_tokens import BODY
from ...widgets.table import TypeAhead
from .layout import HEAD
from .model import GraphModel
from .painter import GraphPainter, Lines, rectangle

LEAST, MOST, READABLE, STEP = 0.03, 3.0, 0.6, 1.2
"""Scales, as parts of the size of text: the least and the most, the least that is begun with, and a step of zooming."""
MARGIN = 12
"""Around everything, in device-independent pixels."""
Action = QAbstractItemView.CursorAction
Index = QModelIndex | QPersistentModelIndex


def text_scale() -> float:
    """How much larger than at first text is, and with it the drawing."""
    return sizes().body / BODY


class GraphView(QListView):
    """Boxes of the model.

    Attributes:
        scale: Device-independent pixels a unit of the layout, for text of the first size.

    Signals:
        picked: int, a box was clicked or reached by a key.
        turned: int, a block is to be folded or unfolded.
        opened: A layer was double-clicked, or Return was pressed on it.
    """

    picked = Signal(int)
    turned = Signal(int)
    opened = Signal()

    def __init__(self, model: GraphModel, parent: QWidget | None = None) -> None:
        """Show the model."""
        super().__init__(parent)
        self.rows = model
        self.scale = 1.0
        self._drawn = GraphPainter(model)
        self._lines: Lines | None = None
        self._press: QPoint | None = None
        self._grabbed: QPoint | None = None
        self._following = False
        # What is done when the view gets another size, None once the user has chosen what is seen.
        self._resized: Callable[[], None] | None = self.begin
        self._ahead = TypeAhead()
        self.setModel(model)
        self.setAccessibleName(self.tr("Graph of the layers; arrow keys follow the edges, Return folds and unfolds"))
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMinimumSize(200, 90)
        model.modelReset.connect(self._restart)
        model.dataChanged.connect(lambda *_: self.viewport().update())

    # What the panel asks.

    @property
    def current(self) -> int:
        """The selected box, -1 for none."""
        return self.currentIndex().row()

    def show_current(self, box: int) -> None:
        """Select a box and bring it into view, without telling that it was picked; -1 for none."""
        self._following = True
        if box < 0:
            self.selectionModel().clear()
        elif box != self.current:
            index = self.rows.index(box, 0)
            self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
            self.scrollTo(index)
        self._following = False

    def show_chosen(self, chosen: frozenset[int]) -> None:
        """Frame further boxes with something that is selected."""
        if chosen != self._drawn.chosen:
            self._drawn.chosen = chosen
            self.viewport().update()

    def show_found(self, found: frozenset[int]) -> None:
        """Frame the boxes that a search has found."""
        if found != self._drawn.found:
            self._drawn.found = found
            self.viewport().update()

    @Slot()
    def fit(self) -> None:
        """Show all of the drawing."""
        self._zoom_to(self._whole())
        self._resized = self.fit

    @Slot()
    def zoom_in(self) -> None:
        """A step larger."""
        self._zoom(STEP)

    @Slot()
    def zoom_out(self) -> None:
        """A step smaller."""
        self._zoom(1 / STEP)

    def whole(self) -> "GraphView":
        """A copy that shows all of the drawing, for a picture."""
        made = GraphView(self.rows)
        made.ensurePolished()
        for set_policy in (made.setHorizontalScrollBarPolicy, made.setVerticalScrollBarPolicy):
            set_policy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        width, height = self._size()
        made.resize(int(width * text_scale()) + 2 * MARGIN, int(height * text_scale()) + 2 * MARGIN)
        made.scale = 1.0
        made.updateGeometries()
        return made

    def corner_of(self, box: int) -> QPointF:
        """Where a box's upper left corner is seen, so that it can be kept there (`hold`)."""
        return QPointF(self._seen(box).topLeft())

    def hold(self, box: int, where: QPointF) -> None:
        """Scroll so that a box is seen at a place again."""
        self._scroll_by(QPointF(self._seen(box).topLeft()) - where)

    def _scroll_by(self, way: QPointF) -> None:
        for bar, step in ((self.horizontalScrollBar(), way.x()), (self.verticalScrollBar(), way.y())):
            bar.setValue(round(bar.value() + step))

    # Scale and place.

    def _size(self) -> tuple[float, float]:
        return (1.0, 1.0) if self.rows.layout is None else self.rows.layout.size

    def _pixels(self) -> float:
        """Device-independent pixels a unit."""
        return self.scale * text_scale()

    def _whole(self) -> float:
        """The scale at which all is seen."""
        (width, height), unit = self._size(), text_scale()
        room = self.viewport().width() - 2 * MARGIN, self.viewport().height() - 2 * MARGIN
        return min(room[0] / width / unit, room[1] / height / unit, 1.25)

    def _corner(self) -> QPointF:
        """Where the layout's corner is seen; what is smaller than the view is in its middle."""
        (width, height), scale = self._size(), self._pixels()
        room = self.viewport().width() - width * scale, self.viewport().height() - height * scale
        x = max(room[0] / 2, MARGIN) - self.horizontalScrollBar().value()
        y = (room[1] / 2 if room[1] > 2 * MARGIN else MARGIN) - self.verticalScrollBar().value()
        return QPointF(x, y)

    def _unit(self, place: QPointF) -> QPointF:
        """A place of the viewport in units of the layout."""
        return (place - self._corner()) / self._pixels()

    def _seen(self, box: int) -> QRectF:
        """Where a box is in the viewport."""
        assert self.rows.layout is not None
        area, scale, corner = rectangle(self.rows.layout, box), self._pixels(), self._corner()
        return QRectF(area.topLeft() * scale + corner, area.size() * scale)

    def _zoom(self, factor: float, at: QPointF | None = None) -> None:
        box = self.current
        middle = QPointF(self.viewport().rect().center())
        if at is None and box >= 0 and self.viewport().rect().intersects(self.visualRect(self.currentIndex())):
            middle = QPointF(self.visualRect(self.currentIndex()).center())
        self._zoom_to(self.scale * factor, at or middle)

    def _zoom_to(self, scale: float, at: QPointF | None = None) -> None:
        """Another scale; what is seen at a place stays there."""
        place = at or QPointF(self.viewport().rect().center())
        unit = self._unit(place)
        # A model so large that it is seen whole below the least scale may be shown so.
        self.scale = min(max(scale, min(LEAST, self._whole())), MOST)
        self._resized = None
        self.updateGeometries()
        self._scroll_by(unit * self._pixels() + self._corner() - place)
        self.viewport().update()

    def begin(self) -> None:
        """The first look at a model: all of it where that can be read, else its beginning."""
        width = (self.viewport().width() - 2 * MARGIN) / self._size()[0] / text_scale()
        whole = self._whole()
        self._zoom_to(whole if whole >= READABLE else max(READABLE, min(width, 1.0)))
        self.verticalScrollBar().setValue(0)
        self._resized = self.begin

    @Slot()
    def _restart(self) -> None:
        """Other boxes."""
        self._drawn.hovered = self._drawn.current = -1
        self._drawn.chosen = self._drawn.found = frozenset()
        boxes, layout = self.rows.boxes, self.rows.layout
        self._lines = None if boxes is None or layout is None else Lines(boxes, layout)
        self.updateGeometries()
        self.viewport().update()

    # What Qt asks of a view.

    def visualRect(self, index: Index) -> QRect:
        """Where a box is; of an unfolded block its head."""
        if not index.isValid() or self.rows.layout is None or self.rows.boxes is None:
            return QRect()
        area = self._seen(index.row())
        if self.rows.boxes.open(index.row()):
            area.setHeight(HEAD * self._pixels())
        return area.toAlignedRect()

    def indexAt(self, point: QPoint) -> QModelIndex:
        """The innermost box at a point."""
        if self.rows.layout is None:
            return QModelIndex()
        unit, places = self._unit(QPointF(point)), self.rows.layout.places
        hit = (places[:, 0] <= unit.x()) & (unit.x() <= places[:, 0] + places[:, 2])
        hit &= (places[:, 1] <= unit.y()) & (unit.y() <= places[:, 1] + places[:, 3])
        # An open block comes before what is in it: the last one is the innermost.
        found = np.flatnonzero(hit)
        return self.rows.index(int(found[-1]), 0) if len(found) else QModelIndex()

    def scrollTo(
        self, index: Index, hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible
    ) -> None:
        """Bring a box into view, into its middle where it was out of sight."""
        area, room = self.visualRect(index), self.viewport().rect()
        if not index.isValid() or (room.contains(area) and hint == QAbstractItemView.ScrollHint.EnsureVisible):
            return
        for bar, low, length, size in (
            (self.horizontalScrollBar(), area.left(), area.width(), room.width()),
            (self.verticalScrollBar(), area.top(), area.height(), room.height()),
        ):
            if low < 0 or low + length > size:
                self._resized = None
                bar.setValue(bar.value() + round(low + min(length, size) / 2 - size / 2))

    def horizontalOffset(self) -> int:
        """How far it is scrolled to the right."""
        return self.horizontalScrollBar().value()

    def verticalOffset(self) -> int:
        """How far it is scrolled down."""
        return self.verticalScrollBar().value()

    def isIndexHidden(self, index: Index) -> bool:
        """None is."""
        return False

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        """Select the box at a rectangle's corner: there is no band."""
        index = self.indexAt(rect.topLeft())
        if index.isValid():
            self.selectionModel().select(index, command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        """All of it: lines of a selected box are lit, too."""
        return QRegion(self.viewport().rect())

    def doItemsLayout(self) -> None:
        """Items are where the layout has them."""
        self.updateGeometries()

    def updateGeometries(self) -> None:
        """How far can be scrolled."""
        # Qt asks while the base class is made, before there are rows.
        if not hasattr(self, "rows"):
            return
        (width, height), scale = self._size(), self._pixels()
        for bar, length, room in (
            (self.horizontalScrollBar(), width, self.viewport().width()),
            (self.verticalScrollBar(), height, self.viewport().height()),
        ):
            bar.setRange(0, max(0, round(length * scale + 2 * MARGIN - room)))
            bar.setPageStep(room)
            bar.setSingleStep(px(24))

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Lines are everywhere: all is painted again."""
        self.viewport().update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """What was seen whole stays so."""
        super().resizeEvent(event)
        self.updateGeometries()
        if self._resized is not None and self.rows.layout is not None:
            self._resized()

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size makes all larger."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self.updateGeometries()

    def paintEvent(self, event: QPaintEvent) -> None:
        """What is seen."""
        painter = QPainter(self.viewport())
        look = tokens()
        painter.fillRect(self.viewport().rect(), look.panel)
        if self._lines is None:
            return
        self._drawn.current = self.current
        painter.translate(self._corner())
        painter.scale(self._pixels(), self._pixels())
        room = QRectF(self._unit(QPointF(0, 0)), self._unit(QPointF(self.viewport().width(), self.viewport().height())))
        self._drawn.paint(painter, self._lines, room, self._pixels(), look, self.font())

    # Keys.

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """A key or a click reached another box."""
        super().currentChanged(current, previous)
        self.viewport().update()
        if current.isValid() and not self._following:
            self.picked.emit(current.row())

    def moveCursor(self, action: Action, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        """Down and Up follow the edges, Left and Right go to the neighbours, Home and End to the first and last box."""
        boxes, layout, current = self.rows.boxes, self.rows.layout, self.current
        if boxes is None or layout is None or not len(boxes):
            return QModelIndex()
        places, tops = layout.places, layout.places[:, 1]
        if current < 0 or action == Action.MoveHome:
            target = 0
        elif action == Action.MoveEnd:
            target = len(boxes) - 1
        elif action in (Action.MoveLeft, Action.MoveRight):
            # The nearest box at the left or right that is as high.
            side = 1 if action == Action.MoveRight else -1
            middle = places[:, 0] + places[:, 2] / 2
            level = (tops < tops[current] + places[current, 3]) & (tops + places[:, 3] > tops[current])
            level &= (middle - middle[current]) * side > 1
            # An open block is around its boxes, not next to them.
            found = [n for n in np.flatnonzero(level).tolist() if not boxes.open(n)]
            target = min(found, key=lambda n: abs(middle[n] - middle[current]), default=current)
        elif action in (Action.MovePageDown, Action.MovePageUp):
            page = self.viewport().height() / self._pixels() * (1 if action == Action.MovePageDown else -1)
            away = np.hypot(tops - tops[current] - page, (places[:, 0] - places[current, 0]) / 4)
            target = int(np.argmin(away))
        else:
            # Along the shortest edge; into an unfolded block, and out of it.
            step = 1 if action in (Action.MoveDown, Action.MoveNext) else -1
            ways = boxes.neighbours[int(step > 0)][current]
            ahead = [other for other in ways if (tops[other] - tops[current]) * step > 0]
            if ahead:
                target = min(ahead, key=lambda other: abs(tops[other] - tops[current]))
            elif boxes.open(current) or not ways:
                target = min(max(current + step, 0), len(boxes) - 1)
            else:
                target = current
        return self.rows.index(target, 0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Return and Space fold and unfold, plus and minus zoom, letters lead to a layer."""
        boxes, key = self.rows.boxes, event.key()
        plain = not event.modifiers() & ~(Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier)
        if plain and key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_in()
        elif plain and key == Qt.Key.Key_Minus:
            self.zoom_out()
        elif plain and key == Qt.Key.Key_Asterisk:
            self.fit()
        elif plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and boxes and self.current >= 0:
            self._turn(self.current)
        else:
            super().keyPressEvent(event)

    def _turn(self, box: int) -> None:
        """Fold or unfold a block; of a layer type how many it keeps."""
        assert self.rows.boxes is not None
        if self.rows.boxes.block[box] >= 0:
            self.turned.emit(box)
        elif not self.rows.boxes.join(box):
            self.opened.emit()

    def keyboardSearch(self, search: str) -> None:
        """The next box with a part of its path that begins so."""
        boxes = self.rows.boxes
        paths = [] if boxes is None else ["" if boxes.join(n) else boxes.path(n) for n in range(len(boxes))]
        box = self._ahead.find(search, paths, self.current)
        if box >= 0:
            self.setCurrentIndex(self.rows.index(box, 0))

    # The mouse.

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click selects, a drag moves the drawing."""
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._press = self._grabbed = event.position().toPoint()
        if event.button() is Qt.MouseButton.RightButton:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag, or light what is under the mouse."""
        place = event.position().toPoint()
        if self._grabbed is None:
            self._hover(self.indexAt(place).row())
            return
        far = self._press is None or (place - self._press).manhattanLength() >= QApplication.startDragDistance()
        if far:
            self._press = self._resized = None
            self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
            moved, self._grabbed = self._grabbed - place, place
            self._scroll_by(QPointF(moved))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Where nothing was dragged, the box under the mouse is selected; at its arrow it is folded or unfolded."""
        press, self._press, self._grabbed = self._press, None, None
        self.viewport().unsetCursor()
        if press is None or event.button() is not Qt.MouseButton.LeftButton:
            return
        index = self.indexAt(press)
        if index.isValid():
            again = index.row() == self.current
            self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
            if again:
                self.picked.emit(index.row())
            boxes, corner = self.rows.boxes, self._seen(index.row()).topLeft()
            arrow = QRectF(corner, corner + QPointF(20, HEAD) * self._pixels())
            if boxes is not None and boxes.block[index.row()] >= 0 and arrow.contains(QPointF(press)):
                self.turned.emit(index.row())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """A block is folded or unfolded, a layer's number of outputs typed."""
        index = self.indexAt(event.position().toPoint())
        if event.button() is Qt.MouseButton.LeftButton and index.isValid():
            self._turn(index.row())

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The wheel scrolls; with Ctrl it zooms where the mouse is."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._zoom(STEP ** (event.angleDelta().y() / 120), event.position())
            event.accept()
        else:
            super().wheelEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        super().leaveEvent(event)
        self._hover(-1)

    def _hover(self, box: int) -> None:
        if box != self._drawn.hovered:
            self._drawn.hovered = box
            self.viewport().update()
