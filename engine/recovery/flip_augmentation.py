"""Mirrors images on their way into models, where nothing else of a sample changes with that. Loads torch."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ..errors import TaskError
from ..inference.batch_parts import PassLimit
from ..inference.model_inputs import mapped, named_arrays
from ..jobs import CancelToken, Job, spanning
from ..tasks.evaluate import evaluate_on
from ..tasks.protocol import Metric, Split, Task
from ..tracing.tree import tensors_of
from .side_effects import keep_modes


class Sides(IntEnum):
    """Which sides of images a training shows.

    Attributes:
        GIVEN: Images as they are given.
        DRAWN: About half of the images of each batch mirrored, for student and teacher alike.
        BOTH: Likewise, but the student learns the mean of the teacher's logits for both sides.
    """

    GIVEN = 0
    DRAWN = 1
    BOTH = 2


IMAGES = (4, 5)
"""Numbers of dimensions of images [N, C, H, W] and clips [N, C, T, H, W]."""
ALIKE = 0.03
"""Share of the metric that mirroring may cost, noise included, where labels stay right."""
SHARE = 0.5
"""Of the samples of a batch, about, that are mirrored."""


def mirror_images(inputs: Any, chosen: Tensor | None = None) -> Any:
    """A model's inputs with some samples mirrored left to right, in all images of a sample alike.

    Args:
        inputs: Nested as a model takes them.
        chosen: [N] bool, which samples; by default about half, drawn from torch's global generator.

    Raises:
        TaskError: No input is a batch of images.
    """
    count = _images_in(inputs)
    if not count:
        raise TaskError(
            "recovery.mirror",
            "No model input is a batch of images (N, C, H, W), so nothing can be mirrored. Turn off mirrored images.",
        )
    chosen = torch.rand(count) < SHARE if chosen is None else chosen

    def mirror(one: Any) -> Any:
        if not _is_image(one) or len(one) != count:
            return one
        return torch.where(chosen.to(one.device).reshape(-1, *[1] * (one.ndim - 1)), one.flip(-1), one)

    return mapped(inputs, mirror)


@contextmanager
def mirror_inputs(*models: nn.Module, all_samples: bool = False) -> Generator[None]:
    """Mirror what models are given inside: about half of the samples, for all models the same ones, or all."""
    drawn: dict[int, Tensor] = {}

    def change(_module: nn.Module, given: Any, named: Any) -> Any:
        count = _images_in((given, named))
        if count and count not in drawn:
            drawn[count] = torch.ones(count, dtype=torch.bool) if all_samples else torch.rand(count) < SHARE
        return mirror_images((given, named), drawn.get(count))

    handles = [model.register_forward_pre_hook(change, with_kwargs=True) for model in set(models)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def mean_logits(one: Any, other: Any) -> Any:
    """A model's outputs with the mean of logits [N, C] in both; whatever has another form is that of the first.

    Args:
        one: Nested as the model gives them.
        other: Those of mirrored images, nested alike.
    """

    def mean(first: Any, second: Any) -> Any:
        return (first + second) / 2 if _are_logits(first) else first

    return tree_map(mean, one, other)


def labels_allow_mirroring(
    model: nn.Module, task: Task, token: CancelToken, limit: PassLimit | None = None
) -> Job[bool]:
    """Measure whether labels stay right where images are mirrored: the metric on val is surely almost the same.

    This separates letters, digits and positions in an image from objects that look the same from both sides. Where val
    has too few samples to decide, labels are not trusted.

    Args:
        model: One that knows the data, as the original does.
        task: Gives labels, val split and metric.
        token: Cancels.
        limit: How many samples run at a time where the model is.
    """
    batch = next(iter(task.batches(Split.VAL)), None)
    if batch is None or not _images_in(task.inputs(batch)):
        return False
    limit = PassLimit() if limit is None else limit
    evaluate = partial(evaluate_on, task, model, Split.VAL, token, device=limit.device, limit=limit)
    with keep_modes(model):
        model.eval()
        plain = yield from spanning(evaluate(), 0.0, 0.5)
        with mirror_inputs(model, all_samples=True):
            other = yield from spanning(evaluate(), 0.5, 1.0)
    noise = math.hypot(plain.error, other.error)
    return plain.certain and gain(plain, other) + noise <= ALIKE * abs(plain.value)


def has_logits(outputs: Any) -> bool:
    """Whether any of a model's outputs is [N, C]."""
    return any(_are_logits(one) for one in tensors_of(outputs))


def _are_logits(one: Any) -> bool:
    return isinstance(one, Tensor) and one.is_floating_point() and one.ndim == 2


def gain(one: Metric, other: Metric) -> float:
    """How much better a metric is than another one."""
    return one.value - other.value if one.higher_is_better else other.value - one.value


def _images_in(inputs: Any) -> int:
    """Samples of the first batch of images in a model's inputs, 0 where there is none."""
    return next((len(one) for _, one in named_arrays(inputs) if _is_image(one)), 0)


def _is_image(one: Any) -> bool:
    return isinstance(one, Tensor) and one.is_floating_point() and one.ndim in IMAGES
