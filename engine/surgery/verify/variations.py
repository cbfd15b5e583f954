"""Lists the ways, other than the example, in which people run a model: a fixed list, tried on both models.

Code may take another way at another batch or size, in another type or layout, while autograd records it, or for another
argument. Which of these a model takes is found by running it; here is what is tried (`list_variations`), whether a run
took another way (`operator_sequence`), and what cannot be varied (`unvaried_arguments`, `name_other_methods`).
"""

import inspect
import itertools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ...errors import Message
from ...inference.model_inputs import MASK, Inputs, batch_size, holds_arrays
from ...messages import Phrase, all_of, listed, module_named
from ...runtime.load_pruned import StandIn, own_class
from ...structures.transition import Transition
from ...tracing.attribute_reads import AttributeReads, is_model_code
from ...tracing.record import Ref
from ...tracing.recorder import Attempt
from ...tracing.tree import modules_of, named_tensors, tensors_of
from ..repair.candidates import AxisSizes
from .input_variants import cast_inputs, is_continuous, noise_like, with_batch

CONVERSIONS = frozenset({"aten._to_copy", "aten.clone", "aten.detach", "aten.alias"})
"""Operators that a tensor of another type or layout may need, or no more, without another way through the code."""
PRODUCTS: dict[str, str] = dict.fromkeys(("aten.addmm", "aten.bmm", "aten.baddbmm"), "aten.mm")
"""Of these torch itself chooses one, by the type and layout of the operands."""
OperatorSequence = list[tuple[Any, ...]]
LARGER = 16
"""How many times as many elements as the example an input may have."""
BATCHES = (1, 8)
TABLES = 3
"""How many sizes of tables, the smallest first, a longer input is tried for."""
InputDimension: TypeAlias = tuple[str, int]
"""A dimension of an input: path of the tensor ("0", "input_ids"), number of the dimension."""


@dataclass(frozen=True, slots=True)
class Variation:
    """A way to run a model.

    Attributes:
        name: What is other than in the example, in words.
        inputs: What the model is run on.
        resized: Sizes of tensors are others, so numbers that the code computes from them may be too.
        dtype: Type of all floating tensors, the model's too; None as they are.
        gradient: Autograd records the run.
        seed: Of the random generators.
        argument: An argument has another value than in the example, or one that the example leaves out.
    """

    name: Phrase
    inputs: Inputs
    resized: bool = False
    dtype: torch.dtype | None = None
    gradient: bool = False
    seed: int = 0
    argument: bool = False


def list_variations(
    inputs: Inputs,
    largest: Inputs,
    forward: Callable[..., Any],
    compared_sizes: Collection[int] = (),
    seeds: bool = False,
) -> Iterator[Variation]:
    """The variations of an example; the model may not take all of them.

    Args:
        inputs: The example, perhaps made smaller than it was given.
        largest: The example as it was given, than which inputs are to be longer.
        forward: The model's forward, for its signature.
        compared_sizes: Sizes of weights that the code may compare with the inputs' (`Record.compared_sizes`).
        seeds: The forward draws from generators of Python or NumPy.
    """
    for count in BATCHES:
        if count != batch_size(inputs):
            name = Message("vary.batch", "batch of {count}", {"count": count})
            yield Variation(name, with_batch(inputs, count), resized=True)
    yield from longer_inputs(largest, compared_sizes)
    flags: set[str] = set()
    for path, one in named_tensors(inputs):
        if one.dim() and not is_continuous(one):
            is_binary = one.dim() > 1 and bool(((one == 0) | (one == 1)).all())
            if one.dtype is torch.bool or path == MASK or is_binary:
                flags.add(path)
    sequences = {path for path, one in named_tensors(inputs) if one.dim() == (3 if one.is_floating_point() else 2)}
    if flags | sequences:
        # Zeros in the last third, at one step at least, and a mask that hides it.
        padded = _with(inputs, sequences - flags, lambda one: _with_zeros(one, max(1, one.shape[1] // 3), 1))
        padded = _with(padded, flags, lambda one: _with_zeros(torch.ones_like(one), one.shape[-1] // 3, -1))
        yield Variation(Message("vary.padded", "padding at the end"), padded)
    if flags:
        yield Variation(Message("vary.unmasked", "nothing masked"), _with(inputs, flags, torch.ones_like))
    yield Variation(Message("vary.gradient", "gradients recorded"), inputs, gradient=True)
    yield Variation(Message("vary.half", "bfloat16"), cast_inputs(inputs, torch.bfloat16), dtype=torch.bfloat16)
    for rank, layout in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        images = {path for path, one in named_tensors(inputs) if one.dim() == rank and one.is_floating_point()}
        if images:
            laid_out = _with(inputs, images, lambda one, layout=layout: one.contiguous(memory_format=layout))
            yield Variation(Message("vary.channels_last", "channels last"), laid_out)
    strided = {path for path, one in named_tensors(inputs) if one.dim() > 1}
    if strided:
        laid_out = _with(inputs, strided, lambda one: one.transpose(0, -1).contiguous().transpose(0, -1))
        yield Variation(Message("vary.strided", "inputs that are not contiguous"), laid_out)
    if seeds:
        yield Variation(Message("vary.seed", "another random seed"), inputs, seed=1)
    yield from _other_arguments(inputs, forward)


def _other_arguments(inputs: Inputs, forward: Callable[..., Any]) -> Iterator[Variation]:
    """Each argument of the forward that is no tensor changed in kind, and each optional tensor left out."""
    if (named := _bind_arguments(inputs, forward)) is None:
        return
    given, left_out = named
    optional = {name for name, one in inspect.signature(forward).parameters.items() if one.default is None}
    others = {name: other for name, value in given.items() if (other := _other_value(value)) is not None}
    others |= {name: None for name, value in given.items() if holds_arrays(value) and name in optional}
    others |= {name: other for name, one in left_out.items() if (other := _other_default(one, inputs)) is not None}
    for name, other in others.items():
        words = {"name": name, "value": "ones" if isinstance(other, torch.Tensor) else str(other)}
        yield Variation(Message("vary.argument", "{name}={value}", words), {**given, name: other}, argument=True)


def longer_inputs(inputs: Inputs, compared_sizes: Collection[int] = ()) -> Iterator[Variation]:
    """Inputs longer than the next power of two, and than tables of weights that the code compares their size with."""
    elements = sum(tensor.numel() for tensor in tensors_of(inputs))
    # Dimensions behind the batch that have one size are changed together; no channels of images.
    places_of: dict[int, set[InputDimension]] = {}
    for path, tensor in named_tensors(inputs):
        image = tensor.dim() > 3 and tensor.is_floating_point()
        for dim, size in enumerate(tensor.shape):
            if dim > (1 if image else 0):
                places_of.setdefault(size, set()).add((path, dim))
    for size, places in places_of.items():
        # Tables and caches are mostly as long as a power of two: one more shows what the code does beyond them.
        beyond = (1 << max(size - 1, 1).bit_length()) + 1
        tables = sorted(one + 1 for one in compared_sizes if one + 1 > size)[:TABLES]
        for longer in sorted({beyond, *tables}):
            made = sum(
                one.numel() * longer ** (times := sum(p == path for p, _ in places)) // max(size, 1) ** times
                for path, one in named_tensors(inputs)
            )
            if made > max(elements, 1) * LARGER:
                continue
            words: dict[str, Any] = {"size": longer, "dimension": all_of(map(str, sorted({dim for _, dim in places})))}
            if len(tensors_of(inputs)) == 1:
                name = Message("vary.size", "size {size} in dimension {dimension}", words)
            else:
                words["inputs"] = listed(sorted({path for path, _ in places}))
                name = Message("vary.size_of", "size {size} in dimension {dimension} of {inputs}", words)
            yield Variation(name, resize_inputs(inputs, places, longer), resized=True)


def unvaried_arguments(inputs: Inputs, forward: Callable[..., Any]) -> list[str]:
    """Names of optional inputs that were left out, and of arguments that have no other value to try."""
    named = _bind_arguments(inputs, forward)
    if named is None:
        return []
    given, left_out = named
    fixed = [name for name, value in given.items() if not holds_arrays(value) and _other_value(value) is None]
    return fixed + [name for name, parameter in left_out.items() if _other_default(parameter, inputs) is None]


def resize_inputs(inputs: Inputs, places: Collection[InputDimension], size: int) -> Inputs:
    """Inputs in which some dimensions have another size: what is there is cut or repeated, floats vary in what is new.

    Args:
        inputs: Any inputs.
        places: Dimensions of their tensors.
        size: The new size of all of these.
    """
    generator = torch.Generator().manual_seed(3)
    paths = {id(tensor): path for path, tensor in named_tensors(inputs)}

    def change(one: torch.Tensor) -> torch.Tensor:
        """The tensor with its dimensions cut or repeated."""
        made = one
        for dim in sorted(dim for path, dim in places if path == paths.get(id(one))):
            kept = made.shape[dim]
            made = made.index_select(dim, torch.arange(size, device=one.device) % kept)
            if size > kept and made.is_floating_point():
                new = made.narrow(dim, kept, size - kept)
                new.copy_(noise_like(one, list(new.shape), generator))
        return made

    return tree_map_only(torch.Tensor, change, inputs)


def _with(inputs: Inputs, paths: Collection[str], change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    ids = {id(tensor) for path, tensor in named_tensors(inputs) if path in paths}
    return tree_map_only(torch.Tensor, lambda one: change(one) if id(one) in ids else one, inputs)


def _with_zeros(tensor: torch.Tensor, count: int, dim: int) -> torch.Tensor:
    """A copy with zeros at the end of a dimension."""
    made = tensor.clone()
    made.narrow(dim, tensor.shape[dim] - count, count).zero_()
    return made


def _bind_arguments(
    inputs: Inputs, forward: Callable[..., Any]
) -> tuple[dict[str, Any], dict[str, inspect.Parameter]] | None:
    """Arguments by name, and the parameters that were left out; None where the forward does not name them."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        signature = inspect.signature(forward)
        bound = signature.bind(**inputs) if isinstance(inputs, Mapping) else signature.bind(*inputs)
    except (TypeError, ValueError):
        return None
    if any(signature.parameters[name].kind not in kinds for name in bound.arguments):
        return None
    left_out = {n: one for n, one in signature.parameters.items() if n not in bound.arguments and one.kind in kinds}
    return dict(bound.arguments), left_out


def _other_value(value: Any) -> Any:
    """A flag turned, a number doubled; None for what has no such neighbour."""
    if isinstance(value, bool):
        return not value
    return 2 * value or 1 if isinstance(value, int | float) else None


def _other_default(parameter: inspect.Parameter, inputs: Inputs) -> Any:
    """Another value than the default of a parameter that was left out; None where there is none to try.

    Of an optional flag True, of an optional tensor ones of the shape of the first input of its kind.
    """
    kind = str(parameter.annotation)
    if parameter.default is None and "Tensor" in kind:
        whole = any(word in kind for word in ("Long", "Int", "Bool"))
        alike = [one for one in tensors_of(inputs) if one.is_floating_point() is not whole]
        return torch.ones_like(alike[0]) if alike else None
    return True if parameter.default is None and "bool" in kind else _other_value(parameter.default)


SMALL = 8
"""Numbers below this in code count too many other things."""


def operator_sequence(run: Attempt, resized: bool = False, retyped: bool = False) -> OperatorSequence | None:
    """The operators of a run: which module called them, what they read, their numbers; None where the run raised.

    Args:
        run: What ran.
        resized: Compared with a run at other sizes: numbers may be others.
        retyped: Compared with a run in another type, in which torch chooses other views and products by itself: only
            what computes counts.
    """
    if run.error is not None:
        return None
    found: OperatorSequence = []
    # Values are named by what made them, as runs number those differently of which nothing is made.
    names: dict[int, tuple[int, int]] = {}
    given = itertools.count()
    for one in run.calls:
        reads = tuple(names[v] if v in names else names.setdefault(v, (-1, next(given))) for v in one.reads)
        if one.op in CONVERSIONS:
            names.update(dict.fromkeys(one.outputs, reads[0]) if reads else ())
            continue
        names.update({value: (len(found), place) for place, value in enumerate(one.outputs)})
        if not retyped:
            literals = [value for value in one.arguments.values() if not isinstance(value, Ref)]
            found.append((one.op, one.module, reads, "" if resized else repr(literals)))
            continue
        namespace, _, name = one.op.partition(".")
        operator = getattr(getattr(getattr(torch.ops, namespace), name), one.overload)
        if one.op != "aten._unsafe_view" and not operator.is_view:
            found.append((PRODUCTS.get(one.op, one.op), one.module))
    return found


def name_other_methods(cut_model: nn.Module, transition: Transition, reads: AttributeReads | None) -> list[Phrase]:
    """Methods with attributes or numbers that are a size which was cut and still have the value from before.

    No run of the model shows what a method computes that the forward does not use (`sample` of an autoencoder), and to
    call it on a guess could write files or train the model. So these are found by their code alone, and what is found
    is for the user to look at: a size in it may also be another one.

    Args:
        cut_model: The model after the cut.
        transition: What the cut changed.
        reads: Attributes that the forward read: the repairs have seen to these.
    """
    sizes, found = AxisSizes(transition), list[Phrase]()
    named = set[tuple[type, str]]()
    for path, module in modules_of(cut_model).items():
        kind = own_class(module)
        if isinstance(module, StandIn) or kind.__module__.startswith("torch."):
            continue
        held = sizes.attributes(cut_model, path, every=True)
        unread = [name for name in held if reads is None or not reads.has(path, name)]
        for method, codes in _unused_methods(kind):
            if (kind, method) in named:
                continue
            mentioned = _names(codes)
            attributes = [name for name in unread if mentioned.issuperset(name.split("."))]
            written = [one for code in codes for one in _numbers(code.co_consts)]
            numbers = [str(one) for one in written if one >= SMALL and sizes.changes(path, one)]
            if attributes or numbers:
                named.add((kind, method))
                words = {"kind": kind.__name__, "method": method, "path": module_named(path)}
                words |= {"names": all_of(dict.fromkeys([*attributes, *numbers]))}
                template = "{kind}.{method} of {path}, which the forward does not use (may mean the old size: {names})"
                found.append(Message("verify.other_method", template, words))
    return found


def _unused_methods(kind: type) -> Iterator[tuple[str, list[CodeType]]]:
    """Public methods of a class that its forward reaches by no name, with their code and that of functions in them.

    Of the classes that it inherits from only those of its own file count: what a library gives every model is tested
    with models of any size.
    """
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    methods: dict[str, list[CodeType]] = {}
    for one in kind.__mro__:
        if getattr(sys.modules.get(one.__module__), "__file__", None) != file or one.__module__ != kind.__module__:
            continue
        for name, value in vars(one).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(function, FunctionType) and name not in methods and is_model_code(function.__code__):
                methods[name] = list(_with_inner(function.__code__))
    used, waiting = set[str](), ["forward"]
    while waiting:
        name = waiting.pop()
        if name in methods and name not in used:
            used.add(name)
            waiting += _names(methods[name])
    for name, codes in methods.items():
        if name not in used and not name.startswith(("_", "forward_")):
            yield name, codes


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _with_inner(one)


def _numbers(constants: tuple[Any, ...]) -> Iterator[int]:
    for one in constants:
        if isinstance(one, tuple):
            yield from _numbers(cast("tuple[Any, ...]", one))
        elif type(one) is int:
            yield one


def _names(codes: list[CodeType]) -> set[str]:
    return {name for code in codes for name in code.co_names}
