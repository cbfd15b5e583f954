"""Tables and lists: rows to look at, headings that elide, a first row that stays in its place, type-ahead."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QAbstractItemModel, QElapsedTimer, QEvent, QObject, QPersistentModelIndex, QPoint, Qt, Slot
from PySide6.QtGui import QAction, QHelpEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QStyle, QStyleOptionHeader, QTableView

from ..theme import px, theme
from .labels import tell_whole

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

    def offer_copy(self, words: str, copy: Callable[[], object]) -> None:
        """Copy by the key for it and from the context menu, which says so in `words`."""
        copying = QAction(words, self)
        copying.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        copying.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copying.triggered.connect(copy)
        self.addAction(copying)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

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
        # A hidden column has no width to measure.
        for column in self._optional:
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


class _TitleTips(QObject):
    """Shows titles that do not fit in tooltips; a child of the header."""

    def __init__(self, header: QHeaderView) -> None:
        super().__init__(header)
        header.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Answer a mouse at rest."""
        header = self.parent()
        if not isinstance(event, QHelpEvent) or not isinstance(header, QHeaderView):
            return False
        section = header.logicalIndexAt(event.pos())
        own = header.model().headerData(section, header.orientation(), Qt.ItemDataRole.ToolTipRole)
        if own or section < 0:
            return False
        title = str(header.model().headerData(section, header.orientation()) or "")
        option = QStyleOptionHeader()
        header.initStyleOption(option)
        option.rect.setWidth(header.sectionSize(section))
        room = header.style().subElementRect(QStyle.SubElement.SE_HeaderLabel, option, header).width()
        return header.fontMetrics().horizontalAdvance(title) > room and tell_whole(event, header, title)


def elide_titles(header: QHeaderView) -> None:
    """Have a header elide its titles; where a column has a tooltip of its own, that is shown."""
    header.setTextElideMode(Qt.TextElideMode.ElideRight)
    _TitleTips(header)


class TopRow(QObject):
    """Keeps a view's first row in its place through a change of the look.

    Without a style sheet rows are of another height for a moment, and Qt scrolls to what still fits.
    """

    def __init__(self, view: QAbstractItemView) -> None:
        """Belong to the view."""
        super().__init__(view)
        self._view = view
        self._row: QPersistentModelIndex | None = None
        # How much of the row is scrolled away, as a share of its height.
        self._hidden = 0.0
        theme().changing.connect(self._note_top)
        theme().changed.connect(self._scroll_back)

    @Slot()
    def _note_top(self) -> None:
        """Note what is at the top; a change on the way to another one finds it noted already."""
        if self._row is None:
            first = self._view.indexAt(QPoint(0, 0))
            place = self._view.visualRect(first)
            self._row, self._hidden = QPersistentModelIndex(first), -place.top() / max(place.height(), 1)

    @Slot()
    def _scroll_back(self) -> None:
        row, self._row = self._row, None
        if row is not None and row.isValid():
            self._view.scrollTo(row, QAbstractItemView.ScrollHint.PositionAtTop)
            bar = self._view.verticalScrollBar()
            bar.setValue(bar.value() + round(self._hidden * self._view.visualRect(row).height()))


class TypeAhead:
    """The letters that were typed one soon after the other, and the row that they lead to.

    Typing "fc" reaches "blocks.3.mlp.fc1", whatever the path begins with.
    """

    def __init__(self) -> None:
        """Nothing is typed."""
        self._typed = ""
        self._clock = QElapsedTimer()

    def find(self, typed: str, paths: Sequence[str], current: int) -> int:
        """The next row whose path, or a part of it, begins with what is typed; -1 for none.

        Args:
            typed: The new letters.
            paths: Of the rows.
            current: The row to start from, -1 for none. A letter typed again goes on to the next row.
        """
        late = not self._clock.isValid() or self._clock.elapsed() > QApplication.keyboardInputInterval()
        self._typed = typed.lower() if late else self._typed + typed.lower()
        self._clock.start()
        again = len(set(self._typed)) == 1
        start = self._typed[0] if again else self._typed
        first = current + 1 if again else max(current, 0)
        for step in range(len(paths)):
            row = (first + step) % len(paths)
            if f".{start}" in f".{paths[row].lower()}":
                return row
        return -1
