"""The layout of dialogs that ask one question: lines one below the other, buttons at the lower right."""

from collections.abc import Sequence

from PySide6.QtWidgets import QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget


def lay_out_question(dialog: QDialog, lines: Sequence[QWidget], buttons: Sequence[QPushButton]) -> None:
    """Fill a dialog.

    Args:
        dialog: Is empty.
        lines: From top to bottom.
        buttons: From left to right.
    """
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(20, 18, 20, 16)
    layout.setSpacing(12)
    for line in lines:
        layout.addWidget(line)
    layout.addStretch(1)
    row = QHBoxLayout()
    row.addStretch(1)
    for button in buttons:
        row.addWidget(button)
    layout.addLayout(row)
