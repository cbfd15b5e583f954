"""The real window and engine: a stranger's files run nothing, by whatever entrance, until a dialog is answered."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication

from secateur.app.dialogs.consent import ConsentDialog
from secateur.app.jobs import state_jobs
from secateur.app.jobs.recipes import ReplayRequest
from secateur.app.startup import application as program
from secateur.app.window.main_window import MainWindow
from secateur.engine.cli.main import main
from secateur.engine.recipes.compatibility import Mode
from tests.engine.session.small import write_project
from tests.engine.test_trust import EVIL, ran, written

LONG = 100_000
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def window(qtbot, dressed, monkeypatch) -> Iterator[MainWindow]:
    monkeypatch.setattr(state_jobs, "CHEAP", 0)
    window = program.make_window()
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None, timeout=LONG)
    yield window
    window.close()


def question(qtbot) -> ConsentDialog:
    """The dialog, once the engine has refused."""

    def found() -> Any:
        return next((w for w in QApplication.topLevelWidgets() if isinstance(w, ConsentDialog) and w.isVisible()), None)

    qtbot.waitUntil(lambda: found() is not None, timeout=LONG)
    return found()


def quiet(qtbot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: not window.document.jobs and not window.document.dispatcher.busy, timeout=LONG)


def dropped(window: MainWindow, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    copy, buttons, keys = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(5, 5), copy, data, buttons, keys))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project and a bundle, with code beside them, that came from another machine."""
    made, away = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("foreign")
    write_project(made)
    command = ["prune", f"{made / 'model.py'}:make", "--input", "1x1x8x8", "--no-recover", "--threads", "1"]
    assert main([*command, "--save", str(made / "project")]) == 0
    assert main(["bundle", str(made / "project"), "--out", str(made / "share.zip"), "--with-weights"]) == 0
    shutil.copytree(made, away, dirs_exist_ok=True)
    (away / "model.py").write_text(EVIL)
    return away


@pytest.mark.parametrize("entrance", ["open_source", "reopen", "drop"])
@pytest.mark.parametrize("what", ["project", "share.zip"])
def test_projects_and_bundles_ask_before_their_code_runs(qtbot, window, foreign: Path, entrance, what) -> None:
    (foreign / "ran").unlink(missing_ok=True)
    path = foreign / what
    if entrance == "drop":
        dropped(window, path)
    else:
        getattr(window, entrance)(str(path))
    dialog = question(qtbot)
    assert not ran(foreign) and window.document.analysis is None
    qtbot.keyClick(dialog.cancel_button, Qt.Key.Key_Return)
    assert not ran(foreign)
    window.open_source(str(path))
    qtbot.mouseClick(question(qtbot).accept_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.document.analysis is not None, timeout=LONG)
    assert ran(foreign)
    quiet(qtbot, window)


def test_recipes_ask_before_their_models_and_their_baselines_code_runs(qtbot, window, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    window.workbench.recipes.open(ReplayRequest(str(written(tmp_path))))
    qtbot.keyClick(question(qtbot).cancel_button, Qt.Key.Key_Return)
    assert not ran(tmp_path)
    baseline = {"step": "baseline", "intent": {"kind": "stock", "source": "../evil.py:make", "epochs": 0}}
    path = written(tmp_path / "baseline", "bundled:resnet", baseline)
    window.open(write_project(tmp_path / "mine"))
    document = window.document
    workbench = window.workbench
    qtbot.waitUntil(lambda: document.scores is not None and not document.jobs, timeout=LONG)
    workbench.recipes.apply(str(path), Mode.SAME_INDICES)
    qtbot.keyClick(question(qtbot).cancel_button, Qt.Key.Key_Return)
    assert not ran(tmp_path)
    quiet(qtbot, window)


def test_an_export_folder_asks_before_the_code_it_names_runs(qtbot, window, tmp_path: Path) -> None:
    made = tmp_path / "made"
    write_project(made)
    command = ["prune", f"{made / 'model.py'}:make", "--input", "1x1x8x8", "--no-recover", "--threads", "1"]
    assert main([*command, "--export", str(made / "out")]) == 0
    content = json.loads((made / "out" / "shapes.json").read_text())
    content["source"]["source"] = "../evil.py:make"
    (made / "out" / "shapes.json").write_text(json.dumps(content))
    (made / "evil.py").write_text(EVIL)
    dropped(window, made / "out")
    qtbot.keyClick(question(qtbot).cancel_button, Qt.Key.Key_Return)
    assert not ran(made)
