"""QActions from the table: menus and shortcuts, enabled and worded by the document."""

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import QObject, Slot
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QMenu, QMenuBar

from ..dialogs.window_api import WindowApi
from ..document.aspects import Aspect
from ..theme import theme
from ..widgets.cover import attempt
from .command import Command, say
from .registry import COMMANDS, MENUS

SHOWN = frozenset(Aspect) - {Aspect.HOVER, Aspect.CURVE, Aspect.GATES, Aspect.SENSITIVITY, Aspect.LOG}
MORE_KEYS = {"edit.redo": "Ctrl+Y", "help.shortcuts": "?", "view.larger": "Ctrl+="}
"""Second shortcuts that people know from elsewhere."""


class Actions(QObject):
    """One action per command, kept up to date.

    Attributes:
        by_id: The actions by command id.
    """

    def __init__(self, window: WindowApi) -> None:
        """Make actions and menus for a window."""
        super().__init__(window.as_widget())
        self._window = window
        self.by_id: dict[str, QAction] = {}
        for one in COMMANDS:
            action = self.by_id[one.id] = QAction(say(one.title), window.as_widget())
            action.setObjectName(one.id)
            action.setCheckable(one.chosen is not None)
            action.setShortcuts([QKeySequence(key) for key in (one.shortcut, MORE_KEYS.get(one.id, "")) if key])
            action.triggered.connect(lambda _checked=False, one=one: self.run(one))
            window.as_widget().addAction(action)
        window.document.dispatcher.watch(SHOWN, self.refresh)
        theme().changed.connect(self.refresh)
        self.refresh()

    def fill_menus(self, bar: QMenuBar, submenus: Mapping[str, Callable[[QMenu], tuple[QMenu, ...]]]) -> None:
        """Put every action into its menu.

        Args:
            bar: Where the menus are.
            submenus: By id of a command, what makes the menus that follow it, given the menu that shows it.
        """
        for title in MENUS:
            menu = bar.addMenu(say(title))
            menu.setToolTipsVisible(True)
            inner: dict[str, QMenu] = {}
            for one in COMMANDS:
                if one.menu == title and one.line:
                    menu.addSeparator()
                if one.menu == title and one.within and one.within not in inner:
                    inner[one.within] = menu.addMenu(say(one.within))
                    inner[one.within].setToolTipsVisible(True)
                if one.menu == title:
                    inner.get(one.within, menu).addAction(self.by_id[one.id])
                if one.menu == title and one.id in submenus:
                    for submenu in submenus[one.id](menu):
                        menu.addMenu(submenu)

    @Slot()
    def refresh(self, _aspects: frozenset[Aspect] = frozenset()) -> None:
        """Enable and word every action as the document is now."""
        for one in COMMANDS:
            if not attempt(partial(self._show, one)):
                # It is unknown whether it can be run: then it says so when it is run.
                self.by_id[one.id].setEnabled(True)

    def _show(self, command: Command) -> None:
        document, action = self._window.document, self.by_id[command.id]
        action.setEnabled(not command.enabled(document))
        action.setText(command.title_now(document))
        action.setToolTip(command.tip_now(self._window.workbench))
        if command.chosen is not None:
            action.setChecked(command.chosen(document))

    def run(self, command: Command) -> None:
        """Run a command unless it cannot be done now; then say why. What is typed in a field counts by then."""
        if isinstance(field := QApplication.focusWidget(), QAbstractSpinBox):
            field.interpretText()
        reason = command.enabled(self._window.document)
        if reason:
            self._window.document.announced.emit(reason)
            return
        self._window.hide_error()
        if command.page:
            self._window.show_page(command.page, keep_all=True)
        command.run(self._window)
        if command.chosen is not None:
            # Qt takes the check mark away from an entry that is chosen a second time.
            self.refresh()
