"""Questions before work is lost: closing while jobs run, cancelling a long job, leaving work on another machine."""

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDialog

from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import JobView
from ..text.format import about, duration
from ..widgets.buttons import PrimaryButton, button, lay_out_question
from ..widgets.labels import label, set_role
from ..widgets.progress import ProgressBar
from .form import FormDialog
from .window_api import WindowApi

BY_ITSELF = frozenset({"open", "restore", "states", "score", "evaluate", "evaluate_original"})
"""Calls that no person waits for: they are made again by themselves."""


def jobs_to_confirm(document: Document) -> tuple[JobView, ...]:
    """The jobs that a person asked for and would lose."""
    return tuple(job for job in document.jobs if job.method not in BY_ITSELF and not job.background)


class Closing(QDialog):
    """The dialog; the safe answer has the focus.

    Attributes:
        close_button: Cancels the jobs, then closes the window.
        stay_button: Keeps the window open.
        waiting: Shown while the jobs come to an end.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        super().__init__(window.as_widget())
        self._window = window
        self._closing = False
        self.setWindowTitle(self.tr("A job is running"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(480)
        self.sentence = label("", wrap=True)
        hint = self.tr("Closing cancels it first.")
        # Of an engine on another machine nothing is kept.
        if not window.document.engine.place:
            hint += " " + self.tr("Finished results are kept, and a recovery continues from where it stood.")
        self.hint = label(hint, "muted", wrap=True)
        self.waiting = ProgressBar(maximum=0)
        self.waiting.setAccessibleName(self.tr("Waiting for the job to end"))
        self.waiting.hide()
        self.close_button = button(self.tr("Cancel and close"))
        self.stay_button = PrimaryButton(self.tr("Keep the window open"))
        self.stay_button.setDefault(True)
        lay_out_question(self, (self.sentence, self.hint, self.waiting), (self.close_button, self.stay_button))
        self.close_button.clicked.connect(self._cancel_jobs)
        self.stay_button.clicked.connect(self.reject)
        window.document.changed.connect(self._show_changes)
        self._show_jobs()

    @Slot(object)
    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.JOBS in aspects:
            self._show_jobs()

    def _show_jobs(self) -> None:
        jobs = jobs_to_confirm(self._window.document)
        if self._closing:
            if not self._window.document.jobs:
                self._closing = False
                self.accept()
                QTimer.singleShot(0, self._window.close)
            return
        if not jobs:  # It ended while the dialog was open.
            self.hint.setText(self.tr("All jobs are finished."))
            self.close_button.setText(self.tr("Close"))
        lines = [
            self.tr("{job}, {time} left").format(job=job.title, time=duration(job.left)) if job.left >= 0 else job.title
            for job in jobs
        ]
        words = self.tr("Still running: {jobs}.") if lines else self.tr("No jobs are running now.")
        self.sentence.setText(words.format(jobs="; ".join(lines)))

    @Slot()
    def _cancel_jobs(self) -> None:
        self._closing = True
        self.sentence.setText(self.tr("Cancelling. The window closes within a few seconds."))
        for each in (self.hint, self.close_button, self.stay_button):
            each.hide()
        self.waiting.show()
        for job in self._window.document.jobs:
            self._window.workbench.runner.cancel(job.id)
        self._show_jobs()

    def reject(self) -> None:
        """Stay, unless the jobs are being cancelled already."""
        if not self._closing:
            super().reject()

    def closeEvent(self, event: QCloseEvent) -> None:
        """As `reject`."""
        if self._closing:
            event.ignore()
        else:
            super().closeEvent(event)


class CancelJob(FormDialog):
    """The dialog; the safe answer has the focus."""

    def __init__(self, window: WindowApi, number: int) -> None:
        """Ask in a window about the job of that number."""
        sentence = self.tr("Nothing of a job like this is kept when it is cancelled.")
        super().__init__(window.as_widget(), self.tr("Cancel the job?"), sentence, self.tr("Cancel the job"))
        self._window, self._document, self._number = window, window.document, number
        self.cancel_button.setText(self.tr("Keep running"))
        self.prefer_cancel()
        self._document.changed.connect(self._show_changes)
        self._show_time()

    def act(self) -> None:
        """Cancel it."""
        self._window.workbench.runner.cancel(self._number)

    def _show_time(self) -> None:
        """Say how long the job has run, and still takes; close when it has ended."""
        job = next((job for job in self._document.jobs if job.id == self._number), None)
        if job is None:
            return self.reject()
        words = self.tr("{job} has run for {time}.").format(job=job.title, time=duration(job.elapsed))
        left = self.tr(" About {0} are left.").format(about(job.left)) if job.left >= 0 else ""
        self.missing.setText(words + left)

    @Slot(object)
    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.JOBS in aspects and self.isVisible():
            self._show_time()


def leaves_work(document: Document) -> bool:
    """Whether closing the window deletes work that was not saved: only another machine's is not kept as a draft."""
    return bool(document.engine.place) and document.analysis is not None and not document.history.clean


class UnsavedWork(FormDialog):
    """The dialog; to save is what it proposes.

    Attributes:
        save_button: Goes back, and opens what saves a project.
    """

    def __init__(self, window: WindowApi, act: Callable[[], None], closes: bool = False) -> None:
        """Ask in a window; `act` leaves the work, `closes` says that it closes the window."""
        document = window.document
        words = self.tr(
            "Your unsaved work on {name} is only on {host}, and is deleted there when this window closes. Save a "
            "project or export the model to keep it."
        )
        super().__init__(
            window.as_widget(),
            self.tr("Unsaved work"),
            words.format(name=document.model_name, host=document.engine.place),
            self.tr("Close without saving") if closes else self.tr("Open without saving"),
        )
        self.cancel_button.setText(self.tr("Go back"))
        self.accept_button.setDefault(False)
        set_role(self.accept_button, "")
        self.save_button = PrimaryButton(self.tr("Save project..."))
        self.buttons.addWidget(self.save_button)
        self.save_button.setDefault(True)
        self.save_button.setFocus()
        self.save_button.clicked.connect(self._save)
        self._window, self._leave = window, act

    def act(self) -> None:
        """Leave the work."""
        self._leave()

    @Slot()
    def _save(self) -> None:
        self.reject()
        self._window.run_command("file.save")


def leave(window: WindowApi, act: Callable[[], None], closes: bool = False) -> None:
    """Do what replaces the open model, or `closes` it; where that leaves unsaved work behind, ask first."""
    if leaves_work(window.document):
        UnsavedWork(window, act, closes).open()
    else:
        act()
