"""Keeps a window's session on disk: holds its folder by a lock, and has its log follow the document."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject

from secateur.engine.storage.folder_lock import FolderLock

from ..document.document import Document
from . import quarantine
from .autosave.journal import Journal
from .autosave.remembered import Remembered
from .autosave.remote_engine import RemoteEngine
from .autosave.tape import read


class SessionAutosave(QObject):
    """The session of a window.

    Attributes:
        journal: Writes what the window does.
        engine: Where the session's states are, None for this machine.
    """

    def __init__(self, document: Document, engine: RemoteEngine | None = None) -> None:
        """Belong to a document; nothing is kept before `enter`."""
        super().__init__(document)
        self.engine = engine
        self._document = document
        self.journal = Journal(document)
        self._lock: FolderLock | None = None
        self.journal.failed.connect(document.say)

    @property
    def folder(self) -> Path | None:
        """The session's folder, which this window holds; None before `enter`."""
        return None if self._lock is None else self._lock.path.parent

    def enter(self, folder: Path, lock: FolderLock | None = None) -> None:
        """Keep what is done from now on in a session's folder, which this window then holds."""
        self._lock = lock or FolderLock(folder)
        try:
            self._lock.take()
        except OSError as error:
            words = self.tr("Autosave failed: {0}. Save a project to keep your work.")
            self._document.say(words.format(error.strerror))
            self._lock = None
            return
        if self.engine is not None:
            self.journal.run(partial(self.engine.keep, folder))
        self.journal.follow(folder)

    def leave(self) -> None:
        """The session is closed in order, once everything is written."""
        self.journal.stop()
        if self._lock is not None:
            if self.engine is not None:
                self.journal.run(partial(self.engine.forget, self._lock.path.parent))
            self.journal.run(self._lock.release)
            self._lock = None

    def close(self) -> None:
        """Leave, and wait until that is done."""
        self.leave()
        self.journal.close()

    def written(self, then: Callable[[], None]) -> None:
        """Call back once everything that was done is on the disk."""
        if self._lock is None:
            then()
        else:
            self.journal.run(lambda: None, lambda _none: then())

    # What an earlier window has left.

    def read(self, folder: Path, then: Callable[[Remembered | None], None]) -> None:
        """Read what a window has left in a session's folder, beside the interface; a damaged part is set aside."""
        self.journal.run(lambda: read(folder, _set_aside), then)

    def resume(self, kept: Remembered | None) -> None:
        """Go on where an earlier window has left off, as far as its model and states are there."""
        contents = self._document.contents
        if kept is None or contents.analysis is None:
            return
        fitted = kept.fit(contents.analysis, set(contents.states))
        recovery = fitted.apply_to(contents, self._document.recovery)
        self._document.resume(fitted.history, fitted.now, recovery, fitted.selected(contents.analysis))

    def open_project(self, folder: str, then: Callable[[], None]) -> None:
        """Take the window's part of a project whose states are there already; then go on."""
        document = self._document

        def take(kept: Remembered | None) -> None:
            if kept is not None and self.folder is not None and document.revision == revision:
                self.resume(kept)
                document.history.mark_clean(document.history.position)
                self.journal.follow(self.folder)
            then()

        revision = document.revision
        self.journal.run(lambda: read(Path(folder)), take)


def _set_aside(path: Path) -> None:
    words = QCoreApplication.translate("SessionAutosave", "Part of the undo history")
    quarantine.quarantine_file(path, words, copy=True)
