"""Write what is handed on of the present state: recipe, script, report, bundle."""

import re
from typing import Any

from PySide6.QtCore import QCoreApplication

from ..storage.user_folders import home
from ..text.translate import QT_TRANSLATE_NOOP
from ..widgets.check_boxes import CheckBox
from .export import place_problem
from .form import FormDialog

CONTEXT = "HandOn"
KINDS = {
    "recipe": (
        QT_TRANSLATE_NOOP(CONTEXT, "Export recipe"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "The steps from the original to the present state as JSON, each with what was asked and what came out. "
            "secateur run does them again, also on the model's next version.",
        ),
        "recipe.json",
    ),
    "script": (
        QT_TRANSLATE_NOOP(CONTEXT, "Export script"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "The same steps as Python that calls the engine. Run in a fresh process on this machine it gives the same "
            "weights, bit for bit. Paths in it are relative to where it lies.",
        ),
        "py",
    ),
    "report": (
        QT_TRANSLATE_NOOP(CONTEXT, "Export report"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "One HTML file that opens anywhere: before and after, plots, layers, recovery, verification, baselines, "
            "latencies, seeds, versions and the recipe. It names no folder of yours.",
        ),
        "report.html",
    ),
    "bundle": (
        QT_TRANSLATE_NOOP(CONTEXT, "Share"),
        QT_TRANSLATE_NOOP(
            CONTEXT,
            "One small file with recipe, plan, metrics, environment and report, which a colleague opens without your "
            "data. It holds no data, no folder names, and no weights unless you want them in it.",
        ),
        "zip",
    ),
}
"""What can be handed on: title, sentence, ending of the file."""


class HandOn(FormDialog):
    """The dialog.

    Attributes:
        path: File to write.
        weights: Whether a bundle gets the weights.
    """

    def __init__(self, window: Any, kind: str) -> None:
        """Ask in a window."""
        title, sentence, ending = KINDS[kind]
        say = QCoreApplication.translate
        super().__init__(window, say(CONTEXT, title), say(CONTEXT, sentence), self.tr("Write"))
        document = window.document
        self.path = self.add_path(self.tr("Write to"), default_path(document, ending), pick="save")
        self.weights = CheckBox(self.tr("With the weights of all {count} states").format(count=len(document.states)))
        self.weights.setToolTip(self.tr("The file becomes as large as they are; whoever has it can go on from there."))
        if kind == "bundle":
            self.add_row(self.tr("Weights"), self.weights)
        self.problem = lambda: place_problem(self.path.text())
        self.act = lambda: document.handing.write(kind, self.path.text().strip(), self.weights.isChecked())
        self.path.setFocus()
        self.path.selectAll()
        self.check()


def default_path(document: Any, ending: str) -> str:
    """A name in the home folder that says model and state: resnet-s2.report.html."""
    name = re.sub(r"[^a-z0-9]+", "-", document.model_name.casefold()).strip("-") or "model"
    return str(home() / f"{name}-{document.contents.present}.{ending}")


def ask(window: Any, kind: str) -> None:
    """Open the dialog over a window."""
    HandOn(window, kind).open()
