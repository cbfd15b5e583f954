"""Keeps a window's session on disk: locks its folder, and saves the window's state in it after each change."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Slot

from secateur.engine.errors import SecateurError
from secateur.engine.storage.folder_lock import FolderLock

from ...document.aspects import Aspect
from ...document.document import Document
from ...document.job_state import UnfinishedJob
from ...text.translate import sentence
from .. import quarantine
from ..background import BackgroundTasks
from .layout import Layout
from .remote_engine import RemoteEngine
from .window_file import Remembered, WindowFile, read

INTERVAL = 1.0
"""Seconds between two saves: so much work is lost at most."""
RETRY = 5.0
"""Seconds until a save that failed is tried again."""
SAVED = frozenset(
    {
        Aspect.EXPECTED,
        Aspect.TARGET,
        Aspect.GOAL,
        Aspect.SCORES,
        Aspect.MARKS,
        Aspect.STATES,
        Aspect.SELECTION,
        Aspect.JOBS,
    }
)
"""What may change the state that is saved."""


class SessionAutosave(QObject):
    """The session of a window.

    The interface's thread only collects the state, which shares everything with the document; it is packed and written
    in a thread of its own, which also does whatever else has to come before or after a save.

    Attributes:
        engine: Where the session's states are, None for this machine.
    """

    def __init__(self, document: Document, engine: RemoteEngine | None = None) -> None:
        """Belong to a document; nothing is saved before `enter`."""
        super().__init__(document)
        self.engine = engine
        self._document = document
        self._background = BackgroundTasks("autosave")
        self._lock: FolderLock | None = None
        self._file: WindowFile | None = None
        self._layout: Layout | None = None
        self._job: UnfinishedJob | None = None
        self._saved_at = 0.0
        self._is_writing = False
        self._has_failed = False
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._save_when_written)
        document.changed.connect(self._note_change)

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
            self.run(partial(self.engine.keep, folder))
        self._file, self._layout = WindowFile(folder), None
        self.save()

    def leave(self) -> None:
        """The session is closed in order, once everything is written."""
        self.save()
        self._file = None
        if self._lock is not None:
            if self.engine is not None:
                self.run(partial(self.engine.forget, self._lock.path.parent))
            self.run(self._lock.release)
            self._lock = None

    def close(self) -> None:
        """Leave, and wait until that is done."""
        self.leave()
        self._background.close()

    def run(self, task: Callable[[], Any], on_done: Callable[[Any], None] | None = None) -> None:
        """Do something else in the thread that saves, after what was asked for before; `on_done` takes its result."""
        self._background.run(task, on_done, self._document.fail)

    def save(self, then: Callable[[], None] = lambda: None) -> None:
        """Save the state of now; calls back once that is done, or the disk refused it."""
        self._timer.stop()
        analysis = self._document.analysis
        if self._file is None or analysis is None:
            then()
            return
        self._layout = self._layout or Layout.of(analysis)
        state = Remembered.of(self._document, analysis, self._layout)
        self._job, self._saved_at, self._is_writing = state.job, time.monotonic(), True

        def finish(_none: None) -> None:
            self._is_writing = self._has_failed = False
            then()

        def fail(error: SecateurError) -> None:
            """Say once that the disk refuses, and try again after a while."""
            self._is_writing = False
            if not self._has_failed:
                words = self.tr("Autosave failed and will be tried again. {0} Or save a project to keep your work.")
                self._document.say(words.format(sentence(error.message)))
            self._has_failed = True
            if self._file is not None:
                self._timer.start(round(1000 * RETRY))
            then()

        self._background.run(partial(self._file.write, state), finish, fail)

    @Slot(object)
    def _note_change(self, aspects: frozenset[Aspect]) -> None:
        """Save soon, should this be about something that is saved."""
        if self._file is None or not aspects & SAVED:
            return
        job = self._document.unfinished
        if job is not None and job != self._job:
            # Its engine keeps the result at once. A window that is killed within the next second has to know what that
            # was to become, else it would find a state that no step leads to.
            self.save()
        elif not self._timer.isActive():
            wait = self._saved_at + INTERVAL - time.monotonic()
            self._timer.start(max(0, round(1000 * wait)))

    @Slot()
    def _save_when_written(self) -> None:
        """Save, unless a slow disk still has the last one to write."""
        if self._is_writing:
            self._timer.start(round(1000 * INTERVAL))
        else:
            self.save()

    # What an earlier window has left.

    def read(self, folder: Path, then: Callable[[Remembered | None], None]) -> None:
        """Read what a window has left in a session's folder or a project; a copy of what is damaged is set aside."""
        self.run(lambda: read(folder, _quarantine), then)

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
        document, revision = self._document, self._document.revision

        def take(kept: Remembered | None) -> None:
            if kept is not None and self.folder is not None and document.revision == revision:
                self.resume(kept)
                document.history.clean_place = document.history.position
                self.save()
            then()

        self.read(Path(folder), take)


def _quarantine(path: Path) -> None:
    words = QCoreApplication.translate("SessionAutosave", "Part of the undo history")
    quarantine.quarantine_file(path, words, copy=True)
