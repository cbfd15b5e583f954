"""Paints the boxes of a graph, each in as much detail as its size on the screen can carry."""

from collections import defaultdict

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QPainter, QPainterPath, QPen

from ...theme import Tokens, score_colour
from ...theme.design_tokens import BODY, CAPTION
from ...widgets.painting import WIDTH, chevron, padlock, paint_width
from .boxes import Boxes
from .layout import HEAD, Bus, Floats, Layout
from .model import GraphModel

ROUND = 6.0
"""Radius of the corners of a lane."""


class Lines:
    """All lines of a layout.

    Attributes:
        edges: A path for each edge.
        skips: A path for each line of what skips ahead.
        ties: A path for each tie.
        plain: All edges and skips in one path, for drawings in which they are small.
        tied: All ties in one path.
        spans: [E + L, 2] top and bottom of each edge, then of each line of skips.
        of_box: For each box its edges and skips, as numbers in `spans`.
    """

    def __init__(self, boxes: Boxes, layout: Layout) -> None:
        """Make the paths."""
        # An edge is upright where it begins and ends.
        self.edges: list[QPainterPath] = []
        for points in layout.edges:
            path = QPainterPath(QPointF(*points[0].tolist()))
            for (x, y), (to_x, to_y) in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
                middle = (y + to_y) / 2
                if abs(x - to_x) < 0.5:
                    path.lineTo(to_x, to_y)
                else:
                    path.cubicTo(x, middle, to_x, middle, to_x, to_y)
            self.edges.append(path)
        self.skips = [_lane(bus, first=True) for bus in layout.skips]
        self.ties = [_lane(bus, first=False) for bus in layout.ties]
        self.plain, self.tied = QPainterPath(), QPainterPath()
        for path in (*self.edges, *self.skips):
            self.plain.addPath(path)
        for path in self.ties:
            self.tied.addPath(path)
        spans = [(points[:, 1].min(), points[:, 1].max()) for points in layout.edges]
        spans += [(bus.ends[:, 1].min(), bus.ends[:, 1].max()) for bus in layout.skips]
        self.spans: Floats = np.array(spans, np.float64).reshape(-1, 2)
        self.of_box: dict[int, list[int]] = {}
        for number, ends in enumerate((*boxes.edges, *(bus.boxes for bus in layout.skips))):
            for box in ends:
                self.of_box.setdefault(box, []).append(number)

    def path(self, number: int) -> QPainterPath:
        """An edge, or a line of skips behind them."""
        return self.edges[number] if number < len(self.edges) else self.skips[number - len(self.edges)]


def _lane(bus: Bus, first: bool) -> QPainterPath:
    """Out to the lane, along it, and back to each box; `first`: an arrow at all but the first end."""
    path, (low, high) = QPainterPath(), (bus.ends[:, 1].min(), bus.ends[:, 1].max())
    path.moveTo(bus.lane, low + ROUND)
    path.lineTo(bus.lane, high - ROUND)
    side = 1.0 if bus.lane > bus.ends[:, 0].max() else -1.0
    for number, (x, y) in enumerate(bus.ends.tolist()):
        turn = ROUND if y < high else -ROUND
        path.moveTo(bus.lane, y + turn)
        path.quadTo(bus.lane, y, bus.lane - side * ROUND, y)
        path.lineTo(x, y)
        if first and number:
            path.moveTo(x + side * 5, y - 3)
            path.lineTo(x, y)
            path.lineTo(x + side * 5, y + 3)
    return path


def rectangle(layout: Layout, box: int) -> QRectF:
    """Where a box is, in units."""
    return QRectF(*layout.places[box].tolist())


WORDS, BOXES = 0.5, 0.22
"""Scales from which on names are written, and boxes have borders."""
BAR, CHEVRON = 9.0, 9.0
"""Height of a width bar, and from a block's left side to the middle of its arrow."""
SPECK = 8.0
"""Width of a small box at least, in units."""
FEW = 300
"""Lines up to which each is painted by itself, and smoothly."""


class GraphPainter:
    """Paints one frame.

    Attributes:
        current: Box with the focus, -1 for none.
        hovered: Box under the mouse.
        chosen: Further boxes with structures that are selected together.
        found: Boxes that a search has found.
    """

    def __init__(self, model: GraphModel) -> None:
        """Paint what a model has."""
        self.model = model
        self.current = self.hovered = -1
        self.chosen: frozenset[int] = frozenset()
        self.found: frozenset[int] = frozenset()
        self._kept: tuple[tuple[object, ...], list[tuple[QBrush, list[QRectF]]]] | None = None

    def paint(self, painter: QPainter, lines: Lines, seen: QRectF, scale: float, look: Tokens, font: QFont) -> None:
        """Paint what is seen.

        Args:
            painter: Scaled and moved so that it takes units.
            lines: Of the layout.
            seen: What is seen, in units.
            scale: Pixels a unit.
            look: Colours.
            font: Of the view.
        """
        layout, boxes = self.model.layout, self.model.boxes
        assert layout is not None and boxes is not None
        places = layout.places
        inside = (places[:, 0] < seen.right()) & (places[:, 0] + places[:, 2] > seen.left())
        inside &= (places[:, 1] < seen.bottom()) & (places[:, 1] + places[:, 3] > seen.top())
        shown = np.flatnonzero(inside).tolist()
        font = QFont(font)
        font.setPixelSize(BODY)
        painter.setFont(font)
        for box in shown:
            if boxes.open(box):
                area = rectangle(layout, box)
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                painter.setPen(_pen(look.accent if box == self.current else look.edge, 1.0))
                depth = len(boxes.blocks.up(int(boxes.block[box])))
                painter.setBrush(QColor(look.raised if depth % 2 else look.panel))
                painter.drawRoundedRect(area, 8, 8)
                if scale >= WORDS:
                    chevron(painter, QPointF(area.left() + CHEVRON + 2, area.top() + HEAD / 2), "down", look.muted)
                    words = QRectF(area.left() + 20, area.top(), area.width() - 26, HEAD)
                    self._write_name(painter, words, self.model.name(box), look, Qt.AlignmentFlag.AlignLeft)
        self._paint_lines(painter, layout, lines, seen, scale, look)
        if scale < BOXES:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
            painter.setPen(Qt.PenStyle.NoPen)
            for brush, areas in self._specks(look):
                painter.setBrush(brush)
                painter.drawRects(areas)
        else:
            for box in shown:
                if boxes.join(box):
                    circle = rectangle(layout, box).adjusted(2, 2, -2, -2)
                    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                    painter.setPen(_pen(look.muted, 1.0))
                    painter.setBrush(QColor(look.selection if box == self.current else look.panel))
                    painter.drawEllipse(circle)
                    if scale >= WORDS:
                        painter.setPen(QColor(look.text))
                        painter.drawText(circle, Qt.AlignmentFlag.AlignCenter, self.model.sign(box))
                elif not boxes.open(box):
                    self._paint_box(painter, box, scale, look)
        for box in {self.current, *self.chosen, *self.found}.intersection(shown):
            # Dashed around what a search has found.
            dashed = box != self.current and box not in self.chosen
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(_pen(look.accent, 2.0, Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine))
            out = max(2.0, 2.0 / scale)
            painter.drawRoundedRect(rectangle(layout, box).adjusted(-out, -out, out, out), 8, 8)

    def _paint_lines(
        self, painter: QPainter, layout: Layout, lines: Lines, seen: QRectF, scale: float, look: Tokens
    ) -> None:
        """Ties at the back, then edges, then those of the current box."""
        smooth = QPainter.RenderHint.Antialiasing
        painter.setBrush(Qt.BrushStyle.NoBrush)
        near = np.flatnonzero((lines.spans[:, 0] < seen.bottom()) & (lines.spans[:, 1] > seen.top()))
        few = len(near) <= FEW and scale >= BOXES
        painter.setRenderHint(smooth, few)
        painter.setPen(_pen(look.edge, 1.0))
        painter.drawPath(lines.tied)
        painter.setPen(_pen(look.muted, 1.0))
        if few:
            for number in near.tolist():
                painter.drawPath(lines.path(number))
        else:
            painter.drawPath(lines.plain)
        painter.setRenderHint(smooth)
        pointed = [box for box in (self.hovered, self.current) if box >= 0]
        painter.setPen(_pen(look.accent, 2.0))
        for number in dict.fromkeys(n for box in pointed for n in lines.of_box.get(box, ())):
            painter.drawPath(lines.path(number))
        for tie, path in zip(layout.ties, lines.ties, strict=True):
            if set(pointed).intersection(tie.boxes):
                painter.setPen(_pen(look.accent, 2.0, Qt.PenStyle.DashLine))
                painter.drawPath(path)

    def _specks(self, look: Tokens) -> list[tuple[QBrush, list[QRectF]]]:
        """Small boxes by colour, kept until the numbers, the layout or the look change."""
        layout, boxes, figures = self.model.layout, self.model.boxes, self.model.figures
        assert layout is not None and boxes is not None
        key = (layout, figures, look)
        if self._kept is None or any(a is not b for a, b in zip(self._kept[0], key, strict=True)):
            by_colour = defaultdict[tuple[int, ...], list[QRectF]](list)
            for box, (x, y, width, height) in enumerate(layout.places.tolist()):
                if not boxes.open(box):
                    part = width if figures is None or not figures.width[box] else width * float(figures.width[box])
                    part = max(part, SPECK)
                    scored = figures is not None and figures.width[box] and not figures.fixed[box]
                    score = float(figures.score[box]) if figures is not None and scored else np.nan
                    colour = () if score != score else score_colour(score)
                    by_colour[colour].append(QRectF(x + (width - part) / 2, y, part, height))
            brushes = [(QColor(*colour) if colour else QColor(look.muted), at) for colour, at in by_colour.items()]
            self._kept = key, [(QBrush(colour), at) for colour, at in brushes]
        return self._kept[1]

    def _paint_box(self, painter: QPainter, box: int, scale: float, look: Tokens) -> None:
        """A layer or a folded block: its name over the bar of its width."""
        layout, boxes, figures = self.model.layout, self.model.boxes, self.model.figures
        assert layout is not None and boxes is not None
        area, block = rectangle(layout, box), boxes.block[box] >= 0
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(_pen(look.edge if block else look.line, 1.0))
        ground = look.selection if box == self.current else look.hover if box == self.hovered else look.panel
        painter.setBrush(QColor(ground))
        if block:
            painter.drawRoundedRect(area.translated(3, 3), 6, 6)
        painter.drawRoundedRect(area, 6, 6)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        if figures is not None and figures.width[box]:
            length = max(3.0, (area.width() - 16) * float(figures.width[box]))
            bar = QRectF(area.center().x() - length / 2, area.bottom() - BAR - 5, length, BAR)
            paint_width(
                painter, bar, look, present=float(figures.present[box]), kept=float(figures.kept[box]),
                score=float(figures.score[box]), fixed=bool(figures.fixed[box]),
            )  # fmt: skip
        if scale >= WORDS:
            words = area.adjusted(8, 3, -8, -BAR - 9)
            if boxes.end(box):
                self._write_name(painter, area, self.model.name(box), look, Qt.AlignmentFlag.AlignHCenter)
                return
            if block:
                chevron(painter, QPointF(words.left() + 3, words.center().y()), "right", look.muted)
                words.adjust(14, 0, 0, 0)
            size = painter.font()
            size.setPixelSize(CAPTION)
            whole = painter.font()
            painter.setFont(size)
            painter.setPen(QColor(look.muted))
            keeps = self.model.keeps(box)
            painter.drawText(words, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, keeps)
            words.adjust(0, 0, -painter.fontMetrics().horizontalAdvance(keeps) - 6, 0)
            if self.model.locked(box):
                padlock(painter, QPointF(words.right() - WIDTH / 2, words.center().y() + 0.5), look.muted)
                words.adjust(0, 0, -WIDTH - 6, 0)
            painter.setFont(whole)
            self._write_name(painter, words, self.model.name(box), look, Qt.AlignmentFlag.AlignLeft)

    def _write_name(self, painter: QPainter, area: QRectF, name: str, look: Tokens, side: Qt.AlignmentFlag) -> None:
        """Shortened from the left, because the end of a path tells layers apart."""
        painter.setPen(QColor(look.text))
        shown = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideLeft, int(area.width()))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | side, shown)


def _pen(colour: str, width: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
    """A pen as wide at every scale."""
    pen = QPen(QColor(colour), width, style)
    pen.setCosmetic(True)
    return pen
