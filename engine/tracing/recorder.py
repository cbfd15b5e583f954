"""Make a `Record`: run the model once, in eval mode, under a mode that sees every operator beneath autograd.

A large model runs for its shapes only, without weights (`shapes.py`); a small one, and one whose flow depends on
values, runs for real. Either way it is a twin that runs, so that the model is left as it was.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeGuard, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry
from torch.utils.hooks import RemovableHandle

from ..collecting import uncollected
from ..errors import AnalysisError
from . import flops, shapes
from .failure import failure, refuse
from .functions import Frame, Functions
from .quiet import quiet_forward
from .reading import Inputs, answers_of, call, modules_of, named_tensors, outline, tensors_of
from .record import Call, FunctionCall, ModuleCall, Record, Ref, Source, refs_in
from .twin import isolated as isolated_twin
from .twin import stand_in
from .twin import weightless as weightless_twin

SMALL = 1_000_000
"""Elements of parameters and inputs up to which a model runs for real: that takes a few milliseconds."""


@uncollected()
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
    refuse(model)
    run = _first_run(model, inputs, training)
    recorder, error = run.recorder, run.error
    if error is not None:
        raise failure(error, model, inputs) from error
    answers = answers_of(run.result, outputs)
    if outputs and not answers:
        raise AnalysisError(
            "analysis.outputs",
            "The model has no output {wanted}. It has {names}.",
            wanted=", ".join(outputs),
            names=", ".join(name or "one tensor" for name, _ in named_tensors(run.result)) or "none",
        )
    if not answers:
        raise AnalysisError(
            "analysis.no_output", "The model's forward returned no tensor, so there is nothing to keep."
        )
    given = tensors_of(run.inputs)
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
        weightless=run.weightless,
        dtypes=tuple(recorder.dtypes),
        ends=tuple(recorder.ends),
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run that may have failed.

    Attributes:
        calls: Operators in order, up to the failure.
        shapes: Shape of each value.
        error: What the forward raised, None when it ended.
        module: Path of the module whose forward raised.
        functions: Calls with numbers in them.
        weights: Values of parameters and buffers.
    """

    calls: tuple[Call, ...]
    shapes: tuple[tuple[int, ...], ...]
    error: Exception | None
    module: str
    functions: tuple[FunctionCall, ...]
    weights: tuple[int, ...]


@uncollected()
def attempt(model: nn.Module, inputs: Inputs, weightless: bool = False) -> Attempt:
    """Run a model that may not work yet, and say how far it came.

    Args:
        model: Any module; one without weights where the run is weightless.
        inputs: Example inputs.
        weightless: Run for the shapes only.
    """
    own = model if weightless else _isolated(model)
    run = _run(own, inputs, weightless=weightless, briefly=True)
    recorder = run.recorder
    calls, functions = tuple(recorder.calls), tuple(recorder.functions)
    weights = tuple(s.value for s in recorder.sources)
    return Attempt(calls, tuple(recorder.shapes), run.error, recorder.raised, functions, weights)


@dataclass(frozen=True, slots=True)
class _Run:
    recorder: "_Recorder"
    inputs: Inputs
    result: Any
    error: Exception | None
    weightless: bool


def _first_run(model: nn.Module, inputs: Inputs, training: bool) -> _Run:
    """Without weights where the model is large, for real where it is small or that does not work."""
    parameters = list(model.parameters())
    size = sum(0 if is_lazy(p) else p.numel() for p in parameters) + sum(t.numel() for t in tensors_of(inputs))
    on_meta = any(p.is_meta for p in parameters)
    if size > SMALL or on_meta:
        blank = _twin_if_possible(weightless_twin, model)
        run = None if blank is None else _run(blank, inputs, training, weightless=True)
        if run is not None and (run.error is None or on_meta):
            return run
    return _run(_isolated(model), inputs, training)


def _isolated(model: nn.Module) -> nn.Module:
    twin = _twin_if_possible(isolated_twin, model)
    return model if twin is None else twin


def _twin_if_possible(make: Callable[[nn.Module], nn.Module], model: nn.Module) -> nn.Module | None:
    try:
        return make(model)
    except Exception:  # whatever a module's own copying raises
        return None


def _run(
    model: nn.Module, inputs: Inputs, training: bool = False, weightless: bool = False, briefly: bool = False
) -> _Run:
    """One run; the inputs are copied, as a forward may change them. A brief one notes no flops."""
    given: Inputs = tree_map_only(torch.Tensor, stand_in if weightless else torch.clone, inputs)
    recorder = _Recorder(model, shapes.run if weightless else _for_real, counting=not briefly)
    functions = Functions(recorder.stack, recorder.functions, recorder.number)
    with quiet_forward(model, training), _hooks(model, recorder), recorder, functions:
        try:
            return _Run(recorder, given, call(model, given), None, weightless)
        except Exception as error:  # whatever the model's own code raises
            return _Run(recorder, given, None, error, weightless)


def _for_real(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class _Operator:
    """What is known of an operator before it is called: name, argument names, defaults, tag, formula of its flops."""

    name: str
    overload: str
    arguments: tuple[str, ...]
    defaults: Mapping[str, Any]
    pointwise: bool
    flops: Callable[..., Any] | None


@cache
def _operator(func: Any) -> _Operator:
    arguments = func._schema.arguments
    return _Operator(
        str(func.overloadpacket),
        func._overloadname,
        tuple(a.name for a in arguments),
        {a.name: _literal(a.default_value) for a in arguments if a.has_default_value()},
        torch.Tag.pointwise in func.tags,
        flops.FORMULAS.get(str(func.overloadpacket)) or flop_registry.get(func.overloadpacket),
    )


class _Recorder(TorchDispatchMode):
    """Numbers every tensor that it meets and notes every operator."""

    def __init__(self, model: nn.Module, execute: Callable[[Any, Any, Any], Any], counting: bool) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.functions: list[FunctionCall] = []
        self.module_calls: list[ModuleCall] = []
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[str] = []
        self.ends: list[int] = []
        self.sources: list[Source] = []
        self.stack: list[Frame] = []
        self.raised = ""
        self._execute = execute
        self._counting = counting
        self._numbers: dict[int, int] = {}
        self._watched: list[weakref.ref[torch.Tensor]] = []
        self._note_sources(model)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be compiled anyway: torch would import its compiler on the first operator, which takes seconds."""
        return False

    def number(self, tensor: torch.Tensor) -> int:
        """The number of a tensor, a new one if it was not met yet or has other axes since (`squeeze_`)."""
        key = id(tensor)
        found = self._numbers.get(key)
        if found is None or self.shapes[found] != tuple(tensor.shape):
            found = self._numbers[key] = len(self.shapes)
            self.shapes.append(tuple(tensor.shape))
            self.dtypes.append(str(tensor.dtype).removeprefix("torch."))
            self.ends.append(-1)
            self._watched.append(weakref.ref(tensor, lambda _: self._freed(key, found)))
        return found

    def _freed(self, key: int, number: int) -> None:
        """A tensor is gone; another one may get its id."""
        self._numbers.pop(key, None)
        self.ends[number] = len(self.calls)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.raised = ""
        known = _operator(func)
        # Tensors are numbered before the call: an in-place one may change their shapes.
        arguments = dict(known.defaults)
        for name, value in (*zip(known.arguments, args, strict=False), *kwargs.items()):
            arguments[name] = self._plain(value)
        if known.name == "aten.lift_fresh":
            arguments["constant"] = _constant(args[0])
        if known.name in ("aten.as_strided", "aten.as_strided_"):
            arguments["strides"] = list(args[0].stride())  # what the new ones mean depends on those before
        result = self._execute(func, args, kwargs)
        outputs = tensors_of(result)
        counted = int(known.flops(*args, **kwargs, out_val=result)) if self._counting and known.flops is not None else 0
        module = self.stack[-1][0] if self.stack else ""
        numbers = tuple(self.number(t) for t in outputs)
        reads = tuple(refs_in(list(arguments.values())))
        self.calls.append(Call(known.name, arguments, numbers, module, known.pointwise, counted, reads, known.overload))
        return result

    def enter(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module's forward begins."""
        given = ((place, self.number(t)) for part in (args, kwargs) for place, t in named_tensors(part))
        self.stack.append((path, tuple(given), len(self.calls), Counter()))

    def leave(self, outputs: Any) -> None:
        """A module's forward ends, or has raised (then it gives None); its parent may go on without it."""
        path, given, first, _ = self.stack.pop()
        if outputs is None:
            self.raised = self.raised or path
        results = tuple(self.number(t) for t in tensors_of(outputs))
        result = outline(outputs, lambda t: Ref(self.number(t)))
        places, inputs = tuple(place for place, _ in given), tuple(value for _, value in given)
        self.module_calls.append(ModuleCall(path, inputs, results, first, len(self.calls), places, result))

    def _plain(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return Ref(self.number(value))
        if isinstance(value, (list, tuple)):
            return [self._plain(one) for one in cast("Sequence[Any]", value)]
        return _literal(value)

    def _note_sources(self, model: nn.Module) -> None:
        names: dict[int, list[str]] = {}
        found: dict[int, tuple[torch.Tensor, bool]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if is_lazy(parameter):
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
                    tensor.is_floating_point() or tensor.is_complex(),
                )
            )  # fmt: skip


@contextmanager
def _hooks(model: nn.Module, recorder: _Recorder) -> Generator[None]:
    handles: list[RemovableHandle] = []
    for path, module in modules_of(model).items():
        handles.append(module.register_forward_pre_hook(_entering(recorder, path), with_kwargs=True))
        handles.append(module.register_forward_hook(_leaving(recorder), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entering(recorder: _Recorder, path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        recorder.enter(path, args, kwargs)

    return hook


def _leaving(recorder: _Recorder) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def hook(_module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
        recorder.leave(result)

    return hook


def _modules(model: nn.Module) -> Iterator[tuple[str, str, str, bool]]:
    for path, module in modules_of(model).items():
        steps = isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
        yield path, type(module).__name__, _detail(module), steps


def _detail(module: nn.Module) -> str:
    kernel: Any = getattr(module, "kernel_size", None)
    stride: Any = getattr(module, "stride", (1,))
    if not _is_tuple(kernel):
        return ""
    size = "x".join(map(str, kernel))
    return f"{size}, stride {stride[0]}" if _is_tuple(stride) and any(s != 1 for s in stride) else size


def _literal(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_literal(one) for one in cast("Sequence[Any]", value)]
    return value if isinstance(value, (int, float, bool, str, type(None))) else str(value)


def _constant(tensor: torch.Tensor) -> tuple[float, ...]:
    """The numbers of a tensor that a forward makes of literals, a few of them; of a long one their sum."""
    numbers = tensor.detach().flatten()
    if tensor.is_complex() or tensor.is_meta:
        return ()
    return tuple(float(n) for n in (numbers if len(numbers) <= 16 else numbers.double().sum()[None]))


def _is_tuple(value: Any) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)
