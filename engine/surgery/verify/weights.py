"""Replaces the weights that operators read during a verification, without copying the model.

A verification runs both models on other weights than they hold: in a finer type, drawn at random, exchanged, absent. It
makes no copy of a model. The models keep their weights as they are stored; `ReplacedWeights` hands each operator the
weight that it should read, and drops it afterwards. The same parameter is the same each time, and what the cut model
reads is the slice of what the original reads.

Buffers are small and forwards change them, so each run has copies of its own.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import (
    _disable_current_modes,  # pyright: ignore[reportPrivateUsage]
)

from ...structures.transition import KeptIndices
from ...tracing.operator_mode import OperatorMode
from ...tracing.schema import written_tensors
from ...tracing.shadow_model import of_same_kind, shadow_copy
from ..cut.slice_tensors import slice_tensor
from ..repair.weight_folding import Rates, multiply
from .input_variants import as_type, is_continuous, type_in
from .masked_model import AbsentIndices, Indices, with_nan
from .nan_masking import KNOWN_PRODUCTS, Marks, MaskedWeight, NanMasking
from .operator_modes import LOWER, MinimumPrecision, grouped_mm
from .random_weights import fresh_rows, randomise, uniform


class WeightChanged(Exception):
    """A forward changes one of its own weights in place, or reads its bytes as another type: it needs its own."""


@dataclass(slots=True)
class Weights:
    """One model's weights as a verification wants them.

    Attributes:
        model: Its weights are read and never changed.
        dtype: What floating weights are cast to; complex ones to the complex type that goes with it.
        level: One of `random_weights.LEVELS`, "" for the weights as they are.
        orders: By tensor and dimension: the index at each place, where some change places.
        gone: What is absent (NaN) in a masked run.
        vanished: Tensors that are absent throughout.
        whole: The original, where this is the cut model: random weights are slices of the original's.
        keeps: What this model has of the original's tensors.
        rates: By what the cut multiplied weights.
        nudge: Every weight is larger by up to this share of itself.
        copies: Every run has copies of all weights, as the model's code does not run on those of another type.
        marks: What absent entries hold.
        unknown: Gets the names of operators that met what is absent and have no rule for it.
    """

    model: nn.Module
    dtype: torch.dtype
    level: str = ""
    orders: Mapping[str, Mapping[int, Indices]] = field(default_factory=dict[str, dict[int, Indices]])
    gone: AbsentIndices = field(default_factory=dict[str, dict[int, Indices]])
    vanished: Collection[str] = ()
    whole: "Weights | None" = None
    keeps: KeptIndices = field(default_factory=KeptIndices)
    rates: Rates = field(default_factory=dict[str, torch.Tensor])
    nudge: float = 0.0
    copies: bool = False
    marks: Marks = Marks.NAN
    unknown: set[str] = field(default_factory=set[str])
    _own: dict[str, torch.Tensor] = field(init=False)
    _buffers: frozenset[str] = field(init=False)
    _places: dict[int, list[tuple[int, int, str]]] = field(init=False)

    def __post_init__(self) -> None:
        """Note where in memory each parameter is."""
        parameters, buffers = dict(self.model.named_parameters()), dict(self.model.named_buffers())
        self._own, self._buffers = {**parameters, **buffers}, frozenset(buffers)
        self._places = {}
        for name, one in parameters.items():
            if is_continuous(one) and one.numel() and one.layout is torch.strided:
                start, size = int(one.storage_offset()), one.element_size()
                reach = 1 + sum(int((n - 1) * step) for n, step in zip(one.shape, one.stride(), strict=True))
                start, end = start * size, (start + reach) * size  # in bytes: a view may be of another type
                self._places.setdefault(one.untyped_storage().data_ptr(), []).append((start, end, name))
        for places in self._places.values():
            places.sort()
            if any(second[0] < first[1] for first, second in pairwise(places)):
                self.copies = True  # one is a part of another, and it cannot be known which one is read

    @property
    def is_converted(self) -> bool:
        """Some weights are read in another type than they are stored in."""
        return any(type_in(self.dtype, one) != one.dtype for one in self._own.values())

    @property
    def is_plain(self) -> bool:
        """The model's own weights are what is read."""
        other = self.level or self.nudge or self.orders or self.gone or self.vanished or self.rates
        return not (self.copies or other or self.is_converted)

    def value(self, name: str) -> torch.Tensor:
        """A weight as it should be, with nothing absent; a copy, or the model's own, which must not be changed."""
        own = self._own[name].detach()
        if not is_continuous(own):
            return own
        # Random weights are drawn once, for the original, so that the cut model's are slices of the same.
        if self.level and self.whole is not None and name in self.whole._own:
            own = slice_tensor(self.whole.value(name), self.keeps.get(name) or ())
            rate = self.rates.get(name)
            return own if rate is None else multiply(own, rate)
        exact = as_type(own, self.dtype)
        if self.level:
            exact = randomise(name, exact, self.level, parameter=name not in self._buffers)
        elif name in self.rates and self.whole is not None:
            # The cut model's weight is the rounding of a product, and a comparison in a finer type would show nothing
            # but that rounding: it reads the product itself. An entry that is off by more stays as it is.
            product = multiply(slice_tensor(self.whole.value(name), self.keeps.get(name) or ()), self.rates[name])
            near = (exact - product).abs() <= torch.finfo(own.dtype).eps * product.abs()
            exact = torch.where(near, product, exact)
        for dim, order in self.orders.get(name, {}).items():
            exact = exact.index_select(dim, torch.from_numpy(order).to(exact.device))
        return exact * (1 + self.nudge * uniform(name, exact, 0.0, 1.0)) if self.nudge else exact

    def rows(self, name: str, indices: torch.Tensor) -> torch.Tensor:
        """[..., D] rows of a weight [N, D], without the others being made where that can be."""
        own, flat = self._own[name].detach(), indices.reshape(-1)
        keeps = self.keeps.get(name) or (None,) * own.dim()
        made: torch.Tensor | None = None
        if self.whole is not None and self.level and name in self.whole._own:
            if keeps[0] is None and name not in self.rates:
                made = slice_tensor(self.whole.rows(name, flat), keeps)
        elif not self.nudge and not self.orders.get(name) and name not in self.rates:
            if self.level:
                made = fresh_rows(name, own, flat, self.level, self.dtype)
            else:
                made = as_type(own.index_select(0, flat), self.dtype)
        made = self.value(name).index_select(0, flat) if made is None else made
        return made.reshape(*indices.shape, *own.shape[1:])

    def mask_value(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """A weight with NaN at what is absent; the value itself where nothing is."""
        if not is_continuous(value):
            return value
        if name in self.vanished:
            return torch.full_like(value, self.marks.absent)
        return with_nan(value, self.gone[name], self.marks.absent) if self.gone.get(name) else value

    def find(self, tensor: torch.Tensor) -> str | None:
        """Name of the parameter that a tensor is a view of; None for any other."""
        if tensor.layout is not torch.strided:
            return None
        for start, end, name in self._places.get(tensor.untyped_storage().data_ptr(), ()):
            if start <= tensor.storage_offset() * tensor.element_size() < end:
                return name
        return None

    def matrix(self, tensor: torch.Tensor) -> MaskedWeight | None:
        """A parameter with two dimensions, or turned round, with what of it is absent; None for any other tensor."""
        name = self.find(tensor)
        own = None if name is None else self._own[name]
        if name is None or own is None or own.dim() != tensor.dim() or own.numel() != tensor.numel():
            return None
        turned = own.dim() == 2 and tensor.stride() != own.stride() and tensor.stride() == own.stride()[::-1]
        if not turned and (tensor.shape != own.shape or tensor.stride() != own.stride()):
            return None
        value = self.value(name)
        gone = self.gone.get(name, {})
        if name in self.vanished:
            gone = {0: np.arange(own.shape[0])}
        if turned:
            return MaskedWeight(value.t(), {1 - dim: index for dim, index in gone.items()})
        return MaskedWeight(value, gone)

    def resolve(self, tensor: torch.Tensor) -> torch.Tensor:
        """What an operator reads in place of a tensor: of a view of a parameter, the same view of what it should be."""
        name = self.find(tensor)
        if name is None:
            return tensor
        own = self._own[name]
        value = self.mask_value(name, self.value(name))
        if value is own or _same_memory(value, own):
            return tensor
        # Views are taken from memory by numbers (`as_strided`), so the value must have the layout of what is stored.
        if value.stride() != own.stride():
            laid_out = torch.empty_strided(own.size(), own.stride(), dtype=value.dtype, device=value.device)
            value = laid_out.copy_(value)
        start = int(own.storage_offset()) * own.element_size() // tensor.element_size()
        offset = int(tensor.storage_offset()) - start
        if tensor.is_complex() and not own.is_complex():
            value = torch.view_as_complex(value)
        elif own.is_complex() and not tensor.is_complex():
            value = torch.view_as_real(value)
        elif tensor.dtype != own.dtype or tensor.is_neg():
            raise WeightChanged  # the same bytes as something else: it needs weights of its own
        viewed = value.as_strided(tensor.size(), tensor.stride(), offset)
        return viewed.conj() if tensor.is_conj() else viewed

    def twin(self) -> nn.Module:
        """A model for one run: parameters as they are stored (unless `copies`), all else as it should be."""
        names = {id(one): name for name, one in reversed(self._own.items())}

        def make(tensor: torch.Tensor) -> torch.Tensor:
            """The twin's tensor for one of the model's."""
            name = names.get(id(tensor))
            own = tensor.detach()
            if name is None:
                made = as_type(own, self.dtype)
            elif isinstance(tensor, nn.Parameter) and not self.copies:
                return of_same_kind(tensor, own)  # another parameter, the same memory
            else:
                made = self.mask_value(name, self.value(name))
            return of_same_kind(tensor, own.clone() if made is own or _same_memory(made, own) else made)

        return shadow_copy(self.model, make)

    def replace_reads(self) -> AbstractContextManager[Any]:
        """Context in which operators read the replaced weights, in no lower type, and leave out what is absent."""
        masked, stack = bool(self.gone or self.vanished) and self.marks is not Marks.ZERO, ExitStack()
        if self.copies or self.is_plain:
            stack.enter_context(NanMasking(None, self.marks, self.unknown) if masked else nullcontext())
            if self.copies or self.dtype is torch.float64:
                stack.enter_context(MinimumPrecision(self.dtype))
            return stack
        if self.is_converted:
            stack.enter_context(MatchingTypes(self))
        stack.enter_context(ReplacedWeights(self, NanMasking(self, self.marks, self.unknown) if masked else None))
        return stack


class ReplacedWeights(OperatorMode):
    """Context manager in which operators read other weights than the model holds, and lower no floating type.

    That is `MinimumPrecision` in the same mode, as each one costs as much as a small operator.
    """

    def __init__(self, weights: Weights, absent: NanMasking | None) -> None:
        """Take what they read, and what leaves out the absent part of it."""
        super().__init__()
        self._weights, self._absent = weights, absent
        self._precision = MinimumPrecision(weights.dtype)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator on the weights as they should be; a view of a weight is a view of the one that is stored."""
        found = self._precision.replace_call(func, args, kwargs or {})
        if found is None:
            with self:  # its products read weights too
                return grouped_mm(*args, **(kwargs or {}))
        func, args, kwargs = found
        if func.is_view:
            return func(*args, **kwargs)
        if func is torch.ops.aten.embedding.default and (name := self._weights.find(args[0])) is not None:
            table = self._weights.model.get_parameter(name)
            if args[0].shape == table.shape and args[0].stride() == table.stride():
                return self._masked_rows(name, args[1])
        written = written_tensors(func, args, kwargs) if func._schema.is_mutable else ()
        if any(self._weights.find(one) is not None for one in written):
            raise WeightChanged
        if func is torch.ops.aten._to_copy.default and self._weights.find(args[0]) is not None:
            # The type into which code converts a weight: no less than it is read in.
            wanted, own = kwargs.get("dtype"), self._weights.dtype
            kwargs = {**kwargs, "dtype": own if wanted in LOWER[own] else wanted}
        # What of a weight is absent is known apart, so that a product needs no copy of it.
        left = KNOWN_PRODUCTS[func][0] if self._absent is not None and func in KNOWN_PRODUCTS else None
        found = tuple([one if place == left else self._resolve(one) for place, one in enumerate(args)])
        named = {key: self._resolve(one) for key, one in kwargs.items()} if kwargs else kwargs
        return func(*found, **named) if self._absent is None else self._absent.run(func, found, named)

    def _masked_rows(self, name: str, indices: torch.Tensor) -> torch.Tensor:
        """Rows of a table with NaN at what is absent: the whole table of a language model would take long to make."""
        rows, mark = self._weights.rows(name, indices), self._weights.marks.absent
        if name in self._weights.vanished:
            return torch.full_like(rows, mark)
        for dim, index in self._weights.gone.get(name, {}).items():
            gone = torch.from_numpy(index).to(rows.device)
            if dim == 0:
                rows = rows.masked_fill(torch.isin(indices, gone).unsqueeze(-1), mark)
            else:
                rows.index_fill_(indices.dim() - 1 + dim, gone, mark)
        return rows

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._weights.resolve(value)
        if isinstance(value, (list, tuple)):
            parts = cast("list[Any]", value)
            return [self._resolve(one) for one in parts]
        return value


class MatchingTypes(TorchFunctionMode):
    """Context manager that gives replaced weights to functions which compare the types of their arguments."""

    def __init__(self, weights: Weights) -> None:
        """Take what they are called with."""
        super().__init__()
        self._weights = weights

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in COMPARING and isinstance(args[0], torch.Tensor):
            first, *others = args
            if any(isinstance(one, torch.Tensor) and one.dtype != first.dtype for one in others):
                args = (first, *(self._in_type(one, first.dtype) for one in others))
        return func(*args, **kwargs)

    def _in_type(self, value: Any, dtype: torch.dtype) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if torch.is_grad_enabled() and value.requires_grad:
            return value.to(dtype)  # which reads the replaced weight, and gives the stored one its gradient
        with _disable_current_modes():  # no operators of the model's
            return self._weights.resolve(value)


COMPARING = frozenset(f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3))
"""Functions that refuse a weight of another type than their input's."""


def _same_memory(first: torch.Tensor, second: torch.Tensor) -> bool:
    strided = first.layout is torch.strided and second.layout is torch.strided
    return strided and first.data_ptr() == second.data_ptr()
