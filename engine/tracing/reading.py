"""Modules and tensors that a model and its results hold, fully typed where torch's own stubs are unknown in part."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.utils._pytree import tree_flatten


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """Every module by its path, the model itself ("") first; one with two paths under the first of them."""
    return dict(cast("Iterator[tuple[str, nn.Module]]", model.named_modules()))


def tensors_of(value: Any) -> list[torch.Tensor]:
    """All tensors in nested tuples, lists and dictionaries, in order."""
    return [t for t in tree_flatten(value)[0] if isinstance(t, torch.Tensor)]
