"""How long states of a session and their baselines take on a target, measured in turns."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from ..baselines.protocol import Baseline
from ..foreign_code.consent import Consent
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken, Job, NeverCancelled, Progress, spanning
from ..session.export_cache import Artifacts
from ..session.measurement_cache import file_of, fingerprint
from ..session.session import Session
from ..session.states import EXPORT_MARK, State, StateKind
from ..sources.named_code import code_of, require_consent
from ..sources.open import open_model
from ..structures.analysis import from_identities
from ..surgery.cut.cut import rebuild
from ..targets.measure import measure as time_files
from ..targets.measure import measure_steps
from ..targets.protocol import WRITING, TargetSpec, Timing
from ..targets.remote import require_measurable
from .export import kept_file

NEVER = NeverCancelled()


def measurable(session: Session, name: str) -> tuple[Artifacts, nn.Module, State]:
    """What is measured of a state or a baseline, and who writes its files."""
    artifacts, state = artifacts_of(session, name)
    baseline = session.history.baselines.get(name)
    if baseline is None:
        return artifacts, session.model(name), state
    return artifacts, model_of(session, baseline, session.prepared.opened.factory, session.loaded.consent), state


def artifacts_of(session: Session, name: str) -> tuple[Artifacts, State]:
    """Who writes the files of a state or a baseline, and what stands for it there."""
    baseline = session.history.baselines.get(name)
    if baseline is None:
        return session.artifacts(), session.history.state(name)
    prepared, code = session.prepared, session.analysis.recorded
    if baseline.source is not None:
        opened = replace(prepared.opened, name=baseline.title)
        prepared = replace(prepared, spec=baseline.source, opened=opened)
        code = fingerprint(file_of(baseline.source))[0]
    return Artifacts(session.folder / "artifacts", prepared, code), as_state(baseline)


def model_of(session: Session, one: Baseline, factory: Callable[[], nn.Module], consent: Consent) -> nn.Module:
    """A baseline's module again, with its weights; a source's Python file runs only by its seal or with consent."""
    weights = session.store.get(one.weights, one.id)
    if one.source is None:
        removed, _ = from_identities(session.analysis, one.removed)
        return rebuild(factory, session.analysis, removed, one.edits, weights).eval()
    source = replace(one.source.without_consent, task=None)
    if not all(map(consent.covers, code_of(source))):
        consent = require_consent(source, one.seal, session.folder, trusted=False)
    model: nn.Module = open_model(replace(source, weights=""), consent=consent).factory()
    model.load_state_dict(weights)
    return model.eval()


def as_state(one: Baseline) -> State:
    """A baseline as what runtimes measure."""
    return State(
        id=one.id,
        parent="",
        kind=StateKind.ORIGINAL,
        removed=one.removed,
        edits=one.edits,
        weights=one.weights,
        parameters=one.parameters,
        macs=one.macs,
        metrics=(one.metric,),
        timings=one.timings,
    )


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
    # Whether the file of a state or a baseline must be written first.
    fresh = list[bool]()
    for name in states:
        if EXPORT_MARK in name:
            fresh.append(False)
            continue
        artifacts, one = artifacts_of(session, name)
        fresh.append(not artifacts.has(one, target))
    whole, written = WRITING * sum(fresh) + len(states), 0.0
    for state, new in zip(states, fresh, strict=True):
        if EXPORT_MARK in state:
            of_state, _, format = state.partition(EXPORT_MARK)
            files.append((yield from kept_file(session, of_state, format, token)))
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
