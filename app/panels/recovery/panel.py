"""Recovery: settings and what to expect before it, live curves and a way to stop while it runs, the best afterwards."""

import math
from dataclasses import replace
from typing import cast

from PySide6.QtCore import QCoreApplication, QSignalBlocker, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QStackedWidget, QWidget

from secateur.engine.options import setting_of
from secateur.engine.recovery.budget import Unit
from secateur.engine.recovery.expected_result import CutModel, expectation, family_of
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.tasks.protocol import Split

from ...commands import command_named
from ...dialogs.recovery_settings import RecoverySettingsDialog
from ...dialogs.save_plot import asks_to_save
from ...dialogs.settings_fields import number_field, settings_field
from ...document.aspects import Aspect
from ...document.document import Document
from ...document.job_state import TRAINS, CurvePoint, JobView
from ...jobs.workbench import Workbench
from ...text.format import about, duration, percent, three_digits
from ...text.metrics import metric_of
from ...text.titles import budget_title, kept_words, recovery_title, state_name
from ...text.translate import sentence
from ...widgets.buttons import button, set_available
from ...widgets.card import EmptyState
from ...widgets.fields import ComboBox, DoubleSpinBox
from ...widgets.flow import FlowLayout
from ...widgets.labels import label
from ...widgets.plot_export import Drawing
from ...widgets.progress import ProgressBar
from ..panel_layout import column_of, row_of, scroll_area, stack_of
from ..plot_tables import recovery_table
from .curves import Curves, DomainCurves

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
        self._drawing = Drawing(
            "recovery",
            self.tr("Curves of the recovery"),
            "recovery",
            shown=lambda: bool(self.document.curve),
            widget=lambda: self._plots.currentWidget() or self.curves,
            table=lambda: recovery_table(self.document.curve),
        )
        self.length = label()
        self._lay_out()
        for curves in (self.curves, self.domains):
            curves.offer(self._drawing, asks_to_save(self.document))
        self.which.currentIndexChanged.connect(self.refresh)
        self.start.clicked.connect(self._start_recovery)
        self.cancel.clicked.connect(self._request_cancel)
        for changed in (self.epochs.valueChanged, self.rate.valueChanged, self.repair.currentIndexChanged):
            changed.connect(self._keep_settings)
        self.epochs.valueChanged.connect(self.refresh)
        self.repair.currentIndexChanged.connect(self.refresh)
        self.more.clicked.connect(self._open_further_settings)
        self.document.dispatcher.watch(SHOWN, self._show_changes)
        self.refresh()

    def _lay_out(self) -> None:
        self._left_side, self._plots, drawn, page = QWidget(), QStackedWidget(), QWidget(), QWidget()
        for curves in (self.curves, self.domains):
            self._plots.addWidget(curves)
        column_of(row_of(self.which, None), (self._plots, 1), on=drawn, margins=(0, 0, 0, 0), gap=4)
        waiting = EmptyState(self.tr("Recovery"), self.tr("Loss and metric appear here during fine-tuning."))
        self._left = stack_of(self._left_side, waiting, drawn)
        # A field stays together with its name when a row breaks.
        pairs: list[QWidget] = []
        for name, field in (
            (self.epochs.accessibleName(), self.epochs),
            (self.tr("Length"), self.length),
            (self.rate.accessibleName(), self.rate),
            (self.repair.accessibleName(), self.repair),
        ):
            pairs.append(QWidget())
            row_of(label(name, "caption"), field, on=pairs[-1], margins=(0, 0, 0, 0), gap=6)
        self._by_epochs, self._by_length = pairs[:2]
        fields = FlowLayout(self._settings, gap=8)
        for each in (*pairs, self.more):
            fields.addWidget(each)
        self._heading = label(self.tr("Fine-tune with the original as teacher"), "heading", wrap=True)
        words = (self._heading, self._settings, self.best, self.text, self.progress, None)
        column_of(*words, on=page, margins=(0, 0, 4, 0), gap=5)
        area = scroll_area(page, self.tr("What to expect of a recovery, and its progress"))
        right = column_of((area, 1), row_of((self.start, 1), self.cancel), gap=6)
        row_of((self._left_side, 9), (right, 11), on=self, margins=(6, 6, 6, 6), gap=12)

    def drawings(self) -> tuple[Drawing, ...]:
        """The curves, to be taken along."""
        return (self._drawing,)

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if self.document.recovery != self._entered_settings():
            # Those of a session that was restored.
            self.settings = self.document.recovery
            with QSignalBlocker(self.epochs), QSignalBlocker(self.rate), QSignalBlocker(self.repair):
                self.epochs.setValue(self.settings.epochs)
                self.rate.setValue(self.settings.learning_rate)
                self.repair.setCurrentIndex(self.repair.findData(self.settings.repair))
        if aspects != {Aspect.MARKS}:
            self.refresh()
        elif recovery_job(self.document) is None:
            # Marks change no curve: while a threshold is dragged, none is drawn again.
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
            # The button stays, disabled: it may have the focus.
            set_available(self.start, False)
            self.start.setToolTip(command_named("run.recover").enabled(self.document))
            self.text.setText(progress_text(job, self.document.curve))
            self.progress.show_progress(job.done, job.total, job.work)
            self.cancel.setEnabled(not job.cancelling)
            self.cancel.setText(self.tr("Cancelling \u2026") if job.cancelling else self.tr("Cancel"))
            # Of a sweep, all of it is cancelled, not the present recovery alone.
            words = self.tr("Cancel: {0}").format(job.title)
            self.cancel.setAccessibleName(words)
            self.cancel.setToolTip(words)

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
        words = recovery_title(self._entered_settings())
        # While it runs, Cancel is beside it: there is room for one word.
        self.start.setText(words if roomy or not running else self.tr("Recover"))
        self.start.setAccessibleName(words)
        self._left_side.setVisible(roomy or self._left.currentIndex() == 1)

    def _show_waiting(self) -> None:
        reason = command_named("run.recover").enabled(self.document)
        self.text.setText(reason or expect_text(self.document, self._entered_settings()))
        # About how long it takes, before what to expect; memory too, on the button.
        settings = self.document.contents.suited(self._entered_settings())
        found = self.workbench.estimator.estimate("recover", self.document.contents.present, settings)
        if not reason and (settings.trains or settings.distilling) and found.seconds == found.seconds:
            self.text.setText(self.tr("About {0}. {1}").format(about(found.seconds), self.text.text()))
        self.start.setToolTip(reason or self.workbench.estimator.estimate_text(found))
        set_available(self.start, not reason)
        budget = self.settings.budget
        called = budget_title(budget)
        self._by_epochs.setVisible(budget.unit is Unit.EPOCHS)
        self._by_length.setVisible(budget.unit is not Unit.EPOCHS)
        self.length.setText(called)
        tip = self.tr("The recovery takes {0}, however many epochs those are. Change it in More.")
        self.length.setToolTip(tip.format(called))

    @Slot()
    def _keep_settings(self) -> None:
        """The command and the sweep recover with what was entered here."""
        self.document.set_recovery(self._entered_settings())

    def _entered_settings(self) -> RecoverySettings:
        """What the fields say, with the further settings."""
        return replace(
            self.settings,
            epochs=self.epochs.value(),
            learning_rate=self.rate.value(),
            # Qt gives back a plain string.
            repair=Repair(self.repair.currentData()),
        )

    @Slot()
    def _start_recovery(self) -> None:
        self._keep_settings()
        self.workbench.states.recover(self.document.recovery)

    @Slot()
    def _open_further_settings(self) -> None:
        task = self.document.task
        self.document.requested.emit(
            lambda window: RecoverySettingsDialog(window, self.settings, self._use_settings, task).open()
        )

    def _use_settings(self, settings: RecoverySettings) -> None:
        self.settings = settings
        self._keep_settings()
        self.refresh()

    @Slot()
    def _request_cancel(self) -> None:
        if (job := recovery_job(self.document)) is not None:
            self.workbench.runner.request_cancel(job.id)


say = QCoreApplication.translate


def recovery_job(document: Document) -> JobView | None:
    """The job that recovers, or that cuts and recovers by turns; None when none does."""
    return next((j for j in document.jobs if j.method in TRAINS), None)


def expect_text(document: Document, settings: RecoverySettings) -> str:
    """What is kept of a cancelled run, or what to expect of one with these settings.

    Figures are those of a benchmark of the same kind of model and data; where none is, there are none.
    """
    kept, trains = document.contents.kept, settings.trains
    if trains and kept is not None and kept.state == document.contents.present:
        return kept_words(kept.done, kept.budget) + say("recovery", " The length may be another one.")
    if not trains and settings.repair is Repair.NONE:
        return say("recovery", "What to expect: only the BatchNorm statistics are recalibrated.")
    settings = document.contents.suited(settings)
    if settings.distilling is not None:
        return say("recovery", "What to expect: no label is read; the steps take about as long as 160 of training.")
    # What our nearest benchmark saw, where one is of the same kind of model, data and cut.
    seen, original, state = "", document.original, document.state
    analysis, task = document.analysis, document.task
    if analysis and task and state and original and state.macs != original.macs:
        family, share = family_of(analysis, task.metric), state.macs / max(original.macs, 1)
        model = CutModel(family, share, original.parameters, task.metric, len(task.classes))
        found = expectation(model, settings)
        seen = "" if found is None else sentence(found)
    if trains:
        kept_run = say("recovery", "A cancelled run is kept, and Recover continues from there.")
        general = say("recovery", "What to expect: the first epochs usually recover most of the loss.")
        if settings.budget.unit is not Unit.EPOCHS:
            general = say("recovery", "What to expect: the first part of training usually recovers most of the loss.")
        return f"{seen or general} {kept_run}"
    return seen or say("recovery", "What to expect: this takes seconds and works without training and labels.")


def progress_text(job: JobView, points: tuple[CurvePoint, ...]) -> str:
    """Epoch, step and time left."""
    parts = [job.text] if job.text else [say("recovery", "waiting for the engine")]
    if points:
        parts.append(say("recovery", "step {0}").format(f"{points[-1].step:,}"))
    if job.left >= 0:
        parts.append(say("recovery", "{0} left").format(duration(job.left)))
    return ", ".join(parts)


def best_text(document: Document) -> str:
    """The best metric so far, which is measured on the val split, at which step and of which state's recovery.

    "" before the first.
    """
    points, original, recovered = document.curve, document.metric(document.original), document.contents.training.state
    known = [p for p in points if not math.isnan(p.metric)]
    if not known:
        return ""
    higher = original is None or original.higher_is_better
    best = max(known, key=lambda p: p.metric if higher else -p.metric)
    value = percent(best.metric) if original is None or original.percent else three_digits(best.metric)
    text = say("recovery", "best on the val split: {0} at step {1}").format(value, f"{best.step:,}")
    if recovered:
        text = say("recovery", "Recovery of {0}: {1}").format(state_name(document.states, recovered), text)
    level = metric_of(document.original, Split.VAL)
    if level is None:
        return text
    before = percent(level.value) if level.percent else three_digits(level.value)
    return text + say("recovery", "; dashed: original on the {0} split, {1}").format(level.split, before)
