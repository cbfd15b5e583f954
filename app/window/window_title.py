"""The title of the window: a mark where something ended unseen, how far the running job is, the model, the program."""

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QMainWindow

from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import JobView

MARK = "\u25cf "
"""Before the title until the window is looked at."""
WORTH_SHOWING = 2.0
"""Seconds that a job has run before the title tells of it: what is over sooner would only make it flicker."""


class WindowTitle(QObject):
    """Keeps the title of a window.

    Attributes:
        marked: It has its mark.
    """

    def __init__(self, window: QMainWindow, document: Document) -> None:
        """Belong to a window; tell of a document."""
        super().__init__(window)
        self._window, self._document = window, document
        self.marked = False
        document.dispatcher.watch(frozenset({Aspect.MODEL, Aspect.JOBS}), self._changed)
        self.refresh()

    def mark(self, on: bool) -> None:
        """Put the mark on it, or take it away."""
        self.marked = on
        self.refresh()

    def plain(self) -> str:
        """What is open, without mark and progress, with Qt's place holder for unsaved changes."""
        place = self._document.engine.place
        program = self.tr("Secateur on {host}").format(host=place) if place else "Secateur"
        if self._document.analysis is None:
            return f"{program}[*]"
        return self.tr("{name}[*] - {program}").format(name=self._document.model_name, program=program)

    def refresh(self) -> None:
        """Write it."""
        progress = next((f"{progress_words(job)} - " for job in self._document.jobs if _is_told(job)), "")
        self._window.setWindowTitle((MARK if self.marked else "") + progress + self.plain())

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.refresh()


def progress_words(job: JobView) -> str:
    """How far a job is, and what it does: "42 % Recover, 8 epochs"."""
    name = job.title.replace("[*]", "")
    return name if job.share < 0 else f"{int(100 * job.share)} % {name}"


def _is_told(job: JobView) -> bool:
    """Whether it runs, was asked for, and takes a while."""
    return not job.place and not job.background and job.elapsed >= WORTH_SHOWING
