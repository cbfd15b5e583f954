"""Lists the ways, other than the example, in which people run a model: a fixed list, tried on both models.

Code may take another way at another batch or size, in another type or layout, while autograd records it, or for another
argument. Which of these a model takes is found by running it; here is what is tried, and what cannot be varied.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.utils._pytree import tree_map_only

from ...errors import Message
from ...messages import Phrase, all_of, listed
from ...model_inputs import MASK, Inputs, batch_size, holds_arrays
from ...tracing.tree import named_tensors, tensors_of
from .input_variants import as_type, noise_like, with_batch

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
    flags = {path for path, one in named_tensors(inputs) if _is_mask(path, one)}
    sequences = {path for path, one in named_tensors(inputs) if one.dim() == (3 if one.is_floating_point() else 2)}
    if flags | sequences:
        padded = _with(_with(inputs, sequences - flags, _end_padded), flags, _end_masked)
        yield Variation(Message("vary.padded", "padding at the end"), padded)
    if flags:
        yield Variation(Message("vary.unmasked", "nothing masked"), _with(inputs, flags, torch.ones_like))
    yield Variation(Message("vary.gradient", "gradients recorded"), inputs, gradient=True)
    if any(one.is_floating_point() or one.is_complex() for one in tensors_of(inputs)):
        half = tree_map_only(torch.Tensor, lambda one: as_type(one, torch.bfloat16), inputs)
        yield Variation(Message("vary.half", "bfloat16"), half, dtype=torch.bfloat16)
    else:
        yield Variation(Message("vary.half", "bfloat16"), inputs, dtype=torch.bfloat16)
    for rank, layout in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        images = {path for path, one in named_tensors(inputs) if one.dim() == rank and one.is_floating_point()}
        if images:
            laid_out = _with(inputs, images, lambda one, layout=layout: one.contiguous(memory_format=layout))
            yield Variation(Message("vary.channels_last", "channels last"), laid_out)
    strided = {path for path, one in named_tensors(inputs) if one.dim() > 1}
    if strided:
        yield Variation(
            Message("vary.strided", "inputs that are not contiguous"), _with(inputs, strided, _transposed_in_memory)
        )
    if seeds:
        yield Variation(Message("vary.seed", "another random seed"), inputs, seed=1)
    yield from _other_arguments(inputs, forward)


def longer_inputs(inputs: Inputs, compared_sizes: Collection[int] = ()) -> Iterator[Variation]:
    """Inputs longer than the next power of two, and than tables of weights that the code compares their size with."""
    elements = sum(tensor.numel() for tensor in tensors_of(inputs))
    alone = len(tensors_of(inputs)) == 1
    for size, places in _axes(inputs).items():
        beyond = (1 << max(size - 1, 1).bit_length()) + 1
        tables = sorted(one + 1 for one in compared_sizes if one + 1 > size)[:TABLES]
        for longer in sorted({beyond, *tables}):
            made = sum(
                one.numel() * longer ** (times := sum(p == path for p, _ in places)) // max(size, 1) ** times
                for path, one in named_tensors(inputs)
            )
            if made <= max(elements, 1) * LARGER:
                yield Variation(_size_name(longer, places, alone), resized(inputs, places, longer), resized=True)


def unvaried_arguments(inputs: Inputs, forward: Callable[..., Any]) -> list[str]:
    """Names of optional inputs that were left out, and of arguments that have no other value to try."""
    named = _bound(inputs, forward)
    if named is None:
        return []
    given, left_out = named
    fixed = [name for name, value in given.items() if not holds_arrays(value) and _other_value(value) is None]
    return fixed + [name for name, parameter in left_out.items() if _other_default(parameter, inputs) is None]


def resized(inputs: Inputs, places: frozenset[InputDimension], size: int) -> Inputs:
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


def _axes(inputs: Inputs) -> dict[int, frozenset[InputDimension]]:
    """By size, the dimensions behind the batch that have it and are changed together; no channels of images."""
    found: dict[int, set[InputDimension]] = {}
    for path, tensor in named_tensors(inputs):
        image = tensor.dim() > 3 and tensor.is_floating_point()
        for dim, size in enumerate(tensor.shape):
            if dim > (1 if image else 0):
                found.setdefault(size, set()).add((path, dim))
    return {size: frozenset(places) for size, places in found.items()}


def _size_name(size: int, places: frozenset[InputDimension], alone: bool) -> Message:
    words: dict[str, Any] = {"size": size, "dimension": all_of(map(str, sorted({dim for _, dim in places})))}
    if alone:
        return Message("vary.size", "size {size} in dimension {dimension}", words)
    words["inputs"] = listed(sorted({path for path, _ in places}))
    return Message("vary.size_of", "size {size} in dimension {dimension} of {inputs}", words)


def _with(inputs: Inputs, paths: Collection[str], change: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
    ids = {id(tensor) for path, tensor in named_tensors(inputs) if path in paths}
    return tree_map_only(torch.Tensor, lambda one: change(one) if id(one) in ids else one, inputs)


def _is_mask(path: str, tensor: torch.Tensor) -> bool:
    if tensor.is_floating_point() or tensor.is_complex() or not tensor.dim():
        return False
    return (
        tensor.dtype is torch.bool or path == MASK or (tensor.dim() > 1 and bool(((tensor == 0) | (tensor == 1)).all()))
    )


def _end_masked(mask: torch.Tensor) -> torch.Tensor:
    made = torch.ones_like(mask)
    made[..., mask.shape[-1] - mask.shape[-1] // 3 :] = 0
    return made


def _end_padded(sequences: torch.Tensor) -> torch.Tensor:
    """Sequences [N, T] or [N, T, ...] with zeros in the last third, at one step at least."""
    made = sequences.clone()
    made[:, sequences.shape[1] - max(1, sequences.shape[1] // 3) :] = 0
    return made


def _transposed_in_memory(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.transpose(0, -1).contiguous().transpose(0, -1)


def _other_arguments(inputs: Inputs, forward: Callable[..., Any]) -> Iterator[Variation]:
    """Each argument of the forward that is no tensor changed in kind, and each optional tensor left out."""
    named = _bound(inputs, forward)
    if named is None:
        return
    given, left_out = named
    optional = {name for name, one in inspect.signature(forward).parameters.items() if one.default is None}
    others = {name: other for name, value in given.items() if (other := _other_value(value)) is not None}
    others |= {name: None for name, value in given.items() if holds_arrays(value) and name in optional}
    others |= {name: other for name, one in left_out.items() if (other := _other_default(one, inputs)) is not None}
    for name, other in others.items():
        value = "ones" if isinstance(other, torch.Tensor) else str(other)
        words = {"name": name, "value": value}
        yield Variation(Message("vary.argument", "{name}={value}", words), {**given, name: other}, argument=True)


def _bound(inputs: Inputs, forward: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, inspect.Parameter]] | None:
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
