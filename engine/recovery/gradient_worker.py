"""The training of a process that follows: it adds up gradients as rank 0 asks for them. Loads torch."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..distributed import Group
from ..errors import SecateurError
from ..jobs import NeverCancelled, finish
from ..machine.devices import placed
from ..masks.learned_masks import LearnedMasks
from ..structures.transition import KeptIndices
from ..tasks.domain_mixture import DomainTask
from ..tasks.protocol import Task
from .checkpoint import Checkpoint, Position, TrainingRun
from .features import Features
from .finetune import STEPS, seek_batches, take_batches
from .gradient_sharing import GradientSharing, StepOrder, TrainingOrder
from .mixed_precision import in_single
from .optimizers import optimizer_of
from .side_effects import keep_modes, make_reproducible
from .training import DIVERGED, Training


class GradientWorker:
    """A student of which gradients are added up; as a context manager it holds models on a device."""

    def __init__(
        self,
        group: Group,
        order: TrainingOrder,
        student: nn.Module,
        teacher: nn.Module,
        task: Task,
        kept: KeptIndices,
        masks: LearnedMasks | None,
    ) -> None:
        """Take what is trained, whose weights rank 0 gives.

        Args:
            group: All processes.
            order: How it is trained.
            student: Is changed.
            teacher: Is changed.
            task: Batches and loss.
            kept: What the student keeps of each of the teacher's tensors.
            masks: Gates on the student.
        """
        self._group, self._order, self._masks = group, order, masks
        self._student, self._teacher, self._task, self._kept = student, teacher, task, kept
        self._contexts = ExitStack()
        self._mixture: dict[str, Any] | None = None

    def __enter__(self) -> "GradientWorker":
        """Place the models and take their weights."""
        order, device = self._order, self._group.device(self._order.device)
        models = [self._student, self._teacher] if order.teaches else [self._student]
        enter = self._contexts.enter_context
        enter(make_reproducible(order.settings.seed, order.settings.threads))
        divides = order.settings.shard
        enter(placed(device, *(() if divides else models)))
        own_types = enter(in_single(self._student))
        for model in models:
            self._group.share(model.state_dict().values())
        self._training = Training(
            self._student,
            self._teacher,
            self._task,
            order.settings,
            optimizer_of(self._student, order.settings),
            NeverCancelled(),
            order.outputs,
            Features(self._student, self._teacher, self._kept) if order.settings.features else None,
            order.mirror,
            steps=order.steps,
            device=device,
            own_types=own_types,
            masks=self._masks,
        )
        self._training.sharing = GradientSharing(self._group, self._student, self._task, order.settings, self._masks)
        if divides:
            from .division import Division  # takes a second or two

            teacher = self._teacher if order.teaches else None
            enter(self._training.divided(Division(self._group, device, self._student, teacher, order.settings)))
        return self

    def __exit__(self, *_error: object) -> None:
        """Let the device go."""
        self._contexts.close()

    def follow(self, order: Any) -> None:
        """Do what rank 0 asks for: a part of an update, or what it takes that a model is divided."""
        if isinstance(order, StepOrder):
            self.step(order)
        elif self._training.division is not None:
            self._training.division.follow(order)

    def step(self, order: StepOrder) -> None:
        """Add up the gradients of this process's part of an update."""
        training, place = self._training, self._group.place
        sharing = training.sharing
        assert sharing is not None
        training.step = order.step
        if training.division is not None:
            training.division.rounded(False)  # before statistics of now, in whose place it would put earlier ones
        sharing.begin(None)
        torch.manual_seed((self._order.settings.seed * STEPS + order.step) * place.size + place.rank)
        batches = self._batches(order)
        for one in training.trained:
            one.grad = None
        with keep_modes(training.student, training.teacher), torch.enable_grad():
            try:
                _, _, part = training.gradients(batches)
            except SecateurError as error:
                if error.message.code != DIVERGED:
                    raise
                return  # rank 0 has found the same, and decides what follows
        sharing.collect(training.trained, part)
        if training.division is not None:
            training.update(order.rate)

    def _batches(self, order: StepOrder) -> list[Any]:
        """This process's part of each batch of an update."""
        training, task = self._training, self._task
        if order.mixture != self._mixture and order.mixture is not None and isinstance(task, DomainTask):
            base, self._mixture = task.mixture(), order.mixture
            assert base is not None
            training.mixture = replace(base, seed=self._order.settings.seed).restored(order.mixture)
            training.stream = None
        position = Position(order.epoch, order.first, 0, torch.get_rng_state())
        run = TrainingRun(training, position, Checkpoint(None))
        finish(seek_batches(run))
        return take_batches(run, torch.get_rng_state())
