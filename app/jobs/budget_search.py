"""Jobs that try budgets: a sweep over several, and the search for the lowest cost that loses at most half a point."""

from dataclasses import replace
from typing import Any

from secateur.engine.planning.protocol import MASK_STEPS, Choose, Cost, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.budget_search import LossLimit, SearchResult, Trial
from secateur.engine.workflows.prune import PruneRequest
from secateur.engine.workflows.sweep import BUDGETS, Sweep

from ..document.contents import SearchTrial
from ..text.metrics import metric_of, metric_text
from ..text.structures import cost_words
from ..text.translate import counted, sentence
from ..text.verdicts import loss_words, trial_sentence
from .cost_estimator import UNKNOWN, Estimate
from .job_runner import DocumentJobs, JobRunner
from .state_jobs import StateJobs


class BudgetSearchJobs(DocumentJobs):
    """Searches for a document, and tells trial by trial."""

    def __init__(self, runner: JobRunner, states: StateJobs) -> None:
        """Work for a document."""
        super().__init__(runner)
        self._states = states
        runner.estimator.take("lowest", self._estimate)

    def _estimate(self, _state: str, settings: PruneRequest, loss_limit: LossLimit, *_rest: Any) -> Estimate:
        """Of a search; its work is not said, because what was made before is not made again."""
        recovery = settings.recovery
        return Estimate(seconds=UNKNOWN if recovery is None else self.seconds(loss_limit, recovery) or UNKNOWN)

    def seconds(self, loss_limit: LossLimit, recovery: RecoverySettings) -> float:
        """About how long a search takes, with all its trials; 0 unknown."""
        estimator, share = self._runner.estimator, 0.5

        def recovered(settings: RecoverySettings, split: Split) -> float:
            return estimator.recovery_seconds(settings, share) + estimator.evaluation_seconds(split, share)

        trial, result = recovered(loss_limit.briefly(recovery), Split.VAL), recovered(recovery, Split.TEST)
        return loss_limit.trials * trial + result

    def start(self, loss_limit: LossLimit, most: float, recovery: RecoverySettings) -> None:
        """Search the lowest cost that loses at most so much, from the current state on.

        Args:
            loss_limit: What may be lost, which cost is lowered, and how long trials recover.
            most: Share of the original's cost to stay at or under in any case.
            recovery: How the result is recovered.
        """
        document, contents = self._document, self._document.contents
        goal = replace(
            contents.wanted,
            limits=(Limit(loss_limit.cost, most),),
            shape=(),
            target=document.target if loss_limit.cost is Cost.LATENCY else None,
        )
        settings = contents.request(goal, recovery)
        began, tried = contents.present, list[tuple[float, bool]]()

        def arrived(made: tuple[Any, ...]) -> None:
            """Take states and trials as they are made."""
            document.take_trained(tuple(one for one in made if isinstance(one, State)))
            for trial in (one for one in made if isinstance(one, Trial)):
                which = (trial.share, trial.final)
                # A trial comes again where the search goes on after the engine was lost: it keeps its number.
                if which not in tried:
                    tried.append(which)
                number = tried.index(which) + 1
                if trial.state:
                    document.take_trial(trial.state, SearchTrial(number, trial, loss_limit.loss, loss_limit.cost))
                points = document.loses_points
                document.say(trial_sentence(trial, number, loss_limit.loss, loss_limit.cost, points))

        title = self.tr("Find the lowest {cost}, losing at most {loss}")
        begun = self._runner.run(
            title.format(cost=cost_words(loss_limit.cost), loss=loss_words(loss_limit.loss, document.loses_points)),
            lambda found: self._finish(found, began, loss_limit),
            "lowest",
            began,
            settings,
            loss_limit,
            document.scores,
            arrived=arrived,
        )
        if begun:
            document.expect_curve(began)

    def _finish(self, found: SearchResult, began: str, loss_limit: LossLimit) -> None:
        document, points = self._document, self._document.loses_points
        document.take_arrivals(found.states)
        limit = loss_words(loss_limit.loss, points)
        if not found.states:
            none = self.tr("Every budget tried loses more than {limit}. Raise the limit, or use more epochs per trial.")
            stays = self.tr(
                "The current state is already the lowest: every smaller budget tried loses more than {limit}."
            )
            if any(one.missed for one in found.trials):
                none = self.tr("Every budget tried misses a limit. Raise the limits, or use more epochs per trial.")
                stays = self.tr("The current state is already the lowest: every smaller budget tried misses a limit.")
            return document.say((stays if found.stays else none).format(limit=limit))
        last = found.states[-1]
        if document.contents.present == began and not document.marked.any() and not document.busy:
            step = self.tr("go to the lowest {cost}")
            document.plan.enter(last.id, step.format(cost=cost_words(loss_limit.cost)))
        tried = tuple(one.state for one in found.trials if one.state)
        measure = self._states.measure if loss_limit.cost is Cost.LATENCY else self._states.measure_if_cheap
        # Measured in turns, all trials become points of the curve against latency.
        measure(others=tried)
        trial = found.trials[-1]
        words = self.tr("Found: {share:.0%} of the {cost}, {lost} lost on the val split; {metric} on the test split.")
        lost, metric = loss_words(trial.loss, points, trial.error), metric_of(last, Split.TEST)
        document.say(
            words.format(
                share=trial.got or trial.share,
                cost=cost_words(loss_limit.cost),
                lost=lost,
                metric=self.tr("not measured") if metric is None else metric_text(metric),
            )
        )


class SweepJobs(DocumentJobs):
    """Changes neither the current state nor the plan; the states that it makes are shown as they come."""

    def __init__(self, runner: JobRunner, states: StateJobs) -> None:
        """Work for a document."""
        super().__init__(runner)
        self._states = states

    def start(
        self,
        shares: tuple[float, ...] = BUDGETS,
        cost: Cost = Cost.MACS,
        recovery: RecoverySettings | None = None,
        choose: Choose = Choose.SCORES,
        mask_steps: int = MASK_STEPS,
    ) -> None:
        """Prune the current state to several budgets; what was made before is not made again."""
        document = self._document
        begun = self._runner.run(
            counted(len(shares), self.tr("Sweep over {count} budget"), self.tr("Sweep over {count} budgets")),
            self._finish,
            "sweep",
            document.contents.present,
            replace(self.settings(cost, recovery), choose=choose, mask_steps=mask_steps),
            shares,
            document.scores,
            arrived=document.take_trained,
        )
        if begun:
            document.expect_curve(document.contents.present)

    def settings(self, cost: Cost, recovery: RecoverySettings | None) -> PruneRequest:
        """What a sweep does for each of its budgets."""
        contents = self._document.contents
        return contents.request(replace(contents.wanted, limits=(Limit(cost, 1.0),), shape=()), recovery)

    def _finish(self, done: Sweep) -> None:
        document = self._document
        document.take_arrivals(done.states)
        missed = [point for point in done.points if point.note is not None]
        for point in missed:
            document.note(f"{point.share:.0%}: {sentence(point.note or '')}")
        words = self.tr("The sweep met {done} of {all} budgets. Click a point of the trade-off to go to its state.")
        document.say(words.format(done=len(done.points) - len(missed), all=len(done.points)))
        # The trade-off shows the sweep against latency too.
        self._states.measure_if_cheap(tuple(state.id for state in done.states))
