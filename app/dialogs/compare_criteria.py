"""Two criteria side by side: the same structures coloured by both, and their rank correlation."""

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QSignalBlocker, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QColor, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QDialog, QHBoxLayout, QHeaderView, QTreeView, QVBoxLayout, QWidget

from secateur.engine.scoring.criteria import offers
from secateur.engine.scoring.rank_correlation import Agreement, agreement, whole
from secateur.engine.structures.analysis import Kind
from secateur.engine.tasks.protocol import TaskInfo

from ..document.aspects import Aspect, Selection
from ..text.format import MINUS, percent
from ..text.structures import counted
from ..text.translate import sentence
from ..theme import tokens
from ..widgets.buttons import button
from ..widgets.fields import ComboBox
from ..widgets.labels import label
from ..widgets.plot import Plot
from ..widgets.score_map import ScoreMap, ScoreRange, ScoreScale
from ..widgets.table import elide_titles
from .window_api import WindowApi

SHOWN = frozenset(
    {Aspect.MODEL, Aspect.SCORES, Aspect.STATES, Aspect.TASK, Aspect.SELECTION, Aspect.MARKS, Aspect.JOBS}
)
Scores = NDArray[np.float64]
SIZE = QSize(1080, 640)
"""At first, in device-independent pixels, as far as the window below it allows."""
ALIKE, PARTLY = 0.8, 0.5
"""Rank correlations from which two criteria rank alike, and partly alike."""
SET = Qt.ItemDataRole.UserRole + 1
SORT = Qt.ItemDataRole.UserRole + 2


class CompareCriteria(QDialog):
    """The page.

    Attributes:
        boxes: What the left and the right rating are.
        verdict: The correlation over all, in words.
        table: All layers with theirs.
        maps: The selected layer's structures, coloured by each rating.
        ranges: Their legends.
        plot: One rating against the other.
        found: How far they agree, None while one of them is unknown.
    """

    def __init__(self, window: WindowApi) -> None:
        """Compare criteria for a window's model."""
        super().__init__(window.as_widget())
        self.document, self._jobs = window.document, window.workbench.plan
        self.found: Agreement | None = None
        self._shown = -1
        self._compared: tuple[Scores | None, Scores | None] | None = None
        self.setWindowTitle(self.tr("Compare two criteria"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(SIZE.boundedTo(window.as_widget().size()))
        self.boxes = (ComboBox(self.tr("Left criterion")), ComboBox(self.tr("Right criterion")))
        self.verdict = label("", "strong", wrap=True)
        self._model = QStandardItemModel(self)
        self._model.setSortRole(SORT)
        self.table = QTreeView()
        self.table.setModel(self._model)
        self.table.setRootIsDecorated(False)
        self.table.setUniformRowHeights(True)
        # Layers differ at the end of their paths.
        self.table.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setAllColumnsShowFocus(True)
        self.table.setAccessibleName(self.tr("Rank correlation of each layer"))
        self.table.header().setAccessibleName(self.tr("Columns; click to sort"))
        self.table.header().setStretchLastSection(False)
        elide_titles(self.table.header())
        self.maps = (ScoreMap(), ScoreMap())
        self.ranges = (ScoreRange(), ScoreRange())
        self.plot = _Scatter(self.tr("Scores of one criterion against the other, one point per structure"))
        self._of = label("", "heading", wrap=True)
        self._names = (label("", "caption"), label("", "caption"))
        self._of_what: tuple[str, TaskInfo | None] = ("", None)
        self._lay_out()
        for box in self.boxes:
            box.activated.connect(self._compare)
        self.table.selectionModel().currentChanged.connect(self._select_layer)
        for one in self.maps:
            one.picked.connect(self._select_structure)
        self.document.dispatcher.watch(SHOWN, self._show_changes)
        self._begin()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.boxes[0])
        head.addWidget(label(self.tr("versus"), "caption"))
        head.addWidget(self.boxes[1])
        head.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(6)
        right.addWidget(self._of)
        pair = QHBoxLayout()
        pair.setSpacing(14)
        for number in range(2):
            column = QVBoxLayout()
            column.setSpacing(3)
            for each in (self._names[number], self.maps[number], self.ranges[number]):
                column.addWidget(each)
            column.addStretch(1)
            pair.addLayout(column, 1)
        right.addLayout(pair)
        right.addWidget(self.plot, 1)
        body = QHBoxLayout()
        body.setSpacing(14)
        body.addWidget(self.table, 1)
        body.addLayout(right, 1)
        close = button(self.tr("Close"))
        close.clicked.connect(self.reject)
        below = QHBoxLayout()
        below.addStretch(1)
        below.addWidget(close)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 14, 16, 12)
        outer.setSpacing(10)
        outer.addLayout(head)
        outer.addWidget(self.verdict)
        outer.addLayout(body, 1)
        outer.addLayout(below)

    def _begin(self) -> None:
        """Offer all criteria for the current state and the attached data, and compare what is chosen of them."""
        document = self.document
        self._of_what = document.contents.present, document.task
        assert document.analysis is not None
        found = offers(document.analysis, document.removed, document.task, document.contents.choices)
        # The second criterion to begin with is one that is known already, else the first that is available.
        free = [one.criterion.name for one in found if one.reason is None and one.criterion.name != document.criterion]
        known = [name for name in free if (document.contents.present, name) in document.contents.scores]
        second = next(iter(known or free), document.criterion)
        for box, first in zip(self.boxes, (document.criterion, second), strict=True):
            with QSignalBlocker(box):
                chosen = box.currentData() or first
                box.clear()
                for number, one in enumerate(found):
                    box.addItem(self.tr(one.criterion.title), one.criterion.name)
                    tip = one.criterion.formula if one.reason is None else sentence(one.reason)
                    box.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
                    # A criterion that is not available is greyed; its tooltip says why.
                    model = box.model()
                    if isinstance(model, QStandardItemModel):
                        model.item(number).setEnabled(one.reason is None)
                box.setCurrentIndex(max(0, box.findData(chosen)))
        self._compare()

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        document, (state, task) = self.document, self._of_what
        if document.analysis is None or Aspect.MODEL in aspects:
            self.reject()  # another model has other layers
        elif state != document.contents.present or task is not document.task:
            self._begin()
        elif aspects & {Aspect.SCORES, Aspect.STATES}:
            self.refresh()
        else:
            if aspects & {Aspect.SELECTION, Aspect.MARKS}:
                self._show_layer()
            self._say_missing()

    @Slot()
    def _compare(self) -> None:
        """Have the current state scored by both criteria, and show them; what is known or under way is not redone."""
        for box in self.boxes:
            name = str(box.currentData())
            if name == self.document.criterion:
                self._jobs.score()
            else:
                self._jobs.rate(name)
        self.refresh()

    def _about(self, side: int) -> tuple[str, str]:
        """What one of the criteria is known by, and the job that makes it."""
        document, name = self.document, str(self.boxes[side].currentData())
        return document.contents.present, document.contents.rating if name == document.criterion else name

    def scores(self, side: int) -> NDArray[np.float64] | None:
        """[S] the scores of one of the criteria in the current state, None where they are not known."""
        return self.document.contents.scores.get(self._about(side))

    def refresh(self) -> None:
        """Take both criteria again."""
        one, other = self.scores(0), self.scores(1)
        analysis = self.document.analysis
        assert analysis is not None
        self._show_layer()
        self._say_missing()
        if self._compared is not None and self._compared[0] is one and self._compared[1] is other:
            return
        self._compared = one, other
        self.found = None if one is None or other is None else agreement(analysis, one, other)
        self._fill_table()
        if self.found is not None:
            # A turn of its own: a third of a million structures are ranked for it.
            QTimer.singleShot(0, self._say_correlation)

    def _say_missing(self) -> None:
        """Say why there is no comparison yet."""
        missing = [side for side in range(2) if self.scores(side) is None]
        stopped = [side for side in missing if self.document.job_about(self._about(side)) is None]
        if stopped:
            words = self.tr("The current state has no scores by {criterion}. Choose it again to compute them.")
            self.verdict.setText(words.format(criterion=self.boxes[stopped[0]].currentText()))
        elif missing:
            self.verdict.setText(self.tr("Computing scores. The comparison follows."))

    @Slot()
    def _say_correlation(self) -> None:
        """Say the correlation over all, in words."""
        one, other = self.scores(0), self.scores(1)
        if self.found is None or one is None or other is None:
            return
        rho = whole(one, other)
        if rho != rho:
            self.verdict.setText(self.tr("These criteria score no structures in common."))
            return
        words = self.tr("similar ranking") if rho >= ALIKE else self.tr("partly similar ranking")
        words = words if rho >= PARTLY else self.tr("different ranking")
        text = self.tr("All {count} structures that both score: Spearman rank correlation {rho}, {words}.")
        self.verdict.setText(text.format(count=f"{self.found.total:,}", rho=_rho(rho), words=words))

    def _fill_table(self) -> None:
        analysis, found = self.document.analysis, self.found
        assert analysis is not None
        self._model.removeRows(0, self._model.rowCount())
        titles = (self.tr("Layer"), self.tr("Correlation"), self.tr("Lowest in both"), self.tr("Scored"))
        self._model.setHorizontalHeaderLabels(titles)
        tip = self.tr("Share of the lowest fifth by one criterion that is also in the lowest fifth by the other")
        self._model.setHeaderData(2, Qt.Orientation.Horizontal, tip, Qt.ItemDataRole.ToolTipRole)
        for number, one in enumerate(analysis.sets):
            if found is None or not found.count[number] or one.count == 1:
                continue
            rho, shared = float(found.correlation[number]), float(found.shared[number])
            shown = percent(shared, 0) if shared == shared else ""
            cells = ((one.module, one.module), (_rho(rho), rho), (shown, shared))
            # "channels of residual width" is too long for the column.
            kind = Kind.CHANNEL if one.kind is Kind.WIDTH else one.kind
            cells = (*cells, (counted(kind, int(found.count[number])), int(found.count[number])))
            items = [QStandardItem(text) for text, _ in cells]
            for item, (_, key) in zip(items, cells, strict=True):
                item.setData(number, SET)
                item.setData(key, SORT)
            for item in items[1:]:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self._model.appendRow(items)
        header = self.table.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def _show_layer(self) -> None:
        """Show the selected layer by both criteria."""
        document, analysis = self.document, self.document.analysis
        assert analysis is not None
        number = document.selection.set_number
        number = number if number >= 0 else 0
        self._shown = number
        one = analysis.sets[number]
        self._of.setText(f"{one.module}, {counted(one.kind, one.count)}")
        place, values = one.structures, [self.scores(0), self.scores(1)]
        states = np.select([document.removed[place], document.marked[place]], ["removed", "marked"], "")
        current = document.selection.structure - one.first if document.selection.structure >= 0 else -1
        for side, scores in enumerate(values):
            scale = ScoreScale.of(scores)
            own = np.full(one.count, np.nan) if scores is None else scores[place]
            self.maps[side].show_cells(scale.fractions(own), [str(s) for s in states], current)
            self._names[side].setText(self.boxes[side].currentText())
            self.maps[side].setAccessibleName(self.tr("{0} by {1}").format(one.module, self.boxes[side].currentText()))
            words = "" if scores is not None else self.tr("not scored yet")
            self.ranges[side].show_ends("", scale if scores is not None else None, words)
        titles = tuple(self.tr("score by {0}").format(box.currentText()) for box in self.boxes)
        both = [np.zeros(0) if scores is None else scores[place] for scores in values]
        self.plot.show_points(both[0], both[1], states == "marked", (titles[0], titles[1]))

    @Slot()
    def _select_layer(self) -> None:
        index = self.table.currentIndex()
        if index.isValid() and self.document.analysis is not None:
            number = int(index.data(SET))
            self.document.select(Selection(self.document.analysis.sets[number].module, number))

    @Slot(int)
    def _select_structure(self, cell: int) -> None:
        analysis = self.document.analysis
        if analysis is not None:
            one = analysis.sets[self._shown]
            self.document.select(Selection(one.module, self._shown, one.first + cell))


class _Scatter(Plot):
    """One criterion against the other."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        """Start empty."""
        self._dots = pg.ScatterPlotItem(pxMode=True, size=6, pen=None)
        self._crosses = pg.ScatterPlotItem(pxMode=True, size=6, pen=None, symbol="x")
        super().__init__(name, parent)
        for item in (self._dots, self._crosses):
            self.addItem(item)

    def show_points(
        self, xs: NDArray[np.float64], ys: NDArray[np.float64], marked: NDArray[np.bool_], titles: tuple[str, str]
    ) -> None:
        """Show structures: [n] by one criterion and by the other, and which are marked: those are crosses."""
        self.label_axis("bottom", titles[0])
        self.label_axis("left", titles[1])
        both = np.isfinite(xs) & np.isfinite(ys) if len(xs) == len(ys) else np.zeros(0, np.bool_)
        for item, shown in ((self._dots, both & ~marked[: len(both)]), (self._crosses, both & marked[: len(both)])):
            item.setData(xs[: len(both)][shown], ys[: len(both)][shown])
        self._colour()

    def recolour(self) -> None:
        """Take the present colours."""
        super().recolour()
        self._colour()

    def _colour(self) -> None:
        look = tokens()
        self._dots.setBrush(pg.mkBrush(QColor(look.accent)))
        self._crosses.setBrush(pg.mkBrush(QColor(look.marked)))


def _rho(value: float) -> str:
    """0.83, \u22120.12; a dash where it is not defined."""
    return "\u2013" if value != value else f"{value:.2f}".replace("-", MINUS)


def show_ratings(window: WindowApi) -> None:
    """Open the page over a window, not modal: the tree and the inspector can be used meanwhile."""
    CompareCriteria(window).show()
