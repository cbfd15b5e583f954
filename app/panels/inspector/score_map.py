"""All structures of a coupled set as small cells in their own order, coloured by score; a click selects one."""

import math

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from ...theme import Tokens, score_colours, tokens

LARGEST, SMALLEST = 22, 3
"""Side of a cell with its gap, in device-independent pixels."""

PLAIN = 8
"""Cells smaller than this are plain squares without gaps or strokes."""

TALLEST = 176
"""Height of the whole map at most, in device-independent pixels."""


class ScoreMap(QWidget):
    """Cells.

    Attributes:
        current: The selected cell, -1 for none.

    Signals:
        picked: int, a cell was clicked or reached by the arrow keys.
        hovered: int, the cell under the mouse, -1 for none.
    """

    picked = Signal(int)
    hovered = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without cells."""
        super().__init__(parent)
        self.fractions: NDArray[np.float64] = np.zeros(0)
        self.states: list[str] = []
        self.current = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def sizeHint(self) -> QSize:
        """As tall as the cells need at the present width."""
        width = max(self.width(), 200)
        return QSize(200, self.heightForWidth(width))

    def hasHeightForWidth(self) -> bool:
        """Cells wrap."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Rows of the largest cells, up to a limit beyond which the cells get smaller."""
        return min(TALLEST, LARGEST * math.ceil(max(1, len(self.fractions)) / max(1, width // LARGEST)))

    def show_cells(self, fractions: NDArray[np.float64], states: list[str], current: int) -> None:
        """Show cells: scores as 0..1 (NaN unknown) and "marked", "locked", "gone" or ""."""
        self.fractions, self.states, self.current = fractions, states, current
        self.updateGeometry()
        self.update()

    def grid(self) -> tuple[int, float]:
        """(columns, side): the largest cells that fit all of them."""
        count = max(1, len(self.fractions))
        side = float(LARGEST)
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
            for number, state in enumerate(self.states):
                self._paint_cell(painter, look, self.cell(number, grid), state, colours[number])
        if 0 <= self.current < len(self.states):
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent if self.hasFocus() else look.text), 2))
            painter.drawRoundedRect(self.cell(self.current, grid), 2, 2)

    def _paint_plain(
        self, painter: QPainter, look: Tokens, grid: tuple[int, float], colours: NDArray[np.uint8]
    ) -> None:
        """Thousands of small cells as one image, marked ones in the colour of marks."""
        columns, side = grid
        states = np.array(self.states)
        colours[states == "marked"] = _rgb(look.marked)
        colours[(states == "gone") | np.isnan(self.fractions)] = _rgb(look.line)
        rows = math.ceil(len(colours) / columns)
        pixels = np.tile(np.array(_rgb(look.panel), np.uint8), (rows * columns, 1))
        pixels[: len(colours)] = colours
        image = QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        painter.drawImage(QRectF(0, 0, columns * side, rows * side), image)

    @staticmethod
    def _paint_cell(painter: QPainter, look: Tokens, where: QRectF, state: str, rgb: NDArray[np.uint8]) -> None:
        colour = QColor(*map(int, rgb)) if state != "gone" else QColor(look.line)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        if state == "gone":
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colour, 1))
        painter.drawRoundedRect(where.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
        if state == "marked":
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.marked), 1.5))
            painter.drawRoundedRect(where.adjusted(0.75, 0.75, -0.75, -0.75), 2, 2)
            painter.drawLine(QLineF(where.bottomLeft(), where.topRight()))
        elif state == "locked":
            painter.setBrush(QColor(look.panel))
            painter.drawEllipse(where.center(), 2.5, 2.5)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick a cell."""
        number = self.cell_at(event.position().x(), event.position().y())
        if number >= 0 and event.button() is Qt.MouseButton.LeftButton:
            self.picked.emit(number)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell what is under the mouse."""
        self.hovered.emit(self.cell_at(event.position().x(), event.position().y()))

    def leaveEvent(self, event) -> None:  # noqa: ANN001
        """Nothing is under the mouse any more."""
        super().leaveEvent(event)
        self.hovered.emit(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys go from cell to cell."""
        columns, _ = self.grid()
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Up: -columns, Qt.Key.Key_Down: columns}
        step = steps.get(Qt.Key(event.key()), 0)
        if step and len(self.fractions):
            start = self.current if self.current >= 0 else -1 if step > 0 else len(self.fractions)
            self.picked.emit(min(max(start + step, 0), len(self.fractions) - 1))
        else:
            super().keyPressEvent(event)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
