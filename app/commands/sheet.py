"""The sheet of shortcuts, made from the table."""

from typing import Any

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QHBoxLayout, QLabel, QLayout, QVBoxLayout

from .actions import MORE_KEYS
from .command import CONTEXT, Command, say
from .table import COMMANDS, MENUS


def show_sheet(window: Any) -> None:
    """Open the sheet over a window."""
    dialog = QDialog(window)
    dialog.setWindowTitle(QCoreApplication.translate(CONTEXT, "Keyboard shortcuts"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    layout = QVBoxLayout(dialog)
    layout.setSizeConstraint(QLayout.SizeConstraint.SetFixedSize)
    columns = QHBoxLayout()
    columns.setSpacing(28)
    layout.addLayout(columns)
    half = sum(bool(one.shortcut) for one in COMMANDS) / 2
    column, filled = _column(columns), 0
    for menu in MENUS:
        with_keys = [one for one in COMMANDS if one.menu == menu and one.shortcut]
        if with_keys and filled >= half:
            column, filled = _column(columns), 0
        if with_keys:
            _section(column, menu, with_keys)
        filled += len(with_keys)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout.addWidget(buttons)
    dialog.open()


def _column(columns: QHBoxLayout) -> QVBoxLayout:
    """A further column, filled from its top."""
    column = QVBoxLayout()
    column.setSpacing(7)  # else that between the columns
    columns.addLayout(column)
    columns.setAlignment(column, Qt.AlignmentFlag.AlignTop)
    return column


def _section(column: QVBoxLayout, menu: str, commands: list[Command]) -> None:
    heading = QLabel(say(menu))
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
