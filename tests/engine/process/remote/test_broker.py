"""When an engine that no window needs ends, and what stays of it."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from secateur.engine.process.messages import Quiet, read_request
from secateur.engine.process.plain_data import encode
from secateur.engine.process.wire import Wire

if sys.platform != "linux":
    pytest.skip("Unix sockets, locks", allow_module_level=True)

from secateur.engine.process.remote import broker as module
from secateur.engine.process.remote.broker import Broker, remove_forsaken
from secateur.engine.process.remote.engine_folders import HELD
from secateur.engine.process.remote.protocol import Hello, hello, read_hello


def window(broker: Broker, birth: str = "") -> tuple[socket.socket, threading.Thread, Hello]:
    """A connection that was greeted, the thread that serves it, and the greeting; `birth` is of an earlier one."""
    near, far = socket.socketpair()
    thread = threading.Thread(target=broker.serve, args=(far,), daemon=True)
    thread.start()
    wire = Wire(near.makefile("rb"), near.makefile("wb"))  # type: ignore[arg-type]
    wire.send(hello(0, birth))
    return near, thread, read_hello(wire.receive())


def until(holds: Any) -> None:
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.002)
    assert holds()


def test_the_end_of_an_old_connection_does_not_make_a_newer_one_forsaken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / HELD).touch()
    monkeypatch.setattr(module, "FORSAKEN", 0.1)
    monkeypatch.setattr(module, "NAP", 0.01)
    broker = Broker(tmp_path)
    old, ends, greeting = window(broker)
    until(lambda: broker._windows == 1)
    new, stays, _ = window(broker, greeting.birth)
    until(lambda: broker._windows == 2)
    watch = threading.Thread(target=broker.watch, daemon=True)
    watch.start()
    old.shutdown(socket.SHUT_RDWR)
    ends.join(10)
    watch.join(0.5)
    assert not ends.is_alive() and watch.is_alive()
    new.shutdown(socket.SHUT_RDWR)
    stays.join(10)
    watch.join(10)
    assert not watch.is_alive() and broker.greeted


def test_a_new_window_takes_the_place_of_others_which_are_told(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    _, ends, first = window(broker)
    until(lambda: broker._windows == 1)
    near, stays, second = window(broker)
    ends.join(10)
    assert not ends.is_alive() and second.birth != first.birth and not second.taken
    *_, third = window(broker, first.birth)
    assert third.taken and stays.is_alive()
    near.shutdown(socket.SHUT_RDWR)
    stays.join(10)


def test_an_engine_keeps_its_progress_back_while_much_is_on_its_way(tmp_path: Path) -> None:
    class Engine:
        """Notes what it is asked for."""

        def __init__(self) -> None:
            self.asked: list[object] = []

        def send(self, data: bytes) -> None:
            self.asked.append(read_request(data))

    broker, engine = Broker(tmp_path), Engine()
    broker._engine = engine  # type: ignore[assignment]
    listener = broker._listener(broker._courier)
    listener.message(bytes(module.HEAVY // 2))
    assert engine.asked == []
    listener.message(bytes(module.HEAVY))
    assert engine.asked == [Quiet(True)]
    near, serves, _ = window(broker)
    wire = Wire(near.makefile("rb"), near.makefile("wb"))  # type: ignore[arg-type]
    for _ in range(2):
        wire.receive()
    wire.send(encode([0, 2, None]))
    until(lambda: broker._courier.weight == 0)
    broker._hush()
    assert engine.asked == [Quiet(True), Quiet(False)]
    near.shutdown(socket.SHUT_RDWR)
    serves.join(10)


def test_an_engine_that_no_window_has_greeted_leaves_nothing(tmp_path: Path) -> None:
    code = """
import sys
from secateur.engine.process.remote import broker
broker.UNGREETED, broker.NAP = 0.1, 0.01
broker.main()
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code, "abcdefgh"], env=environment, check=True, timeout=60)
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
