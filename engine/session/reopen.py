"""A session's model opened again: is it still the model that the states were made from?"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..inference.bfloat16 import in_bfloat16
from ..jobs import CancelToken, Job, Progress, part_of
from ..sources.named_code import require_consent
from ..sources.protocol import ModelSpec
from ..storage.weight_store import WeightStore
from ..structures.analysis import Analysis, from_identities
from ..tasks.protocol import CLASSES, PACKING, option
from ..tracing.tree import same_bits
from .loaded_model import LoadedModel
from .open_model import Prepared, analysed, described, numbered, prepare
from .project_file import Role, changes, read_project
from .state_history import StateHistory
from .states import State

LOADED, UNTRAINED = ("source.cached", "source.timm_cached"), ("source.random", "source.untrained")
"""Codes of what sources remark on weights that they have found in a cache, and on those that are random."""


@dataclass(frozen=True, slots=True)
class SavedProject:
    """A project as it lies in its folder; nothing is copied, and nothing written.

    Attributes:
        history: Its states, with what is to be said of them.
        store: Their weights.
        loaded: The model.
        left: Id of the state that it was left at, "" where nobody says at which.
    """

    history: StateHistory
    store: WeightStore
    loaded: LoadedModel
    left: str

    @property
    def present(self) -> State:
        """The state that it was left at."""
        self.history.leave(self.left)
        return self.history.present


def saved_project(spec: ModelSpec, token: CancelToken, same_weights: bool = False) -> Job[SavedProject]:
    """Open a project where it lies.

    Args:
        spec: Its folder, where its files lie now, and whether its code may run.
        token: Cancels.
        same_weights: Only where its model still has the weights that it was begun with.
    """
    history = StateHistory(Path(spec.source))
    history.read()
    assert history.spec is not None
    check_kept(spec, history.spec)
    file, notes = read_project(history.folder)
    history.relocate(spec.moved)
    history.spec = replace(history.spec.without_consent, trust_code=spec.trust_code)
    consent = require_consent(replace(history.spec, task=history.task), history.seal, history.folder, spec.trust_code)
    # Read where the project is: its weights may be larger than the disk has room for twice.
    store = WeightStore(history.folder / "weights")
    shown = Progress("Checking for changes")
    changed, stale = yield from part_of(shown, changes(file, history.spec, history.task, token))
    if stale:
        history.mark_stale(code=Role.MODEL in stale)
    history.notes = (*history.notes, *notes, *changed)
    loaded = yield from reopened(history, store, spec, token, consent, same_weights)
    return SavedProject(history, store, loaded, "" if file is None else file.state)


def reopened(
    history: StateHistory,
    store: WeightStore,
    asked: ModelSpec,
    token: CancelToken,
    consent: Consent,
    same_weights: bool = False,
) -> Job[LoadedModel]:
    """Open the model of a history again, with the weights that it had; nothing is trained or evaluated.

    Args:
        history: Of the session or project.
        store: Its weights.
        asked: Says whether a pickle may run, and whether weights may be fetched.
        token: Cancels.
        consent: What code may run.
        same_weights: Raise OpenError where its source gives other weights by now; those of a library's cache may be.
    """
    assert history.spec is not None
    opened = time.time()
    allowed = {"trust_pickle": asked.trust_pickle, "download": asked.download}
    # The weights are those that the session keeps: a library's cache may be another one by now.
    spec = replace(history.spec, task=history.task, pretrained="", **allowed)
    root = history.state("s0")
    prepared = yield from prepare(spec, token, consent)
    try:
        weights = store.get(root.weights, root.id)
    except OpenError:
        # All states hang on the original. Its own source may still give it, bit for bit.
        if not store.restore(root.weights, prepared.opened.model.state_dict()):
            raise
        weights = store.get(root.weights, root.id)
    if in_bfloat16(prepared.opened.model) and not any(one.dtype is torch.bfloat16 for one in weights.values()):
        # As versions before opened every model.
        prepared = yield from prepare(replace(spec, float32=True), token, consent)
    # A library may have put other weights under the same name since; those of a user's own file must be the same.
    if same_weights and not history.spec.pretrained:
        require_same_weights(prepared.opened.model, weights, history)
    load_original(prepared.opened.model, weights)
    prepared = _with_kept_weights(prepared, history.spec.pretrained)
    analysis = yield from analysed(prepared, token)
    if analysis.unused and not prepared.spec.ignore_unused and _missing(analysis, history):
        # Of a version that did not keep what modules may read that did not run.
        prepared = replace(prepared, spec=replace(prepared.spec, ignore_unused=True))
        analysis = yield from analysed(prepared, token)
    # Indices of removed structures mean nothing in a model that has others.
    check_structures(analysis, history)
    # One missing file need not take the session along: its state alone cannot be used.
    lost = [
        one
        for one in (*history.states.values(), *history.baselines.values())
        if not (not one.weights or store.path(one.weights).exists())
    ]
    if lost:
        template = "The weights of {names} are missing. Restore them from a backup; everything else can still be used."
        names = ", ".join(one.id for one in lost)
        history.notes = (*history.notes, Message("session.missing_weights", template, {"names": names}))
    info = None if prepared.task is None else described(prepared.task, prepared.opened.model)
    if info is not None:
        # Where data is read otherwise than when states were judged: do so, and mark what was measured as stale.
        before, now, notes = history.task, info.spec, list[Message]()
        if before is not None and now is not None and option(now, CLASSES) != option(before, CLASSES):
            template = (
                "Classes now have the model's numbers: {classes}. Earlier measurements and training used other numbers "
                "and are marked as stale. Evaluate again."
            )
            notes.append(Message("session.renumbered", template, {"classes": numbered(info.classes)}))
        if before is not None and now is not None and option(now, PACKING) != option(before, PACKING):
            template = (
                "Documents are now packed with the token that ends them between. Earlier measurements and training "
                "used other sequences and are marked as stale. Evaluate again."
            )
            notes.append(Message("session.repacked", template))
        if notes:
            history.task = now
            history.mark_stale()
        info = replace(info, notes=(*info.notes, *notes))
    return LoadedModel(prepared, analysis, prepared.task, info, opened, consent)


def _with_kept_weights(prepared: Prepared, pretrained: str) -> Prepared:
    """The model with the weights that are kept: what its source found now, and its remarks on that, do not count."""
    opened, told = prepared.opened, LOADED if not pretrained else (*LOADED, *UNTRAINED)
    notes = tuple(note for note in opened.notes if note.code not in told)
    opened = replace(opened, untrained=opened.untrained and not pretrained, notes=notes)
    return replace(prepared, opened=opened, spec=replace(prepared.spec, pretrained=pretrained))


def check_kept(asked: ModelSpec, made: ModelSpec) -> None:
    """Raise OpenError when a project is to be opened for other outputs or plans than its states were made for."""
    if asked.own_class and not made.own_class:
        template = (
            "This project's states may need other numbers in the model's code. To keep the code unchanged, open the "
            "model instead of the project."
        )
        raise OpenError("session.own_class", template)
    if asked.uniform and not made.uniform:
        template = (
            "This project's states need not have uniform layers. To keep layers uniform, open the model instead of the "
            "project."
        )
        raise OpenError("session.uniform", template)
    if asked.ignore_unused and not made.ignore_unused:
        template = (
            "This project keeps what unused modules may read. To ignore them, open the model instead of the project."
        )
        raise OpenError("session.ignore_unused", template)
    if asked.outputs not in ((), made.outputs):
        outputs = ", ".join(made.outputs) or Message("session.all_outputs", "all")
        template = (
            "This project keeps the outputs that it was made for ({outputs}). To choose others, open the model "
            "instead of the project."
        )
        raise OpenError("session.outputs", template, outputs=outputs)


def require_same_weights(model: nn.Module, weights: Mapping[str, Tensor], history: StateHistory) -> None:
    """Raise OpenError where a model, as its source gives it now, is not the original of a history bit for bit."""
    now = {name: value for name, value in model.state_dict().items() if torch.is_tensor(value)}
    if now.keys() != weights.keys() or not all(same_bits(one, weights[name]) for name, one in now.items()):
        assert history.spec is not None
        template = (
            "{folder} was begun with other weights than {model} has now. Save to another folder, or open the project "
            "itself to continue with its own weights."
        )
        model_path = history.spec.weights or history.spec.source
        raise OpenError("session.other_weights", template, folder=str(history.folder), model=model_path)


def load_original(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give the original its stored weights, whatever its checkpoint holds by now; raises OpenError on a misfit."""
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise _changed(Message("session.no_fit", "its layers no longer fit the stored weights"), str(error)) from error


def check_structures(analysis: Analysis, history: StateHistory) -> None:
    """Raise OpenError when the model lacks structures that a state has removed."""
    if missing := _missing(analysis, history):
        template = "{count} of the removed structures are missing in it"
        lacking = Message("session.lacks", template, {"count": len(missing)})
        raise _changed(lacking, "\n".join(sorted(missing)))


def _missing(analysis: Analysis, history: StateHistory) -> set[str]:
    """Structures that a state has removed and the model lacks."""
    return {name for state in history.states.values() for name in from_identities(analysis, state.removed)[1]}


def _changed(what: Message, details: str) -> OpenError:
    template = (
        "The model's code has changed since the session was made: {what}. Restore the code, or open the model again."
    )
    return OpenError("session.changed", template, details, what=what)
