"""Opens the files that macOS hands to the program: a double click there sends an event, and no argument."""

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QFileOpenEvent

from ..window.main_window import MainWindow


class FileOpener(QObject):
    """Opens what an application is asked to open, in a window; before that is painted, the file that came last."""

    def __init__(self, application: QObject, window: MainWindow) -> None:
        """Listen for as long as the application lives."""
        super().__init__(application)
        self._waiting = ""
        self.serve(window)
        application.installEventFilter(self)

    def serve(self, window: MainWindow) -> None:
        """Open in that window from now on."""
        self._window, self._painted = window, False
        window.painted.connect(self._open_waiting)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take what asks for a file."""
        if isinstance(event, QFileOpenEvent) and event.file():
            self._waiting = event.file()
            if self._painted:
                self._open_waiting()
            return True
        return super().eventFilter(watched, event)

    def _open_waiting(self) -> None:
        self._painted = True
        path, self._waiting = self._waiting, ""
        if path:
            self._window.open_source(path)
