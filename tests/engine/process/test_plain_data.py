"""What crosses between window and engine comes back as it was, and anything else is one error and never code."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from secateur.engine.errors import Message, WireError
from secateur.engine.messages import said
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.process import plain_data
from secateur.engine.process.messages import Begin, Call, Request, call
from secateur.engine.process.plain_data import ARRAY, NAMES, decode, encode
from secateur.engine.session.states import PlanIntent
from secateur.engine.structures.analysis import Mask

ARRAYS = [
    np.arange(12, dtype=np.int32).reshape(3, 4),
    np.arange(12, dtype=">i8").reshape(3, 4).T,
    np.array([True, False]),
    np.array(2.5),
    np.arange(5000),
    np.arange(5000, dtype=np.uint16)[::-1].reshape(50, 100),
    np.cumsum(np.full(2000, 70_000)).astype(np.int64),
    np.tile(np.array([0, 2**63 - 1, -(2**63), 7]), 500),
    np.tile(np.array([0, 2**64 - 1], np.uint64), 500),
    np.arange(5000, dtype=">i4"),
    np.zeros((0, 3), np.float32),
    np.array([np.nan, -np.inf], np.float64)[::-1],
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_an_array_comes_back_with_its_type_and_shape_and_may_be_written(array: NDArray[Any]) -> None:
    data = bytearray(encode(array))
    again = decode(data, NDArray[Any])
    data[:] = bytes(len(data))  # what comes back is not a part of the message
    assert again.dtype == array.dtype.newbyteorder("=") and again.shape == array.shape
    np.testing.assert_array_equal(again, array)
    assert again.flags.writeable


def test_a_plan_comes_back_with_its_enumerations_tuples_and_messages() -> None:
    plan = PlanIntent("l1", locked={"a.0": [1, 2]}, goal=Goal((Limit(Cost.MACS, 0.5),)), lose=float("inf"))
    again = decode(encode(plan), PlanIntent)
    assert again == plan and again.lose == plan.lose  # two plans are equal whatever loss they allow
    message = Message("a.b", "{x} and {y}", {"x": Message("c.d", "{n:,}", {"n": 1234}), "y": None})
    assert decode(encode(message), Message) == message and str(decode(encode(message), Message)) == "1,234 and None"
    assert decode(encode(Path("/a b")), Path) == Path("/a b")


def test_what_a_message_only_shows_may_be_anything() -> None:
    message = Message("a.b", "{path} {size} {n}", {"path": Path("x"), "size": (1, 2), "n": np.int64(3)})
    assert str(decode(encode(said(message)), Message)) == str(message) == "x (1, 2) 3"


@dataclass(frozen=True)
class Named:
    """Fields of all kinds."""

    path: Path
    text: str
    files: tuple[str, ...]
    mask: Mask
    scores: dict[str, NDArray[np.float64]]
    goal: Goal
    by_number: dict[int, Path | None]
    told: Message
    share: float = 1.0


ODD = [os.fsdecode(b"h\xe9me"), "\ud800\udc00", "h\\udce9me", "\\ \n\0", "\ud83d", "héme \N{GRINNING FACE}"]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_name_of_a_file_that_is_no_text_comes_back_as_it_was(name: str) -> None:
    odd = f"{ODD[0]}/{name}"
    goal, told = Goal((Limit(Cost.MACS, 0.5),)), Message("a.b", "{x}", {"x": Message("c.d", odd)})
    sent = Named(Path(odd), name, (name, odd), np.array([True]), {odd: np.ones(2)}, goal, {3: Path(odd), 4: None}, told)
    assert repr(decode(encode(sent), Named)) == repr(sent)
    for value, kind in ((odd, str), (Path(odd), Path), ({odd: [name, b"\xff", 1]}, Any), ([odd], tuple[str, ...])):
        again = decode(encode(value), kind)
        assert again == (tuple(value) if isinstance(value, list) else value)


def test_what_is_sent_with_such_a_name_is_read_by_its_type_all_the_same() -> None:
    odd = ODD[0]
    with pytest.raises(WireError, match="do not understand each other"):
        decode(encode({"a": odd}), dict[str, int])
    with pytest.raises(WireError, match="an array of int64 where one of bool"):
        decode(encode([odd, np.arange(3)]), tuple[str, Mask])
    asked = decode(encode(call(7, f"no {odd}", (odd, np.ones(2), ["plain"]))), Request)
    assert isinstance(asked, Call) and asked.method == f"no {odd}"
    first, second, third = asked.arguments
    assert (decode(first, str), decode(second, Any).tolist(), decode(third, Any)) == (odd, [1.0, 1.0], ["plain"])
    assert encode(Begin("/home")) == msgspec.msgpack.encode(Begin("/home"))  # nothing is added to any other


@pytest.mark.parametrize(
    "value",
    [lambda: None, object(), np.array([None]), {1, object()}, 1 << 70],
    ids=["function", "object", "array of objects", "set of objects", "number above 64 bits"],
)
def test_what_is_no_plain_data_is_not_sent(value: object) -> None:
    with pytest.raises((TypeError, OverflowError)):
        encode(value)


def test_indices_of_a_large_model_are_short_on_the_way() -> None:
    assert len(encode(np.arange(100_000))) < 101_000
    assert len(encode(np.arange(0, 100_000 * 300, 300, dtype=np.int64))) < 201_000
    noise = np.random.default_rng(0).integers(-(2**62), 2**62, 1000)
    assert len(encode(noise)) < 8100


def test_steps_that_would_fill_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_data, "ROOM", 1 << 20)
    sent = [np.zeros(1 << 14, np.int64)] * 8
    assert len(decode(encode(sent), list[NDArray[Any]])) == 8
    with pytest.raises(WireError, match="more than a gigabyte"):
        decode(encode([*sent, np.zeros(1)]), list[NDArray[Any]])


@pytest.mark.parametrize(("name", "how"), [("<f8", "i1"), ("<i8", "f4"), ("<i8", "i8"), (">i8", "i1"), ("|b1", "i1")])
def test_steps_of_another_type_are_refused(name: str, how: str) -> None:
    head = msgspec.msgpack.encode((name, (8,), how))
    data = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, bytes((len(head),)) + head + bytes(64)))
    with pytest.raises(WireError):
        decode(data, NDArray[Any])


def test_an_array_of_another_type_is_refused() -> None:
    with pytest.raises(WireError, match="an array of int64 where one of bool"):
        decode(encode(np.arange(3)), Mask)


def extension(head: Any, body: bytes, code: int = ARRAY) -> bytes:
    packed = msgspec.msgpack.encode(head)
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(code, bytes([len(packed)]) + packed + body))


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("code ran",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        pickle.dumps(Trap()),
        extension(("<i4", (1 << 60,), ""), b"abcd"),
        extension(("<i4", (-1, 1), ""), b"abcd"),
        extension(("|O", (1,), ""), pickle.dumps(Trap())),
        extension(("<i4,O", (1,), ""), b"abcd"),
        extension(("no such", (1,), ""), b"abcd"),
        extension(("<i4", [1] * 100, ""), b"abcd"),
        extension("<i4", b"abcd"),
        extension(("<i4", (1,), ""), b"abcd", 7),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(ARRAY, b"")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(NAMES, b"")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(NAMES, b"\xc1")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(NAMES, b"\xc7\x01\x03\xff")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(NAMES, b"\x91" * 100_000)),
        bytes((0xC9,)),
        msgspec.msgpack.encode({"shape": [1]}),
    ],
)
def test_bytes_that_are_no_array_are_one_error(data: bytes) -> None:
    with pytest.raises(WireError, match="do not understand each other"):
        decode(data, NDArray[Any])
