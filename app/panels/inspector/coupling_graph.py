"""What is removed together, as a small graph: layers that write a structure, what it passes, layers that read it.

Which of a layer's dimensions is its output is read from the recorded run; without one (an analysis made by hand) the
first dimension is.
"""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QCoreApplication, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from secateur.engine.structures.analysis import Analysis, Kind, Slice

from ...text.structures import structure_name
from ...theme import tokens
from ...widgets.painting import paint_focus
from .slice_list import pattern


@dataclass(frozen=True, slots=True)
class Box:
    """A layer in the graph: its path, and what of it goes."""

    module: str
    parts: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its path; what belongs to the model itself is called by its parameters."""
        return self.module or ", ".join(part.partition(" ")[0] for part in self.parts)


@dataclass(frozen=True, slots=True)
class Flow:
    """The graph of a structure.

    Attributes:
        name: The structure.
        writers: Layers that compute it.
        passes: Norms and scales that it goes through.
        readers: Layers that read it.
    """

    name: str
    writers: tuple[Box, ...]
    passes: tuple[Box, ...]
    readers: tuple[Box, ...]

    def spoken(self) -> str:
        """All of it in a sentence."""
        parts = (
            (say("inspector", "written by {0}"), self.writers),
            (say("inspector", "passes {0}"), self.passes),
            (say("inspector", "read by {0}"), self.readers),
        )
        found = (words.format(", ".join(box.title for box in boxes)) for words, boxes in parts if boxes)
        return f"{self.name}: " + "; ".join(found)


class Flows:
    """Makes the graphs of an analysis; what writes an axis is read once."""

    def __init__(self, analysis: Analysis) -> None:
        """Read the recorded run."""
        self._analysis = analysis
        self._writes = {(step.module, axis) for step in analysis.steps for axis in step.axes if axis >= 0}
        self._tensors = {tensor.name: tensor for tensor in analysis.tensors}
        self._recorded = {step.module for step in analysis.steps}

    def of(self, structure: int) -> Flow | None:
        """The graph of a structure; None for a whole block, which goes with all that is in it."""
        one = self._analysis.set_of(structure)
        if one.kind is Kind.BLOCK:
            return None
        wide, flat = dict[tuple[str, bool], list[Slice]](), dict[str, list[Slice]]()
        for each in self._analysis.slices(structure):
            tensor = self._tensors[each.tensor]
            if len(tensor.shape) > 1:
                # Of a layer that was not recorded, or that reads and writes one axis, the first dimension writes.
                axis, others = tensor.axes[each.dim], [a for d, a in enumerate(tensor.axes) if d != each.dim]
                output = (tensor.module, axis) in self._writes
                if tensor.module not in self._recorded or axis in others:
                    output = each.dim == 0
                wide.setdefault((tensor.module, output), []).append(each)
            else:
                flat.setdefault(tensor.module, []).append(each)
        writers = [module for module, output in wide if output]
        # A bias belongs to the layer that adds it.
        for module in writers:
            wide[module, True] += flat.pop(module, [])
        name = structure_name(self._analysis, structure, one)
        made = [Box(module, self._parts(slices)) for (module, output), slices in wide.items() if output]
        read = [Box(module, self._parts(slices)) for (module, output), slices in wide.items() if not output]
        passed = [Box(module, self._parts(slices)) for module, slices in flat.items()]
        return Flow(name, tuple(made), tuple(passed), tuple(read))

    def _parts(self, slices: list[Slice]) -> tuple[str, ...]:
        """Weight [42, :, :, :]."""
        found: list[str] = []
        for one in slices:
            rank = len(self._tensors[one.tensor].shape)
            found.append(f"{one.tensor.rpartition('.')[2]} {pattern(rank, one.dim, np.asarray(one.indices))}")
        return tuple(found)


def set_to_show(analysis: Analysis, module: str) -> int:
    """The coupled set that is shown for a layer: its own, else the one that its outputs are part of, else -1."""
    own = next((n for n, one in enumerate(analysis.sets) if one.module == module and one.kind is not Kind.BLOCK), -1)
    along = next((n for n, one in enumerate(analysis.sets) if module in one.along), -1)
    return own if own >= 0 else along


BOX, GAP, MIDDLE = 20, 5, 46
"""Height of a box, room between two, and width between the columns, in device-independent pixels."""
MOST = 6
"""Boxes in a column; what is more is counted in a last one."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """A box and where it is; one without a module counts the rest."""

    area: QRectF
    module: str
    text: str
    tip: str


class FlowView(QWidget):
    """The graph of one structure.

    Attributes:
        flow: What is drawn, None for nothing.

    Signals:
        picked: str, the path of a layer was clicked, or chosen by a key.
    """

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Start empty."""
        super().__init__(parent)
        self.flow: Flow | None = None
        self._current = -1
        self.setProperty("role", "small")
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Layers that write and read it; arrow keys move between them"))

    def show_flow(self, flow: Flow | None) -> None:
        """Show another structure's graph."""
        self.flow, self._current = flow, -1
        self.setAccessibleDescription("" if flow is None else flow.spoken())
        self.setVisible(flow is not None and bool(flow.writers or flow.readers))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As tall as its taller column, and the words below."""
        return QSize(200, self._rows() * (BOX + GAP) + (BOX if self.flow is not None and self.flow.passes else 0) + 2)

    def minimumSizeHint(self) -> QSize:
        """The same: nothing is clipped."""
        return QSize(120, self.sizeHint().height())

    def _rows(self) -> int:
        flow = self.flow
        return 0 if flow is None else max(_count(flow.writers), _count(flow.readers), 1)

    def place_boxes(self) -> list[_Placed]:
        """All boxes, the left column first."""
        flow = self.flow
        if flow is None:
            return []
        width = (self.width() - MIDDLE) / 2
        return [*self._column(flow.writers, 0.0, width), *self._column(flow.readers, width + MIDDLE, width)]

    def _column(self, boxes: tuple[Box, ...], left: float, width: float) -> list[_Placed]:
        shown = boxes if len(boxes) <= MOST else boxes[: MOST - 1]
        top = (self._rows() - _count(boxes)) * (BOX + GAP) / 2
        found = [
            _Placed(
                QRectF(left, top + n * (BOX + GAP), width, BOX),
                box.module,
                box.title,
                "\n".join((box.title, *box.parts)),
            )
            for n, box in enumerate(shown)
        ]
        if len(shown) < len(boxes):
            rest = boxes[len(shown) :]
            words = self.tr("and {0} more").format(len(rest))
            area = QRectF(left, top + len(shown) * (BOX + GAP), width, BOX)
            found.append(_Placed(area, "", words, "\n".join(box.title for box in rest[:20])))
        return found

    # Drawing.

    def paintEvent(self, event: QPaintEvent) -> None:
        """Boxes, lines, and below what is passed on the way."""
        if self.flow is None:
            return
        painter, look, flow = QPainter(self), tokens(), self.flow
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        placed, middle = self.place_boxes(), self._rows() * (BOX + GAP) / 2 - GAP / 2
        knot = QPointF(self.width() / 2, middle)
        for one in placed:
            left = one.area.center().x() < knot.x()
            end = QPointF(one.area.right() if left else one.area.left(), one.area.center().y())
            path = QPainterPath(end)
            half = (end.x() + knot.x()) / 2
            path.cubicTo(QPointF(half, end.y()), QPointF(half, knot.y()), knot)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.muted), 1))
            painter.drawPath(path)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(look.marked))
        painter.drawEllipse(knot, 4, 4)
        for number, one in enumerate(placed):
            focused = number == self._current and self.hasFocus()
            painter.setBrush(QColor(look.raised) if one.module else Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent if focused else look.edge if one.module else look.line), 1))
            painter.drawRoundedRect(one.area.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
            painter.setPen(QColor(look.text if one.module else look.muted))
            inner = one.area.adjusted(6, 0, -6, 0)
            shown = painter.fontMetrics().elidedText(one.text, Qt.TextElideMode.ElideLeft, int(inner.width()))
            painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
        if flow.passes:
            names = ", ".join(box.title for box in flow.passes)
            text = self.tr("passes {0}").format(names)
            area = QRectF(0, self._rows() * (BOX + GAP), self.width(), BOX)
            painter.setPen(QColor(look.muted))
            shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, int(area.width()))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, shown)
        paint_focus(painter, self)

    # Mouse and keys.

    def box_at(self, where: QPointF) -> int:
        """The box at a place, -1 for none."""
        return next((n for n, one in enumerate(self.place_boxes()) if one.area.contains(where)), -1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Show the layer that is clicked."""
        self._pick(self.box_at(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """A hand over what can be clicked."""
        number = self.box_at(event.position())
        hand = number >= 0 and bool(self.place_boxes()[number].module)
        self.setCursor(Qt.CursorShape.PointingHandCursor if hand else Qt.CursorShape.ArrowCursor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys go from layer to layer, Return shows one."""
        steps = {Qt.Key.Key_Up: -1, Qt.Key.Key_Left: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_Right: 1}
        step = steps.get(Qt.Key(event.key()), 0)
        if step and self.place_boxes():
            self._current = min(max(self._current + step, 0), len(self.place_boxes()) - 1)
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self._pick(self._current)
        else:
            super().keyPressEvent(event)

    def _pick(self, number: int) -> None:
        placed = self.place_boxes()
        if 0 <= number < len(placed) and placed[number].module:
            self.picked.emit(placed[number].module)

    def event(self, event) -> bool:  # noqa: ANN001
        """What of a layer goes, in a tooltip."""
        if isinstance(event, QHelpEvent):
            number = self.box_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), self.place_boxes()[number].tip if number >= 0 else "", self)
            return True
        return super().event(event)


def _count(boxes: tuple[Box, ...]) -> int:
    return min(len(boxes), MOST)


say = QCoreApplication.translate
