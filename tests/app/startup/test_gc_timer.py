"""Garbage is collected in the interface's thread only, whoever allocates."""

import gc
import threading
import weakref

from PySide6.QtCore import QObject

from secateur.app.startup.application import GcTimer


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
