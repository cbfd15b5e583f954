"""Courses whose goal limits the latency: measured after the cut, cut again where that was too slow."""

from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.session.states import State, StateKind
from secateur.engine.workflows.budget_search import LossLimit, search_budget
from secateur.engine.workflows.latency_limit import latency_of, table_for
from secateur.engine.workflows.measure import measure_states
from secateur.engine.workflows.prune import PruneRequest, prune_state
from secateur.engine.workflows.sweep import sweep_budgets
from tests.engine.session.small import write_project
from tests.engine.session.weighed import TORCH, Weighed


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Session(tmp_path / "session")
    finish(made.open(replace(write_project(tmp_path / "user"), task=None, input_shape=(2, 1, 8, 8))))
    return made


@pytest.fixture
def runtime(session: Session, monkeypatch: pytest.MonkeyPatch) -> Weighed:
    return Weighed(monkeypatch)


def taken(session: Session, runtime: Weighed, state: str = "s0") -> float:
    return runtime.seconds(session.history.state(state))


def settings(limit: Limit) -> PruneRequest:
    return PruneRequest(Goal((limit,), target=TORCH), "l1")


def test_a_cut_is_as_fast_as_asked_and_measured_in_turns_with_the_original(session: Session, runtime: Weighed):
    asked = 0.6 * taken(session, runtime)
    (cut,) = finish(prune_state(session, "s0", settings(Limit(Cost.LATENCY, amount=round(asked * 1e9)))))
    assert 0.85 * asked < taken(session, runtime, cut.id) <= asked * 1.02
    assert ("s0", cut.id) in runtime.measured and session.history.state(cut.id).timings[0].target.runtime == "torch"


def test_a_cut_that_is_measured_to_be_too_slow_is_cut_deeper_before_it_is_recovered(session: Session, runtime: Weighed):
    runtime.slower = 1.2
    goal = settings(Limit(Cost.LATENCY, amount=round(0.7 * taken(session, runtime) * 1e9)))
    (cut,) = finish(prune_state(session, "s0", goal))
    assert taken(session, runtime, cut.id) <= 0.7 * taken(session, runtime) * 1.02
    cuts = [one for one in session.states() if one.kind is StateKind.CUT]
    assert len(cuts) > 1 and all(one.parent == "s0" for one in cuts)
    count = len(runtime.measured)
    again = finish(prune_state(session, "s0", goal))  # all that is known
    assert again[0].id == cut.id and len(runtime.measured) == count


def test_a_course_that_was_stopped_behind_a_corrected_cut_goes_on_from_where_it_began(
    session: Session, runtime: Weighed
):
    runtime.slower, task = 1.2, write_project(session.folder.parent / "user").task
    assert task is not None
    finish(session.attach_task(task))
    limit = Limit(Cost.LATENCY, amount=round(0.7 * taken(session, runtime) * 1e9))
    asked = replace(settings(limit), recovery=RecoverySettings(epochs=1, threads=1))
    for progress in prune_state(session, "s0", asked):
        if progress.text == "Cut":
            break
    left = session.states()[-1]
    assert left.kind is StateKind.CUT and left.plan != asked.intent(asked.goal)  # the limit was corrected
    made = finish(prune_state(session, "s0", asked))
    assert [one.kind for one in made] == [StateKind.CUT, StateKind.RECOVERED] and made[0].id == left.id


def test_what_was_asked_predicted_and_measured_is_told_and_a_slower_cut_is_called_slower(
    session: Session, runtime: Weighed
):
    runtime.slower = 9.0
    goal = settings(Limit(Cost.LATENCY, 0.7)).goal
    (cut,) = finish(prune_state(session, "s0", settings(Limit(Cost.LATENCY, 0.7))))
    table = finish(table_for(session, goal, NeverCancelled()))
    assert table is not None
    found = finish(latency_of(session, cut, goal, table, NeverCancelled()))
    assert found.slower and not found.met
    assert found.asked == pytest.approx(0.7e3 * taken(session, runtime))
    assert found.predicted == pytest.approx(1e3 * taken(session, runtime, cut.id) / 9, rel=0.03)
    assert found.measured.median == pytest.approx(1e3 * taken(session, runtime, cut.id))


def test_what_another_machine_measured_is_not_held_against_the_table_of_this_one(session: Session, runtime: Weighed):
    goal = settings(Limit(Cost.LATENCY, 0.7)).goal
    (cut,) = finish(prune_state(session, "s0", settings(Limit(Cost.LATENCY, 0.7))))
    for state in session.states():  # as in a project that was carried here
        away = (replace(one, median=99 * one.median, machine="an older computer") for one in state.timings)
        session.history.put(replace(state, timings=tuple(away)))
    table = finish(table_for(session, goal, NeverCancelled()))
    assert table is not None
    found = finish(latency_of(session, session.history.state(cut.id), goal, table, NeverCancelled()))
    assert found.measured.median == pytest.approx(1e3 * taken(session, runtime, cut.id))
    assert found.measured.beside == pytest.approx(1e3 * taken(session, runtime)) and found.met


def test_a_cut_is_held_against_the_original_of_the_same_turns(
    session: Session, runtime: Weighed, monkeypatch: pytest.MonkeyPatch
):
    sweep = PruneRequest(Goal((Limit(Cost.LATENCY, 1.0),), target=TORCH), "l1")
    fair = Weighed.seconds

    def seconds(self: Weighed, state: State) -> float:  # the machine becomes faster behind the first measurement
        return fair(self, state) * (1.0 if len(self.measured) == 1 else 0.94)

    monkeypatch.setattr(Weighed, "seconds", seconds)
    first = finish(sweep_budgets(session, "s0", sweep, (0.8, 0.6)))
    count, measured = len(session.states()), len(runtime.measured)
    again = finish(sweep_budgets(session, "s0", sweep, (0.8, 0.6)))
    assert [one.states for one in again.points] == [one.states for one in first.points]
    assert (len(session.states()), len(runtime.measured)) == (count, measured)


def test_measured_turns_tell_the_time_of_the_original_among_them(session: Session):
    (cut,) = finish(prune_state(session, "s0", PruneRequest(Goal((Limit(Cost.MACS, 0.5),)), "l1")))
    target = replace(TORCH, seconds=0.02)
    original, timing = finish(measure_states(session, ("s0", cut.id), target))
    assert timing.beside == original.undisturbed == original.beside
    assert finish(measure_states(session, (cut.id,), target))[0].beside == 0.0


def test_without_a_limit_of_the_latency_nothing_is_measured(session: Session, runtime: Weighed):
    finish(prune_state(session, "s0", PruneRequest(Goal((Limit(Cost.MACS, 0.5),)), "l1")))
    assert not runtime.measured


def test_budgets_that_turn_out_slower_than_asked_say_so(session: Session, runtime: Weighed):
    runtime.slower = 9.0
    done = finish(
        sweep_budgets(session, "s0", PruneRequest(Goal((Limit(Cost.LATENCY, 1.0),), target=TORCH), "l1"), (0.8, 0.6))
    )
    assert all(one.states and "slower than the original" in str(one.note) for one in done.points)


@pytest.mark.parametrize(("slower", "holds"), [(1.0, True), (1.1, True), (9.0, False)])
def test_a_search_for_the_fastest_tells_the_measured_share_and_takes_nothing_slower(
    session: Session, runtime: Weighed, slower: float, holds: bool
):
    runtime.slower, task = slower, write_project(session.folder.parent / "user").task
    assert task is not None
    finish(session.attach_task(task))
    found = finish(
        search_budget(
            session, "s0", PruneRequest(Goal((), target=TORCH), "l1"), LossLimit(0.99, Cost.LATENCY, trials=2)
        )
    )
    whole = taken(session, runtime)
    made = [one for one in found.trials if one.state]
    cuts = {one.state: next(s for s in session.states() if s.id == one.state) for one in made}
    assert made and all(
        one.got == pytest.approx(runtime.seconds(cuts[one.state]) / whole) for one in made if one.state != "s0"
    )
    assert bool(found.states) == holds and any(one.holds for one in made) == holds
    assert holds or all("slower than the original" in str(one.note) for one in made)
