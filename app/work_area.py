"""Where the panels lie: tree at the left, trade-off and work in the middle, inspector at the right."""

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QSplitter, QTabWidget, QVBoxLayout, QWidget

from . import settings
from .places import PLACES
from .widgets.card import Card

COLUMNS = (440, 600, 318)
ROWS = (444, 210)


class WorkArea(QWidget):
    """All panels of an open model.

    Attributes:
        panels: By module name of the place.
        columns: Tree, middle, inspector.
        rows: Trade-off above, work below.
        tabs: By place, "middle" and "bottom".
    """

    def __init__(self, document: Any, parent: QWidget | None = None) -> None:
        """Make the splitters; `add_next` makes the panels, one after the other."""
        super().__init__(parent)
        self._document = document
        self._sized = False
        self.panels: dict[str, QWidget] = {}
        self.top = QVBoxLayout()
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.rows = QSplitter(Qt.Orientation.Vertical)
        self.tabs = {"middle": self._tabs(self.tr("Views")), "bottom": self._tabs(self.tr("Work"))}
        for splitter in (self.columns, self.rows):
            splitter.setHandleWidth(10)
            splitter.setChildrenCollapsible(False)
        for tabs in self.tabs.values():
            card = Card(margin=4)
            card.body.addWidget(tabs)
            self.rows.addWidget(card)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        self.top.setSpacing(10)
        layout.addLayout(self.top)
        layout.addWidget(self.columns, 1)

    def add_next(self) -> bool:
        """Make the next panel, or finish; True while there is more to do."""
        if len(self.panels) < len(PLACES):
            self._add(PLACES[len(self.panels)])
            return True
        self._finish()
        return False

    def _add(self, place: Any) -> None:
        """Make one panel and put it where it belongs."""
        panel = place.make(self._document)
        self.panels[place.module] = panel
        if place.where in ("strip", "ledger"):
            self.top.addWidget(panel)
        elif place.where in self.tabs:
            self.tabs[place.where].addTab(panel, place.shown())
        else:
            self.columns.addWidget(panel)

    def _finish(self) -> None:
        """Put the columns in order and give the middle whatever room there is."""
        self.columns.insertWidget(1, self.rows)
        for splitter, stretch in ((self.columns, (0, 1, 0)), (self.rows, (1, 0))):
            for number, factor in enumerate(stretch):
                splitter.setStretchFactor(number, factor)

    def showEvent(self, event: QShowEvent) -> None:
        """Sizes mean something only now that the window gave this area its own."""
        super().showEvent(event)
        if not self._sized:
            self._sized = True
            self.reset()
            self.columns.restoreState(settings.load("columns"))
            self.rows.restoreState(settings.load("rows"))

    def reset(self) -> None:
        """The sizes of the sketch."""
        self.columns.setSizes(list(COLUMNS))
        self.rows.setSizes(list(ROWS))

    def remember(self) -> None:
        """Keep the sizes for the next start."""
        settings.store("columns", self.columns.saveState())
        settings.store("rows", self.rows.saveState())

    def show_tab(self, module: str) -> None:
        """Bring a panel to the front."""
        for tabs in self.tabs.values():
            if (index := tabs.indexOf(self.panels[module])) >= 0:
                tabs.setCurrentIndex(index)

    def _tabs(self, name: str) -> QTabWidget:
        tabs = QTabWidget()
        tabs.setDocumentMode(True)
        tabs.setAccessibleName(name)
        return tabs
