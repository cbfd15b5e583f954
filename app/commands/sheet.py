"""The sheet of shortcuts, made from the table."""

from typing import Any

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLabel, QVBoxLayout

from .actions import MORE_KEYS
from .command import CONTEXT, say
from .table import COMMANDS, MENUS


def show_sheet(window: Any) -> None:
    """Open the sheet over a window."""
    dialog = QDialog(window)
    dialog.setWindowTitle(QCoreApplication.translate(CONTEXT, "Keyboard shortcuts"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    layout = QVBoxLayout(dialog)
    for menu in MENUS:
        with_keys = [one for one in COMMANDS if one.menu == menu and one.shortcut]
        if with_keys:
            heading = QLabel(say(menu))
            heading.setProperty("role", "heading")
            layout.addWidget(heading)
            form = QFormLayout()
            for one in with_keys:
                form.addRow(_keys(one.id, one.shortcut), QLabel(say(one.title)))
            layout.addLayout(form)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout.addWidget(buttons)
    dialog.open()


def _keys(name: str, shortcut: str) -> QLabel:
    keys = [shortcut, MORE_KEYS.get(name, "")]
    shown = [QKeySequence(k).toString(QKeySequence.SequenceFormat.NativeText) for k in keys if k]
    label = QLabel(", ".join(shown))
    label.setMinimumWidth(110)
    return label
