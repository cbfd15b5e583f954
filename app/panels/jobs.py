"""Jobs that run or wait: what each does, how far it is, how long it will take, and a way to stop it."""

from PySide6.QtCore import QCoreApplication, Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from ..document.document import Aspect
from ..document.job_state import JobView
from ..jobs.workbench import Workbench
from ..text.format import about, duration
from ..widgets.buttons import button
from ..widgets.empty_state import EmptyState
from ..widgets.labels import label
from ..widgets.progress import ProgressBar

SHOWN = frozenset({Aspect.JOBS})


class JobRow(QWidget):
    """One job: it runs, or waits for its turn and can be moved or taken out of the queue.

    Signals:
        cancelled: int, Cancel was pressed for this job.
        moved: (int, bool), it shall have its turn earlier (or later) by one.
        log_asked: int, the log of this job was asked for.
    """

    cancelled = Signal(int)
    log_asked = Signal(int)
    moved = Signal(int, bool)

    def __init__(self, job: JobView, parent: QWidget | None = None) -> None:
        """Show a job."""
        super().__init__(parent)
        self.job = job
        self._title, self._text = label(role="strong", wrap=True), label(role="caption", wrap=True)
        self._bar = ProgressBar()
        self.cancel = button(self.tr("Cancel"))
        self.log = button(self.tr("Log"), "small", self.tr("Show what this job has done so far"))
        self.earlier = button(self.tr("Move up"), "small", self.tr("Move it up in the queue"))
        self.later = button(self.tr("Move down"), "small", self.tr("Move it down in the queue"))
        words = QVBoxLayout()
        words.setSpacing(3)
        for each in (self._title, self._text, self._bar):
            words.addWidget(each)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 4, 0, 4)
        row.setSpacing(12)
        row.addLayout(words, 1)
        for each in (self.log, self.earlier, self.later, self.cancel):
            row.addWidget(each)
        self.log.clicked.connect(self._ask_for_log)
        self.earlier.clicked.connect(self._earlier)
        self.later.clicked.connect(self._later)
        self.cancel.clicked.connect(self._cancel)
        self.show_job(job)

    def show_job(self, job: JobView) -> None:
        """Show where it stands."""
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
        self._show_cancel(job)

    def _show_cancel(self, job: JobView) -> None:
        self.cancel.setEnabled(not job.cancelling)
        if job.place:
            self.cancel.setText(self.tr("Remove"))
            self.cancel.setAccessibleName(self.tr("Remove from the queue: {0}").format(job.title))
        else:
            self.cancel.setText(self.tr("Cancelling \u2026") if job.cancelling else self.tr("Cancel"))
            self.cancel.setAccessibleName(self.tr("Cancel: {0}").format(job.title))

    @Slot()
    def _ask_for_log(self) -> None:
        self.log_asked.emit(self.job.id)

    @Slot()
    def _earlier(self) -> None:
        self.moved.emit(self.job.id, True)

    @Slot()
    def _later(self) -> None:
        self.moved.emit(self.job.id, False)

    @Slot()
    def _cancel(self) -> None:
        self.cancelled.emit(self.job.id)


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
        page.setProperty("role", "page")
        self._list = QVBoxLayout(page)
        self._list.setContentsMargins(8, 6, 8, 6)
        self._list.addStretch(1)
        self._area = area = QScrollArea()
        area.setProperty("role", "reached")
        area.setWidgetResizable(True)
        area.setAccessibleName(self.tr("Jobs, the running one first"))
        area.setWidget(page)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(
            EmptyState(
                self.tr("No job is running"),
                self.tr("Running and waiting jobs appear here. The log has what earlier ones did."),
            )
        )
        self._stack.addWidget(area)
        self.document.dispatcher.watch(SHOWN, self._changed)
        self._changed(SHOWN)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        jobs = {job.id: job for job in self.document.jobs}
        self._keep_focus(jobs)
        for gone in self.rows.keys() - jobs.keys():
            row = self.rows.pop(gone)
            self._list.removeWidget(row)
            row.hide()
            row.deleteLater()
        for place, (number, job) in enumerate(jobs.items()):
            if number in self.rows:
                self.rows[number].show_job(job)
            else:
                self.rows[number] = JobRow(job)
                self.rows[number].cancelled.connect(self.workbench.runner.request_cancel)
                self.rows[number].moved.connect(self.workbench.runner.move)
                self.rows[number].log_asked.connect(self._show_log)
            if self._list.indexOf(self.rows[number]) != place:
                self._list.insertWidget(place, self.rows[number])
        self._stack.setCurrentIndex(int(bool(jobs)))

    def _keep_focus(self, jobs: dict[int, JobView]) -> None:
        """Where a row with the focus goes, the next one that waits gets it, or the list.

        Qt would look for it elsewhere, and the next key could cancel what runs.
        """
        rows = sorted(self.rows.values(), key=self._list.indexOf)
        focused = next((n for n, row in enumerate(rows) if row.isAncestorOf(row.window().focusWidget())), -1)
        if focused < 0 or rows[focused].job.id in jobs:
            return
        behind = rows[focused + 1 :] if rows[focused].job.place else []
        waiting = next((row for row in behind if (job := jobs.get(row.job.id)) is not None and job.place), None)
        (self._area if waiting is None else waiting.cancel).setFocus()

    @Slot(int)
    def _show_log(self, number: int) -> None:
        self.document.requested.emit(lambda window: window.show_job_log(number))


def job_words(job: JobView) -> str:
    """Where a job stands: its step, how long it has run, how long it still takes."""
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
