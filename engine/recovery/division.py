"""A student and its teacher that are divided among processes, for models that are larger than one device.

Each process holds an equal part of every weight, gradient and optimiser state (FSDP2, `fully_shard`): whole are the
weights of one block at a time, while it runs, and what lies outside of blocks. Host memory has the whole models as
ever: what is divided are copies.

All processes run the same passes: in a step each on samples of its own, else on the same ones. What is kept or given
back is gathered in rank 0, so a checkpoint is the same file as that of one process.

Loads torch and its distributed tensors, which takes a second or two: import this where it is used.
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ..distributed import Group, is_lost
from ..errors import SecateurError
from ..jobs import CancelToken, check
from ..machine.device_list import CPU, kind_of
from ..machine.devices import moving_inputs
from ..tracing.shadow_model import of_same_kind, shadow_copy
from ..tracing.tree import modules_of
from .features import blocks_of
from .mixed_precision import OwnTypes, widen_inputs
from .optimizers import optimizer_of
from .protocol import RecoverySettings

Values = dict[str, Any]
"""A state dict: tensors by name, and whatever else a model keeps there."""


class Division:
    """A student, and a teacher if it teaches, of which this process holds its part.

    Attributes:
        student: A copy of the student whose parameters are parts.
        teacher: The same of the teacher; None where there is none.
        optimizer: Over the parameters of the student.
    """

    def __init__(
        self, group: Group, device: str, student: nn.Module, teacher: nn.Module | None, settings: RecoverySettings
    ) -> None:
        """Divide copies of models, which all processes of a group do at once.

        Args:
            group: All processes.
            device: Of this one.
            student: The same in all processes, in single precision; left as it is.
            teacher: The same in all processes; left as it is.
            settings: Of the training.

        Raises:
            SecateurError: A model cannot be divided.
        """
        self._group, self._device, self._own = group, device, dict[str, torch.dtype]()
        self._running = False
        self._exact: list[tuple[Tensor, Tensor]] | None = None  # while the student is rounded
        everyone: Any = distributed.group.WORLD
        mesh = DeviceMesh.from_group(everyone, kind_of(device))
        self._index = torch.device(device).index
        with self._current():
            self.student = divided_copy(student, mesh, trains=True)
            self.teacher = None if teacher is None else divided_copy(teacher, mesh, trains=False)
        self.optimizer = optimizer_of(self.student, settings)

    @contextmanager
    def running(self, own: OwnTypes, token: CancelToken) -> Generator[None]:
        """Let the models run inside, with inputs from anywhere.

        Args:
            own: Types of the student's tensors that are trained in single precision.
            token: Cancels before a forward.
        """
        self._own = dict(own)
        with ExitStack() as stack:
            stack.enter_context(self._current())
            for model in (self.student, *([] if self.teacher is None else [self.teacher])):
                stack.enter_context(moving_inputs(model, self._device))
                stack.enter_context(self._meeting(model, token))
            self._group.gather = self.checkpoint
            try:
                yield
            finally:
                self._group.gather = None
                if self._running:  # a pass failed half-way, and the others are in it
                    self._group.abandon()

    def _current(self) -> Any:
        """Context in which this process's device is the one that FSDP takes."""
        kind = kind_of(self._device)
        return nullcontext() if kind == CPU else torch.get_device_module(kind).device(self._index or 0)

    # Passes.

    @contextmanager
    def explained(self) -> Generator[None]:
        """What torch says of lost processes, and of parts where whole weights were to be, is said so that one can act.

        Raises:
            SecateurError: As that.
        """
        try:
            yield
        except RuntimeError as error:
            if is_lost(error):
                raise self._group.lost(error) from error
            if "DTensor" not in str(error):
                raise
            template = (
                "The model or the loss reads weights outside of the module that has them, which a model that is "
                "divided among processes does not allow. Train it with whole copies in each process."
            )
            raise SecateurError("division.outside", template, str(error)) from error

    @contextmanager
    def backward(self, *, adds_up: bool) -> Generator[None]:
        """All processes run backward inside, each for samples of its own.

        Args:
            adds_up: Gradients are added up and divided with this backward, the last one of an update. Until then each
                process keeps whole ones, which takes memory and spares sending them for each batch.
        """
        student: Any = self.student
        student.set_requires_gradient_sync(adds_up)
        self._running = True
        yield
        self._running = False

    @contextmanager
    def _meeting(self, model: nn.Module, token: CancelToken) -> Generator[None]:
        """Processes meet before each forward of a model inside: where one of them leaves, none of the others begins."""

        def begin(_module: Any, _args: Any) -> None:
            check(token)
            self._group.meet_for_pass()
            self._running = True

        def end(_module: Any, _args: Any, _outputs: Any) -> None:
            self._running = False

        handles = [model.register_forward_pre_hook(begin, prepend=True), model.register_forward_hook(end)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    # What is held.

    @contextmanager
    def as_given_back(self) -> Generator[None]:
        """The student with weights rounded to its own types inside, which it computes with in single precision."""
        self.rounded(True)
        try:
            with widen_inputs(self.student, self._own), self.explained():
                yield
        finally:
            self.rounded(False)

    def rounded(self, rounded: bool) -> None:
        """Round this process's part of the student, or take back what it was before."""
        if rounded == (self._exact is not None):
            return
        with torch.no_grad():
            if self._exact is not None:
                for part, value in self._exact:
                    part.copy_(value)
                self._exact = None
                return
            held = {**dict(self.student.named_parameters()), **dict(self.student.named_buffers())}
            parts = {name: _local(one) for name, one in held.items() if name in self._own}
            self._exact = [(part, part.clone()) for part in parts.values()]
            for name, part in parts.items():
                part.copy_(part.to(self._own[name]))

    def weights(self) -> dict[str, Tensor]:
        """The student's whole state dict on the CPU, in its own types; of rank 0, while all call this."""
        before = self._exact is not None
        self.rounded(True)
        with self._gathering():
            found = self._whole(self.student.state_dict(keep_vars=True))
        self.rounded(before)
        return {name: one.to(self._own.get(name, one.dtype)) for name, one in found.items()}

    def checkpoint(self, *, leaves: bool = False) -> tuple[Values, Values]:
        """(the student's whole state dict, that of the optimiser), on the CPU and as they are trained; of rank 0.

        All call this, or rank 0 alone where it leaves: the others then do it where they learn of that.
        """
        if leaves:
            if self._running:
                self._group.abandon()
            self._group.leave(keeps=True)
        before = self._exact is not None
        self.rounded(False)
        with self._gathering():
            weights, held = self._whole(self.student.state_dict(keep_vars=True)), self.optimizer.state_dict()
            found = weights, {**held, "state": {n: self._whole(some) for n, some in held["state"].items()}}
        self.rounded(before)
        return found

    @contextmanager
    def _gathering(self) -> Generator[None]:
        """All gather inside; where one fails, the others wait in it, and cannot learn of that."""
        try:
            with self.explained():
                yield
        except BaseException:
            self._group.abandon()
            raise

    def _whole(self, values: Values) -> Values:
        """Whole tensors in rank 0, tied ones tied; in the others nothing of them is kept."""
        known: dict[int, Any] = {}

        def whole(one: Any) -> Any:
            if not isinstance(one, Tensor):
                return one
            if id(one) not in known:
                value = one.detach()
                value = value.full_tensor() if isinstance(value, DTensor) else value
                known[id(one)] = value.to(CPU, copy=True) if self._group.is_writer else torch.empty(0)
            return known[id(one)]

        return {name: whole(one) for name, one in values.items()}

    def restore(self, weights: Values, optimizer: Values) -> None:
        """Take this process's part of what `checkpoint` gave, here or in a process that trained alone."""

        def part(one: Any, like: Tensor) -> Any:
            if not isinstance(one, Tensor) or one.shape != like.shape or not isinstance(like, DTensor):
                return one
            return distribute_tensor(one, like.device_mesh, like.placements, src_data_rank=None)

        self.rounded(False)
        with torch.no_grad(), self.explained():
            for name, one in self.student.state_dict(keep_vars=True).items():
                if isinstance(one, Tensor):
                    _local(one).copy_(_local(part(weights[name], one)))
            parameters = [one for group in self.optimizer.param_groups for one in group["params"]]
            for number, states in optimizer["state"].items():
                one = parameters[int(number)]
                self.optimizer.state[one] = {name: part(state, one) for name, state in states.items()}


def divided_copy(model: nn.Module, mesh: DeviceMesh, *, trains: bool) -> nn.Module:
    """A copy of a model whose parameters are parts on the devices of a mesh; tied ones stay tied.

    Args:
        model: The same in all processes, left as it is; in host memory.
        mesh: One-dimensional, of all processes.
        trains: Parameters keep their flags; else none gets a gradient.

    Raises:
        SecateurError: The model cannot be divided.
    """

    def own(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            return of_same_kind(tensor, tensor.detach().clone())
        made = of_same_kind(tensor, tensor.detach().contiguous())
        return made if trains else made.requires_grad_(False)

    scalars = {name for name, one in model.named_parameters() if one.ndim == 0 and one.requires_grad and trains}
    if scalars:
        raise _impossible(f"{min(scalars)} is a single number, and FSDP does not train those")
    try:
        copy = shadow_copy(model, own)
        whole = {one for one in copy.parameters() if one.ndim == 0}
        for unit in (*blocks_apart(copy), copy):
            part = fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
            part.set_gradient_divide_factor(1.0)  # gradients are summed, and gloo knows no other factor
            part.set_force_sum_reduction_for_comms(True)
            if hasattr(part, "set_reduce_scatter_unused_params"):  # before torch 2.13 all have to use the same weights
                part.set_reduce_scatter_unused_params(True)
    except Exception as error:
        raise _impossible(f"{type(error).__name__}: {error}".rstrip(".")) from error
    return copy


def _impossible(why: str) -> SecateurError:
    template = "The model cannot be divided among processes: {why}. Train it with whole copies in each process."
    return SecateurError("division.impossible", template, why=why)


def blocks_apart(model: nn.Module) -> list[nn.Module]:
    """Blocks that are gathered one at a time: all that share no parameter with anything outside of them.

    Each runs in every pass: experts, of which a batch may skip some, are gathered with the block that they are in.
    """
    modules, names = modules_of(model), dict[int, list[str]]()
    for name, one in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(one), []).append(name)
    return [
        modules[path]
        for path in dict.fromkeys(_running_always(path, modules) for path in blocks_of(model))
        if any(modules[path].children())  # a layer without blocks may be read by the code around it
        and not isinstance(modules[path], nn.ModuleList | nn.ModuleDict)
        and all(name.startswith(f"{path}.") for one in modules[path].parameters() for name in names[id(one)])
    ]


def _running_always(path: str, modules: Mapping[str, nn.Module]) -> str:
    """The outermost entry of a list, no list itself, that a block is in; else the block."""
    names, lists = path.split("."), (nn.Sequential, nn.ModuleList)
    around = ["", *(".".join(names[:count]) for count in range(1, len(names)))]
    entries = (
        one
        for parent, one in pairwise(around)
        if isinstance(modules[parent], lists) and not isinstance(modules[one], (*lists, nn.ModuleDict))
    )
    return next(entries, path)


def _local(one: Tensor) -> Tensor:
    """The part of a tensor that this process holds, in its memory; all of one that is not divided."""
    held: Any = one.detach()
    return held.to_local() if isinstance(one, DTensor) else held
