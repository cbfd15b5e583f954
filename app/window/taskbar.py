"""The progress of the running job on the program's button in the task bar or dock, where the system draws it.

Docks of Linux desktops (Plasma, Ubuntu's and other docks of GNOME) listen to one signal on the session bus, known as
Unity's launcher API: https://wiki.ubuntu.com/Unity/LauncherAPI. Where there is no session bus, nothing is sent.
"""

import os

from PySide6.QtCore import QObject

from ..document.aspects import Aspect
from ..document.document import Document
from .window_title import WORTH_SHOWING

BUS = "DBUS_SESSION_BUS_ADDRESS"
"""Variable that says where the session bus is; without it Qt would start one."""
PATH, INTERFACE, SIGNAL = "/org/secateur/Secateur", "com.canonical.Unity.LauncherEntry", "Update"
DESKTOP_FILE = "org.secateur.Secateur"
"""What the program is called among the entries of the desktop."""
STEP = 0.01
"""Smallest change of progress that is told."""


class TaskbarProgress(QObject):
    """Tells the task bar how far the running job is."""

    def __init__(self, document: Document, parent: QObject) -> None:
        """Tell of a document's jobs."""
        super().__init__(parent)
        self._document = document
        self._told = -1.0
        if os.environ.get(BUS):
            document.dispatcher.watch(frozenset({Aspect.JOBS}), self._changed)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        jobs = self._document.jobs
        shown = bool(jobs) and not jobs[0].background and jobs[0].elapsed >= WORTH_SHOWING
        share = jobs[0].share if shown else -1.0
        if abs(share - self._told) < STEP:
            return
        self._told = share
        self._send(share)

    def _send(self, share: float) -> None:
        """Send it; below 0 there is nothing to show."""
        from PySide6.QtDBus import QDBusConnection, QDBusMessage  # not at the top: most starts need none

        bus = QDBusConnection.sessionBus()
        if bus.isConnected():
            message = QDBusMessage.createSignal(PATH, INTERFACE, SIGNAL)
            message.setArguments(
                [f"application://{DESKTOP_FILE}.desktop", {"progress": max(share, 0.0), "progress-visible": share >= 0}]
            )
            bus.send(message)
