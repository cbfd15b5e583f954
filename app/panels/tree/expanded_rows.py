"""Which rows of a tree are open, by their numbers: kept through a reset of the model, without a walk over its rows."""

from PySide6.QtCore import QModelIndex, QObject, Slot
from PySide6.QtWidgets import QTreeView

from .rows_model import RowsModel


class OpenRows(QObject):
    """Opens again what was open before its model was reset.

    Attributes:
        open: Numbers of the open rows.
        counting: Rows that open now count among them; not those that a filter opens to show what it found.
    """

    def __init__(self, view: QTreeView, model: RowsModel) -> None:
        """Follow a view."""
        super().__init__(view)
        self._view, self._model = view, model
        self.open: set[int] = set()
        self.counting = True
        self._analysis = model.analysis
        view.expanded.connect(self._expanded)
        view.collapsed.connect(self._collapsed)
        model.modelReset.connect(self._restore)

    @Slot(QModelIndex)
    def _expanded(self, index: QModelIndex) -> None:
        if self.counting:
            self.open.add(index.internalId())

    @Slot(QModelIndex)
    def _collapsed(self, index: QModelIndex) -> None:
        self.open.discard(index.internalId())

    @Slot()
    def _restore(self) -> None:
        if self._model.analysis is not self._analysis:
            self._analysis = self._model.analysis
            self.open.clear()
        for row in sorted(self.open):
            index = self._model.at(row)
            if index.isValid():
                self._view.setExpanded(index, True)
