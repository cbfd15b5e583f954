"""What the desktop shows of a window that is not looked at: title, progress in the task bar, notifications."""

import os

from PySide6.QtCore import QEvent, QObject, Slot
from PySide6.QtWidgets import QApplication, QMainWindow, QSystemTrayIcon

from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import JobView
from ..jobs.workbench import Workbench

MARK = "\u25cf "
"""Before the title until the window is looked at."""
WORTH_SHOWING = 2.0
"""Seconds that a job has run before the title tells of it: what is over sooner would only make it flicker."""


class WindowTitle(QObject):
    """Keeps the title of a window.

    Attributes:
        marked: It has its mark.
    """

    def __init__(self, window: QMainWindow, document: Document) -> None:
        """Belong to a window; tell of a document."""
        super().__init__(window)
        self._window, self._document = window, document
        self.marked = False
        document.dispatcher.watch(frozenset({Aspect.MODEL, Aspect.JOBS}), self.refresh)
        self.refresh()

    def mark(self, on: bool) -> None:
        """Put the mark on it, or take it away."""
        self.marked = on
        self.refresh()

    def plain(self) -> str:
        """What is open, without mark and progress, with Qt's place holder for unsaved changes."""
        place = self._document.engine.place
        program = self.tr("Secateur on {host}").format(host=place) if place else "Secateur"
        if self._document.analysis is None:
            return f"{program}[*]"
        return self.tr("{name}[*] - {program}").format(name=self._document.model_name, program=program)

    def refresh(self, _aspects: frozenset[Aspect] = frozenset()) -> None:
        """Write it."""
        progress = next((f"{progress_words(job)} - " for job in self._document.jobs if _is_shown(job)), "")
        self._window.setWindowTitle((MARK if self.marked else "") + progress + self.plain())


def progress_words(job: JobView) -> str:
    """How far a job is, and what it does: "42 % Recover, 8 epochs"."""
    name = job.title.replace("[*]", "")
    return name if job.share < 0 else f"{int(100 * job.share)} % {name}"


def _is_shown(job: JobView) -> bool:
    """Whether it runs, was asked for, and takes a while."""
    return not job.place and not job.background and job.elapsed >= WORTH_SHOWING


# Docks of Linux desktops (Plasma, Ubuntu's and other docks of GNOME) listen to one signal on the session bus, known as
# Unity's launcher API: https://wiki.ubuntu.com/Unity/LauncherAPI. Where there is no session bus, nothing is sent.
BUS = "DBUS_SESSION_BUS_ADDRESS"
"""Variable that says where the session bus is; without it Qt would start one."""
PATH, INTERFACE, SIGNAL = "/org/secateur/Secateur", "com.canonical.Unity.LauncherEntry", "Update"
DESKTOP_FILE = "org.secateur.Secateur"
"""What the program is called among the entries of the desktop."""
STEP = 0.01
"""Smallest change of progress that is sent."""


class TaskbarProgress(QObject):
    """Tells the task bar how far the running job is."""

    def __init__(self, document: Document, parent: QObject) -> None:
        """Tell of a document's jobs."""
        super().__init__(parent)
        self._document = document
        self._sent = -1.0
        if os.environ.get(BUS):
            document.dispatcher.watch(frozenset({Aspect.JOBS}), self._show_progress)

    def _show_progress(self, _aspects: frozenset[Aspect]) -> None:
        share = next((job.share for job in self._document.jobs[:1] if _is_shown(job)), -1.0)
        if abs(share - self._sent) < STEP:
            return
        self._sent = share
        # Imported late: most starts do without it.
        from PySide6.QtDBus import QDBusConnection, QDBusMessage

        bus = QDBusConnection.sessionBus()
        if bus.isConnected():
            message = QDBusMessage.createSignal(PATH, INTERFACE, SIGNAL)
            message.setArguments(
                [f"application://{DESKTOP_FILE}.desktop", {"progress": max(share, 0.0), "progress-visible": share >= 0}]
            )
            bus.send(message)


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
        workbench.runner.ended.connect(self._on_ended)
        window.installEventFilter(self)

    @Slot(str, float)
    def _on_ended(self, sentence: str, seconds: float) -> None:
        # A dialog or a floating panel of this window counts too.
        looked_at = QApplication.activeWindow() is not None
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
        """Take mark and notification back once the user looks at the window."""
        if event.type() is QEvent.Type.WindowActivate and self._title.marked:
            self._title.mark(False)
            if self._tray is not None:
                self._tray.hide()
        return False
