"""Measuring the states of a project on another machine by hand: files out, results in."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SecateurError
from ..jobs import CancelToken, Job, NeverCancelled, Progress, part_of
from ..session.state_history import StateHistory
from ..session.states import State
from ..storage.paths import absolute_to
from ..targets.protocol import TargetSpec
from ..targets.remote import check_bench, read_bench, write_bench

if TYPE_CHECKING:
    from ..session.session import Session  # brings torch, which taking results does not need

NEVER = NeverCancelled()


def write_remote_bench(
    session: "Session", states: tuple[str, ...], folder: str, target: TargetSpec, token: CancelToken = NEVER
) -> Job[tuple[str, str]]:
    """Write what another machine needs to measure states; returns the folder and the command to run there.

    It measures ONNX files in onnxruntime, whatever runtime is the target here.
    """
    check_bench(target)
    target = replace(target, runtime=TargetSpec().runtime)
    files: dict[str, Path] = {}
    for number, state in enumerate(states):
        one = session.history.state(state)
        writing = session.artifacts().file(session.model(state), one, target, token)
        files[bench_name(one)] = yield from part_of(Progress("Writing the models", number, len(states)), writing)
    return write_bench(Path(absolute_to(Path.cwd())(folder)), files, session.prepared.inputs, target)


def read_remote_bench(session: "Session", path: str) -> tuple[State, ...]:
    """Read what `bench.py` wrote on another machine into the states that it measured; returns these."""
    return take_results(session.history, Path(absolute_to(Path.cwd())(path)))


def bench_name(state: State) -> str:
    """What a state's file is called there: its number, and the content of its weights."""
    return f"{state.id}-{state.weights}"


def take_results(history: StateHistory, path: Path) -> tuple[State, ...]:
    """Keep the timings of a results file in the states that they are of; raises SecateurError where it is of none."""
    timings = read_bench(path)
    measured = [state for state in history.states.values() if bench_name(state) in timings]
    if not measured:
        raise SecateurError(
            "target.strangers", "{path} holds no results of this project's states. Choose another file.", path=str(path)
        )
    for state in measured:
        history.add_timing(state.id, timings[bench_name(state)])
    return tuple(history.state(state.id) for state in measured)
