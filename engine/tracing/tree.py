"""Finds the modules and tensors in a model and its results, and which outputs are preserved."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from inspect import get_annotations
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, TypeGuard, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map_only

from ..inference.model_inputs import Inputs as Inputs  # what a run needs from one place
from ..inference.model_inputs import call as call
from ..inference.model_inputs import mapped

ON_THE_WAY = re.compile(
    r"(^|_)(hidden_states|attentions|past_key_values|cache|kv_states|buckets_states|model_output|router_logits)$"
    r"|^encoder_"
)
"""Fields of a transformers `ModelOutput` that hold what was computed on the way to its outputs."""

BESIDE_LOGITS = re.compile(
    r"(^|_)(last_hidden_state|embeds|mems|reference_points|(image|vision|text|audio)_outputs?)$|^(intermediate|init|enc)_"
)
"""Fields that are outputs where such a model gives nothing else, but led to the logits where it gives those."""

OPAQUE = (
    str, bytes, int, type(None), nn.Module, type, ModuleType, FunctionType, MethodType, BuiltinFunctionType, Enum,
)  # fmt: skip
"""What a result may refer to without holding outputs."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor among what a forward returned.

    Attributes:
        path: Where it stands ("logits", "boxes.1"), "" for a tensor alone.
        tensor: The tensor; of a NumPy array one with its values.
        preserved: A cut must not change it; else it may become narrower.
    """

    path: str
    tensor: torch.Tensor
    preserved: bool


def as_tensors(inputs: Inputs) -> Inputs:
    """Inputs with their arrays as tensors, which share the memory."""
    return mapped(inputs, torch.as_tensor)


def copied_inputs(inputs: Inputs) -> Inputs:
    """The inputs with copies of all tensors, since a forward may change what it is given."""
    return tree_map_only(torch.Tensor, torch.clone, inputs)


def bits_of(tensor: torch.Tensor) -> torch.Tensor:
    """[n] the bytes of its numbers."""
    return tensor.detach().reshape(-1).contiguous().view(torch.uint8)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors on one device hold the same numbers in the same form; NaN is like itself then."""
    return (one.shape, one.dtype) == (other.shape, other.dtype) and torch.equal(bits_of(one), bits_of(other))


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
    elif isinstance(value, (list, tuple, deque, Set)):
        yield from enumerate(cast("Sequence[Any]", value))
    elif isinstance(value, np.ndarray):  # of objects
        yield from enumerate(cast("NDArray[Any]", value).flat if value.dtype == np.object_ else ())
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in fields(value))
    else:
        leaves = tree_flatten(value)[0]
        if len(leaves) != 1 or leaves[0] is not value:  # a container that its library registered
            yield from enumerate(leaves)


def outputs_of(result: Any, chosen: Sequence[str] = ()) -> list[OutputTensor]:
    """All tensors and arrays in what a forward returned, in containers, dataclasses and plain objects, in order.

    Args:
        result: What the forward returned.
        chosen: Paths of the outputs that are preserved ("logits", "0"), with everything below them. Where nothing is
            chosen, all are, whatever their names, but the fields that transformers itself defines for what was computed
            on the way (`ON_THE_WAY`), unless no other is left, and for what led to the logits (`BESIDE_LOGITS`) where
            there are logits.
    """
    if isinstance(result, torch.Tensor):
        return [OutputTensor("", result, preserved=True)] if not chosen else [OutputTensor("", result, "" in chosen)]
    found = [OutputTensor(path, one, not passed) for path, one, passed in _leaves(result, "", False, [], set())]
    if chosen:
        below = tuple(f"{one}." for one in chosen)
        return [OutputTensor(one.path, one.tensor, one.path in chosen or one.path.startswith(below)) for one in found]
    if not any(one.preserved for one in found):
        return [OutputTensor(one.path, one.tensor, preserved=True) for one in found]
    return found


def preserved_outputs(result: Any, chosen: Sequence[str] = ()) -> list[torch.Tensor]:
    """The tensors of a result that are preserved; see `outputs_of`."""
    return [one.tensor for one in outputs_of(result, chosen) if one.preserved]


def exported_outputs(result: Any) -> list[OutputTensor]:
    """The tensors of a result that a file gives: all in containers, of plain objects (a cache) those preserved."""
    contained = {path for path, _ in named_tensors(result)}
    return [one for one in outputs_of(result) if one.preserved or one.path in contained]


def holds_numbers(result: Any) -> bool:
    """Whether what a forward returned holds Python floats, which it may have read off tensors."""
    numbers: list[Any] = []
    for _ in _leaves(result, "", False, [], set(), numbers):
        pass
    return bool(numbers)


def _leaves(
    value: Any, path: str, passed: bool, around: list[int], seen: set[int], numbers: list[Any] | None = None
) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """(path, tensor, it was computed on the way to others) below a value.

    `around` are the ids of what holds it, since objects may refer to each other in circles; `seen` those of the plain
    objects that were met. Python floats are added to `numbers`.
    """
    if isinstance(value, torch.Tensor):
        yield path, value, passed
    elif _is_array(value):
        if (tensor := _as_tensor(np.asarray(value))) is not None:
            yield path, tensor, passed
    elif type(value) in (float, complex):
        if numbers is not None:
            numbers.append(value)
    elif id(value) not in around and not isinstance(value, OPAQUE):
        on_the_way = _fields_on_the_way(value)
        around.append(id(value))
        for key, part in _held(value, seen):
            below = f"{path}.{key}" if path else str(key)
            yield from _leaves(part, below, passed or key in on_the_way, around, seen, numbers)
        around.pop()


def _held(value: Any, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    """(key or attribute, what it holds) of a container, and of an object of any other class."""
    parts = list(_parts(value))
    yield from parts
    if type(value) in (tuple, list, dict) or id(value) in seen:
        return
    seen.add(id(value))
    known = {id(part) for _, part in parts}
    own: dict[str, Any] = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots: Any = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if name not in ("__dict__", "__weakref__"):
                own[name] = getattr(value, name, None)
    for name, held in own.items():
        if id(held) not in known:  # a container may have its items as attributes too
            yield name, held


def _is_array(value: Any) -> TypeGuard[NDArray[Any]]:
    """An array or a number of NumPy's; those of objects hold others."""
    return isinstance(value, np.ndarray | np.generic) and cast("NDArray[Any]", value).dtype != np.object_


def _as_tensor(array: NDArray[Any]) -> torch.Tensor | None:
    """A copy of an array; None for words, dates and the like."""
    if array.dtype.kind not in "biufc":
        return None
    native = array.dtype.newbyteorder("=")
    try:
        return torch.from_numpy(array.astype(native, order="C", copy=True))
    except TypeError:  # a type that torch has not (long doubles)
        return torch.from_numpy(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))


def _fields_on_the_way(output: Any) -> set[str]:
    """Of an output of transformers the fields that are known, by their definition there, to hold what led to others."""
    kinds = [one for one in type(output).__mro__ if one.__module__.partition(".")[0] == "transformers"]
    if not any(one.__name__ == "ModelOutput" for one in kinds):
        return set()
    defined = {name for one in kinds for name in get_annotations(one)}
    known = {name for name in output if name in defined}
    on_the_way = {name for name in known if ON_THE_WAY.search(name)}
    if any("logits" in name for name in known - on_the_way):
        on_the_way |= {name for name in known if BESIDE_LOGITS.search(name)}
    return on_the_way
