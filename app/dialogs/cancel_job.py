"""Cancel a job that has worked for long and keeps nothing of it: asks first, and goes away when the job ends."""

from PySide6.QtCore import Slot

from ..document.aspects import Aspect
from ..document.job_state import JobView
from ..text.format import about, duration
from .form import FormDialog
from .window_api import WindowApi


class CancelJob(FormDialog):
    """The dialog; the safe answer has the focus."""

    def __init__(self, window: WindowApi, number: int) -> None:
        """Ask in a window about the job of that number."""
        sentence = self.tr("Nothing of a job like this is kept when it is cancelled.")
        super().__init__(window.as_widget(), self.tr("Cancel the job?"), sentence, self.tr("Cancel the job"))
        self._document, self._number = window.document, number
        self.cancel_button.setText(self.tr("Keep running"))
        self.prefer_cancel()
        self.act = lambda: window.workbench.runner.cancel(number)
        self._document.changed.connect(self._changed)
        self._tell()

    def _job(self) -> JobView | None:
        return next((job for job in self._document.jobs if job.id == self._number), None)

    def _tell(self) -> None:
        """How long it has run, and still takes."""
        job = self._job()
        if job is None:
            return self.reject()
        words = self.tr("{job} has run for {time}.").format(job=job.title, time=duration(job.elapsed))
        left = self.tr(" About {0} are left.").format(about(job.left)) if job.left >= 0 else ""
        self.missing.setText(words + left)

    @Slot(object)
    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.JOBS in aspects and self.isVisible():
            self._tell()
