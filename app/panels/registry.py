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
        page: Of the manual, "page.md#heading".
    """

    where: str
    title: str
    module: str
    name: str
    page: str

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
    Place("strip", "", "state_strip", "Strip", "window.md#the-steps"),
    Place("ledger", "", "ledger", "Ledger", "window.md#costs"),
    Place("left", "", "tree.panel", "TreePanel", "window.md#the-tree"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Trade-off"), "tradeoff", "TradeOff", "window.md#the-trade-off"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Layers"), "layers", "Layers", "window.md#layers"),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Heads"), "heads", "Heads", "window.md#heads"),
    Place(
        "middle",
        QT_TRANSLATE_NOOP(CONTEXT, "Sensitivity"),
        "sensitivity",
        "SensitivityPanel",
        "planning.md#sensitivity",
    ),
    Place("middle", QT_TRANSLATE_NOOP(CONTEXT, "Compare"), "compare", "Compare", "window.md#compare"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Recovery"), "recovery", "Recovery", "recovery.md"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Samples"), "samples", "Samples", "window.md#samples"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Jobs"), "jobs", "Jobs", "window.md#jobs"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "History"), "history", "History", "window.md#history"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Recipe"), "recipe", "Recipe", "recipes-and-sharing.md"),
    Place("bottom", QT_TRANSLATE_NOOP(CONTEXT, "Log"), "log", "Log", "window.md#log"),
    Place("right", "", "inspector", "Inspector", "window.md#the-inspector"),
)
