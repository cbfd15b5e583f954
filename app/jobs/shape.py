"""Jobs about target shapes: what one comes to while it is typed, its plan, and pruning to it in rounds or by masks."""

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Slot

from secateur.engine.errors import SecateurError
from secateur.engine.planning import protocol as planning
from secateur.engine.planning.budget_schedule import rounds_to
from secateur.engine.planning.protocol import Choose
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State
from secateur.engine.workflows.shape_answer import ShapeAnswer

from .job_runner import DocumentJobs, JobRunner
from .state_jobs import StateJobs

TYPED = ("shape", "typed")
"""What a job is about that only says what was typed comes to."""


class ShapeJobs(DocumentJobs):
    """Asks the engine what shapes come to, and prunes to them."""

    def __init__(self, runner: JobRunner, states: StateJobs) -> None:
        """Work for a document."""
        super().__init__(runner)
        self._states = states
        self._asked = 0

    @Slot()
    def forget(self) -> None:
        """Drop the question: its answer is not needed any more."""
        self._asked += 1
        self._runner.drop(job for job in self._runner.queue.jobs() if job.about == TYPED)

    def ask(
        self,
        goal: planning.Goal,
        take: Callable[[ShapeAnswer], None],
        missed: Callable[[SecateurError | None], None],
    ) -> None:
        """Ask what a goal's shape comes to, from the current state on; only the last question is answered.

        Args:
            goal: With a shape; or with limits alone, which become one; without both nothing goes.
            take: Takes the answer.
            missed: Takes the reason where there is no answer, None where the question could not be asked.
        """
        self.forget()
        number, contents = self._asked, self._document.contents

        def take_answer(answer: ShapeAnswer) -> None:
            if number == self._asked:
                take(answer)

        def take_error(error: SecateurError) -> None:
            if number == self._asked:
                missed(error)

        begun = self._runner.run(
            self.tr("Check the target shape"),
            take_answer,
            "shape",
            contents.present,
            contents.intent(goal),
            self._document.scores,
            contents.table,
            about=TYPED,
            otherwise=take_error,
        )
        if not begun:
            missed(None)

    def seconds(self, steps: int) -> float:
        """About how long masks are learned in so many steps; 0 unknown."""
        document = self._document
        task, batch = document.task, document.task.batch if document.task is not None else 0
        samples = task.sizes.get("train", 0) if task is not None else 0
        return self._runner.estimator.training_seconds(1, 1.0) * steps * batch / samples if samples else 0.0

    def rounds(self, goal: planning.Goal) -> int:
        """In how many rounds the goal is reached from the current state."""
        contents = self._document.contents
        assert contents.analysis is not None
        return rounds_to(contents.analysis, goal, contents.removed | (contents.by_hand & contents.marked))

    def rounds_seconds(self, recovery: RecoverySettings, share: float, rounds: int) -> float:
        """About how long so many rounds train, down to a share of the original's MACs; 0 unknown."""
        return self._runner.estimator.rounds_seconds(recovery, share, rounds)

    def start(self, choose: Choose, mask_steps: int, recovery: RecoverySettings | None) -> None:
        """Prune the current state to the goal's shape; what was made before is not made again.

        Args:
            choose: How it is chosen what stays.
            mask_steps: Updates in which masks are learned.
            recovery: How cuts are recovered, None for not at all.
        """
        document, contents = self._document, self._document.contents
        request = contents.request(contents.wanted, recovery)
        settings = replace(request, choose=choose, mask_steps=mask_steps, lose=document.goal.lose / 100)
        contents.pruning = settings
        began = contents.present
        titles = {Choose.ROUNDS: self.tr("Prune to the target shape in rounds")}
        begun = self._runner.run(
            titles.get(choose, self.tr("Learn masks for the target shape")),
            lambda states: self._finish(states, began),
            "prune",
            began,
            settings,
            document.scores,
            arrived=document.take_trained,
        )
        if begun:
            document.expect_curve(began)

    def _finish(self, states: tuple[State, ...], began: str) -> None:
        document = self._document
        document.take_arrivals(states)
        if not states:
            return document.say(self.tr("The current state already has the target shape."))
        if document.contents.present == began and not document.marked.any() and not document.busy:
            document.plan.enter(states[-1].id, self.tr("go to the target shape"))
        document.say(self.tr("The target shape is reached. Undo goes back to the state before."))
        self._states.measure_if_cheap(tuple(state.id for state in states))


def shaped(goal: planning.Goal, *shape: planning.KindLimit) -> planning.Goal:
    """A goal that asks for a shape alone."""
    return replace(goal, limits=(), kept=(), shape=shape)
