"""Waiting in tests of the window: until all that is due is done, however long each turn of the event loop takes."""

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import SignalInstance
from pytestqt.qtbot import QtBot
from pytestqt.wait_signal import SignalBlocker

from secateur.app.document.document import Document
from tests.waiting import PATIENCE

LIMIT = int(1000 * PATIENCE)
"""Milliseconds."""
TURNS = 20
"""More than a layout needs of which one part gives room to the next."""
LEAST = 60
"""Milliseconds: longer than what is put off until a pause."""


class PatientBot(QtBot):
    """Waits for what happens as long as a busy machine takes: its bounds are reached by tests alone that fail."""

    def waitUntil(self, callback: Callable[[], bool | None], *, timeout: int = LIMIT) -> None:
        super().waitUntil(callback, timeout=timeout)

    def waitSignal(self, signal: SignalInstance, *, timeout: int = LIMIT, **named: Any) -> SignalBlocker:
        return super().waitSignal(signal, timeout=timeout, **named)


def settle(qtbot: QtBot, document: Document | None = None) -> None:
    """Wait until views in front show a document as it is, and are laid out."""
    if document is not None:
        qtbot.waitUntil(lambda: not document.dispatcher.busy)
    qtbot.wait(LEAST)
    for _ in range(TURNS):
        qtbot.wait(1)
