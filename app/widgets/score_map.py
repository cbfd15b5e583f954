"""Scores as colours: the cells of a coupled set, the scale that all share, and the legend."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget

from ..text.format import MINUS, three_digits
from ..theme import ink, px, score_colour, score_colours, tokens
from .painting import WIDTH, padlock, paint_band, paint_focus

LEAST_DECIMALS, MOST_DECIMALS = 2, 5
EXPONENTS = 1e-3
"""Below this highest score all numbers have an exponent."""
SAMPLE = 20_000
"""About how many scores decide the scale: it is asked for at every move of a threshold."""


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """From scores to 0..1: by rank, so that one outlier leaves the colours of all others apart.

    Attributes:
        top: The highest score.
        bottom: The lowest one.
        small: A score than which nine of ten are higher: numbers have as many decimals as it needs.
        ordered: [n] scores, or an even sample of them, in their order; none where colours follow the value itself.
    """

    top: float
    bottom: float = 0.0
    small: float = 0.0
    ordered: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), compare=False, repr=False)

    @classmethod
    def of(cls, scores: NDArray[np.float64] | None, ranked: bool = True) -> "ScoreScale":
        """The scale of a model's scores; by value up to 1 when there are none.

        Args:
            scores: [n] of all structures, NaN unknown.
            ranked: By rank; else by value, for what is a share by itself.
        """
        finite = np.zeros(0) if scores is None else scores[np.isfinite(scores)]
        if not len(finite):
            return cls(1.0)
        top, bottom = float(finite.max()), float(finite.min())
        ordered = np.sort(finite[:: max(1, len(finite) // SAMPLE)])
        above = ordered[ordered > 0]
        small = float(above[len(above) // 10]) if len(above) else 0.0
        return cls(top if top > 0 else 1.0, bottom, small, ordered if ranked else np.zeros(0))

    def fractions(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n] ranks 0 (lowest) to 1 (highest), equal ones in the middle of theirs; NaN where the score is unknown."""
        if len(self.ordered) < 2:
            return np.clip(scores / self.top, 0.0, 1.0)
        places = np.searchsorted(self.ordered, scores, "left") + np.searchsorted(self.ordered, scores, "right") - 1
        return np.where(np.isnan(scores), np.nan, np.clip(places / 2 / (len(self.ordered) - 1), 0.0, 1.0))

    def fraction(self, score: float) -> float:
        """The same of one score."""
        return float(self.fractions(np.array([score]))[0])

    def text(self, score: float) -> str:
        """The number at a bar, never wider than its column: the same decimals for all, with which most differ."""
        if score != score:
            return ""
        if self.top >= 100:
            return three_digits(score)
        places = 1 - math.floor(math.log10(self.small or self.top))
        most = MOST_DECIMALS - len(str(int(self.top))) + 1
        decimals = min(max(places, LEAST_DECIMALS), most)
        if self.top >= EXPONENTS and (not score or not self.small or abs(score) >= 0.5 * 10**-decimals):
            return f"{score:.{decimals}f}"
        if score == 0:
            return "0"
        digits, exponent = f"{score:.1e}".split("e")
        return f"{digits}e{int(exponent)}".replace("-", MINUS)


LARGEST, LARGEST_IMAGE, SMALLEST = 22, 34, 3
"""Side of a cell with its gap, in device-independent pixels."""

PLAIN = 8
"""Cells smaller than this are plain squares without gaps or strokes."""

FRAME = 2.5
"""Of a score's colour around an image, in device-independent pixels."""

TALLEST = 176
"""Height of the whole map at most, in device-independent pixels, as long as its cells can be distinguished."""


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
        self._images = []
        for pixels in () if images is None else images:
            height, width = pixels.shape[:2]
            image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            # The copy owns its memory; the image refers to the bytes, which go.
            self._images.append(image.copy())
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
            # Thousands of small cells as one image: each drawn by itself would take longer than a frame.
            columns, side = grid
            states = np.array(self.states)
            colours[states == "marked"] = _rgb(look.marked)
            colours[(states == "removed") | np.isnan(self.fractions)] = _rgb(look.line)
            rows = math.ceil(len(colours) / columns)
            pixels = np.tile(np.array(_rgb(look.panel), np.uint8), (rows * columns, 1))
            pixels[: len(colours)] = colours
            image = QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
            painter.drawImage(QRectF(0, 0, columns * side, rows * side), image)
        else:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            images = self._images if len(self._images) == len(self.states) else [None] * len(self.states)
            for number, state in enumerate(self.states):
                where, image = self.cell(number, grid), images[number]
                # What is not scored has no colour of importance.
                scored = state != "removed" and not math.isnan(self.fractions[number])
                colour = QColor(*map(int, colours[number])) if scored else QColor(look.line)
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
        if 0 <= self.current < len(self.states):
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent if self.hasFocus() else look.text), 2))
            painter.drawRoundedRect(self.cell(self.current, grid), 2, 2)
        if self._banding and self._press is not None:
            paint_band(painter, QRectF(self._press, self._end).normalized())
        paint_focus(painter, self)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click or a rubber band begins."""
        if event.button() is Qt.MouseButton.LeftButton:
            self._press, self._end, self._banding = event.position(), event.position(), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Let the band grow; without a button, say what is under the mouse."""
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
        """Arrow keys go from cell to cell, Space marks or unmarks; Escape drops the rubber band."""
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


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


RANGE, LEAST, HEIGHT = 96, 24, 20
"""Width of the colours, also where room is scarce, and height of a line, in device-independent pixels."""


class CaptionLine(QWidget):
    """Words and what they are about, in one line of captions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.setProperty("role", "small")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """As wide as its words and signs."""
        return QSize(int(self.room()) + 2, px(HEIGHT))

    def room(self) -> float:
        """Width of all."""
        raise NotImplementedError

    def width_of(self, text: str) -> float:
        """Width of a text."""
        return float(self.fontMetrics().horizontalAdvance(text))

    def say(self, painter: QPainter, left: float, text: str) -> float:
        """Write from the left; where it ends."""
        painter.setPen(tokens().muted)
        area = QRectF(left, 0, self.width_of(text) + 2, px(HEIGHT))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        return left + self.width_of(text)


class ScoreRange(CaptionLine):
    """The colours from the lowest score to the highest.

    Attributes:
        ends: Both, in words.
        so_far: Below them, how much the scores are made of while they are; "" for all.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start without scores."""
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.ends, self.so_far = ("0", ""), ""
        self.setAccessibleName(self.tr("Colours of the scores"))

    def show_ends(self, title: str, scale: ScoreScale | None, high: str = "", so_far: str = "") -> None:
        """Say the range, and that colours go by rank; where scores are still made, of how much they are.

        Args:
            title: What the numbers are, "" where something else says so.
            scale: Of the scores, None where there are none.
            high: What is said in place of the highest score, "" for that.
            so_far: Of how much they are made.
        """
        low = self.tr("by rank: {0}").format(scale.text(scale.bottom)) if scale is not None else ""
        low = " ".join(filter(None, (title, low)))
        self.say_ends(low, high or (scale.text(scale.top) if scale is not None else ""), so_far)

    def say_ends(self, low: str, high: str, so_far: str = "") -> None:
        """Say both ends in words."""
        ends = (low, high)
        if (ends, so_far) == (self.ends, self.so_far):
            # Showing the same ends again would lay out all widgets around them.
            return
        self.ends, self.so_far = ends, so_far
        words = self.tr("Colours: {0} to {1}").format(*self.ends)
        self.setAccessibleName(f"{words}, {so_far}" if so_far else words)
        self.updateGeometry()
        self.update()

    def room(self) -> float:
        """Words at both sides of the colours."""
        return max(self._words() + RANGE, self.width_of(self.so_far))

    def _words(self) -> float:
        """Of a line all but the colours."""
        return self.width_of(self.ends[0]) + 10 + self.width_of(self.ends[1]) + 12

    def sizeHint(self) -> QSize:
        """A line more where scores are still made."""
        one = super().sizeHint()
        return QSize(one.width(), one.height() * (2 if self.so_far else 1))

    def minimumSizeHint(self) -> QSize:
        """In a narrow place there are fewer colours."""
        return QSize(int(self._words() + LEAST) + 2, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw them."""
        painter, wide = QPainter(self), min(RANGE, self.width() - self._words())
        left = self.say(painter, 0, self.ends[0]) + 5
        paint_scores(painter, QRectF(left, 5, wide, px(HEIGHT) - 10))
        self.say(painter, left + wide + 5, self.ends[1])
        painter.translate(0, px(HEIGHT))
        self.say(painter, 0, self.fontMetrics().elidedText(self.so_far, Qt.TextElideMode.ElideRight, self.width()))


def paint_scores(painter: QPainter, area: QRectF) -> None:
    """The colours from the lowest score to the highest."""
    gradient = QLinearGradient(area.topLeft(), area.topRight())
    for step in range(11):
        gradient.setColorAt(step / 10, QColor(*score_colour(step / 10)))
    painter.fillRect(area, gradient)
