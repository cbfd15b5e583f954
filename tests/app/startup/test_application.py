"""The program's window and the one that takes its place, garbage collection, and files that the system hands over."""

import gc
import threading
import weakref

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QUrl, Signal
from PySide6.QtGui import QFileOpenEvent
from shiboken6 import isValid

from secateur.app.startup import application as program
from secateur.app.startup.application import FileOpener, GcTimer
from secateur.app.window.main_window import MainWindow
from tests.waiting import PATIENCE

from ..fake_link import FakeLink, workbench_on


class SlowLink(FakeLink):
    """Its engine takes until `may_end` to end."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()
        self.ended_in: threading.Thread | None = None

    def close(self) -> None:
        self.may_end.wait(PATIENCE)
        self.ended_in = threading.current_thread()
        self.closed = True


def test_a_window_takes_the_place_of_another_while_that_ones_engine_still_ends(qtbot, dressed, monkeypatch) -> None:
    slow, quick = SlowLink(), FakeLink()
    windows = iter([MainWindow(workbench_on(link)) for link in (slow, quick)])
    monkeypatch.setattr(program, "make_window", lambda _engine: next(windows))
    holder = program.WindowHolder()
    first = holder.window
    first.show()
    qtbot.waitUntil(lambda: first.area is not None)
    first.use_engine(None)
    second = holder.window
    assert second is not first and second.isVisible() and not first.isVisible()
    assert not slow.closed and isValid(first)  # nobody has waited
    slow.may_end.set()
    qtbot.waitUntil(lambda: not isValid(first))
    assert slow.closed and slow.ended_in is not threading.main_thread()
    qtbot.waitUntil(lambda: second.area is not None)
    second.leave()
    second.deleteLater()
    holder.wait()
    assert quick.closed


class Knot:
    """Holds itself, as widgets and their slots do."""

    def __init__(self, ended: list[int]) -> None:
        self.me = self
        weakref.finalize(self, lambda: ended.append(threading.get_ident()))


def busy(kept: list[list[int]]) -> None:
    """Enough for Python to collect several times."""
    kept += [[number] for number in range(200_000)]


def test_a_thread_that_allocates_destroys_nothing_and_the_collector_does(qapp, qtbot) -> None:
    parent, ended, kept = QObject(), list[int](), list[list[int]]()
    collector = GcTimer(parent)
    try:
        Knot(ended)
        thread = threading.Thread(target=busy, args=(kept,))
        thread.start()
        thread.join()
        assert ended == []
        qtbot.waitUntil(lambda: bool(ended))
        assert ended == [threading.get_ident()]
    finally:
        collector.stop()
        gc.unfreeze()
    assert gc.isenabled()


class Window(QObject):
    painted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def open_source(self, source: str) -> None:
        self.opened.append(source)


def test_a_file_is_opened_once_the_window_is_there(qapp, tmp_path):
    application, window = QObject(), Window()
    FileOpener(application, window)  # type: ignore[arg-type]

    def ask(name: str) -> None:
        QCoreApplication.sendEvent(application, QFileOpenEvent(QUrl.fromLocalFile(str(tmp_path / name))))

    ask("first.onnx")
    ask("second.onnx")
    assert window.opened == []
    window.painted.emit()
    assert window.opened == [str(tmp_path / "second.onnx")]
    ask("third.onnx")
    assert window.opened[1:] == [str(tmp_path / "third.onnx")]
    QCoreApplication.sendEvent(application, QEvent(QEvent.Type.User))
    window.painted.emit()
    assert len(window.opened) == 2
