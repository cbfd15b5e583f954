"""The job that prunes the current state to several budgets, one after the other."""

from dataclasses import replace

from PySide6.QtCore import QObject

from secateur.engine.planning.protocol import MASK_STEPS, Choose, Cost, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.workflows.prune import PruneRequest
from secateur.engine.workflows.sweep import BUDGETS, Sweep

from ..document.document import Document
from ..text.translate import counted, sentence
from .job_runner import JobRunner
from .state_jobs import StateJobs


class SweepJobs(QObject):
    """Changes neither the current state nor the plan; the states that it makes are shown as they come."""

    def __init__(self, document: Document, runner: JobRunner, states: StateJobs) -> None:
        """Work for a document."""
        super().__init__(document)
        self._document, self._runner, self._states = document, runner, states

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
            self._swept,
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
        document, contents = self._document, self._document.contents
        locked, by_hand = contents.decided()
        goal = replace(contents.wanted, limits=(Limit(cost, 1.0),), shape=())
        return PruneRequest(goal, document.criterion, recovery, locked=locked, marked=by_hand, choices=document.choices)

    def _swept(self, done: Sweep) -> None:
        document = self._document
        document.take_arrivals(done.states)
        missed = [point for point in done.points if point.note is not None]
        for point in missed:
            document.note(f"{point.share:.0%}: {sentence(point.note or '')}")
        words = self.tr("The sweep met {done} of {all} budgets. Click a point of the trade-off to go to its state.")
        document.say(words.format(done=len(done.points) - len(missed), all=len(done.points)))
        self._states.measure_if_cheap(tuple(state.id for state in done.states))  # the curve against latency, too
