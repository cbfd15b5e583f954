"""Folders and files of the machine that the engine is on; the window waits for none of them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from secateur.engine.errors import SecateurError

from ..storage.background import BackgroundTasks

if TYPE_CHECKING:
    # Loads msgspec, which a start does without.
    from secateur.engine.process.remote.client import RemoteClient
    from secateur.engine.process.remote.protocol import Seen


class Sending(QObject):
    """A file on its way.

    Signals:
        progressed: Bytes that have been sent.
    """

    progressed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        """Nothing is sent yet; it ends with its parent."""
        super().__init__(parent)
        self._cancelled = threading.Event()
        parent.destroyed.connect(self._cancelled.set)

    def cancel(self) -> None:
        """Send no more."""
        self._cancelled.set()

    def may_go_on(self, sent: int) -> bool:
        """In the thread that sends: so much is on its way; False where no more is wanted."""
        if self._cancelled.is_set():
            return False
        self.progressed.emit(sent)
        return True


class RemoteFiles:
    """What dialogs ask of the engine's machine.

    Attributes:
        host: The machine.
    """

    def __init__(self, client: "RemoteClient") -> None:
        """Ask over the connection of the engine."""
        self.host = client.place
        self._client = client
        self._folders = BackgroundTasks("folders elsewhere")
        self._files = BackgroundTasks("files to elsewhere")

    def look(
        self, path: str, on_done: "Callable[[Seen], None]", on_error: Callable[[SecateurError], None] | None = None
    ) -> None:
        """See what is at a path there, "" for the home folder; what was asked for before and has not begun is dropped.

        Args:
            path: As it was typed.
            on_done: Takes what is there.
            on_error: Takes why that is not known.
        """
        self._folders.drop_waiting()
        # Without `on_error` the engine itself says it where it matters.
        self._folders.run(lambda: self._client.look(path), on_done, on_error or (lambda _error: None))

    def send(
        self, path: Path, sending: Sending, on_done: Callable[[str], None], on_error: Callable[[SecateurError], None]
    ) -> None:
        """Send a file there; `on_done` takes its path there, "" where it was cancelled."""
        self._files.run(lambda: self._client.send_file(path, sending.may_go_on), on_done, on_error)

    def close(self) -> None:
        """Ask for nothing any more."""
        self._folders.drop_waiting()
        for tasks in (self._folders, self._files):
            tasks.close()
