"""QActions from the table: menus and shortcuts, enabled and worded by the document."""

from typing import Any

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QMainWindow

from ..document.aspects import Aspect
from ..theme import theme
from ..window.recent_menu import RecentMenu
from .command import Command, say
from .registry import COMMANDS, MENUS

SHOWN = frozenset(Aspect) - {Aspect.HOVER, Aspect.CURVE, Aspect.SENSITIVITY, Aspect.LOG}
MORE_KEYS = {"edit.redo": "Ctrl+Y", "help.shortcuts": "?", "view.larger": "Ctrl+="}
"""Second shortcuts that people know from elsewhere."""


class Actions(QObject):
    """One action per command, kept up to date.

    Attributes:
        by_id: The actions by command id.
    """

    def __init__(self, window: Any) -> None:
        """Make actions and menus for a window."""
        super().__init__(window)
        self._window = window
        self.by_id: dict[str, QAction] = {one.id: self._action(one) for one in COMMANDS}
        window.document.views.watch(SHOWN, self._changed)
        theme().changed.connect(self.refresh)
        self.refresh()

    def fill_menus(self, window: QMainWindow) -> None:
        """Put every action into its menu."""
        for title in MENUS:
            menu = window.menuBar().addMenu(say(title))
            menu.setToolTipsVisible(True)
            for one in COMMANDS:
                if one.menu == title and one.line:
                    menu.addSeparator()
                if one.menu == title:
                    menu.addAction(self.by_id[one.id])
                if one.menu == title and one.id == "file.open_project":
                    menu.addMenu(RecentMenu(window, menu))

    @Slot()
    def refresh(self) -> None:
        """Enable and word every action as the document stands."""
        document = self._window.document
        for one in COMMANDS:
            action, reason = self.by_id[one.id], one.enabled(document)
            action.setText(one.shown(document))
            action.setEnabled(not reason)
            action.setToolTip(one.told(document))

    def run(self, command: Command) -> None:
        """Run a command unless it cannot be done now; then say why. What stands typed in a field counts by then."""
        if isinstance(field := QApplication.focusWidget(), QAbstractSpinBox):
            field.interpretText()
        reason = command.enabled(self._window.document)
        if reason:
            self._window.document.announced.emit(reason)
            return
        if (errors := getattr(self._window, "errors", None)) is not None:
            errors.hide()  # It was about something before.
        command.run(self._window)

    def _action(self, command: Command) -> QAction:
        action = QAction(say(command.title), self._window)
        action.setObjectName(command.id)
        keys = [command.shortcut, MORE_KEYS.get(command.id, "")]
        action.setShortcuts([QKeySequence(k) for k in keys if k])
        action.triggered.connect(lambda _checked=False, one=command: self.run(one))
        self._window.addAction(action)
        return action

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.refresh()
