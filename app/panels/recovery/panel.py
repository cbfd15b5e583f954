"""Recovery: settings and what to expect before it, live curves and a way to stop while it runs, the best afterwards."""

from dataclasses import replace
from typing import cast

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QStackedLayout, QStackedWidget, QVBoxLayout, QWidget

from secateur.engine.options import setting_of
from secateur.engine.recovery.budget import Unit
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.tasks.protocol import Split

from ...commands import command_named
from ...dialogs.recovery_settings import RecoverySettingsDialog
from ...dialogs.save_plot import asks_to_save
from ...dialogs.settings_fields import number_field, settings_field
from ...document.document import Aspect
from ...document.job_state import JobView
from ...jobs.workbench import Workbench
from ...text.format import about
from ...text.metrics import metric_of
from ...text.titles import budget_called, recovery_called
from ...widgets.availability import set_available
from ...widgets.buttons import button
from ...widgets.empty_state import EmptyState
from ...widgets.fields import ComboBox, DoubleSpinBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table
from ...widgets.progress import ProgressBar
from ..plot_tables import recovery_table
from .curves import Curves
from .domain_curves import DomainCurves
from .texts import best_text, expect_text, progress_text, recovery_job

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.MARKS, Aspect.JOBS, Aspect.CURVE})
ROOMY = 540
"""Width from which the place of the curves is kept free, in device-independent pixels."""


class RecoveryPanel(QWidget):
    """Fine-tuning of the current state.

    Attributes:
        curves: Loss and metric.
        domains: Loss and share of each domain of text, where they are mixed.
        which: Which of the two are shown; hidden without domains.
        epochs: How many epochs; hidden where something else ends it.
        length: What does then.
        rate: Peak learning rate.
        repair: What is done to layers before training.
        more: Opens the further settings.
        settings: Those, for the next recovery.
        start: Starts.
        cancel: Stops.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's recovery."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.settings = defaults = RecoverySettings()
        self.curves, self.domains = Curves(), DomainCurves()
        self.which = ComboBox(self.tr("Curves shown"))
        for words in (self.tr("Loss and metric"), self.tr("Domains")):
            self.which.addItem(words)
        self.epochs = number_field(setting_of(RecoverySettings, "epochs"), defaults.epochs)
        rate = settings_field(setting_of(RecoverySettings, "learning_rate"), defaults.learning_rate)
        self.rate = cast("DoubleSpinBox", rate)
        repair = settings_field(setting_of(RecoverySettings, "repair"), defaults.repair)
        self.repair = cast("ComboBox", repair)
        self.more = button(self.tr("More..."), tip=self.tr("Distillation, optimiser, schedule, early stopping"))
        self.start = button(self.tr("Recover"))
        self.cancel = button(self.tr("Cancel"))
        self.text = label(role="caption", wrap=True)
        self.progress = ProgressBar()
        self.progress.setAccessibleName(self.tr("Progress of the recovery"))
        self.best = label(role="good", wrap=True)
        self._settings = QWidget()
        title = self.tr("Curves of the recovery")
        self._drawing = Drawing("recovery", title, "recovery", self._some, self._shown_curves, self._table)
        self.length = label()
        self._lay_out()
        for curves in (self.curves, self.domains):
            curves.offer(self._drawing, asks_to_save(self.document))
        self.which.currentIndexChanged.connect(self.refresh)
        self.start.clicked.connect(self._start)
        self.cancel.clicked.connect(self._cancel)
        for changed in (self.epochs.valueChanged, self.rate.valueChanged, self.repair.currentIndexChanged):
            changed.connect(self._tell)
        self.epochs.valueChanged.connect(self.refresh)
        self.repair.currentIndexChanged.connect(self.refresh)
        self.more.clicked.connect(self._ask_more)
        self.document.dispatcher.watch(SHOWN, self._changed)
        self.refresh()

    def _lay_out(self) -> None:
        waiting = EmptyState(self.tr("Recovery"), self.tr("Loss and metric appear here during fine-tuning."))
        self._left_side = QWidget()
        self._left = QStackedLayout(self._left_side)
        self._left.addWidget(waiting)
        self._plots = QStackedWidget()
        for curves in (self.curves, self.domains):
            self._plots.addWidget(curves)
        drawn = QWidget()
        column = QVBoxLayout(drawn)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.which, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._plots, 1)
        self._left.addWidget(drawn)
        fields = FlowLayout(self._settings, gap=8)
        self._by_epochs = _named(self.epochs.accessibleName(), self.epochs)
        self._by_length = _named(self.tr("Length"), self.length)
        for pair in (
            self._by_epochs,
            self._by_length,
            _named(self.rate.accessibleName(), self.rate),
            _named(self.repair.accessibleName(), self.repair),
        ):
            fields.addWidget(pair)
        fields.addWidget(self.more)
        page = QWidget()
        page.setProperty("role", "page")
        inner = QVBoxLayout(page)
        inner.setContentsMargins(0, 0, 4, 0)
        inner.setSpacing(5)
        self._heading = label(self.tr("Fine-tune with the original as teacher"), "heading", wrap=True)
        for each in (self._heading, self._settings, self.best, self.text, self.progress):
            inner.addWidget(each)
        inner.addStretch(1)
        area = QScrollArea()
        area.setProperty("role", "reached")
        area.setWidgetResizable(True)
        area.setAccessibleName(self.tr("What to expect of a recovery, and its progress"))
        area.setWidget(page)
        right = QVBoxLayout()
        right.setSpacing(6)
        right.addWidget(area, 1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start, 1)
        buttons.addWidget(self.cancel)
        right.addLayout(buttons)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 6, 6, 6)
        row.setSpacing(12)
        row.addWidget(self._left_side, 9)
        row.addLayout(right, 11)

    def drawings(self) -> tuple[Drawing, ...]:
        """The curves, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return bool(self.document.curve)

    def _shown_curves(self) -> QWidget:
        return self._plots.currentWidget() or self.curves

    def _table(self) -> Table:
        return recovery_table(self.document.curve)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        if self.document.recovery != self._given():
            self._show_settings()
        if aspects != {Aspect.MARKS}:
            self.refresh()
        elif recovery_job(self.document) is None:  # marks change no curve: a dragged threshold draws none
            self._show_waiting()

    @Slot()
    def refresh(self) -> None:
        """Show curves and progress again."""
        document, job = self.document, recovery_job(self.document)
        points = document.curve
        self._left.setCurrentIndex(int(bool(points) or job is not None))
        self._share_room()
        self.curves.show_points(points, document.metric(document.original), metric_of(document.original, Split.VAL))
        mixed = any(point.domains for point in points)
        self.which.setVisible(mixed)
        self._plots.setCurrentIndex(self.which.currentIndex() if mixed else 0)
        self.domains.show_points(points)
        self.best.setText(best_text(document))
        self.best.setVisible(bool(self.best.text()))
        self._settings.setVisible(job is None)
        for each in (self.progress, self.cancel):
            each.setVisible(job is not None)
        if job is None:
            self._show_waiting()
        else:
            self._show_running(job)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a narrow window what matters more takes the room of curves to come, the loss, heading and words."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        roomy = self.width() >= ROOMY
        self.curves.show_loss(roomy)
        self.domains.show_shares(roomy)
        running = recovery_job(self.document) is not None
        self._heading.setVisible(roomy or not running)
        words = recovery_called(self._given())
        self.start.setText(words if roomy or not running else self.tr("Recover"))  # Cancel is beside it then
        self.start.setAccessibleName(words)
        self._left_side.setVisible(roomy or self._left.currentIndex() == 1)

    def _show_waiting(self) -> None:
        reason = command_named("run.recover").enabled(self.document)
        self.text.setText(reason or expect_text(self.document, self._given()))
        self._show_estimate(reason)
        set_available(self.start, not reason)
        budget = self.settings.budget
        called = budget_called(budget)
        self._by_epochs.setVisible(budget.unit is Unit.EPOCHS)
        self._by_length.setVisible(budget.unit is not Unit.EPOCHS)
        self.length.setText(called)
        tip = self.tr("The recovery takes {0}, however many epochs those are. Change it in More.")
        self.length.setToolTip(tip.format(called))

    def _show_estimate(self, reason: str) -> None:
        """About how long it takes, before what to expect; memory too, on the button."""
        settings = self.document.contents.suited(self._given())
        found = self.workbench.estimator.estimate("recover", self.document.contents.present, settings)
        if not reason and (settings.trains or settings.distilling) and found.seconds == found.seconds:
            self.text.setText(self.tr("About {0}. {1}").format(about(found.seconds), self.text.text()))
        self.start.setToolTip(reason or self.workbench.estimator.told(found))

    def _show_running(self, job: JobView) -> None:
        set_available(self.start, False)  # it stays where it is, with the focus
        self.start.setToolTip(command_named("run.recover").enabled(self.document))
        self.text.setText(progress_text(job, self.document.curve))
        self.progress.show_progress(job.done, job.total, job.work)
        self.cancel.setEnabled(not job.cancelling)
        self.cancel.setText(self.tr("Cancelling \u2026") if job.cancelling else self.tr("Cancel"))
        words = self.tr("Cancel: {0}").format(job.title)  # of a sweep all of it, not the recovery of now alone
        self.cancel.setAccessibleName(words)
        self.cancel.setToolTip(words)

    def _repair(self) -> Repair:
        return Repair(self.repair.currentData())  # Qt gives back a plain string

    @Slot()
    def _tell(self) -> None:
        """The command and the sweep recover with what stands here."""
        self.document.set_recovery(self._given())

    def _show_settings(self) -> None:
        """Those of a session that was restored."""
        told = self.settings = self.document.recovery
        for field, show in (
            (self.epochs, lambda: self.epochs.setValue(told.epochs)),
            (self.rate, lambda: self.rate.setValue(told.learning_rate)),
            (self.repair, lambda: self.repair.setCurrentIndex(self.repair.findData(told.repair))),
        ):
            field.blockSignals(True)
            show()
            field.blockSignals(False)

    def _given(self) -> RecoverySettings:
        """What stands in the fields, with the further settings."""
        given = {"epochs": self.epochs.value(), "learning_rate": self.rate.value(), "repair": self._repair()}
        return replace(self.settings, **given)

    @Slot()
    def _start(self) -> None:
        self._tell()
        self.workbench.states.recover(self.document.recovery)

    @Slot()
    def _ask_more(self) -> None:
        task = self.document.task
        self.document.requested.emit(
            lambda window: RecoverySettingsDialog(window, self.settings, self._use, task).open()
        )

    def _use(self, settings: RecoverySettings) -> None:
        self.settings = settings
        self._tell()
        self.refresh()

    @Slot()
    def _cancel(self) -> None:
        if (job := recovery_job(self.document)) is not None:
            self.workbench.runner.request_cancel(job.id)


def _named(name: str, field: QWidget) -> QWidget:
    """A field with its name before it, kept together when a row breaks."""
    pair = QWidget()
    row = QHBoxLayout(pair)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(6)
    row.addWidget(label(name, "caption"))
    row.addWidget(field)
    return pair
