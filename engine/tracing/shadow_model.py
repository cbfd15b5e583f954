"""Copies of a model with other tensors, or with none (on the meta device).

A copy of everything but the weights costs milliseconds; whatever a forward does to itself happens to the copy.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from .tree import modules_of, tensors_of

PLAIN = (torch.Tensor, nn.Parameter)
"""Types of which a twin is made; a subclass may mean anything."""
ATOMS = frozenset((bool, int, float, str, type(None)))
kind_of: Any = type
CONTAINERS: frozenset[Any] = frozenset((dict, OrderedDict))
HOLDING_NONE = ATOMS | CONTAINERS | {set, tuple}
"""Types of most attributes of a module; none of them is a tensor."""
PLAIN_MODULES = (nn.modules.conv._ConvNd, nn.MultiheadAttention)  # pyright: ignore[reportPrivateUsage]
"""Their `__setstate__` only adds what pickles of old versions lack."""
COPYING = (
    "__deepcopy__", "__getnewargs__", "__getnewargs_ex__", "__getstate__", "__new__", "__reduce__", "__reduce_ex__",
    "__setstate__", "__slots__",
)  # fmt: skip
"""A class with one of these says itself how its instances are copied."""
HOOKS = frozenset(name for name, value in vars(nn.Module()).items() if type(value) is OrderedDict)
"""Where every module keeps its hooks, a place of its own each; mostly empty."""
COMPILED = "_compiled_call_impl"
"""Where a module keeps its compiled forward (`Module.compile`), which calls the original."""


def shadow_copy(model: nn.Module, make: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """A deep copy in which other tensors stand in for the model's; tied ones stay tied.

    Args:
        model: Any module; not touched.
        make: Gives the stand-in of a parameter, buffer or tensor attribute; asked once for each.
    """
    memo: dict[int, Any] = {}
    modules = list(modules_of(model).values())
    stores = (store for own in map(vars, modules) for store in (own["_parameters"], own["_buffers"], own))
    for tensor in (value for store in stores for value in store.values() if type(value) not in HOLDING_NONE):
        if isinstance(tensor, torch.Tensor) and id(tensor) not in memo:
            memo[id(tensor)] = make(tensor)
    ordinary = {module for module in modules if _is_ordinary(type(module))}
    for module in ordinary:
        memo[id(module)] = module.__new__(type(module))
    for module in reversed(modules):  # inner ones first: those that say themselves how they are copied run them
        if module not in ordinary:
            copy.deepcopy(module, memo)
            continue
        copied: dict[str, Any] = memo[id(module)].__dict__
        for name, value in vars(module).items():
            kind = kind_of(value)
            if kind in ATOMS:
                copied[name] = value
            elif name in HOOKS and not value:
                copied[name] = kind()
            elif name != COMPILED:
                known: Any = memo.get(id(value))
                method = compiled_method(value) if known is None else None
                if method is not None and (holder := memo.get(id(method.__self__))) is not None:
                    known = MethodType(method.__func__, holder)
                copied[name] = _copy_value(value, memo) if known is None else known
    return copy.deepcopy(model, memo)


def compiled_method(value: Any) -> MethodType | None:
    """The method that `torch.compile` was given, None for anything else; what it made of it belongs to its module."""
    found = getattr(value, "_torchdynamo_orig_callable", None) if callable(value) else None
    return found if isinstance(found, MethodType) else None


_ORDINARY: "WeakKeyDictionary[type[nn.Module], bool]" = WeakKeyDictionary()
"""What is known of classes; a GraphModule has one of its own, which ends with it."""


def _is_ordinary(kind: type[nn.Module]) -> bool:
    """Its instances are their attributes and nothing else, so that no method of theirs is needed to copy them."""
    found = _ORDINARY.get(kind)
    if found is None:
        between = kind.__mro__[: kind.__mro__.index(nn.Module)]
        found = not any(name in vars(one) for one in between if one not in PLAIN_MODULES for name in COPYING)
        _ORDINARY[kind] = found
    return found


def _copy_value(value: Any, memo: dict[int, Any]) -> Any:
    """What `copy.deepcopy` gives, by a shorter way for what modules mostly hold."""
    kind = kind_of(value)
    if kind in ATOMS:
        return value
    known: Any = memo.get(id(value))
    if known is not None:
        return known
    if kind in CONTAINERS:
        known = memo[id(value)] = kind()
        for key, one in value.items() if value else ():
            there = memo.get(id(one))
            known[key] = _copy_value(one, memo) if there is None else there
        return known
    if kind is tuple and all(type(one) in ATOMS for one in value):
        return value
    if kind is set and not value:
        return memo.setdefault(id(value), set[Any]())
    return copy.deepcopy(value, memo)


def whole_copy(model: nn.Module) -> nn.Module:
    """A deep copy, which shares nothing with the model.

    Tensors that a forward has computed and left in the model (by the older weight norm, as a cache) are copied without
    the computation behind them.
    """
    try:
        return copy.deepcopy(model)
    except RuntimeError:  # torch copies no tensor with a computation behind it
        pass
    computed = [t for module in model.modules() for t in tensors_of(dict(vars(module))) if not t.is_leaf]
    return copy.deepcopy(model, {id(t): t.detach().clone() for t in computed})


def weightless_copy(model: nn.Module) -> nn.Module:
    """A twin whose floating tensors are on the meta device: they have shapes and strides, but neither values nor bytes.

    Whole numbers and flags keep their values, as forwards branch on them.

    Raises:
        TypeError: A tensor is of a kind that meta tensors cannot stand in for (sparse, a subclass).
    """
    return shadow_copy(model, stand_in_tensor)


def isolated_copy(model: nn.Module) -> nn.Module:
    """A twin that has the model's own parameters, and copies of all that a forward may change."""
    # An embedding with `max_norm` scales rows of its weight in its forward, in place.
    changed = {
        id(module.weight)
        for module in modules_of(model).values()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.max_norm is not None
    }

    def make(tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, nn.Parameter) and id(tensor) not in changed:
            return tensor
        return of_same_kind(tensor, tensor.detach().clone())

    return shadow_copy(model, make)


def stand_in_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor for a floating one, a copy of any other."""
    if type(tensor) not in PLAIN or tensor.layout is not torch.strided:
        if nn.parameter.is_lazy(tensor):
            return tensor
        raise TypeError(f"{type(tensor).__name__} in layout {tensor.layout}")
    if has_no_values(tensor.dtype):
        return of_same_kind(tensor, meta_like(tensor))
    return tensor.detach().to("cpu", copy=True) if not tensor.is_meta else tensor


def of_same_kind(original: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """The new tensor as what the original is, a parameter or a plain tensor, with the same attributes."""
    if type(original) is not torch.Tensor and isinstance(original, nn.Parameter):
        made = nn.Parameter(made, original.requires_grad)
    for name, value in vars(original).items():
        setattr(made, name, value)
    return made


def has_no_values(dtype: torch.dtype) -> bool:
    """A weightless run knows only shapes of tensors of this type."""
    return dtype.is_floating_point or dtype.is_complex


def meta_like(tensor: torch.Tensor) -> torch.Tensor:
    """Size, strides and type of a tensor, on the meta device."""
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")
