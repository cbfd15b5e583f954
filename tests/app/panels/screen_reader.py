"""What a screen reader finds in a table."""

from PySide6.QtGui import QAccessible, QAccessibleInterface
from PySide6.QtWidgets import QTableView


def spoken(view: QTableView, row: int, column: int) -> QAccessibleInterface:
    """A cell as a screen reader has it; row -1 are the headings of columns, column -1 those of rows."""
    table = QAccessible.queryAccessibleInterface(view)
    found = table.child((row + 1) * (view.model().columnCount() + 1) + column + 1)
    assert found is not None
    return found
