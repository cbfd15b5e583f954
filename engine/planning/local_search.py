"""Refines a plan by single steps with exact marginal costs.

A step takes the weakest structures of one set down to its next allowed count, or gives the last ones back. What it
saves depends on every other set, so it is computed anew after each step, for all sets at once.
"""

from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import kept_sizes
from ..structures.memory import memory, peaks
from .cost_meter import Amounts, CostMeter
from .isomorphic_classes import RemovalOption

CLOSE, EXCHANGES, TRIES = 0.01, 4, 6
"""Of a limit, what a plan may be under it; how often, and giving back which steps, it is tried to come closer."""
Counts = NDArray[np.int64]
"""[C] how many structures each candidate keeps."""


@dataclass(frozen=True, slots=True)
class Move:
    """A step of one candidate.

    Attributes:
        option: Its number.
        count: How many structures it keeps afterwards.
        structures: What goes or comes back.
        value: Sum of the class-relative scores of these.
        axes: [A + 1] how many positions each axis loses (negative: gets back).
        terms: [N] how many more removed blocks hold each term of the costs.
    """

    option: int
    count: int
    structures: NDArray[np.int64]
    value: float
    axes: NDArray[np.int64]
    terms: NDArray[np.int64]


@dataclass(slots=True)
class LocalSearch:
    """A plan that changes in single steps. C candidates, P positions, A axes, N terms of K costs.

    Attributes:
        meter: Measures the costs.
        options: The candidates.
        limits: [K] amounts to stay at or under.
        counts: [C] what each candidate keeps now.
        removed: [S] the plan as it stands.
        holders: [P] how many removed structures hold each position; it is gone when any does.
        kept: [A + 1] positions each axis keeps, one more entry (1) for index -1.
        dead: [N] how many removed blocks hold each term.
        costs: [K] of the plan as it stands.
        beside: [C] for each candidate those that a step of it changes: itself, and whose structures share positions
            with its own (heads with their dimensions or with the groups that serve them).
    """

    meter: CostMeter
    options: list[RemovalOption]
    limits: Amounts
    counts: Counts
    removed: Mask
    holders: NDArray[np.int64]
    kept: NDArray[np.int64]
    dead: NDArray[np.int64]
    costs: Amounts
    beside: list[frozenset[int]]
    _moves: dict[tuple[int, int], Move] = field(default_factory=dict[tuple[int, int], Move])

    @property
    def met(self) -> bool:
        """Whether every limit holds."""
        return bool((self.costs <= self.limits).all())

    def down_to(self, below: Counts) -> None:
        """Take least score for most cost first, no set under its count in `below`, until the limits hold."""
        while not self.met:
            self.take_cheapest(below)

    def take_cheapest(self, below: Counts) -> int:
        """One step down: least score for most of the costs that are over their limit; returns whose it was."""
        moves = [self._move(int(c), -1) for c in np.flatnonzero(self.counts > below)]
        after = self._after(moves)
        best = int(np.argmin(np.array([move.value for move in moves]) / self._saved(after)))
        self._take(moves[best], after[best])
        return moves[best].option

    def up(self) -> None:
        """Give back most score for least cost first, as long as anything fits under the limits."""
        highest = np.array([option.remaining for option in self.options])
        while len(movable := np.flatnonzero(self.counts < highest)):
            moves = [self._move(int(c), 1) for c in movable]
            after = self._after(moves)
            fits = np.all(after <= self.limits, axis=1)
            worth = np.array([move.value for move in moves]) / np.maximum(self._weighed(after - self.costs), 1)
            best = int(np.argmax(np.where(fits, worth, -np.inf)))
            if not fits[best]:
                return
            move = moves[best]
            if (after[best] == self.costs).all():
                move = self._to(move.option, self._free(move))
            self._take(move, after[best])

    def close_in(self) -> "LocalSearch":
        """The walk with steps exchanged for smaller ones elsewhere, as long as limits are further off than `CLOSE`."""
        widths = [number for number, option in enumerate(self.options) if option.one.kind is not Kind.BLOCK]
        walk = self
        for _ in range(EXCHANGES if self.meter.peak < 0 else 0):
            other = walk._exchanged(widths) if walk._gaps(walk.costs) > CLOSE else None
            if other is None:
                break
            walk = other
        return walk

    def _exchanged(self, widths: list[int]) -> "LocalSearch | None":
        """With one or two steps given back, the largest first, and others taken; None where that comes no closer."""
        ups = [self._move(n, 1) for n in widths if self.counts[n] < self.options[n].remaining]
        if not ups:
            return None
        largest: list[int] = np.argsort(self._weighed(self.costs - self._after(ups)), kind="stable")[:TRIES].tolist()
        options = [ups[number].option for number in largest]
        for given in (*((one,) for one in options), *combinations_with_replacement(options, 2)):
            other = replace(self, counts=self.counts.copy(), removed=self.removed.copy(), holders=self.holders.copy())
            if other._instead_of(given, widths) and other._gaps(other.costs) < self._gaps(self.costs):
                return other
        return None

    def _instead_of(self, given: tuple[int, ...], widths: list[int]) -> bool:
        """With a step of these given back, and others taken until the limits hold; whether they do."""
        for option in given:
            if self.counts[option] == self.options[option].remaining:
                return False
            move = self._move(option, 1)
            self._take(move, self._after([move])[0])
        downs = [n for n in widths if not any(n in self.beside[option] for option in given)]
        while not self.met and self._step_to(downs):
            pass
        if self.met:
            self.up()
        return self.met

    def _step_to(self, widths: list[int]) -> bool:
        """One step down of these that ends as close under the limits as one can, or else as `take_cheapest` does."""
        moves = [self._move(n, -1) for n in widths if self.counts[n] > self.options[n].allowed[0]]
        if not moves:
            return False
        after = self._after(moves)
        gaps, saved = self._gaps(after), self._saved(after)
        rank = np.array([move.value for move in moves]) / saved
        best = int(np.argmin(np.where(gaps >= 0, gaps, np.inf))) if (gaps >= 0).any() else int(np.argmin(rank))
        self._take(moves[best], after[best])
        return True

    def _saved(self, after: NDArray[np.int64]) -> NDArray[np.float64]:
        """[M] what moves take off the costs that are over their limit; what goes beyond that is no gain."""
        wanted = np.maximum(self.costs - self.limits, 0)
        return np.maximum(self._weighed(np.clip(self.costs - after, 0, wanted)), 1)

    def _gaps(self, costs: Amounts) -> NDArray[np.float64]:
        """[*] how far costs [*, K] are from the nearest limit, as a share of it; negative over one."""
        return ((self.limits - costs) / np.maximum(self.limits, 1)).min(axis=-1)

    def effect(self, number: int, count: int) -> tuple[NDArray[np.int64], float]:
        """What a candidate loses or gets back when it keeps so many: the structures, and what is saved by it.

        Costs in the unit of the first one, each measured by its limit; negative where they grow.
        """
        move = self._to(number, count)
        return move.structures, float(self._weighed(self.costs - self._after([move]))[0])

    def move(self, number: int, count: int) -> None:
        """Have a candidate keep so many."""
        move = self._to(number, count)
        self._take(move, self._after([move])[0])

    def savings(self) -> NDArray[np.int64]:
        """[C, K] what one step down of each candidate saves."""
        return self.costs - self._after([self._move(number, -1) for number in range(len(self.options))])

    def _free(self, move: Move) -> int:
        """The highest count that costs no more than this first step up: most of a model never adds to the peak."""
        allowed = self.options[move.option].allowed
        low, stride = int(np.searchsorted(allowed, move.count)), 1
        while stride:
            place = min(low + stride, len(allowed) - 1)
            further = self._to(move.option, int(allowed[place]))
            free = place > low and bool((self._after([further])[0] == self.costs).all())
            low, stride = (place, 2 * stride) if free else (low, stride // 2)
        return int(allowed[low])

    def _weighed(self, amounts: NDArray[np.int64]) -> NDArray[np.float64]:
        """[M] amounts [M, K] in the unit of the first cost, each cost measured by its limit."""
        limits = np.maximum(self.limits, 1)
        return amounts @ (limits[0] / limits)

    def _take(self, move: Move, costs: Amounts) -> None:
        goes = move.count < self.counts[move.option]
        np.add.at(self.holders, self._positions(move.structures), 1 if goes else -1)
        self.removed[move.structures] = goes
        self.kept, self.dead, self.costs = self.kept - move.axes, self.dead + move.terms, costs
        self.counts[move.option] = move.count
        changed = self.beside[move.option]
        self._moves = {key: m for key, m in self._moves.items() if key[0] not in changed}

    def _move(self, number: int, direction: int) -> Move:
        """The next step down (-1) or up (1); it only changes with its own set, or with one beside it."""
        if (number, direction) not in self._moves:
            allowed = self.options[number].allowed
            place = int(np.searchsorted(allowed, int(self.counts[number]))) + direction
            self._moves[number, direction] = self._to(number, int(allowed[place]))
        return self._moves[number, direction]

    def _to(self, number: int, to: int) -> Move:
        """The move of one candidate to a count."""
        option, count = self.options[number], int(self.counts[number])
        between = slice(option.remaining - max(count, to), option.remaining - min(count, to))
        structures, value = option.order[between], float(option.value[between].sum())
        return Move(number, to, structures, value, *self._effect(structures, -1 if to < count else 1))

    def _effect(self, structures: NDArray[np.int64], direction: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        positions, times = np.unique(self._positions(structures), return_counts=True)
        changes = self.holders[positions] == (0 if direction < 0 else times)
        axes = np.searchsorted(self.meter.analysis.axis_start, positions[changes], side="right") - 1
        held = self.meter.blocks[np.isin(self.meter.blocks[:, 0], structures), 1]
        lost = np.bincount(axes, minlength=len(self.kept)), np.bincount(held, minlength=len(self.dead))
        return -direction * lost[0].astype(np.int64), -direction * lost[1].astype(np.int64)

    def _after(self, moves: list[Move]) -> NDArray[np.int64]:
        """[M, K] costs of the whole model after each of the moves alone."""
        kept = self.kept - np.stack([move.axes for move in moves])
        after = self.meter.sums(kept, self.dead + np.stack([move.terms for move in moves]) == 0)
        if self.meter.peak >= 0:
            after[:, self.meter.peak] = self._peaks(moves, kept)
        return after

    def _peaks(self, moves: list[Move], kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """[M] peaks after each of the moves; all at once but for those of blocks, which change what runs."""
        found = peaks(self.meter.analysis, self.removed, kept)
        for number, move in enumerate(moves):
            if self.options[move.option].one.kind is Kind.BLOCK:
                after = self.removed.copy()
                after[move.structures] ^= True
                found[number] = memory(self.meter.analysis, after).peak
        return found

    def _positions(self, structures: NDArray[np.int64]) -> NDArray[np.int64]:
        return _positions(self.meter.analysis, structures)


def start_search(
    meter: CostMeter, options: list[RemovalOption], limits: Amounts, counts: Counts, removed: Mask
) -> LocalSearch:
    """A walk from a plan: `removed` is what it removes, `counts` what each candidate keeps."""
    analysis = meter.analysis
    held = analysis.member_position[np.repeat(removed, np.diff(analysis.member_start))]
    holders = np.bincount(held, minlength=int(analysis.axis_start[-1])).astype(np.int64)
    gone = meter.blocks[removed[meter.blocks[:, 0]], 1]
    dead = np.bincount(gone, minlength=len(meter.constant)).astype(np.int64)
    kept, costs = kept_sizes(analysis, removed), meter.measure(removed)
    beside = _beside(analysis, options)
    return LocalSearch(meter, options, limits, counts.copy(), removed.copy(), holders, kept, dead, costs, beside)


def _positions(analysis: Analysis, structures: NDArray[np.int64]) -> NDArray[np.int64]:
    """[M] positions of some structures, one behind the other."""
    first, count = analysis.member_start[structures], np.diff(analysis.member_start)[structures]
    place = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return analysis.member_position[np.repeat(first, count) + place]


def _beside(analysis: Analysis, options: list[RemovalOption]) -> list[frozenset[int]]:
    """[C] candidates that share positions, directly or through others, each with itself."""
    together = [{number} for number in range(len(options))]
    owner = np.full(int(analysis.axis_start[-1]), -1)
    for number, option in enumerate(options):
        positions = _positions(analysis, option.order)
        for other in np.unique(owner[positions]).tolist():
            if other >= 0 and together[other] is not together[number]:
                together[other] |= together[number]
                for one in together[number]:
                    together[one] = together[other]
        owner[positions] = number
    return [frozenset(group) for group in together]
