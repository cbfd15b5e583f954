"""What the cells of the tree say: texts, states and words, computed only for the rows that are looked at."""

import numpy as np
from PySide6.QtCore import QCoreApplication

from secateur.engine.masks.learned_gates import LearnedGates
from secateur.engine.structures.analysis import Analysis, Kind

from ...text.format import MINUS, TIMES, count, share
from ...text.structures import structure_name, title_of
from ..overlay_text import OverlayText
from .figures import Figures
from .query import Facts
from .rows import Rows

say = QCoreApplication.translate


class Cells:
    """Texts of rows; rows are numbered as the arrangement does (nodes, then structures)."""

    def __init__(
        self,
        analysis: Analysis,
        rows: Rows,
        figures: Figures,
        facts: Facts,
        words: OverlayText,
        gates: LearnedGates | None = None,
    ) -> None:
        """Take the numbers of one moment; made again when they change.

        `words` say what is shown for scores; with `gates`, how open these are.
        """
        self._words = words
        self._gates = gates
        self._open = None if gates is None else rows.by_set(gates.open.astype(np.float64))
        self._analysis, self._rows, self._figures, self._facts = analysis, rows, figures, facts

    def text(self, row: int, column: int) -> str:
        """What a cell shows."""
        texts = (self.name, self.keeps, self.score, self.share, self.time, self.parameters, self.shape)
        return texts[column](row)

    def name(self, row: int) -> str:
        """Name of a row."""
        if (structure := row - self._rows.count) >= 0:
            return structure_name(self._analysis, structure, self._analysis.sets[self._rows.set_of[structure]])
        return self._rows.names[row]

    def detail(self, row: int) -> str:
        """A few words after the name: shape of the layer, and whose residual width it writes."""
        if row >= self._rows.count:
            return ""
        lead, owner, words = int(self._rows.lead[row]), int(self._rows.owner[row]), self._rows.details[row]
        is_width = owner >= 0 and row < self._rows.module_count and self._analysis.sets[owner].kind is Kind.WIDTH
        if is_width or (lead >= 0 and self._analysis.sets[lead].kind is Kind.WIDTH):
            return say("tree", "residual width")
        return words

    def keeps(self, row: int) -> str:
        """Kept of total for what has outputs; a word for what is marked, locked, removed or fixed."""
        if row >= self._rows.count or self._single(row) >= 0:
            return word_of(self.state(row))
        if (number := int(self._rows.owner[row])) >= 0:
            kept = self._figures.kept[number] if self._open is None else round(float(self._open[number]))
            word = say("tree", "{0} of {1}").format(kept, self._analysis.sets[number].count)
            return f"{word}, {word_of('locked')}" if self.state(row) == "locked" else word
        if self._rows.lead[row] >= 0:
            axis = int(self._rows.axis[row])
            whole = self._analysis.axis_start[axis + 1] - self._analysis.axis_start[axis]
            return say("tree", "{0} of {1}").format(self._figures.outputs[axis], whole)
        if self._rows.fixed[row] >= 0:
            return word_of("fixed")
        return f"{MINUS}{taken:,}" if (taken := self.taken(row)) else ""

    def taken(self, row: int) -> int:
        """How many structures the plan takes from the rows below one that has no outputs of its own."""
        own = row >= self._rows.count or self._rows.owner[row] >= 0 or self._rows.lead[row] >= 0
        return 0 if own else int(self._figures.taken[row])

    def kept(self, row: int) -> int:
        """How many a set keeps."""
        return int(self._figures.kept[self._rows.owner[row]]) if row < self._rows.count else 0

    def editable(self, row: int) -> bool:
        """Only sets of several that are not wholly locked take a number."""
        if row >= self._rows.count or self._rows.owner[row] < 0 or self._single(row) >= 0:
            return False
        return self.state(row) != "locked"

    def score(self, row: int) -> str:
        """The number beside the bar."""
        return self._figures.scale.text(self._score(row))

    def fraction(self, row: int) -> float:
        """Length of the bar, NaN for none."""
        figures = self._figures
        return (figures.node_scale if self._structure(row) < 0 else figures.scale).fraction(self._score(row))

    def share(self, row: int) -> str:
        """Share of MACs."""
        if (structure := self._structure(row)) >= 0:
            figures, number = self._figures, int(self._rows.set_of[structure])
            if figures.gone[structure] or not figures.macs.total:
                return ""
            taken = figures.macs.of_set(number)[structure - self._analysis.sets[number].first]
            return share(float(taken) / figures.macs.total)
        return share(float(self._figures.shares[row])) if row < self._rows.module_count else ""

    def time(self, row: int) -> str:
        """Share of the time on the target, "" where nothing predicts it."""
        value = float(self._figures.times[row]) if row < self._rows.module_count else float("nan")
        return "" if value != value else share(value)

    def parameters(self, row: int) -> str:
        """Parameters that the plan leaves in or below a row."""
        return count(int(self._figures.parameters[row])) if row < self._rows.module_count else ""

    def shape(self, row: int) -> str:
        """Shape of the weights that the plan leaves a layer."""
        if row >= self._rows.count or (tensor := int(self._rows.tensor[row])) < 0:
            return ""
        one = self._analysis.tensors[tensor]
        sizes = (s if a < 0 else int(self._figures.outputs[a]) for s, a in zip(one.shape, one.axes, strict=True))
        return TIMES.join(map(str, sizes))

    def state(self, row: int) -> str:
        """State of a row: "removed", "marked", "locked", "fixed", "along" or ""."""
        if (structure := self._structure(row)) >= 0:
            return self._structure_state(structure)
        if (owner := int(self._rows.owner[row])) >= 0:
            place = self._analysis.sets[owner].structures
            return "locked" if (self._facts.locked | self._facts.removed)[place].all() else ""
        if self._rows.lead[row] >= 0:
            return "along"
        return "fixed" if self._rows.fixed[row] >= 0 else ""

    def locked(self, row: int) -> int:
        """How many structures of a row are locked."""
        if (structure := self._structure(row)) >= 0:
            return int(self._structure_state(structure) == "locked")
        owner = int(self._rows.owner[row])
        place = self._analysis.sets[owner].structures if owner >= 0 else slice(0, 0)
        return int(np.count_nonzero(self._facts.locked[place] & ~self._facts.removed[place]))

    def tooltip(self, row: int) -> str:
        """Whole path; why it is fixed, or what it is coupled to; of a structure its number as it was computed."""
        if row >= self._rows.count:
            score = self._score(row)
            return "" if score != score else f"{self.name(row)}, {self._words.words.format(f'{score:.6g}')}"
        path = self._rows.modules[row]
        if self._gates is not None and self._open is not None and (number := int(self._rows.owner[row])) >= 0:
            words = say("tree", "{0}: {1} of {2} gates open on average, {3} stay")
            open, final = f"{self._open[number]:,.1f}", f"{self._gates.final[number]:,}"
            return words.format(path, open, f"{self._analysis.sets[number].count:,}", final)
        if self._rows.fixed[row] >= 0:
            reason = self._analysis.fixed[self._rows.fixed[row]].reason
            return say("tree", "{0} is fixed. {1}").format(path, reason)
        if (lead := int(self._rows.lead[row])) >= 0:
            one = self._analysis.sets[lead]
            return say("tree", "{0} is coupled to the {1} of {2}. Edit it there.").format(
                path, title_of(one.kind), one.module
            )
        if taken := self.taken(row):
            return say("tree", "{0}: the plan takes {1} structures from it").format(path, f"{taken:,}")
        return path

    def spoken(self, row: int) -> str:
        """The whole row for a screen reader."""
        parts = [self.name(row), self.detail(row), self.keeps(row)]
        if self.state(row) != "locked" and (number := self.locked(row)):
            parts.append(say("tree", "{0} locked").format(f"{number:,}"))
        if self.score(row):
            parts.append(self._words.words.format(self.score(row)))
        return ", ".join(p for p in parts if p)

    def _structure_state(self, structure: int) -> str:
        if self._facts.removed[structure]:
            return "removed"
        if self._facts.marked[structure]:
            return "marked"
        return "locked" if self._facts.locked[structure] else ""

    def _structure(self, row: int) -> int:
        return row - self._rows.count if row >= self._rows.count else self._single(row)

    def _single(self, row: int) -> int:
        """The structure of a set row that has only one (a block), -1 otherwise."""
        owner = int(self._rows.owner[row])
        return self._analysis.sets[owner].first if owner >= 0 and self._analysis.sets[owner].count == 1 else -1

    def _score(self, row: int) -> float:
        structure = self._structure(row)
        return float(self._figures.node_scores[row] if structure < 0 else self._figures.scores[structure])


def word_of(state: str) -> str:
    """A state in a word, so that colour is never alone."""
    return {
        "removed": say("tree", "removed"),
        "marked": say("tree", "marked"),
        "locked": say("tree", "locked"),
        "fixed": say("tree", "fixed"),
    }.get(state, "")
