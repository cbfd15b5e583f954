"""A session on another machine: calls, progress and errors as beside the window, whatever becomes of the connection."""

import os
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.process.events import (
    Disconnected,
    Failed,
    Finished,
    Logged,
    Lost,
    Progressed,
    Ready,
    Reconnected,
    Refused,
)
from secateur.engine.process.remote import client as client_module
from secateur.engine.process.remote.client import RemoteClient
from secateur.engine.subprocesses.ssh import Address
from tests.waiting import PATIENCE, wait_until

from ..test_client import SLOW, until
from .far import Far, far_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Unix sockets, signals")
CONNECTIONS = 150
"""Seconds for a score of connections on a busy machine."""


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    machine, commands = far_machine(tmp_path / "far", SLOW)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    yield machine
    machine.kill_engines()


@pytest.fixture
def client(far: Far, tmp_path: Path) -> Iterator[RemoteClient]:
    client = RemoteClient(Address("far"), {"write_report": tuple[str, ...]})
    client.start(tmp_path / "sessions" / "one")
    until(client, Ready)
    yield client
    client.close(PATIENCE)
    engine = far.home / "cache" / "secateur" / "engines" / client.name
    wait_until(lambda: not engine.exists())  # a window that is closed leaves nothing there


def test_calls_cancels_prints_and_a_killed_engine_are_as_beside_the_window(
    client: RemoteClient, far: Far, tmp_path: Path
) -> None:
    root = far.home / "cache" / "secateur" / "engines" / client.name / "sessions"
    client.call("where")
    assert until(client, Finished)[-1] == Finished(1, str(root / "one"))
    client.call("echo", [str(tmp_path / "sessions" / "two"), 3])  # a folder only where it is an argument
    assert until(client, Finished)[-1] == Finished(2, [str(tmp_path / "sessions" / "two"), 3])
    client.call("say", "hello")
    seen = until(client, Finished)  # what it printed may come before or after
    while not any(isinstance(one, Logged) and "hello" in one.text for one in seen):
        seen += until(client, Logged)
    spin = client.call("spin")
    until(client, Progressed)
    client.cancel(spin)
    failed = until(client, Failed)[-1]
    assert isinstance(failed, Failed) and failed.call == spin
    client.call("spin")
    until(client, Progressed)
    client.kill()
    lost = until(client, Lost)[-1]
    assert isinstance(lost, Lost) and lost.exitcode == -9 and lost.calls == (spin + 1,)
    client.start(tmp_path / "sessions" / "one")
    until(client, Ready)
    client.call("echo", 5)
    assert isinstance(until(client, Finished)[-1], Finished)


def test_a_job_goes_on_without_a_connection_and_nothing_is_lost_or_done_twice(client: RemoteClient, far: Far) -> None:
    there = far.home / "cache" / "secateur" / "engines" / client.name / "sessions" / "one"
    there.mkdir(parents=True, exist_ok=True)
    client.call("steady", 200)
    until(client, Progressed)
    far.reachable(False)
    far.cut()
    assert isinstance(until(client, Disconnected)[-1], Disconnected)
    client.call("tally", "while it was away")
    (there / "enough").touch()
    wait_until((there / "steps").exists)
    steps = int((there / "steps").read_text())
    far.reachable(True)
    events = until(client, Finished)
    assert any(isinstance(event, Reconnected) for event in events)
    points = [point["step"] for e in events if isinstance(e, Progressed) for point in e.points]
    assert points == [float(step) for step in range(int(points[0]), steps)]
    assert isinstance(events[-1], Finished) and events[-1].result == steps >= 200
    assert until(client, Finished)[-1] == Finished(2, ["while it was away"])
    far.cut()
    client.call("tally", "again")
    assert until(client, Finished)[-1] == Finished(3, ["while it was away", "again"])
    assert far.connections == 3


@pytest.mark.end_to_end
def test_a_connection_that_breaks_within_every_message_loses_and_doubles_nothing(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later connections get a little further each: through greeting, calls, progress, results and a file."""
    monkeypatch.setattr(client_module, "WAITS", (0.01,))
    far.break_off(first=400, step=29)
    client = RemoteClient(Address("far"), {"write_report": tuple[str, ...]})
    try:
        client.start(tmp_path / "sessions" / "one")
        for number, word in enumerate("abcdefgh"):
            client.call("tally", word)
            assert until(client, Finished, CONNECTIONS)[-1] == Finished(number + 1, [*"abcdefgh"[: number + 1]])
        far.break_off(first=0, step=200_000)  # a message of the file is longer than all before
        home = tmp_path / "net.html"
        client.call("write_report", "s1", str(home))
        assert until(client, Finished, CONNECTIONS)[-1] == Finished(9, (str(home),))
        assert home.read_text() == "s1" * 1_000_000
        client.call("tally", "end")
        assert until(client, Finished)[-1] == Finished(10, [*"abcdefgh", "end"])
        assert far.connections > 12
    finally:
        client.close()


def test_what_is_written_there_comes_here_and_nothing_else(client: RemoteClient, far: Far, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    call = client.call("write_report", "s1", str(home / "net.html"))
    assert until(client, Finished)[-1] == Finished(call, (str(home / "net.html"),))
    assert (home / "net.html").read_text() == "s1" * 1_000_000 and (home / "net.html.data").read_text() == "more"
    client.call("write_report", "s2", str(home / "net.html"))
    until(client, Finished)
    assert (home / "net.html").read_text() == "s2" * 1_000_000
    client.call("write_script", "s1", str(home / "net.py"))
    failed = until(client, Failed)[-1]
    assert isinstance(failed, Failed) and ".profile, which nobody asked for" in str(failed.error)
    client.call("write_report", "s1", str(tmp_path / "nowhere" / "net.html"))
    failed = until(client, Failed)[-1]
    assert isinstance(failed, Failed) and "could not be brought here: No such file" in str(failed.error)
    assert sorted(path.name for path in home.iterdir()) == ["net.html", "net.html.data"]
    client.call("where")
    until(client, Finished)


def test_folders_there_are_seen_and_a_file_sent_there_replaces_none(
    client: RemoteClient, far: Far, tmp_path: Path
) -> None:
    (far.home / "data" / "train").mkdir(parents=True)
    (far.home / "data" / "net.pt").write_bytes(b"123")
    (far.home / "data" / "h\udce9me").write_bytes(b"")
    seen = client.look("data")
    assert (seen.path, seen.is_folder, seen.left_out) == (str(far.home / "data"), True, 0)
    assert {(one.name, one.is_folder, one.size) for one in seen.entries} == {
        ("train", True, 0),
        ("net.pt", False, 3),
        ("h\udce9me", False, 0),
    }
    assert client.look("").path == str(far.home) and client.look("~/data/net.pt").is_there
    assert not client.look(str(tmp_path / "nowhere")).is_there
    with pytest.raises(SecateurError, match="on far cannot be read"):
        client.look("~nobody-of-that-name/net.pt")
    file, told = tmp_path / "net.pt", list[int]()
    file.write_bytes(os.urandom(700_000))
    assert client.send_file(file, lambda sent: not told.append(sent)) == str(far.home / "secateur-files" / "net.pt")
    assert (far.home / "secateur-files" / "net.pt").read_bytes() == file.read_bytes() and told == [0, 262144, 524288]
    assert client.send_file(file, lambda _: True) == str(far.home / "secateur-files" / "net.pt")
    file.write_bytes(b"another one")
    assert client.send_file(file, lambda _: True) == str(far.home / "secateur-files" / "net-2.pt")
    assert client.send_file(file, lambda _: False) == ""
    with pytest.raises(SecateurError, match=r"gone\.pt cannot be read: No such file"):
        client.send_file(tmp_path / "gone.pt", lambda _: True)
    assert client.look("").is_folder  # answered once what was dropped is gone
    (far.home / "secateur-files" / "net.pt").unlink()
    (far.home / "secateur-files" / "net-2.pt").unlink()
    (far.home / "secateur-files").rmdir()  # nothing else is left in it
    (far.home / "secateur-files").write_text("in the way")
    with pytest.raises(SecateurError, match=r"net\.pt cannot be written on far: File exists"):
        client.send_file(file, lambda _: True)


def test_who_waits_for_a_folder_there_is_told_when_the_window_closes(far: Far, tmp_path: Path) -> None:
    far.reachable(False)
    client, told = RemoteClient(Address("far"), {}), queue.Queue[str]()
    client.prepare()

    def look() -> None:
        try:
            client.look("data")
        except SecateurError as error:
            told.put(str(error))

    threading.Thread(target=look, daemon=True).start()
    wait_until(lambda: client._answers)
    client.close()
    assert told.get(timeout=PATIENCE).startswith("far does not answer.")
    look()  # who asks later is told as well
    assert told.get_nowait().startswith("far does not answer.")


def test_a_later_window_goes_on_with_an_engine_and_the_former_is_told(
    client: RemoteClient, far: Far, tmp_path: Path
) -> None:
    client.call("spin")
    until(client, Progressed)
    later = RemoteClient(Address("far"), {}, name=client.name)
    later.start(tmp_path / "sessions" / "one")
    events = until(later, Ready)
    call = later.call("where")
    events += until(later, Finished)
    assert events[-1] == Finished(call, str(far.home / "cache/secateur/engines" / client.name / "sessions" / "one"))
    assert not any(isinstance(event, Progressed | Lost) for event in events)  # of what the former one has asked for
    refused = until(client, Refused)[-1]
    assert isinstance(refused, Refused) and refused.error.message.code == "remote.taken"
    later.call("echo", 5)
    assert isinstance(until(later, Finished)[-1], Finished)  # the former one does not come back
    later.close(PATIENCE)


def test_an_engine_that_is_gone_with_its_machine_is_lost_and_starts_again(
    client: RemoteClient, far: Far, tmp_path: Path
) -> None:
    spin = client.call("spin")
    until(client, Progressed)
    far.kill_engines()
    lost = until(client, Lost)[-1]
    assert isinstance(lost, Lost) and lost.calls == (spin,) and "engine on far has ended" in str(lost.error)
    client.start(tmp_path / "sessions" / "one")
    events = until(client, Ready)
    client.call("where")
    events += until(client, Finished)
    assert isinstance(events[-1], Finished)
    assert not any(isinstance(event, Reconnected) for event in events)  # it is another engine


def test_a_machine_that_cannot_be_reached_or_has_another_version_is_refused(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.reachable(False)
    assert "far cannot be reached (Connection refused)" in refused(tmp_path)
    far.reachable(True)
    monkeypatch.setattr("secateur.engine.process.remote.client.own_version", lambda: "0.0.1")
    assert "this is 0.0.1. Install the same version" in refused(tmp_path)
    (far.home / ".local" / "bin" / "secateur").unlink()
    monkeypatch.setenv("PATH", str(far.home / ".local" / "bin") + ":/usr/bin:/bin")
    assert "Secateur is not installed on far" in refused(tmp_path)


def test_a_login_shell_that_never_stops_to_print_is_refused(far: Far, tmp_path: Path) -> None:
    command = far.home / ".local" / "bin" / "secateur"
    command.write_text("#!/bin/sh\nwhile :; do echo Welcome to this machine; done\n")
    assert "No engine on far" in refused(tmp_path)


def refused(tmp_path: Path) -> str:
    client = RemoteClient(Address("far"), {})
    client.start(tmp_path / "sessions" / "one")
    event = until(client, Refused)[-1]
    client.close()
    assert isinstance(event, Refused)
    return str(event.error)
