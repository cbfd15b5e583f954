"""The line at the bottom: at the left what computes and that the present cut is verified, at the right the last word.

The left stays as long as the current state does; the right says what just happened, for a while.
"""

from PySide6.QtCore import QSize, Qt, QTimer, Slot
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from secateur.engine.machine.device_list import CPU

from ..document.aspects import Aspect
from ..jobs.workbench import Workbench
from ..text.format import about
from ..text.metrics import verified_text, verified_tip
from ..widgets.buttons import button
from ..widgets.labels import ElidedLabel, label
from ..widgets.progress import ProgressBar

SHOWN = frozenset({Aspect.MODEL, Aspect.STATES, Aspect.JOBS, Aspect.TARGET})
STAYS = 12_000
"""Milliseconds that an announcement stays."""
SHORT = 300
"""Milliseconds that a job may take without being shown with its bar and a way to stop it."""
DOT = " \u00b7 "
BELOW = 4
"""Under the line, in device-independent pixels."""


class StatusBar(QWidget):
    """One line below everything.

    Attributes:
        facts: Processor, job or engine, verification of the present cut.
        running: How far the running job is, and a way to stop it; hidden while none runs.
        word: The last announcement, while it is new.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show a document's state."""
        super().__init__(parent)
        self.document = document = workbench.document
        self.facts = ElidedLabel(role="caption", tells=False)
        self.facts.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self.facts.setAccessibleName(self.tr("Engine, and verification of the current state"))
        self.word = ElidedLabel(role="caption")
        self.word.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.word.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, BELOW)
        row.setSpacing(16)
        self.running = RunningJob(workbench)
        # Where room is short, the facts give way.
        self.running.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
        row.addWidget(self.facts)
        row.addWidget(self.running)
        row.addWidget(self.word, 1)
        self._clock = QTimer(self, interval=STAYS, singleShot=True)
        self._clock.timeout.connect(self._clear)
        document.announced.connect(self.tell)
        document.dispatcher.watch(SHOWN, self._on_change)
        self._on_change(SHOWN)

    def sizeHint(self) -> QSize:
        """As high as with a job: panels above do not move when one comes or goes."""
        return super().sizeHint().expandedTo(QSize(0, self._high()))

    def minimumSizeHint(self) -> QSize:
        """As high as that, too."""
        return super().minimumSizeHint().expandedTo(QSize(0, self._high()))

    def _high(self) -> int:
        return self.running.sizeHint().height() + BELOW

    @Slot(str)
    def tell(self, sentence: str) -> None:
        """Say what just happened."""
        self.word.setText(sentence)
        self._clock.start()

    @Slot()
    def _clear(self) -> None:
        self.word.setText("")

    def _engine_words(self) -> str:
        """That the engine is out of reach; else what runs, or what the engine does."""
        jobs, engine = self.document.jobs, self.document.engine
        if engine.place and not engine.ready:
            return engine.text
        if jobs:
            return f"{jobs[0].title}: {jobs[0].text}" if jobs[0].text else jobs[0].title
        if not (engine.processor and engine.ready):
            return engine.text
        device = self.document.contents.device
        return engine.processor if device == CPU else f"{device}{DOT}{engine.processor}"

    def _on_change(self, aspects: frozenset[Aspect]) -> None:
        document = self.document
        parts = (self._engine_words(), verified_text(document.states, document.state))
        self.facts.setText(DOT.join(part for part in parts if part))
        self.facts.setToolTip(verified_tip(document.states, document.state) if document.state is not None else "")
        if Aspect.JOBS in aspects:
            self.running.tell()
        if not self._clock.isActive():
            self._clear()


class RunningJob(QWidget):
    """The job that runs, in a line: a bar, what is left, Cancel; and how many wait behind it.

    Attributes:
        bar: How far it is.
        left: Time left, and how many wait.
        cancel: Stops it.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Start hidden; what is over in a moment is never shown."""
        super().__init__(parent)
        self.document, self._runner = workbench.document, workbench.runner
        self.bar = ProgressBar()
        self.bar.setFixedWidth(88)
        self.bar.setAccessibleName(self.tr("Progress of the running job"))
        self.left = label(role="caption")
        self.cancel = button(self.tr("Cancel"), "link")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for each in (self.bar, self.left, self.cancel):
            row.addWidget(each)
        self._patience = QTimer(self, interval=SHORT, singleShot=True)
        self._patience.timeout.connect(self.refresh)
        self.cancel.clicked.connect(self._cancel)
        self.hide()

    def tell(self) -> None:
        """The jobs are others, or further; the status bar calls it, because the dispatcher passes over hidden views."""
        jobs = self.document.jobs
        if not jobs:
            self._patience.stop()
            self.hide()
        elif self.isHidden() and not self._patience.isActive():
            self._patience.start()
        elif not self.isHidden():
            self.refresh()

    @Slot()
    def refresh(self) -> None:
        """Show the first job, if there still is one."""
        jobs = self.document.jobs
        self.setVisible(bool(jobs))
        if not jobs:
            return
        job = jobs[0]
        self.bar.show_progress(job.done, job.total, job.work)
        parts = [self.tr("about {0} left").format(about(job.left))] if job.left >= 0 else []
        parts += [self.tr("{0} waiting").format(len(jobs) - 1)] if len(jobs) > 1 else []
        self.left.setText(", ".join(parts))
        waiting = "\n".join(one.title for one in jobs[1:])
        self.left.setToolTip(self.tr("Waiting:\n{0}").format(waiting) if waiting else "")
        self.cancel.setEnabled(not job.cancelling)
        self.cancel.setAccessibleName(self.tr("Cancel: {0}").format(job.title))

    @Slot()
    def _cancel(self) -> None:
        if jobs := self.document.jobs:
            self._runner.request_cancel(jobs[0].id)
