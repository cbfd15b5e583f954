"""Machines that a recipe measures on over `ssh`: one that somebody else wrote sends no model anywhere unasked."""

from ..errors import OpenError
from ..planning.protocol import Goal
from ..session.states import PlanIntent
from .compatibility import Mode
from .steps import LearnMasks, Plan, Recipe, Step


def require_here(recipe: Recipe, mode: Mode | None) -> None:
    """Refuse steps that certainly measure on another machine. Raises OpenError."""
    for step in recipe.steps:
        again = mode is Mode.SAME_GOAL or (mode is None and isinstance(step, LearnMasks))
        if again and (plan := _plan_of(step)) is not None:
            require_goal_here(plan.goal)


def require_goal_here(goal: Goal | None) -> None:
    """Refuse a goal that is planned for by measuring on another machine. Raises OpenError."""
    if goal is not None and goal.timed and goal.target is not None and goal.target.address:
        template = (
            "The recipe was made elsewhere. Planning for its goal sends models to {address} and measures them there. "
            "Allow that only if you trust the recipe."
        )
        raise OpenError("source.machine", template, address=goal.target.address)


def _plan_of(step: Step) -> PlanIntent | None:
    return step.intent if isinstance(step, Plan) else step.intent.plan if isinstance(step, LearnMasks) else None
