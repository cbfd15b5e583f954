"""Tells that a job has come to its end where nobody looks at the window: taskbar, title, the system's notification."""

from PySide6.QtCore import QEvent, QObject, Slot
from PySide6.QtWidgets import QApplication, QMainWindow, QSystemTrayIcon

from ..jobs.workbench import Workbench

WORTH_TELLING = 3.0
"""Seconds that a job must have taken: nobody leaves for less."""
MARK = "\u25cf "
"""Before the title until the window is looked at."""
STAYS = 10_000
"""Milliseconds that the system shows a notification."""


class DesktopNotifications(QObject):
    """Watches the jobs of a window.

    Attributes:
        marked: The title has its mark.
    """

    def __init__(self, window: QMainWindow, workbench: Workbench) -> None:
        """Belong to a window; tell of the jobs of a workbench."""
        super().__init__(window)
        self._window = window
        self._tray: QSystemTrayIcon | None = None
        self.marked = False
        workbench.runner.ended.connect(self._ended)
        window.installEventFilter(self)

    @Slot(str, float)
    def _ended(self, sentence: str, seconds: float) -> None:
        if seconds < WORTH_TELLING or self._window.isActiveWindow():
            return
        QApplication.alert(self._window)
        self._mark(True)
        self.notify(sentence)

    def notify(self, sentence: str) -> None:
        """Let the system say it, where it can."""
        if not QSystemTrayIcon.isSystemTrayAvailable() or not QSystemTrayIcon.supportsMessages():
            return
        if self._tray is None:
            icon, style = self._window.windowIcon(), self._window.style()
            self._tray = QSystemTrayIcon(self)
            self._tray.setIcon(style.standardIcon(style.StandardPixmap.SP_ComputerIcon) if icon.isNull() else icon)
            self._tray.setToolTip(QApplication.applicationName())
            self._tray.messageClicked.connect(self._raise)
            self._tray.activated.connect(self._raise)
        self._tray.show()
        title = self._window.windowTitle().replace("[*]", "").removeprefix(MARK)
        self._tray.showMessage(title, sentence, QSystemTrayIcon.MessageIcon.Information, STAYS)

    @Slot()
    def _raise(self) -> None:
        self._window.raise_()
        self._window.activateWindow()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window is looked at: nothing is to be told any more."""
        if event.type() is QEvent.Type.WindowActivate and self.marked:
            self._mark(False)
        return False

    def _mark(self, on: bool) -> None:
        self.marked = on
        title = self._window.windowTitle().removeprefix(MARK)
        self._window.setWindowTitle(MARK + title if on else title)
        if not on and self._tray is not None:
            self._tray.hide()
