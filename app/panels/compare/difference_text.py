"""The words of a difference: what the right model has less, more or other than the left one."""

import numpy as np
from PySide6.QtCore import QCoreApplication

from secateur.engine.structures.analysis import Kind

from ...text.format import MINUS, change, count
from ...text.structures import many_of, one_of
from ...text.translate import counted
from .difference import ADDED, COSTS, NARROWER, OTHERS, REMOVED, SAME, WIDER, Difference

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
            told = say("compare", "{name}: {left} ({one}), {right} ({other})")
            words = told.format(name=name, left=count(left), one=titles[0], right=count(right), other=titles[1])
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
