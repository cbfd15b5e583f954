"""Keeps a window's session on disk, and brings back what an earlier window has left there."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal, Slot

from secateur.engine.session.states import OpenedModel, State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage.folder_lock import FolderLock, in_use

from ..document.aspects import Aspect
from ..text.translate import sentence
from . import quarantine, settings
from .autosave import session_folders
from .autosave.journal import Journal
from .autosave.remembered import Job, Remembered
from .autosave.session_folders import Offer
from .autosave.tape import read
from .user_folders import sessions_folder

if TYPE_CHECKING:
    from ..jobs.model_jobs import Work

Then = Callable[[Any], None]


class Keeper(QObject):
    """The sessions of a window: its own, and those that were broken off.

    Attributes:
        journal: Writes what the window does.
        offers: Sessions that ended without being closed, the newest first.
        discarded: Those of them that are to be deleted.
        restoring: The folder that is being restored, None for none.

    Signals:
        offered: `offers` or `discarded` changed.
    """

    offered = Signal()
    _done = Signal(int, object)

    def __init__(self, work: "Work") -> None:
        """Belong to a document's work; nothing is kept before `enter`."""
        super().__init__(work)
        self._work, self._document = work, work.document
        self.journal = Journal(work.document)
        self.offers: tuple[Offer, ...] = ()
        self.discarded: frozenset[Path] = frozenset()
        self.restoring: Path | None = None
        self._lock: FolderLock | None = None
        self._asked: tuple[Path, str, tuple[tuple[str, str], ...], bool] = Path(), "", (), False
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Then] = {}
        self._done.connect(self._take)
        self.journal.failed.connect(work.say)

    # The own session.

    def enter(self, folder: Path, lock: FolderLock | None = None) -> None:
        """Keep what is done from now on in a session's folder, which this window then holds."""
        self._lock = lock or FolderLock(folder)
        try:
            self._lock.take()
        except OSError as error:
            self._work.say(self.tr("Autosave failed: {0}. Save a project to keep your work.").format(error.strerror))
            self._lock = None
            return
        self.journal.follow(folder)

    def leave(self) -> None:
        """The session is closed in order, once everything is written."""
        self.journal.stop()
        if self._lock is not None:
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
            self._beside(lambda: None, lambda _none: then())

    # Those of earlier windows.

    def look(self) -> None:
        """Find what can be restored, then delete what nobody will miss."""
        root = sessions_folder()

        def found(offers: list[Offer]) -> None:
            self.offers = tuple(offers)
            self._tell()
            recent = [source for _, source in settings.recent()]
            self.journal.run(lambda: session_folders.tidy(root, recent))

        self._beside(lambda: session_folders.offers(root), found)

    def discard(self, offer: Offer, on: bool = True) -> None:
        """Have a session deleted at the next start, or not."""
        self.discarded = self.discarded | {offer.folder} if on else self.discarded - {offer.folder}
        self.journal.run(lambda: session_folders.discard(offer.folder, on))
        self._tell()

    def _tell(self) -> None:
        self.offered.emit()
        self._document.announce(Aspect.JOBS)  # what commands can be done

    def is_session(self, path: str) -> bool:
        """Whether a path is a session's folder of this user, to be gone on with where it lies."""
        return bool(path) and Path(path).parent == sessions_folder()

    def restore(
        self, folder: Path, name: str = "", moved: tuple[tuple[str, str], ...] = (), trust_code: bool = False
    ) -> None:
        """Go on with a session where it was left.

        Args:
            folder: The session's.
            name: For a person.
            moved: (where a file of it was, where it is).
            trust_code: The user allows code to run that the session's seal does not vouch for.
        """
        self._asked = folder, name, moved, trust_code
        if self._document.busy:
            return self._work.say(self.tr("Wait for the running job, or cancel it."))
        if self._lock is not None and self._lock.path.parent == folder:
            return self._work.say(self.tr("This session is already open."))
        lock = FolderLock(folder)
        closed = not lock.left
        try:
            free = lock.take()
        except OSError:
            free = False
        if not free:
            return self._work.say(sentence(in_use(folder, lock.holder)))

        def otherwise() -> None:
            lock.release(clean=closed)
            self.restoring = None
            self._tell()

        self._beside(lambda: read(folder, _set_aside), lambda kept: self._open(folder, name, lock, kept, otherwise))

    def restore_moved(self, old: str, new: str) -> None:
        """Restore what could not be restored because a file had moved."""
        folder, name, moved, trust_code = self._asked
        self.restore(folder, name, (*moved, (old, new)), trust_code)

    def _open(
        self, folder: Path, name: str, lock: FolderLock, kept: Remembered | None, otherwise: Callable[[], None]
    ) -> None:
        then = partial(self._restored, folder, lock, kept)
        named = name or (kept.name if kept is not None else folder.name)
        self.restoring = folder
        if self._work.restore(folder, named, self._asked[2], then, otherwise, self._asked[3]):
            self._tell()
        else:
            otherwise()

    def _restored(
        self, folder: Path, lock: FolderLock, kept: Remembered | None, model: OpenedModel, states: tuple[State, ...]
    ) -> None:
        """Only now is the log written again: until then, it says what it said."""
        self.leave()
        self._document.adopt(model, ModelSpec(str(folder)))
        self._document.take_states(states)
        self._resume(kept)
        self._work.folder = folder
        self.enter(folder, lock)
        self.restoring = None
        self.offers = tuple(offer for offer in self.offers if offer.folder != folder)
        self._tell()
        self._work.say(self.tr("{name} is restored.").format(name=model.name))
        self._work.look()
        if kept is not None and kept.job is not None:
            self._go_on(kept.job)

    def open_project(self, folder: str, then: Callable[[], None]) -> None:
        """Take the window's part of a project whose states are there already; then go on."""

        def take(kept: Remembered | None) -> None:
            if kept is not None and self._lock is not None:
                self._resume(kept)
                self._document.history.mark_clean(self._document.history.position)
                self.journal.follow(self._lock.path.parent)

        def back(kept: Remembered | None) -> None:
            if self._document.revision == revision:
                take(kept)
            then()

        revision = self._document.revision
        self._beside(lambda: read(Path(folder)), back)

    def _resume(self, kept: Remembered | None) -> None:
        analysis = self._document.analysis
        if kept is not None and analysis is not None:
            self._document.resume(kept.fit(analysis, set(self._document.contents.states)))

    def _go_on(self, job: Job) -> None:
        """What ran when the window ended: its result where there is one, else it goes on where that is possible."""
        made = [s for s in self._document.states[job.known :] if s.parent == job.state]
        if made and self._document.contents.present == job.state:
            self._document.add_state(made[-1], job.text)
        elif not made and job.settings is not None:
            self._work.go_on(job)
        elif not made:
            words = self.tr("Not finished when the program ended: {job}. Nothing was changed.")
            self._work.say(words.format(job=job.title))

    # Beside the interface's thread.

    def _beside(self, task: Callable[[], Any], then: Then) -> None:
        """Run a task in the thread that writes, then call back here with what it gives."""
        number = next(self._numbers)
        self._waiting[number] = then
        self.journal.run(lambda: self._done.emit(number, task()))

    @Slot(int, object)
    def _take(self, number: int, result: Any) -> None:
        self._waiting.pop(number)(result)


def _set_aside(path: Path) -> None:
    from PySide6.QtCore import QCoreApplication

    words = QCoreApplication.translate("Keeper", "Part of the undo history")
    quarantine.set_aside(path, words, copy=True)
