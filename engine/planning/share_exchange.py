"""Steps that coupled sets of a plan can exchange: one gets some back, another gives as much, and all limits hold.

Numpy only. What an exchange is worth is for others to say (`scoring/share_search.py`).
"""

from dataclasses import dataclass

import numpy as np

from ..errors import PlanError, TaskError
from ..structures.analysis import Mask
from .cost_meter import Amounts, CostMeter
from .isomorphic_classes import RemovalOption
from .protocol import Goal
from .search import LocalSearch, start_search, thin_counts

PARTS = 16
"""Steps that a set has, where it is allowed more."""
PLANS, FEWEST, TEXTS = 128, 16, 8
"""Plans that are measured at most where a search begins by itself; at least, since fewer hardly move a share; and texts
that each is measured on, at least."""
WORK = 8e12
"""Multiply-accumulates that measuring plans should take, five minutes of a core or so: an epoch of a language model
takes hours, and nothing may be trained at all."""


def plans_to_measure(each: float) -> int:
    """How many plans a search measures that begins by itself, where a sample takes `each` multiply-accumulates."""
    return min(PLANS, max(int(WORK / (TEXTS * max(each, 1.0))), FEWEST))


def require_search(search: int | None, goal: Goal, data: bool, uniform: bool) -> None:
    """Refuse a search of shares that cannot be made.

    Args:
        search: As a plan's intent has it: plans to measure at most, 0 for as many as fit into an epoch; None for no
            search.
        goal: Of the plan.
        data: Whether there is any to measure on.
        uniform: One configuration is to describe all layers.

    Raises:
        TaskError: There is no data.
        PlanError: The goal or the configuration says how much each layer keeps.
    """
    if search is None:
        return
    if not data:
        raise TaskError("search.no_data", "Searching shares needs data. Attach it, or leave the search out.")
    if has_fixed_shares(goal, uniform):
        template = "All layers are to keep what was asked for, so there are no shares to search. Leave the search out."
        raise PlanError("search.fixed", template)


def has_fixed_shares(goal: Goal, uniform: bool) -> bool:
    """Whether the goal or the configuration says how much each layer keeps."""
    return bool(goal.shape) or uniform or not goal.limits


@dataclass(frozen=True, slots=True)
class ShareStep:
    """A set one step further down, or up where it is as far down as it can go; all others as the plan has them.

    Attributes:
        number: Of the set's option.
        removed: [S] the plan after it.
        down: Whether more of it goes.
        saved: What that saves, in the unit of the first cost; what giving back costs, for a step up.
    """

    number: int
    removed: Mask
    down: bool
    saved: float


class ShareExchange:
    """A goal's sets that can give and take.

    Attributes:
        options: What each set can lose; no blocks.
    """

    def __init__(self, meter: CostMeter, options: list[RemovalOption], limits: Amounts) -> None:
        """Take the goal's meter, what its sets can lose, and its limits [K]."""
        self.options = options
        self._meter, self._limits = meter, limits
        self._coarse = [thin_counts(option.allowed, PARTS) for option in options]

    def among(self, movable: Mask) -> "ShareExchange":
        """Between those sets alone of which all structures [S] can move."""
        options = [one for one in self.options if movable[one.one.structures].all()]
        return ShareExchange(self._meter, options, self._limits)

    def steps(self, plan: Mask) -> list[ShareStep]:
        """For each set that can move one step from a plan [S]."""
        walk, found = self._walk(plan), list[ShareStep]()
        for number in range(len(self.options)):
            for down in (True, False):
                count = self._next(walk, number, down)
                if count is None:
                    continue
                structures, saved = walk.effect(number, count)
                removed = plan.copy()
                removed[structures] = down
                found.append(ShareStep(number, removed, down, abs(saved)))
                break
        return found

    def can_get(self, number: int, plan: Mask) -> bool:
        """Whether a plan [S] takes a set's structures, so that it could get some back."""
        return bool(plan[self.options[number].order].any())

    def exchange_step(self, plan: Mask, gets: int, gives: int) -> Mask | None:
        """[S] the plan with a step given back to one set and taken from another; None where the limits forbid that.

        Args:
            plan: [S] that the limits hold for.
            gets: Number of the set that gets a step back.
            gives: Number of the set that gives, as many of its smallest steps as the limits ask for.
        """
        walk = self._walk(plan)
        count = self._next(walk, gets, down=False)
        if count is None:
            return None
        walk.move(gets, count)
        allowed = self.options[gives].allowed
        while not walk.met:
            place = int(np.searchsorted(allowed, int(walk.counts[gives])))
            if not place:
                return None
            walk.move(gives, int(allowed[place - 1]))
        walk.fill_up()
        return walk.removed

    def _walk(self, plan: Mask) -> LocalSearch:
        counts = np.array([one.remaining - int(plan[one.order].sum()) for one in self.options], np.int64)
        return start_search(self._meter, self.options, self._limits, counts, plan)

    def _next(self, walk: LocalSearch, number: int, down: bool) -> int | None:
        allowed, count = self._coarse[number], walk.counts[number]
        further = allowed[allowed < count][-1:] if down else allowed[allowed > count][:1]
        return int(further[0]) if len(further) else None


def in_order(options: list[RemovalOption], plan: Mask) -> list[RemovalOption]:
    """Those of which a plan [S] removes the weakest, as many as are allowed: these can move on from there."""
    found = list[RemovalOption]()
    for one in options:
        gone = plan[one.order]
        count = int(gone.sum())
        if gone[:count].all() and one.remaining - count in one.allowed:
            found.append(one)
    return found
