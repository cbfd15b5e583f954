"""Finds the temperature for a teacher's class logits by how sure it is of the training data. Loads torch.

A student learns from what its teacher holds for likely beside its first choice (Hinton et al. 2015). A teacher that
knows the training data well holds nothing else for likely, unless its logits are softened more. So they are softened
until their mean entropy is a share of the largest that there is, within bounds: that share is what the usual
temperature makes of teachers that it suits, with ten classes. With more classes it is no larger.
"""

import math
from itertools import islice

import torch
from torch import Tensor

from ..batch_parts import run_in_fitting_parts
from ..devices import placed
from ..jobs import Job, Progress, check
from ..model_inputs import call
from ..tasks.distillation_loss import CLASS_TEMPERATURE
from ..tasks.model_outputs import main_output, widened
from ..tasks.protocol import Split
from ..tracing.isolated_forward import seeded
from ..tracing.model_state import model_state_restored
from .found_temperature import FoundTemperature
from .side_effects import modes_kept
from .training import Training

SHARE, CLASSES = 2 / 3, 10
"""Of the entropy of all classes alike, or of so many, that softened outputs are to have."""
LARGEST = 8.0
"""At most."""
LONG = 300
"""Steps from which on one is sought: what is softened more teaches more slowly."""
BATCHES = 8
"""Of training data, from which it is found."""
ROUNDS = 20
"""Halvings of the interval in which it lies."""


def found_temperature(training: Training, steps: float) -> Job[FoundTemperature | None]:
    """Find the temperature for a training that is to begin; the same data, the same temperature.

    None where one is said, before a brief training, where outputs are no class logits, and where that which is usual
    softens them enough.

    Args:
        training: Stays as it is, but for how many samples fit into memory.
        steps: Updates of the training, about.

    Raises:
        Cancelled: The token was set.
    """
    settings, teacher, task = training.settings, training.teacher, training.task
    if settings.temperature or settings.distillation == 0 or steps < LONG or training.divides:
        return None
    found: list[Tensor] = []
    with placed(training.device, teacher), modes_kept(teacher), torch.no_grad(), seeded(settings.seed):
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
                return None
            found.append(widened(logits).cpu())
            yield Progress("Looking how sure the teacher is")
    every = torch.cat(found) if found else torch.zeros(0, 2)
    every = every[every.isfinite().all(1)]
    temperature = temperature_of(every) if len(every) else CLASS_TEMPERATURE
    return FoundTemperature(temperature) if temperature > CLASS_TEMPERATURE else None


def temperature_of(logits: Tensor) -> float:
    """The temperature at which logits [N, C] are as unsure as they are to be, to a tenth."""
    wanted, low, high = SHARE * math.log(min(logits.shape[1], CLASSES)), CLASS_TEMPERATURE, LARGEST
    if unsureness(logits, low) >= wanted:
        return low
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if unsureness(logits, middle) < wanted else (low, middle)
    return round(high, 1)


def unsureness(logits: Tensor, temperature: float) -> float:
    """Mean entropy of softened logits [N, C], in nats."""
    shares = torch.log_softmax(logits / temperature, 1)
    return float(-(shares.exp() * shares).sum(1).mean())
