"""The Layers tab: rows aligned with the tree's layers; a click selects there, and back."""

import numpy as np
from PySide6.QtCore import Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QStackedLayout, QVBoxLayout, QWidget

from secateur.engine.latency.savings import Saving

from ...dialogs.save_plot import asks_to_save
from ...document.document import Aspect, Document, Selection
from ...document.sensitivity_curves import HALF
from ...text.format import share as share_words
from ...text.metrics import difference_text
from ...text.structures import title_of
from ...theme import px
from ...widgets.empty_state import EmptyState
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, Table, offer
from ...widgets.score_range import ScoreRange
from ..plot_tables import layers_table
from ..score_legend import highest
from ..tree.figures import figures_of
from ..tree.rows import Rows, rows_of
from .paint import Row
from .rows import Layers as LayerRows
from .rows import Plan, layers_of, plan_of
from .ties import Tie
from .view import LayerTable

LOW = 230
"""Height below which the words under the rows are left out, in pixels at the first size of text."""
SHOWN = frozenset({Aspect.MODEL, Aspect.SCORES, Aspect.MARKS, Aspect.STATES, Aspect.SENSITIVITY, Aspect.TARGET})


class LayersPanel(QWidget):
    """The table with its legend.

    Attributes:
        table: The rows.
        range: What the colours mean.
        layers: What they are, None in an empty window.
        plan: What the plan makes of them.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        """Show the document's model."""
        super().__init__(parent)
        self.document = document
        self._rows: Rows | None = None
        self.layers: LayerRows | None = None
        self.plan: Plan | None = None
        self._lost: dict[int, float] = {}
        self._worst = 0.0
        self._times: dict[str, float] = {}
        self.table = LayerTable()
        self.table.titles = (
            self.tr("Layer"),
            self.tr("Width"),
            self.tr("Score"),
            self.tr("MACs"),
            self.tr("Time"),
            self.tr("Parameters"),
            self.tr("Sensitivity"),
        )
        self.table.words = self.words
        self._legend = label(role="caption", wrap=True)
        self.range = ScoreRange()
        shown = QWidget()
        inner = QVBoxLayout(shown)
        inner.setContentsMargins(6, 4, 6, 6)
        inner.setSpacing(4)
        inner.addWidget(self.table, 1)
        inner.addWidget(self._legend)
        inner.addWidget(self.range)
        self._stack = QStackedLayout(self)
        words = self.tr("Open a model to see the width, the costs and the coupling of each layer.")
        self._stack.addWidget(EmptyState(self.tr("Layers"), words))
        self._stack.addWidget(shown)
        self._drawing = Drawing("layers", self.tr("Layers"), "layers", self._some, self.table.whole, self._table)
        offer(self.table, self._drawing, asks_to_save(self.document))
        self.table.picked.connect(self._pick)
        document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._changed)
        self._changed(SHOWN)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low window rows are worth more than the words below them."""
        super().resizeEvent(event)
        self._legend.setVisible(self.height() >= px(LOW))

    def drawings(self) -> tuple[Drawing, ...]:
        """The table, to be taken along."""
        return (self._drawing,)

    def _some(self) -> bool:
        return self.plan is not None

    def _table(self) -> Table:
        assert self.layers is not None and self.plan is not None
        return layers_table(self.layers, self.plan, self._lost)

    def _changed(self, aspects: frozenset[Aspect]) -> None:
        analysis = self.document.analysis
        if Aspect.MODEL in aspects:
            self._rows = None if analysis is None else rows_of(analysis)
            self.layers = None if analysis is None or self._rows is None else layers_of(analysis, self._rows)
            self._stack.setCurrentIndex(int(self.layers is not None))
        if aspects & {Aspect.MODEL, Aspect.SENSITIVITY, Aspect.SCORES, Aspect.STATES, Aspect.TARGET}:
            self._read_sensitivity()
        if aspects & SHOWN:
            self.refresh()
        if aspects & {Aspect.MODEL, Aspect.SELECTION}:
            self._show_current()

    def refresh(self) -> None:
        """Count all rows again."""
        document, rows, layers, costs = self.document, self._rows, self.layers, self.document.plan_costs
        if document.analysis is None or rows is None or layers is None or costs is None:
            self.table.show_rows(0, self._row, ())
            return
        figures = figures_of(document.analysis, rows, document.removed, document.marked, document.shown_scores, costs)
        self._times = document.contents.times()
        self.table.timed = bool(self._times)
        self.plan = plan_of(document.analysis, rows, layers, document.removed, figures, costs)
        self.table.show_rows(len(layers.node), self._row, layers.ties)
        self.range.show_ends("0", *highest(document, self.plan.scale))

    def _read_sensitivity(self) -> None:
        """What half of each set costs, where it was measured."""
        analysis, known = self.document.analysis, self.document.curves
        self._lost = {}
        if analysis is not None and known is not None:
            for curve in known.all(analysis, self.document.removed):
                if (lost := known.lost(curve)) == lost:
                    self._lost[curve.set_number] = lost
        self._worst = max(self._lost.values(), default=0.0)
        self.table.measured = bool(self._lost)
        measured = self.tr("Sensitivity: change of the metric if half of the layer is removed. ") if self._lost else ""
        flat = any(one.flat for one in self.document.contents.saved.values())
        measured += self.tr("Double bar: removal saves no time. ") if flat else ""
        words = self.tr(
            "Filled: kept, coloured by mean score. Hatched: marked. Pale: removed. {0}Lines: coupled layers; "
            "dashed: concatenated."
        )
        self._legend.setText(words.format(measured))

    def _show_current(self) -> None:
        rows = self.layers.row_of if self.layers is not None else {}
        self.table.show_current(rows.get(self.document.selection.module, -1))

    # Rows.

    def _row(self, number: int) -> Row:
        layers, plan = self.layers, self.plan
        assert layers is not None and plan is not None
        widest = float(layers.width.max())
        one, macs, parameters = int(layers.sets[number]), float(plan.macs[number]), float(plan.parameters[number])
        fixed = layers.axis[number] < 0
        return Row(
            path=layers.modules[number],
            detail=layers.details[number],
            width=float(layers.width[number]) / widest,
            present=float(plan.present[number]) / widest,
            kept=float(plan.kept[number]) / widest,
            counts=self._counts(number),
            fixed=bool(fixed),
            fraction=float(plan.fractions[number]),
            score=plan.scale.text(float(plan.scores[number])),
            macs=(share_words(macs), macs / max(float(plan.macs.max()), 1e-12)),
            parameters=(share_words(parameters), parameters / max(float(plan.parameters.max()), 1e-12)),
            lost=(self._lost_words(one), self._lost_part(one)),
            time=self._time(layers.modules[number]),
            flat=self._saving(one) is not None and self._saving(one).flat,  # type: ignore[union-attr]
        )

    def _time(self, module: str) -> tuple[str, float]:
        """Share of the time on the target, in words and of the longest."""
        part = self._times.get(module)
        return ("", 0.0) if part is None else (share_words(part), part / max(*self._times.values(), 1e-12))

    def _saving(self, number: int) -> Saving | None:
        """What half of a set saves on the target, None where that is not known."""
        analysis = self.document.analysis
        return None if analysis is None or number < 0 else self.document.contents.saved.get(analysis.sets[number].key)

    def _counts(self, number: int) -> str:
        assert self.layers is not None and self.plan is not None
        whole, kept = int(self.layers.width[number]), int(self.plan.kept[number])
        if self.layers.axis[number] < 0:
            return self.tr("{0} fixed").format(f"{whole:,}")
        return self.tr("{0} of {1}").format(f"{kept:,}", f"{whole:,}") if kept != whole else f"{whole:,}"

    def _lost_words(self, number: int) -> str:
        """By what the metric changes where half of a set goes."""
        lost, known = self._lost.get(number), self.document.curves
        if lost is None or known is None or known.metric is None:
            return ""
        change = -lost if known.metric.higher_is_better else lost
        return difference_text(change, known.metric.percent)

    def _lost_part(self, number: int) -> float:
        return self._lost.get(number, 0.0) / self._worst if self._worst > 0 else 0.0

    def words(self, number: int) -> str:
        """A row in words."""
        assert self.layers is not None and self.plan is not None and self.document.analysis is not None
        whole, kept = int(self.layers.width[number]), int(self.plan.kept[number])
        lines = [self.layers.modules[number]]
        fixed = self.layers.axis[number] < 0
        lines.append(
            self.tr("fixed, {0} outputs").format(whole)
            if fixed
            else self.tr("{0} of {1} outputs kept").format(kept, whole)
        )
        if np.isfinite(self.plan.scores[number]):
            lines.append(self.tr("mean score {0}").format(self.plan.scale.text(float(self.plan.scores[number]))))
        if lost := self._lost_words(int(self.layers.sets[number])):
            lines.append(self.tr("{0} if {1:.0%} is removed, without recovery").format(lost, HALF))
        if (part := self._times.get(self.layers.modules[number])) is not None:
            lines.append(self.tr("{0} of the latency on the target, predicted").format(share_words(part)))
        if (saving := self._saving(int(self.layers.sets[number]))) is not None:
            words = self.tr("removal saves no time here: half of it saves {0} of the latency and {1} of the MACs")
            words = words if saving.flat else self.tr("half of it saves {0} of the latency and {1} of the MACs")
            lines.append(words.format(share_words(max(saving.time, 0.0)), share_words(saving.macs)))
        lines += [self._tie_words(tie) for tie in self.table.ties_of(number)]
        return "\n".join(lines)

    def _tie_words(self, tie: Tie) -> str:
        assert self.layers is not None and self.document.analysis is not None
        names = [self.layers.modules[row] for row in tie.rows]
        shown = ", ".join(names[:4]) + (self.tr(" and {0} more").format(len(names) - 4) if len(names) > 4 else "")
        if tie.joined:
            return self.tr("concatenated: {0}").format(shown)
        kind = self.document.analysis.sets[tie.sets[0]].kind
        return self.tr("coupled, same {0}: {1}").format(title_of(kind), shown)

    @Slot(int)
    def _pick(self, number: int) -> None:
        if self.layers is not None:
            self.document.select(Selection(self.layers.modules[number], int(self.layers.sets[number])))
