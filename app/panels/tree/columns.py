"""Which columns of the tree are shown and how wide: what fits by itself, or what was chosen in the heading's menu."""

import numpy as np
from PySide6.QtCore import QObject, QPoint, Qt, Slot
from PySide6.QtWidgets import QHeaderView, QMenu, QTreeView

from ...storage import settings
from ...text.format import share
from ...theme import px
from ...widgets.table import elide_titles
from .delegate import ASIDE
from .model import Column, TreeModel

WIDTHS = {Column.SCORE: 104, Column.SHARE: 60, Column.TIME: 56, Column.PARAMETERS: 76, Column.SHAPE: 116}
"""Widths in device-independent pixels; Keeps is as wide as its numbers, the name takes the rest."""
NARROW_WIDTHS = {**WIDTHS, Column.SCORE: 56, Column.SHARE: 52}
"""In a narrow window: scores as numbers only."""
FROM = {Column.SHARE: 290, Column.TIME: 400, Column.PARAMETERS: 560, Column.SHAPE: 660}
"""Widths of the tree from which a column is shown by itself; what is left out is in the inspector."""
NARROW = 360
WIDEST = (share(0.00088), share(0.00001))
"""Shares that take as much room as any."""
KEY = "tree_columns"
EMPTY: dict[str, bool] = {}
"""No column was switched on or off by hand."""


class Columns(QObject):
    """The columns of a tree.

    Attributes:
        chosen: Columns that a person has switched on or off.
    """

    def __init__(self, view: QTreeView, model: TreeModel) -> None:
        """Take charge of a tree's header."""
        super().__init__(view)
        self._view, self._model = view, model
        self.chosen: dict[int, bool] = {}
        self.chosen |= {Column[n]: bool(on) for n, on in settings.value(KEY, EMPTY).items() if n in Column.__members__}
        header = view.header()
        header.setAccessibleName(self.tr("Columns of the tree; click to sort, open the menu to choose columns"))
        header.setStretchLastSection(False)
        elide_titles(header)
        header.setSectionsClickable(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(40)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._ask)
        header.sectionClicked.connect(self._sort)
        model.modelReset.connect(self.show_sorting)

    def share_room(self, whole: int) -> None:
        """Lay the columns out in so many device-independent pixels."""
        header, narrow = self._view.header(), whole < px(NARROW)
        self._view.setIndentation(10 if narrow else 12)
        for column, width in (NARROW_WIDTHS if narrow else WIDTHS).items():
            header.resizeSection(column, px(width))
        for column, least in FROM.items():
            fits = whole >= px(least) and (column is not Column.TIME or self._timed())
            header.setSectionHidden(column, not self.chosen.get(column, fits))
        measure = self._view.fontMetrics()
        widest = max(map(measure.horizontalAdvance, WIDEST)) + 2 * ASIDE
        for column in (Column.SHARE, Column.TIME):
            if not header.isSectionHidden(column):
                header.resizeSection(column, max(header.sectionSize(column), widest))
        widest = measure.horizontalAdvance(self._model.widest_keeps())
        header.resizeSection(Column.KEEPS, max(px(62), widest + 2 * ASIDE))

    def _timed(self) -> bool:
        figures = self._model.figures
        return figures is not None and bool(np.isfinite(figures.times).any())

    def menu(self) -> QMenu:
        """Which columns are shown, to switch on and off."""
        menu = QMenu(self._view)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for column in FROM:
            action = menu.addAction(self._model.titles()[column])
            action.setCheckable(True)
            action.setChecked(not self._view.isColumnHidden(column))
            action.toggled.connect(lambda on, column=column: self.choose(column, on))
        menu.addSeparator()
        menu.addAction(self.tr("Automatic"), self.choose_none)
        return menu

    def choose(self, column: int, on: bool) -> None:
        """Show a column, or not, whatever fits."""
        self.chosen[column] = on
        self._keep()

    @Slot()
    def choose_none(self) -> None:
        """Show what fits."""
        self.chosen.clear()
        self._keep()

    def _keep(self) -> None:
        settings.store(KEY, {Column(column).name: on for column, on in self.chosen.items()})
        self.share_room(self._view.viewport().width())

    @Slot(QPoint)
    def _ask(self, where: QPoint) -> None:
        self.menu().popup(self._view.header().mapToGlobal(where))

    @Slot(int)
    def _sort(self, column: int) -> None:
        """By a column, largest first, then smallest, then as the model has it; scores begin with the smallest."""
        sorted_by, smallest = self._model.document.contents.listing.sorting, column == Column.SCORE
        first, second = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder
        if smallest:
            first, second = second, first
        if column in (Column.NAME, Column.SHAPE) or sorted_by == (column, not smallest):
            self._model.sort(Column.NAME)
        else:
            self._model.sort(column, second if sorted_by == (column, smallest) else first)
        self.show_sorting()

    @Slot()
    def show_sorting(self) -> None:
        """The arrow of the column that rows are sorted by."""
        sorting, header = self._model.document.contents.listing.sorting, self._view.header()
        header.setSortIndicatorShown(sorting is not None)
        if sorting is not None:
            header.setSortIndicator(
                sorting[0], Qt.SortOrder.AscendingOrder if sorting[1] else Qt.SortOrder.DescendingOrder
            )
