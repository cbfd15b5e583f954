"""Paints the boxes of a graph, each in as much detail as its size on the screen can carry."""

from collections import defaultdict

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QPainter, QPen

from ...theme import Tokens, score_colour
from ...theme.design_tokens import BODY, CAPTION
from ...widgets.painting import WIDTH, chevron, padlock, paint_width
from .layout import HEAD
from .lines import Lines, rectangle
from .model import Figures, GraphModel

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
                self._open_block(painter, box, scale, look)
        self._lines(painter, lines, seen, scale, look)
        if scale < BOXES:
            self._specks(painter, look)
        else:
            for box in shown:
                if boxes.join(box):
                    self._join(painter, box, scale, look)
                elif not boxes.open(box):
                    self._box(painter, box, scale, look)
        for box in {self.current, *self.chosen, *self.found}.intersection(shown):
            self._frame(painter, box, scale, look)

    def _open_block(self, painter: QPainter, box: int, scale: float, look: Tokens) -> None:
        assert self.model.layout is not None and self.model.boxes is not None
        area = rectangle(self.model.layout, box)
        chosen = box == self.current
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(_pen(look.accent if chosen else look.edge, 1.0))
        depth = len(self.model.boxes.blocks.up(int(self.model.boxes.block[box])))
        painter.setBrush(QColor(look.raised if depth % 2 else look.panel))
        painter.drawRoundedRect(area, 8, 8)
        if scale >= WORDS:
            chevron(painter, QPointF(area.left() + CHEVRON + 2, area.top() + HEAD / 2), "down", look.muted)
            words = QRectF(area.left() + 20, area.top(), area.width() - 26, HEAD)
            self._name(painter, words, self.model.name(box), look, Qt.AlignmentFlag.AlignLeft)

    def _lines(self, painter: QPainter, lines: Lines, seen: QRectF, scale: float, look: Tokens) -> None:
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
        layout = self.model.layout
        assert layout is not None
        for tie, path in zip(layout.ties, lines.ties, strict=True):
            if set(pointed).intersection(tie.boxes):
                painter.setPen(_pen(look.accent, 2.0, Qt.PenStyle.DashLine))
                painter.drawPath(path)

    def _specks(self, painter: QPainter, look: Tokens) -> None:
        """Boxes so small that only their width and colour can be told; those of a colour at once."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(Qt.PenStyle.NoPen)
        for brush, areas in self._small(look):
            painter.setBrush(brush)
            painter.drawRects(areas)

    def _small(self, look: Tokens) -> list[tuple[QBrush, list[QRectF]]]:
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
                    by_colour[_colour(figures, box)].append(QRectF(x + (width - part) / 2, y, part, height))
            brushes = [(QColor(*colour) if colour else QColor(look.muted), at) for colour, at in by_colour.items()]
            self._kept = key, [(QBrush(colour), at) for colour, at in brushes]
        return self._kept[1]

    def _box(self, painter: QPainter, box: int, scale: float, look: Tokens) -> None:
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
            self._label(painter, box, area, look)

    def _label(self, painter: QPainter, box: int, area: QRectF, look: Tokens) -> None:
        """The name, what it keeps at the right of it, and the arrow of a block."""
        assert self.model.boxes is not None
        words = area.adjusted(8, 3, -8, -BAR - 9)
        if self.model.boxes.end(box):
            self._name(painter, area, self.model.name(box), look, Qt.AlignmentFlag.AlignHCenter)
            return
        if self.model.boxes.block[box] >= 0:
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
        self._name(painter, words, self.model.name(box), look, Qt.AlignmentFlag.AlignLeft)

    def _name(self, painter: QPainter, area: QRectF, name: str, look: Tokens, side: Qt.AlignmentFlag) -> None:
        """Shortened from the left, because the end of a path tells layers apart."""
        painter.setPen(QColor(look.text))
        shown = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideLeft, int(area.width()))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | side, shown)

    def _join(self, painter: QPainter, box: int, scale: float, look: Tokens) -> None:
        assert self.model.layout is not None
        area = rectangle(self.model.layout, box).adjusted(2, 2, -2, -2)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(_pen(look.muted, 1.0))
        painter.setBrush(QColor(look.selection if box == self.current else look.panel))
        painter.drawEllipse(area)
        if scale >= WORDS:
            painter.setPen(QColor(look.text))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self.model.sign(box))

    def _frame(self, painter: QPainter, box: int, scale: float, look: Tokens) -> None:
        """Around what is selected; dashed around what a search has found."""
        assert self.model.layout is not None
        dashed = box != self.current and box not in self.chosen
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(_pen(look.accent, 2.0, Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine))
        out = max(2.0, 2.0 / scale)
        painter.drawRoundedRect(rectangle(self.model.layout, box).adjusted(-out, -out, out, out), 8, 8)


def _pen(colour: str, width: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
    """A pen as wide at every scale."""
    pen = QPen(QColor(colour), width, style)
    pen.setCosmetic(True)
    return pen


def _colour(figures: Figures | None, box: int) -> tuple[int, ...]:
    """The colour of a box's score, () where it has none."""
    if figures is None or not figures.width[box] or figures.fixed[box] or figures.score[box] != figures.score[box]:
        return ()
    return score_colour(float(figures.score[box]))
