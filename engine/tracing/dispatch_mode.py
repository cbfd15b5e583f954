"""Records what runs: every operator beneath autograd, and the literal numbers that a forward passes to torch functions.

Operators are seen by a dispatch mode, with the tensors that they read and give. The numbers of the code itself
(`x.reshape(-1, 64)`) are gone by then, so a function mode reads them above autograd, with their place in the code.
"""

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import (
    TorchFunctionMode,
    _get_current_function_mode,  # pyright: ignore[reportPrivateUsage]
    _pop_mode,  # pyright: ignore[reportPrivateUsage]
    _push_mode,  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]
)

from ..errors import AnalysisError
from ..runtime.load_pruned import WATCHED, call_site, numbers
from . import shapes
from .attribute_reads import compares_numbers
from .operator_mode import OperatorMode
from .record import FunctionCall, LiteralArgument, ModuleCall, OperatorCall, ParameterSource, PassedConstant, Ref
from .schema import ATOMS, literal, operator
from .tree import modules_of, named_tensors, outline, tensors_of

Frame: TypeAlias = tuple[str, tuple[str, ...], tuple[int, ...], int, dict[str, int]]
"""A module whose forward runs: path, inputs' places and values, first call inside, calls so far from each site."""
STORES = ("_parameters", "_buffers")
EINSUM = cast("FunctionType", torch.functional.einsum).__code__
EINSUM_FRAMES = 3
"""How far above an operator's dispatch `einsum` is looked for."""


class OperatorRecorder(OperatorMode):
    """Numbers every tensor that it meets and notes every operator."""

    def __init__(self, weightless: bool, briefly: bool) -> None:
        """Take whether the model will run for its shapes only; a brief run counts no flops and notes no modules."""
        super().__init__()
        self.calls: list[OperatorCall] = []
        self.functions: list[FunctionCall] = []
        self.exposed: list[int] = []
        self.module_calls: list[ModuleCall] = []
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[str] = []
        self.ends: list[int] = []
        self.sources: list[ParameterSource] = []
        self.stack: list[Frame] = []
        self.raised = ""
        self.constants: set[int] = set()
        self.handed: list[PassedConstant] = []
        self.inputs: frozenset[int] = frozenset()
        self._execute = shapes.run if weightless else None
        self._briefly = briefly
        self._numbers: dict[int, int] = {}
        self._met: list[weakref.ref[torch.Tensor]] = []
        self.weights: tuple[int, ...] = ()
        self.replaced: list[tuple[int, int]] = []
        self.compared_sizes: set[int] = set()

    def number(self, tensor: torch.Tensor) -> int:
        """The number of a tensor, a new one if it was not met yet or has other axes since (`squeeze_`)."""
        key = id(tensor)
        found = self._numbers.get(key)
        if found is not None and self.shapes[found] == tensor.shape:
            return found
        number = self._numbers[key] = len(self.shapes)
        self.shapes.append(tuple(tensor.shape))
        self.dtypes.append(str(tensor.dtype).removeprefix("torch."))
        self.ends.append(-1)

        def freed(_: object) -> None:
            self._numbers.pop(key, None)  # another tensor may get the id
            self.ends[number] = len(self.calls)

        # Not the tensor itself: a reference to it makes torch take other ways (it cannot reuse the memory).
        self._met.append(weakref.ref(tensor, freed))
        return number

    def is_constant(self, tensor: torch.Tensor) -> bool:
        """It depends on no input, parameter, buffer or random number; a tensor that no operator made is a constant."""
        found = self._numbers.get(id(tensor))
        return id(tensor) not in self.inputs if found is None else found in self.constants

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.raised = ""
        known = operator(func)
        # Tensors are numbered before the call: an in-place one may change their shapes.
        arguments, reads = dict(known.defaults), list[int]()
        for name, value in (*zip(known.arguments, args, strict=False), *kwargs.items()):
            arguments[name] = value if type(value) in ATOMS else self._plain(value, reads)
        if known.name == "aten.lift_fresh":
            # A tensor that the forward makes of literals: a few of its numbers are kept, of a long one their sum.
            literals = args[0].detach().flatten()
            if literals.is_complex() or literals.is_meta:
                arguments["constant"] = ()
            else:
                literals = literals if len(literals) <= 16 else literals.double().sum()[None]
                arguments["constant"] = tuple(float(number) for number in literals)
        if known.name in ("aten.as_strided", "aten.as_strided_"):
            # What the new strides and sizes mean depends on those before.
            arguments["strides"], arguments["sizes"] = list(args[0].stride()), list(args[0].shape)
        if known.name == "aten.bmm" and _is_in_einsum():
            arguments["einsum"] = True
        # No operator has made these and nobody has handed them in: plain tensors of modules, globals.
        new = [] if self._briefly else [t for t in tensors_of((args, kwargs)) if self.is_constant(t)]
        self.constants.update([self.number(t) for t in new])
        result = func(*args, **kwargs) if self._execute is None else self._execute(func, args, kwargs)
        if isinstance(result, torch.Tensor):
            numbers: tuple[int, ...] = (self.number(result),)
        else:
            numbers = tuple([self.number(t) for t in tensors_of(result)])
        if not known.random and self.constants.issuperset(reads):
            self.constants.update(numbers)
        else:
            self.constants.difference_update(numbers)
        count = None if self._briefly else known.flops
        flops = 0 if count is None else int(count(*args, **kwargs, out_val=result))
        module = self.stack[-1][0] if self.stack else ""
        self.calls.append(
            OperatorCall(known.name, arguments, numbers, module, known.pointwise, flops, tuple(reads), known.overload)
        )
        return result

    def is_source(self, tensor: torch.Tensor) -> bool:
        """It is one of the parameters and buffers that `note_sources` numbered, before all else."""
        return self._numbers.get(id(tensor), len(self.sources)) < len(self.sources)

    def enter(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module's forward begins."""
        if self._briefly:
            places, inputs = (), ()
        elif len(args) == 1 and not kwargs and isinstance(args[0], torch.Tensor):
            places, inputs = ("0",), (self.number(args[0]),)
        else:
            given = [(place, self.number(t)) for part in (args, kwargs) if part for place, t in named_tensors(part)]
            places, inputs = tuple([place for place, _ in given]), tuple([value for _, value in given])
        self.stack.append((path, places, inputs, len(self.calls), {}))

    def leave(self, outputs: Any) -> None:
        """A module's forward ends, or has raised (then it gives None); its parent may go on without it."""
        path, places, inputs, first, _ = self.stack.pop()
        if outputs is None:
            self.raised = self.raised or path
        if self._briefly:
            return
        if isinstance(outputs, torch.Tensor):
            number = self.number(outputs)
            results, result = (number,), Ref(number)
        else:
            results = tuple(self.number(t) for t in tensors_of(outputs))
            result = outline(outputs, lambda t: Ref(self.number(t)))
        self.module_calls.append(ModuleCall(path, inputs, results, first, len(self.calls), places, result))

    def note_replaced(self, model: nn.Module) -> None:
        """Note what the forward has put in the places of parameters and buffers."""
        modules = modules_of(model)
        for source in self.sources:
            tensor = getattr(modules.get(source.module), source.name.rpartition(".")[2], None)
            if isinstance(tensor, torch.Tensor) and (value := self.number(tensor)) != source.value:
                self.replaced.append((source.value, value))

    def _plain(self, value: Any, reads: list[int]) -> Any:
        if isinstance(value, torch.Tensor):
            number = self.number(value)
            reads.append(number)
            return Ref(number)
        if isinstance(value, (list, tuple)):
            parts = cast("list[Any]", value)
            return [one if type(one) in ATOMS else self._plain(one, reads) for one in parts]
        return literal(value)

    def weigh(self, model: nn.Module) -> None:
        """Number the parameters and buffers of the model that will run."""
        modules = modules_of(model).values()
        held = [vars(module)[store].values() for store in STORES for module in modules]
        self.weights = tuple([self.number(t) for tensors in held for t in tensors if t is not None])

    def note_sources(self, model: nn.Module) -> None:
        """Number them and note what each is.

        Raises:
            AnalysisError: One has no shape yet.
        """
        names: dict[int, list[str]] = {}
        found: dict[int, tuple[torch.Tensor, bool]] = {}
        modules = list(cast("Iterable[tuple[str, nn.Module]]", model.named_modules(remove_duplicate=False)))
        for store in STORES:
            for path, module in modules:
                for own, tensor in vars(module)[store].items():
                    if tensor is None:
                        continue
                    name = f"{path}.{own}" if path else own
                    if is_lazy(tensor):
                        raise AnalysisError(
                            "analysis.lazy",
                            "{name} has no shape yet. Run the model once on real data first.",
                            name=name,
                        )
                    names.setdefault(id(tensor), []).append(name)
                    found[id(tensor)] = (tensor, store == STORES[0])
        for key, (tensor, is_parameter) in found.items():
            first, *aliases = names[key]
            self.sources.append(
                ParameterSource(
                    first, tuple(aliases), first.rpartition(".")[0], self.number(tensor), tuple(tensor.shape),
                    is_parameter, tensor.is_floating_point() or tensor.is_complex(),
                )
            )  # fmt: skip


def _is_in_einsum() -> bool:
    """The operator at hand is part of `torch.einsum`, which calls others where a size is one."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    for _ in range(EINSUM_FRAMES):
        if frame.f_code is EINSUM:
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False


LAYERS = frozenset(
    (
        nn.Linear, nn.Identity, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Dropout, nn.Dropout2d, nn.ReLU,
        nn.ReLU6, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.MaxPool2d, nn.AvgPool2d,
        nn.AdaptiveAvgPool2d,
    )
)  # fmt: skip
CONVOLUTIONS = frozenset((nn.Conv1d, nn.Conv2d, nn.Conv3d))
EXPOSING = frozenset(("numpy", "__array__", "tolist", "__dlpack__"))
"""Functions that hand the values of a tensor to code which works without torch."""


def has_no_literals(module: nn.Module) -> bool:
    """A layer of torch that hands no number to torch which a cut could change: there is nothing to watch."""
    own = vars(module)
    if own["_forward_hooks"] or own["_forward_pre_hooks"]:
        return False
    return type(module) in LAYERS or (type(module) in CONVOLUTIONS and own["groups"] == 1)


class FunctionRecorder(TorchFunctionMode):
    """Notes the calls of functions with numbers among their arguments that each module's own forward makes."""

    def __init__(self, recorder: OperatorRecorder, constants: bool) -> None:
        """Take the recorder of the operators, and whether constants that meet other tensors are recorded too."""
        super().__init__()
        self._recorder = recorder
        self._constants = constants

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, recorder = getattr(func, "__name__", ""), self._recorder
        if name in EXPOSING and isinstance(args[0], torch.Tensor):
            recorder.exposed.append(recorder.number(args[0]))
        if not recorder.stack:
            return func(*args, **kwargs)
        caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        # Constants count where they meet other tensors; a number alone (dim 0) has no axis that a cut could change.
        tensors = [one for one in _tensors(args, kwargs) if one[1].dim()] if self._constants else []
        handed = [one for one in tensors if recorder.is_constant(one[1])]
        if handed and len(handed) < len(tensors):
            first = len(recorder.calls)
            values = [(where, recorder.number(tensor)) for where, tensor in handed]
            recorder.constants.update(value for _, value in values)
            result = func(*args, **kwargs)
            site = call_site(name, caller)
            given = tuple(_given(name, args, kwargs)) if name in WATCHED else ()
            number = self._note(name, site, args, given, tuple(recorder.number(t) for t in tensors_of(result)))
            module, last = recorder.stack[-1][0], len(recorder.calls)
            recorder.handed += [PassedConstant(module, site, number, where, v, first, last) for where, v in values]
            return result
        if name not in WATCHED:
            result = func(*args, **kwargs)
            sized = type(result) is torch.Size or name in ("size", "__len__")
            # Code that compares something may compare this size (a table that is made anew when it is too short).
            if sized and recorder.is_source(args[0]) and compares_numbers(caller.f_code):
                sizes: Any = result if type(result) is torch.Size else (result,)
                recorder.compared_sizes.update(sizes)
            return result
        given = tuple(_given(name, args, kwargs))
        outputs: tuple[int, ...] = ()
        try:
            result = func(*args, **kwargs)
            outputs = tuple(recorder.number(t) for t in tensors_of(result)) if given else ()
        finally:  # a call that raises is noted too: it may be what has to be repaired
            if given:
                self._note(name, call_site(name, caller), args, given, outputs)
        return result

    def around(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which then runs unwatched, as that costs more than what most layers do."""

        def alone(*args: Any, **kwargs: Any) -> Any:
            if _get_current_function_mode() is not self:  # somebody else watches too
                return run(*args, **kwargs)
            _pop_mode()
            try:
                return run(*args, **kwargs)
            finally:
                _push_mode(self)

        return alone

    def _note(
        self, name: str, site: str, args: tuple[Any, ...], given: tuple[LiteralArgument, ...], outputs: Any
    ) -> int:
        module, *_, counts = self._recorder.stack[-1]
        first = self._recorder.number(args[0]) if args and isinstance(args[0], torch.Tensor) else -1
        number = counts.get(site, 0)
        counts[site] = number + 1
        if given:
            self._recorder.functions.append(FunctionCall(module, name, site, number, given, first, outputs))
        return number


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors among arguments, and in lists among these."""
    for where, value in (*enumerate(args), *kwargs.items()):
        if isinstance(value, torch.Tensor):
            yield str(where), value
        elif isinstance(value, (list, tuple)):
            parts = enumerate(cast("tuple[Any, ...]", value))
            yield from ((f"{where}.{n}", one) for n, one in parts if isinstance(one, torch.Tensor))


def _given(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[LiteralArgument]:
    if name in ("__getitem__", "__setitem__"):
        yield from _bounds(args[0], args[1])
        return
    for where, value in numbers(args, kwargs):
        yield where, value, -1
    if name == "scaled_dot_product_attention" and kwargs.get("scale") is None:
        yield "scale", float(args[0].shape[-1] ** -0.5) if args else 0.0, -1  # what torch takes where none is given


def _bounds(tensor: torch.Tensor, index: Any) -> Iterator[LiteralArgument]:
    """Bounds of the slices in x[index], each with the dimension of x; so in x[index] = values."""
    many = isinstance(index, tuple)
    parts = cast("tuple[Any, ...]", index) if many else (index,)
    taken: list[int] = []
    for one in parts:
        if isinstance(one, torch.Tensor) and one.dtype is torch.bool:
            taken.append(one.ndim)  # a mask takes as many dimensions of the tensor as it has
        else:
            taken.append(0 if one is None or one is Ellipsis or isinstance(one, bool) else 1)
    dim = 0
    for number, one in enumerate(parts):
        if isinstance(one, slice):
            for bound, value in numbers((one,), {}):
                if bound.endswith("start") and one.step not in (None, 1):
                    continue  # which one of each run it is, however many runs there are
                yield f"1.{number}{bound[1:]}" if many else f"1{bound[1:]}", value, dim
        dim += tensor.ndim - sum(taken) if one is Ellipsis else taken[number]
