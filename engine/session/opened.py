"""What is open in a session: the model, its task, and the states that came of it, live or on disk."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from ..baselines.protocol import Baseline, ComparedState
from ..devices import CPU, available, device_named
from ..errors import OpenError, TaskError
from ..foreign_code.consent import Consent
from ..recovery.checkpoint import Checkpoint, let_go
from ..recovery.protocol import RecoverySettings
from ..sharing.bundle import Bundle
from ..storage.folder_lock import Holder
from ..storage.serialization import to_plain
from ..storage.temporary_folders import TemporaryFolder
from ..storage.weight_store import GIGABYTE
from ..structures.analysis import Analysis, Mask, from_identities
from ..structures.costs import costs
from ..structures.transition import KeptIndices, Transition
from ..surgery.cut.edits import Edits
from ..tasks.protocol import Metric, Task
from ..workflows import baselines
from .export_cache import Artifacts
from .filter_images import Filters, filters_of
from .loaded_model import Live
from .measurement_cache import file_of, fingerprint
from .open_model import Prepared
from .place import Place
from .state_history import History
from .states import OpenedModel, State, StateKind

CODE = 12
"""Characters by which a file tells what code wrote it."""


class Opened(Place):
    """What a session's jobs start from and end with; what `Place` says of where they lie."""

    def __init__(
        self,
        folder: Path | None = None,
        disk_bound: int = 4 * GIGABYTE,
        cache: Path | None = None,
        exclusive: bool = False,
        holder: Holder | None = None,
    ) -> None:
        """Work in a folder, or in a temporary one that `close` removes.

        Args:
            folder: Where log and weights go.
            disk_bound: Bytes that the folder may take.
            cache: Where measurements by content go.
            exclusive: No other process may write to a project either that was opened or saved, until another one is.
            holder: What other processes are told that may not write meanwhile; this process by default.
        """
        temporary = TemporaryFolder() if folder is None else None
        place = temporary.path if temporary is not None else Path(folder or "")
        super().__init__(place, disk_bound, cache or place, temporary, holder)
        self._exclusive = exclusive
        self.device: str = CPU
        self._shown: Bundle | None = None  # A bundle without its weights, to look at: nothing is open then.

    @property
    def analysis(self) -> Analysis:
        """Of the opened model."""
        return self._need().analysis

    @property
    def prepared(self) -> Prepared:
        """The opened model with what it is run on."""
        return self._need().prepared

    @property
    def has_task(self) -> bool:
        """Whether a task judges the model."""
        return self._need().task is not None

    def removed(self, state: str) -> Mask:
        """[S] what is gone in a state."""
        return self._need().mask(self.history.state(state))

    def filters(self, state: str) -> Filters | None:
        """The filters of a state's first convolution as images, None where it has none that can be seen."""
        live = self._need()
        return filters_of(self._model(state), live.analysis, live.mask(self.history.state(state)))

    def states(self) -> tuple[State, ...]:
        """All states in the order they were made, the original first."""
        return tuple(self._told().states.values())

    @property
    def present(self) -> State:
        """The state that a project was left at, until there is a further one; else the last that was made.

        After a search the result need not be the last: what was tried later may have lost too much.
        """
        return self._told().present

    def baselines(self, state: str = "") -> tuple[Baseline, ...]:
        """The baselines that stand beside a state, or beside any, in the order they were made."""
        return tuple(one for one in self._told().baselines.values() if state in ("", one.against))

    def _told(self) -> History:
        """The history that is looked at: that of a bundle where only its numbers are here."""
        return self.history if self._shown is None else self._shown.history

    def standing(self, state: str) -> ComparedState:
        """A state as baselines are made for it."""
        live, task, one = self._need(), self._need_task(), self.history.state(state)
        opened, rounds = live.prepared.opened, baselines.rounds_of(self, self.history.path_to(state))
        made = (opened.model, opened.factory, self._model(state), live.prepared.spec, live.analysis)
        costs = (one.parameters, one.macs)
        return ComparedState(*made, live.prepared.inputs, task, live.mask(one), one.edits, rounds, *costs, self.device)

    def use_device(self, device: str) -> str:
        """Train and judge there from now on; returns its name. Raises SecateurError where there is none such."""
        self.device = device_named(device)
        return self.device

    def trust(self, consent: Consent) -> None:
        """What the user has named by hand, or allowed, may run from now on."""
        live = self._need()
        live.consent = live.consent | consent

    def _need(self) -> Live:
        if self._live is None and self._shown is not None and (why := self._shown.absent) is not None:
            raise OpenError.saying(why)
        if self._live is None:
            raise OpenError("session.closed", "No model is open. Open one first.")
        return self._live

    def _need_task(self) -> Task:
        task = self._need().task
        if task is None:
            raise TaskError("session.no_task", "Data needed. Attach it first.")
        return task

    def _original(self, model: nn.Module, analysis: Analysis, metrics: tuple[Metric, ...]) -> State:
        total, weights = costs(analysis), self.store.put(model.state_dict())
        identity = ("s0", "", StateKind.ORIGINAL, dict[str, list[int]](), Edits(), weights)
        return State(*identity, total.parameters, total.macs, metrics=metrics)

    def _opened(self) -> OpenedModel:
        live = self._need()
        changed = self.history.notes
        of_data = () if live.info is None else live.info.notes
        notes = (*changed, *live.prepared.opened.notes, *live.analysis.notes, *of_data)
        spec = self.history.spec and replace(self.history.spec, task=self.history.task)
        told = (live.prepared.opened.name, live.analysis, self.history.state("s0"), notes, live.info, spec)
        return OpenedModel(*told, devices=available(), folder=str(self.folder), changed=changed)

    def _artifacts(self) -> Artifacts:
        live = self._need()
        return Artifacts(self.folder / "artifacts", live.prepared, live.analysis.recorded[:CODE])

    def checkpoint(self, weights: str, settings: RecoverySettings) -> Checkpoint:
        """Where a training keeps what it needs to go on; of the same weights, teacher, data and settings only.

        Of a temporary session that is among what is kept by content: the same steps in another one go on with it.

        Args:
            weights: Names the weights that it starts from, by what they are.
            settings: How it is trained.
        """
        if self._temporary and self.cache == self.folder:
            return Checkpoint(None)  # nobody could go on with it
        task = self.history.task
        what = [weights, self.history.state("s0").weights, to_plain(settings), to_plain(task)]
        data = [fingerprint(task.path)] if task is not None else []
        key, mendable = (
            hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest() for one in (what + data, what)
        )
        folder = (self.cache if self._temporary else self.folder) / "recovery"
        let_go(folder)
        return Checkpoint(folder / f"{mendable}.pt", key, mendable)

    def _cut_from(self, state: State) -> tuple[nn.Module, KeptIndices] | None:
        """The model that a state was cut from, and what the state keeps of it; None for no cut."""
        live = self._need()
        if state.kind is not StateKind.CUT:
            return None
        before = self.history.state(state.parent)
        model = self._fresh(before) if before.parent else live.prepared.opened.model
        return model, Transition(live.analysis, live.mask(before), live.mask(state)).kept_of_before

    def _model(self, state: str) -> nn.Module:
        return self._need().model(self.history.state(state), self.store)

    def _fresh(self, state: State) -> nn.Module:
        return self._need().fresh(state, self.store)

    def _keep(
        self,
        model: nn.Module,
        parent: State,
        kind: StateKind,
        removed: dict[str, list[int]],
        edits: Edits,
        fields: Mapping[str, Any],
    ) -> State:
        """Write a new state's weights, then the state; only then it exists."""
        live = self._need()
        total = costs(live.analysis, from_identities(live.analysis, removed)[0])
        weights = self.store.put(model.state_dict())
        identity = (self.history.next_id(), parent.id, kind, removed, edits, weights)
        state = self.history.put(State(*identity, total.parameters, total.macs, **fields))
        live.present = (state.id, model.eval())
        self._collect()
        return state

    def _collect(self) -> None:
        """Keep the session's folder in its bound."""
        size = self.store.collect(set(self.history.weights))
        self._artifacts().collect(self.store.bound - size)

    def measurable(self, name: str) -> tuple[Artifacts, nn.Module, State]:
        """What is measured of a state or a baseline, and who writes its files."""
        beside = self.history.baselines.get(name)
        if beside is None:
            return self._artifacts(), self._model(name), self.history.state(name)
        live, code = self._need(), self.analysis.recorded
        prepared = live.prepared
        factory = prepared.opened.factory
        if beside.source is not None:
            opened = replace(prepared.opened, name=beside.title)
            prepared = replace(prepared, spec=beside.source, opened=opened)
            code = fingerprint(file_of(beside.source))[0]
        model = baselines.model_of(self, beside, factory, live.consent)
        return Artifacts(self.folder / "artifacts", prepared, code[:CODE]), model, baselines.as_state(beside)
