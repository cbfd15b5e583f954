"""The real window with its real engine: a session is recorded, handed on, looked at elsewhere and done again."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from secateur.app.dialogs.apply_recipe import ApplyRecipe, ChooseMode
from secateur.app.dialogs.export import Share
from secateur.app.jobs import state_jobs
from secateur.app.startup import application as program
from secateur.app.window.main_window import MainWindow
from secateur.engine.recipes.compatibility import Mode
from tests.engine.session.small import write_project

LEFT, LONG = Qt.MouseButton.LeftButton, 240_000
FILTERS = "filter|block.conv1.weight|0"

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]


@pytest.fixture
def window(qtbot, dressed, monkeypatch) -> Iterator[MainWindow]:
    monkeypatch.setattr(state_jobs, "CHEAP", 0)  # latencies take longer than all else here
    window = program.make_window()
    qtbot.addWidget(window)
    window.resize(1440, 900)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None)
    yield window
    window.close()


class Hand:
    """Waits and presses."""

    def __init__(self, window: MainWindow, qtbot) -> None:
        self.window, self.qtbot = window, qtbot

    def wait(self, condition) -> None:
        self.qtbot.waitUntil(lambda: condition() and not self.window.document.dispatcher.busy, timeout=LONG)

    def quiet(self) -> None:
        self.wait(lambda: not self.window.document.jobs)

    def command(self, name: str) -> None:
        action = self.window.commands.by_id[name]
        self.wait(action.isEnabled)
        action.trigger()

    def dialog(self, kind: type[Any]) -> Any:
        def found() -> Any:
            return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)

        self.wait(lambda: found() is not None)
        return found()

    def press(self, dialog) -> None:
        self.qtbot.mouseClick(dialog.accept_button, LEFT)
        self.quiet()

    def hand_on(self, name: str, path: Path) -> None:
        self.command(name)
        dialog = self.dialog(Share)
        dialog.path.clear()
        self.qtbot.keyClicks(dialog.path, str(path))
        self.press(dialog)
        assert path.is_file(), self.window.errors.sentence.text()


def test_from_the_recorder_to_a_colleague_and_to_the_next_version(window, qtbot, tmp_path: Path) -> None:
    hand, document = Hand(window, qtbot), window.document
    window.open(write_project(tmp_path / "mine"))
    hand.wait(lambda: document.scores is not None)
    hand.quiet()
    one = next(each for each in document.analysis.sets if each.key == FILTERS)
    document.plan.mark([one.first + 1, one.first + 2, one.first + 7], True)
    hand.command("run.cut")
    hand.wait(lambda: len(document.states) == 2 and not document.busy)
    hand.quiet()
    window.show_panel("recipe")
    panel = window.area.panels["recipe"]
    hand.wait(lambda: f'"{FILTERS}": "1-2, 7",' in panel.text.toPlainText())
    assert "model.py:make" in panel.text.toPlainText() and "data.npz" in panel.text.toPlainText()

    hand.hand_on("file.export_script", tmp_path / "mine" / "again.py")
    hand.hand_on("file.export_recipe", tmp_path / "mine" / "recipe.json")
    hand.hand_on("file.export_report", tmp_path / "report.html")
    hand.hand_on("file.share", tmp_path / "share.zip")
    script = (tmp_path / "mine" / "again.py").read_text()
    assert f'"{FILTERS}": "1-2, 7",' in script and str(tmp_path) not in script
    assert "<svg" in (tmp_path / "report.html").read_text()
    assert "structures.json" in zipfile.ZipFile(tmp_path / "share.zip").namelist()

    window.open_source(str(tmp_path / "share.zip"))
    hand.wait(lambda: bool(document.absent) and len(document.states) == 2)
    hand.quiet()
    assert window.absence.isVisible() and "is read-only" in window.absence.sentence.text()
    assert document.removed[one.first + 7] and not window.commands.by_id["file.save"].isEnabled()
    assert window.area.isVisible()

    qtbot.mouseClick(window.absence.name, LEFT)
    dialog = hand.dialog(ApplyRecipe)
    assert dialog.recipe.text() == str(tmp_path / "share.zip")
    qtbot.keyClicks(dialog.source, f"{tmp_path / 'mine' / 'model.py'}:make")
    hand.press(dialog)
    choice = hand.dialog(ChooseMode)
    assert "No data is attached" in choice.differences.toPlainText()
    assert choice.modes[Mode.SAME_INDICES].isChecked()
    hand.press(choice)
    hand.wait(lambda: len(document.states) == 2 and document.contents.present == "s1")
    assert not document.absent and document.state.verification.passed
    assert document.state.removed == {FILTERS: [1, 2, 7]}
    hand.quiet()
