"""A tour of six steps over the sample: each says what to look at, and can do it. It can be stopped at any step."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QPoint, QRect, Qt, Slot
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QWidget
from shiboken6 import isValid

from secateur.engine.session.states import StateKind

from ..commands.registry import command_named
from ..dialogs.window_api import WindowApi
from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import Receipt
from ..text.translate import QT_TRANSLATE_NOOP
from ..theme import tokens
from ..widgets.buttons import PrimaryButton, button, set_available
from ..widgets.card import Card, corner_place
from ..widgets.labels import label

CONTEXT = "Tour"
WIDTH, GAP = 400, 12
"""Of the card, and around it, in device-independent pixels."""
AROUND = 4
"""Between what is pointed at and the frame around it, in device-independent pixels."""
MOVED = frozenset({QEvent.Type.Resize, QEvent.Type.LayoutRequest, QEvent.Type.Show, QEvent.Type.Hide})
"""Events of the widgets around it, after which it may have to move."""
SHOWN = frozenset({Aspect.MODEL, Aspect.MARKS, Aspect.STATES, Aspect.SELECTION, Aspect.JOBS, Aspect.SCORES})


@dataclass(frozen=True, slots=True)
class TourStep:
    """A step of the tour.

    Attributes:
        title: What it is about.
        text: What to see and to do.
        part: Where to look: a name that the window knows, "" for nowhere.
        command: Id of the command that does it, "" where there is only something to look at.
        done: Whether it is done in a document; the tour goes on by itself then.
        page: Page with what it points at, "" where every page has that.
    """

    title: str
    text: str
    part: str
    command: str = ""
    done: Callable[[Document], bool] = lambda _document: False
    page: str = ""


def _is(kind: StateKind) -> Callable[[Document], bool]:
    return lambda document: document.state is not None and document.state.kind is kind


STEPS = (
    TourStep(
        QT_TRANSLATE_NOOP(CONTEXT, "Open a model with its data"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "The sample is a small ResNet with images of clothes. Your own model opens the same way, with Open at the "
            "left, from a Python file, a library, ONNX or Hugging Face.",
        ),
        "open",
        "file.resnet",
        lambda document: document.analysis is not None,
    ),
    TourStep(
        QT_TRANSLATE_NOOP(CONTEXT, "See what can be removed"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "The tree lists the layers with what each keeps. The colour is the score: dark structures matter least. "
            "Select a layer to see what is removed with it.",
        ),
        "tree",
        done=lambda document: document.selection.module != "",
        page="look",
    ),
    TourStep(
        QT_TRANSLATE_NOOP(CONTEXT, "State the goal"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Say what to keep of which cost, and how much of the metric may be lost. The plan marks what matters "
            "least; nothing is removed yet, and you can change every mark.",
        ),
        "goal",
        "edit.suggest",
        lambda document: bool(document.marked.any()),
    ),
    TourStep(
        QT_TRANSLATE_NOOP(CONTEXT, "Cut"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "The cut makes a smaller model and verifies that it computes what the masked original does. The original "
            "stays; Undo goes back to it.",
        ),
        "primary",
        "run.cut",
        _is(StateKind.CUT),
    ),
    TourStep(
        QT_TRANSLATE_NOOP(CONTEXT, "Recover"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Fine-tuning with the original as teacher brings the metric back. The costs above say whether the goal is "
            "met, the page Judge says what the cut changed.",
        ),
        "ledger",
        "run.recover",
        _is(StateKind.RECOVERED),
    ),
    TourStep(
        QT_TRANSLATE_NOOP(CONTEXT, "Export"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Write the result as ONNX or for PyTorch. The file is loaded in a fresh process and compared. F1 opens "
            "the manual at any time.",
        ),
        "primary",
        "file.export_onnx",
        lambda document: isinstance(document.contents.receipt, Receipt),
    ),
)


class Tour(Card):
    """Hidden until it is asked for; covers a corner of the window, and takes no focus or clicks from anything else.

    Attributes:
        title: Of the step, with its number.
        text: What to see and to do.
        act: Does it, where there is something to do.
        back: To the step before.
        ahead: To the next step; ends the tour behind the last one.
        stop: Ends the tour.
        ring: The frame around what is pointed at.
        number: The step, from 0.
    """

    def __init__(
        self, window: WindowApi, over: QWidget, part: Callable[[str], QWidget | None], beside: QWidget
    ) -> None:
        """Lie over a widget of a window.

        Args:
            window: What the commands of the steps are run in.
            over: The widget that it covers a corner of.
            part: Finds what a step points at by its name, None where it is not there.
            beside: Another card on that widget, which it must not cover.
        """
        super().__init__(over, role="floating")
        self._window, self._over, self._part, self._beside = window, over, part, beside
        self.number, self._was_done = 0, False
        self._came_from: QWidget | None = None
        self.ring = Ring(over)
        self.title, self.text = label(role="strong"), label(wrap=True)
        self.act = PrimaryButton("")
        self.back, self.ahead = button(self.tr("Back")), button(self.tr("Next"))
        self.stop = button(self.tr("Stop the tour"), "link", self.tr("Help > Tour starts it again"))
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.stop)
        self.body.addLayout(head)
        self.body.addWidget(self.text)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.act, 1)
        row.addWidget(self.back)
        row.addWidget(self.ahead)
        self.body.addLayout(row)
        self.act.clicked.connect(self._do)
        self.back.clicked.connect(lambda: self.go(self.number - 1))
        self.ahead.clicked.connect(lambda: self.go(self.number + 1))
        self.stop.clicked.connect(self.end)
        for each in (over, beside):
            each.installEventFilter(self)
        self.hide()
        self.ring.hide()

    def begin(self) -> None:
        """Show the first step."""
        if self.isHidden():
            self._came_from = self._window.as_widget().focusWidget()
        self.show()
        self.go(0)
        self.ahead.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot()
    def end(self) -> None:
        """Put it away; the focus goes back to where it was before the tour."""
        focus, before = self._window.as_widget().focusWidget(), self._came_from
        if focus is not None and self.isAncestorOf(focus) and before is not None and isValid(before):
            before.setFocus(Qt.FocusReason.OtherFocusReason)
        self.hide()
        self.ring.hide()

    def go(self, number: int) -> None:
        """Show a step; behind the last one the tour ends."""
        if number >= len(STEPS):
            return self.end()
        self.number = number
        self._was_done = STEPS[number].done(self._window.document)
        if STEPS[number].page:
            self._window.show_page(STEPS[number].page, keep_all=True)
        self.refresh()

    def refresh(self) -> None:
        """Show the step for the present document, and go on where it was just done; the window calls it."""
        if self.isHidden():
            return
        step, document = STEPS[self.number], self._window.document
        done = step.done(document)
        if done and not self._was_done:
            return self.go(self.number + 1)
        self._was_done = done
        title = QCoreApplication.translate(CONTEXT, step.title)
        self.title.setText(
            self.tr("{number} of {all}: {title}").format(number=self.number + 1, all=len(STEPS), title=title)
        )
        self.text.setText(QCoreApplication.translate(CONTEXT, step.text))
        set_available(self.back, self.number > 0)
        self.ahead.setText(self.tr("Next") if self.number + 1 < len(STEPS) else self.tr("Finish"))
        if not step.command and self.act.hasFocus():
            self.ahead.setFocus(Qt.FocusReason.OtherFocusReason)
        self.act.setVisible(bool(step.command))
        if step.command:
            command = command_named(step.command)
            self.act.say(command.title_now(document))
            self.act.setToolTip(command.tip_now(self._window.workbench))
            set_available(self.act, not command.enabled(document))
        self.setAccessibleName(f"{self.title.text()}. {self.text.text()}")
        self._place()

    @Slot()
    def _do(self) -> None:
        self._window.run_command(STEPS[self.number].command)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep to a corner that the other card leaves free."""
        if event.type() in MOVED and not self.isHidden():
            self._place()
        return False

    def _place(self) -> None:
        """Move to the corner that covers least of what is pointed at, and of the other card."""
        pointed = self._part(STEPS[self.number].part)
        seen = pointed is not None and pointed.isVisible()
        where = QRect(pointed.mapTo(self._over, QPoint()), pointed.size()) if pointed is not None and seen else QRect()
        places = [corner_place(self, self._over.size(), WIDTH, GAP, right=right) for right in (True, False)]
        beside = QRect() if self._beside.isHidden() else self._beside.geometry()
        self.setGeometry(min(places, key=lambda place: sum(_area(place.intersected(one)) for one in (where, beside))))
        self.ring.setVisible(seen)
        self.ring.setGeometry(where.adjusted(-AROUND, -AROUND, AROUND, AROUND))
        self.ring.raise_()
        self.raise_()


class Ring(QWidget):
    """A frame around a part of the window, through which one clicks."""

    def __init__(self, over: QWidget) -> None:
        """Lie over a widget."""
        super().__init__(over)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the frame."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(tokens().marked), 2))
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 8, 8)


def _area(rect: QRect) -> int:
    return max(rect.width(), 0) * max(rect.height(), 0)
