"""Works out which tensors autograd would save for the backward pass, and which share memory.

What each operator saves is written down nowhere, and it changes with torch; so autograd is asked: each kind of call
that a record has is made once more, on meta tensors of the same shapes and without computing anything. Hooks see which
of its operands and results it saves and which results are views. What was found is kept for the process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.autograd.graph import saved_tensors_hooks

from .operator_mode import OperatorMode
from .record import OperatorCall, Record, Ref, SavedTensors
from .tree import tensors_of


def saved_tensors(record: Record) -> SavedTensors:
    """Follow which values have gradients and ask what is saved for these."""
    owners = list(range(len(record.shapes)))
    trained = {s.value for s in record.sources if s.parameter and s.floating}
    views: dict[int, list[int]] = {}
    saved: list[tuple[int, int]] = []
    copies: list[tuple[int, int]] = []
    for number, call in enumerate(record.calls):
        wanted = tuple(v in trained for v in call.reads)
        # Calls are of one kind where operator, flags and gradients are the same; sizes do not matter.
        kinds = tuple(str(a) if isinstance(a, (bool, str)) else type(a).__name__ for a in call.arguments.values())
        key = (call.op, call.overload, wanted, kinds, len(call.outputs))
        if key not in _KNOWN:
            try:
                _KNOWN[key] = _ask_autograd(call, record, wanted)
            except Exception:  # whatever an operator raises that does not work without values
                _KNOWN[key] = _assume_most(call, record, wanted)
        found = _KNOWN[key]
        for place, value in enumerate(call.outputs):
            shown = found.views[place]
            if value not in call.reads and shown >= 0:
                owners[value] = owners[call.reads[shown]]
                views.setdefault(owners[value], []).append(value)
            if found.trained[place]:
                trained.add(value)
                if value in call.reads:  # changed in place: so is all that shares its memory
                    trained.update((owners[value], *views.get(owners[value], ())))
        saved += [(number, owners[call.reads[n]]) for n in found.operands]
        saved += [(number, owners[call.outputs[n]]) for n in found.results]
        copies += [(number, call.reads[n]) for n in found.copies]
    own = {owners[s.value] for s in record.sources}
    return SavedTensors(
        tuple(owners), tuple((number, value) for number, value in saved if value not in own), tuple(copies)
    )


@dataclass(frozen=True, slots=True)
class _Saved:
    """What a kind of call saves.

    Attributes:
        operands: Which tensor arguments are saved.
        results: Which results are saved.
        copies: Of which tensor arguments copies are saved.
        views: For each result the argument that it is a view of, -1 for none.
        trained: For each result whether it has a gradient.
    """

    operands: tuple[int, ...]
    results: tuple[int, ...]
    copies: tuple[int, ...]
    views: tuple[int, ...]
    trained: tuple[bool, ...]


_KNOWN: dict[Any, _Saved] = {}
"""By kind of call."""


def _ask_autograd(call: OperatorCall, record: Record, wanted: tuple[bool, ...]) -> _Saved:
    """Make the call under autograd."""
    function = _function(call)
    packed: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> None:
        packed[_memory(tensor)] = tensor

    with torch.inference_mode(False), torch.enable_grad():
        blank = {v: _blank(record, v, w) for v, w in zip(call.reads, wanted, strict=True)}
        names = {a.name for a in function._schema.arguments}
        arguments = {n: _live(a, blank) for n, a in call.arguments.items() if n in names}
        made = [_blank(record, v, False) for v in call.outputs]
        # Nothing is ever unpacked, as no gradient is computed.
        with saved_tensors_hooks(pack, lambda packed: packed), _Hollow(function, made):
            results = tensors_of(function(**arguments))
    given = [_memory(blank[v]) for v in call.reads]
    shown = [_memory(t) for t in results]
    shapes = [blank[v].shape for v in call.reads]
    copies = [t.shape for m, t in packed.items() if m not in given and m not in shown]
    return _Saved(
        tuple(n for n, m in enumerate(given) if m in packed),
        tuple(n for n, m in enumerate(shown) if m in packed and m not in given),
        tuple(shapes.index(shape) for shape in copies),
        tuple(given.index(m) if m in given else -1 for m in shown),
        tuple(t.requires_grad for t in results),
    )


class _Hollow(OperatorMode):
    """Beneath autograd: nothing is computed, the results are there already; views are made."""

    def __init__(self, function: Any, made: list[torch.Tensor]) -> None:
        super().__init__()
        self._function = function
        self._made = made

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        schema = func._schema
        aliases = [r.alias_info for r in schema.returns if r.alias_info is not None]
        if len(schema.returns) == 1 and aliases and aliases[0].is_write:
            return args[0]
        # What torch calls unsafe are views whose signature does not say so.
        if func is not self._function or aliases or "unsafe" in schema.name:
            return func(*args, **(kwargs or {}))
        if len(schema.returns) == 1:
            return self._made[0] if isinstance(schema.returns[0].type, torch.TensorType) else list(self._made)
        made = iter(self._made)
        return tuple(next(made, 0) if isinstance(r.type, torch.TensorType) else 0 for r in schema.returns)


def _assume_most(call: OperatorCall, record: Record, wanted: tuple[bool, ...]) -> _Saved:
    """The most that a call may save; views as its signature has them."""
    returns = _function(call)._schema.returns
    shown = 0 if any(r.alias_info is not None for r in returns) and call.reads else -1
    floating = tuple(any(wanted) and record.dtypes[v].startswith(("float", "bfloat", "complex")) for v in call.outputs)
    operands = range(len(call.reads)) if any(floating) else ()
    return _Saved(
        tuple(operands), tuple(n for n, f in enumerate(floating) if f), (), (shown,) * len(call.outputs), floating
    )


def _function(call: OperatorCall) -> Any:
    namespace, _, name = call.op.partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), call.overload or "default")


def _blank(record: Record, value: int, wanted: bool) -> torch.Tensor:
    tensor = torch.empty(record.shapes[value], dtype=getattr(torch, record.dtypes[value]), device="meta")
    return tensor.requires_grad_().clone() if wanted else tensor  # a leaf must not be changed in place


def _live(argument: Any, blank: Mapping[int, torch.Tensor]) -> Any:
    """A recorded argument as the operator takes it."""
    if isinstance(argument, Ref):
        return blank[argument.value]
    if isinstance(argument, list):
        return [_live(one, blank) for one in cast("list[Any]", argument)]
    if isinstance(argument, str):
        if argument.partition(":")[0] in ("cpu", "cuda", "mps", "xpu", "meta"):
            return torch.device("meta")
        return getattr(torch, argument.removeprefix("torch."), argument) if "torch." in argument else argument
    return argument


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]
