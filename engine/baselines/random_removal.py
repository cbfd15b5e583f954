"""Baseline: random removal for the same goals, with the same recovery. Loads torch."""

from dataclasses import replace
from typing import Any

from ..errors import Message
from ..jobs import CancelToken, Job, Progress, Result, spanning
from ..planning.goal import solve
from ..planning.protocol import Ranking
from ..recovery.budget import Budget, Unit
from ..recovery.protocol import RecoverySettings
from ..scoring.criteria import score
from ..structures.analysis import Mask
from ..structures.costs import costs
from ..structures.transition import Transition
from ..surgery.cut.cut import cut
from ..surgery.cut.edits import Edits
from ..surgery.verify.verify import require_verified, verify
from .protocol import BaselineKind, BaselineModel, BaselineRule, BaselineSpec, ComparedState
from .training import train

CUTTING = 0.2
"""About how long a cut takes, in epochs of training; for the progress."""


def make(compared: ComparedState, asked: BaselineSpec, token: CancelToken) -> Job[BaselineModel]:
    """Repeat the state's rounds with structures drawn at random, each cut verified as any other."""
    analysis = compared.analysis
    model, removed, edits, epochs = compared.original, analysis.empty(), Edits(), 0
    notes = [Message("baselines.drawn", "The removed structures were drawn with seed {seed}.", {"seed": asked.seed})]
    epochs_each = None if asked.epochs is None else Budget(Unit.EPOCHS, asked.epochs)
    trainings = [
        [given if epochs_each is None else given.within(epochs_each) for given in one.recoveries]
        for one in compared.rounds
    ]
    whole = sum(CUTTING + sum(map(_length, settings)) for settings in trainings) or 1.0
    done = 0.0

    def part(job: Job[Result], length: float) -> Job[Result]:
        nonlocal done
        begin, done = done, done + length
        return spanning(job, begin / whole, done / whole)

    for one, recoveries in zip(compared.rounds, trainings, strict=True):
        drawing = score(model, analysis, removed, "random", token=token, seed=asked.seed)
        scores = yield from part(drawing, 0.0)
        goal = replace(one.goal, ranking=Ranking.SHAPES) if one.goal.ranking is Ranking.COST else one.goal
        after = solve(analysis, scores, goal, removed, one.locked).removed
        if (after == removed).all():
            continue
        reference = (model, Transition(analysis, removed, after).kept_of_before)
        model, edits = yield from part(_cut(compared, model, (removed, after), edits, token), CUTTING)
        for settings in recoveries:
            training = train(model, compared, settings, token, analysis.kept_indices(after), reference)
            notes += yield from part(training, _length(settings))
            epochs += settings.epochs
        removed = after
    left = costs(analysis, removed)
    return BaselineModel(model, RULE.title, left.parameters, left.macs, epochs, removed, edits, notes=tuple(notes))


def _length(settings: RecoverySettings) -> float:
    """Of a training, in epochs; of a repair alone, what a cut takes."""
    return max(float(settings.epochs), CUTTING)


def _cut(
    compared: ComparedState, model: Any, way: tuple[Mask, Mask], edits: Edits, token: CancelToken
) -> Job[tuple[Any, Edits]]:
    yield Progress("Removing random structures")
    before, after = way
    done = cut(model, compared.analysis, after, compared.inputs, before=before, edits=edits)
    proof = yield from verify(
        model,
        done.model,
        compared.analysis,
        after,
        compared.inputs,
        before=before,
        factors=done.factors,
        edits=done.edits,
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
