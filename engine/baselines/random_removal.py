"""Baseline: random removal for the same goals, with the same recovery. Loads torch."""

from dataclasses import replace
from typing import Any

from ..errors import Message
from ..jobs import CancelToken, Job, Progress
from ..planning.goal import solve
from ..planning.protocol import Ranking
from ..scoring.criteria import score
from ..structures.analysis import Mask
from ..structures.costs import costs
from ..structures.transition import Transition
from ..surgery.cut.cut import cut
from ..surgery.cut.edits import Edits
from ..surgery.verify.verify import require_verified, verify
from .protocol import BaselineKind, BaselineModel, BaselineRule, BaselineSpec, ComparedState
from .training import train


def make(standing: ComparedState, asked: BaselineSpec, token: CancelToken) -> Job[BaselineModel]:
    """Go the state's rounds again, each cut verified as any other."""
    analysis = standing.analysis
    model, removed, edits, epochs = standing.original, analysis.empty(), Edits(), 0
    notes = [Message("baselines.drawn", "The removed structures were drawn with seed {seed}.", {"seed": asked.seed})]
    for one in standing.rounds:
        scores = yield from score(model, analysis, removed, "random", token=token, seed=asked.seed)
        goal = replace(one.goal, ranking=Ranking.SHAPES) if one.goal.ranking is Ranking.COST else one.goal
        after = solve(analysis, scores, goal, removed, one.locked).removed
        if (after == removed).all():
            continue
        reference = (model, Transition(analysis, removed, after).kept_of_before)
        model, edits = yield from _cut(standing, model, (removed, after), edits, token)
        for given in one.recoveries:
            settings = given if asked.epochs is None else replace(given, epochs=asked.epochs)
            notes += yield from train(model, standing, settings, token, analysis.kept_indices(after), reference)
            epochs += settings.epochs
        removed = after
    left = costs(analysis, removed)
    return BaselineModel(model, RULE.title, left.parameters, left.macs, epochs, removed, edits, notes=tuple(notes))


def _cut(
    standing: ComparedState, model: Any, way: tuple[Mask, Mask], edits: Edits, token: CancelToken
) -> Job[tuple[Any, Edits]]:
    yield Progress("Removing random structures")
    before, after = way
    done = cut(model, standing.analysis, after, standing.inputs, before=before, edits=edits)
    proof = yield from verify(
        model,
        done.model,
        standing.analysis,
        after,
        standing.inputs,
        before=before,
        factors=done.factors,
        token=token,
    )
    require_verified(proof)
    return done.model, done.edits


RULE = BaselineRule(
    BaselineKind.RANDOM,
    "random removal",
    "Is the criterion better than chance at the same budget and with the same recovery?",
    make,
)
