"""Make a `Record`: run the model once, in eval mode, under a mode that sees every operator beneath autograd."""

import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakIdKeyDictionary

from ..errors import AnalysisError
from .functions import Frame, Functions
from .reading import Inputs, answers_of, call, modules_of, named_tensors, tensors_of
from .record import Call, FunctionCall, ModuleCall, Record, Ref, Source


def record(model: nn.Module, inputs: Inputs, outputs: Sequence[str] = (), training: bool = False) -> Record:
    """Run the model once on its example inputs and return what happened. The model is left as it was found.

    Args:
        model: Any module.
        inputs: Positional as a tuple, by name as a mapping; first dimension the batch.
        outputs: Paths of the outputs that count ("logits", "0"); see `answers_of` for the default.
        training: In training mode, for branches that evaluation does not take.

    Raises:
        AnalysisError: The forward raised, gave no tensor, or none under the chosen paths.
    """
    recorder, result, error = _run(model, inputs, training)
    if error is not None:
        raise AnalysisError(
            "analysis.forward",
            "The model's forward raised {kind}: {text}. Check the input shape {shapes}.",
            details=_traceback(error),
            kind=type(error).__name__,
            text=str(error).splitlines()[0] if str(error) else "no text",
            shapes=", ".join("x".join(map(str, s.shape)) for s in tensors_of(inputs)),
        ) from error
    answers = answers_of(result, outputs)
    if outputs and not answers:
        raise AnalysisError(
            "analysis.outputs",
            "The model has no output {wanted}. It has {names}.",
            wanted=", ".join(outputs),
            names=", ".join(name or "one tensor" for name, _ in named_tensors(result)) or "none",
        )
    if not answers:
        raise AnalysisError(
            "analysis.no_output", "The model's forward returned no tensor, so there is nothing to keep."
        )
    given = tensors_of(inputs)
    return Record(
        calls=tuple(recorder.calls),
        module_calls=tuple(recorder.module_calls),
        sources=tuple(recorder.sources),
        modules=tuple(_modules(model)),
        shapes=tuple(recorder.shapes),
        inputs=tuple(recorder.number(t) for t in given),
        outputs=tuple(recorder.number(t) for t in answers),
        batch=given[0].shape[0] if given and given[0].ndim else 1,
        input_shapes=tuple(tuple(t.shape) for t in given),
        functions=tuple(recorder.functions),
        chosen=tuple(outputs),
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run that may have failed.

    Attributes:
        calls: Operators in order, up to the failure.
        shapes: Shape of each value.
        error: What the forward raised, None when it ended.
        module: Path of the module whose forward raised.
    """

    calls: tuple[Call, ...]
    shapes: tuple[tuple[int, ...], ...]
    error: Exception | None
    module: str


def attempt(model: nn.Module, inputs: Inputs) -> Attempt:
    """Run a model that may not work yet, and say how far it came."""
    recorder, _, error = _run(model, inputs)
    module = recorder.stack[-1][0] if recorder.stack else ""
    return Attempt(tuple(recorder.calls), tuple(recorder.shapes), error, module)


def _run(model: nn.Module, inputs: Inputs, training: bool = False) -> tuple["_Recorder", Any, Exception | None]:
    recorder = _Recorder(model)
    functions = Functions(recorder.stack, recorder.functions, recorder.number)
    with quiet_forward(model, training), _hooks(model, recorder), recorder, functions:
        try:
            return recorder, call(model, inputs), None
        except Exception as error:  # whatever the model's own code raises
            return recorder, None, error


@contextmanager
def quiet_forward(model: nn.Module, training: bool = False) -> Generator[None]:
    """Eval mode, no gradients, attention as plain products; everything as before afterwards.

    In training mode nothing is dropped at random, and buffers (running statistics) are put back too.
    """
    modes: dict[nn.Module, bool] = {m: m.training for m in model.modules()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(cast("AbstractContextManager[Any]", sdpa_kernel(SDPBackend.MATH)))
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            model.train(training)
            if training:
                stack.enter_context(_same_buffers(model))
                stack.enter_context(_NothingDropped())
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for module, flag in modes.items():
                module.training = flag


@contextmanager
def _same_buffers(model: nn.Module) -> Generator[None]:
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, values in kept:
            buffer.copy_(values)


class _NothingDropped(TorchDispatchMode):
    """Every draw of what stays (dropout, stochastic depth) keeps all of it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.bernoulli_.float:
            return args[0].fill_(1.0)
        if func is torch.ops.aten.native_dropout.default:
            return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
        return func(*args, **(kwargs or {}))


class _Recorder(TorchDispatchMode):
    """Numbers every tensor that it meets and notes every operator."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.functions: list[FunctionCall] = []
        self.module_calls: list[ModuleCall] = []
        self.shapes: list[tuple[int, ...]] = []
        self.sources: list[Source] = []
        self.stack: list[Frame] = []
        self._numbers: Any = WeakIdKeyDictionary()
        self._note_sources(model)

    def number(self, tensor: torch.Tensor) -> int:
        """The number of a tensor, a new one if it was not met yet."""
        found = self._numbers.get(tensor)
        if found is None:
            found = len(self.shapes)
            self._numbers[tensor] = found
            self.shapes.append(tuple(tensor.shape))
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        bound = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
        bound.update(zip((a.name for a in func._schema.arguments), args, strict=False))
        bound.update(kwargs)
        # Tensors are numbered before the call: an in-place one may change their shapes.
        arguments = {name: tree_map(self._plain, value) for name, value in bound.items()}
        result = func(*args, **kwargs)
        outputs = tensors_of(result)
        counted = flop_registry.get(func.overloadpacket)
        flops = int(counted(*args, **kwargs, out_val=result)) if counted is not None else 0
        self.calls.append(
            Call(
                op=str(func.overloadpacket),
                arguments=arguments,
                outputs=tuple(self.number(t) for t in outputs),
                module=self.stack[-1][0] if self.stack else "",
                pointwise=torch.Tag.pointwise in func.tags,
                flops=flops,
            )
        )
        return result

    def enter(self, path: str, inputs: Any) -> None:
        """A module's forward begins."""
        self.stack.append((path, tuple(self.number(t) for t in tensors_of(inputs)), len(self.calls), Counter()))

    def leave(self, outputs: Any) -> None:
        """A module's forward ends."""
        path, inputs, first, _ = self.stack.pop()
        ended = ModuleCall(path, inputs, tuple(self.number(t) for t in tensors_of(outputs)), first, len(self.calls))
        self.module_calls.append(ended)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return Ref(self.number(value))
        return value if isinstance(value, (int, float, bool, str, type(None))) else str(value)

    def _note_sources(self, model: nn.Module) -> None:
        names: dict[int, list[str]] = {}
        found: dict[int, tuple[torch.Tensor, bool]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if torch.nn.parameter.is_lazy(parameter):
                raise AnalysisError(
                    "analysis.lazy", "{name} has no shape yet. Run the model once on real data before.", name=name
                )
            names.setdefault(id(parameter), []).append(name)
            found[id(parameter)] = (parameter, True)
        for name, buffer in model.named_buffers(remove_duplicate=False):
            names.setdefault(id(buffer), []).append(name)
            found[id(buffer)] = (buffer, False)
        for key, (tensor, is_parameter) in found.items():
            first, *aliases = names[key]
            owner = first.rpartition(".")[0]
            self.sources.append(
                Source(
                    first, tuple(aliases), owner, self.number(tensor), tuple(tensor.shape), is_parameter,
                    tensor.is_floating_point(),
                )
            )  # fmt: skip


@contextmanager
def _hooks(model: nn.Module, recorder: _Recorder) -> Generator[None]:
    handles: list[RemovableHandle] = []
    for path, module in modules_of(model).items():
        handles.append(module.register_forward_pre_hook(_entering(recorder, path), with_kwargs=True))
        handles.append(module.register_forward_hook(_leaving(recorder)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entering(recorder: _Recorder, path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recorder.enter(path, (args, kwargs))

    return hook


def _leaving(recorder: _Recorder) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def hook(_module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
        recorder.leave(result)

    return hook


def _modules(model: nn.Module) -> Iterator[tuple[str, str, str, bool]]:
    for path, module in modules_of(model).items():
        steps = isinstance(module, (nn.Sequential, nn.ModuleList))
        yield path, type(module).__name__, _detail(module), steps


def _detail(module: nn.Module) -> str:
    kernel: Any = getattr(module, "kernel_size", None)
    stride: Any = getattr(module, "stride", (1,))
    if not _is_tuple(kernel):
        return ""
    size = "x".join(map(str, kernel))
    return f"{size}, stride {stride[0]}" if _is_tuple(stride) and any(s != 1 for s in stride) else size


def _is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)[-8:])
