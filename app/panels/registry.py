"""Where each panel is: a table. Modules are imported only after the window's first paint."""

from dataclasses import dataclass
from importlib import import_module

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from ..jobs.workbench import Workbench
from ..text.translate import QT_TRANSLATE_NOOP

CONTEXT = "PanelEntry"


@dataclass(frozen=True, slots=True)
class PanelEntry:
    """A panel, and its place.

    Attributes:
        where: "strip", "ledger", "left", "right", or "tab": among the tabs of the pages that have it.
        title: Title of its tab, "" where it has none.
        module: Module under `panels`.
        name: Class in it.
        page: Of the manual, "page.md#heading".
        starts_jobs: It takes the workbench; else the document, which it only shows and edits.
    """

    where: str
    title: str
    module: str
    name: str
    page: str
    starts_jobs: bool = False

    def shown(self) -> str:
        """The title in the user's language."""
        return QCoreApplication.translate(CONTEXT, self.title) if self.title else ""

    def load(self) -> None:
        """Import the panel's module."""
        import_module(f".{self.module}", __package__)

    def make(self, workbench: Workbench, parent: QWidget | None = None) -> QWidget:
        """The panel."""
        made = getattr(import_module(f".{self.module}", __package__), self.name)
        return made(workbench if self.starts_jobs else workbench.document, parent)


PANELS = (
    PanelEntry("strip", "", "state_strip", "StateStrip", "window.md#the-steps"),
    PanelEntry("ledger", "", "ledger", "LedgerPanel", "window.md#costs", starts_jobs=True),
    PanelEntry("left", "", "tree", "TreePanel", "window.md#the-tree"),
    PanelEntry(
        "tab",
        QT_TRANSLATE_NOOP(CONTEXT, "Trade-off"),
        "tradeoff",
        "TradeOffPanel",
        "window.md#the-trade-off",
        starts_jobs=True,
    ),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Layers"), "layers", "LayersPanel", "window.md#layers"),
    PanelEntry(
        "tab", QT_TRANSLATE_NOOP(CONTEXT, "Graph"), "graph", "GraphPanel", "window.md#the-graph", starts_jobs=True
    ),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Heads"), "heads", "HeadsPanel", "window.md#heads"),
    PanelEntry(
        "tab",
        QT_TRANSLATE_NOOP(CONTEXT, "Sensitivity"),
        "sensitivity",
        "SensitivityPanel",
        "planning.md#sensitivity",
        starts_jobs=True,
    ),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Compare"), "compare", "ComparePanel", "window.md#compare"),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Changes"), "changes", "ChangesPanel", "changes.md", starts_jobs=True),
    PanelEntry(
        "tab",
        QT_TRANSLATE_NOOP(CONTEXT, "Destinations"),
        "destinations",
        "DestinationsPanel",
        "window.md#destinations",
        starts_jobs=True,
    ),
    PanelEntry(
        "tab", QT_TRANSLATE_NOOP(CONTEXT, "Recovery"), "recovery", "RecoveryPanel", "recovery.md", starts_jobs=True
    ),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Masks"), "gates", "GatesPanel", "window.md#masks", starts_jobs=True),
    PanelEntry(
        "tab",
        QT_TRANSLATE_NOOP(CONTEXT, "Samples"),
        "samples",
        "SamplesPanel",
        "window.md#samples",
        starts_jobs=True,
    ),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Jobs"), "jobs", "JobsPanel", "window.md#jobs", starts_jobs=True),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "History"), "history", "HistoryPanel", "window.md#history"),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Recipe"), "recipe", "RecipePanel", "recipes-and-sharing.md"),
    PanelEntry("tab", QT_TRANSLATE_NOOP(CONTEXT, "Log"), "log", "LogPanel", "window.md#log", starts_jobs=True),
    PanelEntry("right", "", "inspector", "InspectorPanel", "window.md#the-inspector", starts_jobs=True),
)
