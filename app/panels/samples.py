"""The baseline check: what the original scores, what it should score, and five samples as the model sees them.

Wrong preprocessing is found here, before anything was pruned.
"""

from PySide6.QtCore import QRectF, QSignalBlocker, QSize, Qt, Slot
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from secateur.engine.tasks.protocol import Sample

from ..document.aspects import Aspect
from ..jobs.workbench import Workbench
from ..text.format import signed, three_digits
from ..text.metrics import metric_text, metric_tip
from ..text.translate import sentences
from ..widgets.buttons import button, set_available
from ..widgets.card import EmptyState
from ..widgets.fields import DoubleSpinBox
from ..widgets.flow import FlowLayout
from ..widgets.labels import label, set_role
from .panel_layout import column_of, row_of, scroll_area, stack_of
from .panel_parts import ask_for_data

SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.JOBS, Aspect.EXPECTED})
SIDE = 64
"""Side of a sample's picture in device-independent pixels."""


class Picture(QWidget):
    """A sample's image, enlarged without smoothing: every value that the model sees is a square."""

    def __init__(self, sample: Sample, parent: QWidget | None = None) -> None:
        """Show a sample."""
        super().__init__(parent)
        self._image: QImage | None = None
        if (pixels := sample.image) is not None:
            grey = pixels.ndim == 2
            kind = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
            tall, wide = pixels.shape[:2]
            # A copy, because the bytes are gone by the time that it is painted.
            self._image = QImage(pixels.tobytes(), wide, tall, wide * (1 if grey else 3), kind).copy()
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Image labelled {0}").format(sample.label))

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(SIDE, SIDE)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the image."""
        if self._image is not None:
            painter = QPainter(self)
            scaled = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._image.width() > SIDE)
            painter.drawImage(QRectF(0, 0, scaled.width(), scaled.height()), self._image)


class SamplesPanel(QWidget):
    """Does the original evaluate to what was expected?

    Attributes:
        scores: What the original scores.
        expected: What it should score, in per cent.
        better: Takes over a preparation of the data that fits the model better.
        verdict: How the two compare.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's task."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.scores = label(role="strong", wrap=True)
        self._ask = label(self.tr("Expected value"), "caption")
        self.expected = DoubleSpinBox(self.tr("Expected metric of the original, in %"), 0.0, 100.0, 1, " %")
        self.expected.setSpecialValueText("\u2013")
        self.verdict = label(role="caption", wrap=True)
        self.hint = label(role="marked", wrap=True)
        self.hint.hide()
        self.better = button("")
        self.better.hide()
        self._range = label(role="caption", wrap=True)
        self._pictures = FlowLayout(gap=10)
        self._texts = column_of(gap=10)
        self._empty = EmptyState("", "")
        ask, page = FlowLayout(gap=6), QWidget()
        ask.addWidget(self._ask)
        ask.addWidget(self.expected)
        words = column_of(self.scores, ask, self.verdict, None, gap=6)
        offered = (self.hint, row_of(self.better, None))
        right = column_of(*offered, self._pictures, self._texts, self._range, None, gap=6)
        row_of((words, 3), (right, 7), on=page, margins=(6, 6, 6, 6), gap=16)
        area = scroll_area(page, self.tr("Metric of the original, and samples"))
        self._stack = stack_of(self, self._empty, area)
        self.expected.valueChanged.connect(self.document.expect)
        self.better.clicked.connect(self._use_better_preparation)
        self.document.dispatcher.watch(SHOWN, self._show_changes)
        self._show_changes(SHOWN)

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if aspects & {Aspect.MODEL, Aspect.TASK}:
            task = self.document.task
            self._stack.setCurrentIndex(int(task is not None))
            words = self.tr("Attach data to see five samples as the model sees them, with its outputs.")
            ask_for_data(self._empty, self.document, self.tr("Samples"), words)
            for place in (self._pictures, self._texts):
                while item := place.takeAt(0):
                    if (widget := item.widget()) is not None:
                        widget.deleteLater()
            for sample in task.samples if task is not None else ():
                place = self._pictures if sample.image is not None else self._texts
                place.addWidget(_card(sample))
            self._range.setText("")
            if task is not None and task.samples:
                words = self.tr("As the model sees them: {0}, values {1} to {2}.")
                if task.samples[0].image is not None:
                    words = self.tr("As the model sees them: {0}, values {1} to {2}; contrast stretched.")
                low, high = min(s.low for s in task.samples), max(s.high for s in task.samples)
                shape = "x".join(map(str, task.samples[0].shape))
                self._range.setText(words.format(shape, three_digits(low), three_digits(high)))
        self._compare()

    def _compare(self) -> None:
        with QSignalBlocker(self.expected):
            self.expected.setValue(self.document.contents.expected)
        metric = self.document.metric(self.document.original)
        percent = metric is None or metric.percent
        for each in (self._ask, self.expected):
            each.setVisible(metric is not None and percent)
        if metric is None:
            running = self.document.evaluation_words()
            asks = self.tr("Evaluate it before you prune: all results are compared with it.")
            self.scores.setText(running or self.tr("The original is not evaluated yet."))
            self.verdict.setText(self.tr("All results are compared with it.") if running else asks)
            return
        self.scores.setText(self.tr("The original reaches {0}.").format(metric_text(metric)))
        self.scores.setToolTip(metric_tip(metric))
        words, good = "", True
        if self.expected.value() > 0 and percent:
            difference = 100 * metric.value - self.expected.value()
            good = abs(difference) <= max(200 * metric.error, 0.3)
            words = self.tr(
                "{0} points from the expected value. Check mean, standard deviation, size and channel order."
            )
            words = words.format(signed(difference, 1))
            if good:
                known = self.tr("As expected, within the uncertainty of n = {0}.").format(f"{metric.count:,}")
                words = known if metric.count else self.tr("As expected.")
        task = self.document.task
        hint = sentences(task.notes) if task is not None and not (words and good) else ""
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        # Offer to take over what was found to fit the model better.
        reordered = bool(hint) and task is not None and task.reordered is not None
        offered = reordered or (bool(hint) and task is not None and task.better is not None)
        if not offered and self.better.hasFocus():
            # Else Qt would hand the focus on to any other widget when the button is hidden.
            self.expected.setFocus()
        self.better.setVisible(offered)
        name, tip = (
            self.tr("Use this normalisation"),
            self.tr("Open the same data with this mean and standard deviation"),
        )
        if reordered:
            name, tip = self.tr("Use this order"), self.tr("Open the same data with its classes in this order")
        self.better.setText(name)
        self.better.setToolTip(tip)
        set_available(self.better, not self.document.busy)
        asks = self.tr("Enter the value that the model's authors or your own evaluation report.")
        # A metric that is no share has no field to enter it in.
        if not percent:
            asks = self.tr("Compare it with the value that the model's authors or your own evaluation report.")
        self.verdict.setText(words or asks)
        set_role(self.verdict, "caption" if not words else "good" if good else "marked")

    @Slot()
    def _use_better_preparation(self) -> None:
        """Take over the order or the preparation that was found to be better."""
        task = self.document.task
        if task is not None and (found := task.reordered or task.better) is not None:
            self.workbench.model.attach_task(found)


def _card(sample: Sample) -> QWidget:
    """An image with its words below it, or a text over the whole width with them."""
    card = QWidget()
    inner = column_of(on=card, margins=(0, 0, 0, 0), gap=2)
    if sample.image is not None:
        inner.addWidget(Picture(sample))
    elif sample.text:
        inner.addWidget(label(sample.text, "caption", wrap=True))
    pictured = sample.image is not None
    words = column_of(gap=2) if pictured else row_of(gap=8)
    if sample.label:
        words.addWidget(label(sample.label, "strong"))
    if sample.predicted:
        right = not sample.label or sample.predicted == sample.label
        words.addWidget(label(card.tr("predicts {0}").format(sample.predicted), "caption" if right else "marked"))
    words.addStretch(1)
    inner.addLayout(words)
    return card
