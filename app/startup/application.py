"""Starts the application: look, translation, workbench, window, then the model that was asked for.

What lives as long as the application is here too: its garbage collection, and the files that macOS hands to it.
"""

import gc
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QEvent, QLibraryInfo, QLocale, QObject, QTimer, QTranslator, Signal, Slot
from PySide6.QtGui import QFileOpenEvent, QGuiApplication
from PySide6.QtWidgets import QApplication

from secateur.engine.sources.protocol import ModelSpec

from .. import theme
from ..jobs.engine_link import Client, EngineLink
from ..jobs.workbench import Workbench
from ..storage import settings
from ..storage.background import BackgroundTasks
from ..window.desktop_signs import DESKTOP_FILE
from ..window.main_window import MainWindow
from .exception_hook import ExceptionHook


class FileOpener(QObject):
    """Opens the files that macOS hands to the program: a double click there sends an event, and no argument.

    Before the window is painted, only the file that came last is opened.
    """

    def __init__(self, application: QObject, window: MainWindow) -> None:
        """Listen for as long as the application lives."""
        super().__init__(application)
        self._waiting = ""
        self.serve(window)
        application.installEventFilter(self)

    def serve(self, window: MainWindow) -> None:
        """Open files in that window from now on."""
        self._window, self._painted = window, False
        window.painted.connect(self._open_last)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take what asks for a file."""
        if isinstance(event, QFileOpenEvent) and event.file():
            self._waiting = event.file()
            if self._painted:
                self._open_last()
            return True
        return super().eventFilter(watched, event)

    def _open_last(self) -> None:
        self._painted = True
        path, self._waiting = self._waiting, ""
        if path:
            self._window.open_source(path)


PAUSE = 500
"""Milliseconds between two looks."""


class GcTimer(QObject):
    """Collects garbage in the interface's thread only, for as long as it lives.

    Python collects cycles in whichever thread happens to allocate. One that holds a widget or a timer must not be
    destroyed in a thread of the engine's link or of the autosave: Qt ends the program then. So automatic collection is
    off, and a timer collects here, generation by generation, as Python would.
    """

    def __init__(self, parent: QObject) -> None:
        """Take over from Python."""
        super().__init__(parent)
        self._thresholds = gc.get_threshold()
        gc.disable()
        self.freeze()
        self._timer = QTimer(self, interval=PAUSE)
        self._timer.timeout.connect(self.collect)
        self._timer.start()

    @Slot()
    def freeze(self) -> None:
        """What is there now stays, and is not looked through again: that would take longer than a few frames."""
        gc.freeze()

    @Slot()
    def collect(self) -> None:
        """Collect the oldest generation that is due."""
        counts = gc.get_count()
        due = [age for age, (count, limit) in enumerate(zip(counts, self._thresholds)) if count > limit]
        if due:
            gc.collect(due[-1])

    def stop(self) -> None:
        """Give back to Python."""
        self._timer.stop()
        gc.enable()


FOLDER = Path(__file__).parents[1] / "translations"
"""Files `secateur_de.qm` and the like; how they are made says `packaging/strings.py`."""


def install_translations(
    application: QCoreApplication, locale: QLocale | None = None, folder: Path = FOLDER
) -> list[QTranslator]:
    """Load what there is for a language: our words, and Qt's own for its dialogs; English needs neither."""
    locale = locale or QLocale.system()
    qt = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    found: list[QTranslator] = []
    for name, place in (("secateur", str(folder)), ("qtbase", qt)):
        translator = QTranslator(application)
        if (not found and name == "qtbase") or not translator.load(locale, name, "_", place):
            translator.deleteLater()
            continue
        application.installTranslator(translator)
        found.append(translator)
    return found


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
    install_translations(application)
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
        self.window = self._make_window(engine)

    def _make_window(self, engine: Client | None) -> MainWindow:
        window = make_window(engine)
        window.engine_chosen.connect(self._replace)
        return window

    @Slot(object, object)
    def _replace(self, engine: Client | None, then: Callable[[MainWindow], None] | None) -> None:
        before, self.window = self.window, self._make_window(engine)
        self.window.restoreGeometry(before.saveGeometry())
        if then is not None:
            self.window.painted.connect(partial(then, self.window))
        self.replaced.emit(self.window)
        self.window.show()
        before.leave(beside=True)
        self._left.run(before.workbench.end, on_done=lambda _none: before.deleteLater())

    def wait(self) -> None:
        """Wait until the engines of windows that were left have ended: one elsewhere must get its last messages."""
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
    ExceptionHook(application).install()
    # Ctrl-C in the terminal ends the program. Python sees it only while it runs, hence a timer that does nothing.
    signal.signal(signal.SIGINT, lambda *_: application.quit())
    timer = QTimer(application, interval=300)
    timer.timeout.connect(lambda: None)
    timer.start()
    holder = WindowHolder(engine)
    window = holder.window
    holder.replaced.connect(FileOpener(application, window).serve)
    window.show()
    if spec is not None:
        window.painted.connect(lambda: window.begin(spec) if asked else window.begin_with(spec))
    status = application.exec()
    holder.wait()
    return status
