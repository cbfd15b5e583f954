"""Starts the application: look, workbench, window, then the model that was asked for."""

import signal
import sys
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from secateur.engine.sources.protocol import ModelSpec

from .. import theme
from ..jobs.engine_link import EngineLink
from ..jobs.engine_supervisor import Client
from ..jobs.workbench import Workbench
from ..storage import settings
from ..storage.background import BackgroundTasks
from ..window.main_window import MainWindow
from ..window.taskbar import DESKTOP_FILE
from . import translations
from .exception_hook import ExceptionHook
from .file_opener import FileOpener
from .gc_timer import GcTimer


def make_application() -> QApplication:
    """The application with its names and look."""
    QCoreApplication.setOrganizationName(settings.NAME)
    QCoreApplication.setApplicationName(settings.NAME)
    QGuiApplication.setDesktopFileName(DESKTOP_FILE)
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    application.setApplicationDisplayName("")
    if application.findChild(GcTimer) is None:
        GcTimer(application)
    translations.install(application)
    look = theme.apply(application, settings.theme_choice(), settings.value("text", 0))
    look.reduce_motion(settings.value(settings.STILL, False))
    return application


class WindowHolder(QObject):
    """Holds the program's window, and puts another in its place where an engine elsewhere is chosen.

    Attributes:
        window: The present one.

    Signals:
        replaced: The window that has come in the place of another.
    """

    replaced = Signal(object)

    def __init__(self, engine: Client | None = None, parent: QObject | None = None) -> None:
        """Make a window with an engine of its own, or with that."""
        super().__init__(parent)
        self._left = BackgroundTasks("windows that were left")
        self.window = self._made(engine)

    def _made(self, engine: Client | None) -> MainWindow:
        window = make_window(engine)
        window.engine_chosen.connect(self._replace)
        return window

    @Slot(object, object)
    def _replace(self, engine: Client | None, then: Callable[[MainWindow], None] | None) -> None:
        before, self.window = self.window, self._made(engine)
        self.window.restoreGeometry(before.saveGeometry())
        if then is not None:
            self.window.painted.connect(partial(then, self.window))
        self.replaced.emit(self.window)
        self.window.show()
        before.leave(beside=True)
        self._left.run(before.workbench.end, on_done=lambda _none: before.deleteLater())

    def wait(self) -> None:
        """Wait until the engines of windows that were left have ended: what is told to one elsewhere must get there."""
        self._left.close()


def make_window(engine: Client | None = None) -> MainWindow:
    """A window on an empty document with an engine of its own, which takes a session after the first paint."""
    window = MainWindow(Workbench(EngineLink(engine)))
    application = QCoreApplication.instance()
    if application is not None and (collector := application.findChild(GcTimer)) is not None:
        window.built.connect(collector.freeze)
    return window


def start(spec: ModelSpec | None, asked: bool = True, engine: Client | None = None) -> int:
    """Show the window, open a model, serve until the window is closed.

    Args:
        spec: The model, None for an empty window.
        asked: It was asked for by name; else what can be restored comes first.
        engine: One that loads its libraries already; None for another.
    """
    application = make_application()
    mishaps = ExceptionHook(application)
    mishaps.install()
    _end_on_interrupt(application)
    holder = WindowHolder(engine)
    window = holder.window
    holder.replaced.connect(FileOpener(application, window).serve)
    window.show()
    if spec is not None:
        window.painted.connect(lambda: window.begin(spec) if asked else window.begin_with(spec))
    status = application.exec()
    holder.wait()
    return status


def _end_on_interrupt(application: QApplication) -> None:
    """Ctrl-C in the terminal ends the program; Python sees it only while it runs, hence the timer."""
    signal.signal(signal.SIGINT, lambda *_: application.quit())
    timer = QTimer(application, interval=300)
    timer.timeout.connect(lambda: None)
    timer.start()
