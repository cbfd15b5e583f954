"""Frozen dataclasses to JSON and back, for everything that the session writes: log, recipe, command-line output.

JSON has no number for what is not finite, so such floats become the strings "nan", "inf" and "-inf", which come back as
floats where a float is expected.
"""

import math
from typing import Any, TypeVar, cast

import msgspec

from .file_limits import is_deep

Read = TypeVar("Read")


def to_plain(value: Any) -> Any:
    """Dataclasses, enums and tuples as dicts, strings and lists that any JSON writer takes."""
    return _writable(msgspec.to_builtins(value, enc_hook=_number))


def to_json(value: Any, indent: int = 0) -> bytes:
    """UTF-8 JSON without a final newline; one line unless `indent` is given."""
    data = msgspec.json.encode(to_plain(value))
    return msgspec.json.format(data, indent=indent) if indent else data


def from_json(data: bytes | str, kind: type[Read]) -> Read:
    """Read a value back; raises msgspec.DecodeError for bad JSON and msgspec.ValidationError for a wrong shape."""
    return from_plain(decoded(data), kind)


def decoded(data: bytes | str) -> Any:
    """JSON as plain lists, dicts and values; raises msgspec.DecodeError, also for what is nested too deeply."""
    try:
        found: Any = msgspec.json.decode(data)
    except RecursionError as error:
        raise msgspec.DecodeError("JSON is nested too deeply") from error
    if is_deep(found):
        raise msgspec.DecodeError("JSON is nested too deeply")
    return found


def from_plain(value: Any, kind: type[Read]) -> Read:
    """Build a value of a kind from what JSON gave; raises msgspec.ValidationError."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except (RecursionError, OverflowError) as error:
        raise msgspec.ValidationError(f"A value is too deep or too large: {error}") from error


def _number(value: Any) -> Any:
    """Numpy scalars, which user metrics are made of."""
    if hasattr(value, "item"):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")


def _writable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    # A name of a file may hold bytes that are no UTF-8; JSON cannot.
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_writable(key): _writable(one) for key, one in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_writable(one) for one in cast("list[Any]", value)]
    return value
