"""Tells that a job has come to its end where nobody looks at the window: task bar, title, the system's notification."""

from PySide6.QtCore import QEvent, QObject, Slot
from PySide6.QtWidgets import QApplication, QMainWindow, QSystemTrayIcon

from ..jobs.workbench import Workbench
from .window_title import WindowTitle

WORTH_MARKING, WORTH_TELLING = 3.0, 30.0
"""Seconds that a job must have taken to mark the title, and for the system to say that it ended: less is noise."""
STAYS = 10_000
"""Milliseconds that the system shows a notification."""


class DesktopNotifications(QObject):
    """Watches the jobs of a window."""

    def __init__(self, window: QMainWindow, title: WindowTitle, workbench: Workbench) -> None:
        """Belong to a window and its title; tell of the jobs of a workbench."""
        super().__init__(window)
        self._window, self._title = window, title
        self._tray: QSystemTrayIcon | None = None
        workbench.runner.ended.connect(self._ended)
        window.installEventFilter(self)

    @Slot(str, float)
    def _ended(self, sentence: str, seconds: float) -> None:
        looked_at = QApplication.activeWindow() is not None  # this one, or a dialog or a panel of it
        if seconds < WORTH_MARKING or looked_at:
            return
        QApplication.alert(self._window)
        self._title.mark(True)
        if seconds >= WORTH_TELLING:
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
        self._tray.showMessage(
            self._title.plain().replace("[*]", ""), sentence, QSystemTrayIcon.MessageIcon.Information, STAYS
        )

    @Slot()
    def _raise(self) -> None:
        self._window.raise_()
        self._window.activateWindow()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window is looked at: nothing is to be told any more."""
        if event.type() is QEvent.Type.WindowActivate and self._title.marked:
            self._title.mark(False)
            if self._tray is not None:
                self._tray.hide()
        return False
