"""The real window with its real engine process, driven by mouse and keys and read back from the screen."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QPushButton

from secateur.app.dialogs.export import ExportDialog
from secateur.app.dialogs.sweep import SweepDialog
from secateur.app.jobs import engine_link, state_jobs
from secateur.app.startup import application as program
from secateur.app.window.command_palette import CommandPalette
from secateur.app.window.main_window import MainWindow
from secateur.engine.recovery.protocol import Teacher
from secateur.engine.session.states import StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec
from secateur.resources import samples
from secateur.resources.fashion_mnist import MEAN, STD
from tests import waiting
from tests.engine.session.small import write_project
from tests.warm_start import process_behind

LONG = 240_000
"""Milliseconds that a step may take on a busy machine."""
LEFT = Qt.MouseButton.LeftButton

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]


@pytest.fixture
def window(qtbot, dressed) -> Iterator[MainWindow]:
    window = program.make_window()
    qtbot.addWidget(window)
    window.resize(1440, 900)
    window.show()
    qtbot.waitUntil(lambda: window.area is not None)
    yield window
    window.close()


@pytest.fixture
def no_latencies(monkeypatch) -> None:
    """They are measured by the way, in processes of their own, which take longer than all else here."""
    monkeypatch.setattr(state_jobs, "CHEAP", 0)


class Hand:
    """Clicks and types as a person would."""

    def __init__(self, window: MainWindow, qtbot) -> None:
        self.window, self.qtbot = window, qtbot

    def wait(self, condition, timeout: int = LONG) -> None:
        """Until something holds and all that is in front shows it."""
        self.qtbot.waitUntil(lambda: condition() and not self.window.document.dispatcher.busy, timeout=timeout)

    def press(self, text: str) -> None:
        """Click the visible, enabled button with this text."""

        def found() -> QPushButton | None:
            buttons = self.window.findChildren(QPushButton)
            return next((b for b in buttons if b.isVisible() and b.isEnabled() and re.fullmatch(text, b.text())), None)

        self.wait(lambda: found() is not None)
        self.qtbot.mouseClick(found(), LEFT)

    def tab(self, title: str) -> None:
        """Click a tab, on the page in front or on the next one that has it."""
        for step in (None, *self.window.area.panels["state_strip"].steps.values()):
            if step is not None:
                self.qtbot.mouseClick(step, LEFT)
            for bar in (tabs.bar for tabs in self.window.area.tabs.values() if tabs.isVisible()):
                for index in range(bar.count()):
                    if bar.tabText(index) == title:
                        self.qtbot.mouseClick(bar, LEFT, pos=bar.tabRect(index).center())
                        return
        raise AssertionError(f"no page has {title}")

    def type_into(self, field, text: str) -> None:
        field.setFocus()
        self.qtbot.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.qtbot.keyClicks(field, text)

    def keys(self, key, modifier=Qt.KeyboardModifier.ControlModifier) -> None:
        self.window.activateWindow()
        self.wait(self.window.isActiveWindow)
        self.qtbot.keyClick(QApplication.focusWidget() or self.window, key, modifier)

    def shortcut(self, key, modifier=Qt.KeyboardModifier.ControlModifier) -> None:
        self.keys(key, modifier)
        self.wait(lambda: True)

    def quiet(self) -> None:
        self.wait(lambda: not self.window.document.jobs)

    def open_resnet(self) -> None:
        self.press("Open sample ResNet")
        self.opened()

    def open_small(self, folder: Path) -> None:
        """The same network with a few hundred images, so that its jobs are short."""
        self.window.open(ModelSpec("bundled:resnet", task=few_images(folder)))
        self.opened()

    def opened(self) -> None:
        """Wait until the original is scored and judged."""
        document = self.window.document
        self.wait(lambda: document.scores is not None and document.metric(document.original) is not None)

    def cut(self) -> None:
        self.press("Suggest plan")
        self.press(r"Cut [\d,]+ structures")
        self.wait(lambda: not self.window.document.busy)

    def one_epoch(self) -> None:
        self.tab("Recovery")
        epochs = self.window.area.panels["recovery"].epochs
        self.type_into(epochs.lineEdit(), "1")
        self.qtbot.keyClick(epochs, Qt.Key.Key_Return)


@pytest.fixture
def hand(window: MainWindow, qtbot) -> Hand:
    return Hand(window, qtbot)


def few_images(folder: Path) -> TaskSpec:
    """A part of the sample's images, as anyone's own arrays."""
    with np.load(samples.arrays()) as whole:
        count = {"train": 640, "val": 128, "test": 128}
        part = {f"{letter}_{split}": whole[f"{letter}_{split}"][:n] for split, n in count.items() for letter in "xy"}
    np.savez(folder / "few.npz", **part)
    return TaskSpec("arrays", str(folder / "few.npz"), mean=(MEAN,), std=(STD,))


def shown_metric(window: MainWindow) -> str:
    return window.area.panels["ledger"].cells["metric"].number.text()


def top_dialog(kind: type) -> Any:
    return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)


def test_from_the_bundled_resnet_to_an_onnx_file_with_the_accuracy_that_the_window_displayed(
    no_latencies, window, hand, qtbot, tmp_path
):
    document = window.document
    hand.open_resnet()
    assert shown_metric(window) == f"{100 * document.original.metrics[0].value:.1f} %"
    hand.cut()
    assert document.state.kind is StateKind.CUT and document.state.verification.passed
    hand.tab("Recovery")
    document.set_recovery(replace(document.recovery, teacher=Teacher.ORIGINAL))  # an epoch less
    hand.wait(lambda: window.area.panels["recovery"].settings.teacher is Teacher.ORIGINAL)
    hand.one_epoch()
    hand.press("Recover, 1 epoch")
    hand.wait(lambda: document.state.kind is StateKind.RECOVERED and document.metric(document.state) is not None)
    hand.press("Export ONNX")
    hand.wait(lambda: top_dialog(ExportDialog) is not None)
    dialog, file = top_dialog(ExportDialog), tmp_path / "small.onnx"
    hand.type_into(dialog.path, str(file))
    qtbot.mouseClick(dialog.accept_button, LEFT)
    hand.wait(lambda: document.contents.last_export is not None)
    displayed = shown_metric(window)
    script = Path(__file__).parents[1] / "score_onnx.py"
    command = [sys.executable, str(script), str(file), str(samples.arrays())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    accuracy, count = done.stdout.split()
    assert displayed == f"{100 * float(accuracy):.1f} %" and count == "2000"
    assert float(accuracy) > 0.8
    travel_back_and_forth(window, hand)


def travel_back_and_forth(window: MainWindow, hand: Hand) -> None:
    """Undo and redo by keys across recovery, cut and plan; no job makes a state again."""
    document = window.document
    displayed, states = shown_metric(window), document.states
    hand.shortcut(Qt.Key.Key_Z)
    assert document.state.kind is StateKind.CUT
    hand.shortcut(Qt.Key.Key_Z)
    assert document.state.kind is StateKind.ORIGINAL and document.marked.any()
    hand.shortcut(Qt.Key.Key_Z)
    assert not document.marked.any() and not document.history.undo_text
    for _ in range(3):
        assert not document.busy
        hand.shortcut(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert document.state.kind is StateKind.RECOVERED and document.states == states
    assert shown_metric(window) == displayed


def test_killing_the_engine_while_it_fine_tunes_loses_nothing_but_that_job(no_latencies, window, hand, tmp_path):
    document = window.document
    workbench = window.workbench
    hand.open_small(tmp_path)
    hand.cut()
    hand.one_epoch()
    cut = document.state
    hand.press("Recover, 1 epoch")
    hand.wait(lambda: bool(document.curve))
    os.kill(workbench.runner.link.pid, signal.SIGKILL)
    # The loss is said first, then that the job has failed: another thread may come between the two.
    hand.wait(lambda: window.errors.isVisible() and not document.busy)
    assert "ended unexpectedly" in window.errors.sentence.text()
    assert (document.state.id, document.state.weights) == (cut.id, cut.weights)
    hand.wait(lambda: document.engine.text == "engine ready")
    hand.press("Recover, 1 epoch")
    hand.wait(lambda: document.state.kind is StateKind.RECOVERED)
    assert document.state.parent == cut.id


def test_a_cancelled_job_computes_no_second_longer_and_leaves_the_document_as_it_was(
    no_latencies, window, hand, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine_link, "PATIENCE", waiting.PATIENCE)  # else it is killed where others compute too
    document = window.document
    workbench = window.workbench
    hand.open_small(tmp_path)
    hand.cut()
    hand.quiet()
    before = (document.state, document.states, document.history.undo_text, document.marked.tobytes())
    hand.press(r"Recover, \d+ epochs")
    hand.wait(lambda: bool(document.curve))
    engine = process_behind(workbench.runner.link.pid)
    begin = waiting.cpu_seconds(engine)
    hand.keys(Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
    hand.wait(lambda: not document.busy)
    assert waiting.cpu_seconds(engine) - begin < 1.0
    hand.wait(lambda: idle(engine))
    assert (document.state, document.states, document.history.undo_text, document.marked.tobytes()) == before


def idle(pid: int) -> bool:
    """The process used less than a fifth of a core over 200 ms."""
    used = waiting.cpu_seconds(pid)
    time.sleep(0.2)
    return waiting.cpu_seconds(pid) - used < 0.04


def test_what_cannot_be_opened_is_said_in_a_sentence_and_the_window_stays(window, hand, qtbot, tmp_path):
    wrong = tmp_path / "net.py"
    wrong.write_text("def make():\n    raise RuntimeError('no weights here')\n")
    window.open_source(f"{wrong}:make")
    hand.wait(lambda: window.errors.isVisible())
    assert "Traceback" not in window.errors.sentence.text()
    assert window.document.analysis is None and not window.document.jobs


FAULTY = """
from PySide6.QtCore import QTimer

def test_slot(qtbot):
    QTimer.singleShot(0, lambda: 1 / 0)
    qtbot.wait(50)
"""


def test_an_exception_in_a_slot_fails_the_test(tmp_path):
    (tmp_path / "test_faulty.py").write_text(FAULTY)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stdout


def command(hand: Hand, letters: str) -> None:
    """Run a command from the palette."""
    hand.window.commands.by_id["view.palette"].trigger()
    palette = hand.window.findChild(CommandPalette)
    assert palette is not None
    hand.qtbot.keyClicks(palette.box, letters)
    hand.qtbot.keyClick(palette.box, Qt.Key.Key_Return)


def test_sensitivity_and_a_sweep_from_the_palette_to_the_plots(hand: Hand, no_latencies, tmp_path: Path, qtbot):
    document = hand.window.document
    workbench = hand.window.workbench
    hand.window.open(write_project(tmp_path / "mine"))
    hand.wait(lambda: document.scores is not None)
    hand.quiet()
    command(hand, "measure sens")
    hand.wait(lambda: document.curves is not None and document.curves.finished)
    panel = hand.window.area.panels["sensitivity"]
    assert panel.isVisible() and document.curves.tried == workbench.estimator.sensitivity().trials
    curve = panel._curves[0]
    point = len(curve.removed) // 2
    qtbot.mouseClick(panel.plot.viewport(), Qt.MouseButton.LeftButton, pos=panel.plot.pixel_of(0, point).toPoint())
    place = document.analysis.sets[curve.set_number].structures
    assert np.count_nonzero(document.marked[place]) == curve.removed[point] > 0
    document.plan.undo()

    command(hand, "sweep")
    dialog = hand.window.findChild(SweepDialog)
    assert dialog is not None
    hand.type_into(dialog.budgets, "70, 40")
    dialog.way.recovery.setCurrentIndex(2)
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    hand.wait(lambda: len(document.states) == 3)
    hand.quiet()
    assert [s.kind for s in document.states[1:]] == [StateKind.CUT] * 2 and document.state.id == "s0"
    assert document.original is not None
    whole = document.original.macs
    assert [s.macs / whole <= share for s, share in zip(document.states[1:], (0.7, 0.4), strict=True)] == [True, True]
    assert all(document.metric(s) is not None for s in document.states)
