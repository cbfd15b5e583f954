"""The link to a real process of a session without torch: events as signals, cancel, death, restore."""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QThread

from secateur.app.jobs import engine_link
from secateur.app.jobs.engine_link import EngineLink, Supervisor
from secateur.engine.errors import EngineLost
from secateur.engine.jobs import Cancelled
from secateur.engine.process.client import EngineClient
from secateur.engine.process.events import Disconnected, Event, Lost
from tests import waiting

ROOT = Path(__file__).parents[3]
TICKETS = itertools.count(1)


class Ear:
    """What the link said, in order."""

    def __init__(self, link: EngineLink) -> None:
        self.heard: list[tuple[str, Any, Any]] = []
        link.finished.connect(lambda n, result: self.heard.append(("finished", n, result)))
        link.failed.connect(lambda n, error: self.heard.append(("failed", n, error)))
        link.progressed.connect(lambda n, event: self.heard.append(("progressed", n, event)))
        link.lost.connect(lambda error, asked, again, restores: self.heard.append(("lost", asked, (again, restores))))
        link.restored.connect(lambda: self.heard.append(("restored", 0, None)))
        link.given_up.connect(lambda error: self.heard.append(("given_up", 0, error)))

    def answer(self, number: int) -> tuple[str, Any] | None:
        return next(((k, r) for k, n, r in self.heard if n == number and k in ("finished", "failed")), None)

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.heard]


@pytest.fixture
def link(qapp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineLink]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    link = EngineLink(EngineClient("tests.app.stubborn_session:StubbornSession", {}))
    link.start(tmp_path)
    yield link
    link.close()


@pytest.fixture
def ear(link: EngineLink) -> Ear:
    return Ear(link)


def call(link: EngineLink, method: str) -> int:
    """As the job queue calls: the ticket is the number of a job."""
    ticket = next(TICKETS)
    link.call(ticket, method)
    return ticket


def ask(qtbot, link: EngineLink, ear: Ear, method: str) -> Any:
    number = call(link, method)
    qtbot.waitUntil(lambda: ear.answer(number) is not None)
    return ear.answer(number)


def test_a_call_comes_back_as_a_signal_in_the_windows_thread(qtbot, link, ear):
    threads: list[Any] = []
    link.finished.connect(lambda *_: threads.append(QThread.currentThread()))
    assert ask(qtbot, link, ear, "open") == ("finished", "opened")
    assert threads == [link.thread()]


def test_calling_does_not_wait(link, ear):
    call(link, "spin")  # never ends
    numbers = [call(link, "open") for _ in range(100)]
    assert not any(ear.answer(number) for number in numbers)


def test_a_cancelled_job_ends_and_the_process_goes_on(qtbot, link, ear, monkeypatch):
    monkeypatch.setattr(engine_link, "PATIENCE", waiting.PATIENCE)
    number = call(link, "spin")
    qtbot.waitUntil(lambda: "progressed" in ear.kinds())
    link.cancel(number)
    qtbot.waitUntil(lambda: ear.answer(number) is not None)
    assert isinstance(ear.answer(number)[1], Cancelled)
    assert "lost" not in ear.kinds()


def test_a_job_that_obeys_no_cancel_is_killed_and_the_session_restored(qtbot, link, ear, monkeypatch):
    monkeypatch.setattr(engine_link, "PATIENCE", 0.5)
    ask(qtbot, link, ear, "open")
    number = call(link, "deaf")
    qtbot.waitUntil(lambda: "progressed" in ear.kinds())
    link.cancel(number)
    qtbot.waitUntil(lambda: "restored" in ear.kinds())
    assert isinstance(ear.answer(number)[1], Cancelled)
    assert ("lost", True, (True, True)) in ear.heard
    assert ask(qtbot, link, ear, "was_restored") == ("finished", True)


def test_a_killed_process_is_said_started_again_and_restored(qtbot, link, ear):
    ask(qtbot, link, ear, "open")
    number = call(link, "spin")
    qtbot.waitUntil(lambda: "progressed" in ear.kinds())
    os.kill(link.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: "restored" in ear.kinds())
    assert isinstance(ear.answer(number)[1], EngineLost)
    assert ("lost", False, (True, True)) in ear.heard
    assert ask(qtbot, link, ear, "open") == ("finished", "opened")


def test_a_call_that_comes_while_the_session_is_brought_back_has_its_turn_after_that(qtbot, link, ear):
    ask(qtbot, link, ear, "open")
    late: list[int] = []
    link.lost.connect(lambda *_: late.append(call(link, "was_restored")))
    call(link, "die")
    qtbot.waitUntil(lambda: bool(late) and ear.answer(late[0]) is not None)
    assert ear.answer(late[0]) == ("finished", True)


def test_a_process_that_dies_again_and_again_is_given_up(qtbot, link, ear):
    for _ in range(engine_link.LOSSES + 1):
        call(link, "die")
        count = ear.kinds().count("lost")
        qtbot.waitUntil(lambda c=count: ear.kinds().count("lost") > c)
    qtbot.waitUntil(lambda: "given_up" in ear.kinds())
    number = call(link, "open")
    qtbot.waitUntil(lambda: ear.answer(number) is not None)
    assert isinstance(ear.answer(number)[1], EngineLost)


def test_closing_ends_a_process_that_obeys_nothing(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    client = EngineClient("tests.app.stubborn_session:StubbornSession", {})
    link = EngineLink(client)
    ear = Ear(link)
    link.start(tmp_path)
    call(link, "deaf")
    qtbot.waitUntil(lambda: "progressed" in ear.kinds())
    process = client._process.process
    link.close()
    assert process.poll() == -signal.SIGKILL and not client.alive


def test_closing_ends_a_process_that_waits_for_its_session(qapp, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    client = EngineClient("tests.app.stubborn_session:StubbornSession", {})
    client.prepare()
    EngineLink(client).close()
    assert not client.alive


class Gone:
    """A client whose engine elsewhere is lost with its connection; another one is there after that."""

    place = ""

    def __init__(self) -> None:
        self.events: list[Event] = [Disconnected("far"), Lost(0, EngineLost("a.b", "Gone"))]
        self.killed = False

    def poll(self, timeout: float = 0.0) -> Event | None:
        return self.events.pop(0) if self.events else None

    def start(self, folder: Path) -> None:
        pass

    def kill(self) -> None:
        self.killed = True


def test_an_engine_that_takes_the_place_of_a_lost_one_is_connected():
    client, told = Gone(), list[str]()
    supervisor = Supervisor(client, lambda kind, *arguments: told.append(kind))  # type: ignore[arg-type]
    supervisor.folder, supervisor.flying = Path("session"), {1: 1}
    supervisor.turn()
    assert told == ["disconnected", "lost", "failed"]
    supervisor.flying, supervisor.overdue = {2: 2}, {2: 0.0}  # what was asked to stop and does not
    supervisor.turn()
    assert client.killed
