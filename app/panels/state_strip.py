"""The strip of steps: each is a page, says what came of it, and leads there; its menu goes to the states of it."""

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QContextMenuEvent, QFocusEvent, QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QMenu, QSizePolicy, QWidget

from secateur.engine.export.table import EXPORTERS
from secateur.engine.session.states import StateKind

from ..document.aspects import Aspect
from ..document.document import Document
from ..text.format import change, count, milliseconds, scaled, size
from ..text.metrics import measured_tip, path_through, timing_of, value_text
from ..text.titles import state_name
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
HIGH, SIDE = 36, 4
"""Height of the words, in pixels at the first size of text, and what is around them, in device-independent pixels."""


class Step(QAbstractButton):
    """One step of the strip; it is checked where its page is in front.

    Attributes:
        stage: "todo", "done" or "present".
        caption: What is known of it.
        remark: What became of the goal there, behind the caption; "" for nothing.
        good: The remark is a good one.
        known: What its numbers are: split, n, target, when.
        states: Id and name of the states that its menu goes to.

    Signals:
        chosen: A state of its menu, by id.
    """

    chosen = Signal(str)

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        """Take the step's name."""
        super().__init__(parent)
        # Before what sends the first events to it.
        self.stage, self.caption = "todo", ""
        self.states = list[tuple[str, str]]()
        self.remark, self.good, self.known = "", True, ""
        self._by_key = False
        self.setText(title)
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def nextCheckState(self) -> None:
        """Another page takes the mark away, not a second click."""

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The states of this step."""
        if self.states:
            menu = QMenu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            for state, name in self.states:
                menu.addAction(self.tr("Go to {0}").format(name), lambda state=state: self.chosen.emit(state))
            menu.popup(event.globalPos())

    def show_stage(self, stage: str, caption: str, spoken: str) -> None:
        """Show a stage of it."""
        self.stage, self.caption = stage, caption
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
        below = self._width(self._before_remark(), size.caption, False)
        below += self._width(self.remark, size.caption, True)
        widest = max(self._width(self.text(), size.heading, True), below)
        return QSize(widest + DOT + 2 * SIDE, px(HIGH) + 2 * SIDE)

    def minimumSizeHint(self) -> QSize:
        """Room for the dot and a few letters; the rest is in the tooltip."""
        return QSize(DOT + px(LEAST), px(HIGH) + 2 * SIDE)

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
        """Dot, title, caption; a ground below them where the page is in front."""
        painter, look = QPainter(self), tokens()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        if self.isChecked():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(look.selection))
            painter.drawRoundedRect(ground, 5, 5)
            painter.fillRect(QRectF(6, self.height() - 3, self.width() - 12, 2), QColor(look.accent))
        lit = QColor(look.accent if self.stage == "present" else look.text if self.stage == "done" else look.muted)
        painter.setPen(QPen(lit, 1.5))
        painter.setBrush(lit if self.stage != "todo" else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QPointF(SIDE + 5, SIDE + px(10)), 4.5, 4.5)
        left = QRectF(SIDE + DOT - 3, SIDE, self.width() - DOT - 2 * SIDE + 3, px(20))
        painter.setFont(self._font(sizes().heading, True))
        self._write(painter, left, self.text())
        painter.setFont(self._font(sizes().caption, False))
        painter.setPen(QColor(look.muted))
        below = left.translated(0, px(18))
        caption = self._before_remark()
        self._write(painter, below, caption)
        if self.remark:
            below.setLeft(below.left() + self._width(caption, sizes().caption, False))
            painter.setFont(self._font(sizes().caption, True))
            painter.setPen(QColor(look.accent if self.good else look.marked))
            self._write(painter, below, self.remark)
        ring = self.hasFocus() and self._by_key
        if ring or self.underMouse():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(look.accent if ring else look.edge), 1))
            painter.drawRoundedRect(ground, 5, 5)

    def _before_remark(self) -> str:
        return f"{self.caption}, " if self.caption and self.remark else self.caption

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
        self.setMinimumSize(8, px(HIGH) + 2 * SIDE)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A line at the height of the dots."""
        look = tokens()
        QPainter(self).fillRect(
            QRectF(2, SIDE + px(10) - 1, self.width() - 4, 2), QColor(look.accent if self.gone else look.line)
        )


class StateStrip(Card):
    """How far the model is on its way, and the pages of its steps.

    Attributes:
        steps: By name of the page: look, plan, recover, judge, export.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's way."""
        super().__init__(parent, margin=2)
        self.document = document
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.steps = {
            "look": Step(self.tr("Look")),
            "plan": Step(self.tr("Plan")),
            "recover": Step(self.tr("Recover")),
            "judge": Step(self.tr("Judge")),
            "export": Step(self.tr("Export")),
        }
        self._lines: dict[str, _Line] = {}
        row = row_of(gap=6)
        for name, step in self.steps.items():
            if name != "look":
                self._lines[name] = _Line()
                row.addWidget(self._lines[name], 1)
            row.addWidget(step)
            step.clicked.connect(lambda _checked=False, name=name: self._ask_for_page(name))
            step.chosen.connect(document.plan.go_to)
        self.body.addLayout(row)
        document.dispatcher.watch(SHOWN, self.refresh)
        self.refresh()

    def _ask_for_page(self, name: str) -> None:
        self.document.requested.emit(lambda window: window.show_page(name))

    def show_page(self, name: str) -> None:
        """Mark the step whose page is in front; none for a page that belongs to no step."""
        for own, step in self.steps.items():
            step.setChecked(own == name)

    def refresh(self, _aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show all steps again."""
        document = self.document
        present, marked = document.state, bool(document.marked.any())
        way = [] if present is None else path_through(document.states, present)
        cut = next((n for n in reversed(range(len(way))) if way[n].kind is StateKind.CUT), len(way))
        recovered = next((s for s in reversed(way[cut:]) if s.kind in (StateKind.RECOVERED, StateKind.ATTACHED)), None)
        made = [one for one in (way[cut] if cut < len(way) else None, recovered) if one is not None]
        steps = {"look": [document.original] if document.original is not None else [], "recover": made}
        for name, states in steps.items():
            step = self.steps[name]
            step.states = [(one.id, state_name(document.states, one.id)) for one in states]
            if not states:
                self._show(name, "todo", self.tr("no model") if name == "look" else self.tr("not yet"))
                step.known = ""
                continue
            # Of what was cut and recovered the step tells the one where the document is.
            state = present if present in states else states[-1]
            metric, timing = document.metric(state), timing_of(state, document.target)
            cost = scaled(state.macs) + " MACs" if timing is None else milliseconds(timing.median)
            caption = cost if metric is None else f"{value_text(metric)}, {cost}"
            if state.kind is StateKind.CUT:
                caption = self.tr("cut: {0}").format(caption)
            self._show(name, "present" if present is state and not marked else "done", caption)
            step.known = measured_tip(state, metric, timing, document.evaluation_split)
        plan, original = document.plan_costs, document.original_costs
        if marked and plan is not None and original is not None:
            less, number = change(original.macs, plan.macs), count(int(document.marked.sum()))
            self._show("plan", "present", self.tr("{0} MACs, {1} marked").format(less, number))
        elif made:
            self._show("plan", "done", self.tr("done"))
        else:
            self._show("plan", "todo", self.tr("nothing marked"))
        verdict = document.goal_verdict
        judged = present in made and not marked
        short = goal_short(verdict) if judged else ""
        step = self.steps["judge"]
        self._show("judge", "done" if short else "todo", "" if short else self.tr("not yet"))
        step.add_remark(short, verdict is not None and bool(verdict.met))
        step.known = "\n".join(filter(None, (goal_words(verdict), goal_tip(verdict)))) if judged else ""
        exported = document.contents.last_export
        if exported is None:
            self._show("export", "todo", self.tr("not yet"))
        else:
            known = exported.format in EXPORTERS
            called = engine_words(EXPORTERS[exported.format].title) if known else exported.format
            self._show("export", "done", f"{called}, {size(exported.bytes)}")
        tips = {
            "look": self.tr("See the layers, what they do and what can be removed"),
            "plan": self.tr("Choose what is removed, and what that costs"),
            "recover": self.tr("Fine-tune what was cut, and watch it"),
            "judge": self.tr("See what the cut changed: classes, samples, baselines"),
            "export": self.tr("Write the result, and see what was written"),
        }
        for name, step in self.steps.items():
            step.setToolTip("\n".join(filter(None, (tips[name], step.known))))

    def _show(self, name: str, stage: str, caption: str) -> None:
        step = self.steps[name]
        here = self.tr("current state") if stage == "present" else ""
        step.show_stage(stage, caption, ", ".join(filter(None, (step.text(), caption, here))))
        if name in self._lines:
            self._lines[name].gone = stage != "todo"
            self._lines[name].update()
