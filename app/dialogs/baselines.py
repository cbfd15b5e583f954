"""Baselines of the current state: which, what each is, needs and takes, and whether they are timed with it."""

from pathlib import Path

from PySide6.QtWidgets import QSizePolicy

from secateur.engine.baselines.protocol import BaselineKind, BaselineSpec
from secateur.engine.options import setting_of

from ..document.baseline_queries import baselines_of, family_known, missing_kinds, pruned_state
from ..storage.open_target import is_missing
from ..text.baselines import needs_of, question_of, title_of
from ..text.format import about
from ..text.metrics import metric_text, target_text
from ..widgets.check_boxes import CheckBox
from ..widgets.labels import label
from .form import FormDialog
from .settings_fields import number_field, settings_line
from .window_api import WindowApi


class Baselines(FormDialog):
    """The dialog.

    Attributes:
        boxes: Which, by kind.
        hints: What each is and takes, by kind.
        epochs: Of each, 0 for as many as the state had.
        seed: Of what is random.
        stock: Another model than the family's next smaller one.
        weights: What the stock model begins with.
        timed: Whether all are timed on the target, in turns with the state.
        estimate: What all of it takes, in words.
    """

    def __init__(self, window: WindowApi, only: BaselineKind | None = None) -> None:
        """Ask in a window; `only` checks one kind, else all are that were not made."""
        sentence = self.tr(
            "Pruning was worth it if the current state beats these baselines. Each is evaluated on the same data "
            "and appears in the trade-off. If you stop, finished baselines are kept and an interrupted training "
            "resumes later."
        )
        super().__init__(window.as_widget(), self.tr("Baselines"), sentence, self.tr("Make baselines"))
        self._window, self._document, self._jobs = window, window.document, window.workbench.baselines
        self.read_elsewhere(window.workbench.elsewhere)
        self.boxes: dict[BaselineKind, CheckBox] = {}
        self.hints = {kind: label("", "muted", wrap=True) for kind in BaselineKind}
        missing = missing_kinds(self._document)
        for kind in BaselineKind:
            box = self.boxes[kind] = CheckBox(title_of(kind))
            possible = kind is not BaselineKind.STOCK or family_known(self._document)
            box.setChecked(kind is only if only is not None else kind in missing and possible)
            box.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            box.toggled.connect(self.check)
            # The hint begins under the words of its box.
            self.hints[kind].setContentsMargins(22, 0, 0, 4)
            self.form.addRow(box)
            self.form.addRow(self.hints[kind])
        usual = self.tr("same as the state ({0})") if self._jobs.trained_epochs() else self.tr("{0} for new weights")
        self.epochs = number_field(setting_of(BaselineSpec, "epochs"), 0)
        self.epochs.setSpecialValueText(usual.format(self._jobs.epochs()))
        self.epochs.valueChanged.connect(self.check)
        self.add_row(self.epochs.accessibleName(), self.epochs)
        self.seed = number_field(setting_of(BaselineSpec, "seed"), 0)
        self.add_row(self.seed.accessibleName(), self.seed)
        hint = self.tr("empty: next smaller model of the family") if family_known(self._document) else ""
        self.stock = settings_line(setting_of(BaselineSpec, "source"), self.add_line, hint=hint)
        self.weights = settings_line(setting_of(BaselineSpec, "weights"), self.add_path)
        self.timed = CheckBox(self.tr("alternating with the state"))
        self.timed.setToolTip(target_text(self._document.target))
        self.timed.setChecked(self._document.target.is_reachable)
        self.timed.setEnabled(self._document.target.is_reachable)
        self.add_row(self.tr("Measure latency"), self.timed)
        self.estimate = label("", "muted", wrap=True)
        self.form.addRow(self.estimate)
        self.check()

    def specs(self) -> tuple[BaselineSpec, ...]:
        """What was asked for."""
        epochs = self.epochs.value() or None
        named = {BaselineKind.STOCK: (self.stock.text().strip(), self.weights.text().strip())}
        kinds = [kind for kind, box in self.boxes.items() if box.isChecked()]
        return tuple(BaselineSpec(kind, epochs, self.seed.value(), *named.get(kind, ("", ""))) for kind in kinds)

    def check(self) -> None:
        """Say what each takes, what is missing, and which fields count."""
        super().check()
        specs = self.specs()
        stock = self.boxes[BaselineKind.STOCK].isChecked()
        for field in (self.stock, self.weights):
            self.show_row(field, stock)
        for kind, hint in self.hints.items():
            hint.setText(" ".join([question_of(kind), needs_of(kind), self._cost(kind)]))
        seconds = sum(self._jobs.seconds(one.kind, one.epochs) for one in specs)
        task = self._document.task
        sizes = {} if task is None else task.sizes
        counts = [sizes.get(split, 0) for split in ("train", "test")]
        data = self.tr("Trained on {0} samples of the train split, evaluated on {1} of the test split.")
        data = data.format(*(f"{count:,}" for count in counts)) if all(counts) else ""
        whole = self.tr("About {0} in total.").format(about(seconds)) if seconds else ""
        self.estimate.setText(" ".join(filter(None, (data, whole))))

    def _cost(self, kind: BaselineKind) -> str:
        """What making one takes; what the last one with this seed and epochs scored where there is one."""
        epochs = self.epochs.value() or None
        for made in reversed(baselines_of(self._document, pruned_state(self._document))):
            if (made.asked.kind, made.asked.seed, made.asked.epochs) == (kind, self.seed.value(), epochs):
                return self.tr("Already made: {0}.").format(metric_text(made.metric))
        seconds = self._jobs.seconds(kind, epochs)
        return self.tr("About {0}.").format(about(seconds)) if seconds else ""

    def problem(self) -> str:
        """That nothing is chosen, or what the stock model lacks."""
        if not any(box.isChecked() for box in self.boxes.values()):
            return self.tr("Choose at least one.")
        if not self.boxes[BaselineKind.STOCK].isChecked():
            return ""
        source, weights = self.stock.text().strip(), self.weights.text().strip()
        if not source and not family_known(self._document):
            return self.tr("The family of this model is unknown. Enter a stock model, or leave it out.")
        if weights and is_missing(weights, self._document.engine.place, Path.is_file):
            return self.tr("{file} does not exist.").format(file=weights)
        return ""

    def act(self) -> None:
        """Make them."""
        self._jobs.start(self.specs(), self.timed.isChecked())
        self._window.show_panel("tradeoff")


def ask(window: WindowApi, only: BaselineKind | None = None) -> None:
    """Open the dialog over a window."""
    Baselines(window, only).open()
