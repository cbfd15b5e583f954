"""Passes through a model that fit into memory: fewer samples at a time once it has run out. Loads torch when called.

A batch stays one batch: its samples go through the model in parts, and what calls the model gets the outputs of all of
them. So every loss and metric sees what it always sees, also one that compares the samples of a batch. With gradients a
part's activations are computed again on the way back (Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost),
so that those of one part live at a time, and the gradient is that of the whole batch.
"""

import gc
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import wraps
from typing import Any, TypeVar, cast

from ..errors import Message, OutOfMemory, SecateurError
from ..jobs import Job, Progress
from ..machine.device_list import CPU
from ..machine.out_of_memory import runs_out_of_memory
from .model_inputs import Inputs, call

Result = TypeVar("Result")
CLOSE = 1e-3
"""Relative difference of outputs up to which samples count as independent of each other."""


@dataclass(slots=True)
class PassLimit:
    """How many samples go through a model at a time.

    Attributes:
        most: At most so many, 0 for whole batches.
        device: Where it is so.
        untold: What is to be told of it.
        whole: Batches are never divided: other processes run the same passes, of a model that is divided among them.
    """

    most: int = 0
    device: str = CPU
    untold: list[Message] = field(default_factory=list[Message])
    whole: bool = False

    @property
    def message(self) -> Message | None:
        """For a person: that batches were divided; None where they were not."""
        if not self.most:
            return None
        template = "{device} had not enough memory for whole batches: at most {count} samples ran at a time."
        return Message("memory.divided", template, {"device": self.device, "count": self.most})

    def begin(self, device: str) -> None:
        """Work on a device from now on; what was found out of another one does not count there."""
        if device != self.device:
            self.most, self.device = 0, device

    def news(self) -> Iterator[Progress]:
        """What is to be told, once."""
        untold, self.untold = self.untold, []
        yield from map(Progress, untold)

    def lower(self, model: Any, inputs: Inputs, details: str) -> None:
        """Let half as many samples through.

        Args:
            model: What ran out of memory, on its device.
            inputs: Those of a whole batch.
            details: What it said.

        Raises:
            OutOfMemory: One sample is too much already, or the samples of a batch depend on each other.
        """
        rows = rows_in(inputs)
        named: dict[str, Any] = {"device": self.device}
        if self.whole:
            template = (
                "{device} has not enough memory for a batch of {count} samples of a model that is divided among "
                "processes. Lower the batch size, or start more processes."
            )
            raise OutOfMemory("memory.divided_model", template, details, count=rows, **named)
        before = min(self.most or rows, rows)
        if before < 2:
            template = (
                "{device} has not enough memory for a single sample. Use smaller inputs, half precision, another "
                "device, or a model that is cut shard by shard (secateur shear)."
            )
            raise OutOfMemory("memory.one_sample", template, details, **named)
        if not independent(model, inputs):
            template = (
                "{device} has not enough memory for a batch of {count} samples, and this model's outputs depend on "
                "the whole batch. Lower the batch size."
            )
            raise OutOfMemory("memory.dependent", template, details, count=rows, **named)
        self.most = before // 2
        template = "Out of memory on {device}: going on with {count} samples at a time"
        self.untold.append(Message("memory.halved", template, named | {"count": self.most}))


def in_fitting_parts(
    start: Callable[[], Job[Result]],
    model: Any,
    inputs: Callable[[], Inputs | None],
    limit: PassLimit,
    *,
    divides: bool = False,
) -> Job[Result]:
    """A job that runs a model, from its beginning with smaller parts of each batch whenever memory runs out.

    Args:
        start: Makes the job; it may be begun several times.
        model: What runs, where it is to run.
        inputs: Those of a whole batch of the job; None where there is none.
        limit: How many samples go through at a time; kept for what follows.
        divides: The job gives the model parts of batches itself (`input_parts`).

    Raises:
        OutOfMemory: Smaller parts do not help.
    """
    while True:
        yield from limit.news()
        with in_parts(model, PassLimit() if divides else limit):
            ended = yield from _tried(start, model, inputs, limit)
        if ended:
            return ended[0]


def _tried(
    start: Callable[[], Job[Result]], model: Any, inputs: Callable[[], Inputs | None], limit: PassLimit
) -> Job[tuple[Result] | None]:
    """What the job returned; None where memory ran out and the limit is lower now: nothing of the job lives on then."""
    try:
        return ((yield from start()),)
    except Exception as error:
        given = inputs() if can_be_divided(error) else None
        if given is None:
            raise
        details = str(error)
    release_memory()  # which the error held until here
    limit.lower(model, given, details)
    return None


def run_in_fitting_parts(run: Callable[[], Result], model: Any, inputs: Inputs, limit: PassLimit) -> Result:
    """What a function returns that runs a model on one batch; with smaller parts of it where memory runs out.

    Raises:
        OutOfMemory: Smaller parts do not help.
    """
    while True:
        try:
            with in_parts(model, limit):
                return run()
        except Exception as error:
            if not can_be_divided(error):
                raise
            details = str(error)
        release_memory()
        limit.lower(model, inputs, details)


def can_be_divided(error: Exception) -> bool:
    """Whether smaller parts of a batch may help against an error: memory ran out, and nobody has tried that yet."""
    return not isinstance(error, OutOfMemory) and runs_out_of_memory(error)


def release_memory() -> None:
    """Give back what nothing holds any more, so that others find it."""
    import torch

    gc.collect()
    if torch.accelerator.is_available():
        with suppress(RuntimeError):
            torch.accelerator.empty_cache()


@contextmanager
def in_parts(model: Any, limit: PassLimit) -> Generator[None]:
    """Calls of a model inside go through it in parts, where there is a limit to the samples at a time.

    Outputs are those of the whole batch, on the CPU. What is no module is left alone.
    """
    from torch import nn

    if not limit.most or not isinstance(model, nn.Module):
        yield
        return
    own, plain = vars(model).get("forward"), model.forward

    @wraps(plain)
    def forward(*args: Any, **named: Any) -> Any:
        parts = list(_divided((args, named), limit.most))
        if len(parts) < 2:
            return plain(*args, **named)
        return joined([_pass(model, plain, *part) for part in parts], [rows_in((a, n)) for a, n in parts])

    model.forward = forward
    try:
        yield
    finally:
        del model.forward
        if own is not None:
            model.forward = own


def _pass(model: Any, plain: Callable[..., Any], args: Any, named: Any) -> Any:
    """One part; with gradients nothing but its outputs is kept. Outputs go to the CPU, which has room for all."""
    import torch
    from torch.utils import _pytree as pytree
    from torch.utils import checkpoint as checkpoints

    def home(one: Any) -> Any:
        return one.to(CPU) if isinstance(one, torch.Tensor) else one

    if not torch.is_grad_enabled():
        return pytree.tree_map(home, plain(*args, **named))
    made: Any = cast("Any", checkpoints).checkpoint(
        plain, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _unchanged(model)), **named
    )
    return pytree.tree_map(home, made)


@contextmanager
def _unchanged(model: Any) -> Generator[None]:
    """The second run of a part counts nothing once more: buffers, such as a norm's statistics, are as before."""
    before = [(one, one.detach().clone()) for one in model.buffers()]
    try:
        yield
    finally:
        for one, value in before:
            one.data.copy_(value)  # past autograd, which has seen the buffer as it is


def input_parts(inputs: Inputs, limit: PassLimit, most: int = 0) -> Iterator[Inputs]:
    """The inputs of a batch in parts that go through at once: for whoever has to know which part runs.

    Args:
        inputs: Of a batch.
        limit: How many samples memory holds.
        most: No more than that either; 0 for any number.
    """
    yield from _divided(inputs, min((one for one in (limit.most, most) if one), default=0))


def _divided(given: Any, most: int) -> Iterator[Any]:
    """What a model is given, in parts of at most so many samples; 0 for any number."""
    rows = rows_in(given) if most else 0
    if rows <= most:
        yield given
        return
    # Where parts of at most so many samples begin and end: none is much smaller, since BatchNorm sees the parts.
    count = -(-rows // most)
    for first, last in ((rows * n // count, rows * (n + 1) // count) for n in range(count)):
        yield cut_rows(given, rows, first, last)


def rows_in(given: Any) -> int:
    """Samples in a model's inputs: entries of the first list or rows of the first tensor, 1 where nothing says."""
    for one in _leaves(given):
        if isinstance(one, list):
            return len(cast("list[Any]", one))
        if one.ndim:
            return int(one.shape[0])
    return 1


def _leaves(value: Any) -> Iterator[Any]:
    """Arrays, and lists of one entry a sample: as detectors take images."""
    if hasattr(value, "__array__") or isinstance(value, list):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[Any, Any]", value).values():
            yield from _leaves(one)
    elif isinstance(value, tuple):
        for one in cast("tuple[Any, ...]", value):
            yield from _leaves(one)


def cut_rows(value: Any, rows: int, first: int, last: int) -> Any:
    """What has a row or an entry for each of so many samples, for some of them; everything else as it is."""
    if hasattr(value, "__array__"):
        return value[first:last] if value.ndim and value.shape[0] == rows else value
    if isinstance(value, Mapping):
        given = cast("Mapping[Any, Any]", value)
        made = {key: cut_rows(one, rows, first, last) for key, one in given.items()}
        return made if type(given) is dict else cast("Any", type(given))(made)
    if isinstance(value, list) and len(cast("list[Any]", value)) == rows:
        return cast("list[Any]", value)[first:last]
    if isinstance(value, list | tuple):
        parts = [cut_rows(one, rows, first, last) for one in cast("Sequence[Any]", value)]
        kind = cast("Any", type(cast("Any", value)))
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    return value


def joined(parts: Sequence[Any], rows: Sequence[int]) -> Any:
    """The outputs of a batch from those of its parts.

    Args:
        parts: Outputs of each part, of one form.
        rows: Samples of each.

    Raises:
        SecateurError: Something in them is of no sample, and differs from part to part.
    """
    import torch

    first: Any = parts[0]
    kind = cast("Any", type(first))
    if _is(first, torch.Tensor):
        import torch

        if all(one.ndim and one.shape[0] == count for one, count in zip(parts, rows, strict=True)):
            return torch.cat(list(parts))
        if any(one.shape != parts[0].shape or not torch.equal(one, parts[0]) for one in parts):
            raise _not_joined(f"a tensor {list(parts[0].shape)} of a part of {rows[0]} samples")
        return parts[0]
    if _is(first, Mapping):
        made = {key: joined([one[key] for one in parts], rows) for key in first}
        return made if kind is dict else kind(made)
    if _is(first, list | tuple):
        return _joined_rows(parts, rows)
    if is_dataclass(kind):
        found = {one.name: [getattr(part, one.name) for part in parts] for one in fields(kind)}
        return replace(first, **{name: joined(some, rows) for name, some in found.items()})
    if any(one != first for one in parts):
        raise _not_joined(kind.__name__)
    return first


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind; what it holds stays unknown."""
    return isinstance(value, kind)


def _joined_rows(parts: Sequence[Any], rows: Sequence[int]) -> Any:
    """Lists of one entry a sample one behind the other, of other lists and tuples each entry."""
    kind, exact = cast("Any", type(parts[0])), bool(type(parts[0]) is list)
    if exact and all(len(one) == count for one, count in zip(parts, rows, strict=True)):
        together: list[Any] = [one for some in parts for one in some]
        return together
    made = [joined(list(some), rows) for some in zip(*parts, strict=True)]
    return kind(*made) if hasattr(kind, "_fields") else kind(made)


def _not_joined(what: str) -> SecateurError:
    template = (
        "Out of memory, and the batch cannot be divided: the model's outputs hold more than samples. Lower the batch "
        "size."
    )
    return OutOfMemory("memory.outputs", template, what)


def independent(model: Any, inputs: Inputs) -> bool:
    """Whether two samples give together what they give one by one; also where there is no memory to try that."""
    import torch
    from torch.utils import _pytree as pytree

    modes = [(module, module.training) for module in model.modules()] if isinstance(model, torch.nn.Module) else []
    try:
        for module, _ in modes:
            module.training = False
        with torch.no_grad():
            pair: Any = cut_rows(inputs, rows_in(inputs), 0, 2)
            whole = call(model, pair)
            halves = joined([call(model, cut_rows(pair, 2, n, n + 1)) for n in range(2)], [1, 1])
    except OutOfMemory:
        return False
    except Exception as error:
        return runs_out_of_memory(error)
    finally:
        for module, mode in modes:
            module.training = mode
    (leaves, form), (others, other_form) = pytree.tree_flatten(whole), pytree.tree_flatten(halves)
    return form == other_form and all(map(_alike, leaves, others))


def _alike(one: Any, other: Any) -> bool:
    import torch

    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return one == other
    if one.shape != other.shape or not one.is_floating_point():
        return one.shape == other.shape and torch.equal(one, other)
    size = float(one.abs().max()) if one.numel() else 0.0
    return bool(torch.allclose(one, other, rtol=CLOSE, atol=CLOSE * size, equal_nan=True))
