"""What another machine sends lands where the user has said, whatever it is called there, whole or not at all."""

import threading
from pathlib import Path
from typing import Any

import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.process.remote.client import RemoteClient
from secateur.engine.process.remote.file_transfer import Homecoming, ReceivedFiles
from secateur.engine.process.remote.protocol import FileBegins, FilesEnd, Part
from secateur.engine.subprocesses.ssh import Address
from tests.waiting import PATIENCE

STRAY = [
    "/net.onnx",
    "../net.onnx",
    "net.onnx/../../x",
    "other.onnx",
    "net.onnx\\..\\..\\x",
    "net.onnx/..\\x",
    "net.onnx/C:\\x",
    "net.onnx:stream",
    "net.C:/x",
    "net.onnx/a\0b",
]


@pytest.mark.parametrize("name", STRAY)
def test_a_name_that_leaves_the_folder_on_any_system_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    home = Homecoming(tmp_path / "net.onnx", "/far/written/1")
    home.take(FileBegins(1, "net.onnx.data"))
    home.take(Part(1, b"data"))
    with pytest.raises(SecateurError, match="which nobody asked for"):
        home.take(FileBegins(1, name))
    assert not [*tmp_path.iterdir()]


def test_a_result_names_files_here_only_where_they_came_to(tmp_path: Path) -> None:
    home = Homecoming(tmp_path / "net.onnx", "/far/written/1")
    found = ("/far/written/1/net.onnx", "/far/written/1/../../x", "/far/written/1/a\\..\\x", "/far/written/2/net.onnx")
    assert home.here(found) == (str(tmp_path / "net.onnx"), *found[1:])


def test_a_folder_of_a_session_has_no_twin_outside_of_the_sessions(tmp_path: Path) -> None:
    client = RemoteClient(Address("far"), {})
    client._sessions, client._root = tmp_path, "/far/sessions"
    assert client._here("/far/sessions/one") == str(tmp_path / "one")
    for folder in ("/far/sessions/..", "/far/sessions/..\\x", "/far/sessions/C:x", "/far/other/one", "/far/sessions"):
        assert client._here(folder) == ""


def test_what_comes_while_the_window_closes_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, home = RemoteClient(Address("far"), {}), Homecoming(tmp_path / "net.onnx", "/far/written/1")
    client._coming[1] = home
    busy, go_on = threading.Event(), threading.Event()

    def connected() -> None:
        busy.set()
        go_on.wait(PATIENCE)
        home.take(FileBegins(1, "net.onnx"))
        home.take(Part(1, b"data"))
        assert [*tmp_path.iterdir()]

    monkeypatch.setattr(client, "_connect", connected)
    client.prepare()
    assert busy.wait(PATIENCE) and client._thread is not None
    thread = client._thread
    client.close(timeout=0.01)
    go_on.set()
    thread.join(PATIENCE)
    assert not thread.is_alive() and not [*tmp_path.iterdir()]


def test_what_begins_while_another_thread_gives_up_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, make = Homecoming(tmp_path / "net", "/far/written/1"), Path.mkdir
    home.take(FileBegins(1, "net/a"))

    def late(path: Path, *how: Any, **named: Any) -> None:
        home.abandon()  # as the thread of the window does
        make(path, *how, **named)

    monkeypatch.setattr(Path, "mkdir", late)
    home.take(FileBegins(1, "net/b"))
    assert home._staged._file is None and not [*tmp_path.iterdir()]


def bring(place: Path, files: dict[str, bytes]) -> None:
    home = Homecoming(place, "/far/written/1")
    for name, data in files.items():
        home.take(FileBegins(1, name))
        home.take(Part(1, data))
    home.finish(FilesEnd(1))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_takes_the_place_of_an_older_one_only_where_nothing_is_lost(tmp_path: Path) -> None:
    first = {"net/shapes.json": b"1", "net/weights/a": b"2"}
    bring(tmp_path / "net", first)
    assert contents(tmp_path) == first
    second = {"net/shapes.json": b"3", "net/weights/a": b"4", "net/weights/b": b"5"}
    bring(tmp_path / "net", second)
    assert contents(tmp_path) == second
    (tmp_path / "net" / "weights" / "mine").write_bytes(b"6")
    with pytest.raises(SecateurError, match="already holds other files"):
        bring(tmp_path / "net", first)
    assert contents(tmp_path) == {**second, "net/weights/mine": b"6"}


def test_files_that_belong_together_are_brought_together_or_not_at_all(tmp_path: Path) -> None:
    files = {"a.net.onnx": b"1", "a.net.onnx.data": b"2", "a.net.json": b"3"}
    bring(tmp_path / "a.net.onnx", files)
    bring(tmp_path / "a.net.onnx", {**files, "a.net.onnx": b"4"})
    assert contents(tmp_path) == {**files, "a.net.onnx": b"4"}
    with pytest.raises(SecateurError):
        bring(tmp_path / "a.net.onnx", {"a.net.onnx.data": b"5"})  # without the file itself
    assert contents(tmp_path) == {**files, "a.net.onnx": b"4"}


def test_parts_go_to_the_file_of_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    received = ReceivedFiles()
    received.take(FileBegins(1, "a.bin"))
    received.take(Part(1, b"first"))
    received.take(FileBegins(2, "b.bin"))
    received.take(Part(1, b"late"))
    received.take(Part(2, b"second"))
    assert received.finish(1).error and not received.finish(1).path
    kept = received.finish(2)
    assert Path(kept.path).name == "b.bin" and Path(kept.path).read_bytes() == b"second"
    assert [path.name for path in Path(kept.path).parent.iterdir()] == ["b.bin"]
