"""Searches the plan for one goal: bisection over one ratio for all classes, then single steps. Numpy only.

One global ratio says how much of its weakest each isomorphic class loses; kept counts are rounded to what the target
likes; the ratio is found by bisection on exact costs. Rounding leaves a gap between the last ratio that costs too much
and the first that does not; single steps between these two, the least score for the most cost first, close it. What
a step saves depends on every other set, so it is computed anew after each step, for all sets at once.

Scores that say what the outputs lose need no ratio (`Ranking.COST`): from the first step on, the least score for the
most cost goes first, which is the Lagrangian solution of the knapsack over the sets' error curves.
"""

from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import kept_sizes
from ..structures.memory import memory, peaks
from .cost_meter import Amounts, CostMeter
from .isomorphic_classes import RemovalOption, removal_options, with_block_contents
from .protocol import Goal, PlanStart

CLOSE, EXCHANGES, TRIES = 0.01, 4, 6
"""Of a limit, what a plan may be under it; how often, and giving back which steps, we try to come closer."""
Counts = NDArray[np.int64]
"""[C] how many structures each candidate keeps."""
COARSE = 48
"""Steps of a set at first, where it has more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A goal, ready to be searched.

    Attributes:
        meter: Measures what is limited.
        removed: [S] what is gone already.
        options: Sets that can lose something.
        limits: [K] amounts to stay at or under.
    """

    meter: CostMeter
    removed: Mask
    options: list[RemovalOption]
    limits: Amounts

    def mask(self, counts: Counts) -> Mask:
        """[S] removed and marked, weakest first, when these counts are kept."""
        mask = self.removed.copy()
        for option, count in zip(self.options, counts, strict=True):
            mask[option.order[: option.remaining - count]] = True
        return mask

    def holds(self, counts: Counts) -> bool:
        """Whether the exact costs are at or under all limits when these counts are kept."""
        return bool((self.meter.measure(self.mask(counts)) <= self.limits).all())

    def counts(self, ratio: float) -> Counts:
        """What is kept when each class loses this share of its weakest, rounded."""
        return np.array([option.nearest(ratio) for option in self.options], np.int64)

    @property
    def lowest_costs(self) -> Amounts:
        """[K] the costs when all goes that may go."""
        return self.meter.measure(self.mask(self.counts(np.inf)))

    def bracket(self) -> tuple[Counts, Counts]:
        """The counts just above the goal and the counts just under it, for a goal that the highest ratio reaches."""
        # Counts change only where the ratio passes a rank: to try others finds nothing in between.
        ranks = [option.rank[np.isfinite(option.rank)] for option in self.options]
        # Zero keeps all and infinity takes all that may go, so that both ends of the bisection are known without a
        # look.
        ratios = np.append(np.unique(np.concatenate([np.zeros(0), *ranks])), np.inf)
        low, high = 0, len(ratios) - 1
        above, below = self.counts(ratios[low]), self.counts(ratios[high])
        while high - low > 1:
            middle = (low + high) // 2
            counts = self.counts(ratios[middle])
            if self.holds(counts):
                high, below = middle, counts
            else:
                low, above = middle, counts
        return above, below

    def cheapest_first(self) -> tuple[Counts, Counts]:
        """The same where the least score for the most cost goes first."""
        # No ratio brackets such a plan, so it is walked to from the whole model.
        # In large steps: each costs a look at all sets, and `plan_between` takes the small ones.
        options = [replace(option, allowed=thin_counts(option.allowed, COARSE + 1)) for option in self.options]
        lowest = np.array([option.allowed[0] for option in options], np.int64)
        above = np.array([option.remaining for option in options], np.int64)
        search = start_search(self.meter, options, self.limits, above, self.removed)
        while not search.met:
            above = search.counts.copy()
            search.take_cheapest(lowest)
        return above, np.array([option.allowed[0] for option in self.options], np.int64)


def widths_problem(meter: CostMeter, start: PlanStart, goal: Goal, limits: Amounts) -> Problem:
    """How wide each layer is to be, where no block is to go."""
    options = removal_options(start.without(with_block_contents(start.analysis, start.removed)), goal)
    return Problem(meter, start.removed, options, limits)


def thin_counts(allowed: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Of the counts that a set may keep the lowest, the highest, and others between them: so many steps at most."""
    if len(allowed) <= steps + 1:
        return allowed
    return allowed[np.unique(np.linspace(0, len(allowed) - 1, steps + 1).round().astype(np.int64))]


def plan_between(problem: Problem, above: Counts, below: Counts) -> Mask:
    """[S] the plan between two counts that is as close to the limits as whole steps allow."""
    search = start_search(problem.meter, problem.options, problem.limits, above, problem.mask(above))
    while not search.met:
        search.take_cheapest(below)
    search.fill_up()
    # What was taken last may have saved more than was asked for: smaller steps elsewhere come closer to the limit.
    return search.close_in().removed


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
        removed: [S] the present plan.
        holders: [P] how many removed structures hold each position; it is gone when any does.
        kept: [A + 1] positions each axis keeps, one more entry (1) for index -1.
        dead: [N] how many removed blocks hold each term.
        costs: [K] of the present plan.
        neighbours: [C] for each candidate those that a step of it changes: itself, and whose structures share positions
            with its own, directly or through others (heads with their dimensions or with the groups that serve them).
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
    neighbours: list[frozenset[int]]
    _moves: dict[tuple[int, int], Move] = field(default_factory=dict[tuple[int, int], Move])

    @property
    def met(self) -> bool:
        """Whether every limit holds."""
        return bool((self.costs <= self.limits).all())

    def take_cheapest(self, below: Counts) -> int:
        """One step down, no set under its count in `below`; returns whose it was.

        The least score for the most of the costs that are over their limit goes first.
        """
        moves = [self._move(int(c), -1) for c in np.flatnonzero(self.counts > below)]
        after = self._after(moves)
        best = int(np.argmin(np.array([move.value for move in moves]) / self._saved(after)))
        self._take(moves[best], after[best])
        return moves[best].option

    def fill_up(self) -> None:
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
                move = self._to(move.option, self._highest_free(move))
            self._take(move, after[best])

    def close_in(self) -> "LocalSearch":
        """The search with steps exchanged for smaller ones elsewhere, while limits are further off than `CLOSE`."""
        # A peak is no sum of steps: what one of them gives back says nothing of what another one saves.
        widths = [number for number, option in enumerate(self.options) if option.one.kind is not Kind.BLOCK]
        search = self
        for _ in range(EXCHANGES if self.meter.peak < 0 else 0):
            nearer = search._exchange_step(widths) if search._gaps(search.costs) > CLOSE else None
            if nearer is None:
                break
            search = nearer
        return search

    def _exchange_step(self, widths: list[int]) -> "LocalSearch | None":
        """With one or two steps given back, the largest first, and others taken; None where that comes no closer."""
        ups = [self._move(n, 1) for n in widths if self.counts[n] < self.options[n].remaining]
        if not ups:
            return None
        # The largest step leaves the widest gap to fill with others; a few are enough, as each try is a search of its
        # own.
        largest: list[int] = np.argsort(self._weighed(self.costs - self._after(ups)), kind="stable")[:TRIES].tolist()
        options = [ups[number].option for number in largest]
        # One step first, then pairs of them, also the same one twice: two together may fit where neither does.
        for given in (*((one,) for one in options), *combinations_with_replacement(options, 2)):
            other = replace(self, counts=self.counts.copy(), removed=self.removed.copy(), holders=self.holders.copy())
            if other._swap(given, widths) and other._gaps(other.costs) < self._gaps(self.costs):
                return other
        return None

    def _swap(self, given: tuple[int, ...], widths: list[int]) -> bool:
        """Give a step of these back and take others until the limits hold; whether they do."""
        for option in given:
            if self.counts[option] == self.options[option].remaining:
                return False
            self.move(option, self._move(option, 1).count)
        # What shares positions with a step that was given back would only take the same again.
        others = [n for n in widths if not any(n in self.neighbours[option] for option in given)]
        while not self.met:
            moves = [self._move(n, -1) for n in others if self.counts[n] > self.options[n].allowed[0]]
            if not moves:
                return False
            # The step that ends as close under the limits as one can; where none ends there, as `take_cheapest` does.
            after = self._after(moves)
            gaps, price = self._gaps(after), np.array([move.value for move in moves]) / self._saved(after)
            ends = gaps >= 0
            best = int(np.argmin(np.where(ends, gaps, np.inf) if ends.any() else price))
            self._take(moves[best], after[best])
        self.fill_up()
        return True

    def _saved(self, after: NDArray[np.int64]) -> NDArray[np.float64]:
        """[M] what moves take off the costs that are over their limit; what goes beyond that is no gain."""
        # A step that overshoots one limit is no better than one that meets it, so savings are capped at what is
        # missing.
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

    def _highest_free(self, move: Move) -> int:
        """The highest count that costs no more than this first step up: most of a model never adds to the peak."""
        allowed = self.options[move.option].allowed
        # Doubled strides, then halved ones: a set may have thousands of counts, and each look measures the whole model.
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
        np.add.at(self.holders, _positions(self.meter.analysis, move.structures), 1 if goes else -1)
        self.removed[move.structures] = goes
        self.kept, self.dead, self.costs = self.kept - move.axes, self.dead + move.terms, costs
        self.counts[move.option] = move.count
        # What other sets would save is kept from step to step; only moves on the same positions are computed anew.
        changed = self.neighbours[move.option]
        self._moves = {key: m for key, m in self._moves.items() if key[0] not in changed}

    def _move(self, number: int, direction: int) -> Move:
        """The next step down (-1) or up (1); it only changes with its own set, or with a neighbour."""
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
        sign = 1 if to < count else -1
        # A position goes with the first structure that holds it, and comes back with the last one alone.
        positions, times = np.unique(_positions(self.meter.analysis, structures), return_counts=True)
        changes = self.holders[positions] == (0 if sign > 0 else times)
        axes = np.searchsorted(self.meter.analysis.axis_start, positions[changes], side="right") - 1
        terms = self.meter.blocks[np.isin(self.meter.blocks[:, 0], structures), 1]
        lost = sign * np.bincount(axes, minlength=len(self.kept)).astype(np.int64)
        gone = sign * np.bincount(terms, minlength=len(self.dead)).astype(np.int64)
        return Move(number, to, structures, value, lost, gone)

    def _after(self, moves: list[Move]) -> NDArray[np.int64]:
        """[M, K] costs of the whole model after each of the moves alone."""
        kept = self.kept - np.stack([move.axes for move in moves])
        after = self.meter.sums(kept, self.dead + np.stack([move.terms for move in moves]) == 0)
        if self.meter.peak < 0:
            return after
        # Peaks of all moves are found at once, but for those of blocks: they change what runs.
        after[:, self.meter.peak] = peaks(self.meter.analysis, self.removed, kept)
        for number, move in enumerate(moves):
            if self.options[move.option].one.kind is Kind.BLOCK:
                removed = self.removed.copy()
                removed[move.structures] ^= True
                after[number, self.meter.peak] = memory(self.meter.analysis, removed).peak
        return after


def start_search(
    meter: CostMeter, options: list[RemovalOption], limits: Amounts, counts: Counts, removed: Mask
) -> LocalSearch:
    """A search from a plan: `removed` is what it removes, `counts` what each candidate keeps."""
    analysis = meter.analysis
    held = analysis.member_position[np.repeat(removed, np.diff(analysis.member_start))]
    gone = meter.blocks[removed[meter.blocks[:, 0]], 1]
    # Sets are joined as soon as they share one position, so that groups share one set object and are found in one pass.
    neighbours = [{number} for number in range(len(options))]
    owner = np.full(int(analysis.axis_start[-1]), -1)
    for number, option in enumerate(options):
        positions = _positions(analysis, option.order)
        for other in np.unique(owner[positions]).tolist():
            if other >= 0 and neighbours[other] is not neighbours[number]:
                neighbours[other] |= neighbours[number]
                for one in neighbours[number]:
                    neighbours[one] = neighbours[other]
        owner[positions] = number
    return LocalSearch(
        meter,
        options,
        limits,
        counts.copy(),
        removed.copy(),
        holders=np.bincount(held, minlength=int(analysis.axis_start[-1])).astype(np.int64),
        kept=kept_sizes(analysis, removed),
        dead=np.bincount(gone, minlength=len(meter.constant)).astype(np.int64),
        costs=meter.measure(removed),
        neighbours=[frozenset(group) for group in neighbours],
    )


def _positions(analysis: Analysis, structures: NDArray[np.int64]) -> NDArray[np.int64]:
    """[M] positions of some structures, one behind the other."""
    first, count = analysis.member_start[structures], np.diff(analysis.member_start)[structures]
    place = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return analysis.member_position[np.repeat(first, count) + place]
