"""Compares what a cut model holds with what it should hold, without running it.

A forward shows only what the example inputs reach: not the rows of an embedding that they do not read, nor experts
without tokens, nor what a layer scale of 1e-6 hides. So every parameter and buffer is held, bit for bit, against
the slice of the original's, every attribute and every hook against the original's. The slices come from the members of
the removed structures by masks (`gone_slices`); nothing of the code that cuts is used here.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import product
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...errors import Message
from ...jobs import CancelToken, check
from ...runtime.load_pruned import PrunedAttention, StandIn, own_class
from ...structures.transition import Transition
from ..cut.edits import TENSORS, Check, Edits
from ..repair.weight_folding import Factors
from .masked_model import AbsentIndices, gone_slices

CHUNK = 1 << 22
"""Entries of a tensor that are compared at a time."""
EXACT = 1e-12
"""Tolerance of a comparison that is exact: anything that differs counts as infinitely far off."""
WHOLE_NUMBERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
VALUES = (bool, int, float, complex, str, bytes, type(None), Enum, range, torch.dtype, torch.device)
CODE = (FunctionType, BuiltinFunctionType, type)
STORES = {"_parameters", "_buffers", "_modules", "_compiled_call_impl", "training"}
"""Attributes of a module that are compared otherwise, or not at all (what `torch.compile` made of it)."""
DEPTH = 4
"""How far lists, dicts and plain objects such as configurations are followed."""


class _Differs(Exception):
    """The first difference, in words."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def _unpaired_error(name: str, lost: bool) -> _Differs:
    """Something that only one of the models has."""
    if lost:
        return _Differs(Message("verify.missing", "{name} is missing", {"name": name}))
    return _Differs(Message("verify.added", "{name} is in the cut model alone", {"name": name}))


def compare_tensors(
    original: nn.Module,
    cut_model: nn.Module,
    transition: Transition,
    factors: Factors,
    edits: Edits | None,
    token: CancelToken,
) -> Check:
    """Hold every tensor, attribute and hook of a cut model against the original's.

    Args:
        original: The model that was cut.
        cut_model: What the cut gave.
        transition: What the cut changes.
        factors: What the cut multiplied.
        edits: Repairs of the cut model, which attributes may follow; None compares no attributes.
        token: Looked at before each tensor.
    """
    comparison = _Comparison(original, cut_model, transition, factors, edits, token)
    try:
        count = comparison.tensors()
        comparison.modules()
    except _Differs as error:
        return Check(TENSORS, float("inf"), None, EXACT, "exact", error.message)
    return Check(TENSORS, 0.0, None, EXACT, "exact", Message("verify.tensors", "{count} tensors", {"count": count}))


class _Comparison:
    """One cut model and its original."""

    def __init__(
        self,
        original: nn.Module,
        cut_model: nn.Module,
        transition: Transition,
        factors: Factors,
        edits: Edits | None,
        token: CancelToken,
    ) -> None:
        """Find which module of the cut model belongs to which of the original's."""
        self.transition, self.factors, self.edits, self.token = transition, factors, edits, token
        analysis = transition.analysis
        removed = [one.path for one in analysis.stand_ins if transition.after[one.structure]]
        self.removed = tuple(f"{path}." for path in removed)
        self.stand_ins = frozenset(path for path in removed if not path.startswith(self.removed))
        mine, self.theirs = (
            dict(cast("Iterator[tuple[str, nn.Module]]", one.named_modules(remove_duplicate=False)))
            for one in (original, cut_model)
        )
        self.mine = {path: one for path, one in mine.items() if not path.startswith(self.removed)}
        self.partners: dict[int, Any] = {id(one): self.theirs.get(path) for path, one in self.mine.items()}
        self.seen: set[tuple[int, int]] = set()
        # By the id of the original's object and its attribute: the values that repairs gave it.
        self.edited: dict[tuple[int, str], list[Any]] = {}
        for path, name, value in () if edits is None else edits.attributes:
            owner: Any = self.mine.get(path)
            *holders, last = name.split(".")
            for holder in holders:
                owner = getattr(owner, holder, None)
            # Configurations of transformers have several names for a field.
            names: dict[str, str] = getattr(owner, "attribute_map", None) or {}
            # Of torch's own layers a cut changes sizes, no epsilon and no momentum.
            if not (isinstance(value, float) and type(owner).__module__.startswith("torch.nn.modules.")):
                self.edited.setdefault((id(owner), names.get(last, last)), []).append(value)

    def tensors(self) -> int:
        """Compare parameters and buffers, and return how many there are."""
        mine, theirs = (_named_tensors(modules) for modules in (self.mine, self.theirs))
        mine = {name: one for name, one in mine.items() if not name.startswith(self.removed)}
        for name in mine.keys() ^ theirs.keys():
            raise _unpaired_error(name, lost=name in mine)
        if list(mine) != list(theirs):  # optimizers know parameters by their number
            raise _Differs(Message("verify.tensor_order", "the tensors are in another order"))
        names: dict[int, list[str]] = {}
        for name, one in mine.items():
            names.setdefault(id(one), []).append(name)
        # The analysis knows a tensor of several names by one of them, which may be that in a removed block.
        analysis, known = self.transition.analysis, dict[str, str]()
        for info in analysis.tensors:
            known.update(dict.fromkeys((info.name, *info.aliases), info.name))
        gone = gone_slices(self.transition)
        # By what each entry of a cut tensor was multiplied; of its rank.
        shapes = {one.name: one.shape for one in analysis.tensors}
        all_gone: AbsentIndices = {}
        if self.factors:
            all_gone = gone_slices(Transition(analysis, analysis.empty(), self.transition.after))
        rates: dict[str, torch.Tensor] = {}
        for name, dim, indices, factor, _ in self.factors:
            rate, stays = np.ones(shapes[name][dim]), np.ones(shapes[name][dim], dtype=np.bool_)
            rate[slice(None) if indices is None else list(indices)] = factor
            stays[all_gone.get(name, {}).get(dim, [])] = False
            shaped = torch.from_numpy(rate[stays]).reshape([-1 if n == dim else 1 for n in range(len(shapes[name]))])
            rates[name] = rates[name] * shaped if name in rates else shaped
        owners: dict[int, str] = {}
        for first, *others in names.values():
            check(self.token)
            own, found = mine[first], theirs[first]
            for name in others:
                if theirs[name] is not found:
                    raise _Differs(
                        Message("verify.untied", "{name} is no longer tied to {other}", {"name": name, "other": first})
                    )
            if (other := owners.setdefault(id(found), first)) != first:
                raise _Differs(Message("verify.tied", "{name} is now tied to {other}", {"name": first, "other": other}))
            self.partners[id(own)] = found
            canonical = known.get(first, first)
            self._compare_tensor(first, own, found, gone.get(canonical, {}), rates.get(canonical))
        return len(names)

    def _compare_tensor(
        self,
        name: str,
        own: torch.Tensor,
        found: torch.Tensor,
        gone: Mapping[int, NDArray[np.int64]],
        rate: torch.Tensor | None = None,
    ) -> None:
        """Compare a tensor with the slice that it should be.

        Args:
            name: For a person.
            own: The original's.
            found: The cut model's.
            gone: By dimension, the indices of the original's that it lacks.
            rate: What the cut multiplied it with, of its rank.
        """
        for what in ("requires_grad", "device", "dtype", "layout"):
            first, second = getattr(own, what), getattr(found, what)
            if first != second and not (what == "requires_grad" and own.grad_fn is not None):
                words = {"name": name, "what": what, "first": str(first), "second": str(second)}
                raise _Differs(Message("verify.tensor_kind", "{name} has {what} {second} in place of {first}", words))
        if type(own) is not type(found):
            raise _Differs(Message("verify.class", "{name} is of another class", {"name": name}))
        self._compare(name, vars(own), vars(found), 0)
        if own.is_leaf:
            self._compare(f"hooks of {name}", _hooks(own), _hooks(found), 0)
        # The entries of a class of its own (DTensor, packed weights) cannot be sliced from outside.
        if nn.parameter.is_lazy(own) or type(own.detach()) is not torch.Tensor:
            return
        keep = {dim: np.ones(own.shape[dim], dtype=np.bool_) for dim in gone}
        for dim, index in gone.items():
            keep[dim][index] = False
        shape = tuple(int(keep[dim].sum()) if dim in keep else size for dim, size in enumerate(own.shape))
        if tuple(found.shape) != shape:
            words = {"name": name, "second": str(tuple(found.shape)), "first": str(shape)}
            raise _Differs(Message("verify.tensor_shape", "{name} has the shape {second} in place of {first}", words))
        if own.layout is not torch.strided or own.is_meta or not own.numel():
            if own.layout is not torch.strided and own.layout is not torch.jagged:
                self._compare_tensor(name, own.detach().to_dense(), found.detach().to_dense(), gone, rate)
            return
        if own.untyped_storage().data_ptr() == found.untyped_storage().data_ptr() != 0:
            raise _Differs(
                Message("verify.shared_memory", "{name} shares its memory with the original's", {"name": name})
            )
        wrong = sum(_wrong_entries(own.detach(), found.detach(), keep, rate))
        if wrong:
            words = {"name": name, "wrong": wrong, "count": found.numel()}
            raise _Differs(
                Message("verify.entries", "{wrong} of {count} entries of {name} are not the original's", words)
            )

    def modules(self) -> None:
        """Compare the classes of modules, their attributes and hooks."""
        if other := self.mine.keys() ^ self.theirs.keys():
            name = min(other)
            raise _unpaired_error(name, lost=name in self.mine)
        modes = self.mine[""].training, self.theirs[""].training
        for path, first in self.mine.items():
            second, name = self.theirs[path], path or type(first).__name__
            if path in self.stand_ins and isinstance(second, StandIn):
                continue
            if isinstance(first, torch.fx.GraphModule) and isinstance(second, torch.fx.GraphModule):
                is_same = first.code == second.code  # each has a class of its own
            else:  # or what a repair makes of it
                is_attention = isinstance(second, PrunedAttention) and isinstance(first, nn.MultiheadAttention)
                is_same = is_attention or own_class(first) is own_class(second)
            if not is_same:
                raise _Differs(Message("verify.class", "{name} is of another class", {"name": name}))
            if (first.training is modes[0]) != (second.training is modes[1]):
                raise _Differs(Message("verify.mode", "{name} is in another mode (training or eval)", {"name": name}))
            if self.edits is None or _copies_itself(type(first)):
                continue
            own, found = _attributes(first), _attributes(second)
            if isinstance(second, PrunedAttention):  # its forward reads others
                for values, key in product((own, found), ("num_heads", "_qkv_same_embed_dim")):
                    values.pop(key, None)
            self._compare_attributes(name, first, own, found, 0)

    def _compare_attributes(
        self, name: str, owner: Any, own: Mapping[str, Any], found: Mapping[str, Any], depth: int
    ) -> None:
        """Compare the attributes of a module or of a plain object with those of the original's `owner`."""
        for key in own.keys() | found.keys():
            one, values = f"{name}.{key}", self.edited.get((id(owner), key))
            if values is not None:
                if key in found and not any(_plain(found[key]) == _plain(value) for value in values):
                    raise _Differs(Message("verify.repair_value", "{name} is not what the repair says", {"name": one}))
            elif key in own and key in found:
                self._compare(one, own[key], found[key], depth)
            else:
                raise _unpaired_error(one, lost=key in own)

    def _compare(self, name: str, own: Any, found: Any, depth: int) -> None:
        """Compare two values; what cannot be compared counts as equal."""
        if id(own) in self.partners:  # a module, a parameter or a buffer
            if self.partners[id(own)] is not found:
                raise _Differs(Message("verify.not_own", "{name} is not the cut model's own", {"name": name}))
        elif own is found or isinstance(own, nn.Module) or depth > DEPTH or (id(own), id(found)) in self.seen:
            return
        elif type(own) is not type(found) or not _same_value(own, found):
            raise _Differs(Message("verify.value", "{name} is not the original's", {"name": name}))
        elif isinstance(own, torch.Tensor):
            self._compare_tensor(name, own, found, {})
        else:
            self.seen.add((id(own), id(found)))
            self._compare_parts(name, own, found, depth + 1)

    def _compare_parts(self, name: str, own: Any, found: Any, depth: int) -> None:
        """Compare what two values of one class hold."""
        if isinstance(own, partial):
            own, found = ([one.func, one.args, one.keywords] for one in cast("list[partial[Any]]", [own, found]))
        kind = cast("type[Any]", type(own))
        if isinstance(own, (list, tuple)):
            for number, (one, other) in enumerate(zip(cast("list[Any]", own), found, strict=False)):
                self._compare(f"{name}[{number}]", one, other, depth)
        elif isinstance(own, dict):
            if all(isinstance(key, VALUES) for key in cast("dict[Any, Any]", own)):
                for key in found:
                    self._compare(f"{name}[{key!r}]", own[key], found[key], depth)
        elif hasattr(own, "__dict__") and not kind.__module__.startswith("torch.") and not _copies_itself(kind):
            self._compare_attributes(name, own, cast("Any", vars(own)), cast("Any", vars(found)), depth)


def _same_value(own: Any, found: Any) -> bool:
    """Two things of one class are the same as far as they are no more than a value; how many parts others have."""
    same = True
    if isinstance(own, VALUES):
        same = own == found or (own != own and found != found)
    elif isinstance(own, CODE):
        same = own is found
    elif isinstance(own, MethodType):
        same = own.__func__ is found.__func__
    elif isinstance(own, np.ndarray):
        array = cast("NDArray[Any]", own)
        same = array.dtype == found.dtype and array.tobytes() == found.tobytes()
    elif isinstance(own, dict):
        keys = cast("dict[Any, Any]", own).keys()
        same = keys == found.keys() or not all(isinstance(key, VALUES) for key in keys)
    elif isinstance(own, (set, frozenset)):
        ones = cast("set[Any]", own)
        same = ones == found or not all(isinstance(one, VALUES) for one in ones)
    elif isinstance(own, (list, tuple)):
        same = len(cast("list[Any]", own)) == len(found)
    return bool(same)


def _named_tensors(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Parameters and buffers under each of their names."""
    found: dict[str, torch.Tensor] = {}
    for path, module in modules.items():
        for store in ("_parameters", "_buffers"):
            for name, one in cast("dict[str, torch.Tensor | None]", getattr(module, store)).items():
                if one is not None:
                    found[f"{path}.{name}" if path else name] = one
    return found


def _wrong_entries(
    own: torch.Tensor, found: torch.Tensor, keep: Mapping[int, NDArray[np.bool_]], rate: torch.Tensor | None
) -> Iterator[int]:
    """How many entries are wrong, part by part along the longest dimension, so that little is in memory at once."""
    if not own.dim():
        own, found = own.reshape(1), found.reshape(1)
    along = max(range(own.dim()), key=lambda dim: own.shape[dim])
    step, done = max(1, CHUNK * own.shape[along] // own.numel()), 0
    for start in range(0, own.shape[along], step):
        part = own.narrow(along, start, min(step, own.shape[along] - start))
        for dim, mask in keep.items():
            here = np.flatnonzero(mask[start : start + step] if dim == along else mask)
            part = part.index_select(dim, torch.from_numpy(here).to(part.device))  # 6 times as fast as by flags
        count = part.shape[along]
        other = found.narrow(along, done, count)
        if rate is None:
            wrong = _bits(part) != _bits(other)
        else:
            here = rate.narrow(along, done, count) if rate.shape[along] > 1 else rate
            product = part.to(torch.complex128 if part.is_complex() else torch.float64) * here.to(part.device)
            limits = torch.finfo(part.dtype)
            wrong = (product - other).abs() > limits.eps * product.abs() + limits.tiny
            wrong |= product.isnan() != other.isnan()
        done += count
        yield int(wrong.count_nonzero())


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The same bits as whole numbers, among which NaN equals NaN, and 0 is not -0."""
    tensor = (tensor if tensor.is_quantized else tensor.resolve_conj().resolve_neg()).contiguous()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    elif tensor.is_quantized:
        tensor = tensor.int_repr()
    return tensor.view(WHOLE_NUMBERS[tensor.element_size()]) if tensor.is_floating_point() else tensor


def _hooks(tensor: torch.Tensor) -> list[Any]:
    """Functions that are called with a tensor's gradient."""
    found: dict[int, Any] | None = cast("Any", tensor)._backward_hooks
    return list((found or {}).values())


def _copies_itself(kind: type) -> bool:
    """A class that says itself what of its instances is copied, torch's own layers apart."""
    names = ("__deepcopy__", "__getstate__", "__reduce__", "__reduce_ex__")
    own = [one for one in kind.__mro__ if one is not object and not one.__module__.startswith("torch.nn.modules.")]
    return any(name in vars(one) for one in own for name in names)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Attributes of a module but for those of repairs (`runtime.load_pruned`)."""
    own = {key: one for key, one in vars(module).items() if key not in STORES and not key.startswith("pruned_")}
    return own | ({"forward": vars(module)["pruned_forward"]} if "pruned_forward" in vars(module) else {})


def _plain(value: Any) -> Any:
    """Sequences of any kind as lists, as a repair is written."""
    return [_plain(one) for one in cast("list[Any]", value)] if isinstance(value, (list, tuple)) else value
