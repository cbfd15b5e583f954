"""Courses whose goal limits the latency: measured after the cut, cut again where that was too slow."""

from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.session import latencies
from secateur.engine.session.courses import Course
from secateur.engine.session.session import Session
from secateur.engine.session.states import StateKind
from secateur.engine.session.timed import latency_of, table_for
from secateur.engine.targets.profile import Profile
from secateur.engine.targets.protocol import Kernel, TargetSpec, Timing
from tests.engine.session.small import write_project

TORCH = TargetSpec("torch")
BASE, EACH = 1e-4, 1e-7
"""Seconds of a run, and more for each weight."""


class Runtime:
    """Models take a time for each of their weights; when a whole cut is measured, everything is slower than that."""

    def __init__(self, session: Session) -> None:
        self.session, self.slower, self.measured = session, 1.0, list[tuple[str, ...]]()

    def profile(self, original, model, inputs, target, token):
        from safetensors.numpy import load_file

        tensors, others = (load_file(folder / "weights.safetensors") for folder in (model, original))
        kernels = tuple(Kernel(name, "Weight", (one.shape,), EACH * one.size) for name, one in tensors.items())
        size, whole = (sum(one.size for one in some.values()) for some in (tensors, others))
        return Profile(BASE + EACH * size, BASE + EACH * whole, 1.0, 1.0, kernels)
        yield

    def seconds(self, state: str) -> float:
        return (BASE + EACH * self.session.history.state(state).parameters) * (self.slower if state != "s0" else 1.0)

    def measure(self, states, target, token):
        self.measured.append(states)
        timings = [Timing(target, 1e3 * self.seconds(one), 0, 0, 5, "") for one in states]
        for one, timing in zip(states, timings, strict=True):
            state = self.session.history.state(one)
            self.session.history.put(replace(state, timings=(timing,)))
        return tuple(timings)
        yield


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Session(tmp_path / "session")
    finish(made.open(replace(write_project(tmp_path / "user"), task=None, input_shape=(2, 1, 8, 8))))
    return made


@pytest.fixture
def runtime(session: Session, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    made = Runtime(session)
    monkeypatch.setattr(latencies, "profile", made.profile)
    monkeypatch.setattr(session, "measure", made.measure)
    return made


def course(limit: Limit) -> Course:
    return Course(Goal((limit,), target=TORCH), "l1")


def test_a_cut_is_as_fast_as_asked_and_measured_in_turns_with_the_original(session: Session, runtime: Runtime):
    asked = 0.6 * runtime.seconds("s0")
    (cut,) = finish(session.prune("s0", course(Limit(Cost.LATENCY, amount=round(asked * 1e9)))))
    assert 0.85 * asked < runtime.seconds(cut.id) <= asked * 1.02
    assert ("s0", cut.id) in runtime.measured and session.history.state(cut.id).timings[0].target.runtime == "torch"


def test_a_cut_that_is_measured_to_be_too_slow_is_cut_deeper_before_it_is_recovered(session: Session, runtime: Runtime):
    runtime.slower = 1.2
    goal = course(Limit(Cost.LATENCY, amount=round(0.7 * runtime.seconds("s0") * 1e9)))
    (cut,) = finish(session.prune("s0", goal))
    assert runtime.seconds(cut.id) <= 0.7 * runtime.seconds("s0") * 1.02
    cuts = [one for one in session.states() if one.kind is StateKind.CUT]
    assert len(cuts) > 1 and all(one.parent == "s0" for one in cuts)
    count = len(runtime.measured)
    assert finish(session.prune("s0", goal))[0].id == cut.id and len(runtime.measured) == count  # all that is known


def test_what_was_asked_predicted_and_measured_is_told_and_a_slower_cut_is_called_slower(
    session: Session, runtime: Runtime
):
    runtime.slower = 9.0
    goal = course(Limit(Cost.LATENCY, 0.7)).goal
    (cut,) = finish(session.prune("s0", course(Limit(Cost.LATENCY, 0.7))))
    table = finish(table_for(session, goal, NeverCancelled()))
    assert table is not None
    found = finish(latency_of(session, cut, goal, table, NeverCancelled()))
    assert found.slower and not found.met
    assert found.asked == pytest.approx(0.7e3 * runtime.seconds("s0"))
    assert found.predicted == pytest.approx(1e3 * runtime.seconds(cut.id) / 9, rel=0.03)
    assert found.measured.median == pytest.approx(1e3 * runtime.seconds(cut.id))


def test_without_a_limit_of_the_latency_nothing_is_measured(session: Session, runtime: Runtime):
    finish(session.prune("s0", Course(Goal((Limit(Cost.MACS, 0.5),)), "l1")))
    assert not runtime.measured
