"""The sheet of shortcuts, made from the table."""

import math

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ..commands.actions import MORE_KEYS
from ..commands.command import CONTEXT, say
from ..commands.registry import COMMANDS, MENUS
from ..dialogs.window_api import WindowApi
from ..widgets.labels import label
from ..widgets.pane import Pane

COLUMNS, SLACK = 3, 3
"""Columns, how many shortcuts more than its share each may have, and how few of a menu may end it."""

KEYS = "keys"
"""Name of the labels that say keys."""


class ShortcutSheet(QDialog):
    """All shortcuts, by menu."""

    def __init__(self, window: WindowApi) -> None:
        """Stand over a window."""
        super().__init__(window.as_widget())
        self.setWindowTitle(QCoreApplication.translate(CONTEXT, "Keyboard shortcuts"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        layout = QVBoxLayout(self)
        page = QWidget()
        page.setProperty("role", "page")
        columns = QHBoxLayout(page)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(28)
        layout.addWidget(Pane(page), 1)
        with_keys = {menu: [one for one in COMMANDS if one.menu == menu and one.shortcut] for menu in MENUS}
        room = math.ceil(sum(map(len, with_keys.values())) / COLUMNS) + SLACK
        column, filled = _column(columns), 0
        for menu, commands in with_keys.items():
            begun = 0
            while begun < len(commands):
                if room - filled < min(SLACK, len(commands) - begun):
                    column, filled = _column(columns), 0
                part = commands[begun : begun + room - filled]
                title = say("{menu}, continued").format(menu=say(menu)) if begun else say(menu)
                column.addWidget(label(title, "heading"))
                form = QFormLayout()
                form.setVerticalSpacing(5)
                form.setHorizontalSpacing(10)
                for one in part:
                    shortcuts = (one.shortcut, MORE_KEYS.get(one.id, ""))
                    native = QKeySequence.SequenceFormat.NativeText
                    keys = label(", ".join(QKeySequence(key).toString(native) for key in shortcuts if key))
                    keys.setObjectName(KEYS)
                    form.addRow(keys, label(say(one.title)))
                column.addLayout(form)
                filled, begun = filled + len(part), begun + len(part)
        # Align the titles of all menus.
        # Only then are widths those of the font that is shown.
        self.ensurePolished()
        keys = self.findChildren(QLabel, KEYS)
        widest = max((each.sizeHint().width() for each in keys), default=0)
        for each in keys:
            each.setMinimumWidth(widest)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
        self.resize(self.sizeHint().boundedTo(window.as_widget().size()))


def _column(columns: QHBoxLayout) -> QVBoxLayout:
    """A further column, filled from its top."""
    column = QVBoxLayout()
    # The default would be the spacing between the columns.
    column.setSpacing(7)
    columns.addLayout(column)
    columns.setAlignment(column, Qt.AlignmentFlag.AlignTop)
    return column
