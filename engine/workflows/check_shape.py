"""Says what a target shape comes to while it is typed, or what is wrong with it and which numbers are near.

Nothing is scored or cut. A budget without numbers becomes a shape: one number, or share, for each kind.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..jobs import CancelToken, Job, NeverCancelled, Progress, check
from ..messages import said
from ..planning.cost_meter import predict_latency
from ..planning.goal import plan_goal, reached
from ..planning.goal_verdict import COST_NAMES
from ..planning.isomorphic_classes import step
from ..planning.protocol import DEFAULT_KINDS, Goal, KindLimit, PlanStart
from ..planning.target_shape import KindSize, shape_of
from ..session.states import PlanIntent
from ..structures.analysis import Kind, Mask
from ..targets.latency_table import LatencyTable
from .plan import plan_masks, start_from
from .shape_answer import ShapeAnswer, ShapePlan, ShapeProblem
from .shape_plan import JOINT, shape_plan

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

ALONE, BESIDE = 64, 8
"""Numbers that are tried in each direction: of a kind alone, and beside the others, where each try is a whole plan."""
HALVINGS = 20
"""Of the share that a budget leaves of each kind."""
FINEST = 0.001
"""Shares are written in tenths of a per cent."""


def check_shape(
    session: "Session",
    state: str,
    intent: PlanIntent,
    scores: NDArray[np.float64] | None = None,
    table: LatencyTable | None = None,
    token: CancelToken | None = None,
) -> Job[ShapeAnswer]:
    """What a target shape comes to from a state, or why no plan has it.

    Args:
        session: With the model.
        state: Where to start.
        intent: Its goal has the shape; or limits alone, which become one; without both nothing goes. Its locks and
            marks hold.
        scores: [S] which of each layer go; None where they are not known yet, so that the plan's numbers alone count.
        table: Of the target, where the latency can be predicted.
        token: Cancels between two plans.

    Raises:
        Cancelled: The token was set.
    """
    yield Progress("Checking the target shape")
    goal = intent.goal or Goal(())
    scores = np.zeros(session.analysis.count) if scores is None else scores
    plans = _Plans(session, start_from(session, state, intent, scores, table), goal, token or NeverCancelled())
    joint = JOINT if session.prepared.spec.uniform else frozenset[Kind]()
    sizes = shape_of(session.analysis, plans.start.removed)
    answer = ShapeAnswer(goal.shape, sizes, joint)
    try:
        if goal.limits and not goal.shape:
            goal = replace(goal, shape=plans.shape_of_budget(goal, sizes), limits=())
            answer = replace(answer, shape=goal.shape)
        removed = plans.plan(goal) if goal.shape else plans.start.removed
    except PlanError as error:
        problems = _problems(plans, goal.shape, sizes)
        rounded = _nearest_multiples(plans, goal.shape, sizes)
        return replace(answer, problems=problems or (ShapeProblem(said(error.message), None, ()),), rounded=rounded)
    planned, rounded = plans.as_plan(goal, removed), _nearest_multiples(plans, goal.shape, sizes)
    return replace(answer, plan=planned, removed=removed, latency=plans.latency(removed), rounded=rounded)


class _Plans:
    """Plans from one start; each raises `Cancelled` once the token is set."""

    def __init__(self, session: "Session", start: PlanStart, asked: Goal, token: CancelToken) -> None:
        """Take what plans are made from, and the goal of which they try other shapes."""
        self._session, self.start, self._asked, self._token = session, start, asked, token

    def plan(self, goal: Goal) -> Mask:
        """[S] the plan for a goal; raises PlanError."""
        check(self._token)
        return plan_masks(self._session, self.start, goal, token=self._token).removed

    def fault(self, shape: tuple[KindLimit, ...]) -> PlanError | None:
        """Why no plan has a shape."""
        try:
            self.plan(self._goal(shape))
        except PlanError as error:
            return error
        return None

    def _goal(self, shape: tuple[KindLimit, ...]) -> Goal:
        return replace(self._asked, limits=(), shape=shape)

    def multiple_of(self, size: KindSize) -> int:
        """The multiple that the numbers of a kind should keep to: 1 where any will do, or layers differ."""
        goal, analysis = self._asked, self.start.analysis
        multiple = max(goal.multiples.get(size.kind, goal.multiple), 1)
        layers = [one for one in analysis.sets if one.kind is size.kind]
        steps = {step(analysis, one, multiple, goal.steps) for one in layers}
        # A configuration may count other things, as query heads where groups share keys.
        counts = {one.count for one in layers}
        return steps.pop() if len(steps) == 1 and counts == {size.sizes[-1]} == set(size.sizes) else 1

    def near_widths(self, shape: tuple[KindLimit, ...]) -> tuple[int, ...] | None:
        """The next smaller and larger width that a configuration accepts; None where any number may be one."""
        prepared, analysis = self._session.prepared, self._session.analysis
        if not prepared.spec.uniform:
            return None
        from ..surgery.repair.keep_uniform import nearest_widths  # brings torch

        check(self._token)
        try:
            removed = plan_goal(self.start, self._goal(shape)).removed
        except PlanError:
            return None
        return nearest_widths(prepared.opened.model, analysis, removed, self._token)

    def as_plan(self, goal: Goal, removed: Mask) -> ShapePlan:
        """What a plan comes to."""
        opened, uniform = self._session.prepared.opened, self._session.prepared.spec.uniform
        return shape_plan(opened.name, opened.model, self.start.analysis, removed, uniform, goal, self.start.removed)

    def latency(self, removed: Mask) -> tuple[int, int] | None:
        """Nanoseconds of the original and of a plan, None where nothing predicts them."""
        table = self.start.latencies
        if table is None:
            return None
        found = predict_latency(self.start.analysis, table, removed)
        return None if found is None else (int(table.original), found)

    def shape_of_budget(self, goal: Goal, sizes: tuple[KindSize, ...]) -> tuple[KindLimit, ...]:
        """The largest shape within a goal's limits; raises PlanError where there is none.

        Where one configuration describes the model it is that of the plan for the limits, which is uniform. Elsewhere
        all kinds keep the same share, as near as their steps allow.
        """
        if self._session.prepared.spec.uniform:
            found = shape_of(self.start.analysis, self.plan(goal))
            return tuple(
                KindLimit(one.kind, count=one.kept[-1])
                for one in found
                if one.step and one.kept and one.kept[-1] < one.sizes[-1]
            )
        grouped = any(one.kind is Kind.KV_GROUP and one.step for one in sizes)
        free = [
            one for one in sizes if one.step and one.kind in DEFAULT_KINDS and not (grouped and one.kind is Kind.HEAD)
        ]
        low, high = 0.0, 1.0
        if not free or not self._within(goal, _at_share(free, FINEST)):
            names = tuple(COST_NAMES[limit.cost] for limit in goal.limits)
            template = "No shape keeps so few {cost}. Enter a larger share."
            raise PlanError("plan.shape_budget", template, cost=names[0])
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            # Costs fall with the share of all kinds together, so bisection finds the largest that fits.
            fits = self._within(goal, _at_share(free, max(middle, FINEST)))
            low, high = (middle, high) if fits else (low, middle)
        return _at_share(free, max(low, FINEST))

    def _within(self, goal: Goal, shape: tuple[KindLimit, ...]) -> bool:
        removed = self.plan(replace(goal, limits=(), shape=shape))
        got = reached(self.start.analysis, replace(goal, shape=()), removed, self.start.latencies)
        return all(one.got <= one.asked for one in got)


def _at_share(free: Iterable[KindSize], share: float) -> tuple[KindLimit, ...]:
    """A share of each kind: as a number where all layers have one, which says more."""
    share = max(int(share / FINEST) * FINEST, FINEST)
    limits = ((one, KindLimit(one.kind, round(share, 3))) for one in free)
    return tuple(
        limit if len(one.sizes) > 1 else KindLimit(one.kind, count=max(one.asked(limit), one.least))
        for one, limit in limits
    )


def _problems(plans: _Plans, shape: tuple[KindLimit, ...], sizes: tuple[KindSize, ...]) -> tuple[ShapeProblem, ...]:
    """Each kind whose number cannot be, whatever the others are; where all can, that they do not go together."""
    known = {one.kind: one for one in sizes}
    faults = [(limit, plans.fault((limit,))) for limit in shape]
    alone = [(limit, error) for limit, error in faults if error is not None and not _of_configuration(error)]
    if alone:
        return tuple(
            ShapeProblem(
                said(error.message), limit.kind, _nearest(known.get(limit.kind), limit, plans, (limit,), ALONE)
            )
            for limit, error in alone
        )
    if not shape or (error := faults[0][1] if len(shape) == 1 else plans.fault(shape)) is None:
        return ()
    # Of numbers that only a configuration refuses together, those of no joint kind are not to blame.
    others = [limit for limit in shape if limit.kind in JOINT or not _of_configuration(error)]
    offers = (offer for limit in others for offer in _nearest(known.get(limit.kind), limit, plans, shape, BESIDE))
    return (ShapeProblem(said(error.message), None, tuple(offers)),)


def _of_configuration(error: PlanError) -> bool:
    """Whether numbers that can be do not go together in a configuration, as a width that heads do not divide."""
    return error.message.code in ("uniform.width", "uniform.shape")


def _nearest_multiples(
    plans: _Plans, shape: tuple[KindLimit, ...], sizes: tuple[KindSize, ...]
) -> tuple[KindLimit, ...]:
    """Of each kind whose number is no multiple that the goal asks for, the next smaller and larger that is."""
    known, found = {one.kind: one for one in sizes}, list[KindLimit]()
    for limit in shape:
        size = known.get(limit.kind)
        multiple = 1 if size is None else plans.multiple_of(size)
        if size is not None and limit.count % multiple and limit.count <= size.sizes[-1]:
            offers = _nearest(size, limit, plans, shape, BESIDE, multiple)
            found += offers or _nearest(size, limit, plans, (limit,), BESIDE, multiple)
    return tuple(found)


def _nearest(
    size: KindSize | None,
    limit: KindLimit,
    plans: _Plans,
    shape: tuple[KindLimit, ...],
    most: int,
    multiple: int = 1,
) -> tuple[KindLimit, ...]:
    """The next smaller and the next larger number of a kind that can be; a share where layers have different ones.

    Args:
        size: Of the kind, None where the model has none of it.
        limit: The number that was asked for.
        plans: Say which numbers can be.
        shape: What is kept beside it, the limit included.
        most: Numbers that are tried in each direction.
        multiple: That numbers are to be of.
    """
    if size is None:
        return ()

    def with_limit(one: KindLimit) -> tuple[KindLimit, ...]:
        return tuple(one if each.kind is one.kind else each for each in shape)

    largest = size.sizes[-1]
    # Layers of different sizes have no number in common: the same asked as a share may be possible.
    if len(size.sizes) > 1:
        share = KindLimit(limit.kind, round(min(limit.count / largest, 1.0), 3)) if limit.count else limit
        return (share,) if share != limit and share.share and plans.fault(with_limit(share)) is None else ()
    left, asked = size.kept[-1] if size.kept else largest, limit.count or size.asked(limit)
    down = range(largest, max(size.least, 1) - 1, -max(size.step, 1))
    possible = [count for count in down if count <= left and count % multiple == 0]
    lower = [count for count in possible if count < asked]
    higher = [count for count in reversed(possible) if count > asked]
    # Each width that is tried builds a configuration, and most have none: the next that has one is asked for once.
    if limit.kind is Kind.WIDTH and (near := plans.near_widths(shape)) is not None:
        smaller, larger = [one for one in near if one < asked], [one for one in near if one > asked]
        lower = [count for count in lower if smaller and count <= smaller[0]]
        higher = [count for count in higher if larger and count >= larger[0]]
    offers = ([KindLimit(limit.kind, count=count) for count in side[:most]] for side in (lower, higher))
    found = (next((one for one in side if plans.fault(with_limit(one)) is None), None) for side in offers)
    return tuple(one for one in found if one is not None)
