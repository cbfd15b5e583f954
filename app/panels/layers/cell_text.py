"""What the cells of the Layers tab say: texts, shares and words, computed only for the rows that are looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from PySide6.QtCore import QCoreApplication

from secateur.engine.structures.analysis import Analysis
from secateur.engine.targets.latency_table import Saving
from secateur.engine.tasks.protocol import Metric

from ...document.sensitivity_curves import HALF
from ...text.format import share
from ...text.metrics import difference_text
from ...text.structures import title_of
from .rows import Layers, Plan
from .ties import Tie

say = QCoreApplication.translate


class Column(IntEnum):
    """Columns of the table."""

    TIES = 0
    NAME = 1
    WIDTH = 2
    KEEPS = 3
    SCORE = 4
    MACS = 5
    TIME = 6
    PARAMETERS = 7
    SENSITIVITY = 8


def heading(column: int, gates: bool = False) -> str:
    """What a column is called; with `gates`, it says how open they are."""
    return (
        say("layers", "Coupled layers"),
        say("layers", "Layer"),
        say("layers", "Width"),
        say("layers", "Open") if gates else say("layers", "Keeps"),
        say("layers", "Gate") if gates else say("layers", "Score"),
        say("layers", "MACs"),
        say("layers", "Time"),
        say("layers", "Parameters"),
        say("layers", "Sensitivity"),
    )[column]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of the layers.

    Attributes:
        times: Share of the time on the target by module path.
        savings: What half of a coupled set saves there, by its key.
        lost: What the metric loses where half of a coupled set goes, by its number.
        metric: The metric of `lost`, None where it is not known.
    """

    times: Mapping[str, float]
    savings: Mapping[str, Saving]
    lost: Mapping[int, float]
    metric: Metric | None


class Cells:
    """Texts of rows for the numbers of one moment; made again when they change."""

    def __init__(self, analysis: Analysis, layers: Layers, plan: Plan, measured: Measured) -> None:
        """Take the numbers."""
        self._analysis, self._layers, self._plan, self._measured = analysis, layers, plan, measured
        self._widest = max(float(layers.width.max(initial=0)), 1.0)
        self._most = {
            Column.MACS: max(float(plan.macs.max(initial=0.0)), 1e-12),
            Column.PARAMETERS: max(float(plan.parameters.max(initial=0.0)), 1e-12),
            Column.TIME: max([*measured.times.values(), 1e-12]),
            Column.SENSITIVITY: max([*measured.lost.values(), 0.0]),
        }

    def text(self, row: int, column: int) -> str:
        """What a cell shows."""
        match column:
            case Column.NAME:
                return self._layers.modules[row]
            case Column.KEEPS:
                return self._keeps(row)
            case Column.SCORE:
                return self._plan.scale.text(float(self._plan.scores[row]))
            case Column.SENSITIVITY:
                return self._lost_words(row)
            case Column.MACS | Column.TIME | Column.PARAMETERS:
                part = self._share(row, column)
                return "" if part != part else share(part)
            case _:
                return ""

    def part(self, row: int, column: int) -> float:
        """How long the bar under a share is, 0..1 of the most in its column."""
        most = self._most[Column(column)]
        part = self._share(row, column)
        return part / most if part == part and most > 0 else 0.0

    def _share(self, row: int, column: int) -> float:
        """The number of a cell with a bar, NaN where it is not known."""
        match column:
            case Column.MACS:
                return float(self._plan.macs[row])
            case Column.PARAMETERS:
                return float(self._plan.parameters[row])
            case Column.TIME:
                return self._measured.times.get(self._layers.modules[row], float("nan"))
            case _:
                return self._measured.lost.get(int(self._layers.sets[row]), float("nan"))

    def detail(self, row: int) -> str:
        """A few words after the name."""
        return self._layers.details[row]

    def locked(self, row: int) -> int:
        """How many of its structures are locked."""
        return int(self._plan.locked[row])

    def fixed(self, row: int) -> bool:
        """Its outputs cannot be cut."""
        return bool(self._layers.axis[row] < 0)

    def bar(self, row: int) -> tuple[float, float, float]:
        """Lengths of the bar for the original, the present state and the plan, as parts of the widest layer's.

        The whole bar goes by the square root of the width, so that 64 outputs can be read beside 2,048; what is left
        of it is in proportion.
        """
        plan, whole = self._plan, max(int(self._layers.width[row]), 1)
        length = float(np.sqrt(self._layers.width[row] / self._widest))
        return length, length * float(plan.present[row]) / whole, length * float(plan.kept[row]) / whole

    def fraction(self, row: int) -> float:
        """The mean score on the scale, NaN where it is not known."""
        return float(self._plan.fractions[row])

    def flat(self, row: int) -> bool:
        """Removal buys no time on the target."""
        saving = self._saving(row)
        return saving is not None and saving.flat

    def _saving(self, row: int) -> Saving | None:
        """What half of its coupled set saves on the target, None where that is not known."""
        number = int(self._layers.sets[row])
        return None if number < 0 else self._measured.savings.get(self._analysis.sets[number].key)

    def _keeps(self, row: int) -> str:
        whole, kept = int(self._layers.width[row]), int(self._plan.kept[row])
        if self.fixed(row):
            return say("layers", "{0} fixed").format(f"{whole:,}")
        return say("layers", "{0} of {1}").format(f"{kept:,}", f"{whole:,}") if kept != whole else f"{whole:,}"

    def widest_keeps(self) -> str:
        """The longest text on what is kept."""
        count = f"{self._layers.width.max(initial=0):,}"
        return max(say("layers", "{0} fixed").format(count), say("layers", "{0} of {1}").format(count, count), key=len)

    def _lost_words(self, row: int) -> str:
        """By what the metric changes where half of its coupled set goes."""
        lost, metric = self._measured.lost.get(int(self._layers.sets[row])), self._measured.metric
        if lost is None or metric is None:
            return ""
        return difference_text(-lost if metric.higher_is_better else lost, metric.percent)

    def words(self, row: int) -> str:
        """All of a row, a line for each fact."""
        layers, plan = self._layers, self._plan
        whole, kept = int(layers.width[row]), int(plan.kept[row])
        lines = [layers.modules[row]]
        lines.append(
            say("layers", "fixed, {0} outputs").format(whole)
            if self.fixed(row)
            else say("layers", "{0} of {1} outputs kept").format(kept, whole)
        )
        if self.locked(row):
            lines.append(say("layers", "{0} locked").format(f"{self.locked(row):,}"))
        if plan.final[row] >= 0:
            lines = [lines[0], self._gates(row)]
        elif np.isfinite(plan.scores[row]):
            lines.append(say("layers", "mean score {0}").format(self.text(row, Column.SCORE)))
        if lost := self._lost_words(row):
            lines.append(say("layers", "{0} if {1:.0%} is removed, without recovery").format(lost, HALF))
        if time := self.text(row, Column.TIME):
            lines.append(say("layers", "{0} of the latency on the target, predicted").format(time))
        if (saving := self._saving(row)) is not None:
            words = say("layers", "removal saves no time here: half of it saves {0} of the latency and {1} of the MACs")
            words = words if saving.flat else say("layers", "half of it saves {0} of the latency and {1} of the MACs")
            lines.append(words.format(share(max(saving.time, 0.0)), share(saving.macs)))
        return "\n".join([*lines, *self._tie_lines(row)])

    def _gates(self, row: int) -> str:
        """How many gates are open while masks are learned, and how many will be."""
        words = say("layers", "{0} of {1} gates open on average, {2} stay")
        one = self._analysis.sets[int(self._layers.sets[row])]
        return words.format(f"{self._plan.open[row]:,.1f}", f"{one.count:,}", f"{self._plan.final[row]:,}")

    def spoken(self, row: int, column: int) -> str:
        """A cell for a screen reader: all of the row with its name, else the heading and the text."""
        if column == Column.NAME:
            return self.words(row).replace("\n", ", ")
        text = ", ".join(self._tie_lines(row)) if column == Column.TIES else self.text(row, column)
        if column == Column.WIDTH:
            text = str(int(self._layers.width[row]))
        return f"{heading(column)}: {text}" if text else ""

    def _tie_lines(self, row: int) -> list[str]:
        return [self._tie_words(tie) for tie in self._layers.ties_of(row)]

    def _tie_words(self, tie: Tie) -> str:
        names = [self._layers.modules[row] for row in tie.rows]
        more = say("layers", " and {0} more").format(len(names) - 4) if len(names) > 4 else ""
        shown = ", ".join(names[:4]) + more
        if tie.joined:
            return say("layers", "concatenated: {0}").format(shown)
        return say("layers", "coupled, same {0}: {1}").format(title_of(self._analysis.sets[tie.sets[0]].kind), shown)
