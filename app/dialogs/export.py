"""Export the current state in one or several formats, or share its recipe, script, report or bundle.

What is exported is loaded in a new process and compared.
"""

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QCoreApplication, Slot
from PySide6.QtWidgets import QDialog
from shiboken6 import isValid

from secateur.engine.errors import Message
from secateur.engine.export.table import EXPORTERS

from ..document.document import Document
from ..storage.user_folders import home
from ..text.translate import QT_TRANSLATE_NOOP, engine_words, sentence
from ..widgets.check_boxes import CheckBox
from ..widgets.labels import label
from .form import FormDialog
from .paths import name_part, place_problem
from .window_api import WindowApi


class ExportDialog(FormDialog):
    """The dialog.

    Attributes:
        formats: A box for each format by its name; those that cannot be written are disabled.
        reasons: Why, beneath each box.
        path: What the first of the chosen formats writes; others get the same name with their own ending.
    """

    def __init__(self, window: WindowApi, format: str) -> None:
        """Ask in a window, with one format chosen at first."""
        words = self.tr("Each file is loaded in a new process and compared with the model, and its metric is measured.")
        super().__init__(window.as_widget(), self.tr("Export"), words, self.tr("Export"))
        self._window = window
        self.formats: dict[str, CheckBox] = {}
        self.reasons = {name: label("", "caption", wrap=True) for name in EXPORTERS}
        for name, one in EXPORTERS.items():
            box = self.formats[name] = CheckBox(engine_words(one.title))
            box.setToolTip(engine_words(one.purpose))
            self.form.addRow(box)
            self.form.addRow(self.reasons[name])
            self.show_row(self.reasons[name], False)
        self.formats[format].setChecked(True)
        self.path = self.add_path(self.tr("Write to"), default_path(window.document, format), pick="save")
        self.files = label("", "caption", wrap=True)
        self.form.addRow(self.files)
        for box in self.formats.values():
            box.toggled.connect(self._follow_formats)
        self.path.textChanged.connect(self._say_files)
        window.workbench.states.find_refusals(self.refuse)
        self._say_files()
        self.path.setFocus()
        self.path.selectAll()
        self.check()

    @property
    def chosen(self) -> list[str]:
        """The formats that are ticked and possible."""
        return [name for name, box in self.formats.items() if box.isChecked() and box.isEnabled()]

    def refuse(self, reasons: Mapping[str, Message]) -> None:
        """Disable the formats that the engine cannot write of this state, and say why."""
        # The engine may answer after the dialog was accepted; what was chosen stays as it was.
        if not isValid(self) or self.result() == QDialog.DialogCode.Accepted:
            return
        for name, box in self.formats.items():
            refused = name in reasons
            box.setEnabled(not refused)
            self.reasons[name].setText(sentence(reasons[name]) if refused else "")
            self.show_row(self.reasons[name], refused)
        self._follow_formats()

    def places(self) -> dict[str, Path]:
        """Where each chosen format goes."""
        base, several = _strip_ending(self.path.text().strip()), len(self.chosen) > 1
        return {name: Path(base + _ending_of(name, several)).expanduser() for name in self.chosen}

    @Slot()
    def _follow_formats(self) -> None:
        """Other formats have other endings."""
        if self.chosen:
            base = _strip_ending(self.path.text().strip())
            self.path.setText(base + _ending_of(self.chosen[0], len(self.chosen) > 1))
        self._say_files()
        self.check()

    def _say_files(self) -> None:
        others = [] if self.problem() else [place.name for place in self.written()[1:]]
        self.files.setText(self.tr("Also written: {files}").format(files=", ".join(others)) if others else "")
        self.show_row(self.files, bool(others))

    def problem(self) -> str:
        """That no format is chosen, or why nothing can be written there."""
        return place_problem(self.path.text()) if self.chosen else self.tr("Choose a format.")

    def written(self) -> list[Path]:
        """All files of the chosen formats."""
        return [one for name, place in self.places().items() for one in EXPORTERS[name].places(place)]

    def act(self) -> None:
        """Export each."""
        for name, place in self.places().items():
            self._window.workbench.states.export(name, str(place))


def _strip_ending(text: str) -> str:
    """A path without the longest ending of a format, or the name of one, that it has."""
    ends = [_ending_of(name, several) for name in EXPORTERS for several in (False, True)]
    found = max((end for end in ends if end and text.lower().endswith(end)), key=len, default="")
    return text.removesuffix(text[len(text) - len(found) :])


def _ending_of(format: str, several: bool) -> str:
    """What a format adds to a name: its ending; a folder among several formats says which it is."""
    return EXPORTERS[format].suffix or (f"-{format}" if several else "")


def default_path(document: Document, format: str) -> str:
    """A name in the home folder that says model and what is kept: resnet-50-percent.onnx."""
    name = name_part(document.model_name) or "model"
    state, original = document.state, document.original
    kept = round(100 * state.macs / original.macs) if state and original and original.macs else 100
    return str(home() / f"{name}-{kept}-percent{EXPORTERS[format].suffix}")


CONTEXT = "Share"
KINDS = {
    "recipe": (
        QT_TRANSLATE_NOOP(CONTEXT, "Export recipe"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Writes the steps from the original to the current state as JSON, each with its settings and "
            "results. secateur run repeats them, also on a new version of the model.",
        ),
        "recipe.json",
    ),
    "script": (
        QT_TRANSLATE_NOOP(CONTEXT, "Export script"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Writes the same steps as a Python script that calls the engine. On this machine it reproduces the "
            "weights bit for bit. Its paths are relative to the script.",
        ),
        "py",
    ),
    "report": (
        QT_TRANSLATE_NOOP(CONTEXT, "Export report"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Writes one HTML file that opens anywhere: before and after, plots, layers, recovery, verification, "
            "baselines, latencies, seeds, versions and the recipe. It contains no names of your folders.",
        ),
        "report.html",
    ),
    "bundle": (
        QT_TRANSLATE_NOOP(CONTEXT, "Share"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "Writes one small file with recipe, plan, metrics, environment and report. Colleagues can open it "
            "without your data. It contains no data and no folder names, and weights only if you include them.",
        ),
        "zip",
    ),
}
"""What can be handed on: title, sentence, ending of the file."""


class Share(FormDialog):
    """The dialog.

    Attributes:
        path: File to write.
        weights: Whether a bundle gets the weights.
    """

    def __init__(self, window: WindowApi, kind: str) -> None:
        """Ask in a window."""
        title, sentence, ending = KINDS[kind]
        say = QCoreApplication.translate
        super().__init__(window.as_widget(), say(CONTEXT, title), say(CONTEXT, sentence), self.tr("Write"))
        document = window.document
        self.path = self.add_path(self.tr("Write to"), shared_path(document, ending), pick="save")
        self.weights = CheckBox(self.tr("Include the weights of all {count} states").format(count=len(document.states)))
        self.weights.setToolTip(self.tr("The file becomes larger, but others can continue from any state."))
        if kind == "bundle":
            self.add_row(self.tr("Weights"), self.weights)
        self._window, self._kind = window, kind
        self.path.setFocus()
        self.path.selectAll()
        self.check()

    def problem(self) -> str:
        """Why nothing can be written there."""
        return place_problem(self.path.text())

    def act(self) -> None:
        """Write the file."""
        self._window.workbench.sharing.write(self._kind, self.path.text().strip(), self.weights.isChecked())


def shared_path(document: Document, ending: str) -> str:
    """A name in the home folder that says model and state: resnet-s2.report.html."""
    name = name_part(document.model_name) or "model"
    return str(home() / f"{name}-{document.contents.present}.{ending}")
