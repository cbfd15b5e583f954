"""An exception anywhere becomes a dialog with a sentence, and the program goes on."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QAbstractListModel, QModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget

from secateur.app.startup.exception_hook import ExceptionHook, UnexpectedError

LEFT = Qt.MouseButton.LeftButton


class Painter(QWidget):
    """Fails whenever it is painted."""

    painted = 0

    def paintEvent(self, _event) -> None:
        self.painted += 1
        raise ValueError("no colour")


class Rows(QAbstractListModel):
    """Fails whenever it is read."""

    def rowCount(self, _parent=None) -> int:
        return 2

    def data(self, _index: QModelIndex, role: int = 0):
        raise KeyError("row")


@pytest.fixture
def mishaps(qapp) -> Iterator[ExceptionHook]:
    one = ExceptionHook(qapp)
    yield one
    one.remove()
    for dialog in dialogs():
        dialog.close()
    one.deleteLater()


def dialogs() -> list[UnexpectedError]:
    return [w for w in QApplication.topLevelWidgets() if isinstance(w, UnexpectedError) and w.isVisible()]


def fail(mishaps: ExceptionHook, error: Exception) -> None:
    """As Python calls the hook."""
    try:
        raise error
    except Exception as caught:
        mishaps._caught(type(caught), caught, caught.__traceback__)


def test_a_failure_is_a_sentence_with_details_to_copy_and_the_rest_is_counted(mishaps, qtbot, capsys) -> None:
    for _ in range(100):
        fail(mishaps, ValueError("no colour"))
    qtbot.waitUntil(lambda: len(dialogs()) == 1)
    (dialog,) = dialogs()
    qtbot.waitUntil(lambda: dialog.times.text() == "It happened 100 times.")
    assert "ValueError: no colour. Your work is kept" in dialog.sentence.text()
    assert "Traceback" not in dialog.sentence.text() and "Traceback" in dialog.details.toPlainText()
    qtbot.mouseClick(dialog.copy, LEFT)
    copied = QGuiApplication.clipboard().text()
    assert dialog.sentence.text() in copied and "test_exception_hook.py" in copied
    assert capsys.readouterr().err.count("Traceback") == 1


def test_one_dialog_for_several_failures_at_once_and_none_again_for_what_was_told(mishaps, qtbot) -> None:
    fail(mishaps, ValueError("one"))
    for error in (KeyError("two"), RuntimeError("three")):
        try:
            raise error
        except Exception as caught:
            mishaps._caught(type(caught), caught, caught.__traceback__)
    qtbot.waitUntil(lambda: len(dialogs()) == 1 and "three" in dialogs()[0].details.toPlainText())
    assert "two" in dialogs()[0].details.toPlainText()
    dialogs()[0].accept()
    qtbot.waitUntil(lambda: mishaps.dialog is None)
    fail(mishaps, ValueError("one"))
    qtbot.wait(50)
    assert dialogs() == []
    try:
        raise TypeError("new")
    except TypeError as caught:
        mishaps._caught(type(caught), caught, caught.__traceback__)
    qtbot.waitUntil(lambda: len(dialogs()) == 1)


def test_a_failure_in_a_thread_is_told_in_the_window(mishaps, qtbot, monkeypatch) -> None:
    mishaps.install()

    def work() -> None:
        raise OSError("the disk is gone")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    mishaps.remove()
    qtbot.waitUntil(lambda: len(dialogs()) == 1)
    assert "the disk is gone" in dialogs()[0].sentence.text()


PROGRAM = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QListView
from secateur.app.startup.exception_hook import ExceptionHook, UnexpectedError
from tests.app.startup.test_exception_hook import Painter, Rows, dialogs

application = QApplication([])
ExceptionHook(application).install()
painter, view = Painter(), QListView()
seen = []


def slot():
    raise IndexError("in a slot")


def show():
    painter.resize(200, 100)
    painter.show()
    view.setModel(Rows())
    view.show()


def again():
    painter.update()


def look():
    told = dialogs()[0].details.toPlainText() if dialogs() else ""
    words = [w for w in ("in a slot", "no colour", "row") if w in told]
    if len(words) == 3 and painter.painted > 60:
        seen.append(len(dialogs()))
        print(seen, painter.painted, words, dialogs()[0].times.text())
        application.quit()


QTimer.singleShot(0, slot)
QTimer.singleShot(20, show)
timer = QTimer(interval=16)
timer.timeout.connect(again)
timer.start()
looking = QTimer(interval=50)
looking.timeout.connect(look)
looking.start()
code = application.exec()
print("went on", code)
"""


def test_slots_paints_and_models_that_fail_in_a_running_program_are_one_dialog(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=180)
    assert "went on 0" in done.stdout, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("[1]") and "'in a slot', 'no colour', 'row'" in first, done.stdout
    assert done.stderr.count("Traceback") <= 6  # each place once, with what led to it, and not sixty a second
