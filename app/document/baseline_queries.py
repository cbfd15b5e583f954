"""Queries about baselines: which the current state has, and whether it was worth pruning."""

from pathlib import Path

from secateur.engine.baselines.protocol import LIBRARIES, Baseline, BaselineKind
from secateur.engine.baselines.verdict import PrunedResult, Verdict, verdict
from secateur.engine.session.states import State
from secateur.engine.tasks.protocol import Split

from ..text.metrics import metric_of
from .document import Document


def pruned_state(document: Document) -> State | None:
    """The state that new baselines are compared with: the present one, None where that was not cut."""
    state = document.state
    return state if state is not None and state.parent else None


def baselines_of(document: Document, state: State | None) -> tuple[Baseline, ...]:
    """The baselines of a state, in order of making."""
    if state is None:
        return ()
    return tuple(one for one in document.contents.baselines.values() if one.against == state.id)


def shown_baselines(document: Document) -> tuple[Baseline, ...]:
    """Those of the current state, and where it has none, all."""
    return baselines_of(document, pruned_state(document)) or tuple(document.contents.baselines.values())


def baseline_verdict(document: Document) -> Verdict | None:
    """What the current state's baselines say of it, None where there are none."""
    state = pruned_state(document)
    made, metric = baselines_of(document, state), metric_of(state, Split.TEST)
    if state is None or not made or metric is None:
        return None
    return verdict(PrunedResult(metric, state.macs, state.timings), made)


def missing_kinds(document: Document) -> tuple[BaselineKind, ...]:
    """Kinds that the current state has no baseline of."""
    made = {one.asked.kind for one in baselines_of(document, pruned_state(document))}
    return tuple(kind for kind in BaselineKind if kind not in made)


def family_known(document: Document) -> bool:
    """Whether a smaller model of the family may be found by itself; a project does not say here what it is of."""
    spec = document.contents.spec
    return spec is None or spec.source.startswith(LIBRARIES) or Path(spec.source).is_dir()
