"""The training step: forward of student and teacher, loss, gradient, update. Loads torch."""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..adapters.torchvision_detection import asked_for_maps, family
from ..errors import NO_NUMBERS, Message, SecateurError, TaskError
from ..inference.batch_parts import PassLimit, can_be_divided, in_parts, release_memory, rows_in, run_in_fitting_parts
from ..inference.model_inputs import alike, batch_size, call, filled, token_count
from ..jobs import CancelToken, check
from ..machine.device_list import CPU, backend_of, kind_of
from ..masks.learned_masks import LearnedMasks
from ..scoring.cancellable_autograd import interruptible
from ..tasks.distillation_loss import distillation_loss
from ..tasks.domain_mixture import DomainMixture
from ..tasks.protocol import EMPTY, DistillationBatch, Split, Task
from ..tracing.isolated_forward import quiet_forward
from ..tracing.model_state import model_state_restored
from .batchnorm import norms_of
from .budget import TrainingTime, Unit
from .features import Features
from .flip_augmentation import Sides, has_logits, mean_logits, mirror_inputs
from .gradient_sharing import GradientSharing
from .mixed_precision import OwnTypes, as_given_back, widen_inputs
from .optimizers import one_cycle
from .protocol import RecoverySettings, require_tokens
from .results import FoundRate
from .side_effects import keep_modes, working_copy

if TYPE_CHECKING:
    from .division import Division

DIVERGED = "recovery.diverged"
"""The code of the error for a loss that is NaN or infinite."""
SHORT = 0.5
"""Seconds of a step up to which a cancel waits for its end."""


@dataclass(slots=True)
class BatchStream:
    """The batches of an epoch that are still to come.

    Attributes:
        batches: Those that follow.
        epoch: From 1.
        done: Batches that were taken, or left out, before.
    """

    batches: Iterator[Any]
    epoch: int
    done: int


@dataclass(slots=True)
class Training:
    """A student that is being trained.

    Attributes:
        student: The copy that changes.
        teacher: The original.
        task: Gives the loss, if it has one.
        settings: As asked.
        optimizer: Over the student's trainable parameters.
        token: Cancels.
        chosen: Paths of the outputs that the student learns; () for the default (`tracing.tree.outputs_of`).
        features: Results of blocks to learn too, None for none.
        mirror: Which sides of images are shown.
        time: How long it may take.
        steps: Steps in all, for the schedule; 0 where time or tokens end it.
        step: Steps done.
        tokens: Tokens that they were made on; 0 where the data has none.
        stream: Where it takes its batches from; None to open it anew at the position.
        device: Where it is trained and evaluated.
        own_types: Of the student's tensors that are trained in single precision instead.
        masks: Gates on the student's structures that are learned with its weights, None for none.
        mixture: Of named domains, None where they are not mixed.
        sharing: How gradients are added up with other processes, None where this one computes alone.
        whole: It is between two steps, so that it can be resumed from here.
        seconds: Of the last step; infinite before the first.
        passes: How many samples go through the models at a time, once memory has run out.
        scaler: Scales the loss where float16 would round gradients to zero; None elsewhere.
        overflows: Steps that were skipped, because scaled gradients overflowed float16.
        divides: The models are divided among processes while they are trained.
        division: Their parts, while they are.
        found: The learning rate that trials found; None where it was said, or is not sought yet.
    """

    student: nn.Module
    teacher: nn.Module
    task: Task
    settings: RecoverySettings
    optimizer: torch.optim.Optimizer
    token: CancelToken
    chosen: Sequence[str] = ()
    features: Features | None = None
    mirror: Sides = Sides.GIVEN
    time: TrainingTime = field(default_factory=TrainingTime)
    steps: int = 0
    step: int = 0
    tokens: int = 0
    stream: BatchStream | None = None
    device: str = CPU
    own_types: OwnTypes = field(default_factory=dict[str, torch.dtype])
    masks: LearnedMasks | None = None
    mixture: DomainMixture | None = None
    sharing: GradientSharing | None = None
    whole: bool = False
    seconds: float = math.inf
    passes: PassLimit = field(default_factory=PassLimit)
    scaler: torch.amp.GradScaler | None = None
    overflows: int = 0
    divides: bool = False
    division: "Division | None" = None
    found: FoundRate | None = None

    def __post_init__(self) -> None:
        """Mixed precision in float16 needs a scaler."""
        if self.settings.half and half_of(self.device) == "float16":
            self.scaler = torch.amp.GradScaler(kind_of(self.device))

    @property
    def peak(self) -> float:
        """Peak of the learning rate."""
        return self.settings.peak if self.found is None else self.found.rate

    @property
    def half(self) -> str:
        """The type of mixed precision, "" for none: float16 only where one scale of the loss serves all gradients."""
        found = half_of(self.device) if self.settings.half else ""
        return found if found != "float16" or (self.masks is None and self.sharing is None) else ""

    @property
    def overflow(self) -> Message | None:
        """How many steps were skipped, None where none was."""
        template = "Steps skipped, as scaled gradients overflowed float16: {count:,} of {steps:,}."
        numbers = {"count": self.overflows, "steps": self.step}
        return Message("recovery.overflow", template, numbers) if self.overflows else None

    @property
    def whole_device(self) -> str:
        """Where whole models run: those that are divided are too large for the device."""
        return CPU if self.divides else self.device

    @contextmanager
    def divided(self, division: "Division") -> Generator[None]:
        """Train what is divided inside, and let the whole models be as they are."""
        whole = self.student, self.teacher, self.optimizer, self.features, self.passes, self.sharing
        self.student, self.optimizer, self.division = division.student, division.optimizer, division
        self.teacher = division.teacher or self.teacher
        if self.features is not None:
            self.features = Features(self.student, self.teacher, self.features.kept)
        self.passes = PassLimit(device=self.device, whole=True)
        self.sharing = None if self.sharing is None else self.sharing.of_parts(self.student)
        try:
            with division.running(self.own_types, self.token):
                yield
        finally:
            self.student, self.teacher, self.optimizer, self.features, self.passes, self.sharing = whole
            self.division = None

    @property
    def leads(self) -> bool:
        """Whether this process computes what one of them does for all, such as trials of the learning rate."""
        return self.sharing is None or self.sharing.group.is_writer

    def agreed(self, value: Any) -> Any:
        """What the process that leads has found, in all of them; see `Group.given`."""
        return value if self.sharing is None else self.sharing.group.given(value)

    @contextmanager
    def alone(self) -> Generator[None]:
        """Compute in this process what the others take no part in; its own clock goes on."""
        sharing, clock, limit = self.sharing, self.time.limit.clock, self.time.limit
        self.sharing = limit.clock = None
        try:
            yield
        finally:
            self.sharing, limit.clock = sharing, clock

    def weights(self) -> dict[str, Tensor]:
        """The student's state dict on the CPU, in its own types (within `given_back`); of the process that leads."""
        if self.division is not None:
            return self.division.weights()
        if not self.leads:
            return {}
        return {name: one.detach().to(CPU, copy=True) for name, one in self.student.state_dict().items()}

    def given_back(self) -> AbstractContextManager[None]:
        """Context in which the student's weights are rounded to its own types."""
        return as_given_back(self.student, self.own_types) if self.division is None else self.division.as_given_back()

    def state(self, leaves: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """The state dicts of student and optimizer, as they are trained; the same however many processes do so.

        Args:
            leaves: The training is broken off here in this process alone.
        """
        if self.division is not None:
            return self.division.checkpoint(leaves=leaves)
        return self.student.state_dict(), self.optimizer.state_dict()

    def load_state(self, student: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        if self.division is not None:
            self.division.restore(student, optimizer)
            return
        self.student.load_state_dict(student)
        self.optimizer.load_state_dict(optimizer)

    @property
    def position(self) -> float:
        """How far it is, 0 to 1: by steps, tokens or time, whichever ends first. A longer one stays at the end."""
        by_steps = min(self.step / max(self.steps - 1, 1), 1.0) if self.steps else 0.0
        return max(by_steps, self._by_tokens, self.time.share)

    @property
    def _by_tokens(self) -> float:
        budget = self.settings.budget
        return min(self.tokens / budget.amount, 1.0) if budget.unit is Unit.TOKENS else 0.0

    @property
    def over(self) -> bool:
        """Whether it ends with this step, whatever the epochs say."""
        budget = self.settings.budget
        return self.time.up or self._by_tokens >= 1.0 or (budget.unit is Unit.STEPS and self.step >= budget.amount)

    @property
    def shown(self) -> tuple[int, int]:
        """(done, in all) for a person: tokens or seconds where they end it, else steps."""
        if self.settings.budget.unit is Unit.TOKENS:
            return self.tokens, int(self.settings.budget.amount)
        return (self.step, self.steps) if self.steps else (int(self.time.elapsed), int(self.time.length))

    def train_on(self, batches: Sequence[Any]) -> float:
        """One update on the batches together; returns their loss.

        With other processes, batches are this one's part, and all make the same update of the gradients of all.

        Raises:
            SecateurError: The loss is NaN or infinite.
            TaskError: The loss does not depend on the model, or the budget counts tokens and the batches have none.
            Cancelled: The token was set.
        """
        check(self.token)
        began, self.whole = time.monotonic(), False
        rate = self.peak * one_cycle(self.position, self.settings.warm_up)
        self.optimizer.zero_grad(set_to_none=True)
        # Unlike a long step, a short one is never broken off: nothing of it is lost. Nor is one of a divided model,
        # amid which processes wait for each other; that one looks at the token before each forward.
        breaks_off = self.seconds > SHORT and self.division is None
        breaking_off = interruptible(self.token, self._parameters()) if breaks_off else nullcontext()
        with keep_modes(self.student, self.teacher), torch.enable_grad(), breaking_off:
            value, tokens = self.gradients(batches)
        try:
            self.update(rate)
        except BaseException:
            # The others have made the same update. Of a divided model each may have made its part, so that nothing of
            # it is to be kept.
            if self.sharing is not None:
                self.sharing.group.abandon()
            raise
        self.step += 1
        self.tokens += tokens
        if self.masks is not None:
            self.masks.step(self.position)
        self.seconds, self.whole = time.monotonic() - began, True
        return value

    def update(self, rate: float) -> None:
        """Change the weights by their gradients, at a learning rate; of a divided student, this process's part."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        scaler = self.scaler if self.half == "float16" else None
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        if norm := self.settings.gradient_norm:
            with nullcontext() if self.division is None else self.division.explained():  # the norm is that of all parts
                nn.utils.clip_grad_norm_(self._parameters(), norm)
        if scaler is None:
            self.optimizer.step()
        else:  # skips a step whose gradients overflowed, and scales less
            scaler.step(self.optimizer)
            scale = scaler.get_scale()
            scaler.update()
            self.overflows += scaler.get_scale() < scale

    def gradients(self, batches: Sequence[Any]) -> tuple[float, int]:
        """Add up the gradients of batches; returns (loss, tokens).

        Gradients are averaged over what the loss is a mean of, as they are for one batch of all samples: over the
        positions that count, else over samples. With other processes these are the samples of all, and so are
        gradients, loss and tokens. There are no gradients before.

        Raises:
            SecateurError: As `train_on`; for a loss of NaN in all processes alike.
        """
        own = [batch for batch in batches if batch is not EMPTY]
        taught = [self._distillation_batch(batch) for batch in own]
        alone = len(own) == 1 and self.sharing is None
        # How many samples or positions of a batch count in the mean that its loss is.
        sizes = [1.0]
        if not alone:
            sizes = [float(batch_size(one.inputs) if one.counts is None else one.counts.sum()) for one in taught]
        whole, tokens = sum(sizes), sum(token_count(one.inputs) for one in taught)
        if self.sharing is not None:
            whole, summed = self.sharing.sums(whole, tokens)
            tokens = round(summed)
            counted = [number for number, size in enumerate(sizes) if size]  # a mean over nothing is NaN
            own, taught = [own[n] for n in counted], [taught[n] for n in counted]
            sizes = [sizes[n] for n in counted]
        require_tokens(self.settings, tokens)
        shares = [1.0] if alone else [size / max(whole, 1.0) for size in sizes]
        if self.division is not None and self.sharing is not None:
            more = self.sharing.missing(len(own))
            own, shares = [*own, *more], [*shares, *[0.0 for _ in more]]
            taught += [self._distillation_batch(batch) for batch in more]
        try:
            with nullcontext() if self.division is None else self.division.explained():
                while (value := self._add_gradients(own, taught, shares)) is None:
                    pass
        except SecateurError as error:
            if self.sharing is None or error.message.code not in NO_NUMBERS:
                raise
            value = math.nan
        if self.sharing is not None:
            summed, used = self.sharing.group.sums(value, self.sharing.has_gradient(self.trained))
            value = float(summed)
            self._require_finite(value)
            self.sharing.add_up(self.trained, used, sum(sizes) / max(whole, 1.0))
        return value, tokens

    def _add_gradients(
        self, batches: Sequence[Any], taught: Sequence[DistillationBatch], shares: Sequence[float]
    ) -> float | None:
        """Add up gradients and give the loss; None where memory ran out, and parts of the batches are smaller now.

        What a step that ran out of memory has drawn, counted and added up is as before.
        """
        value, largest = 0.0, 0
        random, counted = torch.get_rng_state(), [one.detach().clone() for one in self._statistics()]
        try:
            for number, (batch, one, share) in enumerate(zip(batches, taught, shares, strict=True)):
                largest = max(largest, number, key=lambda n: rows_in(taught[n].inputs))
                with self._training_mode(), nullcontext() if share else self._uncounted():
                    loss = self._loss(batch, one)
                    if self.sharing is None:
                        self._require_finite(float(loss.detach()))
                    if not loss.requires_grad:
                        raise TaskError(
                            "recovery.no_gradient",
                            "The loss does not depend on the model. Return a tensor computed from its outputs.",
                        )
                    weighted = loss if share == 1.0 else share * loss
                    if self.scaler is not None and self.half == "float16":  # on the device of the gradients
                        weighted = self.scaler.scale(weighted.to(self._parameters()[0].device))
                    # Where the model left autocast, so do its gradients.
                    precision = torch.autocast(kind_of(self.device), enabled=False) if self.half else nullcontext()
                    last = number == len(batches) - 1
                    with precision, nullcontext() if self.division is None else self.division.backward(adds_up=last):
                        weighted.backward()
                value += share * float(loss.detach())
        except Exception as error:
            if not can_be_divided(error) or self.features is not None:
                raise
            details = str(error)
        else:
            return value
        for one in self.trained:
            one.grad = None
        release_memory()
        torch.set_rng_state(random)
        for buffer, before in zip(self._statistics(), counted, strict=True):
            buffer.copy_(before)
        self.passes.lower(self.student, taught[largest].inputs, details)
        return None

    @contextmanager
    def _uncounted(self) -> Generator[None]:
        """A batch that only fills a gap changes no statistics."""
        before = [(buffer, buffer.detach().clone()) for buffer in self._statistics()]
        try:
            yield
        finally:
            for buffer, value in before:
                buffer.copy_(value)

    def _statistics(self) -> list[Tensor]:
        """What a forward in train mode counts: the running statistics of norms."""
        return [buffer for norm in norms_of(self.student) for buffer in norm.buffers()]

    @property
    def trained(self) -> list[nn.Parameter]:
        """What gets gradients: the weights, and the logits of gates."""
        return [*self._parameters(), *([] if self.masks is None else self.masks.parameters)]

    def measure(self, batch: Any) -> float:
        """The loss on a batch in train mode; nothing of it stays.

        Raises:
            SecateurError: The loss is NaN or infinite.
        """
        taught = self._distillation_batch(batch)

        def run() -> float:
            with self._training_mode():
                return float(self._loss(batch, taught))

        quiet = quiet_forward(self.student, training=True)
        with keep_modes(self.teacher), quiet, torch.no_grad(), interruptible(self.token):
            whole = self.features is not None  # as in `_training_mode`
            loss = run() if whole else run_in_fitting_parts(run, self.student, taught.inputs, self.passes)
        self._require_finite(loss)
        return loss

    def attempt(self, batch: Any) -> None:
        """What `train_on` computes of a batch, and nothing of it stays."""
        parameters = self._parameters()
        quiet = quiet_forward(self.student, training=True)
        breaking_off = interruptible(self.token, parameters)
        with keep_modes(self.teacher), quiet, torch.enable_grad(), breaking_off, self._training_mode():
            loss = self._loss(batch, self._distillation_batch(batch))
            torch.autograd.grad(loss, parameters, allow_unused=True)

    def _parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [one for group in self.optimizer.param_groups for one in group["params"]]

    @contextmanager
    def _training_mode(self) -> Generator[None]:
        """The student in train mode, in the asked precision, behind its gates: forward and backward alike.

        A backward may run parts of the model once more (`batch_parts.py`).
        """
        self.student.train()
        self.teacher.eval()
        precision = torch.autocast(kind_of(self.device), getattr(torch, self.half)) if self.half else nullcontext()
        gates = nullcontext() if self.masks is None else self.masks.applied(self.step, self.position)
        whole = self.features is not None  # results of blocks are compared batch by batch
        divided = [nullcontext() if whole else in_parts(one, self.passes) for one in (self.student, self.teacher)]
        with precision, widen_inputs(self.student, self.own_types), gates, divided[0], divided[1]:
            yield

    def _loss(self, batch: Any, distillation_batch: DistillationBatch) -> Tensor:
        """The task's own loss and the distance to the teacher, in one forward of the student; images are mirrored."""
        flips = mirror_inputs(self.student, self.teacher) if self.mirror else nullcontext()
        share, features = self.settings.distillation, self.features
        asked: list[Any] = []
        heard: list[tuple[Any, Any]] = []

        def ask(_module: Any, given: Any, named: Any) -> None:
            asked.append((given, named))  # before images are mirrored

        def hear(_module: Any, _given: Any, outputs: Any) -> None:
            heard.append((asked[-1], outputs))

        handles = [self.student.register_forward_pre_hook(ask, with_kwargs=True)]
        handles.append(self.student.register_forward_hook(hear))
        with nullcontext() if features is None else features.record(), flips:
            try:
                own = self.task.loss(self.student, batch) if share < 1.0 else None
                if share == 0.0 and own is not None and features is None:
                    return own
                # The forward of the loss serves for distillation too. Not that of a detector, whose losses come from
                # another run than its maps; nor one whose inputs a loss of the user's has changed.
                same = heard and not family(self.student) and alike(heard[-1][0], distillation_batch.inputs)
                outputs = heard[-1][1] if same else call(self.student, distillation_batch.inputs)
            finally:
                for handle in handles:
                    handle.remove()
            with torch.no_grad(), model_state_restored(self.teacher):
                taught = call(self.teacher, distillation_batch.inputs)
                # A teacher that was tuned gains by both sides of images: the student learns the mean of its logits.
                both = self.mirror is Sides.BOTH and distillation_batch.logits and self.features is None
                if both and has_logits(taught):
                    with mirror_inputs(self.teacher, all_samples=True):
                        taught = mean_logits(taught, call(self.teacher, distillation_batch.inputs))
        parts = [] if own is None else [(1.0 - share) * own]
        if share > 0.0 or own is None:
            distance = distillation_loss(
                outputs,
                taught,
                self.settings.temperature,
                self.chosen,
                distillation_batch.counts,
                distillation_batch.logits,
            )
            parts.append(distance if own is None else share * distance)
        further = features.distance(filled(distillation_batch.inputs)) if features is not None else None
        parts += [] if further is None else [self.settings.features * further.to(parts[0].device)]
        return reduce(torch.add, parts)

    def _distillation_batch(self, batch: Any) -> DistillationBatch:
        """As the task says; of a detector the maps, because the few boxes that it chooses teach little."""
        distillation_batch = self.task.distillation_batch(batch)
        if not family(self.student):
            return distillation_batch
        return replace(distillation_batch, inputs=asked_for_maps(distillation_batch.inputs))

    def _require_finite(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        words: dict[str, Any] = {"loss": loss, "step": self.step, "rate": self.peak}
        if self.half == "float16":
            raise SecateurError(
                "recovery.half_diverged",
                "The loss is {loss} at step {step}, in float16, whose largest number is 65,504. Train without mixed "
                "precision, or try a learning rate below {rate:g}.",
                **words,
            )
        template = "Fine-tuning diverged: the loss is {loss} at step {step}. Try a learning rate below {rate:g}."
        raise SecateurError(DIVERGED, template, **words)


def half_of(device: str) -> str:
    """The type of mixed precision on a device, "" where it has none that is safe."""
    return backend_of(device).half(device)


def has_loss(model: nn.Module, task: Task, token: CancelToken, limit: PassLimit | None = None) -> bool:
    """Whether the task has a loss by labels, tried on a copy in train mode: only then a detector takes labels."""
    batch = next(iter(task.batches(Split.TRAIN, seed=0)), None)
    if batch is None:
        return False
    with working_copy(model) as copy, torch.no_grad(), interruptible(token):
        copy.train()
        loss = run_in_fitting_parts(
            lambda: task.loss(copy, batch), copy, task.inputs(batch), PassLimit() if limit is None else limit
        )
        return loss is not None
