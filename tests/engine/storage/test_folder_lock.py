"""One process writes to a project: the second is refused by name, or waits for one that has ended; none is lost."""

import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage import folder_lock
from secateur.engine.storage.folder_lock import ENGINE, FolderLock, Holder, this_process

from ..session.small import write_project

HOLDING = """
import sys
sys.argv = ["/usr/bin/secateur", "sweep", "net.py:make"]
from pathlib import Path
from secateur.engine.storage.folder_lock import FolderLock
lock = FolderLock(Path({folder!r}), {name!r})
assert lock.take()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(folder: Path, name: str = ENGINE) -> Generator[subprocess.Popen[str]]:
    """Another process holds a folder, as `secateur sweep` does."""
    code = HOLDING.format(folder=str(folder), name=name)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_record_that_came_with_a_project_leads_nowhere(tmp_path: Path) -> None:
    other, lock = tmp_path / "other", FolderLock(tmp_path / "project", ENGINE)
    other.write_text('{"host": "", "pid": 1, "command": "", "since": ""}')
    lock.path.parent.mkdir()
    lock.record.symlink_to(other)
    before = other.read_text()
    assert lock.holder is None
    with pytest.raises(SecateurError, match="Cannot write"):
        finish(lock.wait())
    assert other.read_text() == before and not lock.held
    lock.record.unlink(missing_ok=True)
    os.mkfifo(lock.record)
    assert lock.holder is None
    with pytest.raises(SecateurError, match="Cannot write"):
        finish(lock.wait())
    assert not lock.held


def test_who_is_second_is_told_who_is_first(tmp_path: Path) -> None:
    with held(tmp_path) as process:
        lock = FolderLock(tmp_path, ENGINE)
        assert not lock.take() and lock.taken() and lock.left
        with pytest.raises(OpenError) as caught:
            next(lock.wait())  # at once: nobody waits for a process that works
        said = str(caught.value)
        assert said.startswith(f"{tmp_path} is in use by secateur sweep (process {process.pid} on {platform.node()}, ")
        assert caught.value.message.code == "session.in_use" and said.endswith("or stop it.")
        holder = lock.holder
        assert holder is not None and holder.alive and holder.since
        assert f"{holder.since[11:16]})" in said  # at midnight with the date before it
    assert lock.left and not lock.taken(), "it was killed: the system let go, and what it leaves says so"
    assert lock.holder is not None and not lock.holder.alive
    finish(lock.wait())
    assert lock.holder is not None and lock.holder.pid == os.getpid()
    lock.release()
    assert not list(tmp_path.iterdir())


def test_what_is_left_of_a_process_that_ended_is_waited_for(tmp_path: Path) -> None:
    one, other = FolderLock(tmp_path, ENGINE), FolderLock(tmp_path, ENGINE)
    assert one.take()
    record = json.loads(one.record.read_bytes())
    one.record.write_text(json.dumps(record | {"pid": 2**22 + 1}))  # more than any system gives
    timer = threading.Timer(0.4, one.release)
    timer.start()
    finish(other.wait())
    timer.join()
    assert other.held
    other.release()


@pytest.mark.parametrize("left", [False, True])
def test_who_looks_whether_a_folder_is_held_keeps_nobody_from_taking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    """Also where a killed process has left its record."""
    looks, lock = FolderLock(tmp_path, ENGINE), FolderLock(tmp_path, ENGINE)
    if left:
        assert lock.take()
        lock.record.write_text(json.dumps(json.loads(lock.record.read_bytes()) | {"pid": 2**22 + 1}))
        lock.release(clean=False)
    looks._lock.acquire()  # as `taken` does
    monkeypatch.setattr(folder_lock.time, "sleep", lambda _seconds: looks._lock.release())
    assert lock.take() and lock.held
    lock.release()


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"host": 1}', b'{"host": "h", "pid": "x", "command": "c"}'])
def test_a_record_that_says_nothing_is_no_error(tmp_path: Path, record: bytes) -> None:
    lock = FolderLock(tmp_path, ENGINE)
    lock.record.write_bytes(record)
    assert lock.holder is None and "another process" in str(folder_lock.in_use(tmp_path, lock.holder))


def test_a_record_of_a_stranger_writes_nothing_but_letters(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, ENGINE)
    lock.record.write_text(json.dumps({"host": "h\x1b[2J", "pid": 5, "command": "c\n" + 500 * "x", "since": "soon"}))
    assert lock.holder == Holder("h[2J", 5, "c" + 79 * "x", "soon")


def test_a_process_is_called_by_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for argv, name in (
        (["/usr/bin/secateur", "baselines", "p"], "secateur baselines"),
        (["/x/app/main.py", "prune", "p"], "secateur prune"),
        (["/usr/bin/secateur", "bundled:resnet"], "secateur"),
        (["/home/me/shrink.py", "prune"], "shrink.py"),
    ):
        monkeypatch.setattr(sys, "argv", argv)
        assert this_process().command == name


def test_a_folder_made_for_a_lock_goes_with_it(tmp_path: Path) -> None:
    session = Session()
    finish(session.location.hold(tmp_path / "new" / "deep"))
    assert (tmp_path / "new" / "deep" / ENGINE).exists() and session.location.holds(tmp_path / "new" / "deep")
    session.close()
    assert not list(tmp_path.iterdir())


def test_a_session_is_alone_in_its_folder_and_in_the_project_it_writes(tmp_path: Path) -> None:
    spec, project = write_project(tmp_path / "mine"), tmp_path / "project"
    session = Session(tmp_path / "session")
    finish(session.open(spec))
    with held(project), pytest.raises(OpenError, match="in use by secateur sweep"):
        finish(save_project(session, str(project), "s0"))
    finish(save_project(session, str(project), "s0"))
    assert not FolderLock(project, ENGINE).taken()
    with held(project):
        with pytest.raises(OpenError, match="in use"):
            finish(Session(project).open(ModelSpec(str(project))))
        reading = Session()
        finish(reading.open(ModelSpec(str(project))))  # to read is no harm
        reading.close()
    with held(tmp_path / "new"), pytest.raises(OpenError, match="in use"):
        finish(session.open(spec, folder=str(tmp_path / "new")))
    assert session.folder == tmp_path / "session" and session.location.holds(session.folder)
    session.close()


def test_a_window_holds_the_project_that_it_opened_or_saved(tmp_path: Path) -> None:
    spec, project = write_project(tmp_path / "mine"), tmp_path / "project"
    session = Session(tmp_path / "session", exclusive=True, holder=Holder("here", 7, "the window"))
    finish(session.open(spec))
    finish(save_project(session, str(project), "s0"))
    with pytest.raises(OpenError, match=r"in use by the window \(process 7 on here"):
        finish(FolderLock(project, ENGINE).wait())
    finish(session.open(ModelSpec(str(project)), folder=str(tmp_path / "next")))  # it holds it already, and goes on
    assert session.location.holds(project) and FolderLock(project, ENGINE).taken()
    assert not FolderLock(tmp_path / "session", ENGINE).taken()
    with pytest.raises(SecateurError):
        finish(session.open(ModelSpec("nothing.py:make"), folder=str(tmp_path / "third")))
    assert session.location.holds(project)
    finish(session.open(spec, folder=str(tmp_path / "last")))
    assert not FolderLock(project, ENGINE).taken()
    session.close()


def test_what_a_killed_writer_left_half_written_goes(tmp_path: Path) -> None:
    spec, folder = write_project(tmp_path / "mine"), tmp_path / "session"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / ".new.abc.part").write_bytes(b"half")
    session = Session(folder)
    finish(session.open(spec))
    assert [path.suffix for path in (folder / "weights").iterdir()] == [".safetensors"]
    session.close()
