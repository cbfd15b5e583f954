"""The program's window, and the one that takes its place where an engine elsewhere is chosen."""

import threading

from shiboken6 import isValid

from secateur.app.startup import application as program
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
