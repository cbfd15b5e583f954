"""The document against an engine that the test plays: every job's result, failure and cancel, undo across all of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.app.document.aspects import Aspect, Goal, Selection
from secateur.app.document.document import Document
from secateur.app.jobs.workbench import Workbench
from secateur.engine.errors import EngineLost, Message, PlanError, TaskError
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.planning.isomorphic_classes import held_by_blocks
from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.process.events import Progressed
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import OpenedModel, State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.reasons import unused_kept
from secateur.engine.targets.protocol import Timing
from secateur.engine.tasks.protocol import Metric, Split, TaskSpec

from ..demo_analysis import scores_of, small_resnet
from ..fake_link import FakeLink, workbench_on
from ..stand_in import state_of, task_info

ANALYSIS = small_resnet()
SCORES = scores_of(ANALYSIS)
FILTERS = next(n for n, s in enumerate(ANALYSIS.sets) if s.kind is Kind.FILTER)
FIRST = ANALYSIS.sets[FILTERS].first
RESNET = ModelSpec("bundled:resnet")


@dataclass
class Desk:
    """A workbench, its link, and what it said."""

    workbench: Workbench
    link: FakeLink
    failures: list[Any]
    sentences: list[str]

    @property
    def document(self) -> Document:
        return self.workbench.document

    def answer(self, method: str, result: Any) -> None:
        self.link.finished.emit(self.link.last(method), result)

    def refuse(self, method: str, error: Any) -> None:
        self.link.failed.emit(self.link.last(method), error)

    def settle(self) -> None:
        """Answer scores and measurements that nobody asked for by hand."""
        for job in self.workbench.runner.queue.jobs():
            method, _ = self.link.calls[job.id]
            if method == "score":
                self.link.finished.emit(job.id, np.where(self.document.removed, np.nan, SCORES))
            elif method in ("first_scores", "measure", "evaluate"):
                self.link.failed.emit(job.id, Cancelled())

    def cut_state(self, name: str = "s1", kind: StateKind = StateKind.CUT) -> State:
        removed = self.document.removed | self.document.marked
        return state_of(ANALYSIS, name, self.document.contents.present, kind, removed)


@pytest.fixture
def desk(qapp) -> Iterator[Desk]:
    link = FakeLink()
    workbench = workbench_on(link)
    document = workbench.document
    desk = Desk(workbench, link, [], [])
    document.failed.connect(desk.failures.append)
    document.announced.connect(desk.sentences.append)
    workbench.model.open(RESNET)
    state = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    desk.answer("open", OpenedModel("net", ANALYSIS, state, (), task_info()))
    desk.settle()
    yield desk
    workbench.close()


def facts(document: Document) -> tuple:
    """All that undo must bring back, and more."""
    return (
        document.contents.present,
        document.marked.tobytes(),
        document.removed.tobytes(),
        document.locked.tobytes(),
        document.contents.by_hand.tobytes(),
        document.goal,
        tuple(document.contents.states),
        document.history.undo_text,
        document.history.redo_text,
    )


def test_opening_with_a_task_scores_by_what_counts_on_the_usual_repair_at_once(desk: Desk):
    assert desk.link.asked("score")[:2] == ("s0", "obs")
    assert desk.document.scores is not None


def test_the_metric_of_what_was_opened_comes_before_its_scores_and_both_are_shown(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    workbench.model.open(RESNET)
    original = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    desk.answer("open", OpenedModel("resnet", ANALYSIS, original, (), task_info()))
    asked = [method for method, _ in desk.link.calls.values()]
    assert asked.index("first_scores") < asked.index("evaluate_original") < asked.index("score")
    desk.answer("first_scores", SCORES)
    assert document.shown_scores is SCORES and document.scores is None
    assert document.evaluation_words() == "The original is being evaluated."
    metric = Metric("top-1", 0.9, 2000, 0.007, Split.TEST)
    desk.settle()
    desk.answer("evaluate_original", (metric, replace(task_info(), notes=("Prepare it otherwise.",), seconds=0.1)))
    assert document.metric(document.original) == metric and document.scores is not None
    assert document.task is not None and document.task.seconds == 0.1
    assert "Prepare it otherwise." in document.messages.lines()


def test_modules_that_did_not_run_are_named_once_in_the_log(desk: Desk):
    document, note = desk.document, unused_kept("head.other")
    workbench = desk.workbench
    workbench.model.open(RESNET)
    original = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    desk.answer("open", OpenedModel("resnet", ANALYSIS, original, (note,), task_info()))
    desk.settle()
    told = [line for line in document.messages.lines() if "head.other" in line]
    assert told == [
        "These modules did not run on the example input: head.other." + str(note).partition("head.other.")[2]
    ]


def test_an_original_that_was_judged_as_data_was_attached_is_not_judged_again(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    workbench.model.attach_task(TaskSpec("arrays", "new.npz"))
    before = len(desk.link.calls)
    desk.answer("attach_task", task_info())
    metric = Metric("top-1", 0.8, 2000, 0.009, Split.TEST)
    original = replace(state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty()), metrics=(metric,))
    desk.answer("states", (original,))
    asked = [method for method, _ in [*desk.link.calls.values()][before:]]
    assert asked == ["states", "score", *asked[2:]] and "evaluate_original" not in asked
    assert document.metric(document.original) == metric


def test_an_open_that_fails_leaves_the_document_as_it_was(desk: Desk):
    before = facts(desk.document)
    desk.workbench.model.open(ModelSpec("missing.py:make"))
    error = TaskError("open.missing", "missing.py does not exist.")
    desk.refuse("open", error)
    assert facts(desk.document) == before and desk.failures == [error]
    assert desk.document.model_name == "net"


def test_a_cut_becomes_the_present_state_and_undo_goes_back_to_the_marks(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST, FIRST + 1], True)
    planned = facts(document)[:6]
    workbench.states.cut()
    state, removed, plan = desk.link.asked("cut")
    assert state == "s0" and removed.sum() == 2 and plan.criterion == "obs"
    desk.answer("cut", replace(desk.cut_state(), rated=(Message("scoring.few_rows", "Scored on little."),)))
    assert document.state is not None and document.state.id == "s1" and desk.sentences[-1] == "Scored on little."
    assert not document.marked.any() and document.removed.sum() == 2
    calls = len(desk.link.calls)
    asked = [name for name, given in desk.link.calls.values() if given[:1] == ("s1",)]
    assert asked.index("first_scores") < asked.index("score")
    document.plan.undo()
    assert facts(document)[:6] == planned
    document.plan.redo()
    assert document.state.id == "s1" and document.removed.sum() == 2
    assert not any(name in ("cut", "recover") for name, _ in list(desk.link.calls.values())[calls:])


def test_undo_of_a_recovery_goes_to_the_state_before_and_redo_never_trains_again(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST], True)
    workbench.states.cut()
    desk.answer("cut", desk.cut_state())
    workbench.states.recover(RecoverySettings(epochs=1))
    desk.answer("recover", desk.cut_state("s2", StateKind.RECOVERED))
    document.plan.undo()
    assert document.contents.present == "s1"
    document.plan.undo()
    assert document.contents.present == "s0" and document.marked.sum() == 1
    document.plan.redo()
    document.plan.redo()
    assert document.contents.present == "s2"
    assert [name for name, _ in desk.link.calls.values()].count("recover") == 1


@pytest.mark.parametrize("error", [Cancelled(), PlanError("plan.no", "No."), EngineLost("engine.lost", "Lost.")])
def test_a_cut_that_ends_without_a_state_changes_nothing(desk: Desk, error):
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST], True)
    before = facts(document)
    workbench.states.cut()
    desk.refuse("cut", error)
    assert facts(document) == before
    assert not document.busy


def test_while_a_cut_runs_the_plan_cannot_be_edited_and_the_reason_is_said(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST], True)
    workbench.states.cut()
    before = facts(document)
    desk.sentences.clear()
    document.plan.mark([FIRST + 1], True)
    document.plan.clear_marks()
    document.plan.undo()
    document.plan.lock([FIRST], True)
    document.plan.set_goal(Goal(0.3, 1.0))
    assert facts(document) == before
    assert len(desk.sentences) == 5


def test_a_plan_that_would_empty_a_layer_is_refused_with_a_sentence(desk: Desk):
    before = facts(desk.document)
    everything = np.arange(FIRST, FIRST + ANALYSIS.sets[FILTERS].count)
    desk.document.plan.mark(everything, True)
    assert facts(desk.document) == before
    assert len(desk.failures) == 1 and isinstance(desk.failures[0], PlanError)


def test_a_preview_is_no_step_and_can_be_taken_back(desk: Desk):
    document = desk.document
    document.plan.mark([FIRST], True)
    before = facts(document)
    document.plan.preview_below([FILTERS], 0.9)
    assert document.marked.sum() > 1
    document.plan.cancel_preview()
    assert facts(document) == before


def test_dragging_a_threshold_makes_one_step(desk: Desk):
    document = desk.document
    empty = facts(document)[:6]
    for threshold in (0.1, 0.3, 0.5):
        document.plan.preview_below([FILTERS], threshold)
    document.plan.mark_below([FILTERS], 0.5)
    assert document.marked.any()
    document.plan.undo()
    assert facts(document)[:6] == empty


def test_a_suggested_plan_meets_the_goal_and_leaves_what_was_decided_by_hand(desk: Desk, qtbot):
    document = desk.document
    workbench = desk.workbench
    best = FIRST + int(np.nanargmax(SCORES[ANALYSIS.sets[FILTERS].structures]))
    worst = FIRST + int(np.nanargmin(SCORES[ANALYSIS.sets[FILTERS].structures]))
    document.plan.mark([best], True)
    document.plan.mark([worst], True)
    document.plan.mark([worst], False)
    workbench.plan.suggest()
    qtbot.waitUntil(lambda: document.marked.sum() > 10)
    assert document.marked[best] and not document.marked[worst]
    assert document.plan_costs.macs <= 0.5 * document.original_costs.macs


def test_a_goal_may_limit_another_cost_and_the_cut_remembers_it(desk: Desk, qtbot):
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST], True)
    document.plan.mark([FIRST + 1], True)
    document.plan.mark([FIRST + 1], False)
    document.plan.set_goal(Goal(0.6, 1.0, Cost.PARAMETERS))
    workbench.plan.suggest()
    qtbot.waitUntil(lambda: document.marked.sum() > 10)
    assert document.plan_costs.parameters <= 0.6 * document.original_costs.parameters
    workbench.states.cut()
    _, removed, plan = desk.link.asked("cut")
    assert removed[FIRST] and plan.goal.limits == (Limit(Cost.PARAMETERS, 0.6),)
    assert plan.marked == {ANALYSIS.sets[FILTERS].key: [0]} and plan.locked == {ANALYSIS.sets[FILTERS].key: [1]}


def test_a_suggestion_that_comes_after_an_edit_is_dropped(desk: Desk, qtbot):
    document = desk.document
    workbench = desk.workbench
    workbench.plan.suggest()
    document.plan.mark([FIRST], True)
    workbench.plan.solver.flush()
    qtbot.wait(50)
    assert document.marked.sum() == 1


def test_a_plan_that_fails_by_a_fault_of_ours_is_said(desk: Desk, qtbot, monkeypatch):
    def failing(*_):
        raise IndexError("out of bounds")

    monkeypatch.setattr("secateur.engine.planning.goal.solve", failing)
    desk.workbench.plan.suggest()
    qtbot.waitUntil(lambda: bool(desk.failures))
    assert "IndexError: out of bounds" in str(desk.failures[0]) and "Traceback" in desk.failures[0].details


def test_why_a_plan_failed_is_not_said_once_something_else_is_asked(desk: Desk, qtbot, monkeypatch):
    def failing(*_):
        raise PlanError("plan.no", "No.")

    monkeypatch.setattr("secateur.engine.planning.goal.solve", failing)
    desk.workbench.plan.suggest()
    desk.document.plan.set_goal(Goal(0.9, 0.5))
    desk.workbench.plan.solver.flush()
    qtbot.wait(50)
    assert desk.failures == []


def test_a_plan_asked_for_before_scores_are_there_follows_them(desk: Desk, qtbot):
    document = desk.document
    workbench = desk.workbench
    document.set_criterion("l2")
    assert document.scores is None
    workbench.plan.suggest()
    assert not document.marked.any()
    desk.settle()
    qtbot.waitUntil(lambda: bool(document.marked.any()))


def test_metrics_stay_where_only_the_size_of_batches_changes(desk: Desk):
    document, metric = desk.document, Metric("top-1", 0.9, 100, 0.01, Split.TEST, percent=True)
    document.take_task(replace(task_info(), spec=TaskSpec("bundled")))
    document.contents.states["s0"] = replace(document.contents.states["s0"], metrics=(metric,))
    document.take_task(replace(task_info(), spec=TaskSpec("bundled", batch=8)))
    assert document.contents.states["s0"].metrics == (metric,)
    document.take_task(replace(task_info(), spec=TaskSpec("arrays", "other.npz", batch=8)))
    assert document.contents.states["s0"].metrics == ()


def test_locked_structures_are_not_marked(desk: Desk):
    desk.document.plan.lock([FIRST], True)
    desk.document.plan.mark([FIRST, FIRST + 1], True)
    assert not desk.document.marked[FIRST] and desk.document.marked[FIRST + 1]


def test_a_block_is_not_marked_over_what_is_locked_in_it(desk: Desk):
    document = desk.document
    block = next(one.first for one in ANALYSIS.sets if one.kind is Kind.BLOCK)
    document.plan.lock(held_by_blocks(ANALYSIS)[block][:1], True)
    document.plan.mark([block], True)
    assert not document.marked[block] and "Locked" in desk.sentences[-1]
    scope = ANALYSIS.empty()
    scope[block] = True
    document.plan.invert(scope)
    assert not document.marked[block]
    document.plan.lock(held_by_blocks(ANALYSIS)[block][:1], False)
    document.plan.mark([block], True)
    assert document.marked[block]


def test_progress_is_shown_and_recovery_points_become_a_curve(desk: Desk, qtbot):
    document = desk.document
    workbench = desk.workbench
    workbench.states.recover(RecoverySettings())
    number = desk.link.last("recover")
    points = ({"step": 1.0, "loss": 0.5}, {"step": 2.0, "top1": 0.8})
    desk.link.progressed.emit(number, Progressed(number, Progress("Fine-tuning", 2, 10), points))
    view = next(job for job in document.jobs if job.id == number)
    assert (view.text, view.done, view.total) == ("Fine-tuning", 2, 10)
    assert [(p.step, np.isnan(p.loss), np.isnan(p.metric)) for p in document.curve] == [
        (1, False, True),
        (2, True, False),
    ]


def test_time_left_is_told_by_the_steps_of_this_run_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    clock = [100.0]
    monkeypatch.setattr("secateur.app.jobs.job_queue.time.monotonic", lambda: clock[0])
    desk.workbench.states.recover(RecoverySettings())
    number = desk.link.last("recover")

    def left(done: int, total: int, seconds: float) -> float:
        clock[0] += seconds
        desk.link.progressed.emit(number, Progressed(number, Progress("Fine-tuning", done, total), ()))
        return next(job.left for job in desk.document.jobs if job.id == number)

    left(64, 320, 1.0)  # it goes on: 64 steps were made before a crash
    assert left(74, 320, 10.0) == 246.0
    left(0, 20, 5.0)  # another stage
    assert left(10, 20, 1.0) == 1.0


def test_time_left_is_told_by_the_last_steps_not_by_those_that_were_known_already(desk: Desk, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("secateur.app.jobs.job_queue.time.monotonic", lambda: clock[0])
    desk.workbench.sensitivity.start()
    number = desk.link.last("sensitivity")
    for done in range(81):
        desk.link.progressed.emit(number, Progressed(number, Progress("on", done, 81), ()))
        if done == 65:
            break
        clock[0] += 0.002 if done < 60 else 2.0
    view = next(job for job in desk.document.jobs if job.id == number)
    assert view.left == pytest.approx(2.0 * (81 - 65))


def test_what_was_measured_is_kept_with_its_state(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    metric = Metric("top-1", 0.9, 100, 0.03, Split.TEST)
    desk.answer("evaluate_original", (metric, task_info()))
    assert document.state is not None and metric in document.state.metrics
    workbench.states.evaluate()
    better = Metric("top-1", 0.95, 100, 0.02, Split.TEST)
    desk.answer("evaluate", better)
    assert [m for m in document.state.metrics if m.split is Split.TEST] == [better]


def test_a_lost_engine_is_said_once_and_the_plan_stays(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST], True)
    before = facts(document)
    workbench.states.cut()
    error = EngineLost("engine.lost", "The engine process ended unexpectedly.")
    desk.link.lost.emit(error, False, True, True)
    desk.refuse("cut", error)
    assert desk.failures == [error] and facts(document) == before
    desk.link.restored.emit()
    assert "running again" in desk.sentences[-1]


def test_measurements_that_nobody_asked_for_step_aside(desk: Desk):
    document = desk.document
    workbench = desk.workbench
    workbench.states.measure(background=True)
    number = desk.link.last("measure")
    document.plan.mark([FIRST], True)
    workbench.states.cut()
    assert number not in [job.id for job in document.jobs]


def test_measurements_that_stepped_aside_go_on_afterwards_unless_they_were_cancelled_or_made(desk: Desk, tmp_path):
    document, target = desk.document, desk.document.target
    workbench = desk.workbench
    desk.answer("evaluate_original", (Metric("top-1", 0.9, 2000, 0.007, Split.TEST), task_info()))
    workbench.states.measure(background=True)
    first = desk.link.last("measure")
    workbench.model.save(str(tmp_path / "project"))
    desk.refuse("measure", Cancelled())
    desk.answer("save", str(tmp_path / "project"))
    second = desk.link.last("measure")
    assert desk.link.cancelled == [first] and second > first
    workbench.runner.cancel(second)  # by hand: that is meant
    desk.refuse("measure", Cancelled())
    assert desk.link.last("measure") == second
    workbench.states.measure(background=True)
    workbench.model.save(str(tmp_path / "project"))
    desk.answer("measure", (Timing(target, 1.0, 1.0, 1.0, 1, "here"),))
    third = desk.link.last("measure")
    desk.answer("save", str(tmp_path / "project"))
    assert desk.link.last("measure") == third
    assert document.messages.lines()[-1].startswith("Saved in")


def test_a_view_learns_which_aspects_changed(desk: Desk):
    told: list[frozenset] = []
    desk.document.changed.connect(told.append)
    desk.document.select(Selection("layer1", 2))
    desk.document.select(Selection("layer1", 2))
    desk.document.hover(3)
    desk.document.plan.mark([FIRST], True)
    assert told == [{Aspect.SELECTION}, {Aspect.HOVER}, {Aspect.MARKS}]


def test_a_saved_project_is_clean_until_the_next_step(desk: Desk, tmp_path):
    document = desk.document
    workbench = desk.workbench
    document.plan.mark([FIRST], True)
    assert not document.history.clean
    workbench.model.save(str(tmp_path / "project"))
    desk.answer("save", str(tmp_path / "project"))
    assert document.history.clean
    document.plan.mark([FIRST + 1], True)
    assert not document.history.clean


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.integers(0, ANALYSIS.count - 1), st.booleans()),
        st.tuples(st.just("lock"), st.integers(0, ANALYSIS.count - 1), st.booleans()),
        st.tuples(st.just("keep"), st.integers(0, len(ANALYSIS.sets) - 1), st.integers(1, 128)),
        st.tuples(st.just("below"), st.integers(0, len(ANALYSIS.sets) - 1), st.floats(0, 1)),
        st.tuples(st.just("goal"), st.floats(0.1, 1), st.just(0)),
        st.tuples(st.just("clear"), st.just(0), st.just(0)),
        st.tuples(st.just("cut"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


def act(desk: Desk, what: str, first: Any, second: Any) -> None:
    document = desk.document
    workbench = desk.workbench
    match what:
        case "mark":
            document.plan.mark([first], second)
        case "lock":
            document.plan.lock([first], second)
        case "keep":
            document.plan.keep(first, second)
        case "below":
            document.plan.preview_below([first], second)
            document.plan.mark_below([first], second)
        case "goal":
            document.plan.set_goal(Goal(first, 0.5))
        case "clear":
            document.plan.clear_marks()
        case _ if document.marked.any():
            workbench.states.cut()
            desk.answer("cut", desk.cut_state(f"s{len(document.states)}"))
        case _:
            pass  # a cut of nothing
    desk.settle()


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_undoing_everything_and_doing_it_again_ends_where_it_was(qapp, steps):
    link = FakeLink()
    desk = Desk(workbench_on(link), link, [], [])
    state = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    desk.document.adopt(OpenedModel("net", ANALYSIS, state, (), task_info()), RESNET)
    desk.document.take_scores("s0", "taylor", SCORES)
    begin = facts(desk.document)[:6]
    for step in steps:
        act(desk, *step)
    end = facts(desk.document)[:6]
    while desk.document.history.undo_text:
        desk.document.plan.undo()
        desk.settle()
    assert facts(desk.document)[:6] == begin
    while desk.document.history.redo_text:
        desk.document.plan.redo()
        desk.settle()
    assert facts(desk.document)[:6] == end
    desk.workbench.close()
