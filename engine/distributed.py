"""Several processes that compute one result, as `torchrun` and `accelerate launch` start them.

The process of rank 0 leads: it runs the command as if it were alone, and is the only one that writes. The others follow
its orders ("recover this state by these settings"), and run the same code as it does then, each with its share of every
batch (`Group.together`). Where processes could differ, rank 0 decides (`Group.given`): metrics, the clock, what is read
from files. Nothing that the others have must outlive them, so a run that lost one of them goes on from what rank 0
kept, with any number of processes.

Everything else asks `Group` which process this is, and sends tensors through it. Loads torch where a group is joined.
"""

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from socket import gethostname
from typing import TYPE_CHECKING, Any, cast

from .errors import SecateurError
from .jobs import Cancelled
from .machine.device_list import CPU, available, kind_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

LEADER = 0
PATIENCE = timedelta(hours=1)
"""How long a process waits for the others within a step; one that died is noticed at once."""
WAIT = timedelta(seconds=5)
"""How long the followers wait for rank 0 before they ask again: it may evaluate or export for hours."""
FAREWELL = 10.0
"""Seconds that rank 0 waits for the others to end, since the store of orders may end with it."""
ROLL_CALL = 5.0
"""Seconds that a process waits for the others to report after one was lost."""
BUCKET = 1 << 26
"""Bytes that are sent at a time."""
FEW = 4
"""Numbers that are added up without another exchange."""
LEAVES, SUMS, TENSORS, VALUE, PASS = range(5)
"""What processes meet for: all of them for the same, but for those that leave."""
KEEPS = 2
"""Says of rank 0 that it leaves, and gathers first what is divided among the processes."""


class Left(Cancelled):
    """Rank 0 has left what all processes did together: it is done, was stopped, or failed."""


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

    Processes that are `together` meet before each exchange: they add up a few numbers, which say whether one of them
    leaves. So one that fails or is stopped between two exchanges, wherever that is, ends no others: they learn of it
    where they meet next.

    Attributes:
        place: Which of them this is.
        gather: Gathers in rank 0 what is divided among the processes, where it keeps that before it leaves.
    """

    def __init__(self, place: Place, store: Any = None, hosts: Sequence[str] = ()) -> None:
        """Take the place, the store of orders (`torch.distributed.Store`, None for a process that is alone), hosts."""
        self.place = place
        self.gather: Callable[[], object] | None = None
        self._store, self._hosts = store, hosts
        self._values = 0  # how many were given
        self._broken = self._has_left = False
        self._time = 0.0  # see `clock`

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

    # What process 0 asks for.

    def order(self, value: Any) -> None:
        """Ask the followers to do something; of rank 0. It waits until they are done with what was before.

        Args:
            value: A frozen dataclass that JSON can hold.
        """
        from .storage.serialization import to_json, to_plain  # the window imports this module, and not msgspec

        self.given((type(value).__name__, to_json(to_plain(value)).decode()))

    def next_order(self, kinds: Sequence[type[Any]]) -> Any | None:
        """Wait for an order, which is of one of these kinds; None where rank 0 is done."""
        from .storage.serialization import decoded, from_plain

        name, content = self.given(None)
        kind = next((kind for kind in kinds if kind.__name__ == name), None)
        return None if kind is None else from_plain(decoded(content.encode()), kind)

    # What all processes do at once.

    @contextmanager
    def together(self) -> Generator[None]:
        """All processes do the same inside, until they are done, or one of them leaves.

        Raises:
            Left: In the others, where rank 0 leaves.
            SecateurError: Another process failed or was lost.
        """
        if self.is_alone:
            yield
            return
        try:
            yield
        except KeyboardInterrupt:  # which may come amid an exchange
            self.abandon()
            raise
        except BaseException as error:
            try:
                if not self.is_writer and not isinstance(error, Left):
                    with self._exchange():
                        self._store.set("failure", f"{self.place.rank} {error}".encode())
                self.leave()
            except Left:  # all failed alike, or rank 0 left at once: it decides what follows
                raise
            except SecateurError:
                pass  # the error is what is said
            raise
        else:
            with suppress(Left):
                self.leave()
        finally:
            self._has_left = False

    def leave(self, *, keeps: bool = False) -> None:
        """Leave what all do together, which the others learn where they meet next.

        Args:
            keeps: The others take part in `gather` first, which this process calls next; of rank 0.

        Raises:
            Left: In the others, where rank 0 leaves at once.
            SecateurError: Another process was lost, or it is too late for gathering.
        """
        if self._broken or self._has_left:
            if keeps:
                raise _broken()
            return
        self._has_left = True
        self._meet(LEAVES, leaving=KEEPS if keeps else 1)

    def abandon(self) -> None:
        """This process failed amid an exchange: the others cannot learn of it but by its end."""
        self._broken = not self.is_alone

    def clock(self) -> float:
        """Rank 0's seconds of the monotonic clock when the processes met last, the same in all."""
        return self._time

    def meet_for_pass(self) -> None:
        """Begin to run a model in all processes, which is divided among them."""
        self._meet(PASS)

    def _meet(self, purpose: int, numbers: Sequence[float] = (), leaving: int = 0) -> list[float]:
        """Come to the same point in all processes, for the same; gives the sums of at most `FEW` numbers.

        Raises:
            Left: Rank 0 has left, and this process is another one.
            SecateurError: Another process failed or was lost.
        """
        import torch
        from torch import distributed

        if self._broken:
            raise _broken()
        leads, name, calls = self.is_writer, f"value-{self._values}", purpose in (LEAVES, VALUE)
        if not leads and purpose == VALUE:
            self._await(name)
        own = [time.monotonic() if leads else 0.0, leads * leaving, (not leads) * leaving, purpose, *numbers]
        found: Any = torch.tensor(own + [0.0] * (FEW - len(numbers)), dtype=torch.float64)
        with self._exchange():
            if leads and calls:
                self._store.set(name, b"")
            distributed.all_reduce(found)
            if leads and calls:
                self._store.delete_key(name)  # all have come
        self._time, left, failed, purposes, *sums = cast("list[float]", found.tolist())
        if left == KEEPS and not leads and self.gather is not None:
            self.gather()
        if failed and not left:  # only rank 0 may leave alone
            self.abandon()
            if not leaving:
                raise self._failure()
        elif left and not leads:
            self._has_left = True
            raise Left
        elif not left and purposes != purpose * self.place.size:
            self.abandon()
            raise _broken()
        return sums[: len(numbers)]

    def _failure(self) -> SecateurError:
        with self._exchange():
            failure: str = self._store.get("failure").decode()
        rank, reason = failure.split(" ", 1)
        template = "Process {rank} on {host} failed: {reason}"
        return SecateurError("distributed.failed", template, rank=int(rank), host=self._hosts[int(rank)], reason=reason)

    @contextmanager
    def _exchange(self, *expected: type[Exception]) -> Generator[None]:
        """Exchange something with the others inside; what fails there ends the work of all, but for errors expected."""
        try:
            yield
        except expected:
            raise
        except BaseException as error:
            self.abandon()
            if isinstance(error, RuntimeError) and is_lost(error):
                raise self.lost(error) from error
            raise

    def lost(self, error: RuntimeError) -> SecateurError:
        """What is said where another process cannot be reached, with the name of that one where it can be found."""
        from torch import distributed

        self.abandon()
        missing = [rank for rank in range(self.place.size) if rank != self.place.rank]
        # Who else notices the loss reports in the store, as soon as it cannot reach this one.
        with suppress(RuntimeError, AssertionError):
            distributed.destroy_process_group()
        try:
            self._store.set(f"here-{self.place.rank}", b"")
            until = time.monotonic() + ROLL_CALL
            while len(missing) > 1 and time.monotonic() < until:
                missing = [rank for rank in missing if not self._store.check([f"here-{rank}"])]
                time.sleep(0.05)
        except RuntimeError:  # which rank 0 may have held
            missing = [LEADER]
        names = " and ".join(f"process {rank} on {self._hosts[rank]}" for rank in missing if rank < len(self._hosts))
        return _lost(error, f"Lost: {names}. " if names else "")

    def given(self, value: Any) -> Any:
        """The value that rank 0 gives, in all processes, which wait for it as long as it takes.

        Args:
            value: Tensors, numbers, text, and lists, tuples and dicts of them; of rank 0.
        """
        import torch

        if self.is_alone:
            return value
        content = BytesIO()
        if self.is_writer:
            torch.save(value, content)
        (size,) = self._meet(VALUE, [float(content.tell())])
        self._values += 1
        # What is sent, or room for it.
        data = content.getbuffer() if self.is_writer else bytearray(int(size))
        parts: tuple[Tensor, ...] = torch.split(torch.frombuffer(data, dtype=torch.uint8), BUCKET)
        self._send(parts, adds_up=False)
        return value if self.is_writer else torch.load(BytesIO(data), weights_only=True)

    def _await(self, key: str) -> None:
        """Wait for something in the store, as long as that takes."""
        from torch.distributed import DistStoreError

        while True:
            with suppress(DistStoreError), self._exchange(DistStoreError):  # not there within that time
                self._store.wait([key], WAIT)
                return

    def share(self, tensors: Iterable[Any]) -> None:
        """Give tensors of rank 0, of any types, to all others, which hold as many of the same shapes; in place."""
        import torch

        if not self.is_alone:
            self._meet(TENSORS)
            whole = (one for one in tensors if isinstance(one, torch.Tensor))  # a state dict may hold more
            self._send(whole, adds_up=False)

    def add_up(self, tensors: Iterable["Tensor"]) -> None:
        """Add up tensors of all processes in place, right after these have met: the same bits in each."""
        if not self.is_alone:
            self._send(tensors, adds_up=True)

    def _send(self, tensors: Iterable["Tensor"], *, adds_up: bool) -> None:
        """Add up tensors of all processes, or give all those of rank 0."""
        import torch
        from torch import distributed

        from .tracing.tree import bits_of

        with self._exchange():
            for bucket in _buckets(tensors):
                flat = [one.detach().reshape(-1) if adds_up else bits_of(one) for one in bucket]
                data = torch.cat([one.to(_carrier(one)) for one in flat])
                if adds_up:
                    distributed.all_reduce(data)
                else:
                    distributed.broadcast(data, LEADER)
                parts: tuple[Tensor, ...] = torch.split(data, [len(one) for one in flat])
                for one, part in zip(bucket, parts, strict=True) if adds_up or not self.is_writer else ():
                    value = part.clone().view(one.dtype)  # a part may begin between two values
                    one.detach().copy_(value.reshape(one.shape))

    def sums(self, *values: "NDArray[np.float64] | float") -> "list[NDArray[np.float64]]":
        """Add up numbers of all processes: the same arrays in each; one or two all-reduces for all of them."""
        import numpy as np
        import torch

        arrays = [np.asarray(one, np.float64) for one in values]
        if self.is_alone:
            return arrays
        whole = np.concatenate([one.ravel() for one in arrays])
        if len(whole) <= FEW:
            whole = np.array(self._meet(SUMS, whole.tolist()))
        else:
            self._meet(SUMS)
            self.add_up([torch.from_numpy(whole)])
        parts = np.split(whole, np.cumsum([one.size for one in arrays])[:-1])
        return [part.reshape(one.shape) for one, part in zip(arrays, parts, strict=True)]


def _broken() -> SecateurError:
    template = "Process 0 failed while others computed with it, so they cannot go on. Start the command again."
    return SecateurError("distributed.broken", template)


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
    try:
        store, rank, size = next(distributed.rendezvous("env://", place.rank, place.size))
        # Where `torchrun` starts all again after a loss, its store still has the addresses and orders of before.
        store = distributed.PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        distributed.init_process_group(
            backend, store=distributed.PrefixStore("group", store), rank=rank, world_size=size, timeout=PATIENCE
        )
        store.set(f"host-{rank}", gethostname())
        hosts = [store.get(f"host-{one}").decode() for one in range(size)]
    except RuntimeError as error:
        raise _lost(error) from error
    found = Group(place, distributed.PrefixStore("orders", store), hosts)
    token, patience = _JOINED.set(found), 0.0
    try:
        yield found
        patience = FAREWELL
    finally:
        _JOINED.reset(token)
        with suppress(SecateurError, RuntimeError):
            _part(found, patience)
        if distributed.is_initialized():  # it is not after a process was lost
            distributed.destroy_process_group()
        signal.signal(signal.SIGTERM, stopped)


def _part(group: Group, patience: float) -> None:
    """Rank 0 says that it is done, and waits so many seconds for the others to go."""
    store = group._store  # pyright: ignore[reportPrivateUsage]
    if not group.is_writer:
        store.add("left", 1)
        return
    group.order(End())
    until = time.monotonic() + patience
    while store.add("left", 0) < group.place.size - 1 and time.monotonic() < until:
        time.sleep(0.05)


def _interrupted(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _lost(error: RuntimeError, who: str = "") -> SecateurError:
    """What is said where another process cannot be reached; `who` is a sentence that names it."""
    template = (
        "Another process of this run ended or cannot be reached. {who}See its own message, then start the same command "
        "again: finished steps and training up to the last checkpoint are kept where the run has a project."
    )
    return SecateurError("distributed.lost", template, str(error), who=who)


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
