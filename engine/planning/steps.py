"""Single steps between two plans: the finest way to a goal that whole steps allow, with exact marginal costs.

A step takes the weakest structures of one set down to its next allowed count, or gives the last ones back. What it
saves depends on every other set, so it is computed anew after each step, for all sets at once.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Mask
from ..structures.costs import kept_sizes
from .classes import Candidate

Counts = NDArray[np.int64]
"""[C] how many structures each candidate keeps."""


@dataclass(frozen=True, slots=True)
class Move:
    """A step of one candidate.

    Attributes:
        option: Its number.
        count: How many structures it keeps afterwards.
        value: Sum of the class-relative scores of what goes or comes back.
        axes: [A + 1] how many positions each axis loses (negative: gets back).
        operators: [O] how many more removed blocks hold each operator.
    """

    option: int
    count: int
    value: float
    axes: NDArray[np.int64]
    operators: NDArray[np.int64]


@dataclass(slots=True)
class Walk:
    """A plan that changes in single steps. C candidates, P positions, A axes, O operators.

    Attributes:
        analysis: What can be removed.
        options: The candidates.
        counts: [C] what each keeps now.
        holders: [P] how many removed structures hold each position; it is gone when any does.
        kept: [A + 1] positions each axis keeps, one more entry (1) for index -1.
        dead: [O] how many removed blocks hold each operator.
        macs: Of the plan as it stands.
    """

    analysis: Analysis
    options: list[Candidate]
    counts: Counts
    holders: NDArray[np.int64]
    kept: NDArray[np.int64]
    dead: NDArray[np.int64]
    macs: int = 0
    _moves: dict[tuple[int, int], Move] = field(default_factory=dict[tuple[int, int], Move])

    def down_to(self, below: Counts, limit: int) -> None:
        """Take least score for most MACs first, no set under its count in `below`, until the limit holds."""
        while self.macs > limit:
            moves = [self._move(int(c), -1) for c in np.flatnonzero(self.counts > below)]
            after = self._macs_after(moves)
            saved = np.maximum(self.macs - after, 1)
            best = int(np.argmin(np.array([move.value for move in moves]) / saved))
            self._take(moves[best], int(after[best]))

    def up_to(self, limit: int) -> None:
        """Give back most score for least MACs first, as long as anything fits under the limit."""
        highest = np.array([option.remaining for option in self.options])
        while len(movable := np.flatnonzero(self.counts < highest)):
            moves = [self._move(int(c), 1) for c in movable]
            after = self._macs_after(moves)
            worth = np.array([move.value for move in moves]) / np.maximum(after - self.macs, 1)
            best = int(np.argmax(np.where(after <= limit, worth, -np.inf)))
            if after[best] > limit:
                return
            self._take(moves[best], int(after[best]))

    def _take(self, move: Move, macs: int) -> None:
        option = self.options[move.option]
        positions = self._positions(self._between(option, int(self.counts[move.option]), move.count))
        np.add.at(self.holders, positions, 1 if move.count < self.counts[move.option] else -1)
        self.kept, self.dead, self.macs = self.kept - move.axes, self.dead + move.operators, macs
        self.counts[move.option] = move.count
        self._moves = {key: m for key, m in self._moves.items() if key[0] != move.option and not self._overlapping}

    @property
    def _overlapping(self) -> bool:
        """Heads and head dimensions in one plan: a step of the one changes what a step of the other takes."""
        return len({option.one.kind for option in self.options} & {"head", "head dimension"}) > 1

    def _move(self, number: int, direction: int) -> Move:
        """The next step down (-1) or up (1); it only changes with its own set, or with one that overlaps it."""
        if (number, direction) not in self._moves:
            option, count = self.options[number], int(self.counts[number])
            to = int(option.allowed[int(np.searchsorted(option.allowed, count)) + direction])
            structures = self._between(option, count, to)
            value = float(option.value[option.remaining - max(count, to) : option.remaining - min(count, to)].sum())
            axes, operators = self._effect(structures, direction)
            self._moves[number, direction] = Move(number, to, value, axes, operators)
        return self._moves[number, direction]

    def _effect(self, structures: NDArray[np.int64], direction: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        positions, times = np.unique(self._positions(structures), return_counts=True)
        changes = self.holders[positions] == (0 if direction < 0 else times)
        axes = np.searchsorted(self.analysis.axis_start, positions[changes], side="right") - 1
        held = self.analysis.block_operator[np.isin(self.analysis.block_operator[:, 0], structures), 1]
        lost = np.bincount(axes, minlength=len(self.kept)), np.bincount(held, minlength=len(self.dead))
        return -direction * lost[0].astype(np.int64), -direction * lost[1].astype(np.int64)

    def _macs_after(self, moves: list[Move]) -> NDArray[np.int64]:
        """[moves] MACs of the whole model after each of the moves alone."""
        operators = self.analysis.operators
        kept = self.kept - np.stack([move.axes for move in moves])
        alive = self.dead + np.stack([move.operators for move in moves]) == 0
        return ((kept[:, operators.axes].prod(axis=2) * alive) @ operators.constant).astype(np.int64)

    def _between(self, option: Candidate, first: int, second: int) -> NDArray[np.int64]:
        """The structures that lie between keeping `first` and keeping `second`."""
        low, high = sorted((option.remaining - first, option.remaining - second))
        return option.order[low:high]

    def _positions(self, structures: NDArray[np.int64]) -> NDArray[np.int64]:
        start, members = self.analysis.member_start, self.analysis.member_position
        return np.concatenate([np.zeros(0, np.int64), *(members[start[s] : start[s + 1]] for s in structures)])


def start_walk(analysis: Analysis, options: list[Candidate], counts: Counts, mask: Mask, macs: int) -> Walk:
    """A walk from a plan: `mask` is what it removes, `counts` what each candidate keeps, `macs` what it costs."""
    held = analysis.member_position[np.repeat(mask, np.diff(analysis.member_start))]
    holders = np.bincount(held, minlength=int(analysis.axis_start[-1])).astype(np.int64)
    gone = analysis.block_operator[mask[analysis.block_operator[:, 0]], 1]
    dead = np.bincount(gone, minlength=len(analysis.operators.constant)).astype(np.int64)
    return Walk(analysis, options, counts.copy(), holders, kept_sizes(analysis, mask), dead, macs)
