"""The item model of the Graph tab: a row for each box, with the numbers of the Layers tab and words for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from secateur.engine.structures.layer_graph import LayerGraph, NodeKind

from ...document.aspects import Selection
from ...document.document import Document
from ...text.format import percent
from ...text.translate import counted
from ..layers.model import LayersModel
from ..layers.rows import Layers
from .boxes import Blocks, Boxes, blocks_of
from .layout import Layout

Index = QModelIndex | QPersistentModelIndex
Floats = NDArray[np.float64]
MANY = 4
"""Boxes that are named as what feeds a box, at most."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the present state and the plan make of I boxes.

    Attributes:
        width: [I] outputs of the widest layer in a box, as a part of the widest of all; 0 where there is none.
        present: [I] part of these that the current state has.
        kept: [I] part that the plan leaves.
        score: [I] mean score on the scale, NaN unknown.
        fixed: [I] none of the outputs can be cut.
        locked: [I] structures that are locked: of its layers, and a block itself.
        outputs: [I, 2] (kept, original) outputs of all layers in a box.
    """

    width: Floats
    present: Floats
    kept: Floats
    score: Floats
    fixed: NDArray[np.bool_]
    locked: NDArray[np.int64]
    outputs: NDArray[np.int64]


class GraphModel(QAbstractListModel):
    """Boxes of the document's model.

    Attributes:
        layers: The numbers of the Layers tab.
        blocks: All blocks, None where there is no graph.
        boxes: What is shown of them, None before the first layout.
        layout: Where that is.
        figures: What the plan makes of it.
    """

    def __init__(self, document: Document, parent: QObject | None = None) -> None:
        """Show what the document has, once it is laid out."""
        super().__init__(parent)
        self.document = document
        self.layers = LayersModel(document, self)
        self.blocks: Blocks | None = None
        self.boxes: Boxes | None = None
        self.layout: Layout | None = None
        self.figures: Figures | None = None

    def reload(self) -> None:
        """Take another model; nothing of it is shown before `show`."""
        analysis = self.document.analysis
        self.layers.reload()
        self.beginResetModel()
        self.boxes = self.layout = self.figures = None
        self.blocks = blocks_of(analysis.graph) if analysis is not None and analysis.graph.kind else None
        self.endResetModel()

    def show(self, boxes: Boxes, layout: Layout) -> None:
        """Show boxes where a layout has them."""
        self.beginResetModel()
        self.boxes, self.layout = boxes, layout
        self._count()
        self.endResetModel()

    def refresh(self) -> None:
        """Numbers changed, the boxes did not."""
        self.layers.refresh()
        self._count()
        if last := self.rowCount():
            self.dataChanged.emit(self.index(0, 0), self.index(last - 1, 0))

    @property
    def graph(self) -> LayerGraph:
        """All nodes; there are some where something is laid out."""
        assert self.blocks is not None
        return self.blocks.graph

    def selection(self, box: int) -> Selection:
        """What a box selects everywhere: its layer with its coupled set, or its block."""
        assert self.boxes is not None
        path, layers, analysis = self.boxes.path(box), self.layers.layers, self.document.analysis
        if layers is not None and path in layers.row_of:
            return Selection(path, int(layers.sets[layers.row_of[path]]))
        whole = [] if analysis is None else [n for n, s in enumerate(analysis.sets) if s.dim < 0 and s.module == path]
        return Selection(path, whole[0] if whole else -1)

    def boxes_with(self, structures: Sequence[int]) -> frozenset[int]:
        """Boxes in which structures are seen."""
        analysis, boxes = self.document.analysis, self.boxes
        if analysis is None or boxes is None or not len(structures):
            return frozenset()
        sets = np.unique(analysis.set_numbers()[np.array(structures, np.int64)]).tolist()
        return frozenset(boxes.shows(analysis.sets[number].module) for number in sets) - {-1}

    def _count(self) -> None:
        """Sum the layers of each box."""
        boxes, layers, plan = self.boxes, self.layers.layers, self.layers.plan
        if boxes is None or layers is None or plan is None:
            self.figures = None
            return
        graph = boxes.blocks.graph
        places = {p: int(boxes.of_node[n]) for n, p in enumerate(graph.module) if graph.kind[n] is NodeKind.LAYER}
        box = np.array([places.get(path, len(boxes)) for path in layers.modules], np.int64)
        count = len(boxes) + 1
        widest = np.zeros(count)
        np.maximum.at(widest, box, layers.width)
        sums = [np.bincount(box, weights=of, minlength=count) for of in (layers.width, plan.present, plan.kept)]
        free = np.bincount(box, weights=layers.axis >= 0, minlength=count) > 0
        whole = np.maximum(sums[0], 1)
        score = np.full(count, np.nan)
        score[box] = plan.fractions
        # A layer has its score here; a block, which many layers write into, has its own in the tree.
        rows, figures = self.layers.rows, self.layers.figures
        if rows is not None and figures is not None:
            row_of = {path: row for row, path in enumerate(rows.modules[: rows.module_count])}
            means = figures.node_scale.fractions(figures.node_scores)
            for number in np.flatnonzero(boxes.block >= 0).tolist():
                row = row_of.get(boxes.blocks.paths[boxes.block[number]], -1)
                score[number] = means[row] if row >= 0 else np.nan
        locked = np.bincount(box, weights=plan.locked, minlength=count)[:-1].astype(np.int64)
        document, analysis = self.document, self.document.analysis
        for one in analysis.sets if analysis is not None and document.locked.any() else ():
            if one.dim < 0 and document.locked[one.first] and (number := boxes.of_path.get(one.module, -1)) >= 0:
                locked[number] += 1
        self.figures = Figures(
            width=widest[:-1] / max(widest[:-1].max(initial=0), 1),
            present=(sums[1] / whole)[:-1],
            kept=(sums[2] / whole)[:-1],
            score=score[:-1],
            fixed=~free[:-1] & (widest[:-1] > 0),
            locked=locked,
            outputs=np.stack([sums[2][:-1], sums[0][:-1]], 1).astype(np.int64),
        )

    def locked(self, box: int) -> int:
        """How many structures of a box are locked."""
        return 0 if self.figures is None else int(self.figures.locked[box])

    # Words.

    def name(self, box: int) -> str:
        """What a box is called inside its block."""
        assert self.boxes is not None
        node = int(self.boxes.node[box])
        kind = NodeKind.LAYER if node < 0 else self.boxes.blocks.graph.kind[node]
        if kind is NodeKind.INPUT:
            return self.tr("input")
        if kind is NodeKind.OUTPUT:
            return self.tr("output")
        return self._join_name(box) if kind is NodeKind.JOIN else self.boxes.local(box) or str(self.document.model_name)

    def keeps(self, box: int) -> str:
        """What of a box stays, in few words: outputs of a layer; of a block their share, or how many layers it has."""
        if self.boxes is None or self.figures is None:
            return ""
        (kept, whole), block = self.figures.outputs[box].tolist(), int(self.boxes.block[box])
        if block >= 0:
            if kept != whole:
                return self.tr("keeps {0}").format(percent(kept / whole, 0))
            return counted(int(self.boxes.blocks.layers[block]), self.tr("{count} layer"), self.tr("{count} layers"))
        if not whole:
            return ""
        return self.tr("{0} of {1}").format(f"{kept:,}", f"{whole:,}") if kept != whole else f"{whole:,}"

    def sign(self, box: int) -> str:
        """The sign of a join."""
        assert self.boxes is not None
        signs = {"add": "+", "mul": "\u00d7", "sub": "\u2212", "div": "\u00f7", "cat": "\u2016", "matmul": "\u00b7"}
        return signs.get(self.boxes.blocks.graph.op[self.boxes.node[box]], "\u2022")

    def _join_name(self, box: int) -> str:
        assert self.boxes is not None
        op = self.boxes.blocks.graph.op[self.boxes.node[box]]
        words = {
            "add": self.tr("addition"),
            "mul": self.tr("multiplication"),
            "cat": self.tr("concatenation"),
            "matmul": self.tr("matrix product"),
        }
        return words.get(op) or op

    def words(self, box: int) -> str:
        """All of a box, a line for each fact."""
        assert self.boxes is not None
        layers, cells, path = self.layers.layers, self.layers.cells, self.boxes.path(box)
        lines = [path or self.name(box)]
        block = int(self.boxes.block[box])
        if self.boxes.join(box):
            name = self._join_name(box)
            lines = [self.tr("{0} in {1}").format(name, path) if path else name]
        elif block >= 0:
            number = int(self.boxes.blocks.layers[block])
            lines.append(counted(number, self.tr("{count} layer"), self.tr("{count} layers")))
            if self.figures is not None and not self.boxes.open(box):
                kept, whole = self.figures.outputs[box].tolist()
                lines.append(self.tr("{0} of {1} outputs kept").format(f"{kept:,}", f"{whole:,}"))
            if number := self.locked(box):
                lines.append(self.tr("{0} locked").format(f"{number:,}"))
            lines.append(self.tr("unfolded") if self.boxes.open(box) else self.tr("folded"))
        elif layers is not None and cells is not None and path in layers.row_of:
            lines = cells.words(layers.row_of[path]).split("\n")
        into, out = self.boxes.neighbours
        lines += [self.tr("from {0}").format(self._name_some(into[box]))] if into[box] else []
        lines += [self.tr("to {0}").format(self._name_some(out[box]))] if out[box] else []
        return "\n".join(lines)

    def _name_some(self, boxes: list[int]) -> str:
        names = [self.name(box) for box in boxes]
        more = self.tr(" and {0} more").format(len(names) - MANY) if len(names) > MANY else ""
        return ", ".join(names[:MANY]) + more

    # What Qt asks.

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many boxes."""
        return 0 if parent.isValid() or self.boxes is None or self.layout is None else len(self.boxes)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name, tooltip or words of a box."""
        if not index.isValid() or self.boxes is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.name(index.row())
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.words(index.row())
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self.words(index.row()).replace("\n", ", ")
        return None


def ties_between(boxes: Boxes, layers: Layers | None) -> tuple[tuple[int, ...], ...]:
    """Boxes that lose the same channels, each group once."""
    if layers is None:
        return ()
    found: dict[tuple[int, ...], None] = {}
    for tie in layers.ties:
        among = {boxes.shows(layers.modules[row]) for row in tie.rows}
        shown = tuple(sorted(box for box in among if box >= 0 and not boxes.open(box)))
        if len(shown) > 1 and not tie.joined:
            found[shown] = None
    return tuple(found)
