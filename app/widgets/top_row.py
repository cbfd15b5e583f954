"""A view of rows that stays where it was scrolled to while the look changes.

Without a style sheet rows are of another height for a moment, and Qt scrolls to what still fits.
"""

from PySide6.QtCore import QObject, QPersistentModelIndex, QPoint, Slot
from PySide6.QtWidgets import QAbstractItemView

from ..theme import theme


class TopRow(QObject):
    """Keeps a view's first row in its place through a change of the look."""

    def __init__(self, view: QAbstractItemView) -> None:
        """Belong to the view."""
        super().__init__(view)
        self._view = view
        self._row: QPersistentModelIndex | None = None
        self._hidden = 0.0  # of the row's height
        theme().changing.connect(self._hold)
        theme().changed.connect(self._show)

    @Slot()
    def _hold(self) -> None:
        """Note what is at the top; a change on the way to another one finds it noted already."""
        if self._row is None:
            first = self._view.indexAt(QPoint(0, 0))
            place = self._view.visualRect(first)
            self._row, self._hidden = QPersistentModelIndex(first), -place.top() / max(place.height(), 1)

    @Slot()
    def _show(self) -> None:
        row, self._row = self._row, None
        if row is not None and row.isValid():
            self._view.scrollTo(row, QAbstractItemView.ScrollHint.PositionAtTop)
            bar = self._view.verticalScrollBar()
            bar.setValue(bar.value() + round(self._hidden * self._view.visualRect(row).height()))
