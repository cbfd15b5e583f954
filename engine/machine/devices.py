"""Devices that this machine computes with, and models that are lent to one. Loads torch when it is called.

A model that is placed takes its inputs from wherever they are and answers where they came from: whoever calls it, a
task, a loss, a user's own metric, need not know of the device. Afterwards it is on the CPU again, as everything else
here expects: analysis, cuts and their verification, files.
"""

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..errors import Message, OutOfMemory, SecateurError
from ..jobs import Job, Progress
from ..text.format import byte_size
from ..text.notation import Notation, read_count
from .device_list import AUTO, CPU, available, backend_of, best_device, device_facts, kind_of
from .out_of_memory import runs_out_of_memory

THREADS = max(256, 4 * (os.cpu_count() or 1))
"""Threads to compute with at most: with thousands a machine starts threads, and with more it refuses."""


def title_of(device: str) -> str:
    """A device for a person: "NVIDIA H100, cuda:0"."""
    title = "" if device == CPU else backend_of(device).title(device)
    return f"{title}, {device}" if title else device


def device_named(device: str) -> str:
    """The name as `available` has it: "cuda" is the first one, "auto" the accelerator with the most free memory.

    Raises:
        SecateurError: There is none such.
    """
    if device == AUTO:
        return best_device()
    known = available()
    found = next((one for one in known if one == device or (kind_of(one) == device)), None)
    if found is None:
        template = "Device {device} is not available. Choose one of: {known}."
        raise SecateurError("device.missing", template, device=device, known=", ".join(known))
    return found


def device_for(
    device: str, model: Any, *, scored: bool = False, watched: bool = False, divided: bool = False
) -> Job[str]:
    """Where a model can run: on the device, or on the CPU where that has to be, which is said.

    Args:
        device: Where it should run.
        model: A module; what is none runs on the CPU anyway.
        scored: In eval mode with gradients, or watched: CUDA's recurrent layers allow neither.
        watched: What enters its products is looked at, beneath its modules.
        divided: Several processes have a part of it each, so that it may be larger than the device.
    """
    from torch import nn

    if device == CPU or not isinstance(model, nn.Module):
        return device
    named, backend = {"device": device}, backend_of(device)
    if not divided and (need := _bytes_to_move(model, device)) > (total := device_facts(device).total) > 0:
        template = "The weights take {need} of memory, and {device} has {total}: computing on the CPU"
        why = Message("device.too_small", template, {**named, "need": byte_size(need), "total": byte_size(total)})
    elif not backend.double(device) and _is_double(model):
        template = "{device} has no float64, and the model has float64 weights: computing on the CPU"
        why = Message("device.double", template, named)
    elif watched and not backend.same_operators(device):
        template = "The inputs of layers cannot be measured on {device}: computing on the CPU"
        why = Message("device.operators", template, named)
    elif (scored or watched) and any(isinstance(one, nn.RNNBase) for one in model.modules()):
        template = "Recurrent layers cannot be scored on {device}: computing on the CPU"
        why = Message("device.recurrent", template, named)
    else:
        return device
    yield Progress(why)
    return CPU


def _bytes_to_move(model: Any, device: str) -> int:
    """Bytes of the weights of a model that is not on a device yet."""
    held = {id(one): one for one in (*model.parameters(), *model.buffers())}.values()
    return sum(one.numel() * one.element_size() for one in held if not _is_there(one.device, device))


def _is_double(model: Any) -> bool:
    import torch

    return any(one.dtype in (torch.float64, torch.complex128) for one in (*model.parameters(), *model.buffers()))


def wide_device(device: Any) -> Any:
    """Where sums in float64 of a device's tensors are held: there, or on the CPU where it has no float64.

    Args:
        device: As a tensor says it.
    """
    import torch

    return device if backend_of(str(device)).double(str(device)) else torch.device(CPU)


def check_threads(threads: int) -> int:
    """The same number; raises SecateurError for one that no computation can be divided into."""
    if not 1 <= threads <= THREADS:
        template = "Cannot use {threads} threads on this machine with {cores} cores. Choose a number from 1 to {most}."
        raise SecateurError("device.threads", template, threads=threads, most=THREADS, cores=os.cpu_count() or 1)
    return threads


def read_threads(text: str) -> int:
    """A number of threads that a computation can be divided into."""
    return check_threads(read_count(text))


NUMBER_OF_THREADS = Notation(read_threads, example="N")


def synchronize(device: str) -> None:
    """Wait until a device has done what it was given."""
    backend_of(device).synchronize(device)


@contextmanager
def placed(device: str, *models: Any) -> Generator[None]:
    """Modules on a device; what is no module, a file's predictor say, stays what it is.

    Raises:
        OutOfMemory: The device has not enough memory.
    """
    from torch import nn

    with ExitStack() as stack:
        for model in models if device != CPU else ():
            if isinstance(model, nn.Module):
                stack.enter_context(_lent(model, device))
        with _enough_memory(device):
            yield


@contextmanager
def _lent(model: Any, device: str) -> Generator[None]:
    before = next((one.device for one in (*model.parameters(), *model.buffers())), None)
    if before is None or _is_there(before, device):
        yield  # it has nothing to move, or whoever called has lent it already
        return
    with moving_inputs(model, device):
        try:
            with _enough_memory(device):
                model.to(device)
            yield
        finally:
            model.to(before)


@contextmanager
def moving_inputs(model: Any, device: str) -> Generator[None]:
    """Calls of a model that is on a device take inputs from wherever they are, and give outputs back there."""
    where: list[Any] = []  # of the inputs of the calls that go on: a model may call itself

    def enter(_module: Any, args: Any, named: Any) -> Any:
        where.append(_device_of((args, named)))
        return moved(args, device), moved(named, device)

    def leave(_module: Any, _inputs: Any, outputs: Any) -> Any:
        back = where.pop() if where else None
        return outputs if back is None else moved(_widened(outputs, device), back)

    handles = [
        model.register_forward_pre_hook(enter, with_kwargs=True, prepend=True),
        model.register_forward_hook(leave),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _widened(outputs: Any, device: str) -> Any:
    """Outputs of mixed precision in float32, as the device's autocast takes them for a loss; on the CPU it is off."""
    import torch
    from torch.utils import _pytree as pytree

    kind = kind_of(device)
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return outputs

    def widen(one: Any) -> Any:
        half = isinstance(one, torch.Tensor) and one.dtype in (torch.float16, torch.bfloat16)
        return one.float() if half else one

    return pytree.tree_map(widen, outputs)


def _is_there(place: Any, device: str) -> bool:
    """Whether a tensor's place is a device, which may be named without its number."""
    import torch

    named = torch.device(device)
    return place.type == named.type and named.index in (None, place.index)


def moved(value: Any, device: Any) -> Any:
    """A tree of tensors on a device, of the same form; what is no tensor is handed on.

    A device without float64 gets float32 in its place.
    """
    import torch
    from torch.utils import _pytree as pytree

    single = not backend_of(str(device)).double(str(device))

    def move(one: Any) -> Any:
        if not isinstance(one, torch.Tensor):
            return one
        return one.to(device, torch.float32) if single and one.dtype is torch.float64 else one.to(device)

    return pytree.tree_map(move, value)


def _device_of(value: Any) -> Any:
    import torch
    from torch.utils import _pytree as pytree

    tensors = (one for one in pytree.tree_leaves(value) if isinstance(one, torch.Tensor))
    return next((one.device for one in tensors), None)


@contextmanager
def _enough_memory(device: str) -> Generator[None]:
    try:
        yield
    except Exception as error:
        if device == CPU or isinstance(error, OutOfMemory) or not runs_out_of_memory(error):
            raise
        template = "{device} ran out of memory. Lower the batch size, or compute on the CPU."
        raise OutOfMemory("device.memory", template, str(error), device=device) from error
