"""Devices that this machine computes with, and models that are lent to one. Loads torch when it is called.

A model that is placed takes its inputs from wherever they are and answers where they came from: whoever calls it, a
task, a loss, a user's own metric, need not know of the device. Afterwards it is on the CPU again, as everything else
here expects: analysis, cuts and their verification, files.
"""

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from .errors import SecateurError
from .text.notation import Notation, read_count

CPU = "cpu"
THREADS = max(256, 4 * (os.cpu_count() or 1))
"""Threads to compute with at most: with thousands a machine starts threads, and with more it refuses."""


def available() -> tuple[str, ...]:
    """Names of the devices, the CPU first: "cpu", "cuda:0", "mps"."""
    import torch

    found = [CPU]
    if torch.cuda.is_available():
        found += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


def kind_of(device: str) -> str:
    """What sort of device a name means: "cuda" of "cuda:1"."""
    return device.partition(":")[0]


def title_of(device: str) -> str:
    """A device for a person: "NVIDIA H100, cuda:0"."""
    import torch

    return f"{torch.cuda.get_device_name(device)}, {device}" if kind_of(device) == "cuda" else device


def device_named(device: str) -> str:
    """The name as `available` has it ("cuda" is the first one); raises SecateurError for what is not there."""
    known = available()
    found = next((one for one in known if one == device or (kind_of(one) == device)), None)
    if found is None:
        template = "Device {device} is not available. Choose one of: {known}."
        raise SecateurError("device.missing", template, device=device, known=", ".join(known))
    return found


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
    import torch

    if kind_of(device) == "cuda":
        torch.cuda.synchronize(device)
    elif kind_of(device) == "mps":
        torch.mps.synchronize()


@contextmanager
def placed(device: str, *models: Any) -> Generator[None]:
    """Modules on a device; what is no module, a file's predictor say, stays what it is.

    Raises:
        SecateurError: The device has not enough memory.
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
    if before is None or before == _real(device):
        yield  # it has nothing to move, or whoever called has lent it already
        return
    where: list[Any] = []  # of the inputs of the calls that go on: a model may call itself

    def enter(_module: Any, args: Any, named: Any) -> Any:
        where.append(_device_of((args, named)))
        return moved(args, device), moved(named, device)

    def leave(_module: Any, _inputs: Any, outputs: Any) -> Any:
        back = where.pop() if where else None
        return outputs if back is None else moved(outputs, back)

    handles = [
        model.register_forward_pre_hook(enter, with_kwargs=True, prepend=True),
        model.register_forward_hook(leave),
    ]
    try:
        with _enough_memory(device):
            model.to(device)
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.to(before)


def _real(device: str) -> Any:
    import torch

    return torch.device(device)


def moved(value: Any, device: Any) -> Any:
    """A tree of tensors on a device, of the same form; what is no tensor is handed on."""
    import torch
    from torch.utils import _pytree as pytree

    def move(one: Any) -> Any:
        return one.to(device) if isinstance(one, torch.Tensor) else one

    return pytree.tree_map(move, value)


def _device_of(value: Any) -> Any:
    import torch
    from torch.utils import _pytree as pytree

    tensors = (one for one in pytree.tree_leaves(value) if isinstance(one, torch.Tensor))
    return next((one.device for one in tensors), None)


@contextmanager
def _enough_memory(device: str) -> Generator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        template = "{device} ran out of memory. Lower the batch size, or compute on the CPU."
        raise SecateurError("device.memory", template, str(error), device=device) from error
