"""What can be measured on a target: a state, or a baseline that was kept beside one."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from ..baselines.protocol import Baseline
from ..foreign_code.consent import Consent
from ..session.export_cache import Artifacts
from ..session.measurement_cache import file_of, fingerprint
from ..session.session import Session
from ..session.states import State, StateKind
from ..sources.named_code import code_of, require_consent
from ..sources.open import open_model
from ..structures.analysis import from_identities
from ..surgery.cut.cut import rebuild


def measurable(session: Session, name: str) -> tuple[Artifacts, nn.Module, State]:
    """What is measured of a state or a baseline, and who writes its files."""
    artifacts, state = artifacts_of(session, name)
    beside = session.history.baselines.get(name)
    if beside is None:
        return artifacts, session.model(name), state
    return artifacts, model_of(session, beside, session.prepared.opened.factory, session.loaded.consent), state


def artifacts_of(session: Session, name: str) -> tuple[Artifacts, State]:
    """Who writes the files of a state or a baseline, and what stands for it there."""
    beside = session.history.baselines.get(name)
    if beside is None:
        return session.artifacts(), session.history.state(name)
    prepared, code = session.prepared, session.analysis.recorded
    if beside.source is not None:
        opened = replace(prepared.opened, name=beside.title)
        prepared = replace(prepared, spec=beside.source, opened=opened)
        code = fingerprint(file_of(beside.source))[0]
    return Artifacts(session.folder / "artifacts", prepared, code), as_state(beside)


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
