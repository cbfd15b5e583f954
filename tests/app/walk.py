"""A walk at random through the window: commands, clicks and keys, as nobody would do them, from a seed.

Every step is written down before it is taken, so that a walk that fails can be read, and walked again.
"""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QAction, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QFileDialog, QMenu, QWidget

from secateur.app.commands import COMMANDS
from secateur.app.document.aspects import Selection
from secateur.app.jobs.workbench import Workbench
from secateur.app.window.file_menus import RecentMenu
from secateur.app.window.main_window import MainWindow
from secateur.engine.errors import PlanError, SecateurError
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.planning.goal import solve
from secateur.engine.planning.target_shape import shape_of
from secateur.engine.process.events import Progressed
from secateur.engine.session.states import OpenedModel, PlanIntent, StateKind
from secateur.engine.structures.analysis import from_identities
from secateur.engine.targets.protocol import Timing
from secateur.engine.workflows.shape_answer import ShapeAnswer, ShapeProblem

from .demo_analysis import scores_of
from .fake_link import FakeLink
from .playing import top1
from .stand_in import state_of, task_info

ELSEWHERE = {"file.quit", "file.resnet", "file.vit", "file.open", "file.open_project", "run.bench_results"}
"""Commands that leave the model, or the window."""
KEYS = (
    Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Space, Qt.Key.Key_Return,
    Qt.Key.Key_Delete, Qt.Key.Key_Escape, Qt.Key.Key_Tab, Qt.Key.Key_Backtab, Qt.Key.Key_Home, Qt.Key.Key_End,
    Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_F2, Qt.Key.Key_5, Qt.Key.Key_0, Qt.Key.Key_A, Qt.Key.Key_L,
    Qt.Key.Key_Minus, Qt.Key.Key_Period, Qt.Key.Key_Backspace,
)  # fmt: skip
MODIFIERS = (
    Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier,
)  # fmt: skip
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
UNFORESEEN = ("engine.unexpected", "engine.lost", "engine.given_up", "engine.unknown_call", "engine.not_started")


@dataclass
class Walker:
    """Walks through a window.

    Attributes:
        window: The window, with a model open.
        seed: Of all that is random.
        further: Kinds of steps of the caller's own, each taken with its weight.
        steps: What was done, in words.
        faults: What must not happen: exceptions, and errors that nobody foresaw.
        tell: Is told each step once it was taken.
        check: Looks at the window after each step, and adds to `faults`.
    """

    window: MainWindow
    seed: int
    further: dict[str, tuple[float, Callable[[random.Random], str]]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.window.document.failed.connect(self._failed)
        self.tell: Callable[[str], None] = lambda step: None
        self.check: Callable[[], None] = lambda: None

    def _failed(self, error: SecateurError) -> None:
        if error.message.code in UNFORESEEN:
            self.faults.append(f"{error}\n{error.details}")

    def walk(self, count: int) -> None:
        """Take so many steps; ends at the first fault."""
        kinds = {
            "command": (4.0, self.command),
            "click": (6.0, self.click),
            "key": (5.0, self.key),
            "drag": (1.0, self.drag),
            "wheel": (1.0, self.wheel),
            "select": (2.0, self.select),
            "wait": (1.0, self.wait),
        } | self.further
        names, weights = list(kinds), [weight for weight, _ in kinds.values()]
        for number in range(count):
            step = self.in_front() or kinds[self.random.choices(names, weights)[0]][1]
            self.steps.append(f"{number}: begun")
            words = step(self.random)
            self.steps[-1] = f"{number}: {words}"
            self.tell(self.steps[-1])
            QApplication.processEvents()
            self.check()
            if self.faults:
                raise AssertionError(self.account())

    def account(self, last: int = 40) -> str:
        """What went wrong, and the steps that led there."""
        return "\n".join([f"seed {self.seed}", *self.faults, "last steps:", *self.steps[-last:]])

    # What lies over the window is dealt with first, mostly.

    def in_front(self) -> Callable[[random.Random], str] | None:
        """A step for a menu or a dialog that is open, None for none."""
        if QApplication.activePopupWidget() is not None:
            return self.popup
        dialogs = [w for w in QApplication.topLevelWidgets() if isinstance(w, QDialog) and w.isVisible()]
        if not dialogs:
            return None
        return lambda draw: self.dialog(dialogs[-1], draw)

    def popup(self, draw: random.Random) -> str:
        """Choose an entry of a menu, or leave it."""
        popup: Any = QApplication.activePopupWidget()
        if isinstance(popup, QMenu) and draw.random() < 0.5:
            usable = [action for action in popup.actions() if action.isEnabled() and stays(action)]
            if usable:
                action = draw.choice(usable)
                text = action.text()
                popup.setActiveAction(action)
                QTest.keyClick(popup, Qt.Key.Key_Return)
                return f"menu entry {text!r}"
        QTest.keyClick(popup, Qt.Key.Key_Escape)
        if popup is QApplication.activePopupWidget():
            popup.close()
        return f"leave {type(popup).__name__}"

    def dialog(self, dialog: QDialog, draw: random.Random) -> str:
        """Fill in a little, accept, or leave."""
        name, chance = type(dialog).__name__, draw.random()
        if isinstance(dialog, QFileDialog) or chance < 0.35:
            dialog.reject()
            return f"leave {name}"
        button = getattr(dialog, "accept_button", None)
        if chance < 0.5 and button is not None and button.isEnabled():
            QTest.mouseClick(button, LEFT)
            return f"accept {name}"
        return f"{name}: " + (self.click(draw, dialog) if chance < 0.75 else self.key(draw))

    # Kinds of steps.

    def command(self, draw: random.Random) -> str:
        """Any command."""
        one = draw.choice([c for c in COMMANDS if c.id not in ELSEWHERE])
        self.window.commands.run(one)
        return f"command {one.id}"

    def click(self, draw: random.Random, root: QWidget | None = None) -> str:
        """Anything that is seen, anywhere on it."""
        root = root or self.window
        widgets = [w for w in root.findChildren(QWidget) if w.isVisible() and w.isEnabled() and w.window() is root]
        if not widgets:
            return "click nothing"
        widget = draw.choice(widgets)
        where = QPoint(draw.randrange(max(widget.width(), 1)), draw.randrange(max(widget.height(), 1)))
        modifier, kind = draw.choice(MODIFIERS), draw.random()
        words = f"{type(widget).__name__} {widget.accessibleName()!r} at {where.x()}, {where.y()} with {modifier.name}"
        if kind < 0.12:
            QTest.mouseDClick(widget, LEFT, modifier, where)
            return f"double-click {words}"
        QTest.mouseClick(widget, RIGHT if kind < 0.2 else LEFT, modifier, where)
        return f"{'right-' if kind < 0.2 else ''}click {words}"

    def key(self, draw: random.Random) -> str:
        """A key on what has the focus."""
        key, modifier = draw.choice(KEYS), draw.choice(MODIFIERS)
        focus = QApplication.focusWidget() or self.window
        words = f"key {modifier.name} {key.name} on {type(focus).__name__} {focus.accessibleName()!r}"
        QTest.keyClick(focus, key, modifier)
        return words

    def drag(self, draw: random.Random) -> str:
        """Press, move, let go."""
        widgets = [w for w in self.window.findChildren(QWidget) if w.isVisible() and w.isEnabled() and w.width() > 40]
        widgets = [w for w in widgets if w.window() is self.window]
        if not widgets:
            return "drag nothing"
        widget = draw.choice(widgets)
        points = [QPoint(draw.randrange(widget.width()), draw.randrange(max(widget.height(), 1))) for _ in range(3)]
        QTest.mousePress(widget, LEFT, Qt.KeyboardModifier.NoModifier, points[0])
        for point in points[1:]:
            QTest.mouseMove(widget, point)
        if widget.isVisible():
            QTest.mouseRelease(widget, LEFT, Qt.KeyboardModifier.NoModifier, points[-1])
        return f"drag over {type(widget).__name__} {widget.accessibleName()!r}"

    def wheel(self, draw: random.Random) -> str:
        """Turn the wheel over something."""
        widgets = [w for w in self.window.findChildren(QWidget) if w.isVisible() and w.window() is self.window]
        if not widgets:
            return "wheel over nothing"
        widget = draw.choice(widgets)
        middle, turn = QPointF(widget.rect().center()), QPoint(0, draw.choice((-240, -120, 120, 240)))
        event = QWheelEvent(
            middle, QPointF(widget.mapToGlobal(middle.toPoint())), QPoint(), turn, Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(widget, event)
        return f"wheel over {type(widget).__name__}"

    def select(self, draw: random.Random) -> str:
        """Anything of the model, so that commands have something to work on."""
        document = self.window.document
        if document.analysis is None:
            return "select nothing"
        number = draw.randrange(len(document.analysis.sets))
        one = document.analysis.sets[number]
        structure = draw.choice((-1, one.first + draw.randrange(one.count)))
        document.select(Selection(one.module, number, structure))
        return f"select {one.module}, structure {structure}"

    def wait(self, draw: random.Random) -> str:
        """Nothing for a while."""
        end, span = time.monotonic(), draw.uniform(0.02, 0.3)
        while time.monotonic() - end < span:
            QApplication.processEvents()
            time.sleep(0.005)
        return f"wait {span:.2f} s"

    # The way back.

    def tidy(self) -> None:
        """Close what lies over the window and stop all jobs."""
        for _ in range(50):
            if (popup := QApplication.activePopupWidget()) is not None:
                popup.close()
            for widget in QApplication.topLevelWidgets():
                if isinstance(widget, QDialog) and widget.isVisible():
                    widget.reject()
            QApplication.processEvents()
        for job in self.window.document.jobs:
            self.window.workbench.runner.cancel(job.id)

    def undo_all(self) -> int:
        """Back to the start; how many steps that was."""
        count = 0
        while self.window.document.history.undo_text:
            self.window.document.plan.undo()
            QApplication.processEvents()
            count += 1
        return count


class Answers:
    """Plays the engine: answers the call that is at its turn, lets it go on for a while, or gives up on it.

    Attributes:
        models: By source, what opening it gives.
    """

    def __init__(self, workbench: Workbench, link: FakeLink) -> None:
        self.workbench, self.document, self.link = workbench, workbench.document, link
        self.models: dict[str, OpenedModel] = {}
        self.made = 0

    def step(self, draw: random.Random) -> str:
        jobs = self.workbench.runner.queue.jobs()
        if not jobs:
            return "engine rests"
        job, chance = jobs[0], draw.random()
        if job.id in self.link.cancelled:
            self.link.failed.emit(job.id, Cancelled())
            return f"engine obeys: {job.method}"
        if chance < 0.3:
            done = draw.randrange(100)
            values = {"step": float(done), "loss": draw.random()} if job.method == "recover" else {}
            self.link.progressed.emit(job.id, Progressed(1, Progress("on the way", done, 100), (values,), ()))
            return f"engine goes on: {job.method}"
        result = self.result(job.method, self.link.calls[job.id][1])
        if result is None:
            self.link.failed.emit(job.id, Cancelled())
        else:
            self.link.finished.emit(job.id, result)
        return f"engine answers: {job.method}"

    def finish(self) -> None:
        """Answer until nothing runs or waits."""
        draw = random.Random(0)
        while self.workbench.runner.queue.jobs():
            self.step(draw)
            QApplication.processEvents()

    def result(self, method: str, arguments: tuple) -> object:
        document, analysis = self.document, self.document.analysis
        if method == "open":
            return self.models.get(arguments[0].source)
        if analysis is None:
            return None
        if method == "score":
            return np.where(document.removed, np.nan, scores_of(analysis))
        if method == "evaluate":
            return top1(0.9)
        if method == "evaluate_original":
            return top1(0.914), task_info()
        if method == "shape":
            return self.shape(*arguments[1:3])
        if method == "measure":
            return tuple(Timing(arguments[1], 0.7, 0.6, 0.8, 100, "2 cores") for _ in arguments[0])
        if method in ("cut", "recover"):
            self.made += 1
            kind = StateKind.CUT if method == "cut" else StateKind.RECOVERED
            removed = arguments[1] if method == "cut" else document.removed
            return state_of(analysis, f"s{self.made}", arguments[0], kind, removed, 0.85, 0.5)
        return None

    def shape(self, intent: PlanIntent, scores: np.ndarray) -> ShapeAnswer:
        """What a target shape comes to, by the solver."""
        analysis = self.document.analysis
        assert analysis is not None and intent.goal is not None
        locked, marked = (from_identities(analysis, one)[0] for one in (intent.locked, intent.marked))
        goal, gone = intent.goal, self.document.removed | marked
        try:
            removed = solve(analysis, scores, goal, gone, locked).removed
        except PlanError as error:
            return ShapeAnswer(goal.shape, shape_of(analysis, gone), problems=(ShapeProblem(error.message, None, ()),))
        return ShapeAnswer(goal.shape, shape_of(analysis, removed), removed=removed)


def stays(action: QAction) -> bool:
    """An entry of a menu that leaves neither the model nor the window."""
    recent = isinstance(action.parent(), RecentMenu)
    return bool(action.text()) and action.menu() is None and action.objectName() not in ELSEWHERE and not recent


def on_exceptions(walker: Walker) -> Callable[[], None]:
    """Let exceptions anywhere in a slot become faults; gives what puts the hook back."""
    before = sys.excepthook

    def hook(kind, error, trace) -> None:
        import traceback

        walker.faults.append("".join(traceback.format_exception(kind, error, trace)))

    sys.excepthook = hook

    def restore() -> None:
        sys.excepthook = before

    return restore
