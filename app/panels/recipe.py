"""The recorder: every step as the Python that does it again; to read, to copy, to save."""

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QFontDatabase, QGuiApplication, QShowEvent
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from secateur.engine.recipes.script import script_of
from secateur.engine.recipes.steps import Recipe as Steps

from ..document.aspects import Aspect
from ..document.document import Document
from ..jobs.recipe_preview import current_recipe, plan_text, script_text
from ..widgets.buttons import button
from ..widgets.card import EmptyState
from ..widgets.labels import ElidedLabel
from .panel_layout import column_of, row_of, stack_of

CONTEXT_LINES = 3
"""Lines that are shown before the last step."""
SHOWN = frozenset({Aspect.MODEL, Aspect.TASK, Aspect.STATES, Aspect.MARKS})


class RecipePanel(QWidget):
    """The script of the current state, and the plan behind it.

    Attributes:
        text: What is shown.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's steps."""
        super().__init__(parent)
        self.document = document
        self._recipe: Steps | None = None
        self._script = ""
        self._line = 0
        self._key: tuple[object, ...] = ()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setAccessibleName(self.tr("Script of the current state"))
        self.copy = button(self.tr("Copy"), "link", self.tr("Copy the script"))
        self.save_script = button(self.tr("Save script..."), "link", self.tr("Save it as a Python file"))
        self.save_recipe = button(self.tr("Save recipe..."), "link", self.tr("Save the steps as JSON"))
        words = self.tr("Every step as Python. Running it gives the same weights.")
        page = QWidget()
        top = row_of((ElidedLabel(words, "caption"), 1), self.copy, self.save_script, self.save_recipe)
        column_of(top, (self.text, 1), on=page, margins=(6, 4, 6, 6), gap=4)
        empty = self.tr("Every cut, recovery and export appears here as a Python script that repeats it.")
        self._stack = stack_of(self, EmptyState(self.tr("Recipe"), empty), page)
        self.copy.clicked.connect(self._copy_script)
        self.save_script.clicked.connect(lambda: self._run("file.export_script"))
        self.save_recipe.clicked.connect(lambda: self._run("file.export_recipe"))
        document.dispatcher.watch(SHOWN, self.refresh)
        self.refresh()

    def refresh(self, _aspects: frozenset[Aspect] = SHOWN) -> None:
        """Show the script again; what is new is at the end and is scrolled to."""
        contents = self.document.contents
        # Marks leave the script as it is: it is made again only where a state is another object.
        key = (id(contents.origin), contents.present, *map(id, contents.states.values()))
        if key != self._key:
            self._recipe, self._key = current_recipe(self.document), key
            self._script = script_text(self._recipe)
        plan = plan_text(self.document)
        shown = f"{self._script}\n\n{plan}" if plan else self._script
        self._stack.setCurrentIndex(int(bool(shown)))
        if shown == self.text.toPlainText():
            return
        self.text.setPlainText(shown)
        # The plan is at the end; without one the line that makes the last state, with those before it.
        made = [n for n, line in enumerate(shown.splitlines()) if line.startswith("    state = finish(")]
        self._line = shown.count("\n") if plan else max(0, max(made, default=0) - CONTEXT_LINES)
        QTimer.singleShot(0, self._reveal)

    def showEvent(self, event: QShowEvent) -> None:
        """A text that was hidden could not be scrolled."""
        super().showEvent(event)
        QTimer.singleShot(0, self._reveal)

    @Slot()
    def _reveal(self) -> None:
        """Scroll to what is new."""
        self.text.verticalScrollBar().setValue(self._line)

    def _run(self, name: str) -> None:
        self.document.requested.emit(lambda window: window.run_command(name))

    @Slot()
    def _copy_script(self) -> None:
        if self._recipe is not None:
            QGuiApplication.clipboard().setText(script_of(self._recipe))
        self.document.announced.emit(self.tr("Script copied."))
