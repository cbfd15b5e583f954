"""What crosses between window and engine, as bytes and back: msgpack, read by declared types, never code.

A dataclass is the map of its fields, an enumeration its value, a path its text; arrays of numbers are one extension
type with type and shape before them. Long ones of whole numbers that rise slowly, as indices do, are sent as the steps
from each to the next, in as few bytes as hold them: a slow connection packs those well. Who reads says which type is
there; anything else is refused with one error.
"""

import functools
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import WireError

ARRAY = 1
"""Extension type of arrays of numbers."""
NAMES, TEXT, ENCODED = 2, 3, 4
"""Extension types of a message with text that is no UTF-8 and, in it, of such text and of what was encoded before."""
BYTES = (bytes, memoryview)
"""What stays bytes among builtins."""
NUMBERS = "biufc"
"""Kinds of dtypes that an array may have: all of them are plain bytes."""
LONG = 4096
"""Bytes of an array from which on it may be sent as steps."""
STEPS = {"": 0, "i1": 1, "i2": 2, "i4": 4}
"""Type that steps are sent in, "" for an array that is sent as it is -> bytes of one."""
ROOM = 1 << 30
"""Bytes that the arrays of one message may have here: steps are shorter on the way."""
DAMAGED = (msgspec.MsgspecError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What decoding raises at anything but what was declared."""


def encode(value: Any) -> bytes:
    """The bytes of a value; raises TypeError or OverflowError for what is no plain data."""
    try:
        try:
            return _ENCODER.encode(value)
        except UnicodeEncodeError:
            # A file's name that is no UTF-8.
            builtins = msgspec.to_builtins(value, builtin_types=BYTES, enc_hook=_encode_odd)
            return _ENCODER.encode(msgspec.msgpack.Ext(NAMES, _INSIDE_ENCODER.encode(_encodable(builtins))))
    except RecursionError as error:
        raise TypeError("it is nested too deeply") from error


def decode(data: bytes | bytearray | msgspec.Raw, kind: Any) -> Any:
    """A value of a declared kind; raises `WireError` for any other bytes."""
    _unpacked.left = ROOM
    try:
        head = memoryview(data)[:6]
        at = _CODE_AT.get(head[0], 6) if head else 6
        if at < len(head) and head[at] == NAMES:
            builtins = _INSIDE.decode(_EXTENSION.decode(data).data)
            return msgspec.convert(builtins, kind, builtin_types=BYTES, dec_hook=_convert)
        return _decoder(kind).decode(data)
    except DAMAGED as error:
        raise not_understood(str(error) or type(error).__name__) from error


def not_understood(reason: str) -> WireError:
    """The one error for whatever comes that does not fit."""
    template = (
        "The window and the engine do not understand each other: {reason}. Use the same version of Secateur for both."
    )
    return WireError("engine.wire", template, reason=reason.splitlines()[0].rstrip(".")[:500])


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        given = cast("NDArray[Any]", value)
        array = np.ascontiguousarray(given).reshape(given.shape)
        if array.dtype.kind not in NUMBERS:
            raise TypeError(f"an array of {array.dtype} is no plain data")
        how, sent = _as_steps(array)
        head = msgspec.msgpack.encode((array.dtype.str, array.shape, how))
        return msgspec.msgpack.Ext(
            ARRAY, b"".join((bytes((len(head),)), head, sent.data.cast("B") if array.size else b""))
        )
    if isinstance(value, np.generic):
        return cast("np.generic[Any]", value).item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    raise TypeError(f"a value of type {type(value).__name__} is no plain data: {str(value)[:100]}")


def _as_steps(array: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """(type of the steps, steps) of an array of whole numbers where they are shorter; else ("", the array)."""
    size = array.dtype.itemsize
    if array.dtype.kind not in "iu" or array.nbytes < LONG or size == 1 or not array.dtype.isnative:
        return "", array
    flat = array.reshape(-1).view(f"i{size}")
    # It wraps around, and so does the sum.
    steps = np.diff(flat, prepend=flat.dtype.type(0))
    low, high = int(steps.min()), int(steps.max())
    for how, length in STEPS.items():
        if 0 < length < size and np.iinfo(how).min <= low and high <= np.iinfo(how).max:
            return how, steps.astype(how)
    return "", array


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)


# Names of files are bytes; those that are no UTF-8 are text with lone surrogates, which msgpack does not take.
# A message with such text is an extension around the rest, in which that text is an extension, too.


class _OddText:
    """Text that is no UTF-8; unlike an extension it may be a key."""

    def __init__(self, data: bytes) -> None:
        self.extension = msgspec.msgpack.Ext(TEXT, data)


_INSIDE_ENCODER = msgspec.msgpack.Encoder(enc_hook=lambda odd: odd.extension)


def _encode_odd(value: Any) -> Any:
    """As `_plain`; what is no builtin becomes the bytes that it is encoded to."""
    plain = msgspec.msgpack.Ext(ENCODED, bytes(value)) if isinstance(value, msgspec.Raw) else _plain(value)
    return memoryview(_ENCODER.encode(plain)) if isinstance(plain, msgspec.msgpack.Ext) else plain


def _encodable(value: Any) -> Any:
    """Builtins with an extension in place of text that is no UTF-8."""
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return value if data.decode("utf-8", "replace") == value else _OddText(data)
    if isinstance(value, memoryview):
        return msgspec.Raw(bytes(cast("memoryview[Any]", value)))
    if isinstance(value, dict):
        return {_encodable(key): _encodable(one) for key, one in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_encodable(one) for one in cast("list[Any]", value)]
    return value


_CODE_AT = {0xC7: 2, 0xC8: 3, 0xC9: 5, **dict.fromkeys(range(0xD4, 0xD9), 1)}
"""First byte of an extension of msgpack -> position of its code."""


@functools.lru_cache(maxsize=256)
def _decoder(kind: Any) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(kind, ext_hook=_array, dec_hook=_convert)


def _array(code: int, data: memoryview) -> NDArray[Any]:
    """An array that owns its memory."""
    if code != ARRAY or not len(data):
        raise ValueError(f"unknown extension {code}")
    start = 1 + data[0]
    name, shape, how = msgspec.msgpack.decode(data[1:start], type=tuple[str, tuple[int, ...], str])
    dtype = np.dtype(name)
    if dtype.kind not in NUMBERS or dtype.names is not None or dtype.subdtype is not None:
        raise ValueError(f"an array of {name[:50]}")
    if any(size < 0 for size in shape):
        raise ValueError("an array of negative size")
    _unpacked.left -= math.prod(shape) * dtype.itemsize
    if _unpacked.left < 0:
        raise ValueError("arrays of more than a gigabyte")
    if not how:
        return np.frombuffer(data[start:], dtype).reshape(shape).astype(dtype.newbyteorder("="))
    if how not in STEPS or dtype.kind not in "iu" or not dtype.isnative:
        raise ValueError(f"an array of {name[:50]} in steps of {how[:50]}")
    steps = np.frombuffer(data[start:], how).reshape(shape)
    return np.cumsum(steps, dtype=f"i{dtype.itemsize}").view(dtype).reshape(shape)


_unpacked = threading.local()


def _decode_odd(code: int, data: memoryview) -> Any:
    if code == TEXT:
        return str(data, "utf-8", "surrogatepass")
    return msgspec.Raw(bytes(data)) if code == ENCODED else _array(code, data)


_EXTENSION = msgspec.msgpack.Decoder(msgspec.msgpack.Ext)
_INSIDE = msgspec.msgpack.Decoder(ext_hook=_decode_odd)


def _convert(kind: Any, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    if get_origin(kind) is np.ndarray and isinstance(value, np.ndarray):
        array, wanted = cast("NDArray[Any]", value), get_args(get_args(kind)[1])[0]
        if wanted is Any or np.issubdtype(array.dtype, wanted):
            return array
        raise ValueError(f"an array of {array.dtype} where one of {wanted.__name__} belongs")
    raise ValueError(f"a value of type {type(value).__name__} where one of {getattr(kind, '__name__', kind)} belongs")
