"""Baselines of a state: made once, kept beside the states, measured with it in turns, and what they say about it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from ..baselines.protocol import Baseline, BaselineSpec, ComparedState, PruningRound
from ..baselines.table import RULES
from ..baselines.verdict import PrunedResult, verdict
from ..errors import Message, SecateurError
from ..foreign_code.consent import Consent
from ..jobs import Cancelled, CancelToken, Job, NeverCancelled, Progress, check, spanning
from ..messages import title
from ..planning.cost_meter import meter_of
from ..planning.goal import reached
from ..planning.isomorphic_classes import step
from ..planning.protocol import DEFAULT_KINDS, Cost, Goal, Limit
from ..planning.scope import in_scope
from ..recovery.checkpoint import Checkpoint, content_of
from ..recovery.protocol import RecoverySettings
from ..session.session import Session
from ..session.states import State, StateKind
from ..sources.named_code import by_hand, seal
from ..structures.analysis import Analysis, Kind, Mask, from_identities, identities
from ..targets.protocol import TargetSpec
from ..tasks.evaluate import evaluate_samples_on
from ..tasks.protocol import Split
from .changes import classes_that_pay
from .comparison import Comparison, Missed
from .measure import measurable, measure_states

NEVER = NeverCancelled()
MADE = 0.92
"""About what share of the time it takes to make baselines where they are timed, too; told as progress."""


def budget_of(analysis: Analysis, cut: State) -> Goal:
    """The goal for other structures at a cut's cost.

    Args:
        analysis: Of the original.
        cut: A state that was cut, with its plan as far as there is one.
    """
    asked = cut.plan.asked if cut.plan is not None else None
    by_hand, _ = from_identities(analysis, cut.plan.marked if cut.plan is not None else {})
    gone, _ = from_identities(analysis, cut.removed)
    limits = (Limit(Cost.MACS, amount=cut.macs),)
    if asked is None:
        return Goal(limits, kinds=_kinds(analysis, gone, ()))
    got = reached(analysis, asked, gone) if (asked.limits or asked.settled) and not asked.timed else ()
    # No solver made these widths, so the goal says nothing of them.
    if by_hand.any() or any(one.got > one.asked for one in got):
        marked = [one.module for one in analysis.sets if by_hand[one.structures].any()]
        scope = asked.scope if all(any(in_scope(one, place) for place in asked.scope) for one in marked) else ()
        return Goal(limits, scope, kinds=_kinds(analysis, gone, asked.kinds), ranking=asked.ranking)
    if asked.settled and not asked.limits:
        return asked
    if got and any(
        one.asked - one.got <= most for one, most in zip(got, _dearest_steps(analysis, asked), strict=False)
    ):
        return asked
    return replace(asked, limits=limits, target=None)


def _kinds(analysis: Analysis, gone: Mask, asked: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """The kinds that went, and those that might; whole blocks only where one went."""
    went = {one.kind for one in analysis.sets if gone[one.structures].any()}
    return tuple(sorted(went | {*(asked or DEFAULT_KINDS)} - {Kind.BLOCK}))


def _dearest_steps(analysis: Analysis, goal: Goal) -> list[int]:
    """[K] what the dearest step costs, in the unit of each of a goal's limits."""
    meter = meter_of(analysis, tuple(limit.cost for limit in goal.limits), goal.dtype)
    whole = meter.measure(analysis.empty())
    most = 0 * whole
    for one in analysis.sets:
        if one.kind in (goal.kinds or DEFAULT_KINDS):
            without = analysis.empty()
            count = step(analysis, one, max(goal.multiples.get(one.kind, goal.multiple), 1), goal.steps)
            without[one.first : one.first + count] = True
            most = np.maximum(most, whole - meter.measure(without))
    return most.tolist()


def compare_with_baselines(
    session: Session,
    state: str,
    asked: Sequence[BaselineSpec],
    target: TargetSpec | None = None,
    token: CancelToken = NEVER,
) -> Job[Comparison]:
    """Make what is asked for and was not made yet, measure all of it with the state, and judge.

    Args:
        session: Gets the baselines.
        state: What they are compared with.
        asked: Which baselines. One that cannot be made does not keep the others from it.
        target: Where to time original, state and baselines in turns, None for no timing.
        token: Cancels; what is finished is kept, and told as it comes (`Progress.made`).

    Raises:
        SecateurError: The state is the original, or there is no task.
    """
    missed: list[Missed] = []
    # The state's metric on the test split; the original is refused.
    one = session.history.state(state)
    if not one.parent:
        template = "{state} is the original. Choose a cut state to compare with baselines."
        raise SecateurError("baselines.original", template, state=state)
    metric = yield from session.evaluate_once(state, Split.TEST, token)
    making = 1.0 if target is None else MADE
    for number, one in enumerate(asked, 1):
        words = {"number": number, "count": len(asked), "title": title(RULES[one.kind].title)}
        text = Message("progress.baseline", "Baseline {number} of {count}: {title}", words)
        begin, end = making * (number - 1) / len(asked), making * number / len(asked)
        yield Progress(text, number - 1, len(asked), share=begin)
        try:
            made = yield from spanning(make_baseline(session, state, one, token), begin, end)
            yield Progress("Made", number, len(asked), made=made, share=end)
        except Cancelled:
            raise
        except SecateurError as error:
            missed.append(Missed(one, error.message))
    if target is not None:
        names = [session.states()[0].id, state]
        for one in session.baselines(state):
            try:
                measurable(session, one.id)
            except SecateurError as error:
                missed.append(Missed(one.asked, error.message))
            else:
                names.append(one.id)
        yield from spanning(measure_states(session, tuple(names), target, token), making, 1.0)
        yield Progress("Measured", made=session.states()[0])
    now = session.history.state(state)
    beside = session.baselines(state)
    said = verdict(PrunedResult(metric, now.macs, now.timings), beside)
    return Comparison(now, beside, tuple(missed), said, classes_that_pay(session.history, state, beside))


def make_baseline(
    session: Session, state: str, asked: BaselineSpec, token: CancelToken = NEVER, consent: Consent | None = None
) -> Job[Baseline]:
    """One baseline, made before or now; of one that is cancelled or fails only a training to go on with is kept.

    Args:
        session: Gets it.
        state: What it stands beside.
        asked: Which.
        token: Cancels.
        consent: What code a stock model may run; None where the user named it by hand.
    """
    # A comparison that was stopped goes on: what was asked for alike is not trained again.
    known = next((one for one in session.baselines(state) if one.asked == asked), None)
    if known is not None:
        return known
    trainings: list[Checkpoint] = []

    def resumed(model: nn.Module, settings: RecoverySettings) -> Checkpoint:
        trainings.append(session.checkpoint(content_of(model), settings))
        return trainings[-1]

    allowed = by_hand(asked.source) if consent is None else consent
    standing = replace(standing_of(session, state), resumed=resumed, consent=allowed)
    made = yield from RULES[asked.kind].make(standing, asked, token)
    yield Progress("Evaluating the baseline")
    job = evaluate_samples_on(standing.task, made.model, Split.TEST, token, device=session.device)
    evaluation = yield from job
    check(token)
    metric = session.keep_predictions(replace(evaluation, metric=evaluation.metric.measured_now()))
    session.trust(allowed)
    # All but the id and the weights, which the session gives.
    removed = {} if made.removed is None else identities(standing.analysis, made.removed)
    record = Baseline(
        id="",
        against=state,
        asked=asked,
        title=made.title,
        weights="",
        parameters=made.parameters,
        macs=made.macs,
        epochs=made.epochs,
        metric=metric,
        removed=removed,
        edits=made.edits,
        source=made.source,
        seal="" if made.source is None else seal(replace(made.source, task=None)),
        notes=made.notes,
    )
    # Only what is kept makes its checkpoints needless.
    kept = session.keep_baseline(record, made.model)
    for one in trainings:
        one.forget()
    return kept


def open_baseline(session: Session, baseline: str, token: CancelToken = NEVER) -> Job[State]:
    """Make a state of a baseline, with what was measured of it: what can be done with any state can be with this one.

    What it lacks is cut and verified as any plan, unless a state has it already; its weights are attached to that.

    Args:
        session: Has the baseline, and gets the state.
        baseline: Its id.
        token: Cancels.

    Raises:
        SecateurError: There is no such baseline, or it is a model of its own.
    """
    one = session.history.baselines.get(baseline)
    if one is None:
        template = "This session has no baseline {baseline}."
        raise SecateurError("baselines.unknown", template, baseline=baseline)
    if one.source is not None:
        template = "{title} is a model of its own, and so no state of this one. Open {source} to work on it."
        raise SecateurError("baselines.other_model", template, title=one.title, source=one.source.source)
    made = [state for state in session.states() if state.kind is StateKind.ATTACHED and not state.former]
    known = next((state for state in made if state.weights == one.weights and state.removed == one.removed), None)
    if known is not None:
        return known
    # Weights from elsewhere need a state of their shapes; that of a cut alone keeps the way to them short.
    shaped = [state for state in session.states() if state.kind in (StateKind.ORIGINAL, StateKind.CUT)]
    cut = next((state for state in shaped if (state.removed, state.edits) == (one.removed, one.edits)), None)
    if cut is None:
        gone, _ = from_identities(session.analysis, one.removed)
        cut = yield from session.cut("s0", gone, token=token)
        yield Progress("Cut", made=cut)
    state = yield from session.attach(cut.id, str(session.store.path(one.weights)), token=token)
    return session.history.put(replace(state, metrics=(one.metric,), timings=one.timings))


def standing_of(session: Session, state: str) -> ComparedState:
    """A state as baselines are made for it."""
    opened, one = session.prepared.opened, session.history.state(state)
    return ComparedState(
        original=opened.model,
        factory=opened.factory,
        model=session.model(state),
        spec=session.prepared.spec,
        analysis=session.analysis,
        inputs=session.prepared.inputs,
        task=session.task,
        removed=session.removed(state),
        edits=one.edits,
        rounds=rounds_of(session, session.history.path_to(state)),
        parameters=one.parameters,
        macs=one.macs,
        device=session.device,
    )


def rounds_of(session: Session, path: Sequence[State]) -> tuple[PruningRound, ...]:
    """How a state came about: its cuts with what they took, and what recovered them, counted in epochs."""
    rounds: list[PruningRound] = []
    for one in path:
        if one.kind is StateKind.CUT:
            locked, _ = from_identities(session.analysis, one.plan.locked if one.plan else {})
            rounds.append(PruningRound(budget_of(session.analysis, one), locked))
        elif one.recovery is not None and rounds:
            # A baseline trains as many epochs as those minutes were.
            recoveries = (*rounds[-1].recoveries, replace(one.recovery, minutes=0.0))
            rounds[-1] = replace(rounds[-1], recoveries=recoveries)
    return tuple(rounds)
