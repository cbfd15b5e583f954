"""The real window with its engine behind a real ssh connection: from the sample to an ONNX file, with a cut between."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication

from secateur.app.dialogs.closing import UnsavedWork
from secateur.app.dialogs.connect import Connect
from secateur.app.jobs.state_jobs import StateJobs
from secateur.app.startup.application import WindowHolder, make_application
from secateur.engine.recovery.protocol import Repair, Teacher

from ...few_images import few_images
from .sshd import SSH, SSHD, Server, account_is_locked, loopback

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(SSHD is None or SSH is None, reason="needs sshd and ssh (openssh-server, openssh-client)"),
    pytest.mark.skipif(account_is_locked(), reason="sshd lets nobody in as a user whose password is locked"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ssh")
    there = folder / "there"
    there.mkdir()
    with few_images(there) as images, loopback(folder) as made:
        (there / "sitecustomize.py").write_text(FEW.format(images=str(images)))
        yield made


@pytest.fixture
def holder(monkeypatch: pytest.MonkeyPatch) -> Iterator[WindowHolder]:
    """The program's window; latencies, which take long and show nothing here, are not measured."""
    monkeypatch.setattr(StateJobs, "measure_if_cheap", lambda _self: None)
    made = WindowHolder(parent=make_application())
    made.window.show()
    yield made
    made.window.leave()
    made.window.deleteLater()
    made.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # type: ignore[arg-type]


def test_the_sample_is_pruned_there_and_exported_here_and_a_cut_connection_changes_nothing(
    qtbot: Any, server: Server, holder: WindowHolder, tmp_path: Path
) -> None:
    first = holder.window

    def until(condition: Callable[[], Any], seconds: float = 300) -> None:
        qtbot.waitUntil(lambda: condition() and not holder.window.document.dispatcher.busy, timeout=int(1000 * seconds))

    until(lambda: first.area is not None)
    first.run_command("run.connect")
    connect = _dialog(first, Connect)
    connect.host.setText("nobody.invalid")
    connect.accept_button.click()
    until(
        lambda: (
            connect.missing.text()
            == "nobody.invalid is not known. Check the name, or add it to your ssh configuration."
        )
    )
    connect.host.setText("loop")
    connect.accept_button.click()
    until(lambda: holder.window is not first and holder.window.area is not None)

    window = holder.window
    document, workbench = window.document, window.workbench
    said: list[str] = []
    document.announced.connect(said.append)
    document.failed.connect(lambda error: said.append(f"failed: {error}"))
    window.run_command("file.resnet")
    until(lambda: document.scores is not None and not document.jobs)
    assert window.windowTitle().endswith("Secateur on loop") and document.engine.processor.startswith("loop: CPU")
    workbench.plan.suggest()
    until(lambda: bool(document.marked.any()))
    workbench.states.cut()
    until(lambda: not document.jobs)
    cut = document.contents.present
    settings = replace(document.recovery, epochs=1, teacher=Teacher.ORIGINAL, repair=Repair.NONE, threads=1)
    workbench.states.recover(settings)
    until(lambda: len(document.contents.training.points) > 2)
    server.cut()
    until(lambda: not document.jobs)
    recovered = document.contents.states[document.contents.present]
    lost, back = (next(i for i, one in enumerate(said) if one.startswith(words)) for words in (LOST, BACK))
    assert lost < back  # while it ran
    again: list[Any] = []
    workbench.runner.run("Once more", again.append, "recover", cut, settings)
    until(lambda: bool(again))
    assert again[0].weights == recovered.weights  # nothing was lost on the way, and nothing done twice

    file = tmp_path / "home" / "model.onnx"
    file.parent.mkdir()
    workbench.states.export("onnx", str(file))
    until(lambda: not document.jobs)
    exported = document.contents.states[document.contents.present].exports
    assert file.stat().st_size > 10_000 and [one.files for one in exported] == [(str(file),)]
    assert not any(one.startswith("failed") for one in said)

    window.run_command("run.disconnect")
    _dialog(window, UnsavedWork).accept()
    until(lambda: holder.window is not window and holder.window.area is not None)
    assert holder.window.document.engine.place == "" and "loop" not in holder.window.windowTitle()
    engines = server.folder / "cache" / "secateur" / "engines"
    until(lambda: not [*engines.iterdir()])  # nothing stays there


FEW = """from pathlib import Path
from secateur.resources import samples

samples.arrays = lambda: Path({images!r})
"""
"""What has the processes there find a few of the bundled images."""
LOST, BACK = "Lost the connection to loop.", "Connected to loop again."


def _dialog(window: QObject, kind: type[Any]) -> Any:
    found = window.findChild(kind)
    assert found is not None
    return found
