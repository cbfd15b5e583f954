"""Jobs that a plan is made from: scores and sensitivity of the current state, predicted latencies, the plan itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Slot

from secateur.engine.errors import EngineLost, Message, PlanError, SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.planning.protocol import Cost, Planned
from secateur.engine.recovery.protocol import chosen_by_repair
from secateur.engine.scoring.criteria import CRITERIA, FIRST, search_helps
from secateur.engine.scoring.score_options import Choices
from secateur.engine.scoring.share_search import SearchedPlan
from secateur.engine.sensitivity.protocol import SHARES, Sensitivity
from secateur.engine.structures.analysis import Mask
from secateur.engine.targets.latency_table import Saving
from secateur.engine.workflows.shape_answer import ShapeAnswer

from ..document.contents import Contents
from ..document.preconditions import has_shares
from ..document.sensitivity_curves import Curves
from ..storage.background import BackgroundTasks
from ..text.titles import criterion_title, state_name
from ..text.translate import sentence
from .job_queue import QueuedJob
from .job_runner import DocumentJobs, JobRunner


class PlanSolver(BackgroundTasks):
    """Searches plans, one after the other; the last request is answered last."""

    def __init__(self) -> None:
        """Nothing runs before `start`."""
        super().__init__("plan solver")

    def start(
        self,
        contents: Contents,
        scores: Any,
        on_done: Callable[[Planned], None],
        on_error: Callable[[SecateurError], None],
    ) -> None:
        """Search; what the user decided by hand stays as it is.

        Args:
            contents: What to plan for, with its goal.
            scores: [S] by which structures go.
            on_done: Takes the plan, in the interface's thread.
            on_error: Takes why there is no plan.
        """
        decided = contents.by_hand | contents.locked
        analysis, wanted, table = contents.analysis, contents.wanted, contents.table
        removed = contents.removed | (contents.marked & decided)
        locked = decided & ~contents.marked
        assert analysis is not None

        def solve() -> Planned:
            from secateur.engine.planning import goal

            return goal.solve(analysis, scores, wanted, removed, locked, table)

        # Waiting requests were made for an earlier goal.
        self.drop_waiting()
        self.run(solve, on_done, on_error)


class PlanJobs(DocumentJobs):
    """Scores, latencies, plans.

    Attributes:
        solver: Searches the plan for the goal.
    """

    def __init__(self, runner: JobRunner) -> None:
        """Work for a document; its scores are asked for whenever it wants some."""
        super().__init__(runner)
        self.solver = PlanSolver()
        # (state, criterion) of scores that are asked for besides those of the chosen criterion.
        self._compared: set[tuple[str, str]] = set()
        # The plan that waited for a job in which the engine was lost.
        self._plan_again: Callable[[], None] | None = None
        self._document.scores_wanted.connect(self.score_first)
        self._document.scores_wanted.connect(self.score)
        runner.broken_off.connect(self._note_lost_plan)

    def close(self) -> None:
        """Let go of a plan in the making."""
        self.solver.close()

    @Slot()
    def score(self) -> None:
        """Rate the structures of the current state, unless that is known or under way; no other scores are needed."""
        document, queue = self._document, self._runner.queue
        wanted = (document.contents.present, document.contents.rating)
        others = [job for job in queue.jobs() if job.method == "score" and job.about not in (wanted, *self._compared)]
        self._rate(document.criterion, document.contents.choices, document.contents.rating)
        follow = next((job.then for job in others if job.then is not None), None)
        if follow is not None and (scoring := queue.about(wanted)) is not None:
            # A plan that waits for scores takes those of the criterion that is chosen now.
            scoring.then = follow
        self._runner.drop(others)
        if follow is not None and document.scores is not None:
            follow()

    @Slot()
    def score_first(self) -> None:
        """Rate the current state by its weights alone, for views to show until the scores of the criterion are there.

        Where weights cannot be rated nothing is said: the criterion's scores say it, if they need weights.
        """
        if self._document.scores is None and CRITERIA[self._document.criterion].needs_data:
            self._rate(FIRST, Choices(), FIRST, first=True)

    def rate(self, criterion: str) -> None:
        """Score them by another criterion too, as it does by itself: the document's criterion stays."""
        self._compared.add((self._document.contents.present, criterion))
        self._rate(criterion, Choices(), criterion)

    def _rate(self, criterion: str, choices: Choices, rating: str, first: bool = False) -> None:
        document, state = self._document, self._document.contents.present
        title = self.tr("Score structures of {state} by {criterion}").format(
            state=state_name(document.states, state), criterion=criterion_title(criterion)
        )
        about = (state, rating)
        known = about in document.contents.scores or self._runner.queue.about(about) is not None
        if state and not known and self._runner.link is not None:
            self._runner.run(
                title,
                lambda scores: document.take_scores(state, rating, scores),
                "first_scores" if first else "score",
                state,
                criterion,
                choices,
                background=first,
                about=about,
            )

    def suggest(self) -> None:
        """Plan for the goal, with what is locked or decided by hand left as it is.

        It waits for scores, and for what predicts a latency that the goal limits.
        """
        if not self._document.plan.refuses():
            self._suggest()

    def _suggest(self) -> None:
        document, contents = self._document, self._document.contents
        if document.analysis is None:
            return
        if self._wait_for_inputs(self._suggest):
            return
        revision = document.revision

        def fail(error: SecateurError) -> None:
            if revision == document.revision:
                document.fail(error)

        if not document.goal.shape:
            self.solver.start(
                contents,
                document.scores,
                on_done=lambda plan: self._take_plan(plan.removed, revision, plan.note),
                on_error=fail,
            )
            return

        def take(answer: ShapeAnswer) -> None:
            if answer.removed is not None:
                self._take_plan(answer.removed, revision)
            else:
                fail(PlanError.saying(answer.problems[0].message))

        # Only the model tells which shapes its configuration accepts, so the engine plans for a target shape.
        title = self.tr("Plan the target shape")
        self._runner.run(title, take, "shape", contents.present, contents.intent(), document.scores, contents.table)

    def search_shares(self) -> None:
        """Plan for the goal, then have layers give each other shares while the repaired outputs come nearer.

        The best plan so far is taken when it is cancelled, too, or the engine is lost.
        """
        document, contents = self._document, self._document.contents
        if document.analysis is None or document.plan.refuses():
            return
        # The goal may have changed while the search waited.
        if why := has_shares(document):
            return document.say(why)
        if self._wait_for_inputs(self.search_shares):
            return
        intent = replace(contents.intent(), search=0)
        revision, better = document.revision, list[SearchedPlan]()

        def take_best(error: SecateurError) -> None:
            if better and isinstance(error, Cancelled | EngineLost):
                self._take_search(min(better, key=lambda one: one.after), revision)

        self._runner.run(
            self.tr("Search shares of layers"),
            lambda found: self._take_search(found, revision, finished=True),
            "search_shares",
            contents.present,
            intent,
            document.scores,
            contents.table,
            arrived=better.extend,
            otherwise=take_best,
        )

    def _take_search(self, found: SearchedPlan, revision: int, finished: bool = False) -> None:
        document = self._document
        if revision != document.revision or document.busy:
            return document.say(self.tr("The plan was changed meanwhile, so the searched one was not taken."))
        if not (found.removed & ~document.removed).any():
            return document.say(self.tr("The current state already meets the goal. Lower the goal to cut more."))
        # Broken off, it would not be found again by a recipe.
        document.plan.apply_plan(found.removed, self.tr("search shares"), searched=finished)
        document.say(sentence(found.message))

    def _wait_for_inputs(self, plan: Callable[[], None]) -> bool:
        """Whether a plan waits for scores, or for what predicts latencies: it follows, if the same state is present."""
        document, contents = self._document, self._document.contents
        state = contents.present
        if document.scores is None:
            self.score()
            about: object = (state, contents.rating)
            words = self.tr("Computing scores. The plan follows.")
        elif document.goal.cost is Cost.LATENCY and contents.table is None:
            self.measure_latencies()
            about = ("latencies", document.target)
            words = self.tr("Measuring cut models on the target. The plan follows.")
        else:
            return False

        def follow() -> None:
            if self._document.contents.present == state:
                # Clear the sentence that said what was waited for.
                self._document.tell("")
                plan()

        job, shown = self._runner.queue.about(about), document.job_about(about)
        if job is not None:
            job.then = follow
            if shown is not None and shown.place:
                words = self.tr("The plan waits for: {first}, then {job}.")
                words = words.format(first=document.jobs[0].title, job=job.title)
            document.say(words)
        return True

    @Slot(object)
    def _note_lost_plan(self, job: QueuedJob) -> None:
        self._plan_again = self._plan_again or job.then

    def go_on(self) -> None:
        """The engine is there again: plan, where a plan waited for what it was lost in, else rate again."""
        self.score()
        again, self._plan_again = self._plan_again, None
        if again is not None:
            again()

    def measure_latencies(self) -> None:
        """Measure what latencies on the target are predicted with, unless that is under way."""
        target = self._document.target
        about = ("latencies", target)

        def apply(table: Any) -> None:
            self._document.take_latencies(target, table)
            self.read_savings()

        if self._runner.queue.about(about) is None:
            title = self.tr("Measure latency savings on the target")
            self._runner.run(title, apply, "latencies", target, about=about)

    def read_savings(self) -> None:
        """Read what removal saves in the current state, where a table of the target is there and that is not known."""
        document, contents = self._document, self._document.contents
        state, target = contents.present, document.target
        if contents.table is None or (state, target) in contents.savings:
            return

        def take_savings(result: tuple[Saving, ...]) -> None:
            document.take_savings(state, target, result)

        title = self.tr("Read the latency savings of {state}").format(state=state_name(document.states, state))
        self._runner.run(title, take_savings, "savings", state, target)

    def _take_plan(self, marked: Mask, revision: int, note: Message | None = None) -> None:
        document = self._document
        if revision != document.revision or document.busy:
            return
        if not (marked & ~document.removed).any():
            return document.say(self.tr("The current state already meets the goal. Lower the goal to cut more."))
        words = self.tr("plan the target shape") if document.goal.shape else self.tr("suggest plan")
        document.plan.apply_plan(marked, words)
        repaired = chosen_by_repair(document.recovery, document.task)
        if search_helps(document.criterion, document.task, repaired) and not has_shares(document):
            document.say(self.tr("On text, Edit > Search shares often finds a better plan in some minutes."))
        elif note is not None:
            document.say(sentence(note))


class SensitivityJobs(DocumentJobs):
    """Changes neither state nor plan, so both can be worked on meanwhile; points are shown as they come."""

    @Slot()
    def start(self) -> None:
        """Measure the current state; goes on where a run stopped."""
        document = self._document
        state, rating = document.contents.present, document.contents.rating
        found = Curves(self._runner.estimator.sensitivity().trials)

        def arrived(trials: tuple[Any, ...]) -> None:
            found.take(trials)
            document.take_curves(state, rating, found)

        def finished(result: Sensitivity) -> None:
            found.finish(result)
            for note in result.notes:
                document.note(sentence(note))
            document.take_curves(state, rating, found)

        title = self.tr("Measure the sensitivity of {state}").format(state=state_name(document.states, state))
        self._runner.run(
            title,
            finished,
            "sensitivity",
            state,
            document.criterion,
            SHARES,
            None,
            document.contents.choices,
            about=("sensitivity", state, rating),
            arrived=arrived,
        )
