"""The sheet of shortcuts, made from the table."""

from typing import Any

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QHBoxLayout, QLabel, QLayout, QVBoxLayout

from .actions import MORE_KEYS
from .command import CONTEXT, Command, say
from .table import COMMANDS, MENUS

COLUMNS = 3
ROWS, SLACK = 12, 3
"""Shortcuts that stand together at most, and how many more than its share a column may have."""


class Sheet(QDialog):
    """All shortcuts, by menu."""

    def __init__(self, window: Any) -> None:
        """Stand over a window."""
        super().__init__(window)
        self.setWindowTitle(QCoreApplication.translate(CONTEXT, "Keyboard shortcuts"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        layout = QVBoxLayout(self)
        layout.setSizeConstraint(QLayout.SizeConstraint.SetFixedSize)
        columns = QHBoxLayout()
        columns.setSpacing(28)
        layout.addLayout(columns)
        self._fill(columns)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    @staticmethod
    def _fill(columns: QHBoxLayout) -> None:
        """Menus one below the other, in as many columns as are about as tall as half of all."""
        share = sum(bool(one.shortcut) for one in COMMANDS) / COLUMNS
        column, filled = _column(columns), 0
        for menu in MENUS:
            with_keys = [one for one in COMMANDS if one.menu == menu and one.shortcut]
            for first in range(0, len(with_keys), ROWS):
                part = with_keys[first : first + ROWS]
                if filled and filled + len(part) > share + SLACK:
                    column, filled = _column(columns), 0
                _section(column, menu, part, again=first > 0)
                filled += len(part)


def show_sheet(window: Any) -> None:
    """Open the sheet over a window."""
    Sheet(window).open()


def _column(columns: QHBoxLayout) -> QVBoxLayout:
    """A further column, filled from its top."""
    column = QVBoxLayout()
    column.setSpacing(7)  # else that between the columns
    columns.addLayout(column)
    columns.setAlignment(column, Qt.AlignmentFlag.AlignTop)
    return column


def _section(column: QVBoxLayout, menu: str, commands: list[Command], again: bool) -> None:
    """Shortcuts of a menu, or the rest of them."""
    heading = QLabel(say("{menu}, more").format(menu=say(menu)) if again else say(menu))
    heading.setProperty("role", "heading")
    column.addWidget(heading)
    form = QFormLayout()
    form.setVerticalSpacing(5)
    form.setHorizontalSpacing(10)
    for one in commands:
        form.addRow(_keys(one.id, one.shortcut), QLabel(say(one.title)))
    column.addLayout(form)


def _keys(name: str, shortcut: str) -> QLabel:
    keys = [shortcut, MORE_KEYS.get(name, "")]
    shown = [QKeySequence(k).toString(QKeySequence.SequenceFormat.NativeText) for k in keys if k]
    label = QLabel(", ".join(shown))
    label.setMinimumWidth(110)
    return label
