"""A batch taken apart into batches of one sample, for what a gradient of the whole batch cannot tell.

What has as many rows as the batch has samples is cut into rows: tensors on their first dimension, and lists of things
that are no batches themselves (texts, targets of a detector). A batch in which nothing can be cut is one sample.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from ..inputs import Inputs, batch_size


def samples_of(batch: Any, inputs: Inputs) -> Iterator[Any]:
    """Batches of one sample.

    Args:
        batch: As the task gives it.
        inputs: The model's inputs in it; they say how many samples it has.
    """
    given = list(inputs.values() if isinstance(inputs, Mapping) else inputs)
    listed = given and isinstance(given[0], list)
    count = len(cast("list[Any]", given[0])) if listed else batch_size(inputs)
    if count < 2 or not _has_rows(batch, count):
        yield batch
        return
    for number in range(count):
        yield _rows(batch, count, lambda value, n=number: value[n : n + 1])


def _rows(value: Any, count: int, cut: Callable[[Any], Any]) -> Any:
    if _is_rows(value, count):
        return cut(value)
    kind = cast("Any", type(value))
    if isinstance(value, Mapping):
        named = {key: _rows(part, count, cut) for key, part in cast("Mapping[Any, Any]", value).items()}
        return named if kind is dict else kind(named)
    if isinstance(value, list | tuple):
        parts = [_rows(part, count, cut) for part in cast("list[Any]", value)]
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    return value


def _has_rows(value: Any, count: int) -> bool:
    return _is_rows(value, count) or any(_has_rows(part, count) for part in _parts(value))


def _is_rows(value: Any, count: int) -> bool:
    if hasattr(value, "__array__"):
        return bool(value.ndim) and value.shape[0] == count
    if isinstance(value, list | tuple):
        parts = cast("list[Any]", value)
        return len(parts) == count and not any(_has_rows(part, count) for part in parts)
    return False


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(cast("Mapping[Any, Any]", value).values())
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []
