"""What was typed into the filter box, and which rows it means: a whole model is searched in numpy, no row by row.

Words match names, classes and kinds, with * and ? as globs ("layer3.*.conv1"); "marked", "locked", "removed", "fixed"
and "prunable" match states; "score < 0.1" and "score 0.1..0.3" compare.
"""

import re
from dataclasses import dataclass
from fnmatch import translate

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Kind, Mask

from .rows import Rows

_NUMBER = r"(\d*[.,]?\d+(?:e-?\d+)?)"
_COMPARISON = re.compile(rf"score\s*(<=|>=|<|>)\s*{_NUMBER}", re.IGNORECASE)
_RANGE = re.compile(rf"score\s*{_NUMBER}\s*(?:\.\.|-|to)\s*{_NUMBER}", re.IGNORECASE)
_STATES = ("marked", "locked", "removed", "fixed", "prunable")
_KINDS = {
    "filter": Kind.FILTER,
    "neuron": Kind.NEURON,
    "head": Kind.HEAD,
    "key/value": Kind.KV_GROUP,
    "expert": Kind.EXPERT,
    "dimension": Kind.HEAD_DIM,
    "width": Kind.WIDTH,
    "group": Kind.GROUP,
    "unit": Kind.UNIT,
    "channel": Kind.CHANNEL,
    "block": Kind.BLOCK,
}


@dataclass(frozen=True, slots=True)
class Query:
    """A filter.

    Attributes:
        words: Each must occur in the name or be the kind.
        states: Each must hold.
        scores: (comparison, value), each must hold.
    """

    words: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()

    @property
    def empty(self) -> bool:
        """Matches everything."""
        return not (self.words or self.states or self.scores)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a query looks at: [S] scores (or None) and masks."""

    scores: NDArray[np.float64] | None
    removed: Mask
    marked: Mask
    locked: Mask


def parse(text: str) -> Query:
    """Read what was typed."""
    scores = [(sign, _number(value)) for sign, value in _COMPARISON.findall(text)]
    rest = _COMPARISON.sub(" ", text)
    for low, high in _RANGE.findall(rest):
        scores += [(">=", _number(low)), ("<=", _number(high))]
    words = _RANGE.sub(" ", rest).lower().split()
    return Query(tuple(w for w in words if w not in _STATES), tuple(w for w in words if w in _STATES), tuple(scores))


def _number(digits: str) -> float:
    return float(digits.replace(",", "."))


def matches(
    query: Query, analysis: Analysis, rows: Rows, facts: Facts
) -> tuple[Mask, NDArray[np.bool_], NDArray[np.bool_]]:
    """([S] structures that match, [N] rows that match or hold one, [N] rows that are shown: these and all above)."""
    structures = np.ones(analysis.count, np.bool_)
    nodes = np.ones(rows.count, np.bool_)
    for word in query.words:
        # A word occurs in a name or a class; a glob fits a whole name.
        named = np.char.find(rows.path, word) >= 0
        if set(word) & set("*?["):
            fits = re.compile(translate(word)).match
            named = np.array([fits(path.lower()) is not None for path in rows.modules], np.bool_)
        nodes &= named
        # Else it is the kind of a structure, or its number.
        kind = _KINDS.get(word[:-1] if word.endswith("s") else word)
        meant = np.array([one.kind is kind for one in analysis.sets], np.bool_)[rows.set_of]
        if word.isdigit():
            meant = analysis.index == int(word)
        structures &= named[rows.set_node][rows.set_of] | meant
    for state in query.states:
        structures &= state_mask(state, facts)
        nodes &= rows.fixed >= 0 if state == "fixed" else False
    for sign, value in query.scores:
        # Structures without a score (NaN) match no comparison.
        compare = {"<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal}[sign]
        with np.errstate(invalid="ignore"):
            structures &= False if facts.scores is None else compare(facts.scores, value)
        nodes[:] = False
    nodes[rows.set_node[rows.set_of[structures]]] = True
    return structures, nodes, with_ancestors(nodes, rows)


def state_mask(state: str, facts: Facts) -> Mask:
    """[S] where a state holds."""
    return {
        "marked": facts.marked,
        "locked": facts.locked,
        "removed": facts.removed,
        "fixed": np.zeros_like(facts.removed),
        "prunable": ~(facts.removed | facts.locked),
    }[state]


def with_ancestors(nodes: NDArray[np.bool_], rows: Rows) -> NDArray[np.bool_]:
    """[N] these rows and all above them."""
    shown = nodes.copy()
    found = np.flatnonzero(shown)
    while len(found):
        above = np.unique(rows.parent[found])
        found = above[(above >= 0)]
        found = found[~shown[found]]
        shown[found] = True
    return shown
