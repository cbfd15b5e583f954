"""Keeps the window's log: hears what the document does, and has each step written in another thread.

The interface's thread only hands over what never changes (snapshots, entries, specifications); comparing, packing and
writing happen elsewhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from secateur.engine.errors import SecateurError

from ...document.aspects import Aspect
from ...document.document import Document
from ...document.job_state import UnfinishedJob
from ...document.undo_history import UndoHistory
from ...text.translate import sentence
from ..background import BackgroundTasks
from .layout import Layout
from .records import Writing
from .remembered import Remembered
from .tape import Tape

VALUES = ("criterion", "choices", "ranking", "target", "expected")
"""Of the contents; the settings of the next recovery come with them."""
CHOSEN = frozenset({Aspect.SCORES, Aspect.TARGET, Aspect.JOBS, Aspect.EXPECTED})


class Journal(QObject):
    """The log of one document.

    Signals:
        failed: A sentence: the log cannot be written; said once for each folder.
    """

    failed = Signal(str)

    def __init__(self, document: Document) -> None:
        """Hear a document; nothing is written before `follow`."""
        super().__init__(document)
        self._document = document
        self._background = BackgroundTasks("autosave", self._broken)
        # In a thread of its own: a step that waited for the disk would be lost with the window.
        self._disk = BackgroundTasks("autosave to disk", self._broken)
        self._syncing = False
        self._tape: Tape | None = None
        self._writing: Writing | None = None
        self._told = ""
        self._values: dict[str, Any] = {}
        self._selection: Any = None
        self._job: UnfinishedJob | None = None
        self._later = QTimer(self, interval=0, singleShot=True)
        self._later.timeout.connect(self._note_job)
        document.history.heard = self._heard
        document.changed.connect(self._changed)

    def follow(self, folder: Path) -> None:
        """From now on keep the log in a session's folder, beginning with all that there is."""
        self.stop()
        self._tape = Tape(folder)
        self._whole()

    def stop(self) -> None:
        """Keep nothing from now on; what was said before is still written."""
        if self._tape is not None:
            if self._later.isActive():
                self._later.stop()
                self._note_job()
            self._background.run(self._tape.sync)
            self._background.run(self._tape.close)
        self._tape = self._writing = None

    def close(self) -> None:
        """Write what is left."""
        self.stop()
        self._background.close()
        self._disk.close()

    def run(self, task: Callable[[], Any], on_done: Callable[[Any], None] | None = None) -> None:
        """Have something else done in the same thread, after what was written before; `on_done` takes its result."""
        self._background.run(task, on_done)

    def _whole(self) -> None:
        """Write the log again."""
        document, tape = self._document, self._tape
        if tape is None or document.analysis is None:
            return
        self._values, self._selection, self._job = self._chosen(), self._selected(), self._document.unfinished
        history = UndoHistory()
        history.take(document.history)
        layout = Layout.of(document.analysis)
        source = document.contents.spec.source if document.contents.spec is not None else ""
        self._writing = writing = Writing(layout)
        kept = Remembered(
            name=document.model_name,
            source=source,
            layout=layout,
            now=document.contents.snapshot(),
            history=history,
            values=self._values,
            selection=self._selection,
            job=self._job,
        )
        self._background.run(lambda: tape.renew(writing.whole(kept)))
        self._background.run(lambda: self._sync(tape))

    def _heard(self, what: str, *arguments: Any) -> None:
        """The history changed."""
        if self._tape is None:
            return
        if what == "clear" or self._tape.long:
            self._whole()
        elif what == "push":
            self._put("push", *arguments)
        elif what == "mark_clean":
            self._put("clean", *arguments)
        else:
            history = self._document.history
            self._put("travel", what, history.at(history.position), history.position)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        """Something beside the history may have changed."""
        if self._tape is None:
            return
        if aspects & CHOSEN and (values := self._chosen()) != self._values:
            news = {name: value for name, value in values.items() if value != self._values.get(name)}
            self._values = values
            self._put("values", news)
        if Aspect.SELECTION in aspects and (selected := self._selected()) != self._selection:
            self._selection = selected
            self._put("selection", selected)
        if Aspect.JOBS in aspects:
            if self._document.unfinished is not None:
                self._note_job()
            elif self._job is not None:  # Once its result is a step: in between, it would be lost.
                self._later.start()

    def _note_job(self) -> None:
        if (job := self._document.unfinished) != self._job:
            self._job = job
            self._put("job", job)

    def _put(self, what: str, *arguments: Any) -> None:
        tape, writing = self._tape, self._writing
        if tape is not None and writing is not None:
            self._background.run(lambda: tape.add(getattr(writing, what)(*arguments)))
            if what != "selection":
                self._background.run(lambda: self._sync(tape))

    def _sync(self, tape: Tape) -> None:
        """In the thread that writes: have the disk follow, without waiting for it."""
        if not self._syncing:
            self._syncing = True
            self._disk.run(lambda: self._synced(tape))

    def _synced(self, tape: Tape) -> None:
        self._syncing = False  # what is written from now on is waited for once more
        tape.sync()

    def _chosen(self) -> dict[str, Any]:
        contents = self._document.contents
        return {name: getattr(contents, name) for name in VALUES} | {"recovery": self._document.recovery}

    def _selected(self) -> tuple[str, str, int] | None:
        one, analysis = self._document.selection, self._document.analysis
        if analysis is None or not (one.module or one.set_number >= 0):
            return None
        if not 0 <= one.set_number < len(analysis.sets):
            return one.module, "", -1
        chosen = analysis.sets[one.set_number]
        return one.module, chosen.key, one.structure - chosen.first if one.structure >= 0 else -1

    def _broken(self, error: Exception) -> None:
        """In the thread that writes."""
        folder = str(self._tape.path.parent) if self._tape is not None else ""
        if self._told != folder:
            self._told = folder
            reason = (
                sentence(error.message)
                if isinstance(error, SecateurError)
                else (getattr(error, "strerror", "") or repr(error))
            )
            self.failed.emit(self.tr("Autosave failed: {0}. Save a project to keep your work.").format(reason))
