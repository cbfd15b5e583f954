"""Repairs what blocks read when they merge into one layer after training (MobileOne, FastViT).

No run reads it, so that no audit asks for it; yet the smaller model is merged before it is used.
"""

import copy
from collections.abc import Iterator
from itertools import islice, product
from typing import Any

import torch
from torch import nn

from ...runtime.load_pruned import set_remembered
from ...structures.analysis import inside
from ...structures.model_notes import merge_method
from ...tracing.attribute_reads import AttributeReads
from ...tracing.tree import modules_of
from ..cut.module_attributes import module_attributes
from .candidates import AxisSizes

LIMIT = 256
"""Combinations of values that are tried in one block."""


def merging_numbers(smaller: nn.Module, sizes: AxisSizes) -> list[tuple[str, str, Any]]:
    """(path, attribute, value) for what merging reads and a cut changed, so that a merged block fits its weights.

    Nothing is guessed: the block is merged, on a copy, with each combination of values that its sizes may have now,
    until no layer in it remembers another size than its weights have.

    Args:
        smaller: The cut model; not touched.
        sizes: What became of each size.
    """
    changes: list[tuple[str, str, Any]] = []
    for path, module in reversed(modules_of(smaller).items()):  # what a block holds is merged by it, or before it
        method = merge_method(module)
        options = {n: v for n, v in sizes.attributes(smaller, path).items() if "." not in n} if method else {}
        if not options:
            continue
        block = copy.deepcopy(module)
        for inner, name, value in changes:
            if inside(inner, path):
                set_remembered(block.get_submodule(inner[len(path) + 1 :] if path else inner), name, value)
        if not _fits(block, method, {}):
            found = next((one for one in combinations(block, options) if _fits(block, method, one)), None)
            read = _read(block, method, found or {})
            changes += [(path, name, value) for name, value in read.items() if value != getattr(module, name)]
    return changes


def combinations(module: nn.Module, options: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Values for all attributes: those with new values everywhere first."""
    each = [[*values, getattr(module, name)] for name, values in options.items()]
    yield from (dict(zip(options, values, strict=True)) for values in islice(product(*each), LIMIT))


def _read(module: nn.Module, method: str, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that merging reads."""
    alone = _with(module, values)
    reads = AttributeReads(alone)
    with reads.noted():
        _merge(alone, method)
    return {name: value for name, value in values.items() if reads.has("", name)}


def _fits(module: nn.Module, method: str, values: dict[str, Any]) -> bool:
    """Whether a block merges with these values into layers that remember the sizes of their weights."""
    alone = _with(module, values)
    if not _merge(alone, method):
        return False
    own = [(one, module_attributes(one, None)) for one in alone.modules()]
    return all(getattr(one, name, value) == value for one, sizes in own for name, value in sizes.items())


def _with(module: nn.Module, values: dict[str, Any]) -> nn.Module:
    alone = copy.deepcopy(module)
    for name, value in values.items():
        set_remembered(alone, name, value)
    return alone


def _merge(module: nn.Module, method: str) -> bool:
    device = next(module.parameters()).device
    try:
        with torch.no_grad(), torch.device(device):  # layers are made where the weights are, also on meta
            getattr(module, method)()
    except Exception:  # the block's own code, with numbers that may be wrong
        return False
    return True
