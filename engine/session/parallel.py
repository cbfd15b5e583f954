"""Sessions of several processes: rank 0 has the session and says what to do, and the others do the same here.

Followers open the model themselves, by what rank 0 opened it by, and get its weights from there: they need the files
that the model's code and the data are in, and neither a session's folder nor a project. See `engine/distributed.py`.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from ..distributed import Group, Left
from ..errors import OpenError
from ..foreign_code.consent import Consent
from ..jobs import NeverCancelled, finish
from ..machine.devices import CPU
from ..planning.protocol import PlanStart
from ..recovery.mask_training import learn_masks
from ..recovery.protocol import RecoverySettings
from ..recovery.recover import recover
from ..scoring.criteria import score
from ..scoring.score_options import Choices
from ..sources.protocol import ModelSpec
from ..structures.analysis import Analysis, Mask, from_identities
from ..surgery.cut.cut import rebuild
from ..surgery.cut.edits import Edits
from ..tasks.protocol import Task
from .loaded_model import LoadedModel
from .open_model import Prepared, analysed, prepare
from .states import State

NEVER = NeverCancelled()


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """Open a model and its data; the original's weights follow.

    Attributes:
        spec: As rank 0 opened it, with its task.
        consent: What of foreign code may run.
    """

    spec: ModelSpec
    consent: Consent


@dataclass(frozen=True, slots=True)
class StateOrder:
    """Make the model of a state; what is asked for next is of it.

    Attributes:
        removed: What is gone, by set key, original indices.
        edits: The state's repairs.
    """

    removed: dict[str, list[int]]
    edits: Edits


@dataclass(frozen=True, slots=True)
class ScoreOrder:
    """Rate the structures of the state; its weights follow.

    Attributes:
        criterion: A key of `CRITERIA`.
        choices: About the scores.
        seed: Of what is random.
        device: Where process 0 rates them; the others do on theirs of that kind.
    """

    criterion: str
    choices: Choices
    seed: int
    device: str = CPU


@dataclass(frozen=True, slots=True)
class RecoverOrder:
    """Recover the model of the state.

    Attributes:
        settings: As asked.
    """

    settings: RecoverySettings


@dataclass(frozen=True, slots=True)
class MasksOrder:
    """Learn masks on the original: as `learn_masks`, structures by set key, original indices.

    Attributes:
        scores: [S] what the plan was made by.
        plan: What it removes.
        removed: What goes in any case.
        locked: What stays in any case.
        settings: Of the training.
        steps: Updates.
    """

    scores: list[float]
    plan: dict[str, list[int]]
    removed: dict[str, list[int]]
    locked: dict[str, list[int]]
    settings: RecoverySettings
    steps: int


ORDERS = (OpenOrder, StateOrder, ScoreOrder, RecoverOrder, MasksOrder)


class Leader:
    """What rank 0 has asked of the others for a session."""

    def __init__(self, group: Group) -> None:
        """Lead the other processes of a group."""
        self.group = group
        self._opened: tuple[LoadedModel, Task | None] | None = None

    @contextmanager
    def lead(self, loaded: LoadedModel, state: State, order: Any) -> Generator[None]:
        """Let the others do what is ordered, with the model of a state, without its weights, and its data.

        Inside, this process does the same.
        """
        if self.group.is_alone:
            yield
            return
        if self._opened is None or self._opened[0] is not loaded or self._opened[1] is not loaded.task:
            task = None if loaded.task is None else loaded.task.spec
            self.group.order(OpenOrder(replace(loaded.prepared.spec, task=task), loaded.consent))
            with self.group.together():
                self.group.share(loaded.prepared.opened.model.state_dict().values())
            self._opened = loaded, loaded.task
        # The state goes first and without weights: what is ordered shares those it needs.
        self.group.order(StateOrder(state.removed, state.edits))
        self.group.order(order)
        with self.group.together():
            yield


class Follower:
    """A process that does what rank 0 asks for."""

    def __init__(self, group: Group) -> None:
        """Follow rank 0 of a group."""
        self._group = group
        self._prepared: Prepared | None = None
        self._analysis: Analysis | None = None
        self._state = StateOrder({}, Edits())

    def follow(self) -> None:
        """Do what is asked for until rank 0 is done.

        Raises:
            SecateurError: Rank 0 was lost, or what is asked for cannot be done here.
        """
        while (order := self._group.next_order(ORDERS)) is not None:
            if isinstance(order, StateOrder):
                self._state = order
                continue
            # Rank 0 has cancelled or failed, and says so itself: this process waits for what it asks for next.
            with suppress(Left), self._group.together():
                if isinstance(order, OpenOrder):
                    self._open(order)
                elif isinstance(order, ScoreOrder):
                    self._score(order)
                elif isinstance(order, RecoverOrder):
                    self._recover(order)
                elif isinstance(order, MasksOrder):
                    self._learn_masks(order)

    def _open(self, order: OpenOrder) -> None:
        """Open what rank 0 has opened; no weights are fetched, for they are given."""
        # Many processes that fetch the same weights would load the network and the disk as often.
        prepared = finish(prepare(replace(order.spec, pretrained=""), NEVER, order.consent))
        self._group.share(prepared.opened.model.state_dict().values())
        self._prepared, self._analysis = prepared, finish(analysed(prepared, NEVER))

    def _score(self, order: ScoreOrder) -> None:
        _, analysis, task = self._opened
        model, removed = self._fresh()
        self._group.share(model.state_dict().values())
        job = score(
            model,
            analysis,
            removed,
            order.criterion,
            task,
            choices=order.choices,
            seed=order.seed,
            device=self._group.device(order.device),
            group=self._group,
        )
        finish(job)

    def _recover(self, order: RecoverOrder) -> None:
        prepared, analysis, task = self._opened
        student, removed = self._fresh()
        job = recover(
            student,
            prepared.opened.model,
            task,
            order.settings,
            outputs=analysis.outputs,
            kept=analysis.kept_indices(removed),
            group=self._group,
        )
        finish(job)

    def _learn_masks(self, order: MasksOrder) -> None:
        prepared, analysis, task = self._opened
        model, _ = self._fresh()
        plan, removed, locked = (from_identities(analysis, one)[0] for one in (order.plan, order.removed, order.locked))
        job = learn_masks(
            model,
            prepared.opened.model,
            task,
            PlanStart(analysis, np.array(order.scores, np.float64), removed, locked),
            plan,
            order.settings,
            order.steps,
            outputs=analysis.outputs,
            group=self._group,
        )
        finish(job)

    @property
    def _opened(self) -> tuple[Prepared, Analysis, Task]:
        assert self._prepared is not None and self._analysis is not None and self._prepared.task is not None
        return self._prepared, self._analysis, self._prepared.task

    def _fresh(self) -> tuple[nn.Module, Mask]:
        """A new model of the state, whose weights are to come, and [S] what is gone in it."""
        prepared, analysis, _ = self._opened
        removed, missing = from_identities(analysis, self._state.removed)
        if missing:
            template = (
                "Process {rank} opened another model than process 0: it has no {name}. Give all processes the same "
                "files and versions."
            )
            raise OpenError("distributed.model", template, rank=self._group.place.rank, name=missing[0])
        return rebuild(prepared.opened.factory, analysis, removed, self._state.edits, {}), removed
