"""Messages come back as they were sent; whatever else comes from the other end is a `WireError` and nothing more."""

import io
import os
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.engine.errors import Message, OpenError, SecateurError, WireError
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.process import wire as wire_module
from secateur.engine.process.answers import RESULTS
from secateur.engine.process.events import Event, Failed, Finished, Progressed, Ready
from secateur.engine.process.messages import (
    Begin,
    Call,
    Cancel,
    Close,
    Request,
    call,
    event_bytes,
    read_arguments,
    read_event,
)
from secateur.engine.process.plain_data import decode, encode
from secateur.engine.process.window_session import CALLS
from secateur.engine.process.wire import Wire
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.scoring.protocol import PartialScores, Step
from secateur.engine.session.states import State, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.tasks.protocol import Metric, Split
from secateur.engine.workflows.budget_search import LossLimit, Trial
from secateur.engine.workflows.prune import PruneRequest

STATE = State("s1", "s0", StateKind.CUT, {"a": [1]}, Edits(), "f00", 3, 4, curve=({"step": 1.0, "loss": 2.0},))


def result_of(number: int) -> Any:
    """Calls of each kind are under way."""
    return [*RESULTS.values()][number]


NUMBER = {name: number for number, name in enumerate(RESULTS)}
EVENTS: list[Ready | Progressed | Finished | Failed] = [
    Ready(2),
    Progressed(3, Progress("Cutting", 1, 2, {"loss": 0.5}), ({"step": 1.0},), (STATE, Trial(0.5, "s1"))),
    Progressed(3, Progress(Message("a.b", "Epoch {n}", {"n": 2}), share=0.25)),
    Finished(NUMBER["states"], (STATE, STATE)),
    Finished(NUMBER["evaluate"], Metric("top-1", 0.5, 10, 0.1, Split.VAL)),
    Finished(NUMBER["filters"], None),
    Finished(NUMBER["export_refusals"], {"onnx": Message("a.b", "No.")}),
]


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_an_event_comes_back_as_it_was(event: Any) -> None:
    again = read_event(event_bytes(event), result_of)
    assert repr(again) == repr(event)  # repr: the share of a progress may be NaN


def test_an_analysis_comes_back_whole(tmp_path) -> None:
    import torch
    from torch import nn

    analysis = analyse(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)), (torch.zeros(2, 3, 8, 8),))
    again = read_event(event_bytes(Finished(0, analysis)), lambda _: type(analysis))
    assert isinstance(again, Finished) and repr(again.result) == repr(analysis)
    assert again.result.index.dtype == np.int32 and again.result.activations.saved.dtype == np.int64


def test_scores_so_far_come_back() -> None:
    told = PartialScores(np.array([1.0, np.nan]), 2, 4, Step.LAYERS)
    again = read_event(event_bytes(Progressed(1, Progress("Scoring", so_far=told))), result_of)
    assert isinstance(again, Progressed)
    np.testing.assert_array_equal(again.progress.so_far.scores, told.scores)


@pytest.mark.parametrize("kind", [SecateurError, OpenError, WireError])
def test_an_error_comes_back_as_its_kind(kind: type[SecateurError]) -> None:
    nested = kind("a.b", "{what}: {n:.1f}", "line 3", what=Message("c.d", "Bad {x}", {"x": "y"}), n=0.25)
    again = read_event(event_bytes(Failed(4, nested)), result_of)
    assert isinstance(again, Failed) and type(again.error) is kind
    assert (again.call, str(again.error), again.error.details) == (4, str(nested), "line 3")
    assert again.error.message == nested.message


def test_a_cancel_comes_back_and_an_unknown_kind_is_an_error_all_the_same() -> None:
    class Later(SecateurError):
        """Of a newer version."""

    cancelled = read_event(event_bytes(Failed(4, Cancelled())), result_of)
    assert isinstance(cancelled, Failed) and isinstance(cancelled.error, Cancelled)
    data = event_bytes(Failed(4, Later("a.b", "Sorry"))).replace(b"Later", b"Never")
    unknown = read_event(data, result_of)
    assert isinstance(unknown, Failed) and type(unknown.error) is SecateurError and str(unknown.error) == "Sorry"


@pytest.mark.parametrize("template", ["{missing}", "{x.real}", "{x!z}", "{x:d}", "{", "{}", "{y:d}"])
def test_a_sentence_that_cannot_be_said_is_one_error(template: str) -> None:
    nested = Message("a.b", "{inner}", {"inner": Message("c.d", template, {"x": "1", "y": None})})
    said = {"call": 4, "kind": "OpenError", "message": {"code": "a.b", "template": template, "arguments": {"x": "1"}}}
    for failed in (said, {**said, "message": nested}):
        with pytest.raises(WireError, match="a message cannot be filled"):
            read_event(encode({"type": "failed", "details": "", **failed}), result_of)
    with pytest.raises(WireError, match="a message cannot be filled"):
        read_event(event_bytes(Progressed(3, Progress(nested))), result_of)


@pytest.mark.parametrize("template", ["{missing}", "{x.real}", "{"])
def test_a_result_with_a_sentence_that_cannot_be_said_fails_its_call_alone(template: str) -> None:
    bad = Message("a.b", template, {"x": "1"})
    for name, result in (
        ("export_refusals", {"onnx": Message("a.b", "No."), "pytorch": bad}),
        ("states", (STATE, replace(STATE, repairs=(Message("a.b", "{inner}", {"inner": bad}),)))),
    ):
        answer = read_event(event_bytes(Finished(NUMBER[name], result)), result_of)
        assert isinstance(answer, Failed) and "a message cannot be filled" in str(answer.error)
    with pytest.raises(WireError, match="a message cannot be filled"):
        read_event(event_bytes(Progressed(3, Progress(""), made=(replace(STATE, repairs=(bad,)),))), result_of)


def test_requests_come_back_with_arguments_of_the_declared_types() -> None:
    for one in (Begin("/a"), Cancel(3), Close()):
        assert decode(encode(one), Request) == one
    goal, limit = Goal((Limit(Cost.MACS, 0.5),)), LossLimit(0.01, Cost.MACS)
    settings_ = PruneRequest(goal, "l1", recovery=RecoverySettings(epochs=2))
    asked = decode(encode(call(7, "lowest", ("s0", settings_, limit, np.ones(3)))), Request)
    assert isinstance(asked, Call) and (asked.number, asked.method) == (7, "lowest")
    state, again, lose, scores = read_arguments(_without_session(CALLS["lowest"]), asked.arguments)
    assert (state, again, lose, scores.tolist()) == ("s0", settings_, limit, [1.0, 1.0, 1.0])


def _without_session(function: Any) -> Any:
    from functools import partial

    return partial(function, None)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cut", ("s0", np.ones(3))),  # no mask
        ("open", ({"source": 3},)),
        ("open", (ModelSpec("a"), "yes")),
        ("evaluate", ("s0", "no split")),
        ("states", ("one too many",)),
    ],
)
def test_ill_typed_arguments_are_refused_before_anything_runs(name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(WireError):
        read_arguments(_without_session(CALLS[name]), call(1, name, arguments).arguments)


def test_a_result_of_another_type_fails_its_call_alone() -> None:
    answer = read_event(event_bytes(Finished(NUMBER["cut"], "no state")), result_of)
    assert isinstance(answer, Failed) and isinstance(answer.error, WireError)
    with pytest.raises(WireError):
        read_event(event_bytes(Progressed(3, Progress(""), made=(Split.VAL,))), result_of)  # nobody declared that


# Bytes of a stranger.

NO_UTF_8 = "h\udce9me"
SENT = [event_bytes(event) for event in EVENTS] + [event_bytes(Failed(4, OpenError("a.b", "{x}", x=1)))]
SENT += [event_bytes(Progressed(3, Progress(NO_UTF_8, so_far=STATE), made=(STATE,)))]
ASKED = [
    encode(one) for one in (Begin("/a"), Begin(NO_UTF_8), call(1, "cut", ("s0", np.ones(3, bool))), Cancel(3), Close())
]


def assert_read_or_refused(data: bytes) -> None:
    """Either end makes one of its own messages of it, or refuses it by the one error."""
    for reader, kind in ((lambda: read_event(data, result_of), Event), (lambda: decode(data, Request), Request)):
        try:
            found = reader()
        except WireError:
            continue
        assert isinstance(found, kind)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    assert_read_or_refused(data)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(SENT + ASKED), st.data())
def test_messages_with_other_bytes_in_them_are_refused_or_read(data: bytes, drawn: st.DataObject) -> None:
    mutated = bytearray(data)
    for _ in range(drawn.draw(st.integers(1, 4))):
        place = drawn.draw(st.integers(0, len(mutated)))
        end = drawn.draw(st.integers(place, min(len(mutated), place + 4)))
        mutated[place:end] = drawn.draw(st.binary(max_size=6))
    assert_read_or_refused(bytes(mutated))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["ready", "progressed", "finished", "failed"]), PLAIN, PLAIN, PLAIN)
def test_well_formed_messages_with_lies_in_them_are_refused_or_read(tag: str, one: Any, two: Any, three: Any) -> None:
    for number, name in enumerate(("threads", "text", "result", "message")):
        lie = {"type": tag, "call": number, "kind": "OpenError", "details": "", name: one, "points": two, "made": three}
        assert_read_or_refused(encode({**lie, "values": {}, "done": 1, "total": 2, "share": 0.5, "so_far": None}))


# Frames.


def framed(*parts: bytes) -> Wire:
    return Wire(io.BytesIO(b"".join(parts)), io.BytesIO())


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("size", [0, 1, wire_module.PACKED, 3 << 20])
def test_a_frame_comes_back_also_packed(slow: bool, size: int) -> None:
    data, sink = os.urandom(1) * size, io.BytesIO()
    wire = Wire(io.BytesIO(), sink, slow)
    wire.send(data)
    wire.send(b"next")
    packed = slow and size >= wire_module.PACKED
    assert (len(sink.getvalue()) < size) == packed
    again = framed(sink.getvalue())
    assert again.receive() == data and again.receive() == b"next"
    with pytest.raises(EOFError):
        again.receive()


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack("<QB", (1 << 30) + 1, 0),
        struct.pack("<QB", (1 << 64) - 1, 1),
        struct.pack("<QB", 4, 2) + b"abcd",
        struct.pack("<QB", 4, 1) + b"abcd",
        b"Welcome to this machine!\nLast login: today\n",
    ],
)
def test_what_is_no_frame_is_an_error(frame: bytes) -> None:
    with pytest.raises(WireError):
        framed(frame).receive()


def test_what_unpacks_to_more_than_a_message_may_have_is_refused_without_the_memory(monkeypatch) -> None:
    monkeypatch.setattr(wire_module, "MOST", 1 << 20)
    bomb = zlib.compress(bytes(50 << 20))
    with pytest.raises(WireError, match="unpacks to more"):
        framed(struct.pack("<QB", len(bomb), 1), bomb).receive()


def test_a_frame_that_is_cut_short_is_the_end() -> None:
    with pytest.raises(EOFError):
        framed(struct.pack("<QB", 1 << 29, 0), b"abc").receive()
