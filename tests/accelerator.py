"""A stand-in for an accelerator: tensors that lie on the CPU but are said to be elsewhere, and are kept apart as there.

On a machine without a GPU nothing shows that a tensor was made on the wrong device. Inside `accelerator("cuda:0")`
tensors that are moved there, or made there, keep their numbers in the CPU's memory; `device` says "cuda:0" of them and
of whatever is computed from them, and an operator that combines them with tensors of the CPU raises what CUDA raises.
As on CUDA a tensor of the CPU may take part as a number (no dimensions), as an index, or in a copy. Results are those
of the CPU, bit for bit. With `double=False` it has no float64, as Apple's.
"""

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from secateur.engine.machine import device_list
from secateur.engine.machine.device_list import CPU, CpuBackend, Device

ATEN: Any = torch.ops.aten
INDEXED = {
    ATEN.index.Tensor, ATEN.index_put_.default, ATEN.index_put.default, ATEN._index_put_impl_.default,
    ATEN._unsafe_index.Tensor,
}  # fmt: skip
"""Indices of these may lie on the CPU."""
MADE = "arange empty empty_strided eye full linspace ones rand randint randn randperm tensor zeros as_tensor"
LIKE = "empty full ones rand randint randn zeros"
MAKERS = (*MADE.split(), *(f"{name}_like" for name in LIKE.split()))
READS = ("numpy", "__array__")
DEVICE: Any = Tensor.device.__get__  # pyright: ignore[reportAttributeAccessIssue]
TO = Tensor.to
TENSOR, AS_TENSOR = torch.tensor, torch.as_tensor


class MixedDevicesError(RuntimeError):
    """As CUDA raises it."""


class Memory:
    """The storages that are said to lie on the accelerator."""

    def __init__(self) -> None:
        """None yet."""
        self._known: dict[int, StorageWeakRef] = {}

    def take(self, tensors: Iterable[Tensor]) -> None:
        """They lie there from now on."""
        for one in tensors:
            reference = StorageWeakRef(one.untyped_storage())  # its address is not used again while this is kept
            self._known[reference.cdata] = reference

    def forget(self, tensor: Tensor) -> None:
        """It lies on the CPU from now on."""
        self._known.pop(tensor.untyped_storage()._cdata, None)

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor lies there."""
        return tensor.untyped_storage()._cdata in self._known


class Keeper(TorchDispatchMode):
    """Beneath autograd: what is computed there lies there, and both kinds do not mix."""

    def __init__(self, memory: Memory, name: str, double: bool) -> None:
        """Keep tensors of a memory apart."""
        super().__init__()
        self.memory, self.name, self.double = memory, name, double
        self.operators = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator."""
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        there = [one for one in given if self.memory.holds(one)]
        if there and func is not ATEN.copy_.default:
            apart = [*tree_leaves((args[0], args[2:]))] if func in INDEXED else given
            for one in apart:
                if isinstance(one, Tensor) and one.ndim and not self.memory.holds(one):
                    message = f"Expected all tensors to be on the same device, but {func} met {self.name} and cpu"
                    raise MixedDevicesError(message)
            if func in INDEXED and not self.memory.holds(args[0]):
                raise MixedDevicesError("indices should be either on cpu or on the same device as the indexed tensor")
        result = func(*args, **(kwargs or {}))
        made = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        if there and func is not ATEN.copy_.default:
            self.check(made)
            self.memory.take(made)
            self.operators += 1
        return result

    def check(self, made: list[Tensor]) -> None:
        """Raise what a device without float64 raises of it."""
        if not self.double and any(one.dtype is torch.float64 for one in made):
            raise TypeError(f"Cannot convert a {self.name} Tensor to float64 dtype as it doesn't support float64")


class Names:
    """Above autograd: what tensors say of their device, and what is asked to be there.

    Methods of `Tensor` and functions of `torch` are replaced, as a mode would be off inside of other modes.
    """

    def __init__(self, keeper: Keeper) -> None:
        """Speak for a keeper."""
        self.keeper, self.memory, self.device = keeper, keeper.memory, torch.device(keeper.name)

    def replace(self, patch: pytest.MonkeyPatch) -> None:
        """Let all of torch speak so."""
        holds, kind = self.memory.holds, self.device.type
        patch.setattr(Tensor, "device", property(self._device_of), raising=False)
        for name in ("cpu", "cuda", "mps"):
            told = property(lambda one, name=name: holds(one) == (name == kind) and name in (kind, CPU))
            patch.setattr(Tensor, f"is_{name}", told, raising=False)
        for name in READS:
            patch.setattr(Tensor, name, self._reading(getattr(Tensor, name)))
        patch.setattr(Tensor, "cpu", lambda one, *_, **__: self._moved(one, torch.device(CPU)))
        to = Tensor.to
        patch.setattr(Tensor, "to", lambda *args, **named: self._to(to, args, named))
        for name in (one for one in dir(Tensor) if one.startswith("new_")):
            patch.setattr(Tensor, name, self._making(getattr(Tensor, name)))
        for name in MAKERS:
            patch.setattr(torch, name, self._making(getattr(torch, name)))

    def _reading(self, read: Any) -> Any:
        def checked(tensor: Tensor, *args: Any, **named: Any) -> Any:
            if self.memory.holds(tensor):
                raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")
            return read(tensor, *args, **named)

        return checked

    def _making(self, make: Any) -> Any:
        return lambda *args, **named: self._make(make, args, named)

    def _to(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensor, *rest = args
        if rest and isinstance(rest[0], Tensor):
            rest = [self._device_of(rest[0]), rest[0].dtype]
        asked = [*rest, *(kwargs.get(name) for name in ("device", "dtype"))]
        place = next((torch.device(one) for one in asked if isinstance(one, str | torch.device)), None)
        dtype = next((one for one in asked if isinstance(one, torch.dtype)), tensor.dtype)
        place = place or self._device_of(tensor)
        if place.type == self.device.type and dtype is torch.float64 and not self.keeper.double:
            self.keeper.check([tensor.double()])
        copy, layout = bool(kwargs.get("copy")), kwargs.get("memory_format", torch.preserve_format)
        return self._moved(func(tensor, dtype=dtype, copy=copy, memory_format=layout), place)

    def _device_of(self, tensor: Tensor) -> torch.device:
        return self.device if self.memory.holds(tensor) else DEVICE(tensor)

    def _moved(self, tensor: Tensor, place: torch.device) -> Tensor:
        if place.type == "meta":
            return TO(tensor, "meta")
        if (place.type == self.device.type) == self.memory.holds(tensor):
            return tensor
        return Move.apply(tensor, self, place)

    def put(self, tensor: Tensor, place: torch.device) -> Tensor:
        """Say where a tensor lies."""
        if place.type == self.device.type:
            self.memory.take([tensor])
        else:
            self.memory.forget(tensor)
        return tensor

    def _make(self, func: Any, args: Any, kwargs: Any) -> Any:
        like = args[0] if args and isinstance(args[0], Tensor) and func is not TENSOR else None
        given = kwargs.pop("device", None)
        if func is AS_TENSOR and like is not None:
            return like if given is None else self._moved(like, torch.device(given))
        place = torch.device(CPU) if like is None else self._device_of(like)
        place = place if given is None else torch.device(given)
        if place.type == self.device.type and kwargs.get("generator") is not None:
            raise RuntimeError(f"Expected a '{place.type}' device type for generator but found 'cpu'")
        made = func(*args, **kwargs, device=place if place.type == "meta" else CPU)
        if place.type == self.device.type and not self.keeper.double:
            self.keeper.check([made])
        return made if place.type == "meta" else self.put(made, place)


class Move(torch.autograd.Function):
    """A copy elsewhere; its gradient comes back."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, names: Names, place: torch.device) -> Tensor:
        """Copy."""
        context.names, context.origin = names, names._device_of(tensor)
        return names.put(tensor.clone(), place)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Copy the gradient."""
        return context.names.put(gradient.clone(), context.origin), None, None


class StandIn(CpuBackend):
    """Tells of the stand-in as a driver would."""

    def __init__(self, name: str, half: str, double: bool) -> None:
        """Take what is told."""
        self._name, self._half, self._double = name, half, double

    def names(self) -> tuple[str, ...]:
        """One."""
        return (self._name,)

    def title(self, name: str) -> str:
        """Whatever."""
        return "Stand-in"

    def device(self, name: str) -> Device:
        """Eight gigabytes, six of them free."""
        return Device(name, self.title(name), 8 << 30, 6 << 30, 0.25, self._half, True, self._double)

    def half(self, name: str) -> str:
        """As told."""
        return self._half

    def double(self, name: str) -> bool:
        """As told."""
        return self._double

    def same_operators(self, name: str) -> bool:
        """Where there is no float64, there are other operators too, as Apple's."""
        return self._double


@contextmanager
def accelerator(name: str = "cuda:0", half: str = "", double: bool = True) -> Generator[Keeper]:
    """This machine has an accelerator inside; yields what keeps its tensors apart, which counts its operators."""
    keeper = Keeper(Memory(), name, double)
    backends = {CPU: device_list.BACKENDS[CPU], torch.device(name).type: StandIn(name, half, double)}
    run = threading.Thread.run

    def run_there(thread: threading.Thread) -> None:
        """Modes are each thread's own."""
        with Keeper(keeper.memory, name, double):
            run(thread)

    with pytest.MonkeyPatch.context() as patch, keeper:
        Names(keeper).replace(patch)
        patch.setattr(device_list, "BACKENDS", backends)
        patch.setattr(threading.Thread, "run", run_there)
        yield keeper
