"""Tables of rows to look at: what all of them have in common."""

from collections.abc import Sequence

from PySide6.QtCore import QAbstractItemModel, QEvent, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from ..theme import px
from .header import elide_titles

ROW, LEAST = 24, 56
"""Height of a row, and the least width of a column, in pixels."""
NAME, WIDE = 120, 96
"""Least widths, at the first size of text, of names and of the column that takes what others leave."""


class RowsTable(QTableView):
    """A table whose rows are selected whole; Tab leaves it. Each column is as wide as what it shows.

    One with optional columns does not scroll sideways: where there is no room for all, names in the first column are
    elided, then optional columns are left out.
    """

    def __init__(
        self, model: QAbstractItemModel, name: str, columns: str, wide: int, optional: Sequence[int] = ()
    ) -> None:
        """Show a model.

        Args:
            model: What it shows.
            name: Of the table, for screen readers.
            columns: Of its header, for screen readers.
            wide: The column that takes the room that others leave.
            optional: Columns that are left out where there is no room, the first one first.
        """
        super().__init__()
        self._wide, self._optional = wide, tuple(optional)
        self.setModel(model)
        self.setAccessibleName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        header = self.horizontalHeader()
        header.setAccessibleName(columns)
        header.setHighlightSections(False)
        elide_titles(header)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(wide, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(LEAST)
        model.modelReset.connect(self._share_room)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """There is room for other columns."""
        super().resizeEvent(event)
        self._share_room()

    def changeEvent(self, event: QEvent) -> None:
        """Text of another size needs other columns."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange) and hasattr(self, "_wide"):
            self._share_room()

    @Slot()
    def _share_room(self) -> None:
        """Leave columns out, and elide names, as far as that is needed."""
        if not self._optional:
            return
        header = self.horizontalHeader()
        for column in self._optional:  # one that is hidden has no width of its own
            self.setColumnHidden(column, False)
        shown = {c: max(self.sizeHintForColumn(c), header.sectionSizeHint(c), LEAST) for c in range(header.count())}
        shown[self._wide] = min(shown[self._wide], px(WIDE))
        name, room = shown.pop(0, 0), self.viewport().width()
        for column in self._optional:
            if (left_out := sum(shown.values()) + min(name, px(NAME)) > room) and column in shown:
                del shown[column]
            self.setColumnHidden(column, left_out)
        alone = self.isColumnHidden(self._wide)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch if alone else QHeaderView.ResizeMode.Fixed)
        if not alone:
            header.resizeSection(0, min(name, max(room - sum(shown.values()), LEAST)))
