"""Do a recipe again on the next version of its model: first which checkpoint, then, with what does not match, how."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication, Slot
from PySide6.QtWidgets import QButtonGroup, QPlainTextEdit, QVBoxLayout, QWidget

from secateur.engine.recipes.compatibility import Fit, Mode

from ..jobs.recipes import ReplayRequest
from ..storage.open_target import is_missing
from ..text.translate import QT_TRANSLATE_NOOP, sentence
from ..widgets.check_boxes import CheckBox, RadioButton
from ..widgets.labels import label
from .closing import leave
from .form import FormDialog
from .paths import path_problem
from .window_api import WindowApi

CONTEXT = "NextVersion"
FILES = "recipe.json, .zip (*.json *.zip)"
MODES = {
    Mode.SAME_INDICES: (
        QT_TRANSLATE_NOOP(CONTEXT, "The same structures"),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Removes exactly the same structures. Use this for a checkpoint that was trained a little longer."
        ),
    ),
    Mode.SAME_SHAPE: (
        QT_TRANSLATE_NOOP(CONTEXT, "The same shape"),
        QT_TRANSLATE_NOOP(
            CONTEXT, "Every layer keeps as many structures as before, chosen by scores of the new weights."
        ),
    ),
    Mode.SAME_GOAL: (
        QT_TRANSLATE_NOOP(CONTEXT, "The same goal"),
        QT_TRANSLATE_NOOP(CONTEXT, "Plans for the same goal again. Layers may become wider or narrower than before."),
    ),
}


class ApplyRecipe(FormDialog):
    """Which recipe, and on what.

    Attributes:
        recipe: File, project folder or bundle.
        here: On the model that is open.
        weights: A new checkpoint.
        source: Where the model's code is.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Opens the recipe's model with a new checkpoint, lists what no longer matches, and repeats the "
            "steps. The recipe can be a file, a project folder or a bundle."
        )
        super().__init__(
            window.as_widget(), self.tr("Apply recipe to new checkpoint"), sentence, self.tr("Open and compare")
        )
        self._window, document = window, window.document
        self.read_elsewhere(window.workbench.elsewhere)
        self._place = document.engine.place
        spec = document.contents.spec
        shown = spec.source if document.absent and spec is not None else ""
        self.recipe = self.add_path(self.tr("Recipe"), shown, "recipe.json", filters=FILES)
        usable = document.analysis is not None and not document.absent
        self.here = CheckBox(self.tr("Use the open model, {name}").format(name=document.model_name))
        if usable:
            self.add_row(self.tr("Model"), self.here)
        hint = self.tr("from the recipe")
        self.weights = self.add_path(self.tr("New checkpoint"), hint=f".safetensors, .pt, .th; {hint}")
        self.source = self.add_path(self.tr("Model code"), hint=f"path/to/file.py:callable; {hint}")
        self.here.toggled.connect(self._show_other_rows)
        self.recipe.setFocus()
        self.check()

    @Slot(bool)
    def _show_other_rows(self, here: bool) -> None:
        for line in (self.weights, self.source):
            self.show_row(line, not here)
        self.check()

    def problem(self) -> str:
        """Which file is missing."""
        if is_missing(self.recipe.text(), self._place):
            return self.tr("Choose a recipe.")
        # Only the engine can look into a folder of another machine.
        if not self._place and (problem := path_problem(self.recipe.text().strip(), self._folder_problem)):
            return problem
        weights = self.weights.text().strip()
        if not self.here.isChecked() and weights and is_missing(weights, self._place, Path.is_file):
            return self.tr("{file} does not exist. Choose another checkpoint.").format(file=weights)
        return ""

    def _folder_problem(self, path: Path) -> str:
        if path.is_dir() and not (path / "recipe.json").is_file():
            return self.tr("{folder} contains no recipe.json. Choose another folder.").format(folder=path)
        return ""

    def act(self) -> None:
        """Compare the recipe with the open model, or open its own first."""
        recipe, recipes = self.recipe.text().strip(), self._window.workbench.recipes
        if self.here.isChecked():
            recipes.hold(recipe)
        else:
            request = ReplayRequest(recipe, self.weights.text().strip(), self.source.text().strip())
            leave(self._window, lambda: recipes.open(request))


class ChooseMode(FormDialog):
    """What does not match, and what is to be done again.

    Attributes:
        modes: The choices; those that would not do what they say cannot be chosen and say why.
        differences: What does not match, a line each.
    """

    def __init__(self, window: WindowApi, recipe: str, fit: Fit) -> None:
        """Ask in a window."""
        found = [sentence(one) for one in fit.sentences]
        head = self.tr("The recipe fits the model.") if not found else self.tr("Parts of the recipe do not fit:")
        super().__init__(window.as_widget(), self.tr("Apply recipe"), head, self.tr("Repeat the steps"))
        self.differences = QPlainTextEdit("\n".join(found))
        self.differences.setReadOnly(True)
        self.differences.setAccessibleName(self.tr("Mismatches"))
        self.differences.setFixedHeight(min(160, 22 * len(found) + 14))
        if found:
            self.form.addRow(self.differences)
        self._window, self._recipe = window, recipe
        self.modes: dict[Mode, RadioButton] = {}
        self._group = QButtonGroup(self)
        holder, say = QWidget(), QCoreApplication.translate
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(4)
        for mode, (title, words) in MODES.items():
            choice, why = RadioButton(say(CONTEXT, title)), fit.refused.get(mode)
            choice.setEnabled(why is None)
            hint = label(say(CONTEXT, words) if why is None else sentence(why), "muted", wrap=True)
            hint.setContentsMargins(22, 0, 0, 4)
            choice.setAccessibleDescription(hint.text())
            column.addWidget(choice)
            column.addWidget(hint)
            self._group.addButton(choice)
            self.modes[mode] = choice
        first = next((choice for choice in self.modes.values() if choice.isEnabled()), None)
        if first is not None:
            first.setChecked(True)
            first.setFocus()
        self.form.addRow(holder)
        self._group.buttonToggled.connect(lambda *_: self.check())
        self.check()
        wide = 600
        # Words that wrap need less height at this width than Qt assumes.
        self.resize(wide, self.heightForWidth(wide))

    def problem(self) -> str:
        """That nothing is chosen, as nothing can be."""
        return "" if self._mode() is not None else self.tr("None of these ways is possible.")

    def act(self) -> None:
        """Repeat the steps."""
        if (mode := self._mode()) is not None:
            self._window.workbench.recipes.apply(self._recipe, mode)

    def _mode(self) -> Mode | None:
        return next((mode for mode, choice in self.modes.items() if choice.isChecked()), None)


def ask(window: WindowApi) -> None:
    """Open the dialog over a window."""
    ApplyRecipe(window).open()


def ask_mode(window: WindowApi, recipe: str, fit: Fit) -> None:
    """Ask how, once it is known what does not match."""
    ChooseMode(window, recipe, fit).open()
