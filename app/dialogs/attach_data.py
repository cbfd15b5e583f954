"""Attach data: where it comes from, what the model is for, and how data is preprocessed.

The rows serve opening a model too. A form of data shows the rows that it needs.
"""

from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QCoreApplication, QObject

from secateur.engine.options import setting_of, settings_of
from secateur.engine.tasks.protocol import BATCHES, BYTES, TaskSpec, option
from secateur.engine.tasks.purposes.table import PURPOSES

from ..storage.open_target import is_missing
from ..text.translate import QT_TRANSLATE_NOOP, engine_words
from ..widgets.fields import ComboBox
from ..widgets.labels import label
from .form import FormDialog, one_row
from .settings_fields import explain, is_valid, number_field, numbers, settings_line, shape
from .window_api import WindowApi

CONTEXT = "DataRows"


@dataclass(frozen=True, slots=True)
class Form:
    """A form of data.

    Attributes:
        title: What the combo box shows.
        kind: As of `TaskSpec`, "" for no data.
        rows: Names of the rows that it needs.
        pick: What its path is looked for as: "file" or "folder".
    """

    title: str
    kind: str
    rows: tuple[str, ...] = ()
    pick: str = "file"


IMAGES = ("path", "mean", "std", "size")
OPTIONS = ("features", "label", "tokenizer", "length")
"""Options whose row is a line of text."""
COLUMNS = ("path", "purpose", "features", "label", "tokenizer", "length", "mean", "std")
FORMS = (
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Image folder, one subfolder per class"), "folder", IMAGES, "folder"),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Images with masks"), "masks", IMAGES, "folder"),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Images with boxes (COCO)"), "coco", ("path", "size"), "folder"),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Ultralytics data set (.yaml)"), "ultralytics", ("path", "size")),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Arrays (.npz)"), "arrays", (*IMAGES, "purpose")),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Parquet: images, text or numbers"), "parquet", (*COLUMNS, "size")),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "CSV: text or numbers"), "csv", COLUMNS),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Plain text"), "text", ("path", "purpose", "tokenizer", "length")),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "MNIST files"), "idx", ("path", "mean", "std"), "folder"),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "CIFAR binary files"), "cifar", ("path", "mean", "std"), "folder"),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Custom task.py"), "file", ("path",)),
    Form(QT_TRANSLATE_NOOP(CONTEXT, "Bundled Fashion-MNIST"), "bundled"),
)
OPTION_SETTINGS = {one.destination: one for one in settings_of(TaskSpec) if one.name == "options"}
"""Settings of a specification's options by the name of each."""
OWN_BATCHES = ("", "file")
"""Kinds of data whose batches have a size that is not chosen here."""
NOTHING = Form(QT_TRANSLATE_NOOP(CONTEXT, "none, or the model's own"), "")


class DataRows(QObject):
    """Form, path, purpose, columns, tokeniser, and what is done to pixels and numbers.

    Attributes:
        kind: Combo box of forms.
        batch: Batch size for training and evaluation.
        path: Where the data is.
        purpose: Combo box of purposes.
    """

    def __init__(self, dialog: FormDialog, place: str, optional: bool) -> None:
        """Add the rows to a dialog; `place` is the engine's machine, `optional` offers to open without data."""
        super().__init__(dialog)
        self._dialog, self._place = dialog, place
        self.kind = ComboBox(self.tr("Data"))
        for form in (*((NOTHING,) if optional else ()), *FORMS):
            self.kind.addItem(QCoreApplication.translate(CONTEXT, form.title), form)
        self.batch = number_field(setting_of(TaskSpec, "batch"), TaskSpec("").batch)
        self._caption = label(self.batch.accessibleName())
        self._caption.setBuddy(self.batch)
        # One row for both: as many rows as the longest form has fit into the smallest window.
        dialog.add_row(self.tr("Data"), one_row(self.kind, self._caption, self.batch))
        self.path = settings_line(
            setting_of(TaskSpec, "path"), partial(dialog.add_path, pick=lambda: self.kind.currentData().pick)
        )
        purpose = OPTION_SETTINGS["purpose"].option
        self.purpose = ComboBox(engine_words(purpose.title))
        explain(self.purpose, purpose)
        self.purpose.addItem(self.tr("automatic"), "")
        for name, title in PURPOSES.items():
            self.purpose.addItem(engine_words(title), name)
        dialog.add_row(self.purpose.accessibleName(), self.purpose)
        options = {name: OPTION_SETTINGS[name] for name in OPTIONS}
        pixels = {name: setting_of(TaskSpec, name) for name in ("mean", "std", "size")}
        self.lines = {
            name: settings_line(one, dialog.add_path if name == "tokenizer" else dialog.add_line)
            for name, one in (options | pixels).items()
        }
        self._taken: TaskSpec | None = None
        self.kind.currentIndexChanged.connect(lambda _index: self._show_rows())
        self.kind.currentIndexChanged.connect(dialog.check)
        self._show_rows()

    def spec(self) -> TaskSpec | None:
        """What the rows say, None for no data."""
        form: Form = self.kind.currentData()
        if not form.kind:
            return None
        path = self.path.text() if "path" in form.rows else ""
        size = shape(self._text("size"))
        square = (size[0], size[-1]) if size else None
        options = {"purpose": self.purpose.currentData()} | {name: self._text(name) for name in OPTIONS}
        options = {name: value for name, value in options.items() if name in form.rows}
        chosen = [(name, value) for name, value in options.items() if value]
        # Options without a row in this form (the seed of the splits ...) stay, as long as the data is the same.
        if (taken := self._taken) is not None and (taken.kind, taken.path) == (form.kind, path):
            chosen += [(name, value) for name, value in taken.options if name not in options]
        return TaskSpec(
            form.kind,
            path,
            numbers(self._text("mean")),
            numbers(self._text("std")),
            square,
            self.batch.value(),
            tuple(chosen),
        )

    def take(self, spec: TaskSpec) -> None:
        """Fill the rows with what was said before; a form of data that is not offered is left alone."""
        for number in range(self.kind.count()):
            if self.kind.itemData(number).kind == spec.kind:
                self.kind.setCurrentIndex(number)
                break
        else:
            return
        self._taken = spec
        self.batch.setValue(spec.batch)
        self.path.setText(spec.path)
        self.purpose.setCurrentIndex(max(self.purpose.findData(option(spec, "purpose")), 0))
        pixels = {
            # All digits: another mean is other data.
            "mean": ", ".join(map(str, spec.mean)),
            "std": ", ".join(map(str, spec.std)),
            "size": " x ".join(map(str, spec.size or ())),
        }
        for name, line in self.lines.items():
            line.setText(pixels.get(name, option(spec, name)))

    def problem(self) -> str:  # noqa: PLR0911 - a sentence for each row
        """What is missing."""
        form: Form = self.kind.currentData()
        if "path" not in form.rows:
            return ""
        if not self.path.text():
            return self.tr("Enter the path to the data.")
        if is_missing(self.path.text(), self._place):
            return self.tr("{path} does not exist.").format(path=self.path.text())
        if not (is_valid(numbers, self._text("mean")) and is_valid(numbers, self._text("std"))):
            return self.tr("Enter mean and standard deviation as numbers separated by commas, one per channel.")
        if not is_valid(shape, self._text("size")) or len(shape(self._text("size"))) > 2:
            return self.tr("Enter the size as height x width, for example 224 x 224.")
        tokenizer, length = self._text("tokenizer"), self._text("length")
        if tokenizer not in ("", BYTES) and is_missing(tokenizer, self._place):
            return self.tr("{path} does not exist.").format(path=tokenizer)
        if length and not (length.isdecimal() and int(length) > 1):
            return self.tr("Enter the tokens per sample as a whole number of 2 or more.")
        return ""

    def _text(self, name: str) -> str:
        """What a row says; "" where this form of data has no such row."""
        form: Form = self.kind.currentData()
        return self.lines[name].text().strip() if name in form.rows else ""

    def _show_rows(self) -> None:
        form: Form = self.kind.currentData()
        for name, field in {"path": self.path, "purpose": self.purpose, **self.lines}.items():
            self._dialog.show_row(field, name in form.rows)
        for field in (self._caption, self.batch):
            field.setVisible(form.kind not in OWN_BATCHES)
        self.batch.setValue(BATCHES.get(form.kind, TaskSpec("").batch))
        self._dialog.adjustSize()


class AttachData(FormDialog):
    """The dialog.

    Attributes:
        data: The rows of the data.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "The original is evaluated right away. Check the samples and the metric: they reveal wrong preprocessing."
        )
        super().__init__(window.as_widget(), self.tr("Attach data"), sentence, self.tr("Attach and evaluate"))
        self._window = window
        self.read_elsewhere(window.workbench.elsewhere)
        self.data = DataRows(self, window.document.engine.place, optional=False)
        if (task := window.document.task) is not None and task.spec is not None:
            self.data.take(task.spec)
        self.check()

    def problem(self) -> str:
        """What the data lacks."""
        return self.data.problem()

    def act(self) -> None:
        """Attach it."""
        if (spec := self.data.spec()) is not None:
            self._window.workbench.model.attach_task(spec)
