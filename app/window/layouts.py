"""Layouts that a person saved under a name: a page and how it is arranged; and the menu of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QMenu

from ..storage import settings
from .pages import PAGES
from .panel_area import PanelArea

SAVED = "layouts"
"""Name of what is remembered: by their names, the page and its arrangement."""


def saved_layouts() -> dict[str, dict[str, Any]]:
    """All of them by name, in the order in which they were first saved; what cannot be read is left out."""
    found = settings.value(SAVED, dict[str, Any]())
    return {name: one for name, one in found.items() if isinstance(one, dict) and one.get("page") in PAGES}


def save_layout(area: PanelArea, name: str) -> None:
    """Keep the page in front as it is arranged now; a layout of the same name is replaced."""
    settings.store(SAVED, saved_layouts() | {name: {"page": area.page.name, **area.arrangement()}})


class LayoutsMenu(QMenu):
    """Arranges the window as a layout says, or forgets it: filled whenever it is opened."""

    def __init__(self, area: Callable[[], PanelArea | None], parent: QMenu) -> None:
        """Stand in a menu; `area` gives the panels, None while there are none."""
        super().__init__(parent)
        self._area = area
        self.setTitle(self.tr("Layouts"))
        self.aboutToShow.connect(self.fill)

    @Slot()
    def fill(self) -> None:
        """List the layouts that there are now."""
        self.clear()
        layouts, area = saved_layouts(), self._area()
        for name, layout in layouts.items():
            action = self.addAction(name.replace("&", "&&"))
            action.setEnabled(area is not None and area.isVisible())
            if area is not None:
                action.triggered.connect(partial(area.arrange, layout["page"], layout))
        self.addSeparator()
        forget = self.addMenu(self.tr("Forget"))
        forget.setEnabled(bool(layouts))
        for name in layouts:
            rest = {other: one for other, one in layouts.items() if other != name}
            forget.addAction(name.replace("&", "&&"), partial(settings.store, SAVED, rest))
