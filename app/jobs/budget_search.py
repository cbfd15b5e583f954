"""The question that people come with: the fastest on my target that loses at most half a point. A search in trials."""

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject

from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.budget_search import LossLimit, SearchResult, Trial
from secateur.engine.workflows.prune import PruneRequest

from ..document.contents import SearchTrial
from ..document.document import Document
from ..text.metrics import metric_of, metric_text
from ..text.structures import cost_words
from ..text.verdicts import loss_words, trial_sentence
from .cost_estimator import UNKNOWN, CostEstimator, Estimate
from .job_runner import JobRunner
from .state_jobs import StateJobs


class BudgetSearchJobs(QObject):
    """Searches for a document, and tells trial by trial."""

    def __init__(self, document: Document, runner: JobRunner, estimator: CostEstimator, states: StateJobs) -> None:
        """Work for a document."""
        super().__init__(document)
        self._document, self._runner, self._estimator, self._states = document, runner, estimator, states
        self._tried: list[tuple[float, bool]] = []
        estimator.take("lowest", self._estimate)

    def _estimate(self, _state: str, settings: PruneRequest, loss_limit: LossLimit, *_rest: Any) -> Estimate:
        """Of a search; its work is not said, because what was made before is not made again."""
        recovery = settings.recovery
        return Estimate(seconds=UNKNOWN if recovery is None else self.seconds(loss_limit, recovery) or UNKNOWN)

    def seconds(self, loss_limit: LossLimit, recovery: RecoverySettings) -> float:
        """About how long a search takes, with all its trials; 0 unknown."""
        estimator, share = self._estimator, 0.5

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
        locked, by_hand = contents.decided()
        goal = replace(
            contents.wanted,
            limits=(Limit(loss_limit.cost, most),),
            shape=(),
            target=document.target if loss_limit.cost is Cost.LATENCY else None,
        )
        settings = PruneRequest(
            goal, document.criterion, recovery, locked=locked, marked=by_hand, choices=document.choices
        )
        began, self._tried = contents.present, []

        def arrived(made: tuple[Any, ...]) -> None:
            document.take_trained(tuple(one for one in made if isinstance(one, State)))
            for one in made:
                if isinstance(one, Trial):
                    self._tell(one, loss_limit)

        title = self.tr("Find the lowest {cost}, losing at most {loss}")
        begun = self._runner.run(
            title.format(cost=cost_words(loss_limit.cost), loss=loss_words(loss_limit.loss, document.loses_points)),
            lambda found: self._found(found, began, loss_limit),
            "lowest",
            began,
            settings,
            loss_limit,
            document.scores,
            arrived=arrived,
        )
        if begun:
            document.expect_curve(began)

    def _tell(self, trial: Trial, loss_limit: LossLimit) -> None:
        which = (trial.share, trial.final)
        if which not in self._tried:  # it is told again where the search goes on after a loss of the engine
            self._tried.append(which)
        number = self._tried.index(which) + 1
        if trial.state:
            self._document.take_trial(trial.state, SearchTrial(number, trial, loss_limit.loss, loss_limit.cost))
        points = self._document.loses_points
        self._document.say(trial_sentence(trial, number, loss_limit.loss, loss_limit.cost, points))

    def _found(self, found: SearchResult, began: str, loss_limit: LossLimit) -> None:
        document, points = self._document, self._document.loses_points
        document.take_arrivals(found.states)
        limit = loss_words(loss_limit.loss, points)
        if not found.states:
            none = self.tr("Every budget tried loses more than {limit}. Raise the limit, or use more epochs per trial.")
            stays = self.tr(
                "The current state is already the lowest: every smaller budget tried loses more than {limit}."
            )
            return document.say((stays if found.stays else none).format(limit=limit))
        last = found.states[-1]
        if document.contents.present == began and not document.marked.any() and not document.busy:
            step = self.tr("go to the lowest {cost}")
            document.plan.enter(last.id, step.format(cost=cost_words(loss_limit.cost)))
        tried = tuple(one.state for one in found.trials if one.state)
        measure = self._states.measure if loss_limit.cost is Cost.LATENCY else self._states.measure_if_cheap
        measure(others=tried)  # in turns, so that all of them are points against the latency
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
