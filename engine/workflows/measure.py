"""How long states of a session and their baselines take on a target, measured in turns."""

from dataclasses import replace
from pathlib import Path

from ..jobs import CancelToken, Job, NeverCancelled, Progress, spanning
from ..model_inputs import Inputs
from ..session.session import Session
from ..session.states import EXPORT_MARK
from ..targets.measure import measure as time_files
from ..targets.measure import measure_steps
from ..targets.over_ssh import require_measurable
from ..targets.protocol import WRITING, TargetSpec, Timing
from .export import kept_file
from .measurable import artifacts_of, measurable

NEVER = NeverCancelled()


def measure_states(
    session: Session, states: tuple[str, ...], target: TargetSpec, token: CancelToken = NEVER
) -> Job[tuple[Timing, ...]]:
    """Latencies of states, exports and baselines on a target, interleaved; they are kept with them.

    Args:
        session: Keeps them.
        states: Ids of states and baselines, names of exports (`states.export_name`) in lower precision.
        target: Where. It runs such exports as they are: see `states.measurable_exports`.
        token: Cancels.
    """
    if target.address:
        yield from require_measurable(target, token)
    files: list[Path] = []
    steps: list[tuple[Path, Inputs]] = []
    fresh = [_is_fresh(session, state, target) for state in states]
    whole, written = WRITING * sum(fresh) + len(states), 0.0
    for state, new in zip(states, fresh, strict=True):
        if EXPORT_MARK in state:
            files.append((yield from _kept(session, state, token)))
            continue
        artifacts, model, one = measurable(session, state)
        if target.tokens:
            steps.append((yield from artifacts.step(model, one, target, token)))
        end = written + WRITING * new / whole
        files.append((yield from spanning(artifacts.file(model, one, target, token), written, end)))
        written = end
    yield Progress("Measuring", share=written)
    timing = time_files(files, session.prepared.inputs, target, token=token)
    timings = yield from spanning(timing, written, 1.0)
    if steps:
        yield Progress("Measuring the next token")
        paths, inputs = [path for path, _ in steps], [given for _, given in steps]
        found = yield from measure_steps(paths, inputs, target, token)
        timings = tuple(replace(timing, step=one) for timing, one in zip(timings, found, strict=True))
    before = dict(zip(states, timings, strict=True)).get(session.states()[0].id)
    if before is not None:
        timings = tuple(replace(timing, beside=before.undisturbed) for timing in timings)
    for state, timing in zip(states, timings, strict=True):
        session.history.add_timing(state, timing)
    return timings


def _is_fresh(session: Session, name: str, target: TargetSpec) -> bool:
    """Whether the file of a state or a baseline must be written first."""
    if EXPORT_MARK in name:
        return False
    artifacts, state = artifacts_of(session, name)
    return not artifacts.has(state, target)


def _kept(session: Session, name: str, token: CancelToken) -> Job[Path]:
    state, _, format = name.partition(EXPORT_MARK)
    return kept_file(session, state, format, token)
