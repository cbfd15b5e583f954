"""Which panel stands where: a table. Modules are imported only after the window's first paint."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from ..text.translate import QT_TRANSLATE_NOOP

CONTEXT = "Places"


@dataclass(frozen=True, slots=True)
class Place:
    """A panel's place.

    Attributes:
        where: "strip", "ledger", "left", "middle", "bottom" or "right".
        title: Title of its tab, "" where it has none.
        module: Module under `panels`.
        name: Class in it; takes the document.
    """

    where: str
    title: str
    module: str
    name: str

    def shown(self) -> str:
        """The title in the user's language."""
        return QCoreApplication.translate(CONTEXT, self.title) if self.title else ""

    def load(self) -> None:
        """Import the panel's module."""
        import_module(f".{self.module}", __package__)

    def make(self, document: Any, parent: QWidget | None = None) -> QWidget:
        """The panel."""
        return getattr(import_module(f".{self.module}", __package__), self.name)(document, parent)


PLACES = (
    Place("strip", "", "state_strip", "Strip"),
    Place("ledger", "", "ledger", "Ledger"),
    Place("left", "", "tree.panel", "TreePanel"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Trade-off"), "tradeoff", "TradeOff"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Layers"), "layers", "Layers"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Heads"), "heads", "Heads"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Sensitivity"), "sensitivity", "SensitivityPanel"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Compare"), "compare", "Compare"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Recovery"), "recovery", "Recovery"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Samples"), "samples", "Samples"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Jobs"), "jobs", "Jobs"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "History"), "history", "History"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Recipe"), "recipe", "Recipe"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Log"), "log", "Log"),
    Place("right", "", "inspector", "Inspector"),
)
