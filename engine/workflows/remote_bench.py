"""Measuring the states of a project on another machine: files out, results in."""

from pathlib import Path

from ..errors import SecateurError
from ..session.state_history import History
from ..session.states import State
from ..targets.remote import read_bench


def bench_name(state: State) -> str:
    """What a state's file is called there: its number, and the content of its weights."""
    return f"{state.id}-{state.weights}"


def take_results(history: History, path: Path) -> tuple[State, ...]:
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
