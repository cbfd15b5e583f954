"""Modules and tensors that a model and its results hold."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map_only

from ..inputs import Inputs as Inputs  # what a run needs from one place
from ..inputs import call as call
from ..inputs import mapped

ON_THE_WAY = re.compile(r"(^|_)(hidden_states|attentions|past_key_values|model_output|router_logits)$|^encoder_")
"""Names of results that models give beside their answer: what they computed on the way to it."""

BESIDE_LOGITS = re.compile(
    r"(^|_)(last_hidden_state|embeds|mems|reference_points|(image|vision|text|audio)_outputs?)$|^(intermediate|init|enc)_"
)
"""Names of results that are answers where a model gives nothing else, but led to the logits where it gives those."""


def as_tensors(inputs: Inputs) -> Inputs:
    """Inputs with their arrays as tensors, which share the memory."""
    return mapped(inputs, torch.as_tensor)


def copied(inputs: Inputs) -> Inputs:
    """The inputs with copies of all tensors, since a forward may change what it is given."""
    return tree_map_only(torch.Tensor, torch.clone, inputs)


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """Every module by its path, the model itself ("") first; one with two paths under the first of them."""
    found: dict[str, nn.Module] = {}
    seen: set[nn.Module] = set()
    waiting: list[tuple[str, nn.Module]] = [("", model)]
    while waiting:  # `named_modules` hands each module up through all generators around it
        path, module = waiting.pop()
        if module not in seen:
            seen.add(module)
            found[path] = module
            # What torch.jit traced keeps its modules elsewhere.
            inner: dict[str, nn.Module | None] = vars(module).get("_modules") or {}
            if inner:
                dot = f"{path}." if path else ""
                waiting += [(dot + name, one) for name, one in reversed(inner.items()) if one is not None]
    return found


def tensors_of(value: Any) -> list[torch.Tensor]:
    """All tensors in nested tuples, lists, mappings, dataclasses and registered containers, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for _, tensor in named_tensors(value)]


def named_tensors(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """(path, tensor) for all tensors in a nested result: "logits", "0", "boxes.1"; "" for a tensor alone."""
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    for key, part in _parts(value):
        yield from named_tensors(part, f"{path}.{key}" if path else str(key))


def outline(value: Any, leaf: Callable[[torch.Tensor], Any]) -> Any:
    """A result without its tensors, as JSON holds it but for what `leaf` makes of each tensor.

    Numbers, words and None stay; {"tuple": [...]}, {"list": [...]}, {"dict": {...}}, {"class": "module:Name",
    "fields": {...}} for a dataclass; {"other": "module:Name"} for what cannot be made again from its parts.
    """
    if isinstance(value, torch.Tensor):
        return leaf(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    kind = cast("type[Any]", type(value))
    if kind in (tuple, list):
        return {kind.__name__: [outline(one, leaf) for one in cast("Sequence[Any]", value)]}
    if kind is dict:
        return {"dict": {str(key): outline(one, leaf) for key, one in cast("dict[Any, Any]", value).items()}}
    name = f"{kind.__module__}:{kind.__qualname__}"
    if not is_dataclass(value):
        return {"other": name}
    return {"class": name, "fields": {f.name: outline(getattr(value, f.name), leaf) for f in fields(value)}}


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, (str, bytes, int, float, type(None))):
        return
    if isinstance(value, Mapping):
        yield from cast("Mapping[Any, Any]", value).items()
    elif isinstance(value, tuple) and isinstance(names := getattr(cast("Any", value), "_fields", None), tuple):
        yield from zip(cast("tuple[str, ...]", names), cast("tuple[Any, ...]", value), strict=True)
    elif isinstance(value, (list, tuple)):
        yield from enumerate(cast("Sequence[Any]", value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in fields(value))
    else:
        leaves = tree_flatten(value)[0]
        if len(leaves) != 1 or leaves[0] is not value:  # a container that its library registered
            yield from enumerate(leaves)


def answers_of(result: Any, chosen: Sequence[str] = ()) -> list[torch.Tensor]:
    """The tensors of a result that are the model's answer.

    Args:
        result: What the forward returned.
        chosen: Paths of the outputs that count ("logits", "0"), with everything below them. Where nothing is chosen,
            all count but those whose name says that they were computed on the way (`ON_THE_WAY`), unless no other is
            left, and those that led to the logits (`BESIDE_LOGITS`) where there are logits.
    """
    found = list(named_tensors(result))
    if chosen:
        return [t for path, t in found if any(path == c or path.startswith(f"{c}.") for c in chosen)]
    named = [(path.split(".")[0], t) for path, t in found]
    named = [(name, t) for name, t in named if not ON_THE_WAY.search(name)]
    if any("logits" in name for name, _ in named):
        named = [(name, t) for name, t in named if not BESIDE_LOGITS.search(name)]
    main = [t for _, t in named]
    return main or [t for _, t in found]
