"""Finds the temperature of class logits by how confident the teacher is on the training data. Loads torch.

A student learns from what its teacher holds for likely beside its first choice (Hinton et al. 2015). A teacher that
knows the training data well holds nothing else for likely, unless its logits are softened more. So they are softened
until their mean entropy is a share of the largest that there is, within bounds: that share is what the usual
temperature makes of teachers that it suits, with ten classes. With more classes it is no larger.
"""

import math
from itertools import islice

import torch
from torch import Tensor
from torch.distributions import Categorical

from ..batch_parts import run_in_fitting_parts
from ..devices import placed
from ..jobs import Job, Progress, check
from ..model_inputs import call
from ..tasks.distillation_loss import CLASS_TEMPERATURE
from ..tasks.model_outputs import main_output, widened
from ..tasks.protocol import Split
from ..tracing.isolated_forward import seeded
from ..tracing.model_state import model_state_restored
from .side_effects import modes_kept
from .training import Training

SHARE, CLASSES = 2 / 3, 10
"""Of the entropy of all classes alike, or of so many, that softened outputs are to have."""
LARGEST = 8.0
"""The highest temperature that is taken."""
LONG = 300
"""Steps from which on one is sought: what is softened more teaches more slowly."""
BATCHES = 8
"""Of training data, from which it is found."""
HALVINGS = 20
"""Of the interval in which it lies."""


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
                return 0.0
            logits = widened(logits).cpu()
            found.append(logits[logits.isfinite().all(1)])
            yield Progress("Measuring how confident the teacher is")
    every = torch.cat(found) if found else torch.zeros(0, 2)
    temperature = temperature_of(every) if len(every) else CLASS_TEMPERATURE
    return temperature if temperature > CLASS_TEMPERATURE else 0.0


def temperature_of(logits: Tensor) -> float:
    """The temperature at which logits [N, C] have the mean entropy that is wanted, to a tenth."""
    wanted, low, high = SHARE * math.log(min(logits.shape[1], CLASSES)), CLASS_TEMPERATURE, LARGEST

    def entropy(temperature: float) -> float:
        """Mean over samples, in nats."""
        return float(Categorical(logits=logits / temperature).entropy().mean())

    if entropy(low) >= wanted:
        return low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(middle) < wanted else (low, middle)
    return round(high, 1)
