"""Connecting with an engine elsewhere: which machine, how far it is, why it failed, and where the window goes on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PySide6.QtWidgets import QDialog, QLabel

from secateur.app.dialogs import connect as module
from secateur.app.dialogs.closing import UnsavedWork
from secateur.app.dialogs.connect import Connect, InstallThere, ask, disconnect, go_on
from secateur.app.storage import settings
from secateur.app.storage.autosave.remote_engine import RemoteEngine
from secateur.engine.errors import EngineLost, SecateurError
from secateur.engine.jobs import Progress
from secateur.engine.process.events import Refused
from secateur.engine.subprocesses.ssh import Address

from ..playing import Window


class Engine:
    """An engine elsewhere that answers when it is told to."""

    def __init__(self, address: Address, name: str = "") -> None:
        self.address, self.name = address, name
        self.known = self.closed = self.prepared = False
        self.events: list[Any] = []

    def prepare(self) -> None:
        self.prepared = True

    def poll(self, timeout: float = 0.0) -> Any:
        return self.events.pop(0) if self.events else None

    def close(self, timeout: float = 2.0) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines that were asked for; the configuration of ssh names two machines."""
    engines: list[Engine] = []

    def make(address: Address, name: str = "") -> Engine:
        engines.append(Engine(address, name))
        return engines[-1]

    monkeypatch.setattr(module, "RemoteClient", make)
    monkeypatch.setattr(module, "ssh_aliases", lambda: ("cluster", "gpu"))
    return engines


@pytest.fixture
def dialog(qtbot, window: Window, made: list[Engine]) -> Connect:
    one = Connect(window)
    one.show()
    return one


@pytest.fixture(autouse=True)
def closed(window: Window) -> Iterator[None]:
    """No dialog stays open."""
    yield
    for dialog in window.findChildren(QDialog):
        dialog.close()


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        (("gpu", "", 0, ""), "ssh://gpu"),
        (("me@gpu:2222", "", 0, ""), "ssh://me@gpu:2222"),
        (("ssh://me@gpu/opt/bin/secateur", "", 22, ""), "ssh://me@gpu:22/opt/bin/secateur"),
        (("me@gpu", "you", 0, "/opt/my venv/secateur"), "ssh://you@gpu/opt/my venv/secateur"),
    ],
)
def test_fields_and_whole_addresses_say_where(dialog: Connect, fields: tuple[str, str, int, str], address: str) -> None:
    dialog.host.setText(fields[0])
    dialog.user.setText(fields[1])
    dialog.port.setValue(fields[2])
    dialog.program.setText(fields[3])
    assert dialog.problem() == "" and str(dialog.address()) == address


@pytest.mark.parametrize("host", ["", "-oProxyCommand=evil", "gpu evil", "gpu:99999"])
def test_what_is_no_machine_cannot_be_connected(dialog: Connect, host: str, made: list[Engine]) -> None:
    dialog.host.setText(host)
    assert not dialog.accept_button.isEnabled() and dialog.missing.text()
    dialog.accept()
    assert made == []


def test_a_connection_is_shown_then_used_and_offered_again(
    qtbot, dialog: Connect, window: Window, made: list[Engine]
) -> None:
    dialog.host.setText("me@gpu")
    dialog.accept_button.click()
    (engine,) = made
    assert engine.prepared and dialog.bar.isVisible() and not dialog.host.isEnabled()
    assert dialog.missing.text() == "Connecting to gpu"
    engine.known = True
    qtbot.waitUntil(lambda: window.engines == [engine])
    again = Connect(window)
    assert [again.recent.itemText(row) for row in range(1, again.recent.count())] == ["me@gpu", "cluster", "gpu"]
    again.recent.setCurrentIndex(1)
    again.recent.activated.emit(1)
    assert str(again.address()) == "ssh://me@gpu" and settings.value(settings.ENGINES, []) == ["ssh://me@gpu"]


def test_a_refusal_is_said_and_can_be_tried_again(qtbot, dialog: Connect, window: Window, made: list[Engine]) -> None:
    dialog.host.setText("gpu")
    dialog.accept_button.click()
    made[0].events.append(Refused(EngineLost("remote.refused_login", "{host} refused the login.", "log", host="gpu")))
    qtbot.waitUntil(lambda: dialog.missing.text() == "gpu refused the login.")
    assert dialog.isVisible() and dialog.host.isEnabled() and dialog.copy.isVisible() and not dialog.bar.isVisible()
    qtbot.waitUntil(lambda: made[0].closed)
    dialog.accept_button.click()
    made[1].known = True
    qtbot.waitUntil(lambda: window.engines == [made[1]])


def test_cancel_ends_the_connection_and_then_the_dialog(
    qtbot, dialog: Connect, window: Window, made: list[Engine]
) -> None:
    dialog.host.setText("gpu")
    dialog.accept_button.click()
    dialog.cancel_button.click()
    qtbot.waitUntil(lambda: made[0].closed)
    assert dialog.isVisible() and not dialog.bar.isVisible()
    made[0].known = True
    qtbot.wait(3 * module.LOOK)
    assert window.engines == []
    dialog.cancel_button.click()
    assert not dialog.isVisible()


@pytest.mark.parametrize("act", [ask, disconnect])
def test_unsaved_work_elsewhere_is_asked_about_first(
    qtbot, window: Window, made: list[Engine], act: Callable[[Window], None]
) -> None:
    document = window.document
    document.take_engine(replace(document.engine, place="gpu"))
    document.plan.mark(np.flatnonzero(~document.removed)[:1], True)
    act(window)
    assert window.findChild(Connect) is None and window.engines == []
    question = window.findChild(UnsavedWork)
    assert question is not None and "gpu" in question.findChildren(QLabel)[0].text()
    question.accept()
    assert (window.findChild(Connect) is not None) != (window.engines == [None])


def test_a_draft_finds_its_engine_again(qtbot, window: Window, made: list[Engine]) -> None:
    go_on(window, RemoteEngine("ssh://me@gpu", "abcdefgh"), lambda _window: None)
    (engine,) = made
    assert (str(engine.address), engine.name, engine.prepared) == ("ssh://me@gpu", "abcdefgh", True)
    engine.known = True
    qtbot.waitUntil(lambda: window.engines == [engine])
    go_on(window, None, lambda _window: None)
    assert window.engines[-1] is None


@pytest.mark.parametrize("there", ["", "0.1.0"])
def test_what_is_missing_or_of_another_version_there_is_installed_after_a_question(
    qtbot, dialog: Connect, window: Window, made: list[Engine], monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    asked: list[str] = []

    def install(address: Address, _token: object) -> Iterator[Progress]:
        asked.append(str(address))
        yield Progress("Installing on gpu: Collecting torch")
        if len(asked) == 1:
            raise SecateurError("install.failed", "No room on gpu.")

    monkeypatch.setattr(module, "install_there", install)
    dialog.host.setText("gpu")
    dialog.accept_button.click()
    code = "remote.version" if there else "remote.no_program"
    made[0].events.append(Refused(EngineLost(code, "Not so.", there=there)))
    qtbot.waitUntil(lambda: dialog.install.isVisible())
    dialog.install.click()
    question = dialog.findChild(InstallThere)
    assert question is not None and asked == [] and "gpu" in question.sentence.text()
    assert ("It replaces Secateur 0.1.0." in question.sentence.text()) == bool(there)
    question.install_button.click()
    qtbot.waitUntil(lambda: question.state.text() == "No room on gpu.")
    assert not question.bar.isVisible() and len(made) == 1
    question.install_button.click()
    qtbot.waitUntil(lambda: len(made) == 2)
    assert made[1].prepared and not dialog.install.isVisible() and asked == ["ssh://gpu"] * 2
    made[1].known = True
    qtbot.waitUntil(lambda: window.engines == [made[1]])


def test_other_refusals_offer_no_installation(qtbot, dialog: Connect, made: list[Engine]) -> None:
    dialog.host.setText("gpu")
    dialog.accept_button.click()
    made[0].events.append(Refused(EngineLost("remote.disk_full", "Full.")))
    qtbot.waitUntil(lambda: dialog.missing.text() == "Full.")
    assert not dialog.install.isVisible()
