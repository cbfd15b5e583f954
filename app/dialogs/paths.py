"""Paths in forms: where to choose one, what is wrong with one that is typed, which are there on another machine.

Half of a path is typed at times. What no disk can answer is a sentence, never a crash.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QWidget
from shiboken6 import isValid

from ..jobs.remote_files import RemoteFiles
from ..storage.open_target import is_file, is_folder

if TYPE_CHECKING:
    from secateur.engine.process.remote.protocol import Seen  # brings msgspec, which a start does without

RESTS = 400
"""Milliseconds without a key after which a path is looked for on another machine."""


def choose(
    parent: QWidget,
    elsewhere: RemoteFiles | None,
    title: str,
    act: Callable[[str], None],
    *,
    begin: str = "",
    pick: str = "file",
    filters: str = "",
) -> None:
    """Let the user choose.

    Args:
        parent: What the dialog opens over.
        elsewhere: The engine's machine, None for this one.
        title: Of the dialog.
        act: Takes the path.
        begin: A path at which to begin.
        pick: "file" or "folder".
        filters: Of files, as Qt takes them.
    """
    if elsewhere is not None:
        from .remote_browser import RemoteBrowser  # brings msgspec, which a start does without

        browser = RemoteBrowser(parent, elsewhere, title, begin, pick, filters)

        def take(path: str) -> None:
            # The browser, and what sent a file over it, are gone: now the keyboard is for what was below.
            parent.activateWindow()
            act(path)

        browser.chosen.connect(lambda path: QTimer.singleShot(0, parent, lambda: take(path)))
        return browser.open()
    dialog = QFileDialog(parent, title, begin, filters)
    folder = pick == "folder"
    dialog.setFileMode(QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFile)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(act)
    dialog.open()


def path_problem(text: str, problem: Callable[[Path], str]) -> str:
    """What speaks against a path, "" for nothing.

    Args:
        text: As it was typed; `~` and `~user` are home folders.
        problem: Looks at the path, and says what speaks against it.
    """
    try:
        path = Path(text).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):  # what is not there yet can be written
            path.stat()
        return problem(path)
    except (OSError, RuntimeError, ValueError) as error:  # not readable, no such user, a character that no name has
        reason = getattr(error, "strerror", None) or str(error)
        words = QCoreApplication.translate("TypedPath", "{path} cannot be read: {reason}. Choose another path.")
        return words.format(path=text, reason=reason.rstrip("."))


def place_problem(text: str) -> str:
    """Why no file can be written at a path that was typed, "" where one can."""
    say = QCoreApplication.translate
    if not text.strip():
        return say("TypedPath", "Choose where to write.")

    def folder_problem(path: Path) -> str:
        folder = path.parent
        if not folder.is_dir():
            return say("TypedPath", "The folder {folder} does not exist.").format(folder=folder)
        if not os.access(folder, os.W_OK):
            words = say("TypedPath", "No permission to write to {folder}. Choose another folder.")
            return words.format(folder=folder)
        return ""

    return path_problem(text.strip(), folder_problem)


def name_part(name: str) -> str:
    """A model's name as a part of the name of a file: "ResNet 50" as resnet-50."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")


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
        file, end, _ = text.strip().rpartition(".py:")
        path = f"{file}{end.removesuffix(':')}" if end else text.strip()
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
