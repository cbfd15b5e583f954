"""Jobs that run or wait: what each does, how far it is, how long it will take, and a way to stop it."""

from PySide6.QtCore import QCoreApplication, Slot
from PySide6.QtWidgets import QWidget

from ..document.aspects import Aspect
from ..document.job_state import JobView
from ..jobs.workbench import Workbench
from ..text.format import about, duration
from ..widgets.buttons import button
from ..widgets.card import EmptyState
from ..widgets.labels import label
from ..widgets.progress import ProgressBar
from .panel_layout import column_of, row_of, scroll_area, stack_of

SHOWN = frozenset({Aspect.JOBS})


class JobRow(QWidget):
    """One job: it runs, or waits for its turn and can be moved or taken out of the queue."""

    def __init__(self, job: JobView, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show a job of a workbench."""
        super().__init__(parent)
        self.job, self.workbench = job, workbench
        self._title, self._text = label(role="strong", wrap=True), label(role="caption", wrap=True)
        self._bar = ProgressBar()
        self.cancel = button(self.tr("Cancel"))
        self.log = button(self.tr("Log"), "small", self.tr("Show what this job has done so far"))
        self.earlier = button(self.tr("Move up"), "small", self.tr("Move it up in the queue"))
        self.later = button(self.tr("Move down"), "small", self.tr("Move it down in the queue"))
        words = column_of(self._title, self._text, self._bar, gap=3)
        row_of((words, 1), self.log, self.earlier, self.later, self.cancel, on=self, margins=(0, 4, 0, 4), gap=12)
        self.log.clicked.connect(self._show_log)
        self.earlier.clicked.connect(self._move_up)
        self.later.clicked.connect(self._move_down)
        self.cancel.clicked.connect(self._request_cancel)
        self.show_job(job)

    def show_job(self, job: JobView) -> None:
        """Show its progress."""
        self.job = job
        self._title.setText(job.title)
        self._text.setText(job_words(job))
        self._bar.show_progress(job.done, job.total if job.total or job.elapsed else 1, job.work)
        self._bar.setVisible(not job.place)
        self._bar.setAccessibleName(self.tr("Progress: {0}").format(job.title))
        self.log.setVisible(not job.place)
        self.log.setAccessibleName(self.tr("Log of the job: {0}").format(job.title))
        for each, may, words in (
            (self.earlier, job.earlier, self.tr("Move up: {0}")),
            (self.later, job.later, self.tr("Move down: {0}")),
        ):
            each.setVisible(bool(job.place))
            each.setEnabled(may)
            each.setAccessibleName(words.format(job.title))
        self.cancel.setEnabled(not job.cancelling)
        if job.place:
            self.cancel.setText(self.tr("Remove"))
            self.cancel.setAccessibleName(self.tr("Remove from the queue: {0}").format(job.title))
        else:
            self.cancel.setText(self.tr("Cancelling \u2026") if job.cancelling else self.tr("Cancel"))
            self.cancel.setAccessibleName(self.tr("Cancel: {0}").format(job.title))

    @Slot()
    def _show_log(self) -> None:
        number = self.job.id
        self.workbench.document.requested.emit(lambda window: window.show_job_log(number))

    @Slot()
    def _move_up(self) -> None:
        self.workbench.runner.move(self.job.id, True)

    @Slot()
    def _move_down(self) -> None:
        self.workbench.runner.move(self.job.id, False)

    @Slot()
    def _request_cancel(self) -> None:
        self.workbench.runner.request_cancel(self.job.id)


class JobsPanel(QWidget):
    """All jobs.

    Attributes:
        rows: By job id.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's jobs."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.rows: dict[int, JobRow] = {}
        page = QWidget()
        self._list = column_of(None, on=page, margins=(8, 6, 8, 6))
        self._area = scroll_area(page, self.tr("Jobs, the running one first"))
        words = self.tr("Running and waiting jobs appear here. The log has what earlier ones did.")
        self._stack = stack_of(self, EmptyState(self.tr("No job is running"), words), self._area)
        self.document.dispatcher.watch(SHOWN, self._show_changes)
        self._show_changes(SHOWN)

    def _show_changes(self, _aspects: frozenset[Aspect]) -> None:
        jobs = {job.id: job for job in self.document.jobs}
        # Where a row with the focus goes, the next one that waits gets it, or the list: Qt would look for it elsewhere,
        # and the next key could cancel what runs.
        rows = sorted(self.rows.values(), key=self._list.indexOf)
        focused = next((n for n, row in enumerate(rows) if row.isAncestorOf(row.window().focusWidget())), -1)
        if focused >= 0 and rows[focused].job.id not in jobs:
            behind = rows[focused + 1 :] if rows[focused].job.place else []
            waiting = next((row for row in behind if row.job.id in jobs and jobs[row.job.id].place), None)
            (self._area if waiting is None else waiting.cancel).setFocus()
        for gone in self.rows.keys() - jobs.keys():
            row = self.rows.pop(gone)
            self._list.removeWidget(row)
            row.hide()
            row.deleteLater()
        for place, (number, job) in enumerate(jobs.items()):
            if number in self.rows:
                self.rows[number].show_job(job)
            else:
                self.rows[number] = JobRow(job, self.workbench)
            if self._list.indexOf(self.rows[number]) != place:
                self._list.insertWidget(place, self.rows[number])
        self._stack.setCurrentIndex(int(bool(jobs)))


def job_words(job: JobView) -> str:
    """The progress of a job: its step, how long it has run, how long it still takes."""
    say = QCoreApplication.translate
    if job.place:
        turn = say("JobsPanel", "next") if job.place == 1 else say("JobsPanel", "waiting, number {0}").format(job.place)
        takes = [say("JobsPanel", "takes about {0}").format(about(job.left))] if job.left >= 0 else []
        return ", ".join([turn, *takes])
    parts = [job.text or say("JobsPanel", "starting")]
    if job.elapsed:
        parts.append(say("JobsPanel", "{0} so far").format(duration(job.elapsed)))
    if job.left >= 0:
        left = about(job.left) if job.rough else duration(job.left)
        parts.append((say("JobsPanel", "about {0} left") if job.rough else say("JobsPanel", "{0} left")).format(left))
    return ", ".join(parts)
