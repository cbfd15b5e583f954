"""Every test of the window gets its own settings and data folders, and fails on an exception in a slot."""

import gc
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from secateur.app import theme
from secateur.app.jobs import job_queue, job_runner
from secateur.app.window.main_window import MainWindow

from .fake_link import FakeLink, workbench_on
from .playing import Player, Window, play
from .stand_in import task_info
from .turns import PatientBot

LONG = 60.0
"""Seconds that no test takes."""
MANY = 60
"""Menus and windows, about as many as one main window has."""


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> QtBot:
    return PatientBot(request)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests is read or written."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def patient_bounds(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A busy machine takes longer over a test than a person does: letters still belong together, a job was short."""
    monkeypatch.setattr(job_queue, "SAME_STEP", LONG)
    monkeypatch.setattr(job_runner, "WORTH_A_LINE", LONG)
    hints = QGuiApplication.styleHints()
    before = hints.keyboardInputInterval()
    hints.setKeyboardInputInterval(round(1000 * LONG))
    yield
    hints.setKeyboardInputInterval(before)


_kept_windows = 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """As in the program (`app.collector`): no thread but this one destroys the widgets that a test has left."""
    global _kept_windows
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect(1)
        # Windows of fixtures outlive their first test and so move to the oldest generation. Left there, they cost each
        # later switch of the look a second or more, because Qt styles whatever exists.
        if len(QApplication.topLevelWidgets()) > _kept_windows + MANY:
            gc.collect()
            _kept_windows = len(QApplication.topLevelWidgets())
        _kept_windows = min(_kept_windows, len(QApplication.topLevelWidgets()))
        gc.enable()


@pytest.fixture
def dressed(qapp: QApplication) -> Iterator[QApplication]:
    """The application in its light look."""
    theme.apply(qapp, theme.Scheme.LIGHT, theme.Sizes().body)
    yield qapp


@pytest.fixture
def player(dressed: QApplication) -> Iterator[Player]:
    """A model is open and scored, judging a sample takes a millisecond; the engine is the test."""
    made = play(task=replace(task_info(), seconds=0.001))
    yield made
    made.workbench.close()


@pytest.fixture
def window(qtbot: QtBot, player: Player) -> Window:
    """What dialogs ask of a window, over that document."""
    made = Window(player.workbench)
    qtbot.addWidget(made)
    return made


@pytest.fixture
def main(player: Player, qtbot: QtBot) -> Iterator[MainWindow]:
    """The whole window over that document."""
    made = MainWindow(player.workbench)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: made.area is not None)
    yield made
    made.document.take_jobs((), None)  # closing asks nothing
    made.close()


@pytest.fixture
def empty(qtbot: QtBot, dressed: QApplication) -> Iterator[MainWindow]:
    """The whole window without a model."""
    made = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: made.area is not None)
    yield made
    made.close()
