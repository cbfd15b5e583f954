"""The question that people come with: the fastest on my target that loses at most half a point. A search in trials."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.budget_search import LossLimit, SearchResult, Trial
from secateur.engine.workflows.prune import PruneSettings

from ..document.aspects import Aspect
from ..document.search_trial import Tried
from ..text.metrics import metric_of, metric_text
from ..text.search import loss_words, told
from ..widgets.cost_box import cost_words

if TYPE_CHECKING:
    from ..document.document import Document

CONTEXT = "Lowest"


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


class Lowest:
    """Searches for a document, and tells trial by trial."""

    def __init__(self, document: "Document") -> None:
        """Work for a document."""
        self._document = document
        self._tried: list[tuple[float, bool]] = []

    @property
    def in_percent(self) -> bool:
        """Whether losses are points of a fraction; else they are shares of the original's metric."""
        first = self._document.metric(self._document.original)
        return first is None or first.percent

    def seconds(self, trials: int, brief: int, epochs: int) -> float:
        """About how long a search takes: trials of `brief` epochs and the result's `epochs`; 0 unknown."""
        pace, share = self._document.work.pace, 0.5
        one = pace.training(brief, share) + pace.judging("val", share)
        return trials * one + pace.training(epochs, share) + pace.judging("test", share)

    def start(
        self, points: float, cost: Cost, trials: int, brief: int, most: float, recovery: RecoverySettings
    ) -> None:
        """Search the lowest cost that loses at most so much, from the current state on.

        Args:
            points: Of the metric that may be lost, or per cent of what the original has of it.
            cost: What shall be as low as possible.
            trials: Budgets that are tried at most.
            brief: Epochs of each trial's recovery; the result gets those of `recovery`.
            most: Share of the original's cost to stay at or under in any case.
            recovery: How cuts are recovered.
        """
        document, contents = self._document, self._document.contents
        locked, by_hand = contents.decided()
        goal = replace(
            contents.wanted, limits=(Limit(cost, most),), target=document.target if cost is Cost.LATENCY else None
        )
        course = PruneSettings(
            goal, document.criterion, recovery, locked=locked, marked=by_hand, choices=document.choices
        )
        tolerance = LossLimit(points / 100, cost, trials, brief)
        began, self._tried = contents.present, []

        def arrived(made: tuple[Any, ...]) -> None:
            document.take_arrivals(tuple(one for one in made if isinstance(one, State)))
            for one in made:
                if isinstance(one, Trial):
                    self._tell(one, tolerance)

        title = say("Find the lowest {cost}, losing at most {loss}")
        words = title.format(cost=cost_words(cost), loss=loss_words(tolerance.loss, self.in_percent))
        arguments = (began, course, tolerance, document.scores)
        document.work.run(
            words, lambda found: self._found(found, began, tolerance), "lowest", *arguments, arrived=arrived
        )

    def _tell(self, trial: Trial, tolerance: LossLimit) -> None:
        which = (trial.share, trial.final)
        if which not in self._tried:  # it is told again where the search goes on after a loss of the engine
            self._tried.append(which)
        one = Tried(self._tried.index(which) + 1, trial, tolerance.loss, tolerance.cost)
        if trial.state:
            self._document.contents.trials[trial.state] = one
            self._document.announce(Aspect.STATES)
        self._document.work.say(told(one, self.in_percent))

    def _found(self, found: SearchResult, began: str, tolerance: LossLimit) -> None:
        document = self._document
        document.take_arrivals(found.states)
        limit = loss_words(tolerance.loss, self.in_percent)
        if not found.states:
            none = say("Every budget tried loses more than {limit}. Raise the limit, or use more epochs per trial.")
            stays = say("The current state is already the lowest: every smaller budget tried loses more than {limit}.")
            words = stays if found.stays else none
            return document.work.say(words.format(limit=limit))
        last = found.states[-1]
        if document.contents.present == began and not document.marked.any() and not document.busy:
            document.enter(last.id, say("go to the lowest {cost}").format(cost=cost_words(tolerance.cost)))
        tried = tuple(one.state for one in found.trials if one.state)
        measure = document.work.measure if tolerance.cost is Cost.LATENCY else document.work.measure_if_cheap
        measure(others=tried)  # in turns, so that all of them are points against the latency
        trial = found.trials[-1]
        words = say("Found: {share:.0%} of the {cost}, {lost} lost on the val split; {metric} on the test split.")
        lost, metric = loss_words(trial.loss, self.in_percent, trial.error), metric_of(last, Split.TEST)
        told = say("not measured") if metric is None else metric_text(metric)
        document.work.say(
            words.format(share=trial.got or trial.share, cost=cost_words(tolerance.cost), lost=lost, metric=told)
        )
