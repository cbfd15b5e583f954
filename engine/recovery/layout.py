"""Convolutions are trained with their channels last in memory, where the model's code allows it. Loads torch.

That is the order in which the CPU's kernels work; in the usual one they bring everything into it and back. Only the
weights of convolutions are laid out so, the rest follows. Code that insists on the usual order (`view` behind a
convolution) is found by a trial, and left as it is.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..devices import CPU
from ..inputs import Inputs, call
from ..tracing.quiet import quiet_forward
from ..tracing.reading import tensors_of

FEWEST = 2
"""Convolutions for which it is worth a trial."""
CLOSE = 1e-3
"""Of the largest answer, by which those of the two orders may be apart."""


@contextmanager
def channels_last(models: Sequence[nn.Module], examples: Callable[[], Inputs], device: str = CPU) -> Generator[bool]:
    """Models with the weights of their convolutions laid out so, all of them or none; as before afterwards.

    Yields whether they are.

    Args:
        models: Run on examples for the trial, in eval and in train mode; their weights and buffers keep their values.
        examples: Gives a few samples.
        device: Where the models are; elsewhere than on the CPU nothing is done.
    """
    weights = list({id(one): one for model in models for one in _weights(model)}.values())
    if device != CPU or len(weights) < FEWEST:
        yield False
        return
    try:
        yield _laid_out(models, examples, weights)
    finally:
        _lay(weights, torch.contiguous_format)


def _weights(model: nn.Module) -> list[nn.Parameter]:
    """[out, in / groups, height, width] of each convolution that has them to itself, in the usual order."""
    found = (module.weight for module in model.modules() if isinstance(module, nn.Conv2d))
    return [one for one in found if type(one) is nn.Parameter and one.is_contiguous() and _alone(one)]


def _alone(weight: Tensor) -> bool:
    """Whether nothing else lies in its memory."""
    return weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()


def _laid_out(models: Sequence[nn.Module], examples: Callable[[], Inputs], weights: list[nn.Parameter]) -> bool:
    try:
        inputs = examples()
        before = [_answers(model, inputs) for model in models]
        _lay(weights, torch.channels_last)
        same = all(map(_alike, before, [_answers(model, inputs) for model in models]))
        for model in models if same else ():
            _train(model, inputs)
    except Exception:  # whatever it is: it is told where the model really runs
        same = False
    if not same:
        _lay(weights, torch.contiguous_format)
    return same


def _lay(weights: list[nn.Parameter], order: torch.memory_format) -> None:
    for one in weights:
        one.data = one.data.contiguous(memory_format=order)


def _answers(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    with quiet_forward(model):
        return [one for one in tensors_of(call(model, inputs)) if one.is_floating_point()]


def _alike(before: list[Tensor], after: list[Tensor]) -> bool:
    return all(float((a - b).abs().max()) <= CLOSE * float(a.abs().max()) for a, b in zip(before, after, strict=True))


def _train(model: nn.Module, inputs: Inputs) -> None:
    """A forward and a backward in train mode, of which nothing stays."""
    parameters = [one for one in model.parameters() if one.requires_grad]
    with quiet_forward(model, training=True), torch.enable_grad():
        answers = [one.float().sum() for one in tensors_of(call(model, inputs)) if one.requires_grad]
        if answers and parameters:
            gradients: Any = torch.autograd.grad(torch.stack(answers).sum(), parameters, allow_unused=True)
            del gradients
