"""Notes on quantised layers: their weights are packed and cannot be cut."""

from collections.abc import Iterator

from torch import nn

from ..errors import Message
from ..tracing.tree import modules_of
from . import reasons

PACKED = "_packed_params"
"""Where torch's quantised layers keep weights and biases."""


def packed_notes(model: nn.Module) -> Iterator[Message]:
    """What to know of a model that was quantised; nothing of any other."""
    layers = [path for path, one in modules_of(model).items() if hasattr(one, PACKED) and not path.endswith(PACKED)]
    if layers:
        yield reasons.packed(len(layers), layers[0])
