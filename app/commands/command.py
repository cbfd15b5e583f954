"""What a command is."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QDialog

from ..dialogs.window_api import WindowApi
from ..document.document import Document
from ..jobs.workbench import Workbench

CONTEXT = "Command"
"""Translation context of titles, tooltips and reasons."""


def say(text: str) -> str:
    """A text of this folder in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


def opens(module: str, name: str, *arguments: object) -> Callable[[WindowApi], None]:
    """What a command does that opens a dialog.

    Args:
        module: Of `app/dialogs`.
        name: Of the dialog in it, or of a function that opens one.
        arguments: What that gets behind the window.
    """

    # Imported only when it is asked for: a start would take longer by all dialogs and what they need of the engine.
    def run(window: WindowApi) -> None:
        made = getattr(import_module(f"..dialogs.{module}", __package__), name)(window, *arguments)
        if isinstance(made, QDialog):
            made.open()

    return run


def always(document: Document) -> str:
    """Enabled whatever the document holds."""
    return ""


@dataclass(frozen=True, slots=True)
class Command:
    """An action.

    Attributes:
        menu: Menu that shows it (one of `registry.MENUS`).
        id: Stable name, "area.what".
        title: What a menu shows. `packaging/strings.py` finds it, and the tooltip, for translators.
        tooltip: A sentence: what it does.
        run: Does it, given the window.
        shortcut: Keys ("Ctrl+Z"), "" for none.
        enabled: Given the document the reason why it cannot be done now, "" when it can.
        words: Given the document a title that says more ("Undo cut 96 structures"), None for the plain one.
        takes: Given the workbench about how long it takes and how much memory, or what else follows from it now, in a
            sentence; None for what is quick.
        line: A line separates it from the commands above it in its menu.
        chosen: Of a choice among several: given the document whether it is the present one, which has a check mark.
            None for what acts.
        within: Title of the submenu that shows it, "" for none.
        page: Page that shows what it does; it comes to the front when a person runs it. "" for none.
    """

    menu: str
    id: str
    title: str
    tooltip: str
    run: Callable[[WindowApi], object]
    shortcut: str = ""
    enabled: Callable[[Document], str] = always
    words: Callable[[Document], str] | None = None
    takes: Callable[[Workbench], str] | None = None
    line: bool = False
    chosen: Callable[[Document], bool] | None = None
    within: str = ""
    page: str = ""

    def title_now(self, document: Document) -> str:
        """The title in the user's language, as it is worded for this document."""
        return self.words(document) if self.words is not None else say(self.title)

    def tip_now(self, workbench: Workbench) -> str:
        """Why it cannot be done now; else what it does, and what that takes."""
        takes = self.takes(workbench) if self.takes is not None else ""
        return self.enabled(workbench.document) or " ".join(part for part in (self.explanation(), takes) if part)

    def explanation(self) -> str:
        """What it does, in the user's language."""
        return say(self.tooltip)
