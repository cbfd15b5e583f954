"""The recorder: every step as the Python that does it again; to read, to copy, to save."""

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QFontDatabase, QGuiApplication, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QStackedLayout, QVBoxLayout, QWidget

from secateur.engine.recipes.script import script_of
from secateur.engine.recipes.steps import Recipe as Steps

from ..document.document import Aspect, Document
from ..jobs.recipe_preview import current_recipe, plan_text, script_text
from ..widgets.buttons import button
from ..widgets.empty_state import EmptyState
from ..widgets.labels import ElidedLabel

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
        self._lay_out()
        self.copy.clicked.connect(self._copy)
        self.save_script.clicked.connect(lambda: self._run("file.export_script"))
        self.save_recipe.clicked.connect(lambda: self._run("file.export_recipe"))
        document.dispatcher.watch(SHOWN, self._changed)
        self.refresh()

    def _lay_out(self) -> None:
        words = self.tr("Every step as Python. Running it gives the same weights.")
        page = QWidget()
        row = QHBoxLayout()
        row.addWidget(ElidedLabel(words, "caption"), 1)
        for each in (self.copy, self.save_script, self.save_recipe):
            row.addWidget(each)
        layout = QVBoxLayout(page)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.text, 1)
        self._stack = QStackedLayout(self)
        empty = self.tr("Every cut, recovery and export appears here as a Python script that repeats it.")
        self._stack.addWidget(EmptyState(self.tr("Recipe"), empty))
        self._stack.addWidget(page)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Show the script again; what is new stands at the end and is scrolled to."""
        contents = self.document.contents
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
        self._line = shown.count("\n") if plan else max(0, _last_step(shown) - CONTEXT_LINES)
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
    def _copy(self) -> None:
        if self._recipe is not None:
            QGuiApplication.clipboard().setText(script_of(self._recipe))
        self.document.announced.emit(self.tr("Script copied."))


def _last_step(script: str) -> int:
    """Number of the line that makes the last state; 0 for the original."""
    lines = script.splitlines()
    return max((number for number, line in enumerate(lines) if line.startswith("    state = finish(")), default=0)
