"""The strip of states: Original, Plan, Cut, Recovered, Exported; where one is, and a click to go elsewhere."""

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QColor, QFocusEvent, QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from secateur.engine.export.table import EXPORTERS
from secateur.engine.session.states import StateKind

from ..document.aspects import Aspect
from ..document.document import Document
from ..text.format import change, count, milliseconds, scaled, size
from ..text.metrics import measured_tip, path_through, timing_of, value_text
from ..text.translate import engine_words
from ..text.verdicts import goal_short, goal_tip, goal_words
from ..theme import px, sizes, tokens
from ..widgets.card import Card
from ..widgets.labels import tell_whole
from .panel_layout import row_of

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.TARGET, Aspect.GOAL, Aspect.MARKS, Aspect.STATES})
KEYS = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.ShortcutFocusReason)
LEAST = 64
"""Room for the words of a step, where it is scarce, in pixels at the first size of text."""
DOT = 20
"""Room for the dot in device-independent pixels."""


class Step(QAbstractButton):
    """One step of the strip.

    Attributes:
        stage: "todo", "done" or "present".
        caption: What is known of it.
        remark: What became of the goal there, behind the caption; "" for nothing.
        good: The remark is a good one.
        known: What its numbers are: split, n, target, when.
        state_id: State that a click goes to, "" for none.
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        """Take the step's name."""
        super().__init__(parent)
        self.setText(title)
        self.stage, self.caption, self.state_id = "todo", "", ""
        self.remark, self.good, self.known = "", True, ""
        self._by_key = False
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def show_stage(self, stage: str, caption: str, state_id: str, spoken: str) -> None:
        """Show a stage of it."""
        self.stage, self.caption, self.state_id = stage, caption, state_id
        self.setEnabled(bool(state_id) or stage == "present")
        self.setCursor(Qt.CursorShape.PointingHandCursor if state_id else Qt.CursorShape.ArrowCursor)
        self.setAccessibleName(spoken)
        self.updateGeometry()
        self.update()

    def add_remark(self, remark: str, good: bool) -> None:
        """Say what became of the goal."""
        self.remark, self.good = remark, good
        if remark:
            self.setAccessibleName(f"{self.accessibleName()}, {remark}")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Wide enough for title, caption and remark."""
        size = sizes()
        below = self._width(f"{self.caption}, ", size.caption, False) if self.remark else 0
        below += self._width(self.remark or self.caption, size.caption, bool(self.remark))
        widest = max(self._width(self.text(), size.heading, True), below)
        return QSize(widest + DOT + 6, px(36))

    def minimumSizeHint(self) -> QSize:
        """Room for the dot and a few letters; the rest is in the tooltip."""
        return QSize(DOT + px(LEAST), px(36))

    def event(self, event: QEvent) -> bool:
        """Tell what does not fit."""
        hidden = event.type() is QEvent.Type.ToolTip and self.width() < self.sizeHint().width()
        words = "\n".join(filter(None, (self.text(), self.caption, self.remark, self.toolTip())))
        return tell_whole(event, self, words if hidden else "") or super().event(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """A ring only where the keyboard brought the focus: after a click it would look like a selection."""
        self._by_key = event.reason() in KEYS
        super().focusInEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Whoever uses keys sees where the focus is."""
        self._by_key = True
        super().keyPressEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Dot, title, caption."""
        painter, look = QPainter(self), tokens()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        lit = QColor(look.accent if self.stage == "present" else look.text if self.stage == "done" else look.muted)
        painter.setPen(QPen(lit, 1.5))
        painter.setBrush(lit if self.stage != "todo" else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QPointF(8, px(10)), 4.5, 4.5)
        left = QRectF(DOT, 0, self.width() - DOT, px(20))
        painter.setFont(self._font(sizes().heading, True))
        self._write(painter, left, self.text())
        painter.setFont(self._font(sizes().caption, False))
        painter.setPen(QColor(look.muted))
        below = left.translated(0, px(17))
        caption = f"{self.caption}, " if self.remark else self.caption
        self._write(painter, below, caption)
        if self.remark:
            below.setLeft(below.left() + self._width(caption, sizes().caption, False))
            painter.setFont(self._font(sizes().caption, True))
            painter.setPen(QColor(look.accent if self.good else look.marked))
            self._write(painter, below, self.remark)
        ring = self.hasFocus() and self._by_key
        if ring or (self.underMouse() and self.state_id):
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent if ring else look.edge), 1))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)

    @staticmethod
    def _write(painter: QPainter, area: QRectF, text: str) -> None:
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(area.width()))
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, shown)

    def _font(self, pixels: int, strong: bool):  # noqa: ANN202
        font = self.font()
        font.setPixelSize(pixels)
        font.setWeight(font.Weight.DemiBold if strong else font.Weight.Normal)
        return font

    def _width(self, text: str, pixels: int, strong: bool) -> int:
        return QFontMetrics(self._font(pixels, strong)).horizontalAdvance(text)


class _Line(QWidget):
    """The way between two steps."""

    def __init__(self) -> None:
        """Not gone yet."""
        super().__init__()
        self.gone = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumSize(8, 36)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A line at the height of the dots."""
        look = tokens()
        QPainter(self).fillRect(
            QRectF(2, px(10) - 1, self.width() - 4, 2), QColor(look.accent if self.gone else look.line)
        )


class StateStrip(Card):
    """How far the model is on its way.

    Attributes:
        steps: By name: original, plan, cut, recovered, exported.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's way."""
        super().__init__(parent, margin=6)
        self.document = document
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.steps = {
            "original": Step(self.tr("Original")),
            "plan": Step(self.tr("Plan")),
            "cut": Step(self.tr("Cut")),
            "recovered": Step(self.tr("Recovered")),
            "exported": Step(self.tr("Exported")),
        }
        self._lines: dict[str, _Line] = {}
        row = row_of(gap=6)
        for name, step in self.steps.items():
            if name != "original":
                self._lines[name] = _Line()
                row.addWidget(self._lines[name], 1)
            row.addWidget(step)
            step.clicked.connect(self._go_to_step)
        self.body.addLayout(row)
        document.dispatcher.watch(SHOWN, self.refresh)
        self.refresh()

    @Slot()
    def _go_to_step(self) -> None:
        step = self.sender()
        if isinstance(step, Step) and step.state_id:
            self.document.plan.go_to(step.state_id)

    def refresh(self, _aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show all steps again."""
        document = self.document
        present, marked = document.state, bool(document.marked.any())
        way = [] if present is None else path_through(document.states, present)
        cut = next((n for n in reversed(range(len(way))) if way[n].kind is StateKind.CUT), len(way))
        recovered = next((s for s in reversed(way[cut:]) if s.kind in (StateKind.RECOVERED, StateKind.ATTACHED)), None)
        states = {"original": document.original, "cut": way[cut] if cut < len(way) else None, "recovered": recovered}
        for name, state in states.items():
            if state is None:
                self._show(name, "todo", self.tr("no model") if name == "original" else self.tr("not yet"))
                self.steps[name].known = ""
                continue
            metric, timing = document.metric(state), timing_of(state, document.target)
            cost = scaled(state.macs) + " MACs" if timing is None else milliseconds(timing.median)
            caption = cost if metric is None else f"{value_text(metric)}, {cost}"
            self._show(name, "present" if present is state and not marked else "done", caption, state.id)
            self.steps[name].known = measured_tip(state, metric, timing, document.evaluation_split)
        plan, original = document.plan_costs, document.original_costs
        if marked and plan is not None and original is not None:
            less, number = change(original.macs, plan.macs), count(int(document.marked.sum()))
            self._show("plan", "present", self.tr("{0} MACs, {1} marked").format(less, number))
        elif states["cut"] is not None:
            self._show("plan", "done", self.tr("done"))
        else:
            self._show("plan", "todo", self.tr("nothing marked"))
        exported = document.contents.last_export
        if exported is None:
            self._show("exported", "todo", self.tr("not yet"))
        else:
            known = exported.format in EXPORTERS
            called = engine_words(EXPORTERS[exported.format].title) if known else exported.format
            self._show("exported", "done", f"{called}, {size(exported.bytes)}")
        # What became of the goal is said at the step where the document is.
        verdict = document.goal_verdict
        for step in self.steps.values():
            here = step.stage == "present"
            step.add_remark(goal_short(verdict) if here else "", verdict is not None and bool(verdict.met))
            lines = [goal_words(verdict), goal_tip(verdict)] if here else []
            step.setToolTip("\n".join(filter(None, (*lines, step.known))))

    def _show(self, name: str, stage: str, caption: str, state_id: str = "") -> None:
        step = self.steps[name]
        spoken = ", ".join((step.text(), caption, self.tr("current state") if stage == "present" else "")).rstrip(", ")
        step.show_stage(stage, caption, state_id if stage != "present" else "", spoken)
        if name in self._lines:
            self._lines[name].gone = stage != "todo"
            self._lines[name].update()
