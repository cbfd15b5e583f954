"""Closing while a job runs: asks, cancels, and waits where it can be seen."""

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDialog

from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import JobView
from ..text.format import duration
from ..widgets.buttons import PrimaryButton, button
from ..widgets.labels import label
from ..widgets.progress import ProgressBar
from .question_layout import lay_out_question
from .window_api import WindowApi

BY_ITSELF = frozenset({"open", "restore", "states", "score", "evaluate", "evaluate_original"})
"""Calls that nobody waits for: they are made again by themselves."""


def jobs_to_confirm(document: Document) -> tuple[JobView, ...]:
    """The jobs that somebody asked for and would lose."""
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
        if not window.document.engine.place:  # of which nothing stays
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
        window.document.changed.connect(self._changed)
        self._show_jobs()

    @Slot(object)
    def _changed(self, aspects: frozenset[Aspect]) -> None:
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
        if not jobs:  # It ended while the question stood.
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
