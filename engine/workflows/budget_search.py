"""The metric that may be lost as a limit: the smallest budget of a cost at which a model loses no more than that.

By bisection: each budget is planned, cut, recovered, and judged on the val split. That one also picks the epoch of a
recovery, so the loss seen there is a little too small; the test split, read once for the result, says what it is.
The metric need not fall evenly with the budget: what is found holds, as measured, and the next smaller one that was
tried did not; that is no proof that none below it does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, PlanError, SecateurError, of_the_cut
from ..jobs import CancelToken, Job, NeverCancelled, Progress, followed, part_of, spanning
from ..messages import Phrase, clauses
from ..options import Option
from ..planning.goal_verdict import quality_verdicts
from ..planning.infeasibility import cost_name
from ..planning.protocol import GOAL, Cost, Limit
from ..planning.sample_plans import SAMPLES
from ..planning.scope import outside_scope
from ..recovery.budget import Budget, Unit
from ..recovery.protocol import RecoverySettings
from ..session.states import State
from ..tasks.protocol import ROUNDING, Metric, Split, lost
from ..text.notation import SHARE
from .latency_limit import latency_in, table_for
from .prune import PruneRequest

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch

NEVER = NeverCancelled()
TRIALS = 6
"""Budgets that are tried at most."""
BRIEF = 0.4
"""Of a recovery's budget, what each trial gets unless told otherwise; the result gets all of them."""
CLOSE = 0.03
"""The search ends when the budgets that hold and do not hold lie this close."""


@dataclass(frozen=True, slots=True)
class LossLimit:
    """What may be lost.

    Attributes:
        loss: Of the metric: a fraction where it is one (0.005 is half a point of accuracy), else a share of the
            original's value (0.005 of a perplexity of 20 is 0.1).
        cost: What shall be as low as possible.
        trials: Budgets that are tried at most.
        epochs: Of the recovery while it is searched, None for what the settings say; the result gets all of that. Where
            the settings count steps or tokens, it is `BRIEF` of these.
        minutes: The same in time, where it is not 0.
    """

    loss: Annotated[
        float,
        Option(
            title="Lose at most",
            help="as few MACs as possible, or on a named runtime as little time, that lose at most this of the metric",
            notation=SHARE,
            group=GOAL,
            flag="--max-loss",
            metavar="0.5%",
        ),
    ]
    cost: Cost = Cost.MACS
    trials: Annotated[
        int,
        Option(
            title="Maximum trials",
            help="budgets that are tried at most",
            minimum=2,
            maximum=12,
            on_command_line=False,
        ),
    ] = TRIALS
    epochs: int | None = None
    minutes: float = 0.0

    def briefly(self, recovery: RecoverySettings) -> RecoverySettings:
        """How a budget that is tried recovers: never longer than the result, as far as both count alike."""
        if recovery.budget.unit in (Unit.STEPS, Unit.TOKENS):
            return recovery.within(recovery.budget.part(BRIEF))
        if not recovery.trains or (self.epochs is None and not self.minutes):
            return recovery
        if self.minutes:
            return recovery.within(Budget(Unit.MINUTES, min(self.minutes, recovery.minutes or self.minutes)))
        epochs = self.epochs or 0
        return recovery.within(Budget(Unit.EPOCHS, min(recovery.passes or epochs, epochs)))


@dataclass(frozen=True, slots=True)
class Trial:
    """A budget that was tried.

    Attributes:
        share: Of the cost, as asked.
        state: What it ended in, "" where it could not be made.
        loss: Of the metric on the val split, as `LossLimit.loss` counts.
        error: Standard error of the loss, by pairs where both metrics are of the same samples.
        holds: Whether the loss is at most what was asked, and all else that is limited too.
        note: Why there is no state, or why it is too slow; else None.
        final: Made with all epochs, to be the result; else briefly.
        got: Of the cost, 0 where there is no state: of the latency what was measured, which need not be what was asked.
        missed: What is limited besides the metric and does not hold; None where all of that holds.
    """

    share: float
    state: str
    loss: float = 0.0
    error: float = 0.0
    holds: bool = False
    note: Message | None = None
    final: bool = False
    got: float = 0.0
    missed: Phrase | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search gave.

    Attributes:
        trials: In the order in which they were made, the recovered result last.
        original: The original on the val split, with its n.
        states: What the result came by, the result last; () where no budget holds, or none below what is there.
    """

    trials: tuple[Trial, ...]
    original: Metric
    states: tuple[State, ...]

    @property
    def stays(self) -> bool:
        """Whether the state that it started from is the lowest: it holds, and nothing smaller that was tried does."""
        return not self.states and any(one.final and one.holds for one in self.trials)


def search_budget(
    session: "Session",
    state: str,
    settings: PruneRequest,
    limit: LossLimit,
    scores: NDArray[np.float64] | None = None,
    token: CancelToken = NEVER,
) -> Job[SearchResult]:
    """Search the smallest budget of a cost that loses no more of the metric than is tolerated.

    Args:
        session: Gets the states; what it has of them is not made again, so that a stopped search goes on.
        state: Where to start.
        settings: How a budget is reached; its limits hold beside the one that is searched, and no larger budget than
            its own share of that cost is tried.
        limit: What may be lost, and of which cost.
        scores: [S] of the state, where they are known.
        token: Cancels.

    Raises:
        PlanError: The limit is no positive number, or the scope holds nothing that can be removed.
        TaskError: The data has no classes, or no confidences, that could be limited.
    """
    if not 0 < limit.loss < 1:
        raise PlanError(
            "loss.range", "The allowed loss must be above 0 and below 100 %, not {loss:.1%}.", loss=limit.loss
        )
    # Refused before the original is evaluated, which may take minutes.
    outside_scope(session.analysis, settings.goal)
    original = yield from session.evaluate_limited(session.states()[0].id, Split.VAL, settings.quality, token)
    search = _Search(session, state, settings, limit, original, token, scores, [])
    asked = (one.share for one in settings.goal.limits if one.cost is limit.cost and one.share)
    yield from search.measured_cuts()
    low, high, best = 0.0, min(asked, default=1.0), None
    for number in range(limit.trials):
        share = (low + high) / 2
        trial = yield from search.try_budget(share, number, brief=True)
        low, high, best = (low, share, trial) if trial.holds else (share, high, best)
        if high - low <= CLOSE:
            break
    # Briefly recovered is not fully recovered: the budget that held is made with all epochs, and where that loses too
    # much the next larger one that held.
    while best is not None:
        trial = yield from search.try_budget(best.share, len(search.trials), brief=False)
        if trial.holds:
            return SearchResult(tuple(search.trials), original, search.way(trial))
        best = search.wider(best.share)
    return SearchResult(tuple(search.trials), original, ())


@dataclass(slots=True)
class _Search:
    """The trials of one search."""

    session: "Session"
    state: str
    settings: PruneRequest
    limit: LossLimit
    original: Metric
    token: CancelToken
    scores: NDArray[np.float64] | None
    trials: list[Trial]
    measured: int = 0
    """Cut models that were measured first, each about as much work as a trial without its training."""

    def measured_cuts(self) -> Job[None]:
        """Measure what latencies are predicted with; nothing where no latency counts, or it is known."""

        def scaled(progress: Progress) -> Iterator[Progress]:
            self.measured = SAMPLES
            yield replace(progress, share=progress.share * self._shares(0, brief=True)[0])

        yield from followed(spanning(table_for(self.session, self.at(1.0, True).goal, self.token), 0.0, 1.0), scaled)

    def try_budget(self, share: float, number: int, brief: bool) -> Job[Trial]:
        """Make, evaluate and report a budget; one that no plan reaches, or whose training ends in NaN, does not hold.

        Anything else that fails (data, disk, a process) says nothing of the budget: it ends the search, which goes on
        from there when it is started again.
        """
        numbers = {"number": number + 1, "share": share, "cost": cost_name(self.limit.cost)}
        words = Message("progress.trial", "Trial {number} ({share:.0%} of {cost})", numbers)
        result = Message("progress.result", "The result: {trial}", {"trial": words})
        begin, until = self._shares(number, brief)
        shown = Progress(words, number, self.limit.trials, share=begin) if brief else Progress(result, share=begin)
        try:
            trial = yield from part_of(shown, self._run_trial(share, brief), until=until)
        except SecateurError as error:
            if not of_the_cut(error):
                raise
            trial = Trial(share, "", note=error.message, final=not brief)
        self.trials.append(trial)
        judged = Message("progress.judged", "{trial}: evaluated", {"trial": words})
        done, total = number + 1, max(self.limit.trials, number + 1)
        if trial.state:
            yield Progress(judged, done, total, made=self.session.history.state(trial.state))
        yield Progress(judged, done, total, made=trial)
        return trial

    def _shares(self, number: int, brief: bool) -> tuple[float, float]:
        """What of the search's work is done before and after a budget, should it take as many trials as it may."""
        recoveries = (self.at(1.0, brief).recovery for brief in (True, False))
        # One unit stands for all that is no training.
        trial, result = (1 + (0 if one is None else one.budget.amount) for one in recoveries)
        begin, whole = self.measured + number * trial, self.measured + max(self.limit.trials, number) * trial + result
        return begin / whole, (begin + (trial if brief else result)) / whole

    def wider(self, share: float) -> Trial | None:
        """The next larger budget that held while it was searched."""
        held = [one for one in self.trials if one.holds and one.share > share]
        return min(held, key=lambda one: one.share, default=None)

    def way(self, trial: Trial) -> tuple[State, ...]:
        """The states from the first one to that of a trial."""
        # The trials in between are states of their own; the way to the result leads along parents only.
        states, now = list[State](), trial.state
        while now != self.state:
            one = self.session.history.state(now)
            states.append(one)
            now = one.parent
        return tuple(self.session.history.state(one.id) for one in reversed(states))

    def _run_trial(self, share: float, brief: bool) -> Job[Trial]:
        # The window reads trials, and starts without what prunes.
        from .prune import prune_state

        settings = self.at(share, brief)
        made = yield from prune_state(self.session, self.state, settings, self.scores, self.token, report=not brief)
        last = made[-1] if made else self.session.history.state(self.state)
        metric = yield from self.session.evaluate_limited(last.id, Split.VAL, settings.quality, self.token)
        over = [one.clause for one in quality_verdicts(settings.quality, metric) if not one.met]
        loss, error = lost(self.original, metric)
        timed = yield from latency_in(self.session, made, settings.goal, self.token)
        searched = self.limit.cost is Cost.LATENCY
        got = share if timed is None or not searched else timed.share
        # Where latency itself is searched, a budget that is missed by a little still counts, by what was measured.
        slow = None if timed is None or (searched and not timed.slower) else timed.shortfall
        holds = self.holds(loss) and slow is None and not over
        return Trial(share, last.id, loss, error, holds, slow, not brief, got, clauses(over) if over else None)

    def holds(self, loss: float) -> bool:
        """Whether a loss is tolerated."""
        return loss <= self.limit.loss + ROUNDING

    def at(self, share: float, brief: bool) -> PruneRequest:
        """The settings that lead to a budget."""
        settings, cost = self.settings, self.limit.cost
        others = tuple(one for one in settings.goal.limits if one.cost is not cost)
        goal = replace(settings.goal, limits=(Limit(cost, share), *others))
        recovery = settings.recovery
        if brief and recovery is not None:
            recovery = self.limit.briefly(recovery)
        # A search in each trial multiplies the time: only where it was asked for.
        search = settings.search or 0
        return replace(settings, goal=goal, recovery=recovery, search=search, lose=self.limit.loss)


def brief_epochs(epochs: int) -> int:
    """Epochs of each trial's recovery, where the result gets that many; 1 at least where there are any."""
    return ceil(BRIEF * epochs)


def brief_limit(loss: float, cost: Cost, recovery: RecoverySettings | None) -> LossLimit:
    """The limit whose trials get their part of a recovery's epochs, or minutes."""
    if recovery is None:
        return LossLimit(loss, cost)
    epochs = None if recovery.passes is None else brief_epochs(recovery.passes)
    return LossLimit(loss, cost, epochs=epochs, minutes=BRIEF * recovery.minutes)
