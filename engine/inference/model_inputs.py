"""What a model is given, by position or by name: how it is called, at another batch size, in a file. Loads no torch."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Inputs: TypeAlias = tuple[Any, ...] | Mapping[str, Any]
"""Inputs of a model: positional as a tuple, or by name as a mapping."""


MASK = "attention_mask"
"""Name by which models of text take which tokens are there, and which only fill up."""


def inputs_of(given: Any) -> Inputs:
    """What a user calls inputs: a mapping of names, a list or tuple of positional ones, or one alone."""
    if isinstance(given, Mapping):
        return dict(cast("Mapping[str, Any]", given))
    return tuple(cast("list[Any]", given)) if isinstance(given, list | tuple) else (given,)


def call(model: Callable[..., Any], inputs: Inputs) -> Any:
    """Call a model, or what stands for one, with its inputs."""
    return model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)


def filled(inputs: Inputs) -> Any | None:
    """[N, T] flags of the tokens that are text and no padding, by the attention mask; None where every token counts.

    That is so without a mask or padding, and where N = T: values [N, T, ...] and [T, N, ...] could not be told apart.
    """
    mask = inputs.get(MASK) if isinstance(inputs, Mapping) else None
    present = None if mask is None or mask.ndim != 2 or mask.shape[0] == mask.shape[1] else mask != 0
    return None if present is None or present.all() or not present.any() else present


def token_count(inputs: Inputs) -> int:
    """Tokens in a batch, padding aside: values of its first tensor [N, T] of integers; 0 where it has none."""
    given = ((one.shape, str(one.dtype)) for _, one in named_arrays(inputs) if one.ndim == 2)
    shape = next((shape for shape, kind in given if "int" in kind), None)
    if shape is None:
        return 0
    present = filled(inputs)
    return shape[0] * shape[1] if present is None or tuple(present.shape) != tuple(shape) else int(present.sum())


def rows_of(present: Any, sizes: tuple[int, ...]) -> Any | None:
    """[N T] flags of the rows of values of sizes (N, T) or (T, N), in their order; None where they are of others."""
    if sizes == tuple(present.shape):
        return present.flatten()
    return present.T.flatten() if sizes == tuple(present.T.shape) else None


def named_arrays(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, array) for all arrays or tensors in nested tuples, lists and mappings: "0", "mask", "boxes.1"."""
    if hasattr(value, "__array__"):
        yield path, value
        return
    for key, part in parts(value):
        yield from named_arrays(part, f"{path}.{key}" if path else str(key))


def holds_arrays(value: Any) -> bool:
    """Whether an array or tensor is in a nested value."""
    return any(True for _ in named_arrays(value))


def with_arrays(inputs: Inputs) -> Inputs:
    """The inputs that hold an array or tensor. The others (numbers, flags, None) become part of an exported file."""
    if isinstance(inputs, Mapping):
        return {name: one for name, one in inputs.items() if holds_arrays(one)}
    return tuple(one for one in inputs if holds_arrays(one))


def alike(given: Any, inputs: Inputs) -> bool:
    """Whether all of these inputs are among the tensors that a call was `given`, wherever either lies."""
    there = [one for _, one in named_arrays(given)]
    return all(any(_same(a, b) for a in there) for _, b in named_arrays(inputs))


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b) or a.shape != b.shape:
        return False
    b = b.to(a) if hasattr(b, "to") else b  # an array lies where it is
    return bool(((a == b) | ((a != a) & (b != b))).all())  # what is no number is the same as itself


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same nested value with every array or tensor in it changed."""
    if hasattr(value, "__array__"):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(part, change) for key, part in parts(value)}
    if isinstance(value, list | tuple):
        changed = [mapped(part, change) for _, part in parts(value)]
        return tuple(changed) if isinstance(value, tuple) else changed
    return value


def as_array(one: Any) -> NDArray[Any]:
    """An array or tensor as an array; of bfloat16, which numpy does not know, as float32."""
    return np.asarray(one.detach().cpu().float() if _is_bfloat16(one) else one)


def _is_bfloat16(one: Any) -> bool:
    return str(getattr(one, "dtype", "")) == "torch.bfloat16"


def batch_size(inputs: Inputs) -> int:
    """Size of the first dimension of the first array or tensor that has one; 1 where none has."""
    return next((one.shape[0] for _, one in named_arrays(inputs) if one.ndim), 1)


def few(inputs: Inputs, count: int) -> Inputs:
    """The first `count` samples; what does not have the batch as its first dimension stays."""
    given = batch_size(inputs)
    return mapped(inputs, lambda one: one[:count] if one.ndim and one.shape[0] == given else one)


def at_batch(inputs: Inputs, batch: int) -> Inputs:
    """Arrays or tensors [N, ...] repeated or cut to [batch, ...]; those without the batch dimension stay."""
    given = batch_size(inputs)
    rows = np.arange(batch) % max(given, 1)
    return mapped(inputs, lambda one: one[rows] if one.ndim and one.shape[0] == given else one)


def at_size(inputs: Inputs, size: tuple[int, ...]) -> Inputs:
    """Arrays or tensors [N, ..., *size], repeated or cut in their last dimensions; those with fewer ones stay."""

    def change(one: Any) -> Any:
        if not size or one.ndim <= len(size):
            return one
        for place, wanted in enumerate(size, one.ndim - len(size)):
            one = one[(slice(None),) * place + (np.arange(wanted) % one.shape[place],)]
        return one

    return mapped(inputs, change)


def write(file: Path | BinaryIO, value: Any) -> None:
    """Write nested tuples, lists and mappings of arrays, tensors and plain values as one .npz, names included.

    Raises:
        TypeError: The value holds something that is neither.
    """
    arrays: list[NDArray[Any]] = []
    layout = json.dumps(_laid_out(value, arrays))
    numbered: dict[str, Any] = {str(number): one for number, one in enumerate(arrays)}
    np.savez(file, layout=np.array(layout), **numbered)


def read(file: str | Path | BinaryIO) -> Any:
    """What `write` wrote, tensors as arrays but for those in bfloat16; nothing is unpickled."""
    with np.load(file, allow_pickle=False) as content:
        return _made(json.loads(str(content["layout"])), content)


def parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """(key or place, part) of a mapping, list or tuple, in order; nothing of other values."""
    if isinstance(value, Mapping):
        yield from cast("Mapping[Any, Any]", value).items()
    elif isinstance(value, list | tuple):
        yield from enumerate(cast("list[Any]", value))


def _laid_out(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """The value as JSON holds it, arrays by their number."""
    if hasattr(value, "__array__"):
        arrays.append(np.ascontiguousarray(as_array(value)).reshape(value.shape))
        return {"bfloat16" if _is_bfloat16(value) else "array": len(arrays) - 1}
    if value is None or type(value) in (bool, int, float, str):
        return value
    inner = [(str(key), _laid_out(part, arrays)) for key, part in parts(value)]
    if isinstance(value, Mapping):
        return {"dict": dict(inner)}
    if isinstance(value, list | tuple):
        return {"tuple" if isinstance(value, tuple) else "list": [part for _, part in inner]}
    raise TypeError(f"an input of type {type(value).__name__} cannot be written to a file")


def _made(layout: Any, arrays: Any) -> Any:
    if not isinstance(layout, dict):
        return layout
    ((kind, content),) = cast("dict[str, Any]", layout).items()
    if kind == "array":
        return arrays[str(content)]
    if kind == "bfloat16":
        import torch

        return torch.from_numpy(arrays[str(content)]).to(torch.bfloat16)
    if kind == "dict":
        return {key: _made(part, arrays) for key, part in content.items()}
    made = [_made(part, arrays) for part in content]
    return tuple(made) if kind == "tuple" else made
