"""Jobs that run or wait: what each does, how far it is, how long it will take, and a way to stop it."""

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from ..document import Aspect, Document, JobView
from ..widgets.buttons import button
from ..widgets.empty_state import EmptyState
from ..widgets.labels import label
from ..widgets.numbers import duration

SHOWN = frozenset({Aspect.JOBS})


class JobRow(QWidget):
    """One job.

    Signals:
        cancelled: int, Cancel was pressed for this job.
    """

    cancelled = Signal(int)

    def __init__(self, job: JobView, parent: QWidget | None = None) -> None:
        """Show a job."""
        super().__init__(parent)
        self.job = job
        self._title, self._text = label(role="strong", wrap=True), label(role="caption", wrap=True)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self.cancel = button(self.tr("Cancel"))
        words = QVBoxLayout()
        words.setSpacing(3)
        for each in (self._title, self._text, self._bar):
            words.addWidget(each)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 4, 0, 4)
        row.setSpacing(12)
        row.addLayout(words, 1)
        row.addWidget(self.cancel)
        self.cancel.clicked.connect(self._cancel)
        self.show_job(job)

    def show_job(self, job: JobView) -> None:
        """Show where it stands."""
        self.job = job
        self._title.setText(job.title)
        parts = [
            job.text or self.tr("waiting"),
            self.tr("{0} so far").format(duration(job.elapsed)) if job.elapsed else "",
        ]
        parts.append(self.tr("{0} left").format(duration(job.left)) if job.left >= 0 else "")
        self._text.setText(", ".join(p for p in parts if p))
        self._bar.setRange(0, job.total if job.total or job.elapsed else 1)
        self._bar.setValue(job.done)
        self._bar.setAccessibleName(self.tr("Progress: {0}").format(job.title))
        self.cancel.setEnabled(not job.cancelling)
        self.cancel.setText(self.tr("Cancelling \u2026") if job.cancelling else self.tr("Cancel"))
        self.cancel.setAccessibleName(self.tr("Cancel: {0}").format(job.title))

    @Slot()
    def _cancel(self) -> None:
        self.cancelled.emit(self.job.id)


class Jobs(QWidget):
    """All jobs.

    Attributes:
        rows: By job id.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's jobs."""
        super().__init__(parent)
        self.document = document
        self.rows: dict[int, JobRow] = {}
        page = QWidget()
        page.setProperty("role", "page")
        self._list = QVBoxLayout(page)
        self._list.setContentsMargins(8, 6, 8, 6)
        self._list.addStretch(1)
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setWidget(page)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(
            EmptyState(
                self.tr("No job is running"),
                self.tr("What takes longer than a moment is listed here, and can be stopped."),
            )
        )
        self._stack.addWidget(area)
        document.views.watch(SHOWN, self._changed)
        self._changed(SHOWN)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        jobs = {job.id: job for job in self.document.jobs}
        for gone in self.rows.keys() - jobs.keys():
            self.rows.pop(gone).deleteLater()
        for number, job in jobs.items():
            if number in self.rows:
                self.rows[number].show_job(job)
            else:
                self.rows[number] = JobRow(job)
                self.rows[number].cancelled.connect(self.document.cancel)
                self._list.insertWidget(self._list.count() - 1, self.rows[number])
        self._stack.setCurrentIndex(int(bool(jobs)))
