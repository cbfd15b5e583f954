"""The messages between window and engine: what each is as plain data, and what it is to either end.

What depends on the call (its arguments, its result, what a job makes on the way) travels undecoded inside its message,
and is read by the types that the call declares.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast, get_args, get_type_hints

from msgspec import Raw, Struct

from ..errors import Message, SecateurError
from ..jobs import Progress
from ..messages import said
from .events import Failed, Finished, Progressed, Ready
from .plain_data import DAMAGED, decode, encode, not_understood


class Begin(Struct, tag="begin", frozen=True):
    """Work in a folder."""

    folder: str


class Call(Struct, tag="call", frozen=True):
    """Call a method of the session, with its arguments in their order."""

    number: int
    method: str
    arguments: tuple[Raw, ...]


class Cancel(Struct, tag="cancel", frozen=True):
    """Stop a call."""

    number: int


class Close(Struct, tag="close", frozen=True):
    """It was the last message."""


class Quiet(Struct, tag="quiet", frozen=True):
    """Keep progress back while no window listens, or send it again."""

    on: bool


Request = Begin | Call | Cancel | Close | Quiet


class _Ready(Struct, tag="ready", frozen=True):
    threads: int


class _Tagged(Struct, array_like=True, frozen=True):
    kind: str
    value: Raw


class _Progressed(Struct, tag="progressed", frozen=True):
    call: int
    progress: Progress
    so_far: _Tagged | None
    points: tuple[dict[str, float], ...]
    made: tuple[_Tagged, ...]


class _Finished(Struct, tag="finished", frozen=True):
    call: int
    result: Raw


class _Failed(Struct, tag="failed", frozen=True):
    call: int
    kind: str
    message: Message
    details: str


def call(number: int, method: str, arguments: tuple[Any, ...]) -> Call:
    """A call with any plain data as its arguments; raises TypeError for others."""
    return Call(number, method, tuple(Raw(encode(one)) for one in arguments))


def read_arguments(method: Callable[..., Any], arguments: tuple[Raw, ...]) -> tuple[Any, ...]:
    """The arguments of a call by the types that its method declares; raises `WireError`.

    Args:
        method: Bound, or with its session filled in already.
        arguments: As they came.
    """
    kinds = [kind for name, kind in _parameters(method).items() if name != "token"]
    if len(arguments) > len(kinds):
        raise not_understood(f"{len(arguments)} arguments where {len(kinds)} belong")
    return tuple(decode(one, kind) for one, kind in zip(arguments, kinds, strict=False))


def _parameters(method: Callable[..., Any]) -> dict[str, Any]:
    """Name -> type of what a method takes besides its session."""
    # A partial holds the session already: its function has the types.
    function: Callable[..., Any] = getattr(method, "func", method)
    # Some modules import `Session` for type checkers alone.
    hints = get_type_hints(function, localns={"Session": object})
    return {name: hints.get(name, Any) for name in inspect.signature(method).parameters}


def event_bytes(event: Ready | Progressed | Finished | Failed) -> bytes:
    """An event as the engine sends it; raises TypeError or OverflowError where something in it is no plain data."""
    match event:
        case Ready():
            return encode(_Ready(event.threads))
        case Finished():
            return encode(_Finished(event.call, Raw(encode(event.result))))
        case Failed():
            error = event.error
            return encode(_Failed(event.call, type(error).__name__, said(error.message), error.details))
        case Progressed():
            # What a job makes is of any type: it goes apart, each with the name of its type.
            shown, so_far = event.progress, event.progress.so_far
            text = said(shown.text) if isinstance(shown.text, Message) else shown.text
            bare = dataclasses.replace(shown, text=text, so_far=None, made=None)
            tagged = None if so_far is None else _tag(so_far)
            return encode(_Progressed(event.call, bare, tagged, event.points, tuple(map(_tag, event.made))))


def _tag(value: Any) -> _Tagged:
    return _Tagged(type(value).__name__, Raw(encode(value)))


def read_event(data: bytes | bytearray, result: Callable[[int], Any]) -> Ready | Progressed | Finished | Failed:
    """An event as the window reads it.

    Args:
        data: The message.
        result: Number of a call -> type of its result; raises KeyError for a call that is not under way.

    Raises:
        WireError: It is no message of this version; a result alone that is not what was declared is a `Failed`.
    """
    event: _Ready | _Progressed | _Finished | _Failed = decode(data, _Ready | _Progressed | _Finished | _Failed)
    try:
        match event:
            case _Ready():
                return Ready(event.threads)
            case _Finished():
                return _read_result(event, result(event.call))
            case _Failed():
                return Failed(event.call, _error(event))
            case _Progressed():
                if isinstance(event.progress.text, Message):
                    _check_fields(event.progress.text)
                so_far = None if event.so_far is None else _untag(event.so_far)
                progress = dataclasses.replace(event.progress, so_far=so_far, made=None)
                return Progressed(event.call, progress, event.points, tuple(map(_untag, event.made)))
    except (KeyError, TypeError) as error:
        raise not_understood(f"nothing is known of {error}") from error


def _read_result(event: _Finished, kind: Any) -> Finished | Failed:
    try:
        return Finished(event.call, _decode_checked(event.result, kind))
    except SecateurError as error:
        return Failed(event.call, error)


def _untag(one: _Tagged) -> Any:
    # Imported here: a window starts without the types of results.
    from .answers import ON_THE_WAY

    return _decode_checked(one.value, ON_THE_WAY[one.kind])


def _error(event: _Failed) -> SecateurError:
    """An error of the kind that was raised, where the window knows it; made without its own constructor."""
    kind = _error_kinds().get(event.kind, SecateurError)
    error = kind.__new__(kind)
    message = event.message
    _check_fields(message)
    SecateurError.__init__(error, message.code, message.template, event.details, **message.arguments)
    return error


def _decode_checked(data: Raw, kind: Any) -> Any:
    """A value of a declared type, in which all sentences can be said; raises `WireError`."""
    value = decode(data, kind)
    if _holds_sentences(kind):
        _check_sentences(value)
    return value


def _check_sentences(value: Any) -> None:
    match value:
        case Message():
            _check_fields(value)
        case tuple() | list():
            for one in cast("tuple[Any, ...]", value):
                _check_sentences(one)
        case Mapping():
            for one in cast("Mapping[Any, Any]", value).values():
                _check_sentences(one)
        case _:
            for name in _fields_with_sentences(cast("type[Any]", type(value))):
                _check_sentences(getattr(value, name))


@functools.cache
def _fields_with_sentences(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass that may hold sentences."""
    return tuple(name for name, one in _hints(kind).items() if _holds_sentences(one))


@functools.cache
def _holds_sentences(kind: Any, inside: frozenset[Any] = frozenset()) -> bool:
    """Whether a value of a declared type may hold a sentence; `inside` is what is being looked through already."""
    if kind is Message:
        return True
    if kind in inside:
        return False
    parts = (*get_args(kind), *(_hints(kind).values() if isinstance(kind, type) else ()))
    return any(_holds_sentences(one, inside | {kind}) for one in parts if one.__hash__ is not None)


def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind) if dataclasses.is_dataclass(kind) or issubclass(kind, Struct) else {}


def _check_fields(message: Message) -> None:
    """Raise `WireError` for a sentence that cannot be said: a field is missing, or is none, or is of another type."""
    try:
        message.require_fields()
    except DAMAGED as error:
        raise not_understood(f"a message cannot be filled: {error}") from error


def _error_kinds() -> dict[str, type[SecateurError]]:
    """All kinds of errors that are loaded, by name."""
    found, left = dict[str, type[SecateurError]](), [SecateurError]
    while left:
        kind = left.pop()
        found[kind.__name__] = kind
        left += kind.__subclasses__()
    return found
