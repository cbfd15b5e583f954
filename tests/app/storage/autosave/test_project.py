"""The real window and engine: a project brings back what the window knew, a moved file is asked for."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication

from secateur.app.dialogs.relocate_file import RelocateFile
from secateur.app.document.aspects import Goal
from secateur.app.jobs import state_jobs
from secateur.app.startup import application as program
from secateur.app.window.main_window import MainWindow
from secateur.engine.session.states import StateKind
from tests.engine.session.small import write_project
from tests.engine.storage.test_folder_lock import held
from tests.warm_start import python

from ...window.test_window import LONG

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def no_latencies(monkeypatch) -> None:
    monkeypatch.setattr(state_jobs, "CHEAP", 0)


@pytest.fixture
def windows(qtbot, dressed) -> Iterator:
    made: list[MainWindow] = []

    def make() -> MainWindow:
        window = program.make_window()
        qtbot.addWidget(window)
        window.show()
        qtbot.waitUntil(lambda: window.area is not None, timeout=LONG)
        made.append(window)
        return window

    yield make
    for window in made:
        window.close()


def quiet(window: MainWindow, qtbot) -> None:
    document = window.document
    qtbot.waitUntil(
        lambda: document.scores is not None and not document.jobs and not document.dispatcher.busy, timeout=LONG
    )


def worked_on(windows, qtbot, tmp_path: Path) -> MainWindow:
    """A window with a cut, and marks and a lock on top."""
    window = windows()
    window.open(write_project(tmp_path / "mine"))
    quiet(window, qtbot)
    document = window.document
    workbench = window.workbench
    wide = max(document.analysis.sets, key=lambda one: one.count)
    document.plan.mark([wide.first, wide.first + 1], True)
    workbench.states.cut()
    qtbot.waitUntil(lambda: document.state.kind is StateKind.CUT, timeout=LONG)
    quiet(window, qtbot)
    document.plan.mark([wide.first + 3], True)
    document.plan.lock([wide.first + 5], True)
    document.plan.set_goal(Goal(0.7, 1.0))
    return window


def shown(window: MainWindow) -> tuple:
    document = window.document
    masks = (document.marked, document.locked, document.contents.by_hand, document.removed)
    texts = [entry.text for entry in document.history.entries]
    return document.contents.present, *(np.flatnonzero(m).tolist() for m in masks), document.goal, texts


def test_a_project_brings_back_marks_locks_goal_and_the_undo_history(windows, qtbot, tmp_path: Path) -> None:
    window = worked_on(windows, qtbot, tmp_path)
    before = shown(window)
    window.workbench.model.save(str(tmp_path / "project"))
    qtbot.waitUntil(lambda: window.document.history.clean, timeout=LONG)
    window.close()
    again = windows()
    again.open_source(str(tmp_path / "project"))
    quiet(again, qtbot)
    qtbot.waitUntil(lambda: bool(again.document.history.entries), timeout=LONG)
    assert shown(again) == before and again.document.history.clean
    for _ in range(4):
        again.document.plan.undo()
        quiet(again, qtbot)
    assert again.document.contents.present == "s0" and again.document.marked.sum() == 2


def test_a_session_that_was_closed_is_gone_on_with_from_the_list_of_what_was_opened(
    windows, qtbot, tmp_path: Path
) -> None:
    window = worked_on(windows, qtbot, tmp_path)
    before, folder = shown(window), str(window.document.engine.folder)
    window.close()
    again = windows()
    assert not again.restore_bar.isVisible()
    again.open_source(folder)
    quiet(again, qtbot)
    assert shown(again) == before and again.document.engine.folder == Path(folder)
    again.open_source(folder)
    assert "already open" in again.document.messages.lines()[-1]
    other = windows()
    other.open_source(folder)
    qtbot.waitUntil(lambda: any("is in use by" in line for line in other.document.messages.lines()), timeout=LONG)


def test_a_project_belongs_to_the_window_or_to_the_command_that_was_first(windows, qtbot, tmp_path: Path) -> None:
    window, project = worked_on(windows, qtbot, tmp_path), str(tmp_path / "project")
    window.workbench.model.save(project)
    qtbot.waitUntil(lambda: window.document.history.clean, timeout=LONG)
    command = python("-m", "secateur.app.main", "baselines", project, "--kind", "random", "--no-timing")
    refused = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode != 0
    assert f"{project} is in use by the window of Secateur (process {os.getpid()} on " in refused.stderr
    window.close()
    with held(Path(project)):
        again = windows()
        again.open_source(project)
        qtbot.waitUntil(lambda: "is in use by secateur sweep (process" in again.errors.sentence.text(), timeout=LONG)
    again.open_source(project)
    quiet(again, qtbot)
    assert len(again.document.states) == 2


def test_a_project_whose_model_has_moved_asks_for_it_and_opens(windows, qtbot, tmp_path: Path) -> None:
    from secateur.app.dialogs.consent import ConsentDialog

    window = worked_on(windows, qtbot, tmp_path)
    before = shown(window)
    window.workbench.model.save(str(tmp_path / "project"))
    qtbot.waitUntil(lambda: window.document.history.clean, timeout=LONG)
    window.close()
    shutil.move(tmp_path / "mine", tmp_path / "elsewhere")
    again = windows()
    again.open_source(str(tmp_path / "project"))

    def dialog(kind: type) -> Any:
        return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)

    qtbot.waitUntil(lambda: dialog(RelocateFile) is not None, timeout=LONG)
    asked = dialog(RelocateFile)
    assert not asked.accept_button.isEnabled()
    asked.path.setText(str(tmp_path / "elsewhere" / "model.py"))
    asked.accept_button.click()

    qtbot.waitUntil(lambda: dialog(ConsentDialog) is not None, timeout=LONG)  # code at another place is other code
    dialog(ConsentDialog).accept_button.click()
    quiet(again, qtbot)
    qtbot.waitUntil(lambda: bool(again.document.history.entries), timeout=LONG)
    assert shown(again) == before
