"""What a training finds out by trial before its first step: learning rate, temperature, memory layout. Loads torch.

*Learning rate.* How large a rate a model bears depends on its size and on what the cut and its repair have left of
it: a damaged small network learns most at a large rate; a large one, or one that is nearly as good as before, is
thrown back further than its steps can mend. So the largest rate is tried first: some steps of a whole cycle, from the
weights as they are. Where these raise the loss on other batches by more than a little, half of that rate is tried,
from the same weights. Nothing of the trials stays.

*Temperature.* A student learns from the probabilities that its teacher gives to other classes than its first choice
(Hinton et al. 2015). A teacher that knows the training data well gives them next to nothing, unless its logits are
softened more. So they are softened until their mean entropy is a share of the largest possible, within bounds: the
share that the usual temperature makes of teachers that it suits, with ten classes.

*Memory layout.* Convolutions on the CPU compute in the channels-last order; from the usual one they convert
everything there and back. Only their weights are laid out so, the rest follows. Code that insists on the usual order
(`view` behind a convolution, in the model or in the loss) fails in a trial, and is left as it is.
"""

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from ..errors import NO_NUMBERS, Message, SecateurError
from ..inference.batch_parts import run_in_fitting_parts
from ..inference.model_inputs import call
from ..jobs import Cancelled, Job, Progress, check
from ..machine.device_list import CPU
from ..machine.devices import placed
from ..tasks.distillation_loss import CLASS_TEMPERATURE
from ..tasks.model_outputs import main_output, widened
from ..tasks.protocol import Split
from ..tracing.isolated_forward import seeded
from ..tracing.model_state import model_state_restored
from ..tracing.tree import outputs_of
from .batchnorm import trainable_batches
from .budget import Budget, TrainingTime, Unit
from .optimizers import optimizer_of
from .protocol import RATE, RecoverySettings
from .results import FoundRate
from .side_effects import keep_modes
from .training import Training

RATE_TRIALS = ("progress.rate_trials", "Trying learning rate {rate}")
"""Code and words of their progress."""
RATES = tuple(RATE / 2**halvings for halvings in range(6))
"""Peaks to try; the last one is taken without a trial."""
TOLERANCE, LARGEST_TOLERANCE, BRIEF = 0.1, 0.2, 300
"""Of the loss before a trial, how much higher it may be after it: before so few steps, and at most; see `tolerance`."""
MOST, LEAST, PART = 16, 4, 15
"""Updates of a trial: at most, at least, and how many steps of the training allow for one of them."""
USUAL = 2
"""Trials of a recovery, to predict its time: there may be fewer or more."""
COMPARED = 8
"""Batches to measure the loss on before and after a trial."""
STEP = 3
"""How many times as long a step takes as measuring the loss of a batch."""
SHARE = 1 / 5
"""Of the minutes that are left, what trials may take."""

ENTROPY, CLASSES = 2 / 3, 10
"""Softened outputs shall have this share of the entropy of equally likely classes, as if there were ten at most."""
LARGEST_TEMPERATURE = 8.0
LONG = 300
"""Steps of a training from which on a temperature is sought: softer outputs teach more slowly."""
BATCHES = 8
"""Of training data, to find the temperature on."""
HALVINGS = 20
"""Of the interval of temperatures."""

FEWEST = 2
"""Convolutions from which on the memory layout is worth a trial."""
CLOSE = 1e-3
"""Of the largest output, by which those of the two layouts may differ."""


def trial_steps(settings: RecoverySettings, steps: float) -> int:
    """Updates of a trial for a training of `steps` or minutes; 0 where no rate is sought."""
    if not settings.seeks_rate:
        return 0
    return MOST if settings.minutes else round(min(max(steps / PART, LEAST), MOST))


def tolerance(settings: RecoverySettings, steps: float) -> float:
    """Share by which a trial may raise the loss, for a training of `steps`: long ones mend more."""
    if settings.minutes:  # how many steps they come to is not known yet
        return TOLERANCE
    return min(TOLERANCE * math.sqrt(max(steps / BRIEF, 1.0)), LARGEST_TOLERANCE)


def usual_trial_steps(settings: RecoverySettings, steps: float) -> int:
    """Updates that trials take together, as many as there usually are."""
    return USUAL * trial_steps(settings, steps)


def rate_trials(training: Training, steps: int, tolerated: float = TOLERANCE) -> Job[FoundRate | None]:
    """Find the peak for a training that has not begun; the same seed and data, the same rate.

    The student, its statistics and all random numbers are as before afterwards, bit for bit. However many processes
    train together, this one alone tries, on all of each batch. None is found where the clock leaves no time for trials,
    where there are no batches, and where the loss is NaN or infinite before any trial, which the training reports.

    Args:
        training: Stays as it is, but for how many samples fit into memory.
        steps: Updates of a trial.
        tolerated: Share by which it may raise the loss.

    Raises:
        SecateurError: As `Training.train_on`.
        Cancelled: The token was set.
    """
    settings, student, time, done = training.settings, training.student, training.time, 0
    began, every = time.limit.elapsed, (len(RATES) - 1) * steps
    # All trials take as long as measuring the loss of `ahead` batches; the first batches show how long one takes.
    ahead = len(RATES) * COMPARED + STEP * settings.accumulate * every
    with keep_modes(student, training.teacher), seeded(settings.seed):
        batches = _groups(training)
        compared, losses, first = list[Any](), list[float](), 0
        while len(compared) < COMPARED and (group := next(batches, None)):
            for one in group[: COMPARED - len(compared)]:
                losses.append(_loss(training, one))
                compared.append(one)
                left = max(time.limit.left - time.reserve, 0.0)
                if ahead * (time.limit.elapsed - began) > SHARE * len(losses) * left or losses[-1] == math.inf:
                    return None
            first += 1
        if not losses:
            return None
        before = math.fsum(losses) / len(losses)
        for rate in RATES[:-1]:
            with _restore_student(student):
                trial = trial_training(training, rate, steps)
                try:
                    for group in islice(batches, steps):
                        trial.train_on(group)
                        done += 1
                        text = Message(*RATE_TRIALS, {"rate": f"{rate:.3g}"})
                        yield Progress(text, done, every)
                    after = math.fsum(_loss(training, one) for one in compared) / len(compared)
                except SecateurError as error:
                    if error.message.code not in NO_NUMBERS:
                        raise
                    after = math.inf
            if after <= before + tolerated * abs(before):
                return FoundRate(rate, done)
            # Each rate trains on the same batches, behind those that losses are measured on.
            batches = islice(_groups(training), first, None)
    return FoundRate(RATES[-1], done)


def _loss(training: Training, batch: Any) -> float:
    """The loss on a batch, infinity in place of NaN too."""
    try:
        return training.measure(batch)
    except SecateurError as error:
        if error.message.code not in NO_NUMBERS:
            raise
        return math.inf


def trial_training(training: Training, rate: float, steps: int) -> Training:
    """A training on the same student, as precise, with a whole cycle of the learning rate in `steps`."""
    settings = replace(training.settings, learning_rate=rate, half=bool(training.half))
    settings = settings.within(Budget(Unit.STEPS, steps))
    return replace(
        training,
        settings=settings,
        optimizer=optimizer_of(training.student, settings),
        time=TrainingTime(),
        steps=steps,
        stream=None,
        sharing=None,
        masks=None,
    )


def _groups(training: Training) -> Iterator[list[Any]]:
    """The batches of one step after the other, in an order of their own, pass after pass."""
    count, seed = training.settings.accumulate, training.settings.seed * 1000
    while True:
        batches = trainable_batches(training.student, training.task, seed=seed)
        group = list(islice(batches, count))
        if not group:
            return
        while group:
            yield group
            group = list(islice(batches, count))


@contextmanager
def _restore_student(student: nn.Module) -> Generator[None]:
    """Restore weights, buffers, gradients and whatever else a step changes; the weights wait on the CPU."""
    before = [(one, one.detach().to(CPU, copy=True)) for one in student.parameters()]
    try:
        with model_state_restored(student):
            yield
    finally:  # after `model_state_restored`, which gives each parameter its own memory back
        with torch.no_grad():
            for one, value in before:
                one.copy_(value)


def find_temperature(training: Training, steps: float) -> Job[float]:
    """Find the temperature for a training that is to begin; the same data, the same temperature.

    0 for the usual one: where one is said, before a brief training, where outputs are no class logits, and where the
    usual one softens them enough.

    Args:
        training: Stays as it is, but for how many samples fit into memory.
        steps: Updates of the training, about.

    Raises:
        Cancelled: The token was set.
    """
    settings, teacher, task = training.settings, training.teacher, training.task
    if settings.temperature or settings.distillation == 0 or steps < LONG or training.divides:
        return 0.0
    found: list[Tensor] = []
    with placed(training.device, teacher), keep_modes(teacher), torch.no_grad(), seeded(settings.seed):
        teacher.eval()
        for batch in islice(task.batches(Split.TRAIN, seed=settings.seed), BATCHES):
            check(training.token)
            one = task.distillation_batch(batch)
            with model_state_restored(teacher):
                outputs = run_in_fitting_parts(
                    lambda inputs=one.inputs: call(teacher, inputs), teacher, one.inputs, training.passes
                )
            logits = main_output(outputs)
            if one.logits is not True or not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
                return 0.0
            logits = widened(logits).cpu()
            found.append(logits[logits.isfinite().all(1)])
            yield Progress("Measuring how confident the teacher is")
    every = torch.cat(found) if found else torch.zeros(0, 2)
    temperature = temperature_of(every) if len(every) else CLASS_TEMPERATURE
    return temperature if temperature > CLASS_TEMPERATURE else 0.0


def temperature_of(logits: Tensor) -> float:
    """The temperature, to a tenth, at which softened logits [N, C] have the wanted mean entropy."""
    wanted, low, high = ENTROPY * math.log(min(logits.shape[1], CLASSES)), CLASS_TEMPERATURE, LARGEST_TEMPERATURE

    def entropy(temperature: float) -> float:
        """Mean over samples, in nats."""
        return float(Categorical(logits=logits / temperature).entropy().mean())

    if entropy(low) >= wanted:
        return low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(middle) < wanted else (low, middle)
    return round(high, 1)


def channels_last_weights(models: Sequence[nn.Module], attempt: Callable[[], None]) -> list[nn.Parameter]:
    """Weights of all convolutions on the CPU, if an attempt gives the same outputs in either layout; else none.

    Args:
        models: Outputs of the first, the student, are compared; the others run with it.
        attempt: A step of the training of which nothing stays.

    Raises:
        Cancelled: In the attempt. Any other error counts as a difference: the training's own step reports it.
    """
    # A weight that shares its memory with something else must stay where it is.
    tensors = {id(one): one for model in models for one in (*model.parameters(), *model.buffers())}
    owners = Counter(map(_memory, tensors.values()))
    convolutions: dict[int, Any] = {
        id(m.weight): m.weight for model in models for m in model.modules() if isinstance(m, nn.Conv2d)
    }
    weights: list[nn.Parameter] = []
    for one in convolutions.values():
        usual = type(one) is nn.Parameter and one.device.type == "cpu" and one.is_contiguous()
        if usual and owners[_memory(one)] == 1 and not one.is_shared():
            weights.append(one)
    if len(weights) < FEWEST:
        return []
    try:
        before = _outputs(models[0], attempt)
        with channels_last(weights):
            after = _outputs(models[0], attempt)
        same = len(before) == len(after)
        for one, other in zip(before, after, strict=False):
            same &= not one.numel() or float((one - other).abs().max()) <= CLOSE * float(one.abs().max())
    except Cancelled:
        raise
    except Exception:
        same = False
    return weights if same else []


@contextmanager
def channels_last(weights: Sequence[nn.Parameter]) -> Generator[None]:
    """Store weights channels-last inside; restore the usual layout in the same memory afterwards."""
    before = [(one, one.data) for one in weights]
    try:
        for one, data in before:
            one.data = data.contiguous(memory_format=torch.channels_last)
        yield
    finally:
        for one, data in before:
            data.copy_(one.data)
            one.data = data


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def _outputs(student: nn.Module, attempt: Callable[[], None]) -> list[Tensor]:
    """[*] the float tensors that the student gives in an attempt."""
    heard: list[Tensor] = []

    def hear(_module: Any, _inputs: Any, outputs: Any) -> None:
        heard.extend(one.tensor.detach().clone() for one in outputs_of(outputs) if one.tensor.is_floating_point())

    handle = student.register_forward_hook(hear)
    try:
        attempt()
    finally:
        handle.remove()
    return heard
