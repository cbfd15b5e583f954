"""Tables of rows to look at: what all of them have in common."""

from PySide6.QtCore import QAbstractItemModel
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from .header import elide_titles

ROW, LEAST = 24, 56
"""Height of a row, and the least width of a column, in pixels."""


def rows_table(model: QAbstractItemModel, name: str, columns: str, wide: int) -> QTableView:
    """A table whose rows are selected whole; Tab leaves it.

    Args:
        model: What it shows.
        name: Of the table, for screen readers.
        columns: Of its header, for screen readers.
        wide: The column that takes the room that others leave.
    """
    table = QTableView()
    table.setModel(model)
    table.setAccessibleName(name)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW)
    header = table.horizontalHeader()
    header.setAccessibleName(columns)
    header.setHighlightSections(False)
    elide_titles(header)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(wide, QHeaderView.ResizeMode.Stretch)
    header.setMinimumSectionSize(LEAST)
    return table
