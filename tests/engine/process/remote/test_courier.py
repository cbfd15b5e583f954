"""Whatever breaks between two couriers, each message is taken once and in order."""

import random
import socket
import threading
import time

import pytest

from secateur.engine.errors import WireError
from secateur.engine.process.plain_data import decode, encode
from secateur.engine.process.remote.protocol import Courier
from secateur.engine.process.wire import Wire
from tests.waiting import PATIENCE, wait_until


def wires() -> tuple[tuple[socket.socket, Wire], tuple[socket.socket, Wire]]:
    ends = socket.socketpair()
    return tuple((end, Wire(end.makefile("rb"), end.makefile("wb"))) for end in ends)  # type: ignore[return-value, arg-type]


def connect(one: Courier, other: Courier) -> tuple[socket.socket, list[threading.Thread]]:
    """A connection between two; the socket that cuts it, and the threads that end with it."""
    (near, wire), (_, far) = wires()
    threads = [
        threading.Thread(target=one.serve, args=(wire, other.received), daemon=True),
        threading.Thread(target=other.serve, args=(far, one.received), daemon=True),
    ]
    for thread in threads:
        thread.start()
    return near, threads


def cut(link: socket.socket, threads: list[threading.Thread]) -> None:
    link.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_every_message_arrives_once_and_in_order_over_connections_that_break() -> None:
    heard: tuple[list[int], list[int]] = ([], [])
    one = Courier(lambda body: heard[0].append(decode(body, int)))
    other = Courier(lambda body: heard[1].append(decode(body, int)))
    draw, posted = random.Random(5), 0
    for _ in range(25):
        link, threads = connect(one, other)
        for _ in range(draw.randrange(40)):
            one.post(encode(posted))
            other.post(encode(-posted))
            posted += 1
        time.sleep(draw.random() / 100)
        cut(link, threads)
    link, threads = connect(one, other)
    wait_until(lambda: len(heard[0]) == len(heard[1]) == posted)
    wait_until(lambda: not one.waiting and not other.waiting)  # and nothing is kept for longer than needed
    cut(link, threads)
    assert one.weight == other.weight == 0
    assert heard[1] == [*range(posted)] and heard[0] == [-n for n in range(posted)]


def test_a_later_connection_takes_the_place_of_one_that_hangs() -> None:
    heard: list[int] = []
    one, other = Courier(lambda _: None), Courier(lambda body: heard.append(decode(body, int)))
    _, hanging = connect(one, other)
    wait_until(lambda: one._connection == other._connection == 1)
    link, threads = connect(one, other)
    one.post(encode(1))
    wait_until(lambda: heard == [1])
    cut(link, threads)
    assert not any(thread.is_alive() for thread in threads) and hanging


@pytest.mark.parametrize("received", [1, 7])
def test_an_end_that_claims_more_than_was_sent_is_refused(received: int) -> None:
    _, (_, wire) = wires()
    with pytest.raises(WireError):
        Courier(lambda _: None).serve(wire, received)


@pytest.mark.parametrize("error", [ValueError("odd"), OSError("no room"), KeyError("x"), WireError("a.b", "odd")])
def test_an_error_of_a_message_is_none_of_the_line(error: Exception) -> None:
    def take(body: object) -> None:
        raise error

    (_, wire), (_, far) = wires()
    far.send(encode([1, 0, "anything"]))
    with pytest.raises(WireError):
        Courier(take).serve(wire, 0)
