"""When an engine that no window needs ends, and what stays of it."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from secateur.engine.process.messages import Quiet, Request
from secateur.engine.process.plain_data import decode, encode
from secateur.engine.process.wire import Wire
from tests.waiting import PATIENCE, wait_until

if sys.platform != "linux":
    pytest.skip("Unix sockets, locks", allow_module_level=True)

from secateur.engine.process.remote import broker as module
from secateur.engine.process.remote.broker import Broker, remove_forsaken
from secateur.engine.process.remote.protocol import Frame, Hello, hello, read_hello
from secateur.engine.process.remote.remote_folders import HELD


@dataclass(frozen=True)
class Window:
    """A connection that was greeted.

    Attributes:
        link: Its socket.
        wire: The one reader of what comes over it: another would miss what this one has read ahead.
        serves: The thread of the broker that serves it.
        greeting: What the broker has said.
    """

    link: socket.socket
    wire: Wire
    serves: threading.Thread
    greeting: Hello

    def cut(self) -> None:
        """The connection breaks."""
        self.link.shutdown(socket.SHUT_RDWR)

    def ended(self) -> bool:
        """Whether the broker serves it no more, waiting for that."""
        self.serves.join(PATIENCE)
        return not self.serves.is_alive()


def frames(one: Window) -> Iterator[Frame]:
    """What comes, as it comes."""
    while True:
        yield decode(one.wire.receive(), Frame)


def window(broker: Broker, birth: str = "") -> Window:
    """A window connects; `birth` is of an earlier connection."""
    near, far = socket.socketpair()
    thread = threading.Thread(target=broker.serve, args=(far,), daemon=True)
    thread.start()
    wire = Wire(near.makefile("rb"), near.makefile("wb"))  # type: ignore[arg-type]
    wire.send(hello(0, birth))
    return Window(near, wire, thread, read_hello(wire.receive()))


def test_the_end_of_an_old_connection_does_not_make_a_newer_one_forsaken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / HELD).touch()
    monkeypatch.setattr(module, "FORSAKEN", 0.1)
    monkeypatch.setattr(module, "NAP", 0.01)
    broker = Broker(tmp_path)
    old = window(broker)
    wait_until(lambda: len(broker._links) == 1)
    new = window(broker, old.greeting.birth)
    wait_until(lambda: len(broker._links) == 2)
    watch = threading.Thread(target=broker.watch, daemon=True)
    watch.start()
    old.cut()
    assert old.ended()
    watch.join(0.5)
    assert watch.is_alive()
    new.cut()
    assert new.ended()
    watch.join(PATIENCE)
    assert not watch.is_alive() and broker.was_greeted


def test_a_new_window_takes_the_place_of_others_which_are_told(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    first = window(broker)
    wait_until(lambda: len(broker._links) == 1)
    second = window(broker)
    assert first.ended()
    assert second.greeting.birth != first.greeting.birth and not second.greeting.taken
    third = window(broker, first.greeting.birth)
    assert third.greeting.taken and third.ended() and second.serves.is_alive()
    second.cut()
    assert second.ended()


def test_one_that_connects_again_while_another_takes_its_place_hears_nothing_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, go_on = threading.Event(), threading.Event()

    class Slow(Wire):
        """The thread that has sent a greeting by it is held up then, where that is asked for."""

        def send(self, data: bytes) -> None:
            super().send(data)
            if slow.is_set():
                slow.clear()
                go_on.wait(PATIENCE)

    monkeypatch.setattr(module, "Wire", Slow)
    broker = Broker(tmp_path)
    first = window(broker)
    first.cut()
    assert first.ended()
    slow.set()
    again = window(broker, first.greeting.birth)
    wait_until(lambda: not slow.is_set())
    assert not again.greeting.taken
    later = window(broker)
    go_on.set()
    assert again.ended()
    broker._courier.post(encode("for the later one"))
    assert any(bytes(frame.body) == encode("for the later one") for frame in frames(later))
    later.cut()
    assert later.ended()


def test_an_engine_keeps_its_progress_back_while_much_is_on_its_way(tmp_path: Path) -> None:
    class Engine:
        """Notes what it is asked for."""

        def __init__(self) -> None:
            self.asked: list[object] = []

        def send(self, data: bytes) -> None:
            self.asked.append(decode(data, Request))

    broker, engine = Broker(tmp_path), Engine()
    broker._engine = engine  # type: ignore[assignment]
    listener = broker._listener(broker._courier)
    listener.message(bytes(module.HEAVY // 2))
    assert engine.asked == []
    listener.message(bytes(module.HEAVY))
    assert engine.asked == [Quiet(True)]
    later = window(broker)
    for _ in range(2):
        later.wire.receive()
    later.wire.send(encode([0, 2, None]))
    wait_until(lambda: broker._courier.weight == 0)
    broker._limit_progress()
    assert engine.asked == [Quiet(True), Quiet(False)]
    later.cut()
    assert later.ended()


def test_an_engine_that_no_window_has_greeted_leaves_nothing(tmp_path: Path) -> None:
    code = """
import sys
from secateur.engine.process.remote import broker
broker.UNGREETED, broker.NAP = 0.1, 0.01
broker.main()
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code, "abcdefgh"], env=environment, check=True, timeout=180)
    assert not [*(tmp_path / "secateur" / "engines").iterdir()]


def test_folders_of_engines_that_are_long_dead_are_removed_and_no_others(tmp_path: Path) -> None:
    for name in ("dead", "recent", "running"):
        (tmp_path / name / "sessions").mkdir(parents=True)
        (tmp_path / name / HELD).touch()
    (tmp_path / "begins").mkdir()
    for name in ("dead", "running"):
        os.utime(tmp_path / name / HELD, (0, 0))
    with (tmp_path / "running" / HELD).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        remove_forsaken(tmp_path, 3600.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begins", "recent", "running"]
