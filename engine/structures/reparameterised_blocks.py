"""Blocks with branches that their own code merges into one layer after training (RepVGG, MobileOne, FastViT)."""

from collections.abc import Iterator
from functools import cache

from torch import nn

from ..errors import Message
from ..tracing.tree import modules_of
from . import reasons

METHODS = ("reparameterize", "switch_to_deploy")
"""What the field calls the method that merges a block in place."""
PRODUCTS = (nn.modules.conv._ConvNd, nn.Linear)  # pyright: ignore[reportPrivateUsage] - the common class of six


def merge_method(module: nn.Module) -> str:
    """The method of a module's class that merges its branches, "" where it has none."""
    return _method_of(type(module))


@cache
def _method_of(kind: type[nn.Module]) -> str:
    return next((name for name in METHODS if callable(getattr(kind, name, None))), "")


def merging_notes(model: nn.Module) -> Iterator[Message]:
    """What to know of blocks that can be merged, and of those that are: a remark each, none where there are none."""
    blocks = [(merge_method(one), _layers(one)) for one in modules_of(model).values() if merge_method(one)]
    apart = [method for method, layers in blocks if len(layers) > 1]
    merged = [layers for _, layers in blocks if len(layers) == 1 and isinstance(layers[0], PRODUCTS)]
    if apart:
        yield reasons.can_be_merged(len(apart), apart[0])
    if merged:
        yield reasons.are_merged(len(merged))


def _layers(block: nn.Module) -> list[nn.Module]:
    """What has parameters of its own."""
    return [one for one in block.modules() if next(one.parameters(recurse=False), None) is not None]
