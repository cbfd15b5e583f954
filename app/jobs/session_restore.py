"""Brings back unsaved work: finds sessions that were left with some, crashed or closed, and opens them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Signal, Slot

from secateur.engine.errors import SecateurError
from secateur.engine.session.states import OpenedModel, State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage.folder_lock import FolderLock, in_use

from ..document.aspects import Aspect
from ..document.job_state import ConsentRequest
from ..storage import settings
from ..storage.autosave import session_folders
from ..storage.autosave.remote_engine import remote_engine_of
from ..storage.autosave.session_autosave import SessionAutosave
from ..storage.autosave.session_folders import Draft
from ..storage.autosave.window_file import Remembered
from ..storage.user_folders import sessions_folder
from ..text.translate import sentence
from .job_runner import DocumentJobs, JobRunner
from .model_jobs import ModelJobs
from .state_jobs import StateJobs


class SessionRestore(DocumentJobs):
    """The drafts of this user: sessions with unsaved work.

    Attributes:
        drafts: Sessions with unsaved work that no window is open on, the newest first; where the engine is on another
            machine, none of those whose files are here.
        out_of_reach: How many drafts this machine has that such an engine cannot open.
        discarded: Those of them that are to be deleted.
        restoring: The folder that is being restored, None for none.

    Signals:
        found: `drafts` or `discarded` changed.
        elsewhere: (folder, name, RemoteEngine or None for this machine's): only a window with that engine restores it.
    """

    found = Signal()
    elsewhere = Signal(object, str, object)

    def __init__(self, runner: JobRunner, model: ModelJobs, states: StateJobs, autosave: SessionAutosave) -> None:
        """Work for a document; the session that is restored becomes that of `autosave`."""
        super().__init__(runner)
        self._model, self._states = model, states
        self._autosave = autosave
        self.drafts: tuple[Draft, ...] = ()
        self.out_of_reach = 0
        self.discarded: frozenset[Path] = frozenset()
        self.restoring: Path | None = None
        self._asked: tuple[Path, str, tuple[tuple[str, str], ...], bool] = Path(), "", (), False

        self._document.changed.connect(self._find_drafts)

    @property
    def crashed(self) -> tuple[Draft, ...]:
        """Drafts whose window did not close normally."""
        return tuple(draft for draft in self.drafts if draft.crashed)

    @property
    def closed(self) -> tuple[Draft, ...]:
        """Drafts that were closed: by opening something else, or with the window."""
        return tuple(draft for draft in self.drafts if not draft.crashed)

    def look(self) -> None:
        """Find what can be restored, then delete sessions without work."""
        self._find()
        root = sessions_folder()
        self._autosave.run(lambda: session_folders.tidy(root))

    def _find(self) -> None:
        root = sessions_folder()

        def take(drafts: list[Draft]) -> None:
            elsewhere = bool(self._document.engine.place)
            self.drafts = tuple(draft for draft in drafts if draft.engine is not None or not elsewhere)
            self.out_of_reach = len(drafts) - len(self.drafts)
            self._tell()

        self._autosave.run(lambda: session_folders.drafts(root), take)

    @Slot(object)
    def _find_drafts(self, aspects: frozenset[Aspect]) -> None:
        """Another model was opened, or everything was saved: what was left may be a draft now."""
        if Aspect.MODEL in aspects:
            self._find()

    def discard(self, draft: Draft, on: bool = True) -> None:
        """Have a session deleted at the next start, or not."""
        self.discarded = self.discarded | {draft.folder} if on else self.discarded - {draft.folder}
        self._autosave.run(lambda: session_folders.discard(draft.folder, on))
        self._tell()

    def _tell(self) -> None:
        self.found.emit()
        self._document.take_restorable(len(self.crashed))

    def is_session(self, path: str) -> bool:
        """Whether a path is a session's folder of this user, which is resumed in place."""
        return bool(path) and Path(path).parent == sessions_folder()

    def recent_models(self) -> list[tuple[str, str]]:
        """(title, source) of what was opened recently where the engine is; sessions are listed as drafts."""
        entries = settings.recent(self._document.engine.place)
        return [(title, source) for title, source in entries if not self.is_session(source)]

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
            return self._document.say(self.tr("Wait for the running job, or cancel it."))
        if self._autosave.folder == folder:
            return self._document.say(self.tr("This session is already open."))
        engine = remote_engine_of(folder)
        if engine != self._autosave.engine and not FolderLock(folder).taken():
            return self.elsewhere.emit(folder, name, engine)
        lock = FolderLock(folder)
        closed = not lock.left
        try:
            free = lock.take()
        except OSError:
            free = False
        if not free:
            return self._document.say(sentence(in_use(folder, lock.holder)))

        def otherwise(_error: SecateurError | None = None) -> None:
            lock.release(clean=closed)
            self.restoring = None
            self._tell()

        self._autosave.read(folder, lambda kept: self._open(folder, name, lock, kept, otherwise))

    def restore_moved(self, old: str, new: str) -> None:
        """Restore what could not be restored because a file had moved."""
        folder, name, moved, trust_code = self._asked
        self.restore(folder, name, (*moved, (old, new)), trust_code)

    def _open(
        self,
        folder: Path,
        name: str,
        lock: FolderLock,
        kept: Remembered | None,
        otherwise: Callable[[SecateurError | None], None],
    ) -> None:
        moved, trust_code = self._asked[2:]
        named = name or (kept.name if kept is not None else folder.name)
        title = self.tr("Restore {name}").format(name=named)

        def opened(model: OpenedModel) -> None:
            self._runner.run(
                title,
                lambda states: self._take_states(folder, lock, kept, model, states),
                "states",
                changes=True,
                otherwise=otherwise,
            )

        self.restoring = folder
        self._model.asked = None
        self._runner.consent = ConsentRequest(
            str(folder), lambda _: self.restore(folder, named, moved, trust_code=True)
        )
        if self._runner.run(
            title, opened, "restore", str(folder), moved, trust_code, changes=True, otherwise=otherwise
        ):
            self._tell()
        else:
            otherwise(None)

    def _take_states(
        self, folder: Path, lock: FolderLock, kept: Remembered | None, model: OpenedModel, states: tuple[State, ...]
    ) -> None:
        """Show the session, and hold it from now on; until here its files were as they were left."""
        document = self._document
        self._autosave.leave()
        self._model.replace_model(model, ModelSpec(str(folder)))
        document.take_states(states)
        self._autosave.resume(kept)
        document.take_engine(replace(document.engine, folder=folder))
        self._autosave.enter(folder, lock)
        self.restoring = None
        self.drafts = tuple(draft for draft in self.drafts if draft.folder != folder)
        self._tell()
        document.say(self.tr("{name} is restored.").format(name=model.name))
        self._states.measure_missing()
        if kept is None or kept.job is None:
            return
        # What ran when the window ended: the engine may have its result, else a recovery goes on from its checkpoint.
        job = kept.job
        made = [s for s in document.states[job.known :] if s.parent == job.state]
        if made and document.contents.present == job.state:
            document.add_state(made[-1], job.text)
        elif not made and job.settings is not None:
            self._states.go_on(job)
        elif not made:
            words = self.tr("Not finished when the program ended: {job}. Nothing was changed.")
            document.say(words.format(job=job.title))
