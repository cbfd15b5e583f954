"""Paths in dialogs while the engine is on another machine: this disk does not know what lies there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QDialog, QFileDialog, QPushButton

from secateur.app.dialogs.apply_recipe import ApplyRecipe
from secateur.app.dialogs.attach_data import AttachData
from secateur.app.dialogs.baselines import Baselines
from secateur.app.dialogs.checkpoint import AttachWeights, ChooseCheckpoint
from secateur.app.dialogs.form import FormDialog
from secateur.app.dialogs.open_model import FILE, FOLDER, GRAPH, HUGGING_FACE_FOLDER, KINDS, Kind, OpenModel
from secateur.app.dialogs.paths import choose
from secateur.app.dialogs.project import ask_bundle, ask_folder
from secateur.app.dialogs.relocate_file import RelocateFile
from secateur.app.dialogs.remote_browser import RemoteBrowser, SendFile
from secateur.engine.baselines.protocol import BaselineKind
from secateur.engine.errors import SecateurError
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec

from ..playing import Window
from ..remote.disk import Disk

Fill = Callable[[Window], FormDialog]
NOWHERE = "/no/such/place"


def model(kind: Kind, name: str, weights: str = "") -> Fill:
    def fill(window: Window) -> FormDialog:
        dialog = OpenModel(window)
        dialog.kind.setCurrentIndex(KINDS.index(kind))
        dialog.name.setText(name)
        dialog.weights.setText(weights)
        return dialog

    return fill


def data(kind: str, path: str, tokenizer: str = "") -> Fill:
    def fill(window: Window) -> FormDialog:
        dialog = AttachData(window)
        dialog.data.take(TaskSpec(kind, path, options=(("tokenizer", tokenizer),)))
        return dialog

    return fill


def one_path(window: Window, dialog: ChooseCheckpoint | AttachWeights | RelocateFile) -> FormDialog:
    dialog.path.setText(f"{NOWHERE}/net.pt")
    return dialog


def recipe(window: Window) -> FormDialog:
    dialog = ApplyRecipe(window)
    dialog.recipe.setText(f"{NOWHERE}/recipe.json")
    dialog.weights.setText(f"{NOWHERE}/net.pt")
    return dialog


def baselines(window: Window) -> FormDialog:
    dialog = Baselines(window, BaselineKind.STOCK)
    dialog.stock.setText("torchvision:resnet18")
    dialog.weights.setText(f"{NOWHERE}/net.pt")
    return dialog


FILLED: dict[str, Fill] = {
    "code": model(FILE, f"{NOWHERE}/net.py:make"),
    "weights": model(FILE, f"{__file__}:make", f"{NOWHERE}/net.pt"),
    "graph": model(GRAPH, f"{NOWHERE}/net.onnx"),
    "folder": model(HUGGING_FACE_FOLDER, NOWHERE),
    "data": data("folder", NOWHERE),
    "tokenizer": data("text", __file__, f"{NOWHERE}/tokenizer.json"),
    "checkpoint": lambda window: one_path(window, ChooseCheckpoint(window)),
    "attach weights": lambda window: one_path(window, AttachWeights(window)),
    "relocate": lambda window: one_path(window, RelocateFile(window, "/old/net.pt", "weights", lambda _new: None)),
    "recipe": recipe,
    "baselines": baselines,
}


@pytest.fixture(autouse=True)
def closed(window: Window) -> Iterator[None]:
    """No dialog stays open."""
    yield
    for dialog in window.findChildren(QDialog):
        dialog.close()


@pytest.fixture
def elsewhere(window: Window) -> Window:
    """A window whose engine is on another machine."""
    window.document.engine = replace(window.document.engine, place="gpu")
    return window


@pytest.mark.parametrize("fill", FILLED.values(), ids=FILLED.keys())
def test_what_lies_on_another_machine_is_not_looked_for_on_this_one(qtbot, window: Window, fill: Fill) -> None:
    here = fill(window)
    qtbot.addWidget(here)
    assert here.problem()
    window.document.engine = replace(window.document.engine, place="gpu")
    there = fill(window)
    qtbot.addWidget(there)
    assert there.problem() == ""


def test_a_path_that_nobody_typed_is_asked_for_all_the_same(qtbot, elsewhere: Window) -> None:
    for dialog in (ChooseCheckpoint(elsewhere), AttachWeights(elsewhere), ApplyRecipe(elsewhere)):
        qtbot.addWidget(dialog)
        assert dialog.problem()


def test_a_path_there_is_handed_on_as_it_was_typed(qtbot, elsewhere: Window) -> None:
    found: list[str] = []
    dialog = RelocateFile(elsewhere, "/old/net.pt", "weights", found.append)
    qtbot.addWidget(dialog)
    dialog.path.setText("~/models/net.pt")
    dialog.act()
    checkpoint = ChooseCheckpoint(elsewhere)
    qtbot.addWidget(checkpoint)
    checkpoint.path.setText("models/net.pt")
    checkpoint.act()
    assert found == ["~/models/net.pt"] and elsewhere.opened[-1].weights == "models/net.pt"


def test_a_folder_there_is_offered_again_as_one(qtbot, elsewhere: Window) -> None:
    for source, kind in ((f"{NOWHERE}/project", FOLDER), (f"{NOWHERE}/net.py:make", FILE)):
        elsewhere.workbench.model.asked = ModelSpec(source)
        dialog = OpenModel(elsewhere)
        qtbot.addWidget(dialog)
        assert dialog.kind.currentData() is kind and dialog.spec().source == source


@pytest.mark.parametrize(("ask", "path"), [(ask_folder, "/data/work"), (ask_bundle, "/data/work.zip")])
def test_a_project_there_is_looked_for_there(qtbot, elsewhere: Window, ask, path: str) -> None:
    elsewhere.workbench.elsewhere = Disk({"/data/work": None, "/data/work.zip": 3})  # type: ignore[assignment]
    ask(elsewhere)
    assert not elsewhere.findChildren(QFileDialog)
    browser = elsewhere.findChild(RemoteBrowser)
    assert browser is not None
    browser.path.setText(path)
    browser.accept_button.click()
    qtbot.waitUntil(lambda: elsewhere.opened == [ModelSpec(path)])
    assert not Path(path).exists()


# The browser.


@pytest.fixture
def disk() -> Disk:
    return Disk({"/home/me": None, "/home/me/net.pt": 1200, "/home/me/.hidden": 1, "/home/me/b.txt": 2, "/data": None})


def browsed(window: Window, disk: Disk, **how: Any) -> tuple[RemoteBrowser, list[str]]:
    found: list[str] = []
    choose(window, disk, "Checkpoint", found.append, **how)  # type: ignore[arg-type]
    browser = window.findChild(RemoteBrowser)
    assert browser is not None and "gpu" in browser.windowTitle()
    return browser, found


def names(browser: RemoteBrowser) -> list[str]:
    model = browser.entries
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def test_folders_there_are_walked_through_with_the_keyboard(qtbot, elsewhere: Window, disk: Disk) -> None:
    browser, found = browsed(elsewhere, disk)
    assert names(browser) == ["b.txt", "net.pt"] and browser.path.text() == "/home/me"
    qtbot.keyClick(browser.table, Qt.Key.Key_Backspace)
    qtbot.keyClick(browser.table, Qt.Key.Key_Backspace)
    assert names(browser) == ["data", "home"]
    browser.table.setCurrentIndex(browser.entries.index(1, 0))
    qtbot.keyClick(browser.table, Qt.Key.Key_Return)
    assert names(browser) == ["me"] and found == []
    browser.home.click()
    browser.table.setCurrentIndex(browser.entries.index(1, 0))
    qtbot.keyClick(browser.table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: found == ["/home/me/net.pt"])


def test_it_begins_at_what_was_typed_and_says_what_is_not_there(qtbot, elsewhere: Window, disk: Disk) -> None:
    browser, found = browsed(elsewhere, disk, begin="/home/me/gone.pt", filters="Weights (*.pt);;All files (*)")
    assert names(browser) == ["net.pt"]
    browser.filter.setCurrentIndex(1)
    assert names(browser) == ["b.txt", "net.pt"]
    browser.path.setText("/data/none.pt")
    browser.accept_button.click()
    assert browser.status.text() == "/data/none.pt does not exist on gpu." and found == []
    disk.error = SecateurError("a.b", "/root on gpu cannot be read: Permission denied. Choose another folder.")
    browser.path.setText("/root")
    browser.accept_button.click()
    assert "Permission denied" in browser.status.text()
    disk.error = None
    browser.path.setText("/home/me/net.pt")
    browser.accept_button.click()
    qtbot.waitUntil(lambda: found == ["/home/me/net.pt"])


def test_a_list_without_a_row_says_why(qtbot, elsewhere: Window) -> None:
    disk = Disk({"/home/me": None, "/home/me/b.txt": 2, "/home/me/.ssh/config": 1, "/data": None, "/data/.x": 1})
    browser, _ = browsed(elsewhere, disk, filters="Weights (*.pt);;All files (*)")
    assert names(browser) == [] and browser.status.text() == "No file matches Weights (*.pt)."
    browser.filter.setCurrentIndex(1)
    assert names(browser) == ["b.txt"] and browser.status.text() == ""
    browser.visit("/data")
    assert browser.status.text() == "1 hidden name is not listed. Type the name."


def test_a_file_of_this_machine_is_sent_after_a_question(qtbot, elsewhere: Window, disk: Disk, tmp_path: Path) -> None:
    browser, found = browsed(elsewhere, disk)
    (tmp_path / "task.py").write_text("x = 1")
    browser._send(str(tmp_path / "task.py"))
    question = browser.findChild(SendFile)
    assert question is not None and "task.py (5.00 B)" in question.sentence.text() and "gpu" in question.sentence.text()
    assert disk.sent == []
    disk.error = SecateurError("a.b", "task.py cannot be written on gpu: No space left on device. Make room there.")
    question.send_button.click()
    assert "No space left" in question.problem.text() and found == []
    disk.error = None
    question.send_button.click()
    qtbot.waitUntil(lambda: found == ["/home/me/secateur-files/task.py"])
    assert disk.sent == [tmp_path / "task.py"]


def test_a_path_of_this_machine_alone_is_named_before_anything_starts(qtbot, elsewhere: Window, disk: Disk) -> None:
    elsewhere.workbench.elsewhere = disk  # type: ignore[assignment]
    dialog = ChooseCheckpoint(elsewhere)
    qtbot.addWidget(dialog)
    dialog.path.setText(__file__)
    qtbot.waitUntil(lambda: dialog.missing.text().replace("\u200b", "").startswith(f"{__file__} is on this machine"))
    assert not dialog.accept_button.isEnabled()
    dialog.path.setText("/home/me/none.pt")
    qtbot.waitUntil(lambda: dialog.missing.text() == "/home/me/none.pt does not exist on gpu.")
    dialog.path.setText("/home/me/net.pt")
    assert dialog.missing.text() == "" and dialog.accept_button.isEnabled()


def test_what_is_browsed_for_is_taken_into_its_row(qtbot, elsewhere: Window, disk: Disk, tmp_path: Path) -> None:
    elsewhere.workbench.elsewhere = disk  # type: ignore[assignment]
    dialog = AttachWeights(elsewhere)
    qtbot.addWidget(dialog)
    dialog.show()
    next(one for one in dialog.findChildren(QPushButton) if one.text() == "Browse...").click()
    browser = dialog.findChild(RemoteBrowser)
    assert browser is not None
    (tmp_path / "net.pt").write_text("x")
    browser._send(str(tmp_path / "net.pt"))
    question = browser.findChild(SendFile)
    assert question is not None
    question.send_button.click()
    qtbot.waitUntil(lambda: dialog.path.text() == "/home/me/secateur-files/net.pt")
    qtbot.waitUntil(lambda: QApplication.focusWidget() is dialog.path)
