"""Which of the paths that are typed for an engine elsewhere are there: asked once typing rests, and said in words."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from shiboken6 import isValid

from ..jobs.remote_files import RemoteFiles
from ..storage.open_target import is_file, is_folder

if TYPE_CHECKING:
    from secateur.engine.process.remote.protocol import Seen  # brings msgspec, which a start does without

RESTS = 400
"""Milliseconds without a key after which a path is looked for."""


class RemotePaths(QObject):
    """What is known of paths on another machine.

    Signals:
        found: Something is known that was not.
    """

    found = Signal()

    def __init__(self, elsewhere: RemoteFiles, parent: QObject) -> None:
        """Know nothing yet."""
        super().__init__(parent)
        self._elsewhere = elsewhere
        self._there: dict[str, bool] = {}
        self._wanted = ""
        self._timer = QTimer(self, interval=RESTS, singleShot=True)
        self._timer.timeout.connect(self._look)

    def forget_missing(self) -> None:
        """Look again for what was not there."""
        self._there = {path: there for path, there in self._there.items() if there}

    def problem(self, text: str) -> str:
        """Why a path cannot be used, "" while nothing is known against it; it is looked for then.

        Args:
            text: A path, or "file.py:callable"; a word that may mean something else is left to the engine.
        """
        path = _path_in(text.strip())
        if not any(sign in path for sign in "/~."):
            return ""
        if path not in self._there:
            self._wanted = path
            self._timer.start()
            return ""
        if self._there[path]:
            return ""
        if is_file(path) or is_folder(path):
            words = self.tr("{path} is on this machine, not on {host}. Choose one there with Browse, or send it there.")
        else:
            words = self.tr("{path} does not exist on {host}.")
        return words.format(path=path, host=self._elsewhere.host)

    @Slot()
    def _look(self) -> None:
        path = self._wanted

        def done(seen: "Seen") -> None:
            if not isValid(self):
                return
            self._there[path] = seen.is_there or seen.is_folder
            self.found.emit()

        self._elsewhere.look(path, done)


def _path_in(text: str) -> str:
    file, end, _ = text.rpartition(".py:")
    return f"{file}{end.removesuffix(':')}" if end else text
