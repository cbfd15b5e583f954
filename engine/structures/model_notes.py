"""Notes on a model as it was given: blocks that its own code merges, quantised layers, compiled modules."""

from collections.abc import Iterator

from torch import nn

from ..errors import Message
from ..messages import Phrase, listed, module_named
from ..tracing.shadow_model import COMPILED, compiled_method
from ..tracing.tree import modules_of
from . import reasons

METHODS = ("reparameterize", "switch_to_deploy")
"""What the field calls the method that merges a block in place (RepVGG, MobileOne, FastViT)."""
PRODUCTS = (nn.modules.conv._ConvNd, nn.Linear)  # pyright: ignore[reportPrivateUsage] - the common class of six
PACKED = "_packed_params"
"""Where torch's quantised layers keep weights and biases."""
SHOWN = 4
"""Modules that a sentence names."""


def merge_method(module: nn.Module) -> str:
    """The method of a module's class that merges its branches, "" where it has none."""
    return next((name for name in METHODS if callable(getattr(type(module), name, None))), "")


def model_notes(model: nn.Module) -> Iterator[Message]:
    """A remark for each thing to know: branches that can be merged or are, packed weights, modules cut uncompiled."""
    modules = modules_of(model)
    apart, merged = list[str](), 0
    for one in modules.values():
        if method := merge_method(one):
            layers = [part for part in one.modules() if next(part.parameters(recurse=False), None) is not None]
            apart += [method] if len(layers) > 1 else []
            merged += len(layers) == 1 and isinstance(layers[0], PRODUCTS)
    if apart:
        yield reasons.can_be_merged(len(apart), apart[0])
    if merged:
        yield reasons.are_merged(merged)
    packed = [path for path, one in modules.items() if hasattr(one, PACKED) and not path.endswith(PACKED)]
    if packed:
        yield reasons.packed(len(packed), packed[0])
    compiled = list[Phrase]()
    for path, one in modules.items():
        own = vars(one)
        if own.get(COMPILED) is not None or any(compiled_method(value) is not None for value in own.values()):
            compiled.append(module_named(path))
    if compiled:
        template = (
            "Compiled in place with torch.compile: {modules}. The cut model has them uncompiled. Compile it again."
        )
        yield Message("analysis.compiled", template, {"modules": listed(compiled, SHOWN)})
