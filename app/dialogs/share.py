"""Write what is handed on of the current state: recipe, script, report, bundle."""

import re
from typing import Any

from PySide6.QtCore import QCoreApplication

from ..storage.user_folders import home
from ..text.translate import QT_TRANSLATE_NOOP
from ..widgets.check_boxes import CheckBox
from .export import place_problem
from .form import FormDialog
from .window_api import WindowApi

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
        self.path = self.add_path(self.tr("Write to"), default_path(document, ending), pick="save")
        self.weights = CheckBox(self.tr("Include the weights of all {count} states").format(count=len(document.states)))
        self.weights.setToolTip(self.tr("The file becomes larger, but others can continue from any state."))
        if kind == "bundle":
            self.add_row(self.tr("Weights"), self.weights)
        self.problem = lambda: place_problem(self.path.text())
        self.act = lambda: window.workbench.sharing.write(kind, self.path.text().strip(), self.weights.isChecked())
        self.path.setFocus()
        self.path.selectAll()
        self.check()


def default_path(document: Any, ending: str) -> str:
    """A name in the home folder that says model and state: resnet-s2.report.html."""
    name = re.sub(r"[^a-z0-9]+", "-", document.model_name.casefold()).strip("-") or "model"
    return str(home() / f"{name}-{document.contents.present}.{ending}")


def ask(window: WindowApi, kind: str) -> None:
    """Open the dialog over a window."""
    Share(window, kind).open()
