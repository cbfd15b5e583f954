"""All structures of a coupled set as small cells in their own order, coloured by score; a click selects one."""

import math

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from ..theme import Tokens, ink, score_colours, tokens
from .focus_frame import paint_focus
from .padlock import WIDTH, padlock
from .rubber_band import paint_band

LARGEST, LARGEST_IMAGE, SMALLEST = 22, 34, 3
"""Side of a cell with its gap, in device-independent pixels."""

PLAIN = 8
"""Cells smaller than this are plain squares without gaps or strokes."""

FRAME = 2.5
"""Of a score's colour around an image, in device-independent pixels."""

TALLEST = 176
"""Height of the whole map at most, in device-independent pixels, as long as its cells can be told apart."""


class ScoreMap(QWidget):
    """Cells.

    Attributes:
        current: The selected cell, -1 for none.

    Signals:
        picked: int, a cell was clicked or reached by the arrow keys.
        hovered: int, the cell under the mouse, -1 for none.
        banded: list of int, the cells that a rubber band touched.
        toggled: int, Space was pressed on the selected cell.
        resized: Its cells may have another size.
    """

    picked = Signal(int)
    hovered = Signal(int)
    banded = Signal(list)
    toggled = Signal(int)
    resized = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without cells."""
        super().__init__(parent)
        self.fractions: NDArray[np.float64] = np.zeros(0)
        self.states: list[str] = []
        self.current = -1
        self._images: list[QImage] = []
        self._press: QPointF | None = None
        self._end = QPointF()
        self._banding = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def sizeHint(self) -> QSize:
        """As tall as the cells need at the present width."""
        width = max(self.width(), 200)
        return QSize(200, self.heightForWidth(width))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width asks for another height."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()
        self.resized.emit()

    def hasHeightForWidth(self) -> bool:
        """Cells wrap."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Rows of the largest cells, up to a limit beyond which the cells get smaller, and no lower than those."""
        largest, smallest = (
            side * math.ceil(max(1, len(self.fractions)) / max(1, width // side))
            for side in (self._largest(), SMALLEST)
        )
        return max(min(TALLEST, largest), smallest)

    def show_cells(self, fractions: NDArray[np.float64], states: list[str], current: int) -> None:
        """Show cells: scores as 0..1 (NaN unknown) and "marked", "locked", "removed" or ""."""
        self.fractions, self.states, self.current = fractions, states, current
        self.updateGeometry()
        self.update()

    def show_images(self, images: NDArray[np.uint8] | None) -> None:
        """Show cells as images [n, height, width, 3] framed in their colours, or plain again."""
        self._images = [] if images is None else [_image(one) for one in images]
        self.updateGeometry()
        self.update()

    def pictured(self) -> bool:
        """Whether images are shown, and cells are large enough that they can be seen."""
        return bool(self._images) and self.grid()[1] >= PLAIN

    def _largest(self) -> int:
        return LARGEST_IMAGE if self._images else LARGEST

    def inside(self, area: QRectF) -> list[int]:
        """The cells that a rectangle touches; one drawn along a row has no height, and touches all the same."""
        grid, area = self.grid(), area.adjusted(-0.5, -0.5, 0.5, 0.5)
        return [n for n in range(len(self.fractions)) if self.cell(n, grid).intersects(area)]

    def grid(self) -> tuple[int, float]:
        """(columns, side): the largest cells that fit all of them."""
        count = max(1, len(self.fractions))
        side = float(self._largest())
        while side > SMALLEST and math.ceil(count / max(1, int(self.width() // side))) * side > self.height():
            side -= 0.5
        return max(1, int(self.width() // side)), side

    def cell(self, number: int, grid: tuple[int, float] | None = None) -> QRectF:
        """Where a cell is."""
        columns, side = self.grid() if grid is None else grid
        gap = 1.0 if side < 8 else 2.0
        return QRectF(number % columns * side, number // columns * side, side - gap, side - gap)

    def cell_at(self, x: float, y: float) -> int:
        """The cell at a place, -1 for none."""
        columns, side = self.grid()
        column, row = int(x // side), int(y // side)
        number = row * columns + column
        return number if 0 <= column < columns and 0 <= number < len(self.fractions) else -1

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw all cells."""
        painter, look, grid = QPainter(self), tokens(), self.grid()
        colours = score_colours(self.fractions)
        if grid[1] < PLAIN:
            self._paint_plain(painter, look, grid, colours)
        else:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            images = self._images if len(self._images) == len(self.states) else [None] * len(self.states)
            for number, state in enumerate(self.states):
                self._paint_cell(painter, look, self.cell(number, grid), state, colours[number], images[number])
        if 0 <= self.current < len(self.states):
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent if self.hasFocus() else look.text), 2))
            painter.drawRoundedRect(self.cell(self.current, grid), 2, 2)
        if self._banding and self._press is not None:
            paint_band(painter, QRectF(self._press, self._end).normalized())
        paint_focus(painter, self)

    def _paint_plain(
        self, painter: QPainter, look: Tokens, grid: tuple[int, float], colours: NDArray[np.uint8]
    ) -> None:
        """Thousands of small cells as one image, marked ones in the colour of marks."""
        columns, side = grid
        states = np.array(self.states)
        colours[states == "marked"] = _rgb(look.marked)
        colours[(states == "removed") | np.isnan(self.fractions)] = _rgb(look.line)
        rows = math.ceil(len(colours) / columns)
        pixels = np.tile(np.array(_rgb(look.panel), np.uint8), (rows * columns, 1))
        pixels[: len(colours)] = colours
        image = QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        painter.drawImage(QRectF(0, 0, columns * side, rows * side), image)

    @staticmethod
    def _paint_cell(
        painter: QPainter, look: Tokens, where: QRectF, state: str, rgb: NDArray[np.uint8], image: QImage | None
    ) -> None:
        colour = QColor(*map(int, rgb)) if state != "removed" else QColor(look.line)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        if state == "removed":
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colour, 1))
        painter.drawRoundedRect(where.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
        if image is not None and state != "removed":
            painter.drawImage(where.adjusted(FRAME, FRAME, -FRAME, -FRAME), image)
        if state == "marked":
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.marked), 1.5))
            painter.drawRoundedRect(where.adjusted(0.75, 0.75, -0.75, -0.75), 2, 2)
            painter.drawLine(QLineF(where.bottomLeft(), where.topRight()))
        elif state == "locked":
            padlock(painter, where.center(), ink(colour.name()), min(1.0, where.width() / (2 * WIDTH)))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click or a rubber band begins."""
        if event.button() is Qt.MouseButton.LeftButton:
            self._press, self._end, self._banding = event.position(), event.position(), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The band grows; without a button what is under the mouse is told."""
        if self._press is None:
            self.hovered.emit(self.cell_at(event.position().x(), event.position().y()))
            return
        self._end = event.position()
        far = (self._end - self._press).manhattanLength() >= QApplication.startDragDistance()
        self._banding = self._banding or far
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A cell is picked, or all that the band touches."""
        if self._press is None or event.button() is not Qt.MouseButton.LeftButton:
            return
        press, banding = self._press, self._banding
        self._press, self._banding = None, False
        number = self.cell_at(press.x(), press.y())
        if banding:
            self.banded.emit(self.inside(QRectF(press, event.position()).normalized()))
        elif number >= 0:
            self.picked.emit(number)
        self.update()

    def leaveEvent(self, event) -> None:  # noqa: ANN001
        """Nothing is under the mouse any more."""
        super().leaveEvent(event)
        self.hovered.emit(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys go from cell to cell, Space marks or spares; Escape drops the rubber band."""
        if event.key() == Qt.Key.Key_Escape and self._press is not None:
            self._press, self._banding = None, False
            self.update()
            return
        if event.key() == Qt.Key.Key_Space and self.current >= 0:
            self.toggled.emit(self.current)
            return
        columns, _ = self.grid()
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Up: -columns, Qt.Key.Key_Down: columns}
        step = steps.get(Qt.Key(event.key()), 0)
        if step and len(self.fractions):
            start = self.current if self.current >= 0 else -1 if step > 0 else len(self.fractions)
            self.picked.emit(min(max(start + step, 0), len(self.fractions) - 1))
        else:
            super().keyPressEvent(event)


def _image(pixels: NDArray[np.uint8]) -> QImage:
    """[height, width, 3] as an image that owns its memory."""
    height, width = pixels.shape[:2]
    return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
