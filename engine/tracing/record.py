"""The record of a run as plain data: operators with shapes and literals, and the module calls around them.

`recorder.py` makes it from a live model; everything after it works on these dataclasses and needs no torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor value of the run, by number. In-place operators give the number of the tensor they change."""

    value: int


@dataclass(frozen=True, slots=True)
class OperatorCall:
    """One operator call.

    Attributes:
        op: Operator without overload ("aten.convolution").
        arguments: Every argument of the schema by name, defaults included; tensors are `Ref`s (also inside lists).
            Of a tensor made of literals (`lift_fresh`) its numbers too, as "constant".
        outputs: Value numbers of the tensor results, in order.
        module: Path of the innermost module whose forward was running.
        pointwise: The operator carries torch's `pointwise` tag.
        flops: Floating point operations as `torch.utils.flop_counter` counts them or `flops.py`, 0 for the rest.
        reads: Value numbers of all tensor arguments.
        overload: Which of the operator's signatures it was ("Tensor").
    """

    op: str
    arguments: Mapping[str, Any]
    outputs: tuple[int, ...]
    module: str
    pointwise: bool
    flops: int
    reads: tuple[int, ...]
    overload: str = "default"

    def refs(self) -> Iterator[int]:
        """Value numbers of all tensor arguments."""
        return iter(self.reads)


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a module's forward.

    Attributes:
        path: Path of the module.
        inputs: Values of the tensors that it was given.
        outputs: Values of the tensors that it returned.
        first: First operator call inside.
        last: Behind the last one.
        places: Where each input stood: "0" (by position), "mask" (by name), "positions.1" (the second in a tuple).
        result: What it returned, as `tree.outline` puts it, each tensor a `Ref`.
    """

    path: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    first: int
    last: int
    places: tuple[str, ...] = ()
    result: Any = None


LiteralArgument: TypeAlias = tuple[str, int | float, int]
"""A number among the arguments of a function: where it stands, its value, and the dimension that it bounds (or -1)."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a torch function that a module's own forward made with numbers among its arguments.

    Attributes:
        module: Path of the module.
        function: Name ("reshape").
        site: Where in the code (`runtime.load_pruned.call_site`).
        number: It was the module's k-th call from there.
        given: The numbers, as the code gave them; attention that was given no scale has the default one.
        input: Value of the first argument, -1 where that is no tensor.
        outputs: Values of the results.
    """

    module: str
    function: str
    site: str
    number: int
    given: tuple[LiteralArgument, ...]
    input: int
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PassedConstant:
    """A constant that a module's own forward hands to a torch function together with other tensors.

    Attributes:
        module: Path of the module.
        site: Where in the code (`runtime.load_pruned.call_site`).
        number: It was the module's k-th call from there.
        where: Place among the arguments ("1", "0.2", "other").
        value: The constant.
        first: First operator call inside.
        last: Behind the last one.
    """

    module: str
    site: str
    number: int
    where: str
    value: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ParameterSource:
    """A parameter or buffer: canonical name, tied names, owner and what it is."""

    name: str
    aliases: tuple[str, ...]
    module: str
    value: int
    shape: tuple[int, ...]
    parameter: bool
    floating: bool


@dataclass(frozen=True, slots=True)
class RecordedOutput:
    """A tensor, or an array, that the model returned.

    Attributes:
        path: Where it stands in what the forward returned ("logits", "boxes.1"), "" for a tensor alone.
        shape: Its shape, batch first.
        preserved: A cut must not change it; else it may become narrower.
    """

    path: str
    shape: tuple[int, ...]
    preserved: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One run.

    Attributes:
        calls: Operators in order.
        module_calls: Module calls in order of their end.
        sources: Parameters and buffers in state-dict order.
        modules: (path, class name, detail, is a list of steps) in definition order, root first.
        shapes: Shape of each value, at its creation.
        inputs: Values of the tensor inputs.
        outputs: Values of the outputs that are preserved.
        batch: Size of the inputs' first dimension.
        input_shapes: Shapes of the inputs.
        functions: Calls with numbers in them, which a repair may replace.
        chosen: Paths of the outputs that count, () for the default.
        weightless: The run knew shapes only (`shapes.py`).
        dtypes: Type of each value's elements ("float32").
        ends: How many calls had been made when each value's tensor was freed, -1 where it outlived the run.
        returned: All outputs, with whether they are preserved.
        exposed: Values that the forward handed on to NumPy, Python lists and the like: what becomes of them is not
            seen.
        constants: Values that depend on no input, parameter, buffer or random number: what the code makes of numbers,
            plain tensors of modules, globals.
        handed: Where these meet other tensors.
        compared_sizes: Sizes of parameters and buffers that code of the model reads which compares something.
        replaced: (value of a source, value that the forward has put in its place): `self.mean = 0.9 * self.mean + ...`.
    """

    calls: tuple[OperatorCall, ...]
    module_calls: tuple[ModuleCall, ...]
    sources: tuple[ParameterSource, ...]
    modules: tuple[tuple[str, str, str, bool], ...]
    shapes: tuple[tuple[int, ...], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    batch: int
    input_shapes: tuple[tuple[int, ...], ...]
    functions: tuple[FunctionCall, ...] = ()
    chosen: tuple[str, ...] = ()
    weightless: bool = False
    dtypes: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()
    returned: tuple[RecordedOutput, ...] = ()
    exposed: tuple[int, ...] = ()
    constants: frozenset[int] = frozenset()
    handed: tuple[PassedConstant, ...] = ()
    compared_sizes: frozenset[int] = frozenset()
    replaced: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SavedTensors:
    """What holds memory in a run, were all floating parameters trained.

    Attributes:
        owners: For each value the value with which its memory was made: itself, or what it is a view of.
        saved: (call, value): memory, by its owner, that the call's gradient needs. The same may occur repeatedly.
        copies: (call, value): copies that the call's gradient needs, made of a value before it is changed in place.
    """

    owners: tuple[int, ...]
    saved: tuple[tuple[int, int], ...]
    copies: tuple[tuple[int, int], ...]
