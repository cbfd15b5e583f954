"""Repairs what other forms of a module's forward read (`forward_split`, which Ultralytics takes for its exports).

No run of the model reads it, so that no audit asks for it; yet libraries put such a method in the place of `forward`.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.load_pruned import set_remembered
from ...tracing.tree import Inputs, call, modules_of
from .candidates import AxisSizes
from .reparameterised_blocks import combinations

ROUNDING = 1e-5
"""Difference that two forms of a forward may have."""


def variant_numbers(smaller: nn.Module, sizes: AxisSizes, inputs: Inputs) -> list[tuple[str, str, Any]]:
    """(path, attribute, value) with which other forms of forwards give what these give; those that cannot stay.

    Nothing is guessed: a form is run on what its module was given, with each combination of values that its sizes may
    have now, until its output is that of the forward.

    Args:
        smaller: The cut model, with weights; not touched.
        sizes: What became of each size.
        inputs: Example inputs.
    """
    options = {
        path: found
        for path, module in modules_of(smaller).items()
        if any(_variants(module)) and (found := sizes.attributes(smaller, path, every=True))
    }
    seen: dict[nn.Module, tuple[tuple[Any, ...], Any]] = {}
    changes: list[tuple[str, str, Any]] = []
    if not options:
        return changes
    model = copy.deepcopy(smaller)  # a run may leave something in it (the anchors of a detector)

    def note(module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        """Keep what a module was given, and what it made of it."""
        seen[module] = given, out

    for path in options:
        model.get_submodule(path).register_forward_hook(note)
    with torch.no_grad():
        call(model, inputs)
        for path, values in options.items():
            module = model.get_submodule(path)
            for name in _variants(module) if module in seen else ():
                tried: list[dict[str, Any]] = [{}, *combinations(module, values)]
                found = next((one for one in tried if _same(module, name, one, *seen[module])), tried[0])
                changes += [(path, key, value) for key, value in found.items() if value != getattr(module, key)]
    return changes


def _variants(module: nn.Module) -> Iterator[str]:
    """Methods that take what the forward takes and are named after it."""
    kind = type(module)
    for name in dir(kind):
        if name.startswith("forward_") and callable(getattr(kind, name)):
            own, other = (inspect.signature(getattr(kind, one)).parameters for one in ("forward", name))
            if [*own] == [*other]:
                yield name


def _same(module: nn.Module, name: str, values: Mapping[str, Any], given: tuple[Any, ...], out: Any) -> bool:
    """Whether a method gives what the forward gave, with other values of attributes while it runs."""
    own = {attribute: getattr(module, attribute) for attribute in values}
    try:
        for attribute, value in values.items():
            set_remembered(module, attribute, value)
        found = getattr(module, name)(*given)
    except Exception:  # the module's own code, with numbers that may be wrong
        return False
    finally:
        for attribute, value in own.items():
            set_remembered(module, attribute, value)
    if not isinstance(found, Tensor) or not isinstance(out, Tensor) or found.shape != out.shape:
        return False
    return bool((found - out).abs().max() <= ROUNDING * out.abs().max())
