"""Several processes that compute one result, as `torchrun` and `accelerate launch` start them.

The process of rank 0 leads: it runs the command as if it were alone, decides everything, and is the only one that
writes. The others follow: they hold the same model, wait for orders, and compute their part of what is asked for, the
scores of some batches or the gradients of some samples. Nothing that they have must outlive them, so a run that lost
one of them goes on from what rank 0 kept, with any number of processes.

Everything else asks `Group` which process this is, and sends tensors through it. Loads torch where a group is joined.
"""

import os
import signal
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .errors import SecateurError
from .machine.device_list import CPU, available, kind_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

LEADER = 0
PATIENCE = timedelta(hours=1)
"""How long a process waits for the others within a step; one that died is noticed at once."""
WAIT = timedelta(seconds=5)
"""How long the followers wait for an order before they ask again: rank 0 may evaluate or export for hours."""
FAREWELL = 10.0
"""Seconds that rank 0 waits for the others to end, since the store of orders may end with it."""
BUCKET = 1 << 26
"""Bytes that are sent at a time."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the processes this is, as its launcher says.

    Attributes:
        rank: From 0.
        size: Processes in all.
        local_rank: From 0 on this machine.
        local_size: Processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def launched(environment: Mapping[str, str] = os.environ) -> Place:
    """This process among those that a launcher started, by the variables that `torchrun` sets; alone without them."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    rank, size, local_rank, local_size, address = (environment.get(name, "") for name in names)
    if not (rank.isdigit() and size.isdigit() and address and int(size) > 1):
        return Place()
    local_rank, local_size = local_rank if local_rank.isdigit() else rank, local_size if local_size.isdigit() else size
    return Place(int(rank), int(size), int(local_rank), int(local_size))


def cores() -> int:
    """Cores of this machine that are this process's, at least one."""
    return max((os.cpu_count() or 2) // launched().local_size, 1)


@dataclass(frozen=True, slots=True)
class End:
    """The last order: rank 0 is done."""


class Group:
    """The processes that compute together; one that is alone sends nothing.

    Attributes:
        place: Which of them this is.
    """

    def __init__(self, place: Place, store: Any = None) -> None:
        """Take the place and the store of orders (`torch.distributed.Store`), None for a process that is alone."""
        self.place = place
        self._store = store
        self._orders = self._kept = 0  # orders so far, and how many of them are in the store no more
        self._broken = False

    @property
    def is_writer(self) -> bool:
        """Whether this process decides, and writes files."""
        return self.place.rank == LEADER

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.place.size == 1

    def device(self, device: str) -> str:
        """The device of this process where rank 0 computes on another one of that kind.

        Raises:
            SecateurError: This machine has too few.
        """
        if self.is_writer or kind_of(device) == CPU:
            return device
        own = [one for one in available() if kind_of(one) == kind_of(device)]
        own.sort(key=lambda one: one != device)  # that of rank 0 is the first, whichever it is: no other may have it
        if self.place.local_rank >= len(own):
            template = "{count} processes need as many devices, and this machine has {devices}. Start fewer processes."
            count, devices = self.place.local_size, ", ".join(own) or CPU
            raise SecateurError("distributed.devices", template, count=count, devices=devices)
        return own[self.place.local_rank]

    def order(self, value: Any) -> None:
        """Tell the followers what to do; of rank 0. What all have read leaves the store.

        Args:
            value: A frozen dataclass that JSON can hold.
        """
        if self.is_alone:
            return
        if self._broken and not isinstance(value, End):
            template = "Process 0 failed while others computed with it, so they cannot go on. Start the command again."
            raise SecateurError("distributed.broken", template)
        from .storage.serialization import to_json, to_plain  # the window imports this module, and not msgspec

        content = {"kind": type(value).__name__, "content": to_plain(value)}
        with _told():
            if self._store.add("read", 0) == self._orders * (self.place.size - 1):
                for number in range(self._kept, self._orders):
                    self._store.delete_key(f"order-{number}")
                self._kept = self._orders
            self._store.set(f"order-{self._orders}", to_json(content))
        self._orders += 1

    def abandon(self) -> None:
        """Rank 0 failed where the others wait for it: they cannot be told anything any more, but that it is over."""
        self._broken = not self.is_alone

    def next_order(self, kinds: Sequence[type[Any]]) -> Any | None:
        """Wait for an order, which is of one of these kinds; None where rank 0 is done."""
        from torch.distributed import DistStoreError

        from .storage.serialization import decoded, from_plain

        key = f"order-{self._orders}"
        while True:
            try:
                with _told(DistStoreError):
                    self._store.wait([key], WAIT)
                    content: Any = decoded(bytes(self._store.get(key)))
                    self._store.add("read", 1)
                break
            except DistStoreError:  # nothing within that time
                continue
        self._orders += 1
        kind = next((kind for kind in kinds if kind.__name__ == content["kind"]), None)
        return None if kind is None else from_plain(content["content"], kind)

    def share(self, tensors: Iterable[Any]) -> None:
        """Give tensors of rank 0, of any types, to all others, which hold as many of the same shapes; in place."""
        import torch
        from torch import distributed

        from .tracing.tree import bits_of

        if self.is_alone:
            return
        for bucket in _buckets(one for one in tensors if isinstance(one, torch.Tensor)):  # a state dict may hold more
            place = _carrier(bucket[0])
            data = torch.cat([bits_of(one).to(place) for one in bucket])
            with _told():
                distributed.broadcast(data, LEADER)
            if not self.is_writer:
                sizes = [one.numel() * one.element_size() for one in bucket]
                parts: tuple[Tensor, ...] = torch.split(data, sizes)
                for one, part in zip(bucket, parts, strict=True):
                    value = part.clone().view(one.dtype).reshape(one.shape)  # a part may begin between two values
                    one.detach().copy_(value)

    def collect(self, tensors: Iterable["Tensor"]) -> None:
        """Add up tensors of all processes in those of rank 0, in place; what the others hold is undefined then."""
        import torch
        from torch import distributed

        if self.is_alone:
            return
        for bucket in _buckets(tensors):
            data = torch.cat([one.detach().reshape(-1).to(_carrier(one)) for one in bucket])
            with _told():
                distributed.reduce(data, LEADER)
            if self.is_writer:
                parts: tuple[Tensor, ...] = torch.split(data, [one.numel() for one in bucket])
                for one, part in zip(bucket, parts, strict=True):
                    one.detach().copy_(part.reshape(one.shape))

    def sums(self, *values: "NDArray[np.float64] | float") -> "list[NDArray[np.float64]]":
        """Add up numbers of all processes: the same arrays in each; one all-reduce for all of them."""
        import numpy as np
        import torch
        from torch import distributed

        arrays = [np.asarray(one, np.float64) for one in values]
        if self.is_alone:
            return arrays
        whole = torch.from_numpy(np.concatenate([one.ravel() for one in arrays]))
        with _told():
            distributed.all_reduce(whole)
        parts = np.split(whole.numpy(), np.cumsum([one.size for one in arrays])[:-1])
        return [part.reshape(one.shape) for one, part in zip(arrays, parts, strict=True)]


ALONE = Group(Place())
"""The group of a process that nothing else was started with."""
_JOINED: ContextVar[Group] = ContextVar("group", default=ALONE)


def group() -> Group:
    """The processes that this one computes with: those that it has joined."""
    return _JOINED.get()


@contextmanager
def joined() -> Generator[Group]:
    """Compute with the other processes of the launcher inside; at the end rank 0 lets them go, and leaves last.

    Raises:
        SecateurError: They do not come together, or are lost at the end.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a wait that is begun again is no warning
    import torch

    distributed: Any = torch.distributed
    place = launched()
    stopped = signal.signal(signal.SIGTERM, _interrupted)  # as the launcher sends where another process failed
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _told():
        store, rank, size = next(distributed.rendezvous("env://", place.rank, place.size))
        distributed.init_process_group(
            backend, store=distributed.PrefixStore("group", store), rank=rank, world_size=size, timeout=PATIENCE
        )
    found = Group(place, distributed.PrefixStore("orders", store))
    token, patience = _JOINED.set(found), 0.0
    try:
        yield found
        patience = FAREWELL
    finally:
        _JOINED.reset(token)
        with suppress(SecateurError):
            _part(found, patience)
        distributed.destroy_process_group()
        signal.signal(signal.SIGTERM, stopped)


def _part(group: Group, patience: float) -> None:
    """Rank 0 says that it is done, and waits so many seconds for the others to go."""
    store = group._store  # pyright: ignore[reportPrivateUsage]
    with _told():
        if not group.is_writer:
            store.add("left", 1)
            return
        group.order(End())
        until = time.monotonic() + patience
        while store.add("left", 0) < group.place.size - 1 and time.monotonic() < until:
            time.sleep(0.05)


def _interrupted(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def _told(*other: type[Exception]) -> Generator[None]:
    """What torch says of a lost process is said as that; errors of other kinds are those that the caller expects."""
    try:
        yield
    except other:
        raise
    except RuntimeError as error:
        raise lost(error) from error


def lost(error: RuntimeError) -> SecateurError:
    """What is said where another process cannot be reached."""
    template = (
        "Another process of this run ended or cannot be reached. See its own message, then start the same command "
        "again: finished steps and training up to the last checkpoint are kept where the run has a project."
    )
    return SecateurError("distributed.lost", template, str(error))


def is_lost(error: RuntimeError) -> bool:
    """Whether an error that came out of a model's pass is of the exchange with other processes."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error)


def _buckets(tensors: Iterable["Tensor"]) -> Generator[list["Tensor"]]:
    """Tensors of one type and device together, in their order."""
    bucket, size = list[Any](), 0
    for one in tensors:
        count = one.numel() * one.element_size()
        if bucket and (size + count > BUCKET or (one.dtype, one.device) != (bucket[0].dtype, bucket[0].device)):
            yield bucket
            bucket, size = [], 0
        bucket.append(one)
        size += count
    if bucket:
        yield bucket


def _carrier(tensor: "Tensor") -> str:
    """The device from which tensors are sent."""
    return str(tensor.device) if tensor.device.type == "cuda" else CPU
