"""Trains convolutions in the channels-last memory format where the model's code allows it. Loads torch.

That is the order in which the CPU's kernels work; in the usual one they bring everything into it and back. Only the
weights of convolutions are laid out so, the rest follows. Code that insists on the usual order (`view` behind a
convolution, in the model or in the loss) is found by a trial, and left as it is.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..jobs import Cancelled
from ..tracing.tree import outputs_of

FEWEST = 2
"""Convolutions for which it is worth a trial."""
CLOSE = 1e-3
"""Of the largest answer, by which those of the two orders may be apart."""


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """Weights [out, in / groups, height, width] of convolutions that may lie in the other order."""

    weights: Sequence[nn.Parameter]

    @contextmanager
    def channels_last(self) -> Generator[None]:
        """Store the weights channels-last inside; restore the usual order in the same memory afterwards."""
        before = [(one, one.data) for one in self.weights]
        try:
            for one, data in before:
                one.data = data.contiguous(memory_format=torch.channels_last)
            yield
        finally:
            for one, data in before:
                data.copy_(one.data)
                one.data = data


def layout_of(models: Sequence[nn.Module], attempt: Callable[[], None]) -> MemoryLayout:
    """The convolutions of all models on the CPU, if an attempt gives the same answers in either order.

    Args:
        models: Of the first, the student, answers are compared; the others run beside it.
        attempt: A step of the training of which nothing stays.

    Raises:
        Cancelled: In the attempt; what else it raises is told where it is done in earnest.
    """
    layout = MemoryLayout([*_weights(*models)])
    if len(layout.weights) < FEWEST:
        return MemoryLayout(())
    try:
        before = _answers(models[0], attempt)
        with layout.channels_last():
            after = _answers(models[0], attempt)
        same = all(map(_alike, before, after)) and len(before) == len(after)
    except Cancelled:
        raise
    except Exception:
        same = False
    return layout if same else MemoryLayout(())


def _weights(*models: nn.Module) -> Iterator[nn.Parameter]:
    """Those that nothing else shares the memory of."""
    tensors = {id(one): one for model in models for one in (*model.parameters(), *model.buffers())}
    owners = Counter(map(_memory, tensors.values()))
    found: dict[int, Any] = {
        id(m.weight): m.weight for model in models for m in model.modules() if isinstance(m, nn.Conv2d)
    }
    for one in found.values():
        usual = type(one) is nn.Parameter and one.device.type == "cpu" and one.is_contiguous()
        if usual and owners[_memory(one)] == 1 and not one.is_shared():
            yield one


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def _answers(student: nn.Module, attempt: Callable[[], None]) -> list[Tensor]:
    """[*] the tensors of floats that the student answers with in an attempt."""
    heard: list[Tensor] = []

    def hear(_module: Any, _inputs: Any, outputs: Any) -> None:
        heard.extend(one.tensor.detach().clone() for one in outputs_of(outputs) if one.tensor.is_floating_point())

    handle = student.register_forward_hook(hear)
    try:
        attempt()
    finally:
        handle.remove()
    return heard


def _alike(before: Tensor, after: Tensor) -> bool:
    return not before.numel() or float((before - after).abs().max()) <= CLOSE * float(before.abs().max())
