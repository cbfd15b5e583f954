"""How two models differ, row by row: what each keeps and costs, and the change; in numpy, whole arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QCoreApplication

from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.costs import Costs, kept_sizes

from ...text.format import MINUS, change, count
from ...text.structures import many_of, one_of
from ...text.translate import counted
from ..tree.rows import Rows

Ints = NDArray[np.int64]
SAME, REMOVED, ADDED, NARROWER, WIDER, OTHERS, COSTS = range(7)
"""How the right model differs from the left in a row: not at all; the row is gone, or back; it keeps fewer, or more;
as many, but others; it keeps the same and costs something else."""


@dataclass(frozen=True, slots=True)
class Difference:
    """N nodes, S structures; of two models, the left one first.

    Attributes:
        gone: [2, S] what each lacks.
        kept: [2, N] outputs or structures that a row keeps, -1 where it has none of its own.
        macs: [2, N] multiply-accumulates in or below a row.
        parameters: [2, N] the same.
        others: [N] structures that only the right one keeps.
        kinds: [N] how the row differs.
        structures: [S] how the structure differs (SAME, REMOVED or ADDED).
    """

    gone: NDArray[np.bool_]
    kept: Ints
    macs: Ints
    parameters: Ints
    others: Ints
    kinds: NDArray[np.int8]
    structures: NDArray[np.int8]

    @property
    def differing_rows(self) -> NDArray[np.bool_]:
        """[N] rows that differ in what they keep."""
        return (self.kinds != SAME) & (self.kinds != COSTS)


def difference_of(analysis: Analysis, rows: Rows, left: tuple[Mask, Costs], right: tuple[Mask, Costs]) -> Difference:
    """Compare two models of one analysis, each by what it lacks and what it costs."""
    both = (left, right)
    gone = np.stack([mask for mask, _ in both])
    # Outputs of what has an axis of its own, structures of a set in a row of its own, -1 for the rest.
    of_sets = [np.append(rows.by_set(~mask), 0)[rows.owner] for mask in gone]
    along = [np.where(rows.lead >= 0, kept_sizes(analysis, mask)[rows.axis], -1) for mask in gone]
    kept = np.where(rows.owner >= 0, np.stack(of_sets), np.stack(along))
    nodes, below = rows.below_operator
    operators = [costs.operator_macs[below].astype(np.float64) for _, costs in both]
    macs = np.stack([np.bincount(nodes, weights=one, minlength=rows.count).astype(np.int64) for one in operators])
    sizes = [np.where(rows.parameters, costs.tensor_sizes, 0) for _, costs in both]
    parameters = np.stack([rows.sums_below(one) for one in sizes])
    only_right = rows.by_set(gone[0] & ~gone[1])
    named = np.maximum(rows.owner, rows.lead)
    others = np.where(named >= 0, only_right[np.maximum(named, 0)], 0) if len(only_right) else np.zeros_like(kept[0])
    # A block that was removed has no outputs that could be counted: it costs nothing any more.
    costly = (macs[0] + parameters[0] > 0) & (macs[1] + parameters[1] == 0)
    back = (macs[1] + parameters[1] > 0) & (macs[0] + parameters[0] == 0)
    narrower, wider = kept[1] < kept[0], kept[1] > kept[0]
    changed = (macs[0] != macs[1]) | (parameters[0] != parameters[1])
    empty = (kept[1] == 0) & (kept[0] > 0)
    full = (kept[0] == 0) & (kept[1] > 0)
    conditions = [costly | empty, back | full, narrower, wider, others > 0, changed]
    kinds = np.select(conditions, [REMOVED, ADDED, NARROWER, WIDER, OTHERS, COSTS], SAME).astype(np.int8)
    structures = np.where(gone[0] == gone[1], SAME, np.where(gone[1], REMOVED, ADDED)).astype(np.int8)
    return Difference(gone, kept, macs, parameters, others, kinds, structures)


say = QCoreApplication.translate


def change_words(found: Difference, node: int, of: Kind) -> str:
    """The difference of a row whose outputs are structures of a kind, in words: "24 fewer channels"."""
    kind, kept = int(found.kinds[node]), found.kept[:, node]
    more = abs(int(kept[1] - kept[0]))
    number, named = f"{more:,}", one_of(of) if more == 1 else many_of(of)
    return {
        SAME: "",
        REMOVED: say("compare", "{0} removed").format(MINUS),
        ADDED: say("compare", "+ only here"),
        NARROWER: say("compare", "{0} fewer {1}").format(number, named),
        WIDER: say("compare", "{0} more {1}").format(number, named),
        OTHERS: say("compare", "\u2260 {0} differ").format(f"{int(found.others[node]):,}"),
        COSTS: say("compare", "{0} MACs").format(change(*map(float, found.macs[:, node])))
        if found.macs[0, node] != found.macs[1, node]
        else say("compare", "{0} parameters").format(change(*map(float, found.parameters[:, node]))),
    }[kind]


def structure_words(kind: int) -> str:
    """The same of a structure."""
    return {REMOVED: say("compare", "{0} removed").format(MINUS), ADDED: say("compare", "+ only here")}.get(kind, "")


def tip(found: Difference, node: int, of: Kind, path: str, titles: tuple[str, str]) -> str:
    """All numbers of a row in both models."""
    lines = [path, change_words(found, node, of)]
    for name, values in ((say("compare", "MACs"), found.macs), (say("compare", "parameters"), found.parameters)):
        left, right = int(values[0, node]), int(values[1, node])
        if left or right:
            line = say("compare", "{name}: {left} ({one}), {right} ({other})")
            words = line.format(name=name, left=count(left), one=titles[0], right=count(right), other=titles[1])
            lines.append(" ".join((words, change(left, right))).strip())
    return "\n".join(line for line in lines if line)


def summary(found: Difference, titles: tuple[str, str]) -> str:
    """What differs in all, in a sentence."""
    removed = int(np.count_nonzero(found.structures == REMOVED))
    added = int(np.count_nonzero(found.structures == ADDED))
    if not removed and not added:
        return say("compare", "Both keep the same structures. Their weights may differ.")
    parts: list[str] = []
    if removed:
        meant = counted(removed, say("compare", "{count} structure"), say("compare", "{count} structures"))
        parts.append(say("compare", "{0} only in {1}").format(meant, titles[0]))
    if added:
        parts.append(say("compare", "{0} only in {1}").format(f"{added:,}", titles[1]))
    return ", ".join(parts) + "."
