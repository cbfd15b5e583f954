"""What a target shape comes to before anything is cut: the plan with its costs, also of a model without weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Message
from ..inference.model_inputs import batch_size, token_count
from ..messages import all_of, title
from ..planning.budget_schedule import goals_of, require_way
from ..planning.goal import plan_goal
from ..planning.protocol import Choose, Goal, PlanStart, plural
from ..planning.scope import outside_scope, structures_touching
from ..planning.target_shape import forced_sizes, shape_of
from ..session.open_model import example_inputs
from ..sources.hugging_face import skeleton
from ..structures.analyse import analyse
from ..structures.analysis import Analysis, Kind, Mask
from ..structures.costs import costs
from ..surgery.repair.config_fit import is_transformers
from ..surgery.repair.keep_uniform import fitting_plan, is_configurable, keep_uniform, kinds_without_field
from ..surgery.repair.kv_cache import cached_by_heads, cached_numbers
from .shape_answer import ShapePlan

if TYPE_CHECKING:
    from ..foreign_code.consent import Consent
    from ..sources.protocol import ModelSpec


JOINT = frozenset({Kind.WIDTH, Kind.HEAD, Kind.KV_GROUP, Kind.HEAD_DIM})
"""Kinds of which configurations allow some numbers only beside some of the others."""
NO_CONFIGURATION = Message(
    "plan.shape_no_config",
    "No configuration of the model's class has this shape, so the stock library does not load the result. Open the "
    "model with uniform layers to plan shapes that have one.",
)


def shape_plan(
    name: str,
    model: Any,
    analysis: Analysis,
    removed: Mask,
    uniform: bool,
    goal: Goal,
    before: Mask | None = None,
) -> ShapePlan:
    """What a plan [S] makes of a model's shape.

    Args:
        name: Of the model.
        model: The original.
        analysis: Of it.
        removed: [S] the plan.
        uniform: One configuration describes the result.
        goal: Of the plan.
        before: [S] what was gone already, None for nothing.
    """
    first, last = costs(analysis), costs(analysis, removed)
    cached, notes = None, forced_sizes(analysis, goal, analysis.empty() if before is None else before, removed)
    if is_transformers(model) and not uniform:
        cached = cached_by_heads(model, analysis, removed)
        notes += configuration_notes(model, analysis, removed)
    if uniform:
        original, result = (cached_numbers(model, analysis, plan) for plan in (analysis.empty(), removed))
        cached = None if original is None or result is None else (original, result)
    return ShapePlan(
        name,
        shape_of(analysis, removed),
        (first.parameters, last.parameters),
        (first.macs, last.macs),
        cached,
        JOINT if uniform else frozenset(),
        notes,
    )


def configuration_notes(model: Any, analysis: Analysis, removed: Mask) -> tuple[Message, ...]:
    """That no configuration describes what a plan leaves of a model whose layers may differ, and what to do about it.

    Args:
        model: The original.
        analysis: Of it.
        removed: [S] the plan.
    """
    if not is_transformers(model) or is_configurable(model, analysis, removed):
        return ()
    kinds = kinds_without_field(model, analysis, removed)
    if not kinds:
        return (NO_CONFIGURATION,)
    template = (
        "No configuration of the model's class has fewer {kinds}, so the result cannot be exported as a Hugging Face "
        "folder. Keep all {kinds} to export one."
    )
    return (Message("plan.shape_no_field", template, {"kinds": all_of(title(plural(one)) for one in kinds)}),)


@dataclass(frozen=True, slots=True, eq=False)
class PlannedShape:
    """A plan that was made without weights.

    Attributes:
        shape: What it comes to.
        analysis: Of the original.
        plans: [rounds] of [S]: what each round has removed in its end; the last is the plan.
        tokens: In a sample of the example inputs; 0 where they are no text.
    """

    shape: ShapePlan
    analysis: Analysis
    plans: tuple[Mask, ...]
    tokens: int


def planned_shape(
    spec: "ModelSpec",
    goal: Goal,
    consent: "Consent",
    locks: Sequence[str] = (),
    *,
    choose: Choose = Choose.SCORES,
    rounds: int = 1,
) -> PlannedShape:
    """The plan for a goal on a model of transformers of which the configuration alone is read.

    Without weights there are no scores: the plan says how many go, not which.

    Args:
        spec: A Hugging Face folder, or `hf:org/name`, of which only the configuration is fetched; with the example
            inputs and the outputs to keep, if they are other than usual.
        goal: With a target shape, or with limits that become one.
        consent: What of the folder's own code may run.
        locks: Modules that stay as they are: paths or patterns.
        choose: How it is chosen what stays, which says how many rounds lead there.
        rounds: That are asked for.

    Raises:
        OpenError: Nothing can be built by the configuration.
        PlanError: No plan has this shape, or a lock or the scope names nothing, or masks would take several rounds.
    """
    require_way(choose, rounds, data=True)
    opened = skeleton(spec, consent)
    inputs = example_inputs(spec.asked_inputs, None, opened, opened.model)
    found = analyse(opened.model, inputs, opened.name, outputs=spec.outputs, ignore_unused=spec.ignore_unused)
    analysis = keep_uniform(opened.model, found)
    locked, unrated = structures_touching(analysis, locks), np.zeros(analysis.count)
    outside_scope(analysis, goal)

    def plan(asked: Goal, before: Mask) -> Mask:
        """[S] what is removed for the goal of a round."""
        start = PlanStart(analysis, unrated, before, locked)
        removed = plan_goal(start, asked).removed
        # Only the last round's shape has to fit a configuration.
        if goal.shape and asked != goal:
            return removed
        return fitting_plan(opened.model, start, removed, asked.shape)

    # The whole goal first: what cannot be reached is refused before its rounds are planned.
    removed = plan(goal, analysis.empty())
    shape = shape_plan(opened.name, opened.model, analysis, removed, uniform=True, goal=goal)
    plans = list[Mask]()
    for one in goals_of(analysis, goal, analysis.empty(), choose, rounds)[:-1]:
        plans.append(plan(one, plans[-1] if plans else analysis.empty()))
    return PlannedShape(shape, analysis, (*plans, removed), token_count(inputs) // batch_size(inputs))
