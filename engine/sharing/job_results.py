"""Reads back what a job made on another machine: recovered states with their course and measurements.

The folder is somebody's file by then: weights are safetensors that must fit the state here, everything else is plain
data of declared types, and nothing outside of the folder is read.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import torch

from ..errors import OpenError, SecateurError
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..recipes.recipe import recipe_of
from ..recipes.steps import Open
from ..recovery.protocol import RecoverySettings, require_possible
from ..session.session import Session
from ..session.state_history import StateHistory, is_project
from ..session.states import State, StateKind
from ..storage.file_limits import checked_weights
from ..storage.paths import absolute_to, require_no_links
from ..storage.serialization import to_plain
from ..storage.weight_store import WeightStore
from ..targets.protocol import Timing
from .job_folder import RESULTS, read_job, write_job

NEVER = NeverCancelled()


def save_job(
    session: Session, state: str, folder: str, settings: RecoverySettings, device: str, token: CancelToken = NEVER
) -> Job[tuple[str, tuple[str, ...]]]:
    """Write a folder that recovers a state on another machine; see `write_job`."""
    place = Path(absolute_to(Path.cwd())(folder))
    opening = recipe_of(session.history, state, session.analysis, torch.get_num_threads()).steps[0]
    assert isinstance(opening, Open)
    return (yield from write_job(session.history, opening, state, place, settings, device, session.store.folder, token))


def take_job(session: Session, folder: str, token: CancelToken = NEVER) -> Job[tuple[State, ...]]:
    """Read what a job made into a session; returns the states, also those that were read before.

    Raises:
        OpenError: There is nothing yet, it is of another session, or its weights are damaged or do not fit.
    """
    place = Path(absolute_to(Path.cwd())(folder))
    require_no_links(place)
    job, history = read_job(place), session.history
    alike = {one.id: one for one in history.states.values() if one.weights == job.weights and one.removed}
    here = alike.get(job.state, next(iter(alike.values()), None))
    if here is None:
        template = "{folder} recovers a state that this project does not have. Open the project that it was made from."
        raise OpenError("job.stranger", template, folder=str(place))
    if not is_project(str(place / RESULTS)):
        template = "{folder} has no results yet. Run the job there, and copy the folder back with its results."
        raise OpenError("job.no_results", template, folder=str(place))
    there = StateHistory(place / RESULTS)
    there.read()
    found = [
        one
        for one in there.states.values()
        if one.kind is StateKind.RECOVERED and (_sets(one.removed) == _sets(here.removed))
    ]
    if not found:
        template = "The job in {folder} has not recovered the state yet. Start it again there; it goes on."
        raise OpenError("job.unfinished", template, folder=str(place))
    same_task = session.has_task and job.task == history.task
    store, made = WeightStore(place / RESULTS / "weights"), list[State]()
    for number, one in enumerate(found):
        known = next((mine for mine in history.states.values() if _is_read(one, mine, here)), None)
        if known is None:
            _require_possible(one, place / RESULTS)
            path = store.path(one.weights)
            yield Progress("Checking the weights", number, len(found))
            # What comes from another machine may be incomplete: say so, not that this session's weights are damaged.
            try:
                checked_weights(path)
            except OpenError as error:
                if error.message.code != "session.weights":
                    raise
                template = "{path} is incomplete or damaged. Copy the folder again."
                raise OpenError("job.weights", template, error.details, path=str(path)) from error
            told = replace(one, metrics=one.metrics if same_task else (), timings=_there(one.timings))
            known = yield from session.take_recovered(here.id, told, str(path), token)
        made.append(known)
    return tuple(made)


def _is_read(there: State, mine: State, parent: State) -> bool:
    """Whether a state of this history is the one that was recovered there, by the same settings from the same state."""
    recovered = mine.kind is StateKind.RECOVERED and mine.parent == parent.id
    return recovered and (mine.weights, mine.recovery) == (there.weights, there.recovery)


def _sets(removed: Mapping[str, list[int]]) -> dict[str, frozenset[int]]:
    return {key: frozenset(indices) for key, indices in removed.items() if indices}


def _require_possible(state: State, folder: Path) -> None:
    """Raise OpenError for a state that no recovery makes: once kept, it could be neither shown nor read again."""
    try:
        for message in (*state.repaired, *([] if state.stopped is None else [state.stopped])):
            message.require_fields()
        if state.recovery is None or not all("step" in point for point in state.curve):
            raise ValueError("no settings, or a point of the curve without a step")
        require_possible(state.recovery)
        # No whole number is longer than its readers take.
        msgspec.msgpack.encode(to_plain(state))
        if not _is_finite(msgspec.to_builtins((state.curve, state.metrics, state.timings))):
            raise ValueError("NaN or infinity")
    except (SecateurError, LookupError, ValueError, TypeError, OverflowError) as error:
        template = "{folder} holds invalid values for state {state}. Copy the folder again."
        raise OpenError("job.invalid", template, repr(error)[:1000], folder=str(folder), state=state.id) from error


def _is_finite(value: Any) -> bool:
    """Whether all numbers in plain data are finite."""
    if isinstance(value, dict):
        return all(map(_is_finite, cast("dict[str, Any]", value).values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, cast("list[Any]", value)))
    return not isinstance(value, float) or math.isfinite(value)


def _there(timings: tuple[Timing, ...]) -> tuple[Timing, ...]:
    """Latencies that were measured there, so that none passes for one of this machine."""
    return tuple(replace(one, target=replace(one.target, machine=one.target.machine or one.machine)) for one in timings)
