"""The Graph tab: the drawing with its search and buttons; layouts are made in a thread, and kept."""

from functools import partial

import numpy as np
from PySide6.QtCore import QPointF, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from secateur.engine.structures.layer_graph import NodeKind

from ...dialogs.save_plot import asks_to_save
from ...document.aspects import Aspect
from ...jobs.workbench import Workbench
from ...theme import px
from ...widgets.buttons import button
from ...widgets.card import EmptyState
from ...widgets.fields import FilterLine
from ...widgets.labels import label
from ...widgets.plot_export import Drawing, offer
from ...widgets.score_map import ScoreRange
from ..overlay_text import overlay_text
from ..panel_layout import column_of, row_of, stack_of
from ..panel_parts import show_scores
from ..plot_tables import graph_table
from .boxes import Boxes, boxes_of
from .layout import Layout, lay_out
from .model import GraphModel, ties_between
from .view import GraphView

LOW = 260
"""Height below which the legend under the drawing is left out, in pixels at the first size of text."""
KEPT = 64
"""Layouts that are kept: going back to what was folded before is immediate."""
SHOWN = frozenset(
    {Aspect.MODEL, Aspect.SCORES, Aspect.GATES, Aspect.MARKS, Aspect.STATES, Aspect.SENSITIVITY, Aspect.TARGET}
)


class GraphPanel(QWidget):
    """The graph with its legend.

    Attributes:
        model: The boxes.
        view: The drawing itself.
        search: What is looked for.
        found: How many there are of it.
        range: What the colours mean.
        folded: Blocks that are folded.
    """

    def __init__(self, workbench: Workbench, parent: QWidget | None = None) -> None:
        """Show the document's model."""
        super().__init__(parent)
        self.workbench, self.document = workbench, workbench.document
        self.model = GraphModel(self.document, self)
        self.view = GraphView(self.model)
        self.search = FilterLine(self.tr("Find a layer in the graph"), self.tr("Find a layer"))
        self.found = label(role="caption")
        self.range = ScoreRange()
        self.folded: frozenset[int] = frozenset()
        self._layouts: dict[frozenset[int], tuple[Boxes, Layout]] = {}
        # The blocks of the layout in the making; an older one that comes later is dropped.
        self._wanted: frozenset[int] | None = None
        self._hits: list[int] = []
        # Node of the graph to be shown once it is laid out.
        self._goal = -1
        self._empty = EmptyState("", "", "")
        self._legend = label(role="caption", wrap=True)
        self._drawing = Drawing(
            "graph",
            self.tr("Graph"),
            "graph",
            shown=lambda: self.model.layout is not None,
            widget=self.view.whole,
            table=lambda: graph_table(self.model.graph),
        )
        top = row_of((self.search, 1), self.found, gap=6)
        self.buttons = {
            "fold": button(self.tr("Fold all"), "small", self.tr("Fold all blocks")),
            "unfold": button(self.tr("Unfold all"), "small", self.tr("Unfold all blocks")),
            "out": button("\u2212", "small", self.tr("Zoom out (minus, or Ctrl and the wheel)")),
            "in": button("+", "small", self.tr("Zoom in (plus, or Ctrl and the wheel)")),
            "fit": button(self.tr("Fit"), "small", self.tr("Show all of the graph")),
        }
        self.buttons["out"].setAccessibleName(self.tr("Zoom out"))
        self.buttons["in"].setAccessibleName(self.tr("Zoom in"))
        acts = {"fold": self.fold_all, "unfold": self.unfold_all, "out": self.view.zoom_out, "in": self.view.zoom_in}
        for name, made in self.buttons.items():
            made.clicked.connect(acts.get(name, self.view.fit))
            top.addWidget(made)
        shown = QWidget()
        below = row_of(self.range, (self._legend, 1), gap=12)
        column_of(top, (self.view, 1), below, on=shown, margins=(6, 6, 6, 6), gap=4)
        self._stack = stack_of(self, self._empty, shown)
        offer(self.view, self._drawing, asks_to_save(self.document))
        self.view.picked.connect(self._pick)
        self.view.turned.connect(self._turn_block)
        self.view.opened.connect(lambda: self.document.requested.emit(lambda window: window.edit_keeps()))
        self.search.textChanged.connect(self._search)
        self.search.returnPressed.connect(self._go_to_next_hit)
        self._empty.stepped.connect(self._open_model)
        self.document.dispatcher.watch(SHOWN | {Aspect.SELECTION}, self._show_changes)
        self._show_changes(SHOWN)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low window the drawing is worth more than the words below it."""
        super().resizeEvent(event)
        for one in (self.range, self._legend):
            one.setVisible(self.height() >= px(LOW))

    def drawings(self) -> tuple[Drawing, ...]:
        """The drawing, to be taken along."""
        return (self._drawing,)

    # What changed.

    def _show_changes(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self.model.reload()
            self._layouts.clear()
            self._wanted, self._goal, self._hits = None, -1, []
            self.search.clear()
            blocks = self.model.blocks
            self._stack.setCurrentIndex(int(blocks is not None))
            if blocks is None:
                words = self.tr(
                    "Open a model to see its layers as a graph: what feeds what, what is coupled, what goes."
                )
                if self.document.analysis is not None:
                    words = self.tr("This file was written without a graph. Open the model itself to see one.")
                self._empty.say(self.tr("Graph"), words, self.tr("Open model..."))
            else:
                self._fold(blocks.folded_at_first())
        elif aspects & SHOWN:
            self.model.refresh()
        if aspects & SHOWN and self.model.layers.plan is not None:
            show_scores(self.range, self.document, self.model.layers.plan.scale, overlay_text(self.document).title)
        words = self.tr("Filled: kept. Hatched: marked. Right: skip connections. Left: coupled layers.")
        if self.document.learned_gates is not None:
            words = self.tr("Filled: gates open. Hatched: gate closed. Right: skip connections. Left: coupled layers.")
        self._legend.setText(words)
        if Aspect.SELECTION in aspects:
            self._show_selection()

    @Slot()
    def _open_model(self) -> None:
        self.document.requested.emit(lambda window: window.run_command("file.open"))

    def _show_selection(self) -> None:
        """Show what is selected elsewhere; a join that was picked here stays picked."""
        boxes, selection = self.model.boxes, self.document.selection
        if boxes is None:
            return
        here = self.view.current
        if here < 0 or self.model.selection(here) != selection:
            self.view.show_current(boxes.shows(selection.module))
        self.view.show_chosen(self.model.boxes_with(selection.several))

    # Folding.

    @Slot()
    def fold_all(self) -> None:
        """Fold every block."""
        if self.model.blocks is not None:
            self._fold(frozenset(range(1, len(self.model.blocks.paths))))

    @Slot()
    def unfold_all(self) -> None:
        """Unfold every block."""
        if self.model.blocks is not None:
            self._fold(frozenset())

    @Slot(int)
    def _turn_block(self, box: int) -> None:
        assert self.model.boxes is not None
        block = int(self.model.boxes.block[box])
        self._fold(self.folded ^ {block}, block)

    def _fold(self, folded: frozenset[int], still: int = 0) -> None:
        """Show other blocks folded; the block `still` keeps its place on the screen."""
        blocks = self.model.blocks
        assert blocks is not None
        self.folded = self._wanted = folded
        held = None
        if still and self.model.boxes is not None:
            box = self.model.boxes.of_path.get(blocks.paths[still], -1)
            held = None if box < 0 else self.view.corner_of(box)
        if folded in self._layouts:
            self._show(folded, blocks.paths[still], held, self._layouts[folded])
            return
        layers = self.model.layers.layers

        # Runs in a thread: it gets what it needs, and reads nothing of the panel.
        def make() -> tuple[Boxes, Layout]:
            boxes = boxes_of(blocks, folded)
            return boxes, lay_out(boxes, ties_between(boxes, layers))

        self.workbench.layouts.drop_waiting()
        done = partial(self._show, folded, blocks.paths[still], held)
        self.workbench.layouts.run(make, done, self.document.fail)

    def _show(self, folded: frozenset[int], still: str, held: QPointF | None, made: tuple[Boxes, Layout]) -> None:
        """A layout is there; nothing of it where another one is wanted by now."""
        boxes, layout = made
        if folded != self._wanted or boxes.blocks is not self.model.blocks:
            return
        first = self.model.boxes is None
        self._layouts[folded] = made
        # The oldest goes: a dictionary keeps the order of insertion.
        if len(self._layouts) > KEPT:
            self._layouts.pop(next(iter(self._layouts)))
        self.model.show(boxes, layout)
        if first:
            self.view.begin()
        elif held is not None:
            self.view.hold(boxes.of_path[still], held)
        self._mark_hits()
        if self._goal >= 0:
            goal, self._goal = self._goal, -1
            self._reach(int(boxes.of_node[goal]))
        else:
            self._show_selection()

    # Search and selection.

    @Slot(int)
    def _pick(self, box: int) -> None:
        self.document.select(self.model.selection(box))

    @Slot()
    def _search(self) -> None:
        """What of the whole graph has the typed words in its path, folded or not."""
        blocks, text = self.model.blocks, self.search.text().strip().lower()
        graph = None if blocks is None or not text else blocks.graph
        self._hits = []
        if graph is not None:
            layers = zip(graph.kind, graph.module, strict=True)
            self._hits = [n for n, (kind, path) in enumerate(layers) if kind is NodeKind.LAYER and text in path.lower()]
        self.found.setText(self.tr("{0} found").format(len(self._hits)) if text else "")
        self._mark_hits()

    def _mark_hits(self) -> None:
        boxes = self.model.boxes
        hits = () if boxes is None else boxes.of_node[np.array(self._hits, np.int64)].tolist()
        self.view.show_found(frozenset(hits))

    @Slot()
    def _go_to_next_hit(self) -> None:
        """Go to the next layer that was found; blocks around it are unfolded."""
        boxes, blocks = self.model.boxes, self.model.blocks
        if not self._hits or boxes is None or blocks is None:
            return
        here = self.view.current
        node = int(boxes.node[here]) if here >= 0 else -1
        goal = next((hit for hit in self._hits if hit > node), self._hits[0])
        around = self.folded.intersection(blocks.holders(goal))
        if around:
            self._goal = goal
            self._fold(self.folded - around)
        else:
            self._reach(int(boxes.of_node[goal]))

    def _reach(self, box: int) -> None:
        self.view.show_current(box)
        self._pick(box)
