"""Sessions of several processes: rank 0 has the session and tells the others what to do, which follow it here.

Followers open the model themselves, by what rank 0 opened it by, and get its weights from there: they need the files
that the model's code and the data are in, and neither a session's folder nor a project. See `engine/distributed.py`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from ..distributed import Group
from ..errors import OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken, NeverCancelled, finish
from ..machine.devices import CPU
from ..masks.learned_masks import LearnedMasks
from ..recovery.gradient_sharing import WITHIN_TRAINING, TrainingOrder
from ..recovery.gradient_worker import GradientWorker
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


ORDERS = (OpenOrder, StateOrder, ScoreOrder, TrainingOrder, *WITHIN_TRAINING)


class Leader:
    """What rank 0 has told the others of a session."""

    def __init__(self, group: Group) -> None:
        """Lead the other processes of a group."""
        self.group = group
        self._told: tuple[LoadedModel, Task | None] | None = None

    def prepare(self, loaded: LoadedModel, state: State) -> None:
        """Let the others have the model of a state, without its weights, and its data."""
        if self.group.is_alone:
            return
        if self._told is None or self._told[0] is not loaded or self._told[1] is not loaded.task:
            task = None if loaded.task is None else loaded.task.spec
            self.group.order(OpenOrder(replace(loaded.prepared.spec, task=task), loaded.consent))
            self.group.share(loaded.prepared.opened.model.state_dict().values())
            self._told = loaded, loaded.task
        self.group.order(StateOrder(state.removed, state.edits))

    def score(self, model: nn.Module, criterion: str, choices: Choices, seed: int, device: str) -> None:
        """Let the others rate the model of the state too."""
        if not self.group.is_alone:
            self.group.order(ScoreOrder(criterion, choices, seed, device))
            self.group.share(model.state_dict().values())


class Follower:
    """A process that does what rank 0 asks for."""

    def __init__(self, group: Group, token: CancelToken = NEVER) -> None:
        """Follow rank 0 of a group."""
        self._group, self._token = group, token
        self._prepared: Prepared | None = None
        self._analysis: Analysis | None = None
        self._state = StateOrder({}, Edits())

    def follow(self) -> None:
        """Do what is asked for until rank 0 is done.

        Raises:
            SecateurError: Rank 0 was lost, or what is asked for cannot be done here.
        """
        order = self._group.next_order(ORDERS)
        while order is not None:
            if isinstance(order, TrainingOrder):
                order = self._train(order)
                continue
            if isinstance(order, OpenOrder):
                # Open what rank 0 has opened; no weights are fetched, for they are given.
                prepared = finish(prepare(replace(order.spec, pretrained=""), self._token, order.consent))
                self._group.share(prepared.opened.model.state_dict().values())
                self._prepared, self._analysis = prepared, finish(analysed(prepared, self._token))
            elif isinstance(order, StateOrder):
                self._state = order
            elif isinstance(order, ScoreOrder):
                _, analysis, task = self._opened
                model, removed = self._fresh(self._state)
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
                    token=self._token,
                )
                finish(job)
            order = self._group.next_order(ORDERS)

    @property
    def _opened(self) -> tuple[Prepared, Analysis, Task]:
        assert self._prepared is not None and self._analysis is not None and self._prepared.task is not None
        return self._prepared, self._analysis, self._prepared.task

    def _fresh(self, state: StateOrder) -> tuple[nn.Module, Mask]:
        """A new model of a state, whose weights are to come, and [S] what is gone in it."""
        prepared, analysis, _ = self._opened
        removed, missing = from_identities(analysis, state.removed)
        if missing:
            template = (
                "Process {rank} opened another model than process 0: it has no {name}. Give all processes the same "
                "files and versions."
            )
            raise OpenError("distributed.model", template, rank=self._group.place.rank, name=missing[0])
        return rebuild(prepared.opened.factory, analysis, removed, state.edits, {}), removed

    def _train(self, order: TrainingOrder) -> Any | None:
        """Train with rank 0 until another order than one for that comes, which is returned."""
        prepared, analysis, task = self._opened
        student, removed = self._fresh(StateOrder({}, Edits()) if order.of_original else self._state)
        masks, told = None, order.masks
        if told is not None:
            plan, going, staying = (from_identities(analysis, one)[0] for one in (told.plan, told.removed, told.locked))
            scores = np.array(told.scores, np.float64)
            seed = order.settings.seed
            masks = LearnedMasks(student, analysis, plan, scores, removed=going, locked=staying, seed=seed)
        kept = {} if order.of_original else analysis.kept_indices(removed)
        teacher = prepared.opened.model
        with GradientWorker(self._group, order, student, teacher, task, kept, masks) as worker:
            while isinstance(following := self._group.next_order(ORDERS), WITHIN_TRAINING):
                worker.follow(following)
        return following
